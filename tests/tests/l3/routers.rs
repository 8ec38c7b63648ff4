//! Real completions of a real server through the lab's routers.

use std::time::{Duration, Instant};

use infer_tests::exercise::{Exercise, Wanted, node_lab};
use infer_tests::routers::{self, Asked, Router};
use infer_tests::space::Space;

/// One small server behind a Service `llama`, port 80, in a namespace of this name.
fn served(asked: &Asked, namespace: &str) -> Exercise {
    let wanted = Wanted {
        model: "tiny",
        replicas: 1,
        slots: 1,
        context: 512,
        ..Wanted::default()
    };
    let space = Space::in_group(asked.lab.clone(), namespace, None);
    Exercise::start(space, &wanted)
}

/// A host gives a real completion within ten seconds, and the router says that it was the one.
fn completes(asked: &Asked, host: &str) {
    let until = Instant::now() + Duration::from_secs(10);
    let answer = loop {
        let (status, answer) = asked.complete(host, 12);
        if status == 200 {
            break answer;
        }
        assert!(
            Instant::now() < until,
            "{host} gives {status} after ten seconds: {answer}"
        );
        std::thread::sleep(Duration::from_millis(200));
    };
    assert_eq!(answer["usage"]["completion_tokens"], 12, "{answer}");
    infer_tests::space::poll("the request is in the router's access log", || {
        let log = std::fs::read_to_string(&asked.access_log).unwrap_or_default();
        log.lines().any(|line| {
            let line: serde_json::Value = serde_json::from_str(line).unwrap_or_default();
            line["authority"] == host && line["response_code"] == 200
        })
    });
    // The host is what leads there.
    assert_eq!(asked.get("nobody.lab", "/health").0, 404);
}

#[test]
fn istios_gateway_serves_a_completion_by_gateway_and_virtual_service() {
    if node_lab().is_none() {
        return;
    }
    let Some(istio) = routers::asked(Router::Istio) else {
        return;
    };
    let exercise = served(&istio, "by-istio");
    exercise.space.apply(
        r"
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: { name: models }
spec:
  selector: { istio: ingressgateway }
  servers: [{ port: { number: 80, name: http, protocol: HTTP }, hosts: [istio.lab] }]
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: { name: llama }
spec:
  hosts: [istio.lab]
  gateways: [models]
  http: [{ route: [{ destination: { host: llama, port: { number: 80 } } }] }]
",
    );
    completes(&istio, "istio.lab");
    let filter = r"^cluster\.outbound.80..llama\.by-istio.*upstream_rq_2xx$";
    let counted: u64 = istio.stats(filter).values().sum();
    assert!(counted > 0, "{:?}", istio.stats("by-istio"));
    assert!(istio.clusters().contains("llama.by-istio"));
    exercise.end();
}

#[test]
fn contour_serves_a_completion_by_httproute_and_by_ingress() {
    if node_lab().is_none() {
        return;
    }
    let Some(contour) = routers::asked(Router::Contour) else {
        return;
    };
    let exercise = served(&contour, "by-contour");
    exercise.space.apply(
        r"
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: { name: llama }
spec:
  parentRefs: [{ name: contour, namespace: projectcontour }]
  hostnames: [httproute.lab]
  rules: [{ backendRefs: [{ name: llama, port: 80 }] }]
---
apiVersion: networking.k8s.io/v1
kind: Ingress
metadata: { name: by-contour }
spec:
  ingressClassName: contour
  rules:
    - host: ingress.lab
      http: { paths: [{ path: /, pathType: Prefix, backend: { service: { name: llama, port: { number: 80 } } } }] }
",
    );
    completes(&contour, "httproute.lab");
    completes(&contour, "ingress.lab");
    let filter = r"^cluster\.by-contour_llama_80\.upstream_rq_2xx$";
    let counted: u64 = contour.stats(filter).values().sum();
    assert!(counted > 1, "{:?}", contour.stats("by-contour"));
    exercise.end();
}
