//! `test --expect` of an Ingress: replies are of Services and workloads, as the proxy's log says.

use crate::cluster::Cluster;
use crate::sandbox::{Place, Run};
use serde_json::Value;

const PLAIN: &str = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\nconnection: close\r\n\r\nok";
const LLAMA: &str = "ghcr.io/ggml-org/llama.cpp:server";

fn test(cluster: &Cluster, args: &[&str]) -> Run {
    test_of(cluster, "ingress/front", args)
}

fn test_of(cluster: &Cluster, subject: &str, args: &[&str]) -> Run {
    let place = Place::new(&[("kubeconfig", &cluster.kubeconfig())]);
    let fixed = ["test", subject, "--kubeconfig", "kubeconfig"];
    place.run(&[&fixed, args].concat())
}

fn json(cluster: &Cluster, args: &[&str]) -> (Value, i32) {
    let run = test(cluster, &[args, &["-o", "json"]].concat());
    assert_eq!(run.err, "", "{run:?}");
    (run.json(), run.code)
}

/// Whom each request goes to: every seventh and every eleventh the canary, else the two of the
/// other Service in turn.
fn address(number: usize) -> &'static str {
    match number {
        _ if number % 7 == 3 || number % 11 == 5 => "10.0.0.10:8080",
        _ if number.is_multiple_of(2) => "10.0.0.8:8080",
        _ => "10.0.0.9:8080",
    }
}

/// ingress-nginx's default line. The canary's name is the alternative one.
fn nginx(number: usize) -> String {
    let address = address(number);
    let alternative = if address.starts_with("10.0.0.10:") {
        "inference-canary-8080"
    } else {
        ""
    };
    format!(
        "127.0.0.1 - - [25/Nov/2026:04:00:00 +0000] \"POST /x HTTP/1.1\" 200 2 \"-\" \"USER\" 200 \
         0.010 [inference-back-8080] [{alternative}] {address} 2 0.009 200 0123"
    )
}

/// Envoy's default line: it names no Service.
fn envoy(number: usize) -> String {
    format!(
        "[2026-11-25T04:00:00.000Z] \"POST /x HTTP/1.1\" 200 - 1 2 3 4 \"-\" \"USER\" \"id\" \
         \"inference.local\" \"{}\"",
        address(number)
    )
}

fn route(line: fn(usize) -> String) -> Cluster {
    let cluster = Cluster::start();
    cluster.route_by("/", PLAIN, line, LLAMA);
    cluster.canary();
    cluster
}

#[test]
fn a_name_is_a_service_behind_the_route_or_a_workload_or_a_pod() {
    for line in [nginx, envoy] {
        for (name, by) in [
            ("canary", "service"),
            ("llama-canary", "workload"),
            ("llama-canary-6d9f8c-2kqzl", "pod"),
        ] {
            let cluster = route(line);
            let expect = format!("{name}=22");
            let (report, code) = json(&cluster, &["--expect", &expect, "--requests", "300"]);
            let found = &report["expectations"][0];
            assert_eq!(code, 0, "{report}");
            let hits = (0..300).filter(|it| address(*it).starts_with("10.0.0.10:"));
            assert_eq!(found["hits"], hits.count(), "{name}: {found}");
            assert_eq!(
                (&found["by"], &found["unknown"], &found["grade"]),
                (&by.into(), &0.into(), &"A joined".into()),
                "{name}"
            );
        }
    }
}

