//! What is said of timers and retries for each controller, and what admission fills in: the ways that
//! the rules' pages do not show.

use infer_core::Engine;
use infer_core::admission::{Operation, Request, mutate};
use infer_core::check::{check, snapshot_of};
use infer_core::rule::Finding;
use serde_json::{Value, json};
use std::sync::Arc;

fn behind(mut entry: Vec<Value>) -> Vec<Arc<Value>> {
    entry.push(json!({"apiVersion": "v1", "kind": "Service",
        "metadata": {"name": "llama", "namespace": "default"},
        "spec": {"selector": {"app": "llama"}, "ports": [{"name": "http", "port": 80}]}}));
    entry.push(json!({"apiVersion": "v1", "kind": "Service",
        "metadata": {"name": "web", "namespace": "default"},
        "spec": {"selector": {"app": "web"}, "ports": [{"name": "http", "port": 80}]}}));
    for (name, image) in [
        ("llama", "ghcr.io/ggml-org/llama.cpp:server"),
        ("web", "nginx"),
    ] {
        entry.push(json!({"apiVersion": "v1", "kind": "Pod",
            "metadata": {"name": name, "namespace": "default", "labels": {"app": name}},
            "spec": {"containers": [{"name": "server", "image": image}]}}));
    }
    entry.into_iter().map(Arc::new).collect()
}

/// What a rule finds: each path with its message.
fn found(objects: &[Arc<Value>], rule: &str) -> Vec<(String, String)> {
    let all = findings(objects, rule).into_iter();
    all.map(|it| (it.path, it.message)).collect()
}

fn findings(objects: &[Arc<Value>], rule: &str) -> Vec<Finding> {
    let all = check(&Engine::builtin(), objects).findings.into_iter();
    all.map(|found| found.finding)
        .filter(|finding| finding.rule.id == rule)
        .collect()
}

fn class(name: &str, controller: &str) -> Value {
    json!({"apiVersion": "networking.k8s.io/v1", "kind": "IngressClass",
        "metadata": {"name": name}, "spec": {"controller": controller}})
}

fn ingress(class: &str, annotations: &Value) -> Value {
    json!({"apiVersion": "networking.k8s.io/v1", "kind": "Ingress",
        "metadata": {"name": "llama", "namespace": "default", "annotations": annotations},
        "spec": {"ingressClassName": class,
            "defaultBackend": {"service": {"name": "llama", "port": {"number": 80}}}}})
}

/// The annotations after admission, which a second admission leaves as they are.
fn admitted(objects: &[Arc<Value>]) -> Value {
    let snapshot = snapshot_of(objects);
    let once = |object: &Value| {
        let request = Request {
            operation: Operation::Create,
            namespace: "default",
            object,
            old: None,
        };
        let mut stored = object.clone();
        if let Some(patch) = mutate(&Engine::builtin(), &snapshot, &request).patch {
            json_patch::patch(&mut stored, &patch).expect("our patch applies");
        }
        stored
    };
    let mut all = objects.iter();
    let ingress = all.find(|it| it["kind"] == "Ingress").expect("an Ingress");
    let first = once(ingress);
    assert_eq!(once(&first), first, "P(P(x)) = P(x)");
    let mut annotations = first["metadata"]["annotations"].clone();
    if let Some(map) = annotations.as_object_mut() {
        map.retain(|key, _| !key.starts_with("kubectl-infer.dev/"));
    }
    annotations
}

const RESPONSE: &str = "projectcontour.io/response-timeout";
const REQUEST: &str = "projectcontour.io/request-timeout";
const CONTOUR: &str = "projectcontour.io/ingress-controller";

#[test]
fn contour_s_total_is_found_and_filled_in() {
    let objects = behind(vec![
        class("contour", CONTOUR),
        ingress("contour", &json!({})),
    ]);
    assert_eq!(
        found(&objects, "timeout-too-short"),
        [(
            "/metadata/annotations".to_owned(),
            "every answer is cut after 15 s (the default), the longest generation may take 600 s"
                .to_owned()
        )]
    );
    let notes = &findings(&objects, "timeout-too-short")[0].notes;
    assert!(
        notes
            .iter()
            .any(|note| note.contains("a stream is cut as well")),
        "{notes:?}"
    );
    assert_eq!(admitted(&objects), json!({RESPONSE: "600s"}));
}

