//! What happened, cluster and clients on one clock.
//!
//! Events of the cluster are stamped when they arrive: API timestamps have a resolution of one
//! second and a foreign clock. Events of clients are made from the samples.

use crate::lane::Kind;
use crate::moment::Moment;
use crate::sample::{Attempt, Sample};
use serde::Serialize;
use std::collections::BTreeMap;
use std::time::Duration;

/// Failures that lie no further apart are told as one.
const BURST: Duration = Duration::from_millis(500);

/// Whose event it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Side {
    /// The cluster's.
    Cluster,
    /// The clients'.
    Clients,
}

/// What it means.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Mood {
    /// It is told, nothing more.
    Plain,
    /// As it should be.
    Good,
    /// To look at.
    Doubtful,
    /// A client lost something.
    Bad,
}

/// Something that happened.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Event {
    /// When.
    #[serde(rename = "atMs")]
    pub at: Moment,
    /// Whose it is.
    pub side: Side,
    /// What it is, for programs: `endpoint-left`, `streams-cut`…
    pub what: &'static str,
    /// What it means.
    pub mood: Mood,
    /// The same for people.
    pub text: String,
}

impl Event {
    /// Of the cluster.
    pub fn cluster(at: Moment, what: &'static str, mood: Mood, text: impl Into<String>) -> Event {
        Event {
            at,
            side: Side::Cluster,
            what,
            mood,
            text: text.into(),
        }
    }

    fn clients(at: Moment, what: &'static str, mood: Mood, text: impl Into<String>) -> Event {
        Event {
            side: Side::Clients,
            ..Event::cluster(at, what, mood, text)
        }
    }
}

/// What the events of clients are made from, beside the samples.
#[derive(Clone, Copy, Debug)]
pub struct Known<'a> {
    /// The pods behind the route at T0.
    pub pods: &'a [String],
    /// Whether the fault leaves the pod and restarts its container.
    pub restarts: bool,
    /// When the fault was seen to have happened.
    pub verified: Option<Moment>,
}

/// The events of clients, in their order. Of the baseline nothing is told but how it was.
pub fn clients(samples: &[Sample], known: Known<'_>) -> Vec<Event> {
    let mut events = Vec::new();
    events.extend(lost_in_flight(samples));
    events.extend(failed_after(samples));
    events.extend(hidden_retries(samples));
    events.extend(first_new_answers(samples, known));
    events.sort_by_key(|event| event.at);
    events
}

/// Merges the events of both sides.
pub fn merge(cluster: &[Event], clients: Vec<Event>) -> Vec<Event> {
    let mut all: Vec<Event> = cluster.to_vec();
    all.extend(clients);
    all.sort_by_key(|event| event.at);
    all
}

/// How the traffic was when the fault was sent: `baseline ok, 8 streams open (4 on the victim)`.
/// `on_victim` is not known where the proxy's log tells of a stream only when it ends.
pub fn baseline(start: Moment, failed: usize, streams: usize, on_victim: Option<usize>) -> Event {
    let open = count(streams, "stream");
    let of_victim = on_victim.map(|number| format!(" ({number} on the victim)"));
    let (mood, state) = match failed {
        0 => (Mood::Plain, "baseline ok".to_owned()),
        failed => (Mood::Doubtful, format!("baseline: {failed} failed")),
    };
    let text = format!("{state}, {open} open{}", of_victim.unwrap_or_default());
    Event::clients(start, "baseline", mood, text)
}

fn lost_in_flight(samples: &[Sample]) -> Vec<Event> {
    let mut lost: Vec<&Sample> = samples
        .iter()
        .filter(|sample| sample.is_open_at_t0() && sample.is_failed())
        .collect();
    lost.sort_by_key(|sample| sample.ended);
    let mut bursts: Vec<Vec<&Sample>> = Vec::new();
    for sample in lost {
        match bursts.last_mut() {
            Some(burst)
                if burst
                    .last()
                    .is_some_and(|last| sample.ended.since(last.ended) <= BURST) =>
            {
                burst.push(sample);
            }
            _ => bursts.push(vec![sample]),
        }
    }
    let event = |burst: &Vec<&Sample>| {
        let at = burst.first().map_or(Moment::T0, |sample| sample.ended);
        let mut parts: BTreeMap<(Kind, String), usize> = BTreeMap::new();
        for sample in burst {
            let key = (sample.lane.kind, how_it_failed(sample));
            *parts.entry(key).or_default() += 1;
        }
        let parts: Vec<String> = parts
            .iter()
            .rev()
            .map(|((kind, how), number)| format!("{} in flight {how}", count(*number, noun(*kind))))
            .collect();
        Event::clients(at, "lost-in-flight", Mood::Bad, parts.join(", "))
    };
    bursts.iter().map(event).collect()
}

