//! What a test of a route gave: for printers, without knowledge of how it was done.

pub(crate) mod split;

use crate::answered::{Fingerprint, Grade, Replica};
use crate::route::Gap;
use infer_core::object::ObjectRef;
use infer_traffic::Exchange;
use infer_traffic::statistics::Percentiles;
use split::{Reply, Split};
use std::collections::BTreeMap;
use std::time::Duration;

/// Where an address comes from when only the resolver knows.
pub(crate) const RESOLVER: &str = "resolver";

/// One run.
#[derive(Debug)]
pub(crate) struct Report {
    /// What tells this run from others, in every request's user agent.
    pub(crate) run: String,
    /// What was tested.
    pub(crate) tested: Tested,
    /// The request line: method and path.
    pub(crate) request_line: String,
    /// The equal curl line.
    pub(crate) curl: String,
    /// Whether answers were read as streams.
    pub(crate) stream: bool,
    /// How many requests were wanted.
    pub(crate) wanted: u32,
    /// What came of those that were sent, in their order.
    pub(crate) answers: Vec<Answer>,
    /// How late we were ourselves, where there was a schedule.
    pub(crate) lag: Option<Lag>,
    /// From the first request to the last answer.
    pub(crate) took: Duration,
    /// Whether backends get their shares, where some are expected.
    pub(crate) split: Option<Split>,
    /// What is good to know and changes nothing.
    pub(crate) notes: Vec<String>,
    /// What could not be read, and what is unknown for that.
    pub(crate) gaps: Vec<Gap>,
    /// Whether Ctrl-C ended it.
    pub(crate) interrupted: bool,
}

/// What was tested, and what is known of it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Tested {
    /// The Ingress; none for a URL.
    pub(crate) object: Option<ObjectRef>,
    /// The URL.
    pub(crate) url: String,
    /// Host, as it is asked for.
    pub(crate) host: String,
    /// Address and port that were connected to; none where there was no connection.
    pub(crate) address: Option<String>,
    /// What the address was taken from.
    pub(crate) from: &'static str,
    /// The controller of its IngressClass.
    pub(crate) controller: Option<String>,
    /// How many of the proxy's pods are behind the address, where they were found.
    pub(crate) proxies: Option<usize>,
    /// The Service that it leads to.
    pub(crate) service: Option<String>,
    /// What serves there.
    pub(crate) runtime: Option<String>,
}

/// One request, its answer, and who gave it.
#[derive(Debug)]
pub(crate) struct Answer {
    /// Its number in the run, from 1.
    pub(crate) sequence: u64,
    /// What happened.
    pub(crate) exchange: Exchange,
    /// Who answered.
    pub(crate) replica: Replica,
    /// What the answer says of itself.
    pub(crate) fingerprint: Fingerprint,
}

/// How late the generator of an open loop was.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Lag {
    /// Requests a second that were wanted.
    pub(crate) rate: f64,
    /// From the intended start to the real one.
    pub(crate) late: Percentiles,
    /// Requests that were not started because too many were open.
    pub(crate) skipped: usize,
}

impl Answer {
    /// What tells who answered.
    pub(crate) fn reply(&self) -> Reply<'_> {
        Reply {
            sequence: self.sequence,
            replica: &self.replica,
            fingerprint: &self.fingerprint,
        }
    }

    /// Time since the intended start.
    pub(crate) fn since_start(&self, stamp: Option<Duration>) -> Option<Duration> {
        stamp.map(|at| at.saturating_sub(self.exchange.intended))
    }

    /// From the intended start to the end.
    pub(crate) fn latency(&self) -> Option<Duration> {
        self.since_start(self.exchange.stamps.end)
    }

    /// From the intended start to the first token.
    pub(crate) fn first_token(&self) -> Option<Duration> {
        self.since_start(self.exchange.stamps.first_token)
    }

    /// Whether it failed or was answered with 400 or above.
    pub(crate) fn failed(&self) -> bool {
        self.exchange.failure.is_some()
    }
}

impl Report {
    /// How many failed.
    pub(crate) fn failed(&self) -> usize {
        self.answers.iter().filter(|answer| answer.failed()).count()
    }

    /// How many were answered by somebody whose name is known.
    pub(crate) fn attributed(&self) -> usize {
        let known = |answer: &&Answer| answer.replica.grade.is_some();
        self.answers.iter().filter(known).count()
    }

    /// Requests that the proxy sent to more than one replica, the client seeing one good answer.
    pub(crate) fn hidden_retries(&self) -> usize {
        let hidden = |answer: &&Answer| !answer.failed() && answer.replica.attempts.len() > 1;
        self.answers.iter().filter(hidden).count()
    }

    /// Counts by status and cause; none and none is a complete answer without a status, which
    /// cannot be.
    pub(crate) fn outcomes(&self) -> BTreeMap<(Option<u16>, Option<&'static str>), usize> {
        let mut counts = BTreeMap::new();
        for answer in &self.answers {
            let failure = answer.exchange.failure.as_ref();
            let cause = failure.map(|failure| failure.cause.as_str());
            *counts.entry((answer.exchange.status, cause)).or_default() += 1;
        }
        counts
    }

    /// Counts by replica and grade; none is unknown.
    pub(crate) fn replicas(&self) -> BTreeMap<Option<(String, Grade)>, usize> {
        let mut counts = BTreeMap::new();
        for answer in &self.answers {
            *counts.entry(answer.replica.name()).or_default() += 1;
        }
        counts
    }

    /// Percentiles over the requests that did not fail.
    pub(crate) fn percentiles(&self, of: impl Fn(&Answer) -> Option<Duration>) -> Percentiles {
        let good = self.answers.iter().filter(|answer| !answer.failed());
        let samples: Vec<Duration> = good.filter_map(of).collect();
        Percentiles::of(&samples)
    }
}
