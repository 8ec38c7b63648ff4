//! What a drill is going to do, said before it is done.

use crate::budget::Budgets;
use crate::fault::Fault;
use crate::lane::Load;
use serde::Serialize;

/// The plan.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Plan {
    /// Name of the run: it is in every request's user agent.
    pub run: String,
    /// The kubeconfig's context.
    pub context: Option<String>,
    /// The namespace.
    pub namespace: String,
    /// The route: `ingress/NAME`.
    pub route: String,
    /// Where requests go: `172.18.0.240:80`.
    pub address: String,
    /// The name that they ask for.
    pub host: String,
    /// What the pods belong to: `Deployment/NAME`.
    pub workload: String,
    /// The runtime that serves, as the catalogue spells it.
    pub runtime: String,
    /// Whom it hits.
    pub victim: Victim,
    /// Pods of the workload that are ready.
    pub ready: usize,
    /// Pods of the workload.
    pub pods: usize,
    /// What is done.
    pub fault: Fault,
    /// The traffic.
    pub load: Load,
    /// What clients may see at most.
    pub budgets: Budgets,
    /// What could not be read, and what is unknown for it.
    pub gaps: Vec<String>,
}

/// Whom the fault hits.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Victim {
    /// The pod.
    pub pod: String,
    /// Its uid: another pod of the name is not hit.
    pub uid: String,
    /// Its address and the port that the route leads to.
    pub address: String,
    /// The server's container.
    pub container: String,
    /// Its node.
    pub node: Option<String>,
    /// The server's process, where the fault is a signal to it.
    pub pid: Option<u32>,
}

/// A pod that could be the victim.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Candidate {
    /// Its name.
    pub pod: String,
    /// Whether it is ready and not on its way out.
    pub is_ready: bool,
}

/// The ready pod whose name comes last, unless one is named; `None` where no ready pod has the
/// name, or none is ready.
pub fn choose<'a>(candidates: &'a [Candidate], named: Option<&str>) -> Option<&'a Candidate> {
    let ready = candidates.iter().filter(|candidate| candidate.is_ready);
    match named {
        Some(name) => ready.into_iter().find(|candidate| candidate.pod == name),
        None => ready.max_by(|a, b| a.pod.cmp(&b.pod)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_victim_is_a_ready_pod() {
        let pod = |name: &str, is_ready| Candidate {
            pod: name.to_owned(),
            is_ready,
        };
        let pods = [pod("a", true), pod("c", false), pod("b", true)];
        let chosen = |named| choose(&pods, named).map(|candidate| candidate.pod.as_str());
        assert_eq!(chosen(None), Some("b"));
        assert_eq!(chosen(Some("a")), Some("a"));
        assert_eq!(chosen(Some("c")), None, "not ready");
        assert_eq!(chosen(Some("d")), None);
        assert_eq!(choose(&[], None), None);
    }
}
