//! The timers that the route graph names, provoked one by one on real proxies: each cuts at the time
//! said, and with another value at that other time.

use infer_tests::exercise::node_lab;
use infer_tests::routers::{self, Router};
use infer_tests::slow::{self, Slow};
use infer_tests::space::Space;
use serde_json::{Value, json};
use std::net::SocketAddrV4;
use std::process::Command;
use std::time::{Duration, Instant};

/// How far a cut may be from the time said.
const TOLERANCE: f64 = 0.05;
/// Envoy ends an answer that has begun by closing its connection, and gives the client so long to read
/// what is on the way (envoyproxy/envoy api/envoy/extensions/filters/network/http_connection_manager/v3
/// http_connection_manager.proto, `delayed_close_timeout`, 1000 ms): bytes stop at the timer, the
/// connection a second later.
const DELAYED_CLOSE: f64 = 1.0;
/// A timer that is set to something else or to nothing has not cut by then.
const NOT_CUT: f64 = 7.0;

/// One request and what is said of it.
struct Case {
    /// The host by which the proxy tells it.
    host: &'static str,
    /// How the server makes the proxy wait.
    slow: Slow,
    /// Seconds until the proxy cuts; `None` where it does not within [`NOT_CUT`].
    cut: Option<f64>,
    /// How much later the connection ends.
    close: f64,
    /// What clients see: the status, 0 where the head never came; a stream keeps its 200.
    status: u16,
}

const fn case(host: &'static str, slow: Slow, cut: Option<f64>, status: u16) -> Case {
    Case {
        host,
        slow,
        cut,
        close: 0.0,
        status,
    }
}

/// A stream that Envoy cuts after it has begun.
const fn begun(host: &'static str, slow: Slow, cut: f64) -> Case {
    Case {
        close: DELAYED_CLOSE,
        ..case(host, slow, Some(cut), 200)
    }
}

/// What curl saw.
struct Seen {
    status: u16,
    seconds: f64,
    bytes: f64,
    exit: i32,
}

/// Whether it came as said: the connection's end, and of a stream that drips its last byte.
fn is_as_said(case: &Case, seen: &Seen) -> bool {
    let Some(cut) = case.cut else {
        return seen.seconds > NOT_CUT;
    };
    let end = cut + case.close;
    let last = seen.bytes / slow::DATA.len() as f64 * slow::BETWEEN_DRIPS.as_secs_f64();
    let stops = case.slow != Slow::Drips
        || (last - cut).abs() <= slow::BETWEEN_DRIPS.as_secs_f64() + cut * TOLERANCE;
    (seen.seconds - end).abs() <= cut * TOLERANCE && stops && seen.status == case.status
}

fn curl(proxy: SocketAddrV4, case: &Case) -> Seen {
    let Case { host, cut, .. } = case;
    let format = "%{http_code} %{time_total} %{size_download}";
    let patience = cut
        .map_or(NOT_CUT + 0.5, |cut| cut + case.close + 2.0)
        .to_string();
    let output = Command::new("curl")
        .args(["-sN", "-m", &patience, "-o", "/dev/null", "-w", format])
        .args(["--connect-to", &format!("::{proxy}")])
        .args(["-d", "{}", &format!("http://{host}/v1/chat/completions")])
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    let mut words = said.split(' ');
    Seen {
        status: words.next().unwrap().parse().unwrap(),
        seconds: words.next().unwrap().parse().unwrap(),
        bytes: words.next().unwrap().parse().unwrap(),
        exit: output.status.code().unwrap(),
    }
}

/// A Service without a selector whose only endpoint is this address, in every form that the proxies
/// read.
fn service(name: &str, at: SocketAddrV4) -> Value {
    json!({"apiVersion": "v1", "kind": "List", "items": [
        {"apiVersion": "v1", "kind": "Service", "metadata": {"name": name},
         "spec": {"ports": [{"name": "http", "port": 80, "targetPort": at.port()}]}},
        {"apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice",
         "metadata": {"name": name, "labels": {"kubernetes.io/service-name": name}},
         "addressType": "IPv4", "ports": [{"name": "http", "port": at.port()}],
         "endpoints": [{"addresses": [at.ip().to_string()],
                        "conditions": {"ready": true, "serving": true}}]},
    ]})
}

