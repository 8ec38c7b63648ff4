//! The journal of a run: everything that another machine needs to go on with it.

use crate::gate::Whole;
use crate::machine::{Millis, Plan, State};
use crate::shift::{Original, Shift};
use crate::version::Version;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::collections::BTreeMap;

/// The form that is written here.
const FORM: u32 = 1;
/// Events that are kept: the first, and of the rest the newest.
const MOST_EVENTS: usize = 200;
/// Different failures that are counted by name.
const MOST_FAILURES: usize = 20;

/// A run of a canary, as it is kept in the cluster.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Journal {
    /// The form of this document.
    pub form: u32,
    /// When the run was started.
    pub started: Millis,
    /// What is compared with the stable version.
    pub version: Version,
    /// The objects of the run.
    pub shift: Shift,
    /// What the route held before.
    pub original: Original,
    /// What it was started with.
    pub plan: Plan,
    /// Requests a second of our own.
    pub rate: f64,
    /// What the route answered before the canary had a share.
    pub before: Whole,
    /// Where it stands.
    pub state: State,
    /// What the gate said last, as JSON.
    #[serde(default)]
    pub gate: Option<Value>,
    /// The canary's failures by cause.
    #[serde(default)]
    pub failures: BTreeMap<String, u64>,
    /// What happened, oldest first.
    pub events: Vec<Event>,
}

/// Something that happened.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Event {
    /// When.
    pub at: Millis,
    /// What, in words.
    pub text: String,
}

/// Why a journal is not read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unreadable {
    /// It is not one.
    #[error("{0}")]
    Broken(String),
    /// A newer version wrote it.
    #[error("it has form {0}; this version reads form {FORM}")]
    Form(u32),
}

impl Journal {
    /// A run that begins.
    #[must_use]
    pub fn new(
        now: Millis,
        version: Version,
        shift: Shift,
        original: Original,
        plan: Plan,
        rate: f64,
    ) -> Journal {
        Journal {
            form: FORM,
            started: now,
            version,
            shift,
            original,
            plan,
            rate,
            before: Whole::default(),
            state: State::Preparing { since: now },
            gate: None,
            failures: BTreeMap::new(),
            events: Vec::new(),
        }
    }

    /// Reads one.
    ///
    /// # Errors
    ///
    /// Text that is none, and one of another form.
    pub fn parse(text: &str) -> Result<Journal, Unreadable> {
        #[derive(Deserialize)]
        struct Formed {
            form: u32,
        }
        let broken = |error: serde_json::Error| Unreadable::Broken(error.to_string());
        let Formed { form } = serde_json::from_str(text).map_err(broken)?;
        if form != FORM {
            return Err(Unreadable::Form(form));
        }
        serde_json::from_str(text).map_err(broken)
    }

    /// As text that [`Journal::parse`] reads.
    ///
    /// # Panics
    ///
    /// Never: everything in it is plain data.
    #[must_use]
    pub fn text(&self) -> String {
        serde_json::to_string(self).expect("plain data serializes")
    }

    /// Adds an event.
    pub fn tell(&mut self, at: Millis, text: impl Into<String>) {
        let text = text.into();
        self.events.push(Event { at, text });
        if self.events.len() > MOST_EVENTS {
            self.events.remove(1);
        }
    }

    /// Counts a failure of the canary.
    pub fn count(&mut self, failure: &str) {
        let is_new = !self.failures.contains_key(failure);
        let name = if is_new && self.failures.len() >= MOST_FAILURES {
            "other"
        } else {
            failure
        };
        *self.failures.entry(name.to_owned()).or_default() += 1;
    }

    /// Whether the run is over.
    #[must_use]
    pub fn is_over(&self) -> bool {
        matches!(self.state, State::Ended { .. })
    }

    /// The share that the canary has or is given where the run stands, in percent.
    #[must_use]
    pub fn weight(&self) -> u8 {
        match &self.state {
            State::Shifting { step }
            | State::Analysing { step, .. }
            | State::Paused { step, .. } => self.plan.weight(*step),
            State::Promoting { .. } if self.plan.second_workload => 100,
            State::Promoting { .. } => self.plan.steps.last().copied().unwrap_or_default(),
            _ => 0,
        }
    }
}
