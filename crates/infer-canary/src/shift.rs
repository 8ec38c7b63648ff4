//! How each kind of route carries a share for the canary, and what is created for one.
//!
//! Objects are untyped JSON, as everywhere: what nobody here knows survives. A change is made to a
//! copy, and the patch is the difference of the two, behind tests of uid and resourceVersion.

mod bound;
mod copies;
mod http_route;
mod ingress_nginx;
mod names;
mod notes;
mod plan;
mod reach;
mod refusal;
mod selectors;
mod split;
mod virtual_service;

pub use bound::{promote, scale};
pub use ingress_nginx::CanaryAnnotations;
pub use json_patch::{Patch, PatchOperation};
pub use names::{CANARY_OF, CANARY_RUN, MANAGED_BY, MANAGER};
pub use plan::plan;
pub use refusal::Refusal;

use crate::owner::Owner;
use crate::version::Version;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::fmt;

/// What carries the share.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq, Serialize)]
pub enum Via {
    /// A second Ingress with canary annotations.
    #[serde(rename = "ingress-nginx")]
    IngressNginx,
    /// `backendRefs` weights of an HTTPRoute.
    #[serde(rename = "httproute")]
    HttpRoute,
    /// Destination weights of a VirtualService.
    #[serde(rename = "virtualservice")]
    VirtualService,
}

impl Via {
    /// `ingress-nginx`, `httproute` or `virtualservice`.
    pub fn as_str(self) -> &'static str {
        match self {
            Via::IngressNginx => "ingress-nginx",
            Via::HttpRoute => "httproute",
            Via::VirtualService => "virtualservice",
        }
    }

    /// The kind of the object that holds the share.
    pub fn kind(self) -> &'static str {
        match self {
            Via::IngressNginx => "Ingress",
            Via::HttpRoute => "HTTPRoute",
            Via::VirtualService => "VirtualService",
        }
    }
}

impl fmt::Display for Via {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Kind and name of an object of the run's namespace.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Named {
    /// Kind, as the API spells it.
    pub kind: String,
    /// Name.
    pub name: String,
}

impl Named {
    /// The object of this kind and name.
    pub fn new(kind: impl Into<String>, name: impl Into<String>) -> Named {
        Named {
            kind: kind.into(),
            name: name.into(),
        }
    }

    /// The route that a person names as `KIND/NAME`, with the kind's short and plural names, too;
    /// none where it is no kind that can carry a share.
    pub fn route(text: &str) -> Option<Named> {
        let (kind, name) = text.split_once('/')?;
        let via = match kind.to_ascii_lowercase().as_str() {
            "ingress" | "ingresses" | "ing" => Via::IngressNginx,
            "httproute" | "httproutes" => Via::HttpRoute,
            "virtualservice" | "virtualservices" | "vs" => Via::VirtualService,
            _ => return None,
        };
        (!name.is_empty()).then(|| Named::new(via.kind(), name))
    }

    /// What an object is called.
    pub fn of(object: &Value) -> Named {
        let kind = object.get("kind").and_then(Value::as_str);
        Named::new(kind.unwrap_or_default(), infer_core::object::name(object))
    }
}

impl fmt::Display for Named {
    /// `ingress/NAME`, as kubectl writes it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.kind.to_ascii_lowercase(), self.name)
    }
}

/// The share of the canary, as an object holds it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Weight {
    /// So many percent, in every rule.
    Share(u8),
    /// The canary is not in it.
    Absent,
    /// Something that we did not write, in words.
    Foreign(String),
}

/// What is there before a canary begins. Lists may hold more than is asked for: what does not lead
/// to the workload is not looked at.
#[derive(Clone, Debug, Default)]
pub struct Stable {
    /// The workload.
    pub workload: Value,
    /// Services of its namespace.
    pub services: Vec<Value>,
    /// Ingresses, HTTPRoutes and VirtualServices of its namespace.
    pub routes: Vec<Value>,
    /// Anything else that is known: IngressClasses, HorizontalPodAutoscalers, NetworkPolicies,
    /// DestinationRules, Deployments (the second version, one that has the canary's name), Rollouts.
    pub others: Vec<Value>,
}

/// What is wanted.
#[derive(Clone, Debug)]
pub struct Wanted {
    /// The second version.
    pub version: Version,
    /// The route to use, where several lead to the workload (`--route KIND/NAME`). The kind in any
    /// case.
    pub route: Option<Named>,
    /// Replicas of the canary.
    pub replicas: u32,
    /// The run's own name, in an annotation of what is created.
    pub run: String,
}

/// One of the two versions.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Side {
    /// Name of its Deployment.
    pub workload: String,
    /// Name of the Service that the route hands its share to.
    pub service: String,
    /// The label selector of its pods, as kubectl's `-l` takes it.
    pub pods: String,
}

/// That a tool owns an object that would be written to.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Owned {
    /// The object.
    pub object: Named,
    /// The tool.
    pub owner: Owner,
}

