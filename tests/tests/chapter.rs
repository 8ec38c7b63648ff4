//! The chapter on load balancing for inference: what is said about it as it was written, and what
//! admission does to it once it is repaired.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use infer_core::Engine;
use infer_core::check::{Checked, check, diff};
use infer_core::object::{self, ObjectRef};
use infer_core::policy;
use infer_tests::{objects, root};
use serde_json::{Value, json};
use std::sync::Arc;

/// The objects of a folder of `manifests/examples/chapter`, its files in the order of their names.
fn folder(name: &str) -> Vec<Arc<Value>> {
    let folder = root().join("manifests/examples/chapter").join(name);
    let entries = std::fs::read_dir(&folder).unwrap();
    let mut files: Vec<_> = entries.map(|entry| entry.unwrap().path()).collect();
    files.sort();
    let read = |file| objects(&std::fs::read_to_string(file).unwrap());
    files.into_iter().flat_map(read).collect()
}

/// What `-n inference` does: objects without a namespace are in this one.
fn in_namespace(objects: &[Arc<Value>]) -> Vec<Arc<Value>> {
    let fill = |object: &Arc<Value>| {
        let mut object = object.as_ref().clone();
        let is_cluster_wide = matches!(
            object["kind"].as_str(),
            Some("Namespace" | "IngressClass" | "Node")
        );
        if !is_cluster_wide && object::namespace(&object).is_empty() {
            object["metadata"]["namespace"] = json!("inference");
        }
        Arc::new(object)
    };
    objects.iter().map(fill).collect()
}

fn checked(objects: &[Arc<Value>]) -> Checked {
    check(&Engine::builtin(), objects)
}

/// Rule, level, object, path: everything that is said, in its order.
fn said(objects: &[Arc<Value>]) -> Vec<(String, String, String, String)> {
    let found = checked(objects).findings.into_iter();
    found
        .map(|found| {
            let rule = found.finding.rule;
            (
                rule.id.to_owned(),
                rule.level.as_str().to_owned(),
                ObjectRef::of(&objects[found.object]).to_string(),
                found.finding.path,
            )
        })
        .collect()
}

const INGRESS: &str = "Ingress/inference-ingress";
const SERVICE: &str = "Service/inference-service";
const DEPLOYMENT: &str = "Deployment/llama-inference";
const VIRTUAL_SERVICE: &str = "VirtualService/inference-vs";
const DESTINATION_RULE: &str = "DestinationRule/inference-dr";
const CONTAINER: &str = "/spec/template/spec/containers/0";

/// Rule, level, object, path. Nothing is said against the read timeout, the probe's path or the GPU
/// limit: they are right.
fn expected() -> Vec<(&'static str, &'static str, &'static str, String)> {
    let body = "/metadata/annotations/nginx.ingress.kubernetes.io~1proxy-body-size";
    let at = |member: &str| format!("{CONTAINER}{member}");
    vec![
        ("body-limit-huge", "warning", INGRESS, body.into()),
        ("ingress-no-class", "warning", INGRESS, "/spec".into()),
        (
            "send-timeout-default",
            "note",
            INGRESS,
            "/metadata/annotations".into(),
        ),
        (
            "service-selects-nothing",
            "error",
            SERVICE,
            "/spec/selector/app".into(),
        ),
        (
            "probe-timeout-short",
            "note",
            DEPLOYMENT,
            at("/readinessProbe/timeoutSeconds"),
        ),
        ("no-delay-before-sigterm", "warning", DEPLOYMENT, at("")),
        ("invalid-image-name", "error", DEPLOYMENT, at("/image")),
        (
            "labels-missing",
            "error",
            DEPLOYMENT,
            "/spec/template".into(),
        ),
        ("model-missing", "note", DEPLOYMENT, at("")),
        ("selector-missing", "error", DEPLOYMENT, "/spec".into()),
        (
            "host-undefined",
            "error",
            VIRTUAL_SERVICE,
            destination(0, "host"),
        ),
        (
            "host-undefined",
            "error",
            VIRTUAL_SERVICE,
            destination(1, "host"),
        ),
        (
            "route-not-on-path",
            "warning",
            VIRTUAL_SERVICE,
            "/spec".into(),
        ),
        (
            "subset-undefined",
            "error",
            VIRTUAL_SERVICE,
            destination(0, "subset"),
        ),
        (
            "subset-undefined",
            "error",
            VIRTUAL_SERVICE,
            destination(1, "subset"),
        ),
        (
            "dr-host-unknown",
            "warning",
            DESTINATION_RULE,
            "/spec/host".into(),
        ),
        (
            "h2-to-http1-server",
            "error",
            DESTINATION_RULE,
            "/spec/trafficPolicy/connectionPool/http/h2UpgradePolicy".into(),
        ),
        (
            "outlier-never-ejects",
            "warning",
            DESTINATION_RULE,
            "/spec/trafficPolicy/outlierDetection".into(),
        ),
    ]
}

