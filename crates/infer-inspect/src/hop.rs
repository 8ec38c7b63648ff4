//! The places that a request passes.

use crate::report::Reference;
use serde::Serialize;

/// How a claim is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum How {
    /// It is written in a spec.
    Declared,
    /// A controller wrote it into a status.
    Reported,
    /// It is the live state: endpoints, conditions of pods.
    Observed,
    /// Traffic was answered.
    Answered,
    /// Nothing says so; it is likely.
    Assumed,
}

impl How {
    /// The word.
    pub fn word(self) -> &'static str {
        match self {
            How::Declared => "declared",
            How::Reported => "reported",
            How::Observed => "observed",
            How::Answered => "answered",
            How::Assumed => "assumed",
        }
    }
}

/// How a hop stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Mark {
    /// As it should be.
    Good,
    /// To look at.
    Doubtful,
    /// It cannot work.
    Bad,
    /// Not there yet: it loads, it starts.
    Waiting,
    /// Nothing is claimed.
    Plain,
}

/// What a hop is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum HopKind {
    /// Where requests arrive: an address.
    Address,
    /// What forwards them.
    Controller,
    /// An object of the API.
    Object,
    /// An inference server in a container.
    Runtime,
}

/// A place that a request passes, with those behind it.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Hop {
    /// What it is.
    #[serde(rename = "type")]
    pub hop: HopKind,
    /// What it is called: the kind of an object, `controller`, a runtime's name.
    pub kind: String,
    /// Its name, with port and weight where it has them.
    pub name: String,
    /// The object; none for what is no object.
    pub object: Option<Reference>,
    /// How it stands.
    pub mark: Mark,
    /// The same in words; one line.
    pub state: String,
    /// How that is known.
    pub how: How,
    /// What is behind it.
    pub next: Vec<Hop>,
}

impl Hop {
    /// A hop with nothing behind it.
    pub(crate) fn new(hop: HopKind, kind: &str, name: impl Into<String>) -> Hop {
        Hop {
            hop,
            kind: kind.to_owned(),
            name: name.into(),
            object: None,
            mark: Mark::Plain,
            state: String::new(),
            how: How::Declared,
            next: Vec::new(),
        }
    }

    /// With how it stands.
    pub(crate) fn stands(self, mark: Mark, state: impl Into<String>, how: How) -> Hop {
        Hop {
            mark,
            state: state.into(),
            how,
            ..self
        }
    }

    /// As this object.
    pub(crate) fn object(self, object: &serde_json::Value) -> Hop {
        Hop {
            object: Some(Reference::of(object)),
            ..self
        }
    }

    /// It and everything behind it, in order.
    pub fn walk(&self) -> Vec<&Hop> {
        let mut found = vec![self];
        for hop in &self.next {
            found.extend(hop.walk());
        }
        found
    }
}
