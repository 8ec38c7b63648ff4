//! Canary Ingresses: what is rendered of them, what NGINX says to it, and where requests go.

use crate::objects::{ingress, object, objects, service, settings, slice};
use crate::real::judge;
use crate::traffic::{Behaviour, Running, endpoint};
use k8s_openapi::api::networking::v1::Ingress;
use lab_nginx::observed::Observed;
use lab_nginx::render::{Objects, Rendered, render};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;

const HOST: &str = "llm.example";
const MAIN: &str = "models-llama-80";
const CANARY: &str = "models-llama-canary-80";

/// The Ingress `models/NAME`, a canary to `models/SERVICE` with these annotations.
fn canary_to(name: &str, service: &str, annotations: &[(&str, &str)]) -> Value {
    let all = [&[("canary", "true")], annotations].concat();
    let mut value = serde_json::to_value(ingress(name, HOST, &all).as_ref()).unwrap();
    value["spec"]["rules"][0]["http"]["paths"][0]["backend"]["service"]["name"] = json!(service);
    value
}

fn canary(weight: &str) -> Arc<Ingress> {
    object(canary_to(
        "canary",
        "llama-canary",
        &[("canary-weight", weight)],
    ))
}

/// `models/llama-canary` with these ready endpoints.
fn second_service(all: &mut Objects, endpoints: &[(&str, u16)]) {
    let mut second = service();
    second["metadata"]["name"] = json!("llama-canary");
    all.services.push(object(second));
    for (number, (address, port)) in endpoints.iter().enumerate() {
        let mut its = slice(&format!("canary-{number}"), *port, &[(address, Some(true))]);
        its["metadata"]["labels"]["kubernetes.io/service-name"] = json!("llama-canary");
        all.slices.push(object(its));
    }
}

/// A main Ingress and these, over `models/llama` and `models/llama-canary`.
fn with(ingresses: Vec<Arc<Ingress>>) -> Objects {
    let mut all = objects([vec![ingress("main", HOST, &[])], ingresses].concat());
    second_service(&mut all, &[("10.244.0.9", 8000)]);
    all
}

fn rendered(all: &Objects) -> Rendered {
    render(all, &settings())
}

/// What is refused, and why.
fn refusal(all: &Objects, name: &str) -> String {
    let rendered = rendered(all);
    assert!(
        !rendered.served.iter().any(|it| it.name == name),
        "{name} is served"
    );
    let refused = rendered.refused.iter().find(|it| it.ingress.name == name);
    refused.unwrap().why.to_string()
}

#[test]
fn a_share_is_a_draw_of_split_clients_on_the_request_s_own_id() {
    let text = rendered(&with(vec![canary("12")])).text;
    let wanted = "    # Ingress models/canary, canary of models.llama.80
    split_clients $request_id $canary_0 {
        12.00% \"models-llama-canary-80\";
        * \"\";
    }
    map $canary_0 $target_0 {
        default models.llama-canary.80;
        \"\" models.llama.80;
    }
";
    assert!(text.contains(wanted), "{text}");
    let location = text.split("location \"/\" {").nth(1).unwrap();
    let location = location.split("        }\n").next().unwrap();
    for line in [
        "set $proxy_upstream_name \"models-llama-80\";",
        "set $proxy_alternative_upstream_name $canary_0;",
        "proxy_pass http://$target_0;",
    ] {
        assert!(location.contains(line), "{line}: {location}");
    }
    assert!(text.contains("upstream models.llama-canary.80 {"), "{text}");
}

#[test]
fn a_share_of_nothing_or_of_everything_is_no_draw() {
    let nothing = rendered(&with(vec![canary("0")]));
    assert_eq!(nothing.served.len(), 2);
    assert!(!nothing.text.contains("split_clients"), "{}", nothing.text);
    assert!(nothing.text.contains("proxy_pass http://models.llama.80;"));
    let everything = rendered(&with(vec![canary("100")])).text;
    let wanted = "split_clients $request_id $canary_0 {
        * \"models-llama-canary-80\";
    }";
    assert!(everything.contains(wanted), "{everything}");
}