/// The name of the Service behind which a server of this kind is.
fn named(slow: Slow) -> String {
    format!("{slow:?}").to_lowercase()
}

/// Puts one server of each kind behind a Service.
fn serve_slowly(space: &Space) {
    for slow in [Slow::Unreachable, Slow::Silent, Slow::Stalls, Slow::Drips] {
        let at = slow::server(space.lab.address, slow);
        space.apply(&service(&named(slow), at).to_string());
    }
}

/// Waits until the proxy knows a host: it answers something else than "no such route".
fn wait_for(proxy: SocketAddrV4, host: &str) {
    let until = Instant::now() + Duration::from_secs(15);
    loop {
        let output = Command::new("curl")
            .args(["-s", "-m", "1", "-o", "/dev/null", "-w", "%{http_code}"])
            .args(["--connect-to", &format!("::{proxy}")])
            .arg(format!("http://{host}/"))
            .output()
            .unwrap();
        // 000: the server makes it wait, so the route is there.
        let known = ["000", "200"].contains(&String::from_utf8_lossy(&output.stdout).trim());
        if known {
            return;
        }
        assert!(Instant::now() < until, "{host} is not routed after 15 s");
        std::thread::sleep(Duration::from_millis(200));
    }
}

/// The object that routes a host: all of them are named after it.
fn subject(kind: &str, host: &str) -> String {
    format!("{kind}/{}", host.replace('.', "-"))
}

/// The seconds after which `inspect` says that the proxy ends such a request, if it says so.
fn inspected(space: &Space, kind: &str, case: &Case) -> Option<f64> {
    let output = Command::new("kubectl-infer")
        .args(["inspect", &subject(kind, case.host), "-n", &space.name])
        .args(["-o", "json", "--kubeconfig"])
        .arg(&space.lab.kubeconfig)
        .output()
        .unwrap();
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    let timers: &[&str] = match case.slow {
        Slow::Unreachable => &["connect"],
        Slow::Silent => &["first-byte", "silence", "whole-response"],
        Slow::Stalls => &["silence", "whole-response"],
        Slow::Drips => &["whole-response"],
    };
    let effective = report["ways"][0]["timers"][0]["effective"].as_array();
    let effective = effective.unwrap_or_else(|| panic!("{}: {report:#}", case.host));
    let of = |timer: &&Value| timers.iter().any(|it| timer["timer"] == *it);
    let seconds = effective
        .iter()
        .filter(of)
        .filter(|it| it["boundBy"] == "proxy");
    seconds
        .filter_map(|it| it["seconds"].as_f64())
        .reduce(f64::min)
}

/// Holds what `inspect` says to what is expected, then sends every request at the same time and
/// holds each to it, too. `kind` is that of the objects that route the hosts.
fn provoke(space: &Space, kind: &str, proxy: SocketAddrV4, cases: &[Case]) {
    for case in cases {
        wait_for(proxy, case.host);
        let said = inspected(space, kind, case);
        match case.cut {
            Some(_) => assert_eq!(said, case.cut, "inspect of {}", case.host),
            None => assert!(
                said.is_none_or(|it| it > NOT_CUT),
                "inspect of {}: {said:?}",
                case.host
            ),
        }
    }
    let (mut wrong, mut all) = (Vec::new(), Vec::new());
    std::thread::scope(|scope| {
        let sent: Vec<_> = cases
            .iter()
            .map(|case| (case, scope.spawn(|| curl(proxy, case))))
            .collect();
        for (case, seen) in sent {
            let seen = seen.join().unwrap();
            let line = format!(
                "{} ({:?}): said {:?} s and {}, seen {:.2} s, {} bytes and {} (curl {})",
                case.host,
                case.slow,
                case.cut,
                case.status,
                seen.seconds,
                seen.bytes,
                seen.status,
                seen.exit
            );
            if !is_as_said(case, &seen) {
                wrong.push(line.clone());
            }
            all.push(line);
        }
    });
    assert!(wrong.is_empty(), "wrong: {wrong:#?}\nof {all:#?}");
}

