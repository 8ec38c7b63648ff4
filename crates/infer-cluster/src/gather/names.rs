//! What objects name: Services, Gateways, owners, and selectors as the API takes them.

use crate::objects::{Selector, text};
use crate::what::What;
use infer_core::object;
use infer_core::route::{self, ServiceName};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};

/// So many selectors of pods are asked, where they cannot be merged into one.
const MOST_SELECTORS: usize = 2;

/// A Service by its place.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct ServiceKey {
    pub(super) namespace: String,
    pub(super) name: String,
}

impl ServiceKey {
    pub(super) fn new(namespace: &str, name: &str) -> ServiceKey {
        ServiceKey {
            namespace: namespace.to_owned(),
            name: name.to_owned(),
        }
    }
}

/// Labels of a selector.
pub(super) type Labels = BTreeMap<String, String>;

/// The workload that makes a pod.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Owner {
    pub(super) what: What,
    pub(super) namespace: String,
    pub(super) name: String,
}

pub(super) fn is_workload(what: What) -> bool {
    matches!(
        what,
        What::Deployment | What::StatefulSet | What::DaemonSet | What::Pod
    )
}

fn items<'a>(value: &'a Value, pointer: &str) -> impl Iterator<Item = &'a Value> {
    let items = value.pointer(pointer).and_then(Value::as_array);
    items.into_iter().flatten()
}

fn once(mut keys: Vec<ServiceKey>) -> Vec<ServiceKey> {
    keys.sort();
    keys.dedup();
    keys
}

/// The Services that an Ingress names.
pub(super) fn of_ingress(ingress: &Value) -> Vec<ServiceKey> {
    let namespace = object::namespace(ingress);
    let each = route::backends(ingress).into_iter();
    once(
        each.map(|(_, name)| ServiceKey::new(namespace, name))
            .collect(),
    )
}

/// The Services that an HTTPRoute names.
pub(super) fn of_http_route(http_route: &Value) -> Vec<ServiceKey> {
    let own = object::namespace(http_route);
    let references = items(http_route, "/spec/rules").flat_map(|it| items(it, "/backendRefs"));
    let services = references.filter(|it| matches!(text(it, "/kind").as_str(), "" | "Service"));
    let key = |it: &Value| {
        let namespace = text(it, "/namespace");
        let namespace = if namespace.is_empty() {
            own
        } else {
            &namespace
        };
        ServiceKey::new(namespace, &text(it, "/name"))
    };
    once(services.map(key).collect())
}

/// The Services that a VirtualService sends to.
pub(super) fn of_virtual_service(virtual_service: &Value) -> Vec<ServiceKey> {
    let own = object::namespace(virtual_service);
    let hosts = items(virtual_service, "/spec/http")
        .flat_map(|it| items(it, "/route"))
        .filter_map(|it| it.pointer("/destination/host")?.as_str());
    let names = hosts.filter_map(|host| ServiceName::of_host(host, own));
    once(
        names
            .map(|it| ServiceKey::new(it.namespace, it.name))
            .collect(),
    )
}

/// Namespace and name of the Gateways that an HTTPRoute asks for.
pub(super) fn parents(http_route: &Value) -> Vec<(String, String)> {
    let own = object::namespace(http_route);
    let gateways = items(http_route, "/spec/parentRefs")
        .filter(|it| matches!(text(it, "/kind").as_str(), "" | "Gateway"));
    let each = gateways.map(|it| {
        let namespace = text(it, "/namespace");
        let namespace = if namespace.is_empty() {
            own.to_owned()
        } else {
            namespace
        };
        (namespace, text(it, "/name"))
    });
    each.collect()
}

/// Namespace and name of the Istio Gateways that a VirtualService names.
pub(super) fn mesh_gateways(virtual_service: &Value) -> Vec<(String, String)> {
    let own = object::namespace(virtual_service);
    let names = items(virtual_service, "/spec/gateways").filter_map(Value::as_str);
    let gateways = names.filter(|name| *name != route::EVERY_SIDECAR);
    gateways
        .map(|name| name.split_once('/').unwrap_or((own, name)))
        .map(|(namespace, name)| (namespace.to_owned(), name.to_owned()))
        .collect()
}

/// The EndpointSlices of these Services (KEP-752: the label `kubernetes.io/service-name`).
pub(super) fn service_names(names: &[&str]) -> Selector {
    match names {
        [one] => Selector::slices_of(one),
        many => Selector::labels(format!(
            "kubernetes.io/service-name in ({})",
            many.join(",")
        )),
    }
}