#[test]
fn a_canary_without_endpoints_is_passed_over_and_a_main_without_is_503() {
    let mut all = with(vec![canary("50")]);
    let text = |all: &Objects| rendered(all).text;
    let ready_canary = all.slices.pop().unwrap();
    assert!(!text(&all).contains("split_clients"), "{}", text(&all));
    assert!(text(&all).contains("proxy_pass http://models.llama.80;"));
    all.slices = vec![ready_canary];
    assert!(!text(&all).contains("split_clients"), "{}", text(&all));
    assert!(text(&all).contains("return 503;") && !text(&all).contains("proxy_pass"));
}

#[test]
fn a_canary_s_other_annotations_are_ignored_and_its_main_s_hold() {
    let mut all = with(vec![object(canary_to(
        "canary",
        "llama-canary",
        &[("canary-weight", "50"), ("proxy-read-timeout", "1s; {")],
    ))]);
    all.ingresses[0] = ingress("main", HOST, &[("proxy-read-timeout", "7")]);
    let rendered = rendered(&all);
    assert!(rendered.refused.is_empty(), "{:?}", rendered.refused);
    assert!(rendered.text.contains("proxy_read_timeout 7;"));
    assert!(!rendered.text.contains("1s"));
}

#[test]
fn an_older_canary_finds_its_main_and_all_are_served_by_age() {
    let mut old = canary_to("canary", "llama-canary", &[("canary-weight", "5")]);
    old["metadata"]["creationTimestamp"] = json!("2025-01-01T00:00:00Z");
    let rendered = rendered(&with(vec![object(old)]));
    let served: Vec<_> = rendered.served.iter().map(|it| it.name.as_str()).collect();
    assert_eq!(served, ["canary", "main"]);
    assert!(rendered.text.contains("split_clients"));
}

#[test]
fn a_canary_needs_a_main_of_its_host_path_and_type() {
    for (pointer, other) in [
        ("/spec/rules/0/host", json!("other.example")),
        ("/spec/rules/0/http/paths/0/path", json!("/v1")),
        ("/spec/rules/0/http/paths/0/pathType", json!("Exact")),
    ] {
        let mut value = canary_to("canary", "llama-canary", &[("canary-weight", "5")]);
        *value.pointer_mut(pointer).unwrap() = other;
        let said = refusal(&with(vec![object(value)]), "canary");
        assert!(said.contains("no Ingress serves"), "{pointer}: {said}");
    }
    let mut of_another_class = with(vec![canary("5")]);
    let mut main = serde_json::to_value(of_another_class.ingresses[0].as_ref()).unwrap();
    main["spec"]["ingressClassName"] = json!("nginx");
    of_another_class.ingresses[0] = object(main);
    let said = refusal(&of_another_class, "canary");
    assert!(said.contains("no Ingress serves"), "{said}");
}

#[test]
fn a_second_canary_and_a_main_s_own_service_are_refused() {
    let weight = [("canary-weight", "5")];
    let mut young = canary_to("younger", "llama-other", &weight);
    young["metadata"]["creationTimestamp"] = json!("2026-02-01T00:00:00Z");
    let said = refusal(&with(vec![object(young), canary("50")]), "younger");
    assert!(said.contains("has the canary models/canary"), "{said}");
    let own = object(canary_to("own", "llama", &weight));
    let said = refusal(&with(vec![own]), "own");
    assert!(said.contains("needs a Service of its own"), "{said}");
    let by_header = canary_to("header", "llama-canary", &[("canary-by-header", "x")]);
    let said = refusal(&with(vec![object(by_header)]), "header");
    assert!(said.contains("does not know the annotation"), "{said}");
}

#[test]
fn nginx_accepts_every_share_without_a_warning() {
    let Some(program) = crate::real::program() else {
        return;
    };
    for (weight, total) in [
        ("0", "100"),
        ("1", "10000"),
        ("33", "100"),
        ("9999", "10000"),
        ("100", "100"),
    ] {
        let annotations = [("canary-weight", weight), ("canary-weight-total", total)];
        let all = with(vec![object(canary_to(
            "canary",
            "llama-canary",
            &annotations,
        ))]);
        assert!(rendered(&all).refused.is_empty());
        assert_eq!(judge(&program, &all), "", "{weight} of {total}");
    }
}

