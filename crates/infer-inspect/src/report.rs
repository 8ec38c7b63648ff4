//! What is said of a route. The same value is printed for people and serialized for programs.

use crate::facts::Source;
use crate::gap::Gap;
use crate::hop::{Hop, How};
use crate::subject::Subject;
use infer_core::object::ObjectRef;
use infer_core::rule::Level;
use serde::{Serialize, Serializer};
use serde_json::Value;
use std::fmt;

/// What is said of a route.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Report {
    /// What was asked about.
    pub subject: Subject,
    /// Where the objects come from.
    pub source: Source,
    /// The ways that lead to it, or from it.
    pub ways: Vec<Way>,
    /// What is declared and not on any of them.
    pub not_on_path: Vec<Beside>,
    /// Findings about all of these objects, worst first.
    pub findings: Vec<Found>,
    /// What could not be read.
    pub gaps: Vec<Gap>,
    /// What is good to know and changes nothing.
    pub notes: Vec<String>,
}

/// The identity of an object.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Reference {
    /// Group and version.
    pub api_version: String,
    /// Kind.
    pub kind: String,
    /// Namespace; empty where none is written.
    pub namespace: String,
    /// Name.
    pub name: String,
}

impl Reference {
    /// Of this object.
    pub fn of(object: &Value) -> Reference {
        let ObjectRef {
            api_version,
            kind,
            namespace,
            name,
        } = ObjectRef::of(object);
        Reference {
            api_version,
            kind,
            namespace,
            name,
        }
    }

    /// As `-o name` prints it: `ingress.networking.k8s.io/x`.
    pub fn resource_name(&self) -> String {
        let kind = self.kind.to_ascii_lowercase();
        match self.api_version.split_once('/') {
            Some((group, _)) => format!("{kind}.{group}/{}", self.name),
            None => format!("{kind}/{}", self.name),
        }
    }
}

impl fmt::Display for Reference {
    /// `ingress/x`.
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}/{}", self.kind.to_ascii_lowercase(), self.name)
    }
}

/// One way from an entry to the servers behind it.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Way {
    /// What a client asks for: `http://inference.local/`; words where no host is written.
    pub url: String,
    /// The entry; none where the way begins inside the cluster.
    pub entry: Option<Reference>,
    /// Why no request gets through, where that can be seen: the first hop that cannot work.
    pub broken: Option<String>,
    /// The hops, from the client on.
    pub hops: Vec<Hop>,
    /// The timers: one table for each rule of the entry that has its own.
    pub timers: Vec<TimerTable>,
    /// What happens at SIGTERM: one sheet for each server.
    pub drain: Vec<DrainSheet>,
}

/// What a timer ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum TimerKind {
    /// Opening the connection to the server.
    Connect,
    /// Waiting for the head of the answer.
    FirstByte,
    /// Silence between two reads of the answer.
    Silence,
    /// The whole answer.
    WholeResponse,
    /// What is still under way when something goes.
    Drain,
}

impl TimerKind {
    /// In the order of the table.
    pub const ALL: [TimerKind; 5] = [
        TimerKind::Connect,
        TimerKind::FirstByte,
        TimerKind::Silence,
        TimerKind::WholeResponse,
        TimerKind::Drain,
    ];

    /// In words.
    pub fn words(self) -> &'static str {
        match self {
            TimerKind::Connect => "connect",
            TimerKind::FirstByte => "first byte",
            TimerKind::Silence => "silence",
            TimerKind::WholeResponse => "whole response",
            TimerKind::Drain => "drain",
        }
    }
}

/// Where a timer runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Place {
    /// In front of the proxy.
    LoadBalancer,
    /// The entry's proxy.
    Proxy,
    /// Beside the server.
    Sidecar,
    /// The pod.
    Pod,
}

impl Place {
    /// In words.
    pub fn words(self) -> &'static str {
        match self {
            Place::LoadBalancer => "load balancer",
            Place::Proxy => "proxy",
            Place::Sidecar => "sidecar",
            Place::Pod => "pod",
        }
    }
}

/// What is known of a limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Limit {
    /// So many seconds.
    Seconds(u64),
    /// The timer is there and switched off.
    Off,
    /// There is no such timer there, as far as is known.
    Absent,
    /// There may be one; nothing here can read it.
    Unknown,
}

impl Limit {
    /// The seconds, where there is a limit that is known.
    pub fn seconds(self) -> Option<u64> {
        match self {
            Limit::Seconds(seconds) => Some(seconds),
            _ => None,
        }
    }
}

impl Serialize for Limit {
    /// A number of seconds, or a word.
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Limit::Seconds(seconds) => serializer.serialize_u64(*seconds),
            Limit::Off => serializer.serialize_str("off"),
            Limit::Absent => serializer.serialize_str("absent"),
            Limit::Unknown => serializer.serialize_str("unknown"),
        }
    }
}

/// One timer at one place.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Cell {
    /// What it ends.
    pub timer: TimerKind,
    /// After how long.
    pub seconds: Limit,
    /// How that is known.
    pub how: How,
    /// What sets it.
    pub source: String,
    /// What raises it, where that can be written.
    pub raised_by: Option<String>,
    /// What sets it off, for a drain: `reload`, `end`.
    pub at: Vec<&'static str>,
    /// A trap.
    pub note: Option<String>,
    /// What the client gets when it runs out before the head of the answer was sent, where that is
    /// known.
    pub client: Option<&'static str>,
    /// Whether this cell only repeats what another timer of the same place does to it.
    pub implied: bool,
}

