//! Helm values of what serves the entry: how long it drains, and a log in which replies can be
//! attributed to replicas.

use crate::document::Document;
use crate::entry::{self, Via};
use crate::intent::Wanted;
use crate::workload::duration;
use serde_json::{Value, json};

/// Values for one Helm chart.
#[derive(Clone, Debug)]
pub struct Values {
    /// What is configured, for the file's name.
    pub controller: &'static str,
    /// The chart.
    pub chart: &'static str,
    /// The values, with comments.
    pub document: Document,
}

impl Values {
    /// The name of a file for them.
    #[must_use]
    pub fn file_name(&self) -> String {
        format!("helm-values-{}.yaml", self.controller)
    }
}

/// The format that ingress-nginx has by itself (kubernetes/ingress-nginx
/// docs/user-guide/nginx-configuration/log-format.md): `kubectl infer test` reads it.
const INGRESS_NGINX_LOG: &str = "$remote_addr - $remote_user [$time_local] \"$request\" $status $body_bytes_sent \
     \"$http_referer\" \"$http_user_agent\" $request_length $request_time [$proxy_upstream_name] \
     [$proxy_alternative_upstream_name] $upstream_addr $upstream_response_length $upstream_response_time \
     $upstream_status $req_id";

/// The same line in the words of F5's controller, whose own format names no upstream
/// (nginx/documentation content/nic/logging-and-monitoring/logging.md).
const F5_NGINX_LOG: &str = "$remote_addr - $remote_user [$time_local] \"$request\" $status $body_bytes_sent \
     \"$http_referer\" \"$http_user_agent\" $request_length $request_time [$resource_namespace-$service] [] \
     $upstream_addr $upstream_response_length $upstream_response_time $upstream_status $request_id";

/// What a proxy gets beside the longest generation to hear that it shall go, and to go.
const MARGIN: u32 = 60;

pub(crate) fn of(wanted: &Wanted<'_>) -> Vec<Values> {
    // A controller serves others, too: no value goes below what it has by itself.
    let longest = wanted.intent.longest_generation.max(60);
    let grace = (longest + MARGIN).max(300);
    match wanted.intent.via {
        Via::IngressNginx => vec![ingress_nginx(longest, grace)],
        Via::F5Nginx => vec![f5_nginx(grace)],
        Via::Gateway => entry::is_envoy_gateway(wanted)
            .then(|| envoy_gateway(longest))
            .into_iter()
            .collect(),
        Via::Istio => vec![istiod(), istio_gateway(wanted, longest, grace)],
        Via::Contour => vec![contour(longest, grace)],
        Via::Traefik => vec![traefik(longest, grace)],
        Via::None => Vec::new(),
    }
}

fn values(
    controller: &'static str,
    chart: &'static str,
    object: &Value,
    comments: &[(&str, &str)],
) -> Values {
    let mut document = Document::of(object);
    document.comment(
        "",
        format!("Values of the Helm chart {chart}, for `helm upgrade -f`."),
    );
    for (pointer, text) in comments {
        document.comment(pointer, text);
    }
    Values {
        controller,
        chart,
        document,
    }
}

fn ingress_nginx(longest: u32, grace: u32) -> Values {
    values(
        "ingress-nginx",
        "ingress-nginx/ingress-nginx",
        &json!({"controller": {
            "config": {
                "worker-shutdown-timeout": format!("{}s", longest.max(240)),
                "log-format-upstream": INGRESS_NGINX_LOG,
            },
            "terminationGracePeriodSeconds": grace,
        }}),
        &[
            (
                "/controller/config/worker-shutdown-timeout",
                "Any change of any Ingress reloads NGINX, and cuts streams that are older than this (240s).",
            ),
            (
                "/controller/config/log-format-upstream",
                "Its own format, said: it names the replica, every try and the user agent.",
            ),
            (
                "/controller/terminationGracePeriodSeconds",
                "A pod of the controller goes when the last answer has ended.",
            ),
        ],
    )
}