fn destination(index: usize, member: &str) -> String {
    format!("/spec/http/0/route/{index}/destination/{member}")
}

#[test]
fn the_chapter_as_written_gives_these_findings_and_no_other() {
    let seen = said(&folder("as-written"));
    let wanted: Vec<(String, String, String, String)> = expected()
        .into_iter()
        .map(|(rule, level, object, path)| (rule.into(), level.into(), object.into(), path))
        .collect();
    assert_eq!(seen, wanted);
}

/// One test for each finding of the chapter: mended alone, it is silent, and the others still speak.
macro_rules! mended {
    ($($name:ident: $rule:literal, $kind:literal, $mend:expr;)*) => {$(
        #[test]
        fn $name() {
            let mend: fn(&mut Value) = $mend;
            let before = folder("as-written");
            let after: Vec<Arc<Value>> = before.iter().map(|object| {
                let mut object = object.as_ref().clone();
                if object["kind"] == $kind {
                    mend(&mut object);
                }
                Arc::new(object)
            }).collect();
            let rules = |objects: &[Arc<Value>]| -> Vec<String> {
                said(objects).into_iter().map(|(rule, ..)| rule).collect()
            };
            let mut left = rules(&before);
            assert!(left.iter().any(|rule| rule == $rule), "{left:?}");
            left.retain(|rule| rule != $rule);
            assert_eq!(rules(&after), left);
        }
    )*};
}

const PREFIX: &str = "nginx.ingress.kubernetes.io";

mended! {
    a_body_of_sixteen_megabytes_spools_nothing: "body-limit-huge", "Ingress", |it| {
        it["metadata"]["annotations"][format!("{PREFIX}/proxy-body-size")] = json!("16m");
    };
    a_class_is_enough: "ingress-no-class", "Ingress", |it| {
        it["spec"]["ingressClassName"] = json!("nginx");
    };
    a_send_timeout_beside_the_read_timeout: "send-timeout-default", "Ingress", |it| {
        it["metadata"]["annotations"][format!("{PREFIX}/proxy-send-timeout")] = json!("3600");
    };
    a_timeout_that_the_server_meets: "probe-timeout-short", "Deployment", |it| {
        it.pointer_mut(CONTAINER).unwrap()["readinessProbe"]["timeoutSeconds"] = json!(2);
    };
    a_sleep_that_outlasts_every_answer: "no-delay-before-sigterm", "Deployment", |it| {
        it.pointer_mut(CONTAINER).unwrap()["lifecycle"] =
            json!({"preStop": {"sleep": {"seconds": 600}}});
        it["spec"]["template"]["spec"]["terminationGracePeriodSeconds"] = json!(610);
    };
    an_image_that_can_be_pulled: "invalid-image-name", "Deployment", |it| {
        it.pointer_mut(CONTAINER).unwrap()["image"] = json!("ghcr.io/ggml-org/llama.cpp:server");
    };
    a_model: "model-missing", "Deployment", |it| {
        it.pointer_mut(CONTAINER).unwrap()["args"] = json!(["-m", "/models/model.gguf"]);
    };
    a_selector: "selector-missing", "Deployment", |it| {
        it["spec"]["selector"] = json!({"matchLabels": {"app": "llama-inference"}});
    };
    no_subset_where_each_version_has_a_service: "subset-undefined", "VirtualService", |it| {
        for index in 0..2 {
            let destination = it.pointer_mut(&format!("/spec/http/0/route/{index}/destination"));
            destination.unwrap().as_object_mut().unwrap().remove("subset");
        }
    };
    http_1_to_the_server: "h2-to-http1-server", "DestinationRule", |it| {
        let pool = it.pointer_mut("/spec/trafficPolicy/connectionPool/http").unwrap();
        pool.as_object_mut().unwrap().remove("h2UpgradePolicy");
    };
    one_of_three_may_go: "outlier-never-ejects", "DestinationRule", |it| {
        it["spec"]["trafficPolicy"]["outlierDetection"]["maxEjectionPercent"] = json!(34);
    };
    a_route_that_ends_at_the_rule_s_host: "dr-host-unknown", "VirtualService", |it| {
        let more = json!({"match": [{"uri": {"prefix": "/v1"}}],
            "route": [{"destination": {"host": "inference-service"}}]});
        it["spec"]["http"].as_array_mut().unwrap().push(more);
    };
}

