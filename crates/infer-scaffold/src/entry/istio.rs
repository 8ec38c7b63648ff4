//! A Gateway, a VirtualService and a DestinationRule of Istio that belong together.

use crate::document::Document;
use crate::intent::Wanted;
use crate::service::{self, PORT};
use crate::workload::duration;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use serde::Serialize;
use std::collections::BTreeMap;

/// The label of the gateway's pods where its chart is told so, as our values tell it.
pub(crate) const SELECTOR: (&str, &str) = ("istio", "ingressgateway");

const API_VERSION: &str = "networking.istio.io/v1";

/// A `Gateway` (istio/api networking/v1alpha3/gateway.proto), as far as it is written.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Gateway {
    api_version: &'static str,
    kind: &'static str,
    metadata: ObjectMeta,
    spec: GatewaySpec,
}

#[derive(Debug, Serialize)]
struct GatewaySpec {
    selector: BTreeMap<String, String>,
    servers: Vec<Server>,
}

#[derive(Debug, Serialize)]
struct Server {
    port: Port,
    hosts: Vec<String>,
}

#[derive(Debug, Serialize)]
struct Port {
    number: u16,
    name: &'static str,
    protocol: &'static str,
}

/// A `VirtualService` (istio/api networking/v1alpha3/virtual_service.proto), as far as it is written.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct VirtualService {
    api_version: &'static str,
    kind: &'static str,
    metadata: ObjectMeta,
    spec: VirtualServiceSpec,
}

#[derive(Debug, Serialize)]
struct VirtualServiceSpec {
    hosts: Vec<String>,
    gateways: Vec<String>,
    http: Vec<HttpRoute>,
}

#[derive(Debug, Serialize)]
struct HttpRoute {
    route: Vec<RouteDestination>,
    timeout: String,
}

#[derive(Debug, Serialize)]
struct RouteDestination {
    destination: Destination,
}

#[derive(Debug, Serialize)]
struct Destination {
    host: String,
    port: PortSelector,
}

#[derive(Debug, Serialize)]
struct PortSelector {
    number: u16,
}

/// A `DestinationRule` (istio/api networking/v1alpha3/destination_rule.proto), as far as it is
/// written.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct DestinationRule {
    api_version: &'static str,
    kind: &'static str,
    metadata: ObjectMeta,
    spec: DestinationRuleSpec,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct DestinationRuleSpec {
    host: String,
    traffic_policy: TrafficPolicy,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct TrafficPolicy {
    load_balancer: LoadBalancer,
    #[serde(skip_serializing_if = "Option::is_none")]
    outlier_detection: Option<OutlierDetection>,
}

#[derive(Debug, Serialize)]
struct LoadBalancer {
    simple: &'static str,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct OutlierDetection {
    #[serde(rename = "consecutive5xxErrors")]
    consecutive_5xx_errors: u32,
    interval: &'static str,
    base_ejection_time: &'static str,
    max_ejection_percent: u32,
}

pub(crate) fn pod_labels() -> BTreeMap<String, String> {
    BTreeMap::from([("sidecar.istio.io/inject".to_owned(), "true".to_owned())])
}

pub(crate) fn namespace_labels() -> BTreeMap<String, String> {
    BTreeMap::from([("istio-injection".to_owned(), "enabled".to_owned())])
}

/// The labels of the gateway's pods.
pub(crate) fn gateway_selector(wanted: &Wanted<'_>) -> (String, String) {
    let usual = || (SELECTOR.0.to_owned(), SELECTOR.1.to_owned());
    wanted.intent.gateway_selector.clone().unwrap_or_else(usual)
}

pub(crate) fn objects(wanted: &Wanted<'_>) -> Vec<Document> {
    vec![
        destination_rule(wanted),
        gateway(wanted),
        virtual_service(wanted),
    ]
}

fn gateway(wanted: &Wanted<'_>) -> Document {
    let mut document = Document::of(&Gateway {
        api_version: API_VERSION,
        kind: "Gateway",
        metadata: service::metadata(wanted.intent),
        spec: GatewaySpec {
            selector: BTreeMap::from([gateway_selector(wanted)]),
            servers: vec![Server {
                port: Port {
                    number: PORT,
                    name: "http",
                    protocol: "HTTP",
                },
                hosts: vec![wanted.host.clone()],
            }],
        },
    });
    document.comment(
        "/spec/selector",
        "Labels of the gateway's pods: kubectl get pods -A -l istio --show-labels",
    );
    document
}

fn virtual_service(wanted: &Wanted<'_>) -> Document {
    let intent = wanted.intent;
    let mut document = Document::of(&VirtualService {
        api_version: API_VERSION,
        kind: "VirtualService",
        metadata: service::metadata(intent),
        spec: VirtualServiceSpec {
            hosts: vec![wanted.host.clone()],
            gateways: vec![intent.name.clone()],
            http: vec![HttpRoute {
                route: vec![RouteDestination {
                    destination: Destination {
                        host: intent.name.clone(),
                        port: PortSelector { number: PORT },
                    },
                }],
                timeout: duration(intent.longest_generation),
            }],
        },
    });
    document.comment(
        "/spec/gateways",
        "Without a gateway named here, only clients with a sidecar would follow this.",
    );
    document.comment(
        "/spec/http/0/timeout",
        "For the whole answer, a stream too; by itself Istio waits without limit.",
    );
    document
}

fn destination_rule(wanted: &Wanted<'_>) -> Document {
    let intent = wanted.intent;
    let ejects = intent.replicas > 1;
    let mut document = Document::of(&DestinationRule {
        api_version: API_VERSION,
        kind: "DestinationRule",
        metadata: service::metadata(intent),
        spec: DestinationRuleSpec {
            host: intent.name.clone(),
            traffic_policy: TrafficPolicy {
                load_balancer: LoadBalancer {
                    simple: "LEAST_REQUEST",
                },
                outlier_detection: ejects.then(|| OutlierDetection {
                    consecutive_5xx_errors: 5,
                    interval: "10s",
                    base_ejection_time: "30s",
                    max_ejection_percent: one_of(intent.replicas),
                }),
            },
        },
    });
    document.comment(
        "/spec/host",
        "The Service that the VirtualService sends to: another host, and nobody would follow this.",
    );
    document.comment(
        "/spec/trafficPolicy/loadBalancer",
        "Answers take seconds or minutes: whoever has fewest under way gets the next request.",
    );
    if ejects {
        document.comment(
            "/spec/trafficPolicy/outlierDetection/maxEjectionPercent",
            format!(
                "One of {}: the default of 10 is less than one, and ejects nobody.",
                intent.replicas
            ),
        );
    }
    document
}

/// The least percentage of which Envoy ejects one of so many (envoyproxy/envoy
/// source/common/upstream/outlier_detection_impl.cc `ejectHost`).
fn one_of(replicas: u32) -> u32 {
    100_u32.div_ceil(replicas.max(1))
}