/// Asks so often behind a canary of this weight; by whom NGINX says that each was served, and what
/// it wrote. None where there is no nginx.
fn served(
    weight: &str,
    [main, second]: [SocketAddr; 2],
    requests: usize,
) -> Option<(Vec<Observed>, Vec<String>)> {
    let mut all = objects(vec![ingress("main", HOST, &[]), canary(weight)]);
    let ready = Some(true);
    all.slices = vec![object(slice(
        "main",
        main.port(),
        &[(&main.ip().to_string(), ready)],
    ))];
    second_service(&mut all, &[(&second.ip().to_string(), second.port())]);
    let nginx = Running::start(&all)?;
    for _ in 0..requests {
        assert_eq!(nginx.ask("GET", HOST, "/x?y=%20z").0, 200);
    }
    let (access, observed) = nginx.logs();
    Some((observed, access))
}

fn counts(observed: &[Observed]) -> BTreeMap<&str, usize> {
    let mut counts = BTreeMap::new();
    for line in observed {
        *counts.entry(line.served_by()).or_default() += 1;
    }
    counts
}

#[test]
fn requests_are_split_and_the_log_says_who_served() {
    let [main, second] = [(); 2].map(|()| endpoint(Behaviour::Echo));
    let Some((observed, access)) = served("30", [main, second], 200) else {
        return;
    };
    // Five standard deviations of 200 draws at 30 %.
    let counts = counts(&observed);
    assert!(counts[CANARY].abs_diff(60) < 33, "{counts:?}");
    assert_eq!(counts[MAIN] + counts[CANARY], 200);
    for line in &observed {
        let by = if line.served_by() == CANARY {
            second
        } else {
            main
        };
        assert_eq!(line.upstream_addr, by.to_string());
        assert_eq!(line.upstream_name, MAIN, "the main Ingress' in either case");
    }
    let of_the_canary = format!("[{MAIN}] [{CANARY}] {second} ");
    let named = access.iter().filter(|it| it.contains(&of_the_canary));
    assert_eq!(named.count(), counts[CANARY], "{access:?}");
    // Independent draws: neither all in a row nor strictly in turn.
    let turns = observed
        .windows(2)
        .filter(|it| it[0].served_by() != it[1].served_by());
    assert!((40..160).contains(&turns.count()));
}

#[test]
fn a_weight_of_0_sends_nothing_and_of_100_everything() {
    let ends = [(); 2].map(|()| endpoint(Behaviour::Echo));
    let Some((observed, _)) = served("0", ends, 60) else {
        return;
    };
    assert_eq!(counts(&observed), BTreeMap::from([(MAIN, 60)]));
    let (observed, _) = served("100", ends, 60).unwrap();
    assert_eq!(counts(&observed), BTreeMap::from([(CANARY, 60)]));
}

#[test]
fn the_canary_s_endpoint_sees_the_request_as_the_main_s_does() {
    let mut all = objects(vec![ingress("main", HOST, &[]), canary("100")]);
    let echo = endpoint(Behaviour::Echo);
    let refused = SocketAddr::from(([127, 0, 0, 1], 9));
    all.slices = vec![object(slice(
        "main",
        refused.port(),
        &[("127.0.0.1", Some(true))],
    ))];
    second_service(&mut all, &[(&echo.ip().to_string(), echo.port())]);
    let Some(nginx) = Running::start(&all) else {
        return;
    };
    let (_, head, _) = nginx.ask("POST", HOST, "/v1/x?y=%20z");
    assert!(head.starts_with("POST /v1/x?y=%20z HTTP/1.1"), "{head}");
    assert!(
        head.contains("Host: llm.example") && head.contains("X-Real-IP: 127.0.0.1"),
        "{head}"
    );
}

#[test]
fn the_status_server_tells_to_whom_requests_can_go() {
    let Some(nginx) = Running::start(&with(vec![canary("12")])) else {
        return;
    };
    assert_eq!(nginx.splits(), format!("{MAIN} {CANARY} 12.00%"));
    let nginx = Running::start(&with(vec![canary("0")])).unwrap();
    assert_eq!(nginx.splits(), "");
}
