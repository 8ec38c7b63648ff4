//! Meshes, by the objects that they are made of.

use crate::{all, definition, namespace, of, of_facts, one, says, workload};
use infer_doctor::{Facts, Gap, Status};
use serde_json::{Value, json};

fn istiod(version: &str) -> Value {
    workload(
        "istio-system",
        "istiod",
        &format!("docker.io/istio/pilot:{version}"),
    )
}

fn kinds() -> Value {
    definition("networking.istio.io", "virtualservices")
}

fn injector() -> Value {
    json!({
        "apiVersion": "admissionregistration.k8s.io/v1", "kind": "MutatingWebhookConfiguration",
        "metadata": {"name": "istio-sidecar-injector"},
        "webhooks": [{"name": "namespace.sidecar-injector.istio.io", "namespaceSelector":
            {"matchLabels": {"istio-injection": "enabled"}}}],
    })
}

#[test]
fn istio_is_an_istiod_and_its_kinds() {
    let both = of(&[istiod("1.30.3"), kinds()]);
    says(
        &one(&both, "istio"),
        Status::Ok,
        "Istio 1.30.3 (revision default)",
    );
    assert!(all(&both, "istio-kinds").is_empty());
    let alone = of(&[kinds()]);
    says(&one(&alone, "istio"), Status::Warning, "no istiod is seen");
    let bare = of(&[istiod("1.30.3")]);
    says(&one(&bare, "istio-kinds"), Status::Warning, "not served");
    let none = of(&[workload("n", "app", "example.com/app:1.30.3")]);
    says(&one(&none, "mesh"), Status::Note, "no Istio and no Linkerd");
    // What was perhaps not seen is no warning.
    let mut facts = Facts::of_objects(&[kinds()], crate::NOW);
    facts.workload_gaps.push(Gap {
        asked: "list deployments".into(),
        reason: "no".into(),
        help: Vec::new(),
    });
    says(
        &one(&of_facts(&facts), "istio"),
        Status::Unknown,
        "no istiod is seen",
    );
}

#[test]
fn a_namespace_gets_its_sidecars_where_an_injector_takes_it() {
    let base = [
        istiod("1.30.3"),
        kinds(),
        namespace("a", &json!({"istio-injection": "enabled"})),
    ];
    let without = one(&of(&base), "istio-injection");
    says(&without, Status::Warning, "no injector takes a");
    let with = one(&of(&[&base[..], &[injector()]].concat()), "istio-injection");
    says(&with, Status::Ok, "sidecars in 1 namespace: a");
    let other = namespace("b", &json!({"istio.io/rev": "1-31"}));
    let both = all(
        &of(&[&base[..], &[injector(), other]].concat()),
        "istio-injection",
    );
    says(&both[0], Status::Ok, "a");
    says(&both[1], Status::Warning, "b has `istio.io/rev: 1-31`");
    let nobody = of(&[istiod("1.30.3"), kinds(), namespace("a", &json!({}))]);
    assert!(all(&nobody, "istio-injection").is_empty());
}

#[test]
fn ambient_needs_its_proxy_on_the_nodes() {
    let ambient = namespace("a", &json!({"istio.io/dataplane-mode": "ambient"}));
    let base = [istiod("1.30.3"), kinds(), ambient];
    says(
        &one(&of(&base), "istio-ambient"),
        Status::Warning,
        "no ztunnel for a",
    );
    let ztunnel = workload("istio-system", "ztunnel", "docker.io/istio/ztunnel:1.30.3");
    let with = [&base[..], &[ztunnel]].concat();
    says(
        &one(&of(&with), "istio-ambient"),
        Status::Ok,
        "ambient 1.30.3 in 1 namespace: a",
    );
    assert!(all(&of(&base[..2]), "istio-ambient").is_empty());
}

#[test]
fn what_is_left_of_the_operator_is_told() {
    let left = definition("install.istio.io", "istiooperators");
    let found = one(&of(std::slice::from_ref(&left)), "istio-operator-removed");
    says(
        &found,
        Status::Warning,
        "CustomResourceDefinition of install.istio.io",
    );
    let found = one(
        &of(&[left, istiod("1.23.0"), kinds()]),
        "istio-operator-removed",
    );
    says(&found, Status::Warning, "older than 1.24");
    let running = workload(
        "istio-operator",
        "istio-operator",
        "docker.io/istio/operator:1.23.0",
    );
    let found = one(&of(&[running]), "istio-operator-removed");
    says(&found, Status::Warning, "deployment/istio-operator");
    assert!(all(&of(&[istiod("1.30.3"), kinds()]), "istio-operator-removed").is_empty());
}

#[test]
fn linkerd_is_its_control_plane() {
    let kinds = definition("policy.linkerd.io", "servers");
    let mut part = workload(
        "linkerd",
        "linkerd-destination",
        "cr.l5d.io/linkerd/controller:edge-25.8.1",
    );
    part["metadata"]["labels"] = json!({"linkerd.io/control-plane-component": "destination"});
    let both = of(&[kinds.clone(), part.clone()]);
    says(&one(&both, "linkerd"), Status::Ok, "Linkerd edge-25.8.1");
    says(
        &one(&of(&[kinds]), "linkerd"),
        Status::Warning,
        "no control plane is seen",
    );
    part["status"] = json!({});
    says(&one(&of(&[part]), "linkerd"), Status::Error, "not running");
}
