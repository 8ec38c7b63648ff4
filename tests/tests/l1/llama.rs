//! A small Deployment of one server, in the forms that these tests need, and what the baseline
//! makes of it.

use infer_tests::space::Space;
use serde_json::{Value, json};

/// A server as a person writes it; `{spec}` and `{container}` are lines to be put in.
pub(crate) fn manifest(spec: &str, container: &str) -> String {
    with_args(spec, container, "ghcr.io/ggml-org/llama.cpp:server", "8080")
}

pub(crate) fn with_args(spec: &str, container: &str, image: &str, port: &str) -> String {
    let indent = |text: &str, by: usize| -> String {
        text.lines()
            .map(|line| format!("{}{line}\n", " ".repeat(by)))
            .collect()
    };
    format!(
        r#"apiVersion: apps/v1
kind: Deployment
metadata:
  name: llama
spec:
  selector:
    matchLabels: {{app: llama}}
  template:
    metadata:
      labels: {{app: llama}}
    spec:
{}      containers:
        - name: server
          image: {image}
          args: ["-m", "/m.gguf", "--port", "{port}"]
{}"#,
        indent(spec, 6),
        indent(container, 10),
    )
}

pub(crate) fn plain() -> String {
    manifest("", "")
}

pub(crate) const LLAMA: &str = "deployment/llama";

pub(crate) fn server(template: &Value) -> &Value {
    &template["spec"]["containers"][0]
}

/// What the baseline adds to [`plain`], as it is stored.
pub(crate) fn assert_filled(template: &Value) {
    assert_eq!(
        server(template)["readinessProbe"],
        json!({"httpGet": {"path": "/health", "port": 8080, "scheme": "HTTP"}, "timeoutSeconds": 2,
            "periodSeconds": 5, "successThreshold": 1, "failureThreshold": 3})
    );
    assert_eq!(
        server(template)["lifecycle"],
        json!({"preStop": {"sleep": {"seconds": 60}}})
    );
    assert_eq!(template["spec"]["terminationGracePeriodSeconds"], 70);
}

/// The template of `manifest` as it is stored where no webhook is.
pub(crate) fn untouched(name: &str, manifest: &str) -> Value {
    let space = Space::plain(name).unwrap();
    space.apply(manifest);
    space.template(LLAMA)
}

pub(crate) fn record(object: &Value) -> Option<Value> {
    let text = object["metadata"]["annotations"]["kubectl-infer.dev/record"].as_str()?;
    Some(serde_json::from_str(text).unwrap())
}