#[test]
fn the_table_has_every_replica_and_says_that_they_take_turns() {
    let cluster = route(nginx);
    let run = test(&cluster, &["--expect", "canary=22", "--requests", "300"]);
    assert_eq!(run.code, 0, "{run:?}");
    for shown in [
        "attributed 300/300 (grade A joined)",
        "canary   llama-canary-6d9f8c-2kqzl ",
        "back     llama-0 ",
        "back     llama-1 ",
        "note: hits of canary come at even distances",
        "note: replicas alternate inside back (round robin)",
        "the prompt begins with the number of its request",
        "\"content\":\"1: ping\"",
    ] {
        assert!(run.out.contains(shown), "{shown}: {}", run.out);
    }
    // A backend of several replicas has a line for all of them.
    let run = test(&cluster, &["--expect", "back=78", "--requests", "300"]);
    assert!(run.out.contains("back     all 2 "), "{}", run.out);
    assert!(
        run.out.contains("canary   llama-canary-6d9f8c-2kqzl "),
        "{}",
        run.out
    );
}

#[test]
fn a_workload_without_a_pod_is_one_that_gets_nothing() {
    let cluster = route(|number| nginx(number * 77));
    cluster.put(
        "deployments",
        serde_json::json!({"apiVersion": "apps/v1", "kind": "Deployment",
            "metadata": {"name": "gone", "namespace": "inference"},
            "spec": {"selector": {"matchLabels": {"app": "gone"}},
                "template": {"metadata": {"labels": {"app": "gone"}}, "spec": {}}}}),
    );
    let (report, code) = json(&cluster, &["--expect", "gone=0"]);
    let found = &report["expectations"][0];
    assert_eq!((code, &found["by"]), (0, &"workload".into()), "{found}");
    // The control: of a name that is nowhere nothing is known.
    let (report, code) = json(&cluster, &["--expect", "nowhere=0"]);
    let found = &report["expectations"][0];
    assert_eq!((code, &found["by"]), (4, &Value::Null), "{found}");
}

#[test]
fn a_backend_that_nobody_reaches_is_seen_in_the_log_while_the_run_goes_on() {
    let cluster = route(|number| nginx(number * 154));
    let (report, code) = json(&cluster, &["--expect", "canary=10", "--requests", "20000"]);
    assert_eq!(code, 2, "{}", report["expectations"]);
    assert_eq!(report["endedEarly"]["backend"], "canary");
}

/// As [`route`], with an HTTPRoute and a VirtualService to both Services; a Gateway of each kind in
/// front, where it has an address.
fn gateways(has_address: bool) -> Cluster {
    let cluster = Cluster::start();
    let port = cluster.route_by("/", PLAIN, istio, LLAMA);
    cluster.canary();
    let meta = |name: &str| serde_json::json!({"name": name, "namespace": "inference"});
    let address = |ip: Value| if has_address { vec![ip] } else { Vec::new() };
    cluster.put(
        "httproutes",
        serde_json::json!({"apiVersion": "gateway.networking.k8s.io/v1", "kind": "HTTPRoute",
            "metadata": meta("split"), "spec": {"hostnames": ["inference.local"],
                "parentRefs": [{"name": "front"}], "rules": [{"backendRefs": [
                    {"name": "back", "port": 8080, "weight": 78},
                    {"name": "canary", "port": 8080, "weight": 22}]}]}}),
    );
    let addresses = address(serde_json::json!({"type": "IPAddress", "value": "127.0.0.1"}));
    cluster.put(
        "gateways",
        serde_json::json!({"apiVersion": "gateway.networking.k8s.io/v1", "kind": "Gateway",
            "metadata": meta("front"), "spec": {"gatewayClassName": "lab", "listeners": [
                {"name": "web", "protocol": "HTTP", "port": port}]},
            "status": {"addresses": addresses}}),
    );
    cluster.put(
        "gatewayclasses",
        serde_json::json!({"apiVersion": "gateway.networking.k8s.io/v1", "kind": "GatewayClass",
            "metadata": {"name": "lab"}, "spec": {"controllerName": "example.com/gateway"}}),
    );
    let to = |host: &str, weight: u32| {
        serde_json::json!({"destination": {"host": host, "port": {"number": 8080}},
            "weight": weight})
    };
    cluster.put(
        "virtualservices",
        serde_json::json!({"apiVersion": "networking.istio.io/v1", "kind": "VirtualService",
            "metadata": meta("split"), "spec": {"hosts": ["inference.local"],
                "gateways": ["mesh", "front"], "http": [{"route": [to("back", 78),
                    to("canary.inference.svc.cluster.local", 22)]}]}}),
    );
    cluster.put(
        "gateways",
        serde_json::json!({"apiVersion": "networking.istio.io/v1", "kind": "Gateway",
            "metadata": meta("front"), "spec": {"selector": {"istio": "ingressgateway"},
                "servers": [{"port": {"number": port, "protocol": "HTTP"}, "hosts": ["*"]}]}}),
    );
    let addresses = address(serde_json::json!({"ip": "127.0.0.1"}));
    cluster.put(
        "services",
        serde_json::json!({"apiVersion": "v1", "kind": "Service", "metadata": meta("gateway"),
            "spec": {"selector": {"istio": "ingressgateway"}, "ports": [{"port": port}]},
            "status": {"loadBalancer": {"ingress": addresses}}}),
    );
    let mut metadata = meta("gateway-1");
    metadata["labels"] = serde_json::json!({"kubernetes.io/service-name": "gateway"});
    cluster.put(
        "endpointslices",
        serde_json::json!({"apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice",
            "metadata": metadata, "addressType": "IPv4", "ports": [{"port": port}],
            "endpoints": [{"addresses": ["127.0.0.1"],
                "targetRef": {"kind": "Pod", "name": "proxy-0"}}]}),
    );
    cluster
}