/// The chapter with these objects beside it, after `mend` saw each of its own.
fn with(more: &str, mend: impl Fn(&mut Value)) -> Vec<Arc<Value>> {
    let mut all = folder("as-written");
    for object in &mut all {
        mend(Arc::make_mut(object));
    }
    all.extend(objects(more));
    all
}

/// The rules that speak, without those that `rule` names.
fn without(rule: &str) -> Vec<&'static str> {
    let all = expected().into_iter().map(|(rule, ..)| rule);
    all.filter(|it| *it != rule).collect()
}

fn rules_of(objects: &[Arc<Value>]) -> Vec<String> {
    said(objects).into_iter().map(|(rule, ..)| rule).collect()
}

#[test]
fn services_for_both_versions_define_the_hosts() {
    let service = |name: &str| {
        format!(
            "{{apiVersion: v1, kind: Service, metadata: {{name: {name}}}, \
             spec: {{selector: {{app: {name}}}, ports: [{{port: 8080}}]}}}}\n---\n"
        )
    };
    let more = service("inference-v2") + &service("inference-v3");
    assert_eq!(rules_of(&with(&more, |_| {})), without("host-undefined"));
    // Each is a finding of its own.
    let left = rules_of(&with(&service("inference-v3"), |_| {}));
    assert_eq!(left.iter().filter(|it| *it == "host-undefined").count(), 1);
}

#[test]
fn a_gateway_that_is_named_is_a_way_in() {
    let gateway = "{apiVersion: networking.istio.io/v1, kind: Gateway, metadata: {name: edge}, \
                   spec: {servers: [{port: {number: 80, name: http, protocol: HTTP}, hosts: [HOST]}]}}";
    let name_it = |object: &mut Value| {
        if object["kind"] == "VirtualService" {
            object["spec"]["gateways"] = json!(["edge"]);
        }
    };
    let right = with(&gateway.replace("HOST", "inference.local"), name_it);
    assert_eq!(rules_of(&right), without("route-not-on-path"));
    // One for another host is none.
    let wrong = with(&gateway.replace("HOST", "other.local"), name_it);
    assert_eq!(rules_of(&wrong).len(), expected().len());
}

