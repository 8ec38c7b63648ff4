//! Which kinds of object the engine knows, as data: pod-bearing kinds with the place of their
//! template, and the kinds that rules read.

use serde_json::Value;

/// What review may do to a kind that carries a pod template.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// Findings and every fix.
    Full,
    /// Findings, and of the fixes only the GPU limit: it ends by itself and serves nobody.
    GpuOnly,
    /// Findings only: another controller owns the object's shape.
    Report,
}

/// A kind that carries a pod template.
#[derive(Debug, PartialEq, Eq)]
pub struct PodKind {
    /// API group, empty for core.
    pub group: &'static str,
    /// Kind, as the API spells it.
    pub kind: &'static str,
    /// Pointer to the object that has the pod's `metadata` and `spec`.
    pub template: &'static str,
    /// What review may do.
    pub mode: Mode,
    /// Whether an UPDATE may change the template (pods and jobs are immutable there).
    pub mutable: bool,
    /// Whether `spec.selector` is required and must match the template's labels.
    pub selector_required: bool,
}

const fn workload(group: &'static str, kind: &'static str, mode: Mode) -> PodKind {
    PodKind {
        group,
        kind,
        template: "/spec/template",
        mode,
        mutable: true,
        selector_required: true,
    }
}

/// Every pod-bearing kind that review reads. A kind is added here and nowhere else.
pub static POD_KINDS: &[PodKind] = &[
    workload("apps", "Deployment", Mode::Full),
    workload("apps", "StatefulSet", Mode::Full),
    workload("apps", "DaemonSet", Mode::Full),
    workload("apps", "ReplicaSet", Mode::Full),
    PodKind {
        group: "",
        kind: "Pod",
        template: "",
        mode: Mode::Full,
        mutable: false,
        selector_required: false,
    },
    PodKind {
        group: "batch",
        kind: "Job",
        template: "/spec/template",
        mode: Mode::GpuOnly,
        mutable: false,
        selector_required: false,
    },
    PodKind {
        group: "batch",
        kind: "CronJob",
        template: "/spec/jobTemplate/spec/template",
        mode: Mode::GpuOnly,
        mutable: true,
        selector_required: false,
    },
    PodKind {
        selector_required: false,
        ..workload("argoproj.io", "Rollout", Mode::Report)
    },
    PodKind {
        selector_required: false,
        ..workload("serving.knative.dev", "Service", Mode::Report)
    },
];

/// A kind that rules read from the snapshot.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum Kind {
    /// Pod-bearing kinds, all of them.
    Workload,
    /// `v1` Service.
    Service,
    /// `networking.k8s.io/v1` Ingress.
    Ingress,
    /// `networking.k8s.io/v1` IngressClass.
    IngressClass,
    /// `v1` Namespace, for its labels.
    Namespace,
    /// `v1` Node, for what it offers.
    Node,
    /// ReplicaSets and ControllerRevisions, as digests of their templates.
    Revision,
    /// `gateway.networking.k8s.io` GatewayClass.
    GatewayClass,
    /// `gateway.networking.k8s.io` Gateway.
    Gateway,
    /// `gateway.networking.k8s.io` HTTPRoute.
    HttpRoute,
    /// `networking.istio.io` Gateway: another kind of the same name.
    IstioGateway,
    /// `networking.istio.io` VirtualService.
    VirtualService,
    /// `networking.istio.io` DestinationRule.
    DestinationRule,
    /// `discovery.k8s.io/v1` EndpointSlice.
    EndpointSlice,
}

impl Kind {
    /// Every kind, in the order of their declaration.
    pub const ALL: [Kind; 14] = [
        Kind::Workload,
        Kind::Service,
        Kind::Ingress,
        Kind::IngressClass,
        Kind::Namespace,
        Kind::Node,
        Kind::Revision,
        Kind::GatewayClass,
        Kind::Gateway,
        Kind::HttpRoute,
        Kind::IstioGateway,
        Kind::VirtualService,
        Kind::DestinationRule,
        Kind::EndpointSlice,
    ];

    /// What admission may read beside a request. The kinds of Gateway API and of a mesh are left out:
    /// their CRDs may be missing, and the webhook shall need no right to them. Ingresses are, too:
    /// only routes of a mesh, which admission does not review, are compared with them.
    pub const AT_ADMISSION: KindSet = KindSet::of(&[
        Kind::Workload,
        Kind::Service,
        Kind::IngressClass,
        Kind::Namespace,
        Kind::Node,
        Kind::Revision,
    ]);

