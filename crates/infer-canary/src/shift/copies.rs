//! The objects that are created, as copies of the stable ones without what is only theirs.

use super::names::canary;
use super::selectors::{Changes, Selecting};
use infer_core::object::name;
use infer_core::pointer::{Walk, set};
use infer_core::record::{ANNOTATION, LAST_APPLIED, REVIEW};
use serde_json::{Map, Value, json};

/// Annotations that speak of the object they stand in: who wrote it, what was added to it, what
/// follows from it. Those that end in a slash are all of a prefix.
const OWN_ANNOTATIONS: &[&str] = &[
    LAST_APPLIED,
    ANNOTATION,
    REVIEW,
    // kubernetes/kubernetes pkg/controller/deployment/util/deployment_util.go `RevisionAnnotation`.
    "deployment.kubernetes.io/",
    "meta.helm.sh/",
    "helm.sh/",
    "argocd.argoproj.io/",
    "kustomize.toolkit.fluxcd.io/",
    "helm.toolkit.fluxcd.io/",
    // A second record for the same host name (kubernetes-sigs/external-dns
    // docs/annotations/annotations.md).
    "external-dns.alpha.kubernetes.io/",
];

/// Labels by which a tool takes an object for its own: it would prune a copy that carries them.
const OWN_LABELS: &[&str] = &[
    // Argo CD's own mark where it tracks by label (argoproj/argo-cd
    // docs/user-guide/resource_tracking.md).
    "app.kubernetes.io/instance",
    "argocd.argoproj.io/",
    "kustomize.toolkit.fluxcd.io/",
    "helm.toolkit.fluxcd.io/",
    "helm.sh/",
];

/// The same in the spec of a Service: what a cluster gave to this one alone.
const OWN_OF_SERVICE: &[&str] = &[
    "clusterIPs",
    "healthCheckNodePort",
    "externalIPs",
    "externalTrafficPolicy",
    "loadBalancerIP",
    "loadBalancerClass",
    "loadBalancerSourceRanges",
    "allocateLoadBalancerNodePorts",
];

fn is_listed(key: &str, list: &[&str]) -> bool {
    let is = |it: &&str| key == *it || (it.ends_with('/') && key.starts_with(it));
    list.iter().any(is)
}

/// Name, namespace, and labels and annotations that are not the original's alone.
fn metadata(original: &Value, canary_name: &str, changes: &Changes) -> Value {
    let kept = |map: &str, own: &[&str]| -> Map<String, Value> {
        let map = original["metadata"].get(map).and_then(Value::as_object);
        let kept = map.into_iter().flatten();
        kept.filter(|(key, _)| !is_listed(key, own))
            .map(|(key, value)| (key.clone(), value.clone()))
            .collect()
    };
    let mut labels = kept("labels", OWN_LABELS);
    change(&mut labels, changes);
    let mut metadata = json!({
        "name": canary_name,
        "labels": labels,
        "annotations": kept("annotations", OWN_ANNOTATIONS),
    });
    if let Some(namespace) = original.at("/metadata/namespace") {
        metadata["namespace"] = namespace.clone();
    }
    metadata
}

/// Gives the labels that are there their other value.
pub(super) fn change(labels: &mut Map<String, Value>, changes: &Changes) {
    for (key, value) in changes {
        if let Some(label) = labels.get_mut(key) {
            *label = json!(value);
        }
    }
}

/// The canary's Deployment, in the stable version still.
pub(super) fn deployment(stable: &Value, changes: &Changes, replicas: u32) -> Value {
    let mut spec = stable["spec"].clone();
    if let Value::Object(spec) = &mut spec {
        spec.remove("paused");
        spec.insert("replicas".to_owned(), json!(replicas));
    }
    spec["selector"] = Selecting::at(stable, "/spec/selector").changed(changes);
    if let Some(Value::Object(metadata)) = spec.pointer_mut("/template/metadata") {
        metadata.remove("creationTimestamp");
        if let Some(Value::Object(labels)) = metadata.get_mut("labels") {
            change(labels, changes);
        }
    }
    json!({
        "apiVersion": stable["apiVersion"],
        "kind": stable["kind"],
        "metadata": metadata(stable, &canary(name(stable)), changes),
        "spec": spec,
    })
}

/// The canary's Service: the same ports, another selector, an address of its own in the cluster.
/// One without an address stays so.
pub(super) fn service(stable: &Value, changes: &Changes, selector: &Value) -> Value {
    let mut spec = stable["spec"].clone();
    if let Value::Object(spec) = &mut spec {
        spec.retain(|key, _| !OWN_OF_SERVICE.contains(&key.as_str()));
        if spec.get("clusterIP").is_some_and(|it| it != "None") {
            spec.remove("clusterIP");
        }
        spec.insert("type".to_owned(), json!("ClusterIP"));
        spec.insert("selector".to_owned(), selector.clone());
    }
    let ports = spec.pointer_mut("/ports").and_then(Value::as_array_mut);
    for port in ports.into_iter().flatten() {
        if let Value::Object(port) = port {
            port.remove("nodePort");
        }
    }
    let mut service = json!({
        "apiVersion": stable["apiVersion"],
        "kind": stable["kind"],
        "metadata": metadata(stable, &canary(name(stable)), changes),
    });
    set(&mut service, "/spec", spec);
    service
}