#[test]
fn nginx_cuts_when_the_annotations_say() {
    let Some(lab) = node_lab() else { return };
    let nginx = xtask::lab::exercise::nginx(&lab).unwrap();
    let space = Space::in_group(lab, "timers-nginx", None);
    serve_slowly(&space);
    let ingress = |host: &str, slow: Slow, annotations: Value| {
        let host_rule = json!({"host": host, "http": {"paths": [{"path": "/", "pathType": "Prefix",
            "backend": {"service": {"name": named(slow), "port": {"number": 80}}}}]}});
        let object = json!({"apiVersion": "networking.k8s.io/v1", "kind": "Ingress",
            "metadata": {"name": host.replace('.', "-"), "annotations": annotations},
            "spec": {"ingressClassName": "lab-nginx", "rules": [host_rule]}});
        space.apply(&object.to_string());
    };
    let read = |seconds: &str| json!({"nginx.ingress.kubernetes.io/proxy-read-timeout": seconds});
    let connect =
        |seconds: &str| json!({"nginx.ingress.kubernetes.io/proxy-connect-timeout": seconds});
    ingress("n-connect2.lab", Slow::Unreachable, connect("2"));
    ingress("n-connect4.lab", Slow::Unreachable, connect("4"));
    ingress("n-silent3.lab", Slow::Silent, read("3"));
    ingress("n-silent5.lab", Slow::Silent, read("5"));
    ingress("n-stalls3.lab", Slow::Stalls, read("3"));
    ingress("n-drips3.lab", Slow::Drips, read("3"));
    ingress("n-silent.lab", Slow::Silent, json!({}));
    provoke(
        &space,
        "ingress",
        nginx,
        &[
            case("n-connect2.lab", Slow::Unreachable, Some(2.0), 504),
            case("n-connect4.lab", Slow::Unreachable, Some(4.0), 504),
            case("n-silent3.lab", Slow::Silent, Some(3.0), 504),
            case("n-silent5.lab", Slow::Silent, Some(5.0), 504),
            case("n-stalls3.lab", Slow::Stalls, Some(3.0), 200),
            // Silence is what it measures, not the whole.
            case("n-drips3.lab", Slow::Drips, None, 200),
            // The default of 60 s.
            case("n-silent.lab", Slow::Silent, None, 0),
        ],
    );
}

#[test]
fn istios_gateway_cuts_when_the_virtual_service_says() {
    let Some(lab) = node_lab() else { return };
    let Some(istio) = routers::asked(Router::Istio) else {
        return;
    };
    let space = Space::in_group(lab, "timers-istio", None);
    serve_slowly(&space);
    space.apply(
        &json!({"apiVersion": "networking.istio.io/v1", "kind": "Gateway",
            "metadata": {"name": "slow"},
            "spec": {"selector": {"istio": "ingressgateway"}, "servers": [
                {"port": {"number": 80, "name": "http", "protocol": "HTTP"}, "hosts": ["*.slow"]}]}})
        .to_string(),
    );
    let route = |host: &str, timeout: Value, service: &str| {
        let mut http = json!({"route": [{"destination": {"host": service, "port": {"number": 80}}}],
            // A connection that fails would be tried again, and the timers add up.
            "retries": {"attempts": 0}});
        if !timeout.is_null() {
            http["timeout"] = timeout;
        }
        let object = json!({"apiVersion": "networking.istio.io/v1", "kind": "VirtualService",
            "metadata": {"name": host.replace('.', "-")},
            "spec": {"hosts": [host], "gateways": ["slow"], "http": [http]}});
        space.apply(&object.to_string());
    };
    // One DestinationRule a host: the second value needs a Service of its own.
    let at = slow::server(space.lab.address, Slow::Unreachable);
    space.apply(&service("unreachable-later", at).to_string());
    for (host, seconds) in [("unreachable", "2s"), ("unreachable-later", "4s")] {
        let object = json!({"apiVersion": "networking.istio.io/v1", "kind": "DestinationRule",
            "metadata": {"name": host}, "spec": {"host": host, "trafficPolicy": {"connectionPool":
                {"tcp": {"connectTimeout": seconds}}}}});
        space.apply(&object.to_string());
    }
    route("connect2.slow", Value::Null, "unreachable");
    route("connect4.slow", Value::Null, "unreachable-later");
    route("silent3.slow", json!("3s"), "silent");
    route("silent5.slow", json!("5s"), "silent");
    route("drips3.slow", json!("3s"), "drips");
    route("stalls5.slow", json!("5s"), "stalls");
    route("silent.slow", Value::Null, "silent");
    route("stalls.slow", Value::Null, "stalls");
    provoke(
        &space,
        "virtualservice",
        istio.http,
        &[
            case("connect2.slow", Slow::Unreachable, Some(2.0), 503),
            case("connect4.slow", Slow::Unreachable, Some(4.0), 503),
            case("silent3.slow", Slow::Silent, Some(3.0), 504),
            case("silent5.slow", Slow::Silent, Some(5.0), 504),
            // The whole answer is what it measures: tokens do not help.
            begun("drips3.slow", Slow::Drips, 3.0),
            begun("stalls5.slow", Slow::Stalls, 5.0),
            case("silent.slow", Slow::Silent, None, 0),
            case("stalls.slow", Slow::Stalls, None, 200),
        ],
    );
}