#[test]
fn what_no_proxy_evaluates_is_judged_and_says_so() {
    let objects = folder("as-written");
    let is_of_mesh = |object: &Value| {
        object["apiVersion"]
            .as_str()
            .unwrap()
            .starts_with("networking.istio.io/")
    };
    for found in checked(&objects).findings {
        let rule = found.finding.rule.id;
        let says = |note: &String| note.ends_with("judged as if one did");
        let says = found.finding.notes.iter().any(says);
        let expected = is_of_mesh(&objects[found.object]) && rule != "route-not-on-path";
        assert_eq!(says, expected, "{rule}");
    }
    // The control: with a way in there is nothing to say.
    let repaired = folder("repaired-istio");
    let mut broken = repaired.clone();
    for object in &mut broken {
        if object["kind"] == "VirtualService" {
            Arc::make_mut(object)["spec"]["http"][0]["route"][0]["weight"] = json!(80);
        }
    }
    let found = checked(&broken).findings;
    let notes: Vec<&String> = found.iter().flat_map(|it| &it.finding.notes).collect();
    assert_eq!(found.len(), 1, "{notes:?}");
    assert!(
        !notes.iter().any(|note| note.contains("no proxy")),
        "{notes:?}"
    );
}

#[test]
fn the_unnamed_port_is_part_of_one_finding() {
    let objects = folder("as-written");
    let found = checked(&objects).findings;
    let of = |rule: &str| found.iter().filter(|it| it.finding.rule.id == rule).count();
    assert_eq!((of("h2-to-http1-server"), of("port-unnamed")), (1, 0));
    let h2 = found
        .iter()
        .find(|it| it.finding.rule.id == "h2-to-http1-server")
        .unwrap();
    let mark = &h2.finding.marks[0];
    let place = (
        mark.object.as_ref().unwrap().to_string(),
        mark.path.as_str(),
    );
    assert_eq!(place, (SERVICE.to_owned(), "/spec/ports/0"));
}

#[test]
fn labels_mend_the_template_and_the_service() {
    let mut objects = folder("as-written");
    for object in &mut objects {
        if object["kind"] == "Deployment" {
            let metadata = json!({"labels": {"app": "llama-inference"}});
            Arc::make_mut(object)["spec"]["template"]["metadata"] = metadata;
        }
    }
    let wanted: Vec<&str> = expected()
        .into_iter()
        .map(|(rule, ..)| rule)
        .filter(|rule| !["labels-missing", "service-selects-nothing"].contains(rule))
        .collect();
    let seen = said(&objects);
    let seen: Vec<&str> = seen.iter().map(|(rule, ..)| rule.as_str()).collect();
    assert_eq!(seen, wanted);
}

/// The chapter repaired behind Istio, after `mend` saw each object; the rules that speak.
fn behind_istio(mend: impl Fn(&mut Value)) -> Vec<(String, String)> {
    let mut all = folder("repaired-istio");
    for object in &mut all {
        mend(Arc::make_mut(object));
    }
    let found = checked(&all).findings.into_iter();
    found
        .map(|it| (it.finding.rule.id.to_owned(), it.finding.message))
        .collect()
}

fn rule_names(found: &[(String, String)]) -> Vec<&str> {
    found.iter().map(|(rule, _)| rule.as_str()).collect()
}

#[test]
fn a_sidecar_speaks_http_1_to_the_server_where_the_port_says_http() {
    let upgrade = |object: &mut Value| {
        if object["kind"] == "DestinationRule" {
            object["spec"]["trafficPolicy"]["connectionPool"]["http"]["h2UpgradePolicy"] =
                json!("UPGRADE");
        }
    };
    assert_eq!(behind_istio(upgrade), []);
    let unnamed = |object: &mut Value| {
        if object["kind"] == "Service" {
            let port = object.pointer_mut("/spec/ports/0").unwrap();
            port.as_object_mut().unwrap().remove("name");
        }
    };
    // Alone it is a finding of its own, with the upgrade a part of that one.
    assert_eq!(rule_names(&behind_istio(unnamed)), ["port-unnamed"]);
    let both = behind_istio(|object| {
        upgrade(object);
        unnamed(object);
    });
    assert_eq!(rule_names(&both), ["h2-to-http1-server"]);
    // Without a sidecar the gateway's HTTP/2 reaches the server, whatever the port's name.
    let plain = behind_istio(|object| {
        upgrade(object);
        if object["kind"] == "Namespace" {
            object["metadata"]["labels"] = json!({});
        }
    });
    assert_eq!(rule_names(&plain), ["h2-to-http1-server"]);
}