fn noun(kind: Kind) -> &'static str {
    match kind {
        Kind::Get => "GET",
        Kind::Post => "POST",
        Kind::Stream => "stream",
    }
}

/// `cut`, `got 502`, `reset-before-headers`.
pub(crate) fn how_it_failed(sample: &Sample) -> String {
    match (sample.cause(), sample.status) {
        (Some("http"), Some(status)) => format!("got {status}"),
        (Some("stalled"), _) => "stalled".to_owned(),
        _ if sample.is_truncated() => "cut".to_owned(),
        (Some(cause), _) => format!("failed: {cause}"),
        (None, _) => "answered".to_owned(),
    }
}

fn failed_after(samples: &[Sample]) -> Vec<Event> {
    let failed = || {
        samples
            .iter()
            .filter(|sample| sample.is_after() && sample.is_failed())
    };
    let Some(first) = failed().min_by_key(|sample| sample.ended) else {
        return Vec::new();
    };
    let text = format!(
        "first new request fails: {} {}",
        noun(first.lane.kind),
        how_it_failed(first)
    );
    let mut events = vec![Event::clients(
        first.ended,
        "first-failure",
        Mood::Bad,
        text,
    )];
    let number = failed().count();
    if let Some(last) = failed().max_by_key(|sample| sample.ended)
        && number > 1
    {
        let text = format!("last of {number} new requests that fail");
        events.push(Event::clients(last.ended, "last-failure", Mood::Bad, text));
    }
    events
}

fn hidden_retries(samples: &[Sample]) -> Vec<Event> {
    let mut hidden: Vec<&Sample> = samples
        .iter()
        .filter(|sample| sample.is_after() || sample.is_open_at_t0())
        .filter(|sample| sample.is_hidden_retry() == Some(true))
        .collect();
    // A retry is made when the request starts; a stream that was retried may end much later.
    hidden.sort_by_key(|sample| sample.started.max(Moment::T0));
    let at = |sample: &Sample| sample.started.max(Moment::T0);
    match hidden.as_slice() {
        [] => Vec::new(),
        [only] => vec![Event::clients(
            at(only),
            "only-hidden-retry",
            Mood::Doubtful,
            "one retry hidden by the proxy",
        )],
        [first, .., last] => vec![
            Event::clients(
                at(first),
                "first-hidden-retry",
                Mood::Doubtful,
                "first retry hidden by the proxy",
            ),
            Event::clients(
                at(last),
                "last-hidden-retry",
                Mood::Good,
                format!("last of {} hidden retries", hidden.len()),
            ),
        ],
    }
}

fn first_new_answers(samples: &[Sample], known: Known<'_>) -> Vec<Event> {
    let served = || {
        samples
            .iter()
            .filter(|sample| sample.is_after() && sample.is_answered())
            .filter_map(|sample| Some((sample, sample.last_attempt()?)))
    };
    if known.restarts {
        let Some(dead) = dead_since(samples, known.verified) else {
            return Vec::new();
        };
        let first = served()
            .filter(|(sample, by)| by.is_victim && sample.started >= dead)
            .min_by_key(|(sample, _)| sample.ended);
        return first
            .map(|(sample, _)| {
                Event::clients(
                    sample.ended,
                    "first-answer-restarted",
                    Mood::Good,
                    "first answer from the restarted container",
                )
            })
            .into_iter()
            .collect();
    }
    let mut first: BTreeMap<&str, &Sample> = BTreeMap::new();
    for (sample, by) in served() {
        let Some(pod) = by.pod.as_deref() else {
            continue;
        };
        if known.pods.iter().any(|old| old == pod) {
            continue;
        }
        let known = first.entry(pod).or_insert(sample);
        if sample.ended < known.ended {
            *known = sample;
        }
    }
    first
        .into_iter()
        .map(|(pod, sample)| {
            let text = format!("first answer from pod/{pod}");
            Event::clients(sample.ended, "first-answer-new-pod", Mood::Good, text)
        })
        .collect()
}

/// Since when the old server of the victim was surely dead: when the first request that it failed
/// ended, or when the fault was verified. An answer to a request that started later is the new
/// container's.
fn dead_since(samples: &[Sample], verified: Option<Moment>) -> Option<Moment> {
    let is_failure =
        |attempt: &Attempt| attempt.is_victim && attempt.status.is_none_or(|status| status >= 500);
    let failed = samples
        .iter()
        .filter(|sample| sample.ended >= Moment::T0)
        .filter(|sample| {
            let attempts = sample.attempts.iter().flatten();
            attempts.clone().any(is_failure)
                || (sample.is_truncated() && sample.was_on_victim() == Some(true))
        })
        .map(|sample| sample.ended)
        .min();
    [failed, verified].into_iter().flatten().min()
}