/// A selector of plain labels; none where it selects nothing.
pub(super) fn labels(selector: Option<&Value>) -> Option<Labels> {
    let labels: Labels = selector?
        .as_object()?
        .iter()
        .filter_map(|(key, value)| Some((key.clone(), value.as_str()?.to_owned())))
        .collect();
    (!labels.is_empty()).then_some(labels)
}

/// The least selectors that take the pods of all of these: those that differ in one label only are
/// one. What comes after the first two is left out.
pub(super) fn merged(selectors: &[Labels]) -> Vec<String> {
    let mut different: Vec<&Labels> = Vec::new();
    for selector in selectors {
        if !different.contains(&selector) {
            different.push(selector);
        }
    }
    let plain = |labels: &Labels| {
        let pairs = labels.iter().map(|(key, value)| format!("{key}={value}"));
        pairs.collect::<Vec<_>>().join(",")
    };
    let Some(first) = different.first() else {
        return Vec::new();
    };
    let same_keys = different.iter().all(|it| it.keys().eq(first.keys()));
    let values = |key: &String| -> BTreeSet<&String> {
        different.iter().filter_map(|it| it.get(key)).collect()
    };
    let varying = first.keys().filter(|key| values(key).len() > 1).count();
    if same_keys && varying <= 1 {
        let parts = first.keys().map(|key| {
            let values: Vec<&str> = values(key).into_iter().map(String::as_str).collect();
            match values.as_slice() {
                [one] => format!("{key}={one}"),
                many => format!("{key} in ({})", many.join(",")),
            }
        });
        return vec![parts.collect::<Vec<_>>().join(",")];
    }
    let each = different.into_iter().take(MOST_SELECTORS);
    each.map(plain).collect()
}

/// The workload that a pod belongs to. Of a Deployment's pod the owner is a ReplicaSet, whose name
/// is the Deployment's with the pod's label `pod-template-hash` behind it
/// (kubernetes/kubernetes pkg/controller/deployment/sync.go, `getNewReplicaSet`).
pub(super) fn owner(pod: &Value) -> Option<Owner> {
    let owner = items(pod, "/metadata/ownerReferences")
        .find(|it| it.get("controller").and_then(Value::as_bool) == Some(true))?;
    let name = text(owner, "/name");
    let namespace = object::namespace(pod).to_owned();
    let (what, name) = match text(owner, "/kind").as_str() {
        "ReplicaSet" => {
            let deployment = object::label(pod, "pod-template-hash")
                .and_then(|hash| name.strip_suffix(hash)?.strip_suffix('-'));
            match deployment {
                Some(deployment) => (What::Deployment, deployment.to_owned()),
                None => (What::ReplicaSet, name),
            }
        }
        "StatefulSet" => (What::StatefulSet, name),
        "DaemonSet" => (What::DaemonSet, name),
        // Its template is in no kind that is read here; a pod stands for it.
        _ => return None,
    };
    Some(Owner {
        what,
        namespace,
        name,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn labels_of(pairs: &[(&str, &str)]) -> Labels {
        let each = pairs
            .iter()
            .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()));
        each.collect()
    }

    #[test]
    fn selectors_that_differ_in_one_label_are_one() {
        let stable = labels_of(&[("app", "llama"), ("track", "stable")]);
        let canary = labels_of(&[("app", "llama"), ("track", "canary")]);
        let other = labels_of(&[("name", "vllm")]);
        assert_eq!(
            merged(&[stable.clone(), canary.clone(), stable.clone()]),
            ["app=llama,track in (canary,stable)"]
        );
        assert_eq!(
            merged(&[stable.clone(), other]),
            ["app=llama,track=stable", "name=vllm"]
        );
        assert!(merged(&[]).is_empty());
    }

    #[test]
    fn a_pod_names_its_deployment_through_its_replica_set() {
        let pod = json!({"metadata": {"namespace": "n", "labels": {"pod-template-hash": "6d9f"},
            "ownerReferences": [{"kind": "ReplicaSet", "name": "llama-6d9f", "controller": true}]}});
        let owner = owner(&pod).unwrap();
        assert_eq!(
            (owner.what, owner.name.as_str()),
            (What::Deployment, "llama")
        );
        let bare = json!({"metadata": {"namespace": "n"}});
        assert_eq!(super::owner(&bare), None);
    }
}
