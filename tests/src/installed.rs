//! The webhook as a platform installs it: in pods, behind a Service, from `manifests/base`.

use std::sync::OnceLock;

use serde_json::json;
use xtask::lab::session::Lab;
use xtask::lab::webhook::SCOPE_LABEL;
use xtask::workspace;

use crate::space::Space;

/// The namespace of the installed webhook.
pub const NAMESPACE: &str = "kubectl-infer";

/// Installs it, once per process, and waits until its pods are ready and the API server trusts them.
///
/// # Panics
///
/// When it is not ready within a minute.
pub fn install(lab: &Lab) {
    static INSTALLED: OnceLock<()> = OnceLock::new();
    INSTALLED.get_or_init(|| {
        let overlay = workspace::root().join("tests/lab/webhook");
        lab.kubectl_ok(&["apply", "-k", &overlay.display().to_string()], "")
            .expect("the manifests are applied");
        let rollout = [
            "-n", NAMESPACE, "rollout", "status", "deployment/infer-webhook", "--timeout=60s",
        ];
        if let Err(why) = lab.kubectl_ok(&rollout, "") {
            let pods = lab.kubectl_ok(&["-n", NAMESPACE, "describe", "pods"], "");
            let logs = lab.kubectl_ok(
                &["-n", NAMESPACE, "logs", "deployment/infer-webhook", "--tail=20"],
                "",
            );
            panic!("the webhook is not ready: {why}\n{}\n{logs:?}", pods.unwrap_or_default());
        }
        // Ready pods, a trusted bundle: what is left is kube-proxy's and the API server's delay.
        let probe = Space::in_scope(lab.clone(), "scope-probe");
        crate::space::poll("the API server calls the webhook", || {
            let server = json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "probe"}, "spec": {
                "containers": [{"name": "server", "image": "ghcr.io/ggml-org/llama.cpp:server",
                    "args": ["-m", "/m.gguf", "--host", "0.0.0.0", "--port", "8080"]}]}});
            let dry = ["create", "--dry-run=server", "-o", "json", "-f", "-"];
            let output = probe.run(&dry, &server.to_string());
            String::from_utf8_lossy(&output.stdout).contains("readinessProbe")
        });
    });
}

impl Space {
    /// A namespace in the installed webhook's scope.
    ///
    /// # Panics
    ///
    /// When the API server refuses.
    pub fn in_scope(lab: Lab, name: &str) -> Space {
        let object = json!({"apiVersion": "v1", "kind": "Namespace",
            "metadata": {"name": name, "labels": {SCOPE_LABEL.0: SCOPE_LABEL.1}}});
        lab.kubectl_ok(&["apply", "-f", "-"], &object.to_string())
            .expect("a namespace is made");
        Space {
            lab,
            name: name.to_owned(),
        }
    }
}
