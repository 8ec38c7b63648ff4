//! The machine that decides: where a canary stands, and what is to be done next.
//!
//! It looks at what *is* (the stored share, pods, samples, wishes), not at what happened. So whoever
//! comes next, on whatever machine, after whatever crash, goes on from the journal and the cluster:
//! every act may be done twice. The journal is written before the act; a kill in between leaves a
//! share that was decided before, and never a larger one.

mod decide;

pub use decide::{decide, proof_requests};

use serde::{Deserialize, Serialize};

use crate::gate::{Gate, Limits, Strictness};

/// Milliseconds since the epoch, by the clock of whoever drives.
pub type Millis = u64;

/// What a run was started with. It does not change.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Plan {
    /// Shares of the canary in percent, ascending, each from 1 to 100.
    pub steps: Vec<u8>,
    /// How long a step lasts at least.
    pub step_millis: Millis,
    /// How long the canary's pods may take to become ready.
    pub ready_millis: Millis,
    /// How long without a ready pod a canary with a share is given.
    pub outage_millis: Millis,
    /// How long the proof of a rollback is tried.
    pub proof_millis: Millis,
    /// How long the stable version's rollout may stand still.
    pub rollout_millis: Millis,
    /// How much worse the canary may be.
    pub limits: Limits,
    /// Whether the second version is a workload that a person made: it is promoted by its share,
    /// and never scaled or deleted.
    pub second_workload: bool,
}

impl Plan {
    /// How strictly a step is judged.
    #[must_use]
    pub fn strictness(&self, step: usize) -> Strictness {
        Strictness {
            steps: self.steps.len(),
            next_weight: self.steps.get(step + 1).copied().unwrap_or(100),
        }
    }

    /// The share of a step in percent; zero where there is no such step.
    #[must_use]
    pub fn weight(&self, step: usize) -> u8 {
        self.steps.get(step).copied().unwrap_or_default()
    }
}

/// Why a run is rolled back.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Reason {
    /// A metric is beyond its limit; the names of those that are.
    Gate(Vec<String>),
    /// The canary's pods did not become ready.
    NeverReady,
    /// The canary's containers crash again and again; the last state, in words.
    CrashLoop(String),
    /// The canary had a share and no ready pod.
    Outage,
    /// A person wished it.
    Abort,
}

impl Reason {
    /// In words.
    #[must_use]
    pub fn message(&self) -> String {
        match self {
            Reason::Gate(metrics) => format!("{} beyond the limit", metrics.join(", ")),
            Reason::NeverReady => "the canary did not become ready".to_owned(),
            Reason::CrashLoop(last) => format!("the canary crashes again and again: {last}"),
            Reason::Outage => "the canary has no ready pod".to_owned(),
            Reason::Abort => "aborted".to_owned(),
        }
    }
}

/// Where a run stands.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", tag = "at")]
pub enum State {
    /// The canary's objects are made and become ready. Its share is zero.
    Preparing {
        /// Since when.
        since: Millis,
    },
    /// The share of a step is being written.
    Shifting {
        /// The step, from zero.
        step: usize,
    },
    /// The share is in place, and its traffic is judged.
    Analysing {
        /// The step, from zero.
        step: usize,
        /// Since when.
        since: Millis,
        /// Since when there is no ready pod of the canary; `None` while there is one.
        unready: Option<Millis>,
    },
    /// Somebody else changed what we wrote. Nothing is written until a person decides.
    Paused {
        /// The step, from zero.
        step: usize,
        /// What happened.
        why: String,
    },
    /// The stable version becomes the new one.
    Promoting {
        /// When its rollout last got on.
        since: Millis,
        /// How many of its pods were new then.
        updated: u32,
    },
    /// The stable version is the new one; the canary's share goes to zero.
    Emptying,
    /// The canary's share goes to zero because of a failure.
    RollingBack {
        /// Why.
        reason: Reason,
        /// The share that it had or was given, in percent.
        weight: u8,
        /// Since when.
        since: Millis,
    },
    /// It is zero as stored; fresh requests prove it from outside.
    Proving {
        /// Why it was rolled back.
        reason: Reason,
        /// The share that it had or was given, in percent.
        weight: u8,
        /// Since when it is zero.
        since: Millis,
    },
    /// The route and the canary are cleared away.
    Clearing {
        /// What is reported afterwards.
        end: End,
    },
    /// Over.
    Ended {
        /// How.
        end: End,
    },
}

