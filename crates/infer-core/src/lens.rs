//! What rules look at: a workload with its servers, an Ingress with the workloads that it leads to,
//! a Service with those that it was meant for.

use crate::catalogue::{Catalogue, Controller};
use crate::kind::PodKind;
use crate::object;
use crate::pointer::Walk;
use crate::policy::{self, Policy};
use crate::route::{Edge, Evidence};
use crate::server::{Server, servers};
use crate::written::Written;
use serde_json::Value;

/// A workload that runs at least one inference server.
#[derive(Debug)]
pub struct Workload<'a> {
    /// The whole object.
    pub object: &'a Value,
    /// Its kind.
    pub kind: &'static PodKind,
    /// Its pod template: `metadata` and `spec`.
    pub template: &'a Value,
    /// Its inference servers.
    pub servers: Vec<Server<'a>>,
    /// Who wrote what.
    pub written: &'a Written<'a>,
}

impl<'a> Workload<'a> {
    /// Looks at an object of this kind; `None` where it runs no inference server.
    pub fn of(
        catalogue: &'a Catalogue,
        object: &'a Value,
        kind: &'static PodKind,
        written: &'a Written<'a>,
    ) -> Option<Workload<'a>> {
        let template = object.at(kind.template)?;
        let servers = servers(catalogue, template, kind.template);
        (!servers.is_empty()).then_some(Workload {
            object,
            kind,
            template,
            servers,
            written,
        })
    }

    /// The container of a server.
    pub fn container(&self, server: &Server<'_>) -> &'a Value {
        self.object.at(&server.path).unwrap_or(&Value::Null)
    }

    /// Pointer to a member of the pod spec.
    pub fn spec(&self, member: &str) -> String {
        format!("{}/spec/{member}", self.kind.template)
    }

    /// A number of the pod spec.
    pub fn spec_seconds(&self, member: &str) -> Option<u32> {
        self.template
            .get("spec")?
            .get(member)?
            .as_u64()?
            .try_into()
            .ok()
    }

    /// How long answers that are under way shall have: the workload's own word, or the policy's.
    pub fn drain_window(&self, policy: &Policy) -> u32 {
        policy::own_seconds(self.object, policy::DRAIN_WINDOW).unwrap_or(policy.drain_window)
    }

    /// How long a generation may take: the workload's own word, or the policy's.
    pub fn longest_generation(&self, policy: &Policy) -> u32 {
        longest_generation(self.object, policy)
    }

    /// How long a server may load: the workload's own word, the policy's, or the runtime's entry.
    pub fn startup_budget(&self, policy: &Policy, server: &Server<'_>) -> u32 {
        policy::own_seconds(self.object, policy::STARTUP_BUDGET)
            .or(policy.startup_budget)
            .unwrap_or(server.runtime.startup_budget_seconds)
    }
}

/// How long a generation of this workload may take.
pub fn longest_generation(workload: &Value, policy: &Policy) -> u32 {
    policy::own_seconds(workload, policy::LONGEST_GENERATION).unwrap_or(policy.longest_generation)
}

/// An Ingress that leads to at least one inference workload.
#[derive(Debug)]
pub struct Route<'a> {
    /// The whole object.
    pub object: &'a Value,
    /// The controllers that may serve it.
    pub controllers: Vec<&'a Controller>,
    /// What tells so.
    pub evidence: Evidence,
    /// The workloads that it leads to, with how sure that is.
    pub edges: Vec<Edge<'a>>,
}

impl<'a> Route<'a> {
    /// The one controller that serves it, if a fix may rest on that.
    pub fn certain_controller(&self) -> Option<&'a Controller> {
        match (self.controllers.as_slice(), self.evidence) {
            ([one], Evidence::ClassObject | Evidence::Prefix) if one.tier.carries_fixes() => {
                Some(one)
            }
            _ => None,
        }
    }

    /// Whether it surely leads to an inference workload, so that a fix may rest on it.
    pub fn is_certain(&self) -> bool {
        self.edges.iter().any(|edge| !edge.assumed)
    }

    /// How long a generation behind this route may take.
    pub fn longest_generation(&self, policy: &Policy) -> u32 {
        let each = self
            .edges
            .iter()
            .map(|edge| longest_generation(edge.workload, policy));
        each.max().unwrap_or(policy.longest_generation)
    }

    /// The value of an annotation.
    pub fn annotation(&self, key: &str) -> Option<&'a str> {
        object::annotation(self.object, key)
    }

    /// How to set something: the annotation and value of the one controller, or of each that may
    /// serve this route.
    pub fn setting<'c>(
        &'c self,
        of: impl Fn(&'c Controller) -> Option<(&'c String, String)>,
    ) -> String {
        let each = self.controllers.iter().filter_map(|controller| {
            let (annotation, value) = of(controller)?;
            let set = format!("`{annotation}: \"{value}\"`");
            Some(match self.controllers.len() {
                1 => set,
                _ => format!("{set} for {}", controller.title),
            })
        });
        format!("set {}", each.collect::<Vec<_>>().join(", or "))
    }

    /// What messages call the controllers: one title, or two with "or".
    pub fn controller_titles(&self) -> String {
        let titles: Vec<&str> = self.controllers.iter().map(|c| c.title.as_str()).collect();
        titles.join(" or ")
    }
}

/// A Service that is meant for an inference workload.
#[derive(Debug)]
pub struct ServiceView<'a> {
    /// The whole object.
    pub object: &'a Value,
    /// The workloads that it reaches or was meant to reach.
    pub edges: Vec<Edge<'a>>,
}
