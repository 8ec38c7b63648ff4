//! When a GPU limit is filled in, and when it would strand the pod.

use infer_core::Engine;
use infer_core::admission::{Operation, Request, mutate};
use infer_core::kind::{Kind, KindSet};
use infer_core::snapshot::Snapshot;
use serde_json::{Value, json};
use std::sync::Arc;

/// The limit that admission adds to the first container of a Deployment with this pod spec.
fn limit(spec: &Value, snapshot: &Snapshot) -> Option<String> {
    let object = json!({"apiVersion": "apps/v1", "kind": "Deployment",
        "metadata": {"name": "m", "namespace": "default"},
        "spec": {"selector": {"matchLabels": {"app": "m"}},
            "template": {"metadata": {"labels": {"app": "m"}}, "spec": spec}}});
    let request = Request {
        operation: Operation::Create,
        namespace: "default",
        object: &object,
        old: None,
    };
    let mut stored = object.clone();
    if let Some(patch) = mutate(&Engine::builtin(), snapshot, &request).patch {
        json_patch::patch(&mut stored, &patch).expect("our patch applies");
    }
    let limits = &stored["spec"]["template"]["spec"]["containers"][0]["resources"]["limits"];
    limits["nvidia.com/gpu"].as_str().map(str::to_owned)
}

fn vllm(args: &Value) -> Value {
    json!({"containers": [{"name": "s", "image": "vllm/vllm-openai:v0.18.0", "args": args}]})
}

fn llama(tag: &str, args: &Value) -> Value {
    let image = format!("ghcr.io/ggml-org/llama.cpp:{tag}");
    json!({"containers": [{"name": "s", "image": image, "args": args}]})
}

/// A cluster with one Node that offers so many GPUs.
fn cluster(gpus: &str) -> Snapshot {
    let mut snapshot = Snapshot::new(KindSet::of(&[Kind::Node]));
    snapshot.insert(Arc::new(
        json!({"apiVersion": "v1", "kind": "Node", "metadata": {"name": "n"},
        "status": {"allocatable": {"cpu": "8", "nvidia.com/gpu": gpus}}}),
    ));
    snapshot
}

#[test]
fn the_arguments_make_the_count() {
    let nothing = Snapshot::default();
    for (args, count) in [
        (json!(["m"]), Some("1")),
        (json!(["m", "--tensor-parallel-size", "4"]), Some("4")),
        (
            json!(["m", "-tp=2", "--pipeline-parallel-size=2"]),
            Some("4"),
        ),
        (json!(["m", "-tp", "8", "--nnodes", "2"]), Some("4")),
        (json!(["m", "-tp", "3", "--nnodes", "2"]), None),
        (json!(["m", "--device", "cpu"]), None),
        (
            json!(["m", "-tp", "2", "--distributed-executor-backend", "ray"]),
            None,
        ),
    ] {
        assert_eq!(limit(&vllm(&args), &nothing).as_deref(), count, "{args}");
    }
}

#[test]
fn a_count_that_cannot_be_known_is_not_guessed() {
    let mut spec = vllm(&json!(["m", "-tp", "$(TP)"]));
    spec["containers"][0]["env"] = json!([{"name": "TP", "valueFrom": {"configMapKeyRef": {}}}]);
    assert_eq!(limit(&spec, &Snapshot::default()), None);
}

#[test]
fn a_cpu_server_gets_no_limit() {
    let nothing = Snapshot::default();
    let args = json!(["-m", "x", "--port", "8080"]);
    assert_eq!(
        limit(&llama("server-cuda", &args), &nothing).as_deref(),
        Some("1")
    );
    assert_eq!(limit(&llama("server", &args), &nothing), None);
    assert_eq!(
        limit(
            &llama("server-cuda", &json!(["-m", "x", "-ngl", "0"])),
            &nothing
        ),
        None
    );
}

#[test]
fn no_limit_that_no_node_offers() {
    let two = vllm(&json!(["m", "-tp", "2"]));
    assert_eq!(limit(&two, &cluster("2")).as_deref(), Some("2"));
    assert_eq!(limit(&two, &cluster("1")), None);
    assert_eq!(limit(&vllm(&json!(["m"])), &cluster("0")), None);
    // Looked for and none there: a cluster that scales from zero. The evidence decides.
    let empty = Snapshot::new(KindSet::of(&[Kind::Node]));
    assert_eq!(limit(&two, &empty).as_deref(), Some("2"));
}

#[test]
fn a_pod_that_asks_already_is_left_alone() {
    let nothing = Snapshot::default();
    let mut claims = vllm(&json!(["m"]));
    claims["resourceClaims"] = json!([{"name": "gpu"}]);
    assert_eq!(limit(&claims, &nothing), None);
    let mut beside = vllm(&json!(["m"]));
    let other = json!({"name": "o", "resources": {"limits": {"nvidia.com/mig-1g.5gb": "1"}}});
    beside["containers"]
        .as_array_mut()
        .expect("a list")
        .push(other);
    assert_eq!(limit(&beside, &nothing), None);
}