/// Istio's default line: it names the Service, and a subset where there is one.
fn istio(number: usize) -> String {
    let address = address(number);
    let (service, subset) = match address {
        "10.0.0.10:8080" => ("canary", "next"),
        _ => ("back", "first"),
    };
    format!(
        "[2026-11-25T04:00:00.000Z] \"POST /x HTTP/1.1\" 200 - via_upstream - \"-\" 1 2 3 4 \"-\" \
         \"USER\" \"id\" \"inference.local\" \"{address}\" \
         outbound|8080|{subset}|{service}.inference.svc.cluster.local - - - - default"
    )
}

#[test]
fn routes_of_gateway_api_and_of_istio_are_tested_by_the_address_of_their_gateway() {
    let cluster = gateways(true);
    for (subject, from, kind) in [
        ("httproute/split", "Gateway status", "HTTPRoute"),
        (
            "virtualservice/split",
            "gateway Service's status",
            "VirtualService",
        ),
    ] {
        for (name, by) in [("canary", "service"), ("next", "subset")] {
            let expect = format!("{name}=22");
            let args = ["--expect", &expect, "--requests", "300", "-o", "json"];
            let run = test_of(&cluster, subject, &args);
            let report = run.json();
            let found = &report["expectations"][0];
            assert_eq!((run.code, run.err.as_str()), (0, ""), "{subject}: {found}");
            assert_eq!((&found["by"], &found["unknown"]), (&by.into(), &0.into()));
            let target = &report["target"];
            assert_eq!(
                (&target["addressFrom"], &target["object"]["kind"]),
                (&from.into(), &kind.into())
            );
            assert_eq!(report["gaps"], Value::Array(Vec::new()), "{subject}");
        }
    }
    let run = test_of(&cluster, "httproute/split", &["-o", "json"]);
    assert_eq!(run.json()["target"]["controller"], "example.com/gateway");
}

#[test]
fn a_gateway_without_an_address_is_answered_with_the_way_around_it() {
    let cluster = gateways(false);
    for subject in ["httproute/split", "virtualservice/split"] {
        let run = test_of(&cluster, subject, &[]);
        assert_eq!((run.code, run.out.as_str()), (1, ""), "{run:?}");
        for shown in [
            &format!("nothing in front of {subject} has an address"),
            "--resolve inference.local:80:ADDRESS",
        ] {
            assert!(run.err.contains(shown), "{shown}: {}", run.err);
        }
    }
}