#[test]
fn what_a_person_wrote_for_contour_stays() {
    let with = |annotations: Value| {
        behind(vec![
            class("contour", CONTOUR),
            ingress("contour", &annotations),
        ])
    };
    // The older name counts where the other is not there: filling that in would take its place.
    for (own, cut) in [
        (json!({RESPONSE: "infinity"}), None),
        (json!({RESPONSE: "10m"}), None),
        (json!({REQUEST: "20m"}), None),
        (json!({RESPONSE: "0s"}), Some("15 s")),
        (json!({RESPONSE: "90s"}), Some("90 s")),
        (json!({REQUEST: "1m"}), Some("60 s")),
    ] {
        let objects = with(own.clone());
        let seen = found(&objects, "timeout-too-short");
        match cut {
            None => assert_eq!(seen, [], "{own}"),
            Some(cut) => assert!(seen[0].1.contains(cut), "{own}: {seen:?}"),
        }
        assert_eq!(admitted(&objects), own);
    }
    let unreadable = with(json!({RESPONSE: "600"}));
    assert_eq!(found(&unreadable, "timeout-too-short"), []);
    assert_eq!(found(&unreadable, "timeout-wrong-unit").len(), 1);
    assert_eq!(
        found(&with(json!({RESPONSE: "infinity"})), "timeout-wrong-unit"),
        []
    );
}

#[test]
fn contour_reads_no_ingress_class_so_its_name_counts() {
    let by_name = |class_name: &str, annotations: Value| {
        behind(vec![
            class(class_name, "example.com/anything"),
            ingress(class_name, &annotations),
        ])
    };
    // The name alone is enough to say it, and not to change anything.
    let named = by_name("contour", json!({}));
    assert_eq!(found(&named, "timeout-too-short").len(), 1);
    assert_eq!(admitted(&named), json!({}));
    let own = json!({"projectcontour.io/num-retries": "-1"});
    let prefixed = admitted(&by_name("contour", own));
    assert_eq!(prefixed[RESPONSE], "600s");
    let other = by_name("other", json!({}));
    assert_eq!(found(&other, "timeout-too-short"), []);
    // Where no IngressClass is in sight, the name decides nothing either.
    let bare = behind(vec![ingress("contour", &json!({}))]);
    assert_eq!(admitted(&bare), json!({}));
}

#[test]
fn traefik_and_istio_set_no_limit_that_an_ingress_could_lift() {
    for (name, controller) in [
        ("traefik", "traefik.io/ingress-controller"),
        ("istio", "istio.io/ingress-controller"),
    ] {
        let objects = behind(vec![class(name, controller), ingress(name, &json!({}))]);
        assert_eq!(found(&objects, "timeout-too-short"), [], "{name}");
        assert_eq!(admitted(&objects), json!({}), "{name}");
    }
}

/// An HTTPRoute of two rules behind a Gateway of this controller: the second leads to a web server.
fn http(controller: &str, rule: Value) -> Vec<Arc<Value>> {
    let mut first = rule;
    first["backendRefs"] = json!([{"name": "llama", "port": 80}]);
    let second = json!({"backendRefs": [{"name": "web", "port": 80}],
        "timeouts": {"request": "5s"}, "retry": {"codes": [500]}});
    let group = "gateway.networking.k8s.io/v1";
    behind(vec![
        json!({"apiVersion": group, "kind": "GatewayClass", "metadata": {"name": "entry"},
            "spec": {"controllerName": controller}}),
        json!({"apiVersion": group, "kind": "Gateway",
            "metadata": {"name": "entry", "namespace": "default"},
            "spec": {"gatewayClassName": "entry"}}),
        json!({"apiVersion": group, "kind": "HTTPRoute",
            "metadata": {"name": "llama", "namespace": "default"},
            "spec": {"parentRefs": [{"name": "entry"}], "rules": [first, second]}}),
    ])
}

const ENVOY_GATEWAY: &str = "gateway.envoyproxy.io/gatewayclass-controller";
const GATEWAY_CONTOUR: &str = "projectcontour.io/gateway-controller";
const GKE: &str = "networking.gke.io/gateway";
const FABRIC: &str = "gateway.nginx.org/nginx-gateway-controller";
const TRAEFIK: &str = "traefik.io/gateway-controller";
const ISTIO: &str = "istio.io/gateway-controller";

