//! Why a drill is not run. Each leaves the cluster as it was, and says what to do instead.

use crate::fault::Fault;

/// A reason.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// One ready replica or none.
    #[error(
        "{workload} has {ready} ready of {pods} pods, a drill needs two: it would take the service away"
    )]
    TooFewReady {
        /// The workload.
        workload: String,
        /// Its ready pods.
        ready: usize,
        /// Its pods.
        pods: usize,
    },
    /// A PodDisruptionBudget has no room for one pod less.
    #[error(
        "PodDisruptionBudget/{name} would break: {reason}; --fault={fault} takes a pod away without asking it"
    )]
    WouldBreakBudget {
        /// The budget.
        name: String,
        /// Why, with its numbers.
        reason: String,
        /// The fault.
        fault: Fault,
    },
    /// Whether a PodDisruptionBudget has room cannot be known.
    #[error("whether a PodDisruptionBudget forbids it is unknown: {reason}")]
    BudgetUnknown {
        /// Why.
        reason: String,
    },
    /// Another run holds the Lease.
    #[error(
        "another drill is running on {workload}: Lease/{lease} is held by {holder} since {since}"
    )]
    Held {
        /// The workload.
        workload: String,
        /// The Lease.
        lease: String,
        /// Who holds it.
        holder: String,
        /// Since when, as the API writes it.
        since: String,
        /// When it is free unless it is renewed, as the API writes it.
        until: String,
    },
    /// The server is PID 1.
    #[error(
        "the server in pod/{pod} is PID 1 of its container: the kernel drops SIGKILL sent to PID 1 from inside its own PID namespace, and kill says nothing of it (pid_namespaces(7))"
    )]
    PidOne {
        /// The pod.
        pod: String,
        /// The drill with another fault, to be pasted.
        instead: String,
    },
    /// There is no shell in the image, or it has no `cat`.
    #[error(
        "pod/{pod} cannot be looked into: container `{container}` has no shell with `cat` ({message})"
    )]
    NoShell {
        /// The pod.
        pod: String,
        /// The container.
        container: String,
        /// What the attempt said.
        message: String,
        /// The drill with another fault, to be pasted.
        instead: String,
    },
    /// No process of the container was started by the runtime's words.
    #[error(
        "no process of container `{container}` in pod/{pod} was started by {wanted}; it runs {runs}"
    )]
    NoProcess {
        /// The pod.
        pod: String,
        /// The container.
        container: String,
        /// What starts the runtime.
        wanted: String,
        /// What runs there.
        runs: String,
        /// The drill with another fault, to be pasted.
        instead: String,
    },
    /// The pod that was named is not there, not ready, or not of the route.
    #[error("pod/{pod} is no ready pod behind {route}")]
    NoVictim {
        /// The pod.
        pod: String,
        /// The route.
        route: String,
        /// The pods that are.
        ready: Vec<String>,
    },
    /// Nobody can be asked, and `--yes` was not given.
    #[error("a drill takes a pod away and asks first, but stdin is no terminal")]
    NobodyToAsk,
    /// The person said no.
    #[error("not confirmed: nothing was done")]
    Declined,
    /// RBAC forbids what it needs.
    #[error("you may not {right} in namespace {namespace}, and the drill needs it {purpose}")]
    Denied {
        /// Verb and resource: `create pods/exec`.
        right: String,
        /// Namespace.
        namespace: String,
        /// What for: `to kill the server's process`.
        purpose: &'static str,
        /// The rule to add, in YAML.
        rule: String,
        /// The command that asks whether it is allowed.
        can_i: String,
    },
}

impl Refusal {
    /// What to do about it.
    pub fn help(&self) -> String {
        match self {
            Refusal::TooFewReady { workload, .. } => {
                let workload = workload.to_lowercase();
                let scales = ["deployment/", "statefulset/", "replicaset/"];
                if scales.iter().any(|kind| workload.starts_with(kind)) {
                    format!(
                        "`kubectl get pods` says what keeps the others; `kubectl scale {workload} --replicas=2` gives it two"
                    )
                } else {
                    "`kubectl get pods` says what keeps the others".to_owned()
                }
            }
            Refusal::WouldBreakBudget { name, .. } => format!(
                "`kubectl describe pdb {name}` says what it wants; one more replica makes room"
            ),
            Refusal::BudgetUnknown { .. } => {
                "a Role with `apiGroups: [policy]`, `resources: [poddisruptionbudgets]`, `verbs: [get, list]` lets the drill look; `kubectl auth can-i list poddisruptionbudgets.policy` tells whether it may".to_owned()
            }
            Refusal::Held { lease, until, .. } => format!(
                "wait for it; where that run died, its Lease is free at {until} (`kubectl get lease {lease} -o yaml`)"
            ),
            Refusal::PidOne { instead, .. } => format!(
                "`{instead}` takes the pod away another way; an init such as tini in front of the server makes it killable"
            ),
            Refusal::NoShell { instead, .. } | Refusal::NoProcess { instead, .. } => {
                format!("`{instead}` needs nothing in the container")
            }
            Refusal::NoVictim { ready, .. } if ready.is_empty() => {
                "no pod behind the route is ready".to_owned()
            }
            Refusal::NoVictim { ready, .. } => format!("ready are {}", ready.join(", ")),
            Refusal::NobodyToAsk => {
                "`--dry-run` shows the plan, `--yes` runs it without asking".to_owned()
            }
            Refusal::Declined => "`--dry-run` shows the plan without asking".to_owned(),
            Refusal::Denied {
                namespace,
                rule,
                can_i,
                ..
            } => format!(
                "add this rule to a Role in namespace {namespace} and bind it: `{rule}`; `{can_i}` asks whether it is allowed"
            ),
        }
    }
}

