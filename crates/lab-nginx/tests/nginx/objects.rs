//! Objects as the API server would hand them over.

use k8s_openapi::api::networking::v1::Ingress;
use lab_nginx::render::{Objects, Settings};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use std::net::Ipv4Addr;
use std::path::PathBuf;
use std::sync::Arc;

/// An object from JSON.
pub(crate) fn object<K: DeserializeOwned>(value: Value) -> Arc<K> {
    Arc::new(serde_json::from_value(value).unwrap())
}

/// Settings that name no place of this machine.
pub(crate) fn settings() -> Settings {
    Settings {
        ingress_class: "lab-nginx".to_owned(),
        listen: Ipv4Addr::LOCALHOST.into(),
        http_port: 8080,
        status_port: 10254,
        directory: PathBuf::from("/tmp/lab-nginx"),
        observer_log: Some(PathBuf::from("/var/observer/nginx.log")),
        worker_user: None,
    }
}

/// An Ingress `models/NAME` for `HOST/` with `annotations` (names without their prefix).
pub(crate) fn ingress(name: &str, host: &str, annotations: &[(&str, &str)]) -> Arc<Ingress> {
    ingress_at(name, host, "/", annotations)
}

/// As [`ingress`], for another path, of type Prefix.
pub(crate) fn ingress_at(
    name: &str,
    host: &str,
    path: &str,
    annotations: &[(&str, &str)],
) -> Arc<Ingress> {
    let prefixed = annotations.iter().map(|(key, value)| {
        let key = format!("{}{key}", lab_nginx::annotation::PREFIX);
        (key, Value::from(*value))
    });
    object(json!({
        "metadata": {
            "namespace": "models",
            "name": name,
            "creationTimestamp": "2026-01-01T00:00:00Z",
            "annotations": prefixed.collect::<serde_json::Map<_, _>>(),
        },
        "spec": {
            "ingressClassName": "lab-nginx",
            "rules": [{"host": host, "http": {"paths": [{
                "path": path, "pathType": "Prefix",
                "backend": {"service": {"name": "llama", "port": {"number": 80}}},
            }]}}],
        },
    }))
}

/// The Service `models/llama`, port 80 named `http` to the container's 8000.
pub(crate) fn service() -> Value {
    json!({
        "metadata": {"namespace": "models", "name": "llama"},
        "spec": {"ports": [{"name": "http", "port": 80, "targetPort": 8000, "protocol": "TCP"}]},
    })
}

/// A slice of `models/llama`, port `http` = PORT, with these endpoints: address and `ready`.
pub(crate) fn slice(name: &str, port: u16, endpoints: &[(&str, Option<bool>)]) -> Value {
    let endpoint = |(address, ready): &(&str, Option<bool>)| json!({"addresses": [address], "conditions": {"ready": ready}});
    json!({
        "metadata": {
            "namespace": "models", "name": name,
            "labels": {"kubernetes.io/service-name": "llama"},
        },
        "addressType": "IPv4",
        "ports": [{"name": "http", "port": port, "protocol": "TCP"}],
        "endpoints": endpoints.iter().map(endpoint).collect::<Vec<_>>(),
    })
}

/// `ingresses` over two ready endpoints of `models/llama`.
pub(crate) fn objects(ingresses: Vec<Arc<Ingress>>) -> Objects {
    let ready = Some(true);
    Objects {
        ingresses,
        services: vec![object(service())],
        slices: vec![object(slice(
            "llama-1",
            8000,
            &[("10.244.0.5", ready), ("10.244.0.7", ready)],
        ))],
    }
}
