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
    ]
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

#[test]
fn the_mesh_objects_are_named_as_not_read() {
    let objects = folder("as-written");
    let skipped = checked(&objects).skipped;
    let named: Vec<(&str, &str)> = skipped
        .iter()
        .map(|unseen| {
            let kind = objects[unseen.object]["kind"].as_str().unwrap();
            (kind, unseen.reason.as_str())
        })
        .collect();
    assert_eq!(
        named,
        [
            (
                "VirtualService",
                "VirtualService is not read by any rule yet"
            ),
            (
                "DestinationRule",
                "DestinationRule is not read by any rule yet"
            ),
        ]
    );
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
