//! Whole shifts, from objects to objects.

mod http_route;
mod ingress_nginx;
mod plan;
mod virtual_service;

use super::*;
use crate::version::{Changed, Image};
use infer_core::catalogue::Catalogue;
use serde_json::json;

/// A workload with three ready pods, as the API server stores one.
pub(super) fn deployment() -> Value {
    json!({
        "apiVersion": "apps/v1", "kind": "Deployment",
        "metadata": {
            "name": "llama", "namespace": "models", "uid": "u-llama", "resourceVersion": "7",
            "generation": 3, "creationTimestamp": "2026-11-01T00:00:00Z",
            "labels": {"app": "llama", "app.kubernetes.io/instance": "prod", "team": "ml"},
            "annotations": {
                "deployment.kubernetes.io/revision": "4",
                "kubectl.kubernetes.io/last-applied-configuration": "{}",
                "kubectl-infer.dev/record": "{}",
                "example.com/kept": "yes",
            },
            "managedFields": [{"manager": "kubectl"}],
        },
        "spec": {
            "replicas": 3, "paused": true, "progressDeadlineSeconds": 600,
            "selector": {"matchLabels": {"app": "llama"}},
            "template": {
                "metadata": {"creationTimestamp": null, "labels": {"app": "llama", "gpu": "a100"}},
                "spec": {"containers": [{
                    "name": "server", "image": "ghcr.io/ggml-org/llama.cpp:server-b4790",
                    "args": ["-m", "/m.gguf", "--port", "8080"], "unknownToUs": {"a": 1},
                }]},
            },
        },
        "status": {"readyReplicas": 3},
    })
}

pub(super) fn service(name: &str) -> Value {
    json!({
        "apiVersion": "v1", "kind": "Service",
        "metadata": {"name": name, "namespace": "models", "uid": "u-svc", "resourceVersion": "8",
            "annotations": {"external-dns.alpha.kubernetes.io/hostname": "llm.example.com"}},
        "spec": {
            "type": "LoadBalancer", "clusterIP": "10.0.0.7", "clusterIPs": ["10.0.0.7"],
            "ipFamilies": ["IPv4"], "selector": {"app": "llama"}, "sessionAffinity": "None",
            "ports": [{"name": "http", "port": 80, "targetPort": 8080, "nodePort": 31000}],
            "externalTrafficPolicy": "Local", "healthCheckNodePort": 32000,
            "loadBalancerClass": "x",
        },
        "status": {"loadBalancer": {}},
    })
}

/// The workload, its Service, and this route.
pub(super) fn stable(route: Value) -> Stable {
    Stable {
        workload: deployment(),
        services: vec![service("llama")],
        routes: vec![route],
        others: vec![json!({
            "apiVersion": "networking.k8s.io/v1", "kind": "IngressClass",
            "metadata": {"name": "public"}, "spec": {"controller": "k8s.io/ingress-nginx"}})],
    }
}

/// A canary of another image.
pub(super) fn wanted() -> Wanted {
    let image = Some(Image::parse("server:b4812").unwrap());
    Wanted {
        version: Version::Changed(Changed {
            image,
            arguments: Vec::new(),
        }),
        route: None,
        replicas: 1,
        run: "7f3a9c".to_owned(),
    }
}

pub(super) fn planned(stable: &Stable) -> Shift {
    plan(&Catalogue::builtin(), stable, &wanted()).unwrap()
}

pub(super) fn refused(stable: &Stable, wanted: &Wanted) -> Refusal {
    plan(&Catalogue::builtin(), stable, wanted).unwrap_err()
}

/// What a patch makes of an object; it must be bound to it.
pub(super) fn patched(object: &Value, patch: &Patch) -> Value {
    let mut done = object.clone();
    json_patch::patch(&mut done, patch).unwrap();
    let tests = serde_json::to_value(patch).unwrap();
    let bound = ["/metadata/uid", "/metadata/resourceVersion"];
    for (index, path) in bound.iter().enumerate() {
        assert_eq!(tests[index]["op"], "test", "{patch}");
        assert_eq!(tests[index]["path"], *path, "{patch}");
        assert_eq!(
            Some(&tests[index]["value"]),
            object.pointer(path),
            "{patch}"
        );
    }
    done
}

/// The carrier with this share.
pub(super) fn with_share(shift: &Shift, carrier: &Value, share: u8) -> Value {
    patched(carrier, &shift.set_weight(carrier, share).unwrap())
}

/// Every share in turn, and out again.
pub(super) fn there_and_back(shift: &Shift, before: &Value) {
    let original = shift.original_of(before).unwrap();
    let original: Original =
        serde_json::from_value(serde_json::to_value(original).unwrap()).unwrap();
    let mut route = before.clone();
    for share in [0, 5, 25, 50, 100, 0] {
        route = with_share(shift, &route, share);
        assert_eq!(shift.weight_of(&route), Weight::Share(share));
        let again = shift.set_weight(&route, share).unwrap();
        assert_eq!(again.0.len(), 2, "nothing to change: {again}");
    }
    let out = patched(&route, &shift.take_out(&route, &original).unwrap());
    assert_eq!(&out, before);
}
