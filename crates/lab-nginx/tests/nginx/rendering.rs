//! What the text holds, without NGINX.

use crate::objects::{ingress, ingress_at, object, objects, service, settings, slice};
use lab_nginx::refusal::Refusal;
use lab_nginx::render::{Objects, Rendered, Settings, render};
use serde_json::json;
use std::path::Path;

fn rendered(objects: &Objects) -> Rendered {
    render(objects, &settings())
}

/// The lines of the block that begins with `head`, trimmed.
fn block<'t>(text: &'t str, head: &str) -> Vec<&'t str> {
    let mut lines = text.lines().map(str::trim);
    lines
        .find(|line| *line == format!("{head} {{"))
        .unwrap_or_else(|| panic!("{head}:\n{text}"));
    lines.take_while(|line| *line != "}").collect()
}

#[test]
fn the_golden_configuration() {
    let mut all = objects(vec![
        ingress(
            "chat",
            "llm.example",
            &[
                ("proxy-read-timeout", "3600"),
                ("proxy-body-size", "64m"),
                ("proxy-next-upstream", "error timeout http_503"),
            ],
        ),
        ingress_at("admin", "llm.example", "/admin", &[]),
        ingress("any", "*.wild.example", &[]),
        ingress("refused", "other.example", &[("canary", "true")]),
    ]);
    all.slices.push(object(slice(
        "llama-2",
        8000,
        &[("10.244.1.9", Some(false))],
    )));
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/nginx/golden/nginx.conf");
    let text = rendered(&all).text;
    if std::env::var_os("INFER_GENERATE").is_some() {
        std::fs::write(&path, &text).unwrap();
    }
    let golden = std::fs::read_to_string(&path).unwrap();
    assert_eq!(
        text,
        golden,
        "INFER_GENERATE=1 writes {} anew",
        path.display()
    );
}

#[test]
fn the_same_objects_in_another_order_are_the_same_text() {
    let one = objects(vec![
        ingress("a", "a.example", &[]),
        ingress("b", "b.example", &[]),
    ]);
    let mut other = one.clone();
    other.ingresses.reverse();
    let ready = Some(true);
    let turned = slice(
        "llama-1",
        8000,
        &[("10.244.0.7", ready), ("10.244.0.5", ready)],
    );
    other.slices = vec![object(turned)];
    assert_eq!(rendered(&one), rendered(&other));
}

#[test]
fn the_digest_follows_the_text() {
    let one = objects(vec![ingress("a", "a.example", &[])]);
    let mut other = one.clone();
    other.slices.clear();
    assert_ne!(rendered(&one).digest, rendered(&other).digest);
    let text = rendered(&one).text;
    assert!(
        text.contains(&format!("return 200 {};", rendered(&one).digest)),
        "{text}"
    );
}

#[test]
fn only_ready_endpoints_are_served_and_unknown_counts_as_ready() {
    let mut all = objects(vec![ingress("a", "a.example", &[])]);
    let endpoints = [
        ("10.244.0.1", Some(true)),
        ("10.244.0.2", Some(false)),
        ("10.244.0.3", None),
    ];
    all.slices = vec![object(slice("llama-1", 8000, &endpoints))];
    let text = rendered(&all).text;
    let servers = block(&text, "upstream models.llama.80");
    assert_eq!(
        servers[..3],
        [
            "server 10.244.0.1:8000 max_fails=0;",
            "server 10.244.0.3:8000 max_fails=0;",
            "keepalive 320;"
        ]
    );
}

