//! A Gateway and an HTTPRoute of Gateway API.

use crate::document::Document;
use crate::intent::Wanted;
use crate::service::{self, PORT};
use crate::workload::duration;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use serde::Serialize;

/// The class that Envoy Gateway's own guide makes (envoyproxy/gateway,
/// site/content/en/latest/tasks/quickstart.md).
pub(crate) const CLASS: &str = "eg";

const API_VERSION: &str = "gateway.networking.k8s.io/v1";
const LISTENER: &str = "http";

/// A `Gateway` (kubernetes-sigs/gateway-api apis/v1/gateway_types.go), as far as it is written.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Gateway {
    api_version: &'static str,
    kind: &'static str,
    metadata: ObjectMeta,
    spec: GatewaySpec,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct GatewaySpec {
    gateway_class_name: String,
    listeners: Vec<Listener>,
}

#[derive(Debug, Serialize)]
struct Listener {
    name: &'static str,
    protocol: &'static str,
    port: u16,
    hostname: String,
}

/// An `HTTPRoute` (kubernetes-sigs/gateway-api apis/v1/httproute_types.go), as far as it is written.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct HttpRoute {
    api_version: &'static str,
    kind: &'static str,
    metadata: ObjectMeta,
    spec: HttpRouteSpec,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct HttpRouteSpec {
    parent_refs: Vec<ParentReference>,
    hostnames: Vec<String>,
    rules: Vec<HttpRouteRule>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct ParentReference {
    name: String,
    section_name: &'static str,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct HttpRouteRule {
    backend_refs: Vec<BackendReference>,
    timeouts: HttpRouteTimeouts,
}

#[derive(Debug, Serialize)]
struct BackendReference {
    name: String,
    port: u16,
}

#[derive(Debug, Serialize)]
struct HttpRouteTimeouts {
    request: String,
}

pub(crate) fn notes(wanted: &Wanted<'_>) -> Option<String> {
    Some(match &wanted.intent.class {
        None => format!(
            "the GatewayClass is `{CLASS}`, as Envoy Gateway's guide has it: `kubectl get gatewayclass` lists yours, \
             `--gateway-class` names another"
        ),
        Some(class) if class != CLASS => format!(
            "what serves GatewayClass `{class}` cannot be known here: let it drain for the longest generation, and log \
             the upstream address and the user agent"
        ),
        Some(_) => return None,
    })
}

pub(crate) fn objects(wanted: &Wanted<'_>) -> Vec<Document> {
    let intent = wanted.intent;
    let mut gateway = Document::of(&Gateway {
        api_version: API_VERSION,
        kind: "Gateway",
        metadata: service::metadata(intent),
        spec: GatewaySpec {
            gateway_class_name: intent.class.clone().unwrap_or_else(|| CLASS.to_owned()),
            listeners: vec![Listener {
                name: LISTENER,
                protocol: "HTTP",
                port: PORT,
                hostname: wanted.host.clone(),
            }],
        },
    });
    gateway.comment(
        "/spec/gatewayClassName",
        "Decides which controller serves this, and so which fields of the route count.",
    );
    let mut route = Document::of(&HttpRoute {
        api_version: API_VERSION,
        kind: "HTTPRoute",
        metadata: service::metadata(intent),
        spec: HttpRouteSpec {
            parent_refs: vec![ParentReference {
                name: intent.name.clone(),
                section_name: LISTENER,
            }],
            hostnames: vec![wanted.host.clone()],
            rules: vec![HttpRouteRule {
                backend_refs: vec![BackendReference {
                    name: intent.name.clone(),
                    port: PORT,
                }],
                timeouts: HttpRouteTimeouts {
                    request: duration(intent.longest_generation),
                },
            }],
        },
    });
    route.comment(
        "/spec/rules/0/timeouts/request",
        "For the whole answer, a stream too. Without it some cut at 15 s (Envoy), some never;\n\
         some ignore it (NGINX Gateway Fabric, Traefik, GKE).",
    );
    vec![gateway, route]
}
