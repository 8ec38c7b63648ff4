//! What stands beside the workload whatever the entry is: Namespace, Service, PodDisruptionBudget.

use crate::container::PORT_NAME;
use crate::document::Document;
use crate::entry;
use crate::intent::{Intent, Wanted};
use k8s_openapi::api::core::v1::{Namespace, Service, ServicePort, ServiceSpec};
use k8s_openapi::api::policy::v1::{PodDisruptionBudget, PodDisruptionBudgetSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{LabelSelector, ObjectMeta};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use std::collections::BTreeMap;

/// The label that every object carries, and that selects the pods.
const NAME: &str = "app.kubernetes.io/name";
/// The Service's port.
pub(crate) const PORT: u16 = 80;

pub(crate) fn selector(intent: &Intent) -> BTreeMap<String, String> {
    BTreeMap::from([(NAME.to_owned(), intent.name.clone())])
}

pub(crate) fn metadata(intent: &Intent) -> ObjectMeta {
    ObjectMeta {
        name: Some(intent.name.clone()),
        namespace: intent.namespace.clone(),
        labels: Some(selector(intent)),
        ..ObjectMeta::default()
    }
}

/// The Namespace, where the entry needs a label on it; the namespace of anything else is whoever's
/// it is.
pub(crate) fn namespace(wanted: &Wanted<'_>) -> Option<Document> {
    let labels = entry::namespace_labels(wanted.intent);
    let name = wanted.intent.namespace.as_ref()?;
    if labels.is_empty() {
        return None;
    }
    let mut document = Document::of(&Namespace {
        metadata: ObjectMeta {
            name: Some(name.clone()),
            labels: Some(labels),
            ..ObjectMeta::default()
        },
        ..Namespace::default()
    });
    document.comment(
        "",
        "`kubectl delete -k` of this base deletes the namespace with all that is in it.",
    );
    document.comment(
        "/metadata/labels",
        "New pods of this namespace get a sidecar; those that run already have to be restarted.",
    );
    Some(document)
}

pub(crate) fn service(wanted: &Wanted<'_>) -> Document {
    let intent = wanted.intent;
    let mut document = Document::of(&Service {
        metadata: metadata(intent),
        spec: Some(ServiceSpec {
            selector: Some(selector(intent)),
            ports: Some(vec![ServicePort {
                name: Some(PORT_NAME.to_owned()),
                port: i32::from(PORT),
                protocol: Some("TCP".to_owned()),
                target_port: Some(IntOrString::String(PORT_NAME.to_owned())),
                ..ServicePort::default()
            }]),
            ..ServiceSpec::default()
        }),
        ..Service::default()
    });
    document.comment(
        "/spec/ports/0/name",
        "Named after the protocol: meshes go by it, and guess where a port has no name.",
    );
    document
}

/// What keeps a node's drain from taking all replicas at once; one replica alone it could only block.
pub(crate) fn disruption_budget(wanted: &Wanted<'_>) -> Option<Document> {
    let intent = wanted.intent;
    if intent.replicas < 2 {
        return None;
    }
    let mut document = Document::of(&PodDisruptionBudget {
        metadata: metadata(intent),
        spec: Some(PodDisruptionBudgetSpec {
            selector: Some(LabelSelector {
                match_labels: Some(selector(intent)),
                ..LabelSelector::default()
            }),
            max_unavailable: Some(IntOrString::Int(1)),
            unhealthy_pod_eviction_policy: Some("AlwaysAllow".to_owned()),
            ..PodDisruptionBudgetSpec::default()
        }),
        ..PodDisruptionBudget::default()
    });
    document.comment(
        "/spec/maxUnavailable",
        "Drains of nodes take one replica at a time.",
    );
    document.comment(
        "/spec/unhealthyPodEvictionPolicy",
        "A pod that never became ready does not block the drain of its node.",
    );
    Some(document)
}