#[test]
fn slices_of_another_service_or_namespace_are_not_ours() {
    let mut all = objects(vec![ingress("a", "a.example", &[])]);
    let mut other_service = slice("x", 8000, &[("10.244.9.1", Some(true))]);
    other_service["metadata"]["labels"]["kubernetes.io/service-name"] = json!("llama-metrics");
    let mut other_namespace = slice("y", 8000, &[("10.244.9.2", Some(true))]);
    other_namespace["metadata"]["namespace"] = json!("elsewhere");
    let mut other_port = slice("z", 8000, &[("10.244.9.3", Some(true))]);
    other_port["ports"][0]["protocol"] = json!("UDP");
    all.slices.extend([
        object(other_service),
        object(other_namespace),
        object(other_port),
    ]);
    let text = rendered(&all).text;
    assert!(
        text.contains("10.244.0.5:8000") && !text.contains("10.244.9."),
        "{text}"
    );
}

#[test]
fn a_service_without_ready_endpoints_or_without_being_there_is_503() {
    let mut all = objects(vec![ingress("a", "a.example", &[])]);
    all.slices = vec![object(slice(
        "llama-1",
        8000,
        &[("10.244.0.1", Some(false))],
    ))];
    for case in [
        all.clone(),
        Objects {
            services: Vec::new(),
            ..all
        },
    ] {
        let text = rendered(&case).text;
        let location = block(&text, "location \"/\"");
        assert!(location.contains(&"return 503;"), "{location:?}");
        assert!(location.contains(&"set $proxy_upstream_name \"models-llama-80\";"));
        assert!(!text.contains("proxy_pass"), "{text}");
    }
}

#[test]
fn a_port_is_found_by_number_or_name_and_a_wrong_one_is_503() {
    let with_port = |port: serde_json::Value| {
        let mut all = objects(Vec::new());
        let mut value = serde_json::to_value(ingress("a", "a.example", &[]).as_ref()).unwrap();
        value["spec"]["rules"][0]["http"]["paths"][0]["backend"]["service"]["port"] = port;
        all.ingresses.push(object(value));
        rendered(&all).text
    };
    let named = with_port(json!({"name": "http"}));
    assert!(
        named.contains("proxy_pass http://models.llama.http;"),
        "{named}"
    );
    assert!(named.contains("\"models-llama-http\""), "{named}");
    assert!(
        with_port(json!({"number": 8000})).contains("return 503;"),
        "the Service's, not the pod's"
    );
}

#[test]
fn a_prefix_serves_itself_and_what_lies_below_but_not_its_letters() {
    let text = rendered(&objects(vec![ingress_at("a", "a.example", "/v1", &[])])).text;
    block(&text, "location \"/v1/\"");
    block(&text, "location = \"/v1\"");
    assert_eq!(block(&text, "location /"), ["return 404;"]);
}

#[test]
fn an_exact_path_wins_over_the_same_prefix() {
    let mut value =
        serde_json::to_value(ingress_at("b", "a.example", "/v1", &[]).as_ref()).unwrap();
    value["spec"]["rules"][0]["http"]["paths"][0]["pathType"] = json!("Exact");
    let prefix = ingress_at("a", "a.example", "/v1", &[]);
    let text = rendered(&objects(vec![prefix, object(value)])).text;
    assert_eq!(text.matches("location = \"/v1\"").count(), 1, "{text}");
    assert!(
        block(&text, "location = \"/v1\"").contains(&"# Ingress models/b"),
        "{text}"
    );
    assert!(
        block(&text, "location \"/v1/\"").contains(&"# Ingress models/a"),
        "{text}"
    );
}

#[test]
fn a_path_belongs_to_the_older_ingress() {
    let mut young = serde_json::to_value(ingress("a-young", "a.example", &[]).as_ref()).unwrap();
    young["metadata"]["creationTimestamp"] = json!("2026-02-01T00:00:00Z");
    let rendered = rendered(&objects(vec![
        object(young),
        ingress("old", "a.example", &[]),
    ]));
    assert_eq!(rendered.served[0].to_string(), "models/old");
    assert_eq!(rendered.refused[0].ingress.to_string(), "models/a-young");
    let why = rendered.refused[0].why.to_string();
    assert!(why.contains("belongs to models/old"), "{why}");
}