/// A PodDisruptionBudget that the loss of the victim would break.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Broken {
    /// Its name.
    pub name: String,
    /// Why, with its numbers.
    pub reason: String,
}

/// What is looked at before anything else is done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct State {
    /// The workload.
    pub workload: String,
    /// Its ready pods.
    pub ready: usize,
    /// Its pods.
    pub pods: usize,
    /// The PodDisruptionBudget that would break, or why that is not known.
    pub breaks: Result<Option<Broken>, String>,
}

/// Whether the state of the cluster forbids the drill. A crash and a deletion take a pod away
/// without asking the eviction API, which alone keeps a PodDisruptionBudget (kubernetes/kubernetes
/// pkg/registry/core/pod/storage/eviction.go), so the drill keeps it for them.
///
/// # Errors
///
/// The first reason.
pub fn judge(fault: Fault, state: &State) -> Result<(), Refusal> {
    if state.ready < 2 {
        return Err(Refusal::TooFewReady {
            workload: state.workload.clone(),
            ready: state.ready,
            pods: state.pods,
        });
    }
    match &state.breaks {
        Ok(None) => Ok(()),
        Ok(Some(Broken { name, reason })) => Err(Refusal::WouldBreakBudget {
            name: name.clone(),
            reason: reason.clone(),
            fault,
        }),
        Err(reason) => Err(Refusal::BudgetUnknown {
            reason: reason.clone(),
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn state(ready: usize, breaks: Result<Option<Broken>, String>) -> State {
        State {
            workload: "Deployment/llama".to_owned(),
            ready,
            pods: 2,
            breaks,
        }
    }

    fn budget() -> Broken {
        Broken {
            name: "llama".to_owned(),
            reason: "disruptionsAllowed is 0: 2 healthy, 2 needed".to_owned(),
        }
    }

    #[test]
    fn the_state_of_the_cluster_may_forbid_it() {
        let table = [
            (state(2, Ok(None)), None),
            (state(1, Ok(None)), Some("1 ready of 2 pods")),
            (state(0, Ok(Some(budget()))), Some("0 ready of 2 pods")),
            (
                state(2, Ok(Some(budget()))),
                Some("PodDisruptionBudget/llama would break: disruptionsAllowed is 0"),
            ),
            (state(2, Err("forbidden".to_owned())), Some("forbidden")),
        ];
        for fault in Fault::ALL {
            for (state, wanted) in &table {
                let refusal = judge(fault, state).err().map(|refusal| refusal.to_string());
                match wanted {
                    None => assert_eq!(refusal, None),
                    Some(words) => {
                        assert!(refusal.as_ref().unwrap().contains(words), "{refusal:?}");
                    }
                }
            }
        }
    }

    #[test]
    fn each_refusal_says_what_is_wrong_and_what_to_do() {
        let table = [
            (
                Refusal::PidOne {
                    pod: "llama-a".to_owned(),
                    instead: "kubectl infer drill ingress/x --fault=force-delete".to_owned(),
                },
                ["pid_namespaces(7)", "--fault=force-delete"],
            ),
            (
                Refusal::Held {
                    workload: "Deployment/llama".to_owned(),
                    lease: "infer-drill-llama".to_owned(),
                    holder: "kim@laptop".to_owned(),
                    since: "2026-11-25T04:00:00Z".to_owned(),
                    until: "2026-11-25T04:00:30Z".to_owned(),
                },
                [
                    "held by kim@laptop since 2026-11-25T04:00:00Z",
                    "kubectl get lease infer-drill-llama",
                ],
            ),
            (
                Refusal::Denied {
                    right: "create pods/exec".to_owned(),
                    namespace: "inference".to_owned(),
                    purpose: "to kill the server's process",
                    rule: "- {verbs: [create]}".to_owned(),
                    can_i: "kubectl auth can-i create pods --subresource=exec".to_owned(),
                },
                [
                    "you may not create pods/exec in namespace inference",
                    "`- {verbs: [create]}`; `kubectl auth can-i",
                ],
            ),
            (
                Refusal::NoVictim {
                    pod: "x".to_owned(),
                    route: "ingress/i".to_owned(),
                    ready: vec!["a".to_owned(), "b".to_owned()],
                },
                ["pod/x is no ready pod behind ingress/i", "ready are a, b"],
            ),
            (
                Refusal::TooFewReady {
                    workload: "Deployment/llama".to_owned(),
                    ready: 1,
                    pods: 2,
                },
                [
                    "1 ready of 2",
                    "kubectl scale deployment/llama --replicas=2",
                ],
            ),
            (Refusal::NobodyToAsk, ["no terminal", "--yes"]),
        ];
        for (refusal, [what, help]) in table {
            assert!(refusal.to_string().contains(what), "{refusal}");
            assert!(refusal.help().contains(help), "{}", refusal.help());
        }
    }
}