/// A shift that can be made: names, the objects to create, and who owns what is there. It is plain
/// data and part of the journal.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Shift {
    /// What carries the share.
    pub via: Via,
    /// The run's own name.
    pub run: String,
    /// The namespace of everything.
    pub namespace: String,
    /// The version that is there.
    pub stable: Side,
    /// The second one.
    pub canary: Side,
    /// The route that clients come by: the main Ingress, the HTTPRoute, the VirtualService.
    pub entry: Named,
    /// The object whose share is set: the canary Ingress, or the entry itself.
    pub carrier: Named,
    /// The annotations that hold the share, for a canary Ingress.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub annotations: Option<CanaryAnnotations>,
    /// What is to be created, in this order; taken away in the reverse one. No uid, no status.
    pub objects: Vec<Value>,
    /// Tools that would undo what is written to the workload and to the route.
    #[serde(default)]
    pub owned: Vec<Owned>,
    /// What a person should know, each one sentence.
    #[serde(default)]
    pub notes: Vec<String>,
}

/// What a route held before the canary came into it, so that it can be taken out again.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Original {
    /// The weight of the stable backend in each rule that leads to it.
    pub weights: Vec<RuleWeight>,
}

/// The weight of the stable backend in one rule.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct RuleWeight {
    /// Which rule, counted from 0.
    pub rule: usize,
    /// The weight; none where none was written.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub weight: Option<i64>,
}

impl Shift {
    /// Whether the canary's Deployment is ours to create, scale and delete. One that was there
    /// before is not.
    pub fn creates_workload(&self) -> bool {
        let mut kinds = self.objects.iter().filter_map(|it| it.get("kind"));
        kinds.any(|kind| kind == "Deployment")
    }

    /// Who would undo our writes.
    ///
    /// # Errors
    ///
    /// [`Refusal::Owned`] when a tool that undoes changes by itself owns the workload or the route.
    pub fn may_write(&self) -> Result<(), Refusal> {
        match self.owned.iter().find(|it| it.owner.tool.undoes()) {
            Some(owned) => Err(Refusal::Owned(owned.clone())),
            None => Ok(()),
        }
    }

    /// The share of the canary in the carrier, as it is stored.
    pub fn weight_of(&self, carrier: &Value) -> Weight {
        match self.via {
            Via::IngressNginx => ingress_nginx::weight_of(self, carrier),
            Via::HttpRoute => http_route::weight_of(self, carrier),
            Via::VirtualService => virtual_service::weight_of(self, carrier),
        }
    }

    /// Whether the canary gets no request by way of the carrier, whatever else others wrote into it.
    /// Where [`Shift::weight_of`] finds something foreign, this still tells whether it is safe.
    pub fn is_idle(&self, carrier: &Value) -> bool {
        match self.via {
            Via::IngressNginx => self.weight_of(carrier) == Weight::Share(0),
            Via::HttpRoute => http_route::FORM.is_idle(self, carrier),
            Via::VirtualService => virtual_service::FORM.is_idle(self, carrier),
        }
    }

    /// What the carrier holds before the first share is set. Kept in the journal.
    ///
    /// # Errors
    ///
    /// When the route does not lead to the stable Service in a way that can be shared.
    pub fn original_of(&self, carrier: &Value) -> Result<Original, Refusal> {
        match self.via {
            Via::IngressNginx => Ok(Original::default()),
            Via::HttpRoute => http_route::original_of(self, carrier),
            Via::VirtualService => virtual_service::original_of(self, carrier),
        }
    }

    /// The patch that gives the canary this share, in percent, of what the carrier leads to it.
    /// Where the share is what it is to be, the patch only tests.
    ///
    /// # Errors
    ///
    /// When the carrier holds something that we did not write.
    pub fn set_weight(&self, carrier: &Value, share: u8) -> Result<Patch, Refusal> {
        let share = share.min(100);
        let mut changed = carrier.clone();
        match self.via {
            Via::IngressNginx => ingress_nginx::set_weight(self, &mut changed, share),
            Via::HttpRoute => http_route::set_weight(self, &mut changed, share),
            Via::VirtualService => virtual_service::set_weight(self, &mut changed, share),
        }?;
        Ok(bound::between(carrier, &changed))
    }

    /// The patch that takes the canary out of the carrier, so that it is what it was. A canary
    /// Ingress is ours as a whole: its share becomes 0, and it is deleted with the other objects.
    ///
    /// # Errors
    ///
    /// When the carrier cannot be read.
    pub fn take_out(&self, carrier: &Value, original: &Original) -> Result<Patch, Refusal> {
        let mut changed = carrier.clone();
        match self.via {
            Via::IngressNginx => ingress_nginx::set_weight(self, &mut changed, 0)?,
            Via::HttpRoute => http_route::take_out(self, &mut changed, original),
            Via::VirtualService => virtual_service::take_out(self, &mut changed, original),
        }
        Ok(bound::between(carrier, &changed))
    }
}

#[cfg(test)]
mod tests;