#[test]
fn an_http_route_is_held_to_the_first_timer_of_its_controller() {
    let rule = |text: &str| ("/spec/rules/0".to_owned(), text.to_owned());
    let longest = "the longest generation may take 600 s";
    let cut = |seconds| {
        vec![rule(&format!(
            "every answer is cut after {seconds} s (the default), {longest}"
        ))]
    };
    let silent = vec![rule(&format!(
        "60 s of silence end a request (the default), {longest}"
    ))];
    for (controller, wanted) in [
        (ENVOY_GATEWAY, cut(15)),
        (GATEWAY_CONTOUR, cut(15)),
        (GKE, cut(30)),
        (FABRIC, silent),
        (TRAEFIK, vec![]),
        (ISTIO, vec![]),
        ("example.com/unknown", vec![]),
    ] {
        let seen = found(&http(controller, json!({})), "timeout-too-short");
        assert_eq!(seen, wanted, "{controller}");
    }
}

#[test]
fn what_an_http_route_sets_counts_where_it_is_honoured() {
    let set = |controller, timeouts: Value| {
        found(
            &http(controller, json!({"timeouts": timeouts})),
            "timeout-too-short",
        )
    };
    for controller in [ENVOY_GATEWAY, GATEWAY_CONTOUR, ISTIO] {
        assert_eq!(
            set(controller, json!({"request": "10m"})),
            [],
            "{controller}"
        );
        assert_eq!(
            set(controller, json!({"request": "0s"})),
            [],
            "{controller}"
        );
        let short = set(
            controller,
            json!({"request": "10m", "backendRequest": "1m"}),
        );
        assert_eq!(short.len(), 1, "{controller}");
        assert_eq!(short[0].0, "/spec/rules/0/timeouts/backendRequest");
        let short = set(controller, json!({"request": "30s"}));
        assert_eq!(short[0].0, "/spec/rules/0/timeouts/request", "{controller}");
    }
    for controller in [GKE, FABRIC] {
        let short = set(controller, json!({"request": "10m"}));
        assert_eq!(short[0].0, "/spec/rules/0", "{controller}");
    }
}

#[test]
fn what_a_controller_ignores_is_said_with_what_counts() {
    let rule = json!({"timeouts": {"request": "10m"}, "retry": {"codes": [503]}});
    let both = ["/spec/rules/0/timeouts", "/spec/rules/0/retry"];
    for (controller, wanted) in [
        (TRAEFIK, both.as_slice()),
        (FABRIC, &both),
        (GKE, &both),
        (GATEWAY_CONTOUR, &both[1..]),
        (ENVOY_GATEWAY, &[]),
        (ISTIO, &[]),
        ("example.com/unknown", &[]),
    ] {
        let objects = http(controller, rule.clone());
        let seen = found(&objects, "timeout-not-honoured");
        let paths: Vec<&str> = seen.iter().map(|(path, _)| path.as_str()).collect();
        assert_eq!(paths, wanted, "{controller}");
        let bare = found(&http(controller, json!({})), "timeout-not-honoured");
        assert_eq!(bare, [], "{controller}");
    }
    let notes = findings(&http(FABRIC, rule), "timeout-not-honoured")
        .remove(0)
        .notes;
    assert!(notes[0].contains("`UnsupportedField`"), "{notes:?}");
    assert!(
        notes
            .iter()
            .any(|note| note.contains("ProxySettingsPolicy's `spec.timeout.read`, 60 s")),
        "{notes:?}"
    );
}

#[test]
fn an_http_route_that_repeats_by_code_replays_where_that_is_honoured() {
    let retry = |controller, retry: Value| {
        found(
            &http(controller, json!({"retry": retry})),
            "retry-replays-post",
        )
    };
    let codes = json!({"attempts": 2, "codes": [500, 503]});
    for controller in [ENVOY_GATEWAY, ISTIO] {
        let seen = retry(controller, codes.clone());
        assert_eq!(seen.len(), 1, "{controller}");
        assert_eq!(seen[0].0, "/spec/rules/0/retry/codes");
        assert!(seen[0].1.starts_with("`500`, `503` makes"), "{seen:?}");
        assert_eq!(retry(controller, json!({"attempts": 2})), []);
        assert_eq!(
            retry(controller, json!({"attempts": 0, "codes": [500]})),
            []
        );
    }
    for controller in [GATEWAY_CONTOUR, TRAEFIK, FABRIC, GKE] {
        assert_eq!(retry(controller, codes.clone()), [], "{controller}");
    }
}