fn f5_nginx(grace: u32) -> Values {
    values(
        "f5-nginx-ingress",
        "oci://ghcr.io/nginx/charts/nginx-ingress",
        &json!({"controller": {
            "config": {"entries": {"log-format": F5_NGINX_LOG}},
            "terminationGracePeriodSeconds": grace,
        }}),
        &[
            (
                "/controller/config/entries/log-format",
                "Its own format names no replica; this one does, and every try.",
            ),
            (
                "/controller/terminationGracePeriodSeconds",
                "By itself a pod of the controller is killed after 30 s, with every stream on it.",
            ),
        ],
    )
}

fn contour(longest: u32, grace: u32) -> Values {
    values(
        "contour",
        "contour/contour (projectcontour.github.io/helm-charts)",
        &json!({
            "configInline": {
                "accesslog-format": "envoy",
                "timeouts": {"stream-idle-timeout": format!("{}s", (longest + MARGIN).max(300))},
            },
            "envoy": {"terminationGracePeriodSeconds": grace},
        }),
        &[
            (
                "/configInline/accesslog-format",
                "Envoy's own line: it names the replica and the user agent.",
            ),
            (
                "/configInline/timeouts/stream-idle-timeout",
                "Silence of 5m ends a request by itself, and no annotation of an Ingress changes that.",
            ),
            (
                "/envoy/terminationGracePeriodSeconds",
                "The shutdown manager waits for open connections, at most this long.",
            ),
        ],
    )
}

fn traefik(longest: u32, grace: u32) -> Values {
    let transport = json!({"transport": {"lifeCycle": {
        "requestAcceptGraceTimeout": "10s",
        "graceTimeOut": format!("{longest}s"),
    }}});
    values(
        "traefik",
        "traefik/traefik",
        &json!({
            "deployment": {"terminationGracePeriodSeconds": grace},
            "accessLog": {
                "enabled": true,
                "format": "json",
                "fields": {"headers": {"names": {"User-Agent": "keep"}}},
            },
            "ports": {"web": transport, "websecure": transport},
        }),
        &[
            (
                "/deployment/terminationGracePeriodSeconds",
                "A pod of Traefik goes when the last answer has ended.",
            ),
            (
                "/accessLog",
                "Off by itself. As JSON a line names the replica (ServiceAddr); headers are dropped unless named.\n\
                 Before version 41 of the chart this is `logs.access`.",
            ),
            (
                "/ports/web/transport/lifeCycle",
                "First it still takes requests, until others have heard; then answers end. By itself: 0s and 10s.",
            ),
        ],
    )
}

fn istiod() -> Values {
    values(
        "istiod",
        "istio/istiod",
        &json!({"meshConfig": {"accessLogFile": "/dev/stdout", "accessLogEncoding": "TEXT"}}),
        &[(
            "/meshConfig/accessLogFile",
            "Off in some installations. Istio's own line names the replica and the user agent.",
        )],
    )
}

fn istio_gateway(wanted: &Wanted<'_>, longest: u32, grace: u32) -> Values {
    let (key, value) = entry::istio_gateway_selector(wanted);
    values(
        "istio-gateway",
        "istio/gateway",
        &json!({
            "labels": {key: value},
            "podAnnotations": {
                "proxy.istio.io/config": json!({"terminationDrainDuration": format!("{longest}s")}).to_string(),
            },
            "terminationGracePeriodSeconds": grace,
        }),
        &[
            ("/labels", "What the Gateway object selects."),
            (
                "/podAnnotations",
                "By itself the gateway cuts every stream 5 s after it was told to go.",
            ),
            (
                "/terminationGracePeriodSeconds",
                "By itself the gateway is killed 30 s after it was told to go.",
            ),
        ],
    )
}

fn envoy_gateway(longest: u32) -> Values {
    values(
        "envoy-gateway",
        "oci://docker.io/envoyproxy/gateway-helm",
        &json!({"config": {"envoyGateway": {"envoyProxy": {
            "shutdown": {"drainTimeout": duration(longest)},
        }}}}),
        &[(
            "/config/envoyGateway/envoyProxy/shutdown",
            "By itself a proxy cuts every stream 60s after it was told to go.\n\
             Its own access log names the replica (upstream_host) and the user agent. Where the version has\n\
             no `envoyProxy` here, an EnvoyProxy that the GatewayClass refers to says the same.",
        )],
    )
}
