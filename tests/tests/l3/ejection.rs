//! Outlier detection on real Envoy, behind Istio's control plane: with the chapter's rule a replica of
//! three that only fails is never ejected, with the repaired one it is. Envoy's own counters say so.

use infer_tests::exercise::node_lab;
use infer_tests::routers::{self, Asked, Router};
use infer_tests::space::{Space, poll};
use infer_tests::{objects, root};
use serde_json::{Value, json};
use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpListener};
use std::process::Command;
use std::thread;

/// The requests that a Service gets: a third of them meets the replica that fails, five in a row are
/// enough.
const REQUESTS: u32 = 60;

/// The addresses of the three replicas: istiod takes endpoints of one address for one.
const ADDRESSES: [Ipv4Addr; 3] = [
    Ipv4Addr::new(10, 200, 1, 1),
    Ipv4Addr::new(10, 200, 1, 2),
    Ipv4Addr::new(10, 200, 1, 3),
];

/// A server that answers every request so; it lives as long as the test's process. Its port.
fn answering(address: Ipv4Addr, status: &'static str) -> u16 {
    let listener = TcpListener::bind((address, 0)).unwrap();
    let port = listener.local_addr().unwrap().port();
    thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let _ = stream.read(&mut [0; 4096]);
            let head =
                format!("HTTP/1.1 {status}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
            let _ = stream.write_all(head.as_bytes());
        }
    });
    port
}

/// The outlier detection that a DestinationRule of the examples writes.
fn outlier_detection(file: &str) -> Value {
    let path = root().join("manifests/examples/chapter").join(file);
    let text = std::fs::read_to_string(path).unwrap();
    let rule = objects(&text)
        .into_iter()
        .find(|object| object["kind"] == "DestinationRule")
        .unwrap();
    rule["spec"]["trafficPolicy"]["outlierDetection"].clone()
}

/// A Service of this name with three endpoints, one of which only fails, a DestinationRule with this
/// outlier detection, and the route to it.
fn deploy(space: &Space, name: &str, outlier_detection: &Value) {
    let mut items = vec![
        json!({"apiVersion": "v1", "kind": "Service", "metadata": {"name": name},
            "spec": {"ports": [{"name": "http", "port": 80}]}}),
        json!({"apiVersion": "networking.istio.io/v1", "kind": "DestinationRule",
            "metadata": {"name": name}, "spec": {"host": name, "trafficPolicy":
                {"outlierDetection": outlier_detection}}}),
        json!({"apiVersion": "networking.istio.io/v1", "kind": "VirtualService",
            "metadata": {"name": name}, "spec": {"hosts": [format!("{name}.eject")],
                "gateways": ["models"], "http": [{"retries": {"attempts": 0},
                    "route": [{"destination": {"host": name, "port": {"number": 80}}}]}]}}),
    ];
    let statuses = ["200 OK", "200 OK", "500 Internal Server Error"];
    for (index, (address, status)) in ADDRESSES.into_iter().zip(statuses).enumerate() {
        items.push(
            json!({"apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice",
            "metadata": {"name": format!("{name}-{index}"),
                         "labels": {"kubernetes.io/service-name": name}},
            "addressType": "IPv4", "ports": [{"name": "http", "port": answering(address, status)}],
            "endpoints": [{"addresses": [address.to_string()],
                           "conditions": {"ready": true, "serving": true}}]}),
        );
    }
    let list = json!({"apiVersion": "v1", "kind": "List", "items": items});
    space.apply(&list.to_string());
}

/// A counter of the outlier detection of a Service's cluster.
fn counter(istio: &Asked, name: &str, counter: &str) -> u64 {
    let filter = format!(r"^cluster\.outbound.80..{name}\..*outlier_detection\.{counter}$");
    istio.stats(&filter).values().sum()
}

/// How many of the requests failed.
fn failures(istio: &Asked, name: &str) -> u32 {
    let host = format!("{name}.eject");
    let statuses = (0..REQUESTS).map(|_| istio.get(&host, "/").0);
    let statuses: Vec<u16> = statuses.collect();
    assert!(
        statuses.iter().all(|it| [200, 500].contains(it)),
        "{statuses:?}"
    );
    u32::try_from(statuses.iter().filter(|it| **it == 500).count()).unwrap()
}

#[test]
fn a_replica_that_fails_is_ejected_by_the_repaired_rule_and_never_by_the_chapter_s() {
    let Some(lab) = node_lab() else { return };
    let Some(istio) = routers::asked(Router::Istio) else {
        return;
    };
    let space = Space::in_group(lab, "ejection", None);
    space.apply(
        &json!({"apiVersion": "networking.istio.io/v1", "kind": "Gateway",
            "metadata": {"name": "models"},
            "spec": {"selector": {"istio": "ingressgateway"}, "servers": [
                {"port": {"number": 80, "name": "http", "protocol": "HTTP"}, "hosts": ["*.eject"]}]}})
        .to_string(),
    );
    let rules = [
        ("chapter", "as-written/mesh.yaml"),
        ("repaired", "repaired-istio/mesh.yaml"),
    ];
    for address in ADDRESSES {
        // In the lab's own network namespace, which ends with it.
        let address = format!("{address}/32");
        let added = Command::new("ip")
            .args(["address", "add", &address, "dev", "lo"])
            .status();
        assert!(added.unwrap().success(), "{address}");
    }
    for (name, file) in rules {
        deploy(&space, name, &outlier_detection(file));
    }
    for (name, _) in rules {
        poll("Envoy knows all three endpoints", || {
            let health = format!("|{name}.ejection.svc.cluster.local::");
            let clusters = istio.clusters();
            let of = |line: &&str| line.contains(&health) && line.contains("::health_flags::");
            clusters.lines().filter(of).count() == 3
        });
        poll("the host is routed", || {
            istio.get(&format!("{name}.eject"), "/").0 != 404
        });
    }

    // A third of all requests goes on failing: what asks for an ejection is refused each time.
    let failed = failures(&istio, "chapter");
    assert!(failed >= REQUESTS / 4, "{failed} of {REQUESTS}");
    assert_eq!(counter(&istio, "chapter", "ejections_enforced_total"), 0);
    assert!(counter(&istio, "chapter", "ejections_overflow") > 0);

    // Five in a row, and no more.
    let failed = failures(&istio, "repaired");
    assert!(failed <= 5, "{failed} of {REQUESTS}");
    assert_eq!(counter(&istio, "repaired", "ejections_enforced_total"), 1);
    assert_eq!(counter(&istio, "repaired", "ejections_active"), 1);
    assert_eq!(failures(&istio, "repaired"), 0);
}
