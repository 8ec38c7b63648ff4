//! What a person points at.

use infer_core::kind;
use infer_core::object;
use serde::Serialize;
use serde_json::Value;
use std::fmt;

/// A kind that a route can be read from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
pub enum SubjectKind {
    /// `networking.k8s.io` Ingress.
    Ingress,
    /// `gateway.networking.k8s.io` HTTPRoute.
    #[serde(rename = "HTTPRoute")]
    HttpRoute,
    /// `networking.istio.io` VirtualService.
    VirtualService,
    /// `v1` Service.
    Service,
    /// `apps/v1` Deployment.
    Deployment,
    /// `apps/v1` StatefulSet.
    StatefulSet,
    /// `apps/v1` DaemonSet.
    DaemonSet,
    /// `v1` Pod.
    Pod,
}

/// What kubectl calls each kind: name, plural, short names, group (`kubectl api-resources`).
const NAMES: [(SubjectKind, &[&str], &str); 8] = [
    (
        SubjectKind::Ingress,
        &["ingress", "ingresses", "ing"],
        "networking.k8s.io",
    ),
    (
        SubjectKind::HttpRoute,
        &["httproute", "httproutes"],
        "gateway.networking.k8s.io",
    ),
    (
        SubjectKind::VirtualService,
        &["virtualservice", "virtualservices", "vs"],
        "networking.istio.io",
    ),
    (SubjectKind::Service, &["service", "services", "svc"], ""),
    (
        SubjectKind::Deployment,
        &["deployment", "deployments", "deploy"],
        "apps",
    ),
    (
        SubjectKind::StatefulSet,
        &["statefulset", "statefulsets", "sts"],
        "apps",
    ),
    (
        SubjectKind::DaemonSet,
        &["daemonset", "daemonsets", "ds"],
        "apps",
    ),
    (SubjectKind::Pod, &["pod", "pods", "po"], ""),
];

impl SubjectKind {
    /// Every kind.
    pub fn all() -> impl Iterator<Item = SubjectKind> {
        NAMES.iter().map(|(kind, ..)| *kind)
    }

    /// The kind that kubectl calls so: `ing`, `Ingress`, `ingresses.networking.k8s.io`,
    /// `ingress.v1.networking.k8s.io`.
    pub fn parse(word: &str) -> Option<SubjectKind> {
        let lower = word.to_ascii_lowercase();
        let (plain, asked) = lower.split_once('.').unwrap_or((&lower, ""));
        let found = NAMES.iter().find(|(_, names, group)| {
            let group_fits = asked.is_empty()
                || asked == *group
                || asked
                    .split_once('.')
                    .is_some_and(|(version, rest)| version.starts_with('v') && rest == *group);
            names.contains(&plain) && group_fits
        });
        found.map(|(kind, ..)| *kind)
    }

    /// As the API spells it.
    pub fn kind(self) -> &'static str {
        match self {
            SubjectKind::Ingress => "Ingress",
            SubjectKind::HttpRoute => "HTTPRoute",
            SubjectKind::VirtualService => "VirtualService",
            SubjectKind::Service => "Service",
            SubjectKind::Deployment => "Deployment",
            SubjectKind::StatefulSet => "StatefulSet",
            SubjectKind::DaemonSet => "DaemonSet",
            SubjectKind::Pod => "Pod",
        }
    }

    /// API group, empty for core.
    pub fn group(self) -> &'static str {
        NAMES
            .iter()
            .find(|(kind, ..)| *kind == self)
            .map_or("", |(.., group)| group)
    }

    /// Whether a route begins there, not only leads through it.
    pub fn is_entry(self) -> bool {
        matches!(
            self,
            SubjectKind::Ingress | SubjectKind::HttpRoute | SubjectKind::VirtualService
        )
    }
}

/// What a person points at.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Subject {
    /// Its kind.
    pub kind: SubjectKind,
    /// Its namespace; empty in files that name none.
    pub namespace: String,
    /// Its name.
    pub name: String,
}

impl Subject {
    /// Whether it is this object. A namespace that one side leaves out joins.
    pub fn is(&self, object: &Value) -> bool {
        let text = |member: &str| {
            object
                .get(member)
                .and_then(Value::as_str)
                .unwrap_or_default()
        };
        text("kind") == self.kind.kind()
            && kind::group(text("apiVersion")) == self.kind.group()
            && object::name(object) == self.name
            && object::same_namespace(object::namespace(object), &self.namespace)
    }
}

impl fmt::Display for Subject {
    /// As kubectl takes it: `ingress/NAME`.
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            out,
            "{}/{}",
            self.kind.kind().to_ascii_lowercase(),
            self.name
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_kind_is_named_as_kubectl_names_it() {
        for (word, kind) in [
            ("ing", SubjectKind::Ingress),
            ("Ingress", SubjectKind::Ingress),
            ("ingresses.v1.networking.k8s.io", SubjectKind::Ingress),
            (
                "httproutes.gateway.networking.k8s.io",
                SubjectKind::HttpRoute,
            ),
            ("vs", SubjectKind::VirtualService),
            ("deploy", SubjectKind::Deployment),
            ("deployments.apps", SubjectKind::Deployment),
            ("po", SubjectKind::Pod),
        ] {
            assert_eq!(SubjectKind::parse(word), Some(kind), "{word}");
        }
        for word in [
            "",
            "gateway",
            "service.serving.knative.dev",
            "ingress.example.com",
        ] {
            assert_eq!(SubjectKind::parse(word), None, "{word}");
        }
    }
}
