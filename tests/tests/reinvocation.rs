//! A second call on what the first call left, as the API server makes it when another webhook has
//! changed the object in between. Each case is one that `properties.rs` found.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use infer_core::Engine;
use infer_core::admission::{Answer, Operation, Request, mutate};
use infer_core::kind::{Kind, KindSet};
use infer_core::record::{ANNOTATION, REVIEW};
use infer_core::snapshot::Snapshot;
use serde_json::{Value, json};
use std::sync::Arc;

fn ask(snapshot: &Snapshot, object: &Value, old: Option<&Value>) -> Answer {
    let operation = match old {
        Some(_) => Operation::Update,
        None => Operation::Create,
    };
    let request = Request {
        operation,
        namespace: "models",
        object,
        old,
    };
    mutate(&Engine::builtin(), snapshot, &request)
}

fn patched(snapshot: &Snapshot, object: &Value, old: Option<&Value>) -> Value {
    let mut after = object.clone();
    if let Some(patch) = ask(snapshot, object, old).patch {
        json_patch::patch(&mut after, &patch).unwrap();
    }
    after
}

fn nothing() -> Snapshot {
    Snapshot::default()
}

fn deployment(container: &Value) -> Value {
    json!({"apiVersion": "apps/v1", "kind": "Deployment",
        "metadata": {"name": "llama", "namespace": "models"},
        "spec": {"template": {"metadata": {"labels": {"app": "llama"}},
            "spec": {"containers": [container]}}}})
}

fn llama() -> Value {
    json!({"name": "server", "image": "ghcr.io/ggml-org/llama.cpp:server",
        "args": ["-m", "m", "--port", "8080"]})
}

#[test]
fn an_ingress_without_annotations_is_patched_once() {
    let known = [Kind::Service, Kind::Workload, Kind::IngressClass];
    let mut snapshot = Snapshot::new(KindSet::of(&known));
    for object in [
        json!({"apiVersion": "networking.k8s.io/v1", "kind": "IngressClass",
            "metadata": {"name": "nginx"}, "spec": {"controller": "k8s.io/ingress-nginx"}}),
        json!({"apiVersion": "v1", "kind": "Service",
            "metadata": {"name": "llama", "namespace": "models"},
            "spec": {"selector": {"app": "llama"}}}),
        deployment(&llama()),
    ] {
        snapshot.insert(Arc::new(object));
    }
    let ingress = json!({"apiVersion": "networking.k8s.io/v1", "kind": "Ingress",
        "metadata": {"name": "llama", "namespace": "models"},
        "spec": {"ingressClassName": "nginx", "defaultBackend": {"service": {"name": "llama"}}}});
    let after = patched(&snapshot, &ingress, None);
    let key = "nginx.ingress.kubernetes.io/proxy-read-timeout";
    assert_eq!(after["metadata"]["annotations"][key], "600");
    assert_eq!(ask(&snapshot, &after, None).patch, None);
}

#[test]
fn a_pod_is_patched_once() {
    let pod = json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "llama"},
        "spec": {"containers": [llama()]}});
    let after = patched(&nothing(), &pod, None);
    let record = after["metadata"]["annotations"][ANNOTATION]
        .as_str()
        .unwrap();
    // A Pod cannot be undone, and its template is the whole object: there is no digest to keep.
    assert!(!record.contains("template\":"), "{record}");
    assert_eq!(ask(&nothing(), &after, None).patch, None);
}

#[test]
fn a_pod_s_gpu_request_does_not_outlive_its_limit() {
    let container = json!({"name": "server", "image": "vllm/vllm-openai:v0.33.0",
        "args": ["--model=org/name"]});
    let pod = json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "vllm"},
        "spec": {"containers": [container]}});
    let after = patched(&nothing(), &pod, None);
    let resources = json!({"limits": {"nvidia.com/gpu": "1"}, "requests": {"nvidia.com/gpu": "1"}});
    assert_eq!(after["spec"]["containers"][0]["resources"], resources);
    assert_eq!(ask(&nothing(), &after, None).patch, None);
}

#[test]
fn a_namespace_of_odd_shape_stays_as_it_came() {
    for metadata in [json!({"name": "llama", "namespace": true}), Value::Null] {
        let mut object = deployment(&json!({"name": "proxy", "image": "nginx"}));
        object["metadata"] = metadata;
        assert_eq!(ask(&nothing(), &object, None).patch, None);
    }
}

#[test]
fn without_a_place_for_the_record_nothing_is_changed() {
    let mut object = deployment(&llama());
    object["metadata"]["annotations"] = json!(true);
    assert_eq!(ask(&nothing(), &object, None).patch, None);
}

#[test]
fn a_review_that_comes_with_a_change_answers_the_same_twice() {
    let stored = patched(&nothing(), &deployment(&llama()), None);
    let mut new = stored.clone();
    new["metadata"]["annotations"][REVIEW] = json!("now");
    let lifecycle = json!({"preStop": {"exec": {"command": ["sleep", "5"]}}});
    new["spec"]["template"]["spec"]["containers"][0]["lifecycle"] = lifecycle.clone();
    let after = patched(&nothing(), &new, Some(&stored));
    let container = &after["spec"]["template"]["spec"]["containers"][0];
    assert_eq!(container["lifecycle"], lifecycle);
    assert_eq!(ask(&nothing(), &after, Some(&stored)).patch, None);
}

#[test]
fn an_annotation_that_is_no_string_is_not_written_over() {
    let mut object = deployment(&llama());
    let metadata = json!({"labels": {"app": "llama", "sidecar.istio.io/inject": "true"},
        "annotations": {"proxy.istio.io/config": 5}});
    object["spec"]["template"]["metadata"] = metadata.clone();
    let after = patched(&nothing(), &object, None);
    assert_eq!(after["spec"]["template"]["metadata"], metadata);
}

#[test]
fn a_sidecar_is_not_told_to_go_at_once() {
    let mut object = deployment(&llama());
    let labels = json!({"app": "llama", "sidecar.istio.io/inject": "true"});
    object["spec"]["template"]["metadata"]["labels"] = labels;
    object["spec"]["template"]["spec"]["terminationGracePeriodSeconds"] = json!(10);
    let after = patched(&nothing(), &object, None);
    let annotations = &after["spec"]["template"]["metadata"]["annotations"];
    assert!(annotations.is_null(), "{annotations}");
}
