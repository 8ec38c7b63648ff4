//! Services and Ingresses of generated workloads.

use super::workload::Deployment;
use infer_simulate::dice::Dice;
use serde_json::{Value, json};

/// IngressClasses of the cluster: name and controller.
pub(super) const CLASSES: [(&str, &str); 4] = [
    ("nginx", "k8s.io/ingress-nginx"),
    ("public", "k8s.io/ingress-nginx"),
    ("edge", "nginx.org/ingress-controller"),
    ("mesh", "istio.io/ingress-controller"),
];

/// The Service of a workload.
pub(super) fn service(of: &Deployment) -> Value {
    json!({"apiVersion": "v1", "kind": "Service",
        "metadata": {"name": of.name, "namespace": of.namespace},
        "spec": {"selector": {"app.kubernetes.io/name": of.name},
            "ports": [{"name": "http", "port": 80, "targetPort": "http", "protocol": "TCP"}]}})
}

/// An Ingress that leads to a workload's Service, as it is when it is created.
pub(super) fn ingress(of: &Deployment, dice: &mut Dice) -> Value {
    let classes = CLASSES.map(|(name, _)| name);
    let class = dice.pick(&classes[..3]);
    let prefix = if class == "edge" {
        "nginx.org"
    } else {
        "nginx.ingress.kubernetes.io"
    };
    let mut annotations = json!({});
    if dice.in_percent(60) {
        let key = if class == "edge" {
            "client-max-body-size"
        } else {
            "proxy-body-size"
        };
        annotations[format!("{prefix}/{key}")] = json!(format!("{}m", 1 + dice.below(64)));
    }
    if dice.in_percent(30) {
        annotations[format!("{prefix}/proxy-read-timeout")] = if class == "edge" {
            json!("900s")
        } else {
            json!((700 + dice.below(900)).to_string())
        };
    }
    let backend = json!({"service": {"name": of.name, "port": {"name": "http"}}});
    let spec = json!({
        "ingressClassName": class,
        "tls": [{"hosts": [format!("{}.example.com", of.name)], "secretName": format!("{}-tls", of.name)}],
        "rules": [{"host": format!("{}.example.com", of.name), "http": {"paths": [
            {"path": "/v1", "pathType": "Prefix", "backend": backend},
            {"path": "/metrics", "pathType": "Exact", "backend": backend}]}}],
    });
    let metadata = json!({"name": of.name, "namespace": of.namespace,
        "labels": {"app.kubernetes.io/name": of.name}, "annotations": annotations});
    super::workload::as_created(
        "networking.k8s.io/v1",
        "Ingress",
        metadata,
        spec,
        |_| {},
        &dice.uid(),
    )
}
