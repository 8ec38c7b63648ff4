//! A test of a route for programs. Times are milliseconds since the intended start of the request;
//! what was not reached or is not known is null.

use super::json;
use crate::answered::{Replica, Tried};
use crate::problem::Problem;
use crate::route::Gap;
use crate::tested::split::{Expectation, Silent};
use crate::tested::{Answer, Lag, Report, Tested};
use infer_traffic::statistics::Percentiles;
use infer_verdict::draw::Draw;
use serde::Serialize;
use std::time::Duration;

/// Kind of the document.
const KIND: &str = "TestReport";

/// Renders the document of a run.
pub(crate) fn render(report: &Report, problems: &[Problem]) -> String {
    json::render(KIND, Body::of(report), problems)
}

/// The document of a test that could not be made.
pub(crate) fn empty(problems: &[Problem]) -> String {
    json::render(KIND, Body::default(), problems)
}

#[derive(Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
struct Body<'a> {
    run: Option<&'a str>,
    target: Option<Target<'a>>,
    curl: Option<&'a str>,
    wanted: Option<u32>,
    interrupted: bool,
    requests: Vec<Request<'a>>,
    lag: Option<LagOf>,
    expectations: Vec<ExpectationOf<'a>>,
    ended_early: Option<EndedEarly<'a>>,
    notes: &'a [String],
    gaps: Vec<GapOf<'a>>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Target<'a> {
    object: Option<json::Object<'a>>,
    url: &'a str,
    host: &'a str,
    address: Option<&'a str>,
    address_from: &'a str,
    controller: Option<&'a str>,
    proxies: Option<usize>,
    service: Option<&'a str>,
    runtime: Option<&'a str>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Request<'a> {
    sequence: u64,
    status: Option<u16>,
    error: Option<Error<'a>>,
    bytes: u64,
    stamps: Stamps,
    stream: Option<Stream>,
    replica: ReplicaOf<'a>,
}

#[derive(Debug, Serialize)]
struct Error<'a> {
    cause: &'a str,
    message: &'a str,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Stamps {
    started: Option<f64>,
    resolved: Option<f64>,
    connected: Option<f64>,
    tls: Option<f64>,
    sent: Option<f64>,
    first_byte: Option<f64>,
    first_token: Option<f64>,
    end: Option<f64>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Stream {
    events: u64,
    content_events: u64,
    largest_gap_ms: Option<f64>,
    largest_gap_at_ms: Option<f64>,
    terminated: bool,
    /// Null is unknown.
    buffered: Option<bool>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct ReplicaOf<'a> {
    pod: Option<&'a str>,
    address: Option<&'a str>,
    /// Null is unknown.
    attempts: Option<Vec<AttemptOf<'a>>>,
    grade: Option<&'a str>,
    reason: &'a str,
}

#[derive(Debug, Serialize)]
struct AttemptOf<'a> {
    address: &'a str,
    pod: Option<&'a str>,
    status: Option<u16>,
    seconds: Option<f64>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct LagOf {
    rate: f64,
    samples: u64,
    p50_ms: Option<f64>,
    p99_ms: Option<f64>,
    max_ms: Option<f64>,
    skipped: usize,
}

/// A backend's share. Shares, tolerances and intervals are parts of one: a tenth is 0.1.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct ExpectationOf<'a> {
    backend: &'a str,
    /// What the name was found to be; null where nothing has it.
    by: Option<&'a str>,
    target: f64,
    tolerance: f64,
    sent: u64,
    hits: u64,
    unknown: u64,
    interval: IntervalOf,
    verdict: &'a str,
    /// How many requests would settle it; null where it is settled, or no number would.
    settles_at: Option<u64>,
    /// What the order of the hits looks like.
    draw: Draw,
    /// How surely the replies are known, the least sure of all.
    grade: Option<&'a str>,
}

#[derive(Debug, Serialize)]
struct IntervalOf {
    low: f64,
    high: f64,
}

#[derive(Debug, Serialize)]
struct EndedEarly<'a> {
    backend: &'a str,
    /// So many requests, from the first on, were not answered by it.
    requests: u64,
}

#[derive(Debug, Serialize)]
struct GapOf<'a> {
    what: &'a str,
    why: &'a str,
    help: Option<&'a str>,
}

