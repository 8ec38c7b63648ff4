//! Bodies to send.

use serde_json::{Value, json};

/// A review of the creation of `object`.
pub(crate) fn create(object: &Value) -> Value {
    json!({
        "apiVersion": "admission.k8s.io/v1",
        "kind": "AdmissionReview",
        "request": {
            "uid": "u-1",
            "kind": {"group": "apps", "version": "v1", "kind": object["kind"]},
            "operation": "CREATE",
            "namespace": "default",
            "userInfo": {"username": "admin", "groups": ["system:authenticated"]},
            "object": object,
            "oldObject": null,
            "dryRun": false,
            "options": {"kind": "CreateOptions", "apiVersion": "meta.k8s.io/v1"},
        },
    })
}

/// A review that changes one member of the request.
pub(crate) fn with(mut review: Value, member: &str, value: &Value) -> Value {
    review["request"][member] = value.clone();
    review
}

/// vLLM without a probe, as many containers as wanted.
pub(crate) fn deployment(containers: usize) -> Value {
    let container = |n: usize| {
        json!({
            "name": format!("vllm-{n}"),
            "image": "vllm/vllm-openai:v0.11.0",
            "args": ["--model", "m", "--port", (8000 + n).to_string()],
            "ports": [{"containerPort": 8000 + n}],
        })
    };
    json!({
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "x", "namespace": "default"},
        "spec": {
            "selector": {"matchLabels": {"app": "x"}},
            "template": {
                "metadata": {"labels": {"app": "x"}},
                "spec": {
                    "terminationGracePeriodSeconds": 30,
                    "containers": (0..containers).map(container).collect::<Vec<_>>(),
                },
            },
        },
    })
}

/// A review that is longer than a short body.
pub(crate) fn long() -> String {
    let mut object = deployment(1);
    object["metadata"]["annotations"] = json!({"a": "x".repeat(200_000)});
    create(&object).to_string()
}

/// The patch of an answer, decoded.
pub(crate) fn patch_of(answer: &Value) -> Value {
    use base64::Engine;
    let text = answer["response"]["patch"].as_str().unwrap();
    let bytes = base64::engine::general_purpose::STANDARD
        .decode(text)
        .unwrap();
    serde_json::from_slice(&bytes).unwrap()
}
