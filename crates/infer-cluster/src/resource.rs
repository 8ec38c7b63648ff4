//! The API resources that are watched, as data.

use infer_core::kind::{Kind, KindSet};
use kube::core::{ApiResource, GroupVersionKind};

/// An API resource, and the kinds of the snapshot that it serves.
#[derive(Debug, PartialEq, Eq)]
pub struct Resource {
    /// API group, empty for core.
    pub group: &'static str,
    /// API version.
    pub version: &'static str,
    /// Kind, as the API spells it.
    pub kind: &'static str,
    /// Name in URLs and in RBAC rules.
    pub plural: &'static str,
    /// What of the snapshot is not known without it.
    pub serves: KindSet,
}

const fn resource(
    group: &'static str,
    kind: &'static str,
    plural: &'static str,
    serves: &[Kind],
) -> Resource {
    Resource {
        group,
        version: "v1",
        kind,
        plural,
        serves: KindSet::of(serves),
    }
}

/// Every resource that may be watched. Pods and Jobs are not: no route leads to a bare pod in
/// practice, and pods are the bulk of a cluster.
pub(crate) static RESOURCES: &[Resource] = &[
    resource(
        "networking.k8s.io",
        "IngressClass",
        "ingressclasses",
        &[Kind::IngressClass],
    ),
    resource(
        "networking.k8s.io",
        "Ingress",
        "ingresses",
        &[Kind::Ingress],
    ),
    resource("", "Service", "services", &[Kind::Service]),
    resource("", "Namespace", "namespaces", &[Kind::Namespace]),
    resource("", "Node", "nodes", &[Kind::Node]),
    resource("apps", "Deployment", "deployments", &[Kind::Workload]),
    resource("apps", "StatefulSet", "statefulsets", &[Kind::Workload]),
    resource("apps", "DaemonSet", "daemonsets", &[Kind::Workload]),
    // One without an owner is a workload; an owned one is a revision of its Deployment.
    resource(
        "apps",
        "ReplicaSet",
        "replicasets",
        &[Kind::Workload, Kind::Revision],
    ),
    resource(
        "apps",
        "ControllerRevision",
        "controllerrevisions",
        &[Kind::Revision],
    ),
];

impl Resource {
    /// As kube's client wants it.
    pub(crate) fn api(&self) -> ApiResource {
        let kind = GroupVersionKind::gvk(self.group, self.version, self.kind);
        ApiResource::from_gvk_with_plural(&kind, self.plural)
    }

    /// `apiVersion` of its objects.
    pub(crate) fn api_version(&self) -> String {
        match self.group {
            "" => self.version.to_owned(),
            group => format!("{group}/{}", self.version),
        }
    }

    /// Its name as kubectl prints it: `ingresses.networking.k8s.io`.
    pub fn name(&self) -> String {
        match self.group {
            "" => self.plural.to_owned(),
            group => format!("{}.{group}", self.plural),
        }
    }

    /// The rule that a ClusterRole needs for the watch.
    pub fn rbac(&self) -> String {
        format!(
            "- apiGroups: [{:?}]\n  resources: [{:?}]\n  verbs: [\"get\", \"list\", \"watch\"]",
            self.group, self.plural
        )
    }
}