    /// The name as a person would say it, with its article: "a Service".
    pub fn with_article(self) -> &'static str {
        match self {
            Kind::Workload => "a workload",
            Kind::Service => "a Service",
            Kind::Ingress => "an Ingress",
            Kind::IngressClass => "an IngressClass",
            Kind::Namespace => "a Namespace",
            Kind::Node => "a Node",
            Kind::Revision => "a revision",
            Kind::GatewayClass => "a GatewayClass",
            Kind::Gateway => "a Gateway",
            Kind::HttpRoute => "an HTTPRoute",
            Kind::IstioGateway => "an Istio Gateway",
            Kind::VirtualService => "a VirtualService",
            Kind::DestinationRule => "a DestinationRule",
            Kind::EndpointSlice => "an EndpointSlice",
        }
    }
}

/// A set of kinds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct KindSet(u16);

impl KindSet {
    /// The empty set.
    pub const NONE: KindSet = KindSet(0);

    /// The set of `kinds`.
    pub const fn of(kinds: &[Kind]) -> KindSet {
        let mut bits = 0;
        let mut index = 0;
        while index < kinds.len() {
            bits |= 1 << kinds[index] as u16;
            index += 1;
        }
        KindSet(bits)
    }

    /// This set and `kind`.
    #[must_use]
    pub const fn with(self, kind: Kind) -> KindSet {
        KindSet(self.0 | 1 << kind as u16)
    }

    /// Whether `kind` is in the set.
    pub const fn contains(self, kind: Kind) -> bool {
        self.0 & (1 << kind as u16) != 0
    }

    /// What is in either set.
    #[must_use]
    pub const fn union(self, other: KindSet) -> KindSet {
        KindSet(self.0 | other.0)
    }

    /// What is in both sets.
    #[must_use]
    pub const fn both(self, other: KindSet) -> KindSet {
        KindSet(self.0 & other.0)
    }

    /// What is in this set and not in `other`.
    #[must_use]
    pub const fn without(self, other: KindSet) -> KindSet {
        KindSet(self.0 & !other.0)
    }

    /// The kinds in the set.
    pub fn iter(self) -> impl Iterator<Item = Kind> {
        Kind::ALL
            .into_iter()
            .filter(move |kind| self.contains(*kind))
    }
}

/// The pod-bearing kind of this group and kind, whatever the API version.
pub fn pod_kind(api_version: &str, kind: &str) -> Option<&'static PodKind> {
    let group = group(api_version);
    POD_KINDS
        .iter()
        .find(|known| known.kind == kind && known.group == group)
}

/// The pod-bearing kind of an object.
pub fn pod_kind_of(object: &Value) -> Option<&'static PodKind> {
    pod_kind(
        object.get("apiVersion")?.as_str()?,
        object.get("kind")?.as_str()?,
    )
}

/// The group of an `apiVersion`, empty for core.
pub fn group(api_version: &str) -> &str {
    api_version.split_once('/').map_or("", |(group, _)| group)
}

/// The kind under which the snapshot keeps an object, if it keeps it at all.
pub fn stored_kind_of(object: &Value) -> Option<Kind> {
    if pod_kind_of(object).is_some() {
        return Some(Kind::Workload);
    }
    let api_version = object.get("apiVersion")?.as_str()?;
    match (group(api_version), object.get("kind")?.as_str()?) {
        ("", "Service") => Some(Kind::Service),
        ("", "Namespace") => Some(Kind::Namespace),
        ("", "Node") => Some(Kind::Node),
        ("networking.k8s.io", "Ingress") => Some(Kind::Ingress),
        ("networking.k8s.io", "IngressClass") => Some(Kind::IngressClass),
        ("gateway.networking.k8s.io", "GatewayClass") => Some(Kind::GatewayClass),
        ("gateway.networking.k8s.io", "Gateway") => Some(Kind::Gateway),
        ("gateway.networking.k8s.io", "HTTPRoute") => Some(Kind::HttpRoute),
        ("networking.istio.io", "Gateway") => Some(Kind::IstioGateway),
        ("networking.istio.io", "VirtualService") => Some(Kind::VirtualService),
        ("networking.istio.io", "DestinationRule") => Some(Kind::DestinationRule),
        ("discovery.k8s.io", "EndpointSlice") => Some(Kind::EndpointSlice),
        _ => None,
    }
}