impl<'a> Body<'a> {
    fn of(report: &'a Report) -> Body<'a> {
        Body {
            run: Some(&report.run),
            target: Some(Target::of(&report.tested)),
            curl: Some(&report.curl),
            wanted: Some(report.wanted),
            interrupted: report.interrupted,
            requests: report.answers.iter().map(Request::of).collect(),
            lag: report.lag.as_ref().map(LagOf::of),
            expectations: report
                .split
                .iter()
                .flat_map(|split| &split.expectations)
                .map(ExpectationOf::of)
                .collect(),
            ended_early: report
                .split
                .as_ref()
                .and_then(|split| split.ended.as_ref())
                .map(EndedEarly::of),
            notes: &report.notes,
            gaps: report.gaps.iter().map(GapOf::of).collect(),
        }
    }
}

impl<'a> Target<'a> {
    fn of(tested: &'a Tested) -> Target<'a> {
        Target {
            object: tested.object.as_ref().map(json::Object::of),
            url: &tested.url,
            host: &tested.host,
            address: tested.address.as_deref(),
            address_from: tested.from,
            controller: tested.controller.as_deref(),
            proxies: tested.proxies,
            service: tested.service.as_deref(),
            runtime: tested.runtime.as_deref(),
        }
    }
}

impl<'a> Request<'a> {
    fn of(answer: &'a Answer) -> Request<'a> {
        let exchange = &answer.exchange;
        let since = |stamp| answer.since_start(stamp).map(ms);
        let stamps = &exchange.stamps;
        Request {
            sequence: answer.sequence,
            status: exchange.status,
            error: exchange.failure.as_ref().map(|failure| Error {
                cause: failure.cause.as_str(),
                message: &failure.message,
            }),
            bytes: exchange.bytes,
            stamps: Stamps {
                started: since(Some(exchange.started)),
                resolved: since(stamps.resolved),
                connected: since(stamps.connected),
                tls: since(stamps.tls),
                sent: since(stamps.sent),
                first_byte: since(stamps.first_byte),
                first_token: since(stamps.first_token),
                end: since(stamps.end),
            },
            stream: exchange.stream.as_ref().map(|stream| Stream {
                events: stream.events,
                content_events: stream.content_events,
                largest_gap_ms: stream.largest_gap.map(ms),
                largest_gap_at_ms: since(stream.largest_gap_at),
                terminated: stream.terminated,
                buffered: match stream.buffered {
                    infer_traffic::Buffered::Yes => Some(true),
                    infer_traffic::Buffered::No => Some(false),
                    infer_traffic::Buffered::Unknown => None,
                },
            }),
            replica: ReplicaOf::of(&answer.replica),
        }
    }
}

impl<'a> ReplicaOf<'a> {
    fn of(replica: &'a Replica) -> ReplicaOf<'a> {
        let attempts: Vec<_> = replica.attempts.iter().map(AttemptOf::of).collect();
        ReplicaOf {
            pod: replica.pod.as_deref(),
            address: replica.address.as_deref(),
            attempts: (!attempts.is_empty()).then_some(attempts),
            grade: replica.grade.map(crate::answered::Grade::as_str),
            reason: &replica.reason,
        }
    }
}

impl<'a> AttemptOf<'a> {
    fn of(tried: &'a Tried) -> AttemptOf<'a> {
        AttemptOf {
            address: &tried.address,
            pod: tried.pod.as_deref(),
            status: tried.status,
            seconds: tried.seconds,
        }
    }
}

impl LagOf {
    fn of(lag: &Lag) -> LagOf {
        let Percentiles {
            n, p50, p99, max, ..
        } = lag.late;
        LagOf {
            rate: lag.rate,
            samples: n,
            p50_ms: p50.map(ms),
            p99_ms: p99.map(ms),
            max_ms: max.map(ms),
            skipped: lag.skipped,
        }
    }
}

impl<'a> ExpectationOf<'a> {
    fn of(expectation: &'a Expectation) -> ExpectationOf<'a> {
        let Expectation {
            wanted,
            by,
            counts,
            judged,
            draw,
            grade,
        } = expectation;
        ExpectationOf {
            backend: &wanted.name,
            by: by.map(crate::tested::split::By::as_str),
            target: wanted.target.share,
            tolerance: wanted.target.tolerance,
            sent: counts.sent,
            hits: counts.hits,
            unknown: counts.unknown,
            interval: IntervalOf {
                low: judged.interval.low,
                high: judged.interval.high,
            },
            verdict: judged.verdict.as_str(),
            settles_at: judged.settles.requests(),
            draw: *draw,
            grade: grade.map(crate::answered::Grade::as_str),
        }
    }
}

impl<'a> EndedEarly<'a> {
    fn of(silent: &'a Silent) -> EndedEarly<'a> {
        EndedEarly {
            backend: &silent.backend,
            requests: silent.requests,
        }
    }
}

impl<'a> GapOf<'a> {
    fn of(gap: &'a Gap) -> GapOf<'a> {
        GapOf {
            what: &gap.what,
            why: &gap.why,
            help: gap.help.as_deref(),
        }
    }
}

/// Milliseconds, to the microsecond.
fn ms(time: Duration) -> f64 {
    time.as_micros() as f64 / 1e3
}
