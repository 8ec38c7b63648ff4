//! The kinds that a command asks the cluster for.

use kube::core::{ApiResource, GroupVersionKind};
use std::fmt;

/// A kind of the API.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum What {
    /// `v1` Pod.
    Pod,
    /// `v1` Service.
    Service,
    /// `discovery.k8s.io/v1` EndpointSlice.
    EndpointSlice,
    /// `networking.k8s.io/v1` Ingress.
    Ingress,
    /// `networking.k8s.io/v1` IngressClass, in no namespace.
    IngressClass,
    /// `apps/v1` Deployment.
    Deployment,
    /// `apps/v1` StatefulSet.
    StatefulSet,
    /// `apps/v1` DaemonSet.
    DaemonSet,
    /// `apps/v1` ReplicaSet.
    ReplicaSet,
    /// `policy/v1` PodDisruptionBudget.
    PodDisruptionBudget,
    /// `autoscaling/v1` HorizontalPodAutoscaler: what it scales is the same in every version.
    HorizontalPodAutoscaler,
    /// `networking.k8s.io/v1` NetworkPolicy.
    NetworkPolicy,
    /// `v1` Node, in no namespace.
    Node,
    /// `v1` Namespace, in no namespace.
    Namespace,
    /// `coordination.k8s.io/v1` Lease.
    Lease,
    /// `v1` Event.
    Event,
    /// `gateway.networking.k8s.io/v1` GatewayClass, in no namespace.
    GatewayClass,
    /// `gateway.networking.k8s.io/v1` Gateway.
    Gateway,
    /// `gateway.networking.k8s.io/v1` HTTPRoute.
    HttpRoute,
    /// `networking.istio.io/v1` Gateway: another kind of the same name.
    IstioGateway,
    /// `networking.istio.io/v1` VirtualService.
    VirtualService,
    /// `networking.istio.io/v1` DestinationRule.
    DestinationRule,
}

/// Groups whose kinds come with a CRD.
const GATEWAY_API: &str = "gateway.networking.k8s.io";
const ISTIO: &str = "networking.istio.io";

impl What {
    /// Every kind.
    const ALL: [What; 22] = [
        What::Pod,
        What::Service,
        What::EndpointSlice,
        What::Ingress,
        What::IngressClass,
        What::Deployment,
        What::StatefulSet,
        What::DaemonSet,
        What::ReplicaSet,
        What::PodDisruptionBudget,
        What::HorizontalPodAutoscaler,
        What::NetworkPolicy,
        What::Node,
        What::Namespace,
        What::Lease,
        What::Event,
        What::GatewayClass,
        What::Gateway,
        What::HttpRoute,
        What::IstioGateway,
        What::VirtualService,
        What::DestinationRule,
    ];

    /// The kind of an object, by its `apiVersion`'s group and its `kind`; none of others.
    pub fn of(object: &serde_json::Value) -> Option<What> {
        let api_version = object.get("apiVersion")?.as_str()?;
        let (group, version) = api_version.split_once('/').unwrap_or(("", api_version));
        let kind = object.get("kind")?.as_str()?;
        let is = |it: &What| (it.group(), it.version(), it.kind()) == (group, version, kind);
        What::ALL.into_iter().find(is)
    }

    /// Group (empty for core), kind, plural, and whether it lives in a namespace.
    const fn parts(self) -> (&'static str, &'static str, &'static str, bool) {
        match self {
            What::Pod => ("", "Pod", "pods", true),
            What::Service => ("", "Service", "services", true),
            What::EndpointSlice => ("discovery.k8s.io", "EndpointSlice", "endpointslices", true),
            What::Ingress => ("networking.k8s.io", "Ingress", "ingresses", true),
            What::IngressClass => ("networking.k8s.io", "IngressClass", "ingressclasses", false),
            What::Deployment => ("apps", "Deployment", "deployments", true),
            What::StatefulSet => ("apps", "StatefulSet", "statefulsets", true),
            What::DaemonSet => ("apps", "DaemonSet", "daemonsets", true),
            What::ReplicaSet => ("apps", "ReplicaSet", "replicasets", true),
            What::PodDisruptionBudget => (
                "policy",
                "PodDisruptionBudget",
                "poddisruptionbudgets",
                true,
            ),
            What::HorizontalPodAutoscaler => (
                "autoscaling",
                "HorizontalPodAutoscaler",
                "horizontalpodautoscalers",
                true,
            ),
            What::NetworkPolicy => (
                "networking.k8s.io",
                "NetworkPolicy",
                "networkpolicies",
                true,
            ),
            What::Node => ("", "Node", "nodes", false),
            What::Namespace => ("", "Namespace", "namespaces", false),
            What::Lease => ("coordination.k8s.io", "Lease", "leases", true),
            What::Event => ("", "Event", "events", true),
            What::GatewayClass => (GATEWAY_API, "GatewayClass", "gatewayclasses", false),
            What::Gateway => (GATEWAY_API, "Gateway", "gateways", true),
            What::HttpRoute => (GATEWAY_API, "HTTPRoute", "httproutes", true),
            What::IstioGateway => (ISTIO, "Gateway", "gateways", true),
            What::VirtualService => (ISTIO, "VirtualService", "virtualservices", true),
            What::DestinationRule => (ISTIO, "DestinationRule", "destinationrules", true),
        }
    }

    /// API group, empty for core.
    pub fn group(self) -> &'static str {
        self.parts().0
    }

    /// API version: `v1` for each of them.
    pub fn version(self) -> &'static str {
        "v1"
    }

    /// `apiVersion` of its objects.
    pub fn api_version(self) -> String {
        match self.group() {
            "" => self.version().to_owned(),
            group => format!("{group}/{}", self.version()),
        }
    }

    /// Kind, as the API spells it.
    pub fn kind(self) -> &'static str {
        self.parts().1
    }

    /// Name in URLs and in RBAC rules.
    pub fn plural(self) -> &'static str {
        self.parts().2
    }

    /// Whether its objects live in a namespace.
    pub fn is_namespaced(self) -> bool {
        self.parts().3
    }

    /// Its name as kubectl takes it, with the group where there is one:
    /// `ingresses.networking.k8s.io`.
    pub fn resource(self) -> String {
        match self.group() {
            "" => self.plural().to_owned(),
            group => format!("{}.{group}", self.plural()),
        }
    }

    /// As kube's client wants it.
    pub(crate) fn api(self) -> ApiResource {
        let kind = GroupVersionKind::gvk(self.group(), self.version(), self.kind());
        ApiResource::from_gvk_with_plural(&kind, self.plural())
    }
}

impl fmt::Display for What {
    /// In lower case, as kubectl writes `pod/NAME`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.kind().to_ascii_lowercase())
    }
}