/// How a run ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", tag = "as")]
pub enum End {
    /// Every client gets the new version.
    Promoted,
    /// Every client gets the stable version.
    RolledBack {
        /// Why.
        reason: Reason,
        /// What fresh requests showed.
        proof: Proof,
    },
}

/// What fresh requests showed of a rollback.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", tag = "is")]
pub enum Proof {
    /// None of so many reached the canary.
    Proven {
        /// Requests of which it is known who answered.
        requests: u64,
    },
    /// It had no share, so there was nothing to prove.
    NotNeeded,
    /// It could not be shown in time.
    NotProven {
        /// Requests sent.
        requests: u64,
        /// Those that reached the canary.
        hits: u64,
        /// Those of which nobody knows.
        unknown: u64,
    },
}

/// The share of the canary as it is stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Stored {
    /// It is this, in percent.
    Weight(u8),
    /// The route has no entry for the canary.
    Absent,
    /// Somebody made something else of it; in words.
    Foreign(String),
}

/// What is seen of the canary's workload.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Canary {
    /// Whether its objects are all there.
    pub exists: bool,
    /// Pods that are ready.
    pub ready: u32,
    /// Pods that are wanted.
    pub wanted: u32,
    /// Restarts of the containers of its pods, together.
    pub restarts: u32,
    /// How the last container that died went, in words.
    pub last_death: Option<String>,
}

/// What is seen of the stable workload.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct StableSeen {
    /// Whether its template is the new version's.
    pub is_new: bool,
    /// Whether its controller has seen that, and all its pods are new and ready.
    pub is_rolled_out: bool,
    /// How many of its pods are new and ready.
    pub updated: u32,
}

/// Fresh requests since the share is zero.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Fresh {
    /// Requests that were answered or failed.
    pub requests: u64,
    /// Those that reached the canary.
    pub hits: u64,
    /// Requests of which it is known that somebody else answered, since the last hit.
    pub since_hit: u64,
    /// Requests of which nobody knows who answered.
    pub unknown: u64,
}

/// What a person wishes of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wish {
    /// Promote without waiting for the gate.
    Promote,
    /// Roll back.
    Abort,
    /// Go on from a pause.
    Resume,
}

/// Everything that a decision rests on.
#[derive(Clone, Debug)]
pub struct Seen<'a> {
    /// The time.
    pub now: Millis,
    /// The share as stored; `None` where it could not be read.
    pub stored: Option<Stored>,
    /// The canary's workload; `None` where it could not be read.
    pub canary: Option<Canary>,
    /// The stable workload; `None` where it could not be read.
    pub stable: Option<StableSeen>,
    /// What the gate says of the samples since the step began.
    pub gate: Option<&'a Gate>,
    /// Fresh requests since the share is zero.
    pub fresh: Fresh,
    /// A wish that was not granted yet.
    pub wish: Option<Wish>,
    /// Whether the route is as it was before the run, and what was made for it is gone or scaled to
    /// nothing.
    pub is_clear: bool,
}

/// What is to be done. Each may be done twice.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Act {
    /// Nothing but to look again.
    Wait,
    /// Create the canary's objects that are missing.
    Create,
    /// Write this share, in percent.
    SetWeight(u8),
    /// Begin to count anew: the share is in place since just now.
    StartSamples,
    /// Begin to count fresh requests anew.
    StartProof,
    /// Give the stable workload the new version.
    UpdateStable,
    /// Take the canary out of the route; delete its objects after a promotion, scale its workload to
    /// nothing after a rollback.
    Clear,
}

/// What is decided.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Decision {
    /// The state from now on. To be kept in the journal before the act.
    pub state: State,
    /// What is to be done.
    pub act: Act,
    /// Whether the wish was granted or refused, and is to be forgotten.
    pub wish_done: bool,
    /// What is to be told, in words.
    pub say: Option<String>,
}