#[test]
fn retries_of_an_ingress_replay_by_the_words_of_its_controller() {
    let key = "projectcontour.io/retry-on";
    let contour = |annotations: Value| {
        let objects = behind(vec![
            class("contour", CONTOUR),
            ingress("contour", &annotations),
        ]);
        found(&objects, "retry-replays-post")
    };
    assert_eq!(contour(json!({key: "5xx,connect-failure"})).len(), 1);
    assert_eq!(contour(json!({key: "connect-failure,refused-stream"})), []);
    assert_eq!(contour(json!({key: "reset-before-request"})), []);
    let off = json!({key: "5xx", "projectcontour.io/num-retries": "-1"});
    assert_eq!(contour(off), []);
    for (class_name, controller, key) in [
        (
            "community",
            "k8s.io/ingress-nginx",
            "nginx.ingress.kubernetes.io/proxy-next-upstream",
        ),
        (
            "f5",
            "nginx.org/ingress-controller",
            "nginx.org/proxy-next-upstream",
        ),
    ] {
        let nginx = |value: &str| {
            let objects = behind(vec![
                class(class_name, controller),
                ingress(class_name, &json!({key: value})),
            ]);
            findings(&objects, "retry-replays-post")
        };
        let seen = nginx("error timeout non_idempotent");
        assert_eq!(seen.len(), 1, "{class_name}");
        assert_eq!(seen[0].help, [format!("set `{key}: \"error timeout\"`")]);
        assert!(nginx("error timeout http_502").is_empty(), "{class_name}");
    }
}

fn virtual_service(first: Value) -> Vec<Arc<Value>> {
    let mut first = first;
    first["route"] = json!([{"destination": {"host": "llama"}}]);
    let second = json!({"route": [{"destination": {"host": "web"}}], "timeout": "5s",
        "retries": {"attempts": 3, "retryOn": "5xx"}});
    behind(vec![
        json!({"apiVersion": "networking.istio.io/v1", "kind": "VirtualService",
        "metadata": {"name": "llama", "namespace": "default"},
        "spec": {"hosts": ["llama"], "http": [first, second]}}),
    ])
}

#[test]
fn a_virtual_service_s_timeout_is_for_the_whole_answer() {
    let seen = |route| found(&virtual_service(route), "timeout-too-short");
    let short = seen(json!({"timeout": "30s"}));
    assert_eq!(
        short,
        [(
            "/spec/http/0/timeout".to_owned(),
            "every answer is cut after 30 s, the longest generation may take 600 s".to_owned()
        )]
    );
    for fine in [
        json!({}),
        json!({"timeout": "0s"}),
        json!({"timeout": "600s"}),
    ] {
        assert_eq!(seen(fine.clone()), [], "{fine}");
    }
}

#[test]
fn a_virtual_service_s_retries_replay_by_condition() {
    let seen = |retries: Value| {
        found(
            &virtual_service(json!({"retries": retries})),
            "retry-replays-post",
        )
    };
    let on = |list: &str| seen(json!({"attempts": 2, "retryOn": list}));
    for list in [
        "5xx",
        "reset",
        "gateway-error",
        "connect-failure, 503",
        "retriable-4xx",
    ] {
        let seen = on(list);
        assert_eq!(seen.len(), 1, "{list}");
        assert_eq!(seen[0].0, "/spec/http/0/retries/retryOn");
    }
    for list in [
        "connect-failure,refused-stream",
        "connect-failure,refused-stream,unavailable,cancelled,retriable-status-codes",
        "reset-before-request",
        "",
    ] {
        assert_eq!(on(list), [], "{list}");
    }
    assert_eq!(seen(json!({"attempts": 0, "retryOn": "5xx"})), []);
    assert_eq!(seen(json!({"retryOn": "5xx"})), []);
    assert_eq!(seen(json!({"attempts": 2})), []);
}

#[test]
fn an_http_route_without_a_controller_in_sight_is_named_as_skipped() {
    let all = http(ENVOY_GATEWAY, json!({}));
    let reason = |objects: &[Arc<Value>]| {
        let skipped = check(&Engine::builtin(), objects).skipped;
        let mut of_route = skipped
            .into_iter()
            .filter(|it| objects[it.object]["kind"] == "HTTPRoute");
        of_route.next().map(|it| (it.rules, it.reason))
    };
    let rules = vec![
        "retry-replays-post",
        "timeout-not-honoured",
        "timeout-too-short",
    ];
    let because = |reason: &str| Some((rules.clone(), reason.to_owned()));
    assert_eq!(reason(&all), None);
    assert_eq!(
        reason(&http("example.com/unknown", json!({}))),
        because("the controller of GatewayClass `entry` is not in the catalogue")
    );
    assert_eq!(
        reason(&all[1..]),
        because("needs the GatewayClass `entry`, not given: it names the controller")
    );
    assert_eq!(
        reason(&all[2..]),
        because("needs the Gateway `entry`, not given: its class names the controller")
    );
}