#[test]
fn another_class_is_nobody_s_business_here() {
    let mut value =
        serde_json::to_value(ingress("a", "a.example", &[("canary", "true")]).as_ref()).unwrap();
    value["spec"]["ingressClassName"] = json!("nginx");
    let rendered = rendered(&objects(vec![object(value)]));
    assert!(rendered.served.is_empty() && rendered.refused.is_empty());
}

#[test]
fn what_is_not_served_stops_its_ingress_and_no_other() {
    let edit = |pointer: &str, new: serde_json::Value| {
        let mut value = serde_json::to_value(ingress("odd", "odd.example", &[]).as_ref()).unwrap();
        *value.pointer_mut(pointer).unwrap() = new;
        let all = objects(vec![object(value), ingress("fine", "fine.example", &[])]);
        let rendered = rendered(&all);
        assert_eq!(rendered.served.len(), 1, "{pointer}");
        assert_eq!(rendered.served[0].name, "fine");
        assert!(!rendered.text.contains("odd"), "{}", rendered.text);
        rendered.refused[0].why.clone()
    };
    let annotation = json!({"nginx.ingress.kubernetes.io/server-snippet": "return 200;"});
    assert!(matches!(
        edit("/metadata/annotations", annotation),
        Refusal::UnknownAnnotation(_)
    ));
    let annotation = json!({"nginx.ingress.kubernetes.io/proxy-read-timeout": "1s; odd 2s"});
    assert!(matches!(
        edit("/metadata/annotations", annotation),
        Refusal::BreaksOut { .. }
    ));
    let path = "/spec/rules/0/http/paths/0/path";
    assert!(matches!(
        edit(path, json!("/odd\" {")),
        Refusal::BreaksOut { .. }
    ));
    assert!(matches!(edit(path, json!("odd")), Refusal::Path(_)));
    assert!(matches!(
        edit("/spec/rules/0/host", json!("odd.example;")),
        Refusal::Host(_)
    ));
    let rules = json!({"ingressClassName": "lab-nginx", "tls": [{"hosts": ["odd.example"]}]});
    assert_eq!(edit("/spec", rules), Refusal::NotServed("spec.tls"));
    let backend = json!({"service": {"name": "odd", "port": {"number": 80}}});
    let default = json!({"ingressClassName": "lab-nginx", "defaultBackend": backend});
    assert_eq!(
        edit("/spec", default),
        Refusal::NotServed("spec.defaultBackend")
    );
}

#[test]
fn an_external_name_is_refused_and_not_looked_up() {
    let mut all = objects(vec![ingress("a", "a.example", &[])]);
    let mut external = service();
    external["spec"] = json!({"type": "ExternalName", "externalName": "example.com"});
    all.services = vec![object(external)];
    assert!(matches!(
        rendered(&all).refused[0].why,
        Refusal::NotServed(_)
    ));
}

#[test]
fn an_ingress_without_a_host_serves_every_host() {
    let mut value = serde_json::to_value(ingress("a", "", &[]).as_ref()).unwrap();
    value["spec"]["rules"][0]
        .as_object_mut()
        .unwrap()
        .remove("host");
    let text = rendered(&objects(vec![object(value)])).text;
    assert_eq!(text.matches("default_server").count(), 1);
    assert!(
        !text.contains("return 404;\n        }\n    }\n    upstream"),
        "{text}"
    );
    let server = text.split("server_name _;").nth(1).unwrap();
    assert!(
        server.contains("proxy_pass http://models.llama.80;"),
        "{server}"
    );
}

#[test]
fn without_an_observer_there_is_one_access_log() {
    let settings = Settings {
        observer_log: None,
        ..settings()
    };
    let text = render(&objects(Vec::new()), &settings).text;
    assert_eq!(
        text.matches("access_log ").count(),
        2,
        "stdout, and off at the status port"
    );
}
