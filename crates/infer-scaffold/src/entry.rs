//! What lets clients in, and what it needs of the workload and of its namespace.

mod gateway;
mod ingress;
mod istio;

use crate::document::Document;
use crate::intent::{Intent, Wanted};
use infer_core::Engine;
use std::collections::BTreeMap;

/// What lets clients in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Via {
    /// An Ingress for the Kubernetes community's controller.
    IngressNginx,
    /// An Ingress for F5's controller.
    F5Nginx,
    /// A Gateway and an HTTPRoute of Gateway API.
    Gateway,
    /// A Gateway, a VirtualService and a DestinationRule of Istio.
    Istio,
    /// An Ingress for Contour.
    Contour,
    /// An Ingress for Traefik.
    Traefik,
    /// Nothing: the Service alone.
    None,
}

impl Via {
    /// All of them.
    pub const ALL: [Via; 7] = [
        Via::IngressNginx,
        Via::F5Nginx,
        Via::Gateway,
        Via::Istio,
        Via::Contour,
        Via::Traefik,
        Via::None,
    ];

    /// As a person writes it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Via::IngressNginx => "ingress-nginx",
            Via::F5Nginx => "f5-nginx",
            Via::Gateway => "gateway",
            Via::Istio => "istio",
            Via::Contour => "contour",
            Via::Traefik => "traefik",
            Via::None => "none",
        }
    }

    /// The object that `kubectl infer` is pointed at, as `TYPE/NAME`.
    #[must_use]
    pub fn subject(self, name: &str) -> String {
        let kind = match self {
            Via::IngressNginx | Via::F5Nginx | Via::Contour | Via::Traefik => "ingress",
            Via::Gateway => "httproute",
            Via::Istio => "virtualservice",
            Via::None => "svc",
        };
        format!("{kind}/{name}")
    }
}

/// The objects of the entry.
pub(crate) fn objects(engine: &Engine, wanted: &Wanted<'_>) -> Vec<Document> {
    match wanted.intent.via {
        Via::IngressNginx | Via::F5Nginx | Via::Contour | Via::Traefik => {
            vec![ingress::ingress(engine, wanted)]
        }
        Via::Gateway => gateway::objects(wanted),
        Via::Istio => istio::objects(wanted),
        Via::None => Vec::new(),
    }
}

/// What a person should know of the entry and no comment can say.
pub(crate) fn notes(engine: &Engine, wanted: &Wanted<'_>) -> Vec<String> {
    let intent = wanted.intent;
    let mut notes = Vec::new();
    if intent.host.is_none() && intent.via != Via::None {
        notes.push(format!(
            "clients use the host `{}`, which no DNS knows: `--host` names another",
            wanted.host
        ));
    }
    match intent.via {
        Via::IngressNginx | Via::F5Nginx | Via::Contour | Via::Traefik => {
            notes.extend(ingress::notes(engine, wanted));
        }
        Via::Gateway => notes.extend(gateway::notes(wanted)),
        Via::Istio | Via::None => {}
    }
    notes
}

/// Labels that pods need besides their name.
pub(crate) fn pod_labels(intent: &Intent) -> BTreeMap<String, String> {
    match intent.via {
        // Without a Namespace to label, the pods say it themselves.
        Via::Istio if intent.namespace.is_none() => istio::pod_labels(),
        _ => BTreeMap::new(),
    }
}

/// Labels that the namespace needs.
pub(crate) fn namespace_labels(intent: &Intent) -> BTreeMap<String, String> {
    match intent.via {
        Via::Istio => istio::namespace_labels(),
        _ => BTreeMap::new(),
    }
}

/// Whether the GatewayClass is Envoy Gateway's, by the name that its makers use.
pub(crate) fn is_envoy_gateway(wanted: &Wanted<'_>) -> bool {
    let class = wanted.intent.class.as_deref();
    class.is_none_or(|class| class == gateway::CLASS)
}

/// The label of Istio's gateway pods.
pub(crate) fn istio_gateway_selector(wanted: &Wanted<'_>) -> (String, String) {
    istio::gateway_selector(wanted)
}