/// The timers of one place.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Row {
    /// Where.
    pub place: Place,
    /// What is there.
    pub name: String,
    /// One for each kind that is there, in the order of [`TimerKind::ALL`].
    pub cells: Vec<Cell>,
    /// Timers that are none of these kinds (silence between two writes of the request), and longer
    /// ones of a kind that is there already.
    pub other: Vec<Cell>,
}

impl Row {
    /// The timer of this kind.
    pub fn cell(&self, timer: TimerKind) -> Option<&Cell> {
        self.cells.iter().find(|cell| cell.timer == timer)
    }
}

/// What counts in the end.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Effective {
    /// What is ended.
    pub timer: TimerKind,
    /// After how long.
    pub seconds: Limit,
    /// The place whose timer it is.
    pub bound_by: Option<Place>,
    /// Whether a place whose timers nothing can read may end it earlier.
    pub at_most: bool,
}

/// The timers on a way.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct TimerTable {
    /// Which rule of the entry it is about; empty where it is about all of them.
    pub rule: String,
    /// The places, from the client on.
    pub rows: Vec<Row>,
    /// What counts.
    pub effective: Vec<Effective>,
    /// What that does to a generation.
    pub answers: Vec<Answer>,
}

/// What is asked of the timers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Question {
    /// A generation of which nothing is sent until it is complete, or whose first token takes so
    /// long.
    Think,
    /// A streamed answer with small gaps that takes so long.
    Stream,
}

/// What the timers do to a generation.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Answer {
    /// What was asked.
    pub question: Question,
    /// How long the generation takes.
    pub seconds: u64,
    /// Whether a person asked; else it is the policy's longest generation.
    pub asked: bool,
    /// What happens.
    pub outcome: Outcome,
    /// Places that may cut it earlier, and whose timers nothing can read.
    pub unless: Vec<String>,
    /// After how long a rollout cuts it; none where it does not, or where that is unknown.
    pub rollout_cuts_after: Option<u64>,
    /// After how long a reload of the proxy's configuration cuts it; none where it does not.
    pub reload_cuts_after: Option<u64>,
}

/// What happens to a generation.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(tag = "verdict", rename_all = "kebab-case")]
pub enum Outcome {
    /// It is cut.
    #[serde(rename_all = "camelCase")]
    Cut {
        /// After how many seconds.
        after: u64,
        /// Where.
        place: Place,
        /// What is there.
        name: String,
        /// By which timer.
        timer: TimerKind,
        /// What sets that.
        source: String,
        /// How that is known.
        how: How,
        /// What raises it, where that can be written.
        raised_by: Option<String>,
        /// What the client gets, where that is known.
        client: Option<&'static str>,
    },
    /// No timer that can be read cuts it.
    #[serde(rename_all = "camelCase")]
    Survives {
        /// The first that would: after so many seconds, where.
        next: Option<(u64, Place)>,
        /// The largest gap between two tokens that it survives, for a stream.
        gap: Option<u64>,
    },
    /// Nothing on this way could be read.
    Unknown,
}

/// What happens to a server at SIGTERM.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct DrainSheet {
    /// The workload.
    pub workload: Reference,
    /// The container.
    pub container: String,
    /// What runs in it.
    pub runtime: String,
    /// Each step.
    pub steps: Vec<DrainStep>,
    /// So many seconds after it is told to go the pod still serves what is under way; none where
    /// that is unknown.
    pub window_seconds: Option<u64>,
    /// What ends that.
    pub bound_by: String,
    /// What is cut, in words.
    pub cut: String,
}

/// One line of a drain sheet.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct DrainStep {
    /// Whose: `preStop`, `grace`, `runtime`, `sidecar`, `proxy`.
    pub who: String,
    /// What it does.
    pub does: String,
}

/// Something that is declared and not on the way.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Beside {
    /// The object.
    pub object: Reference,
    /// What it declares.
    pub declares: String,
    /// Why it does nothing here.
    pub why: String,
    /// What does the same on this way, where that is known.
    pub instead: Option<String>,
    /// Whether that is certain.
    pub certain: bool,
}

/// A finding of a rule.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Found {
    /// The rule.
    pub rule: &'static str,
    /// How bad.
    #[serde(serialize_with = "level")]
    pub level: Level,
    /// What is wrong.
    pub message: String,
    /// The object.
    pub object: Reference,
    /// Where in it, as a JSON pointer.
    pub path: String,
    /// Whether the object is on a way.
    pub on_path: bool,
    /// What else is to be known.
    pub notes: Vec<String>,
    /// How to fix it.
    pub help: Vec<String>,
}

#[expect(
    clippy::trivially_copy_pass_by_ref,
    reason = "the shape that serde calls"
)]
fn level<S: Serializer>(level: &Level, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(level.as_str())
}

impl Report {
    /// Every object on a way, each once, in the order of the ways.
    pub fn on_path(&self) -> Vec<&Reference> {
        let mut found: Vec<&Reference> = Vec::new();
        for way in &self.ways {
            for hop in way.hops.iter().flat_map(Hop::walk) {
                if let Some(object) = &hop.object
                    && !found.contains(&object)
                {
                    found.push(object);
                }
            }
        }
        found
    }

    /// The answers that a person asked for.
    pub fn asked(&self) -> impl Iterator<Item = &Answer> {
        let tables = self.ways.iter().flat_map(|way| &way.timers);
        tables
            .flat_map(|table| &table.answers)
            .filter(|answer| answer.asked)
    }

    /// How many findings are of this level.
    pub fn count(&self, level: Level) -> usize {
        let of_level = |found: &&Found| found.level == level;
        self.findings.iter().filter(of_level).count()
    }
}
