//! Whether the fault happened, from what a watch says of the pod.

use crate::fault::Fault;
use serde::Serialize;

/// The exit code of a process that SIGKILL ended, as a container runtime reports it: 128 + 9.
pub const KILLED: i32 = 137;

/// The victim as it was before the fault.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Before {
    /// uid of the pod.
    pub uid: String,
    /// Id of the server's container.
    pub container_id: String,
    /// How often it was restarted.
    pub restart_count: i64,
}

/// What a watch said of the pod of the victim's name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Seen {
    /// uid of the pod.
    pub uid: String,
    /// Whether the object was deleted.
    pub is_gone: bool,
    /// Whether it carries a deletionTimestamp.
    pub is_terminating: bool,
    /// Id of the server's container.
    pub container_id: String,
    /// How often it was restarted.
    pub restart_count: i64,
    /// How it ended: `state.terminated`, else `lastState.terminated`.
    pub ended: Option<Ended>,
}

/// How a container ended.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ended {
    /// Id of the container that ended.
    pub container_id: String,
    /// Its exit code.
    pub exit_code: i32,
    /// Why, as the kubelet spells it.
    pub reason: String,
}

/// The fault, seen to have happened.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Verified {
    /// What was seen.
    pub what: String,
    /// Exit code of the server's container, where one was seen.
    pub exit_code: Option<i32>,
    /// Restarts of the container that the fault made.
    pub restarts: i64,
}

/// What a look at the pod proves.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Proof {
    /// Nothing yet.
    NotYet,
    /// The fault happened.
    Verified(Verified),
    /// Something else happened, in words: the clock must not count for it.
    SomethingElse(String),
}

/// What this look at the pod proves.
pub fn verify(fault: Fault, before: &Before, seen: &Seen) -> Proof {
    let is_replaced = seen.is_gone || seen.uid != before.uid;
    let verified = |what: &str| {
        Proof::Verified(Verified {
            what: what.to_owned(),
            exit_code: None,
            restarts: 0,
        })
    };
    match fault {
        Fault::Delete if is_replaced => verified("the pod is gone"),
        Fault::Delete if seen.is_terminating => verified("deletionTimestamp set"),
        Fault::ForceDelete if is_replaced => verified("the pod's object is gone"),
        Fault::Delete | Fault::ForceDelete => Proof::NotYet,
        Fault::Crash if is_replaced || seen.is_terminating => {
            Proof::SomethingElse("the pod was deleted by somebody else".to_owned())
        }
        Fault::Crash => crashed(before, seen),
    }
}

fn crashed(before: &Before, seen: &Seen) -> Proof {
    let restarts = seen.restart_count - before.restart_count;
    let is_new = seen.container_id != before.container_id && !seen.container_id.is_empty();
    let Some(ended) = &seen.ended else {
        return Proof::NotYet;
    };
    // The record of an end names its container. Without that, the end may be of a crash before.
    if ended.container_id != before.container_id && restarts <= 0 && !is_new {
        return Proof::NotYet;
    }
    if ended.exit_code != KILLED {
        let Ended {
            exit_code, reason, ..
        } = ended;
        return Proof::SomethingElse(format!(
            "the container ended with exit code {exit_code} ({reason}), not {KILLED}: something else ended it"
        ));
    }
    let count = match restarts {
        1.. => format!(
            ", restart count {} to {}",
            before.restart_count, seen.restart_count
        ),
        _ => String::new(),
    };
    Proof::Verified(Verified {
        what: format!("exit {KILLED}{count}"),
        exit_code: Some(KILLED),
        restarts: restarts.max(0),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn before(restart_count: i64) -> Before {
        Before {
            uid: "u".to_owned(),
            container_id: "c1".to_owned(),
            restart_count,
        }
    }

    /// `ended`: which container ended, and how.
    fn seen(container_id: &str, restart_count: i64, ended: Option<(&str, i32)>) -> Seen {
        Seen {
            uid: "u".to_owned(),
            container_id: container_id.to_owned(),
            restart_count,
            ended: ended.map(|(id, exit_code)| Ended {
                container_id: id.to_owned(),
                exit_code,
                reason: "Error".to_owned(),
            }),
            ..Seen::default()
        }
    }

    fn is_verified(proof: &Proof) -> bool {
        matches!(proof, Proof::Verified(_))
    }

    #[test]
    fn a_crash_is_a_new_container_or_count_with_137() {
        let proof = |before, seen| verify(Fault::Crash, &before, &seen);
        let c0 = Some(("c0", 137));
        let c1 = Some(("c1", 137));
        let table = [
            (before(0), seen("c1", 0, None), false, "nothing happened"),
            (
                before(0),
                seen("c1", 0, c1),
                true,
                "down, not yet restarted",
            ),
            (before(0), seen("c2", 1, c1), true, "restarted"),
            (before(2), seen("c1", 2, c0), false, "the crash before ours"),
            (before(2), seen("c1", 2, c1), true, "down again"),
            (before(2), seen("c2", 3, c1), true, "restarted again"),
            (before(2), seen("c3", 4, Some(("c2", 137))), true, "twice"),
            (
                before(0),
                seen("c2", 1, None),
                false,
                "restarted, no code yet",
            ),
            (before(0), seen("", 0, None), false, "no status"),
        ];
        for (before, seen, wanted, case) in table {
            assert_eq!(is_verified(&proof(before, seen)), wanted, "{case}");
        }
        let Proof::Verified(verified) = proof(before(2), seen("c2", 3, c1)) else {
            panic!();
        };
        assert_eq!(verified.what, "exit 137, restart count 2 to 3");
    }

    #[test]
    fn another_end_is_not_our_crash() {
        let mut ended = seen("c2", 1, Some(("c1", 1)));
        ended.ended.as_mut().unwrap().reason = "OOMKilled".to_owned();
        let Proof::SomethingElse(what) = verify(Fault::Crash, &before(0), &ended) else {
            panic!();
        };
        assert!(what.contains("exit code 1 (OOMKilled)"), "{what}");
        let deleted = Seen {
            is_terminating: true,
            ..seen("c1", 0, None)
        };
        assert!(matches!(
            verify(Fault::Crash, &before(0), &deleted),
            Proof::SomethingElse(_)
        ));
    }

    #[test]
    fn a_deletion_is_seen_on_the_pod_that_was_meant() {
        let terminating = Seen {
            is_terminating: true,
            ..seen("c1", 0, None)
        };
        let gone = Seen {
            is_gone: true,
            ..seen("c1", 0, None)
        };
        let replaced = Seen {
            uid: "other".to_owned(),
            ..seen("c9", 0, None)
        };
        let table = [
            (Fault::Delete, &terminating, true),
            (Fault::Delete, &gone, true),
            (Fault::Delete, &replaced, true),
            (Fault::ForceDelete, &terminating, false),
            (Fault::ForceDelete, &gone, true),
            (Fault::ForceDelete, &replaced, true),
        ];
        for (fault, seen, wanted) in table {
            let proof = verify(fault, &before(0), seen);
            assert_eq!(is_verified(&proof), wanted, "{fault} {seen:?}");
        }
        let untouched = seen("c1", 0, None);
        assert_eq!(verify(Fault::Delete, &before(0), &untouched), Proof::NotYet);
    }
}