/// "1 stream", "4 streams".
pub(crate) fn count(number: usize, noun: &str) -> String {
    format!("{number} {noun}{}", if number == 1 { "" } else { "s" })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lane::Lane;
    use crate::sample::tests::{VICTIM, answered, attempt, failed};

    const KNOWN: Known<'_> = Known {
        pods: &[],
        restarts: true,
        verified: None,
    };

    fn texts(samples: &[Sample], known: Known<'_>) -> Vec<String> {
        let show = |event: Event| format!("{} {}", event.at, event.text);
        clients(samples, known).into_iter().map(show).collect()
    }

    fn retried(lane: Lane, start: i64) -> Sample {
        Sample {
            attempts: Some(vec![attempt(VICTIM, 502), attempt("10.0.0.2:8080", 200)]),
            ..answered(lane, 0, start)
        }
    }

    fn on_victim(lane: Lane, start: i64) -> Sample {
        Sample {
            attempts: Some(vec![attempt(VICTIM, 200)]),
            ..answered(lane, 0, start)
        }
    }

    fn ended(sample: Sample, millis: i64) -> Sample {
        Sample {
            ended: Moment(millis * 1_000_000),
            ..sample
        }
    }

    #[test]
    fn a_crash_as_clients_see_it() {
        let cut = |index| Sample {
            status: Some(200),
            end: crate::sample::End::Failed {
                cause: "closed-in-body".to_owned(),
                message: String::new(),
            },
            ..ended(failed(Lane::STREAMS, index, -5000), 40 + index as i64)
        };
        let samples = [
            cut(0),
            cut(1),
            ended(failed(Lane::POST, 0, -20), 42),
            ended(answered(Lane::GET, 0, -10), 10),
            retried(Lane::GET, 110),
            retried(Lane::POST, 900),
            retried(Lane::GET, 2090),
            // The old server was dead since 0.04 s, so this is the new one.
            on_victim(Lane::GET, 25_000),
            on_victim(Lane::GET, 26_000),
        ];
        assert_eq!(
            texts(&samples, KNOWN),
            [
                "0.04s 2 streams in flight cut, 1 POST in flight got 502",
                "0.11s first retry hidden by the proxy",
                "2.09s last of 3 hidden retries",
                "25.02s first answer from the restarted container",
            ]
        );
    }

    #[test]
    fn an_answer_of_the_victim_before_its_death_is_not_the_new_container_s() {
        let samples = [on_victim(Lane::GET, 1), ended(failed(Lane::POST, 0, 5), 60)];
        assert_eq!(
            texts(&samples, KNOWN),
            ["0.06s first new request fails: POST got 502"]
        );
        assert_eq!(
            texts(&samples[..1], KNOWN),
            [""; 0],
            "no sign of death at all"
        );
    }

    #[test]
    fn losses_that_lie_apart_are_told_apart() {
        let samples = [
            ended(failed(Lane::POST, 0, -20), 10),
            ended(failed(Lane::POST, 1, -20), 30_000),
        ];
        assert_eq!(
            texts(&samples, KNOWN),
            [
                "0.01s 1 POST in flight got 502",
                "30.00s 1 POST in flight got 502"
            ]
        );
    }

    #[test]
    fn a_new_pod_answers_for_the_first_time() {
        let known = Known {
            pods: &["llama-a".to_owned()],
            restarts: false,
            verified: None,
        };
        let samples = [on_victim(Lane::GET, 5), answered(Lane::GET, 1, 300)];
        assert_eq!(
            texts(&samples, known),
            ["0.32s first answer from pod/llama-b"]
        );
    }

    #[test]
    fn without_a_log_nothing_is_said_of_retries_or_replicas() {
        let unknown = |mut sample: Sample| {
            sample.attempts = None;
            sample
        };
        let samples = [
            unknown(answered(Lane::GET, 0, 10)),
            unknown(failed(Lane::GET, 1, 110)),
        ];
        assert_eq!(
            texts(&samples, KNOWN),
            ["0.13s first new request fails: GET got 502"]
        );
    }

    #[test]
    fn both_sides_are_merged_by_time() {
        let cluster = [
            Event::cluster(Moment::T0, "fault-sent", Mood::Plain, "fault sent"),
            Event::cluster(Moment(1_080_000_000), "endpoint-left", Mood::Plain, "1/2"),
        ];
        let merged = merge(&cluster, clients(&[failed(Lane::GET, 0, 10)], KNOWN));
        let whats: Vec<&str> = merged.iter().map(|event| event.what).collect();
        assert_eq!(whats, ["fault-sent", "first-failure", "endpoint-left"]);
        assert_eq!(
            baseline(Moment::before(Duration::from_secs(10)), 0, 8, Some(4)).text,
            "baseline ok, 8 streams open (4 on the victim)"
        );
    }
}
