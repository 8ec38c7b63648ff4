//! The faults: what each does, and what it needs.

use serde::Serialize;
use std::fmt;
use std::str::FromStr;

/// What is done to the victim. `hang` and `partition` may follow.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Fault {
    /// The pod is deleted with its own grace period.
    Delete,
    /// The pod is deleted with a grace period of 0.
    ForceDelete,
    /// The server's process gets SIGKILL.
    Crash,
}

/// A verb on a resource that a fault needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Right {
    /// Verb, as RBAC spells it.
    pub verb: &'static str,
    /// Resource, with its subresource.
    pub resource: &'static str,
}

impl Fault {
    /// All of them, in the order of their harm.
    pub const ALL: [Fault; 3] = [Fault::Delete, Fault::ForceDelete, Fault::Crash];

    /// As the command line spells it.
    pub fn as_str(self) -> &'static str {
        match self {
            Fault::Delete => "delete",
            Fault::ForceDelete => "force-delete",
            Fault::Crash => "crash",
        }
    }

    /// What it does and what it leaves alone, for the plan.
    pub fn does(self) -> &'static str {
        match self {
            Fault::Delete => {
                "delete the pod with its own grace period, as a rollout, a scale-down or a drained node does"
            }
            Fault::ForceDelete => {
                "delete the pod with grace 0: SIGKILL, and the endpoint is gone at once (kinder to routing than a crash)"
            }
            Fault::Crash => {
                "kill the server's process with SIGKILL: one container restarts, nothing else changes"
            }
        }
    }

    /// How it is known to have happened.
    pub fn verified_by(self) -> &'static str {
        match self {
            Fault::Delete => "the pod's deletionTimestamp",
            Fault::ForceDelete => "the pod's object is gone",
            Fault::Crash => "container id or restart count changed, exit code 137",
        }
    }

    /// What RBAC must allow for it.
    ///
    /// exec over a WebSocket is a GET and asked for as `get`; since 1.35 the API server asks for
    /// `create` too (kubernetes/kubernetes#134577).
    pub fn needs(self) -> &'static [Right] {
        const DELETE: Right = Right {
            verb: "delete",
            resource: "pods",
        };
        const EXEC: [Right; 2] = [
            Right {
                verb: "create",
                resource: "pods/exec",
            },
            Right {
                verb: "get",
                resource: "pods/exec",
            },
        ];
        match self {
            Fault::Delete | Fault::ForceDelete => &[DELETE],
            Fault::Crash => &EXEC,
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A word that names no fault.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is no fault: delete, force-delete, crash")]
pub struct NoFault(pub String);

impl FromStr for Fault {
    type Err = NoFault;

    fn from_str(word: &str) -> Result<Fault, NoFault> {
        let known = Fault::ALL.into_iter().find(|fault| fault.as_str() == word);
        known.ok_or_else(|| NoFault(word.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fault_is_read_as_it_is_written() {
        for fault in Fault::ALL {
            assert_eq!(fault.as_str().parse(), Ok(fault));
            let document = serde_json::to_value(fault).unwrap();
            assert_eq!(document, fault.as_str());
        }
        assert_eq!(
            "hang".parse::<Fault>(),
            Err(NoFault("hang".to_owned())),
            "not built yet"
        );
    }
}