#[test]
fn contour_cuts_after_its_default_and_when_it_is_told() {
    let Some(lab) = node_lab() else { return };
    let Some(contour) = routers::asked(Router::Contour) else {
        return;
    };
    let space = Space::in_group(lab, "timers-contour", None);
    serve_slowly(&space);
    let ingress = |host: &str, slow: Slow, timeout: Option<&str>| {
        let annotations = timeout.map(|it| json!({"projectcontour.io/response-timeout": it}));
        let object = json!({"apiVersion": "networking.k8s.io/v1", "kind": "Ingress",
            "metadata": {"name": host.replace('.', "-"), "annotations": annotations},
            "spec": {"ingressClassName": "contour", "rules": [{"host": host, "http": {"paths": [
                {"path": "/", "pathType": "Prefix", "backend":
                    {"service": {"name": named(slow), "port": {"number": 80}}}}]}}]}});
        space.apply(&object.to_string());
    };
    let http_route = |host: &str, slow: Slow, timeout: Option<&str>| {
        let mut rule = json!({"backendRefs": [{"name": named(slow), "port": 80}]});
        if let Some(timeout) = timeout {
            rule["timeouts"] = json!({"request": timeout});
        }
        let object = json!({"apiVersion": "gateway.networking.k8s.io/v1", "kind": "HTTPRoute",
            "metadata": {"name": host.replace('.', "-")},
            "spec": {"parentRefs": [{"name": "contour", "namespace": "projectcontour"}],
                     "hostnames": [host], "rules": [rule]}});
        space.apply(&object.to_string());
    };
    ingress("i-connect.slow", Slow::Unreachable, None);
    ingress("i-silent3.slow", Slow::Silent, Some("3s"));
    ingress("i-silent5.slow", Slow::Silent, Some("5s"));
    ingress("i-drips3.slow", Slow::Drips, Some("3s"));
    ingress("i-silent.slow", Slow::Silent, None);
    ingress("i-endless.slow", Slow::Silent, Some("infinity"));
    // `0s` is no way to switch it off here.
    ingress("i-zero.slow", Slow::Drips, Some("0s"));
    http_route("h-silent3.slow", Slow::Silent, Some("3s"));
    http_route("h-drips5.slow", Slow::Drips, Some("5s"));
    http_route("h-drips.slow", Slow::Drips, None);
    http_route("h-zero.slow", Slow::Silent, Some("0s"));
    provoke(
        &space,
        "ingress",
        contour.http,
        &[
            case("i-connect.slow", Slow::Unreachable, Some(2.0), 503),
            case("i-silent3.slow", Slow::Silent, Some(3.0), 504),
            case("i-silent5.slow", Slow::Silent, Some(5.0), 504),
            begun("i-drips3.slow", Slow::Drips, 3.0),
            case("i-silent.slow", Slow::Silent, Some(15.0), 504),
            case("i-endless.slow", Slow::Silent, None, 0),
            begun("i-zero.slow", Slow::Drips, 15.0),
        ],
    );
    provoke(
        &space,
        "httproute",
        contour.http,
        &[
            case("h-silent3.slow", Slow::Silent, Some(3.0), 504),
            begun("h-drips5.slow", Slow::Drips, 5.0),
            begun("h-drips.slow", Slow::Drips, 15.0),
            case("h-zero.slow", Slow::Silent, None, 0),
        ],
    );
}