#[test]
fn each_subset_counts_its_own_replicas() {
    let percent = |percent: u64| {
        behind_istio(move |object| {
            if object["kind"] == "DestinationRule" {
                object["spec"]["trafficPolicy"]["outlierDetection"]["maxEjectionPercent"] =
                    json!(percent);
            }
        })
    };
    let never = percent(10);
    assert_eq!(rule_names(&never), ["outlier-never-ejects"]);
    assert!(
        never[0].1.contains("3 replicas of subset `stable`"),
        "{never:?}"
    );
    // Of four replicas of both together 25 % would do; of three it does not.
    assert_eq!(rule_names(&percent(25)), ["outlier-never-ejects"]);
    assert_eq!(percent(66), []);
    let all = percent(100);
    assert_eq!(rule_names(&all), ["outlier-ejects-all"]);
    assert!(
        all[0].1.contains("the only replica of subset `canary`"),
        "{all:?}"
    );
}

#[test]
fn the_mesh_objects_are_read() {
    let skipped = checked(&folder("as-written")).skipped;
    assert_eq!(skipped, []);
}

#[test]
fn every_finding_has_a_remedy() {
    for found in checked(&folder("as-written")).findings {
        assert!(!found.finding.help.is_empty(), "{}", found.finding.rule.id);
    }
}

#[test]
fn the_repaired_chapter_gives_no_finding() {
    assert_eq!(said(&folder("repaired")), []);
    let behind_istio = checked(&folder("repaired-istio"));
    assert!(behind_istio.findings.is_empty() && behind_istio.skipped.is_empty());
    assert_eq!(behind_istio.subjects, 5);
    assert!(diff(&Engine::builtin(), &folder("repaired-istio")).is_empty());
}

#[test]
fn beside_the_cluster_only_what_the_cluster_can_know_is_said() {
    let mut objects = folder("cluster");
    objects.extend(folder("repaired"));
    let seen = said(&in_namespace(&objects));
    let seen: Vec<(&str, &str)> = seen
        .iter()
        .map(|(rule, level, ..)| (rule.as_str(), level.as_str()))
        .collect();
    assert_eq!(
        seen,
        [
            ("sidecar-drains-first", "warning"),
            ("timeout-too-short", "warning"),
            ("body-limit", "note"),
            ("send-timeout-default", "note"),
        ]
    );
}

#[test]
fn offline_the_repaired_chapter_needs_no_change() {
    assert!(diff(&Engine::builtin(), &folder("repaired")).is_empty());
}

#[test]
fn beside_the_cluster_the_baseline_fills_in_two_values() {
    let mut objects = folder("cluster");
    objects.extend(folder("repaired"));
    let objects = in_namespace(&objects);
    let mut seen = Vec::new();
    for changed in diff(&Engine::builtin(), &objects) {
        let before = &objects[changed.object];
        let operations = json_patch::diff(before, &changed.after).0.len();
        assert_eq!(operations, 1, "{}", changed.after);
        for fixing in changed.changes {
            seen.push((
                ObjectRef::of(before).to_string(),
                fixing.rule.id,
                fixing.change.path,
                fixing.change.value,
            ));
        }
    }
    assert_eq!(
        seen,
        [
            (
                DEPLOYMENT.to_owned(),
                "sidecar-drains-first",
                "/spec/template/metadata/annotations/proxy.istio.io~1config".to_owned(),
                json!(r#"{"terminationDrainDuration":"300s"}"#)
            ),
            (
                INGRESS.to_owned(),
                "timeout-too-short",
                format!("/metadata/annotations/{PREFIX}~1proxy-read-timeout"),
                json!("300")
            ),
        ]
    );
}

#[test]
fn the_repaired_chapter_states_how_long_answers_take() {
    let objects = folder("repaired");
    let deployment = objects
        .iter()
        .find(|object| object["kind"] == "Deployment")
        .unwrap();
    let stated = policy::own_seconds(deployment, policy::LONGEST_GENERATION);
    assert_eq!(stated, Some(300));
}
