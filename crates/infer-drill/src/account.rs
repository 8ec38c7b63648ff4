//! What clients saw in one lane.
//!
//! Each request is counted once, by when it started: before T0 and ended (`baseline`), before T0
//! and still open then (`in_flight`), or after T0 (`after`). A request that started after T0 counts
//! as after it also where the proxy still sent it to the victim: T0 is the line, not the endpoint.

use crate::lane::Lane;
use crate::moment::Moment;
use crate::outage::Outages;
use crate::quantile::Quantiles;
use crate::sample::{End, Sample};
use serde::Serialize;
use std::collections::BTreeMap;

/// Requests, by how they ended. `answered + failed + open` is `sent`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Tally {
    /// All of them.
    pub sent: u64,
    /// Answered.
    pub answered: u64,
    /// Failed.
    pub failed: u64,
    /// Still open when the drill let go of them: neither.
    pub open: u64,
}

impl Tally {
    fn add(&mut self, sample: &Sample) {
        self.sent += 1;
        match sample.end {
            End::Answered => self.answered += 1,
            End::Failed { .. } => self.failed += 1,
            End::Open => self.open += 1,
        }
    }

    /// With another.
    pub fn plus(self, other: Tally) -> Tally {
        Tally {
            sent: self.sent + other.sent,
            answered: self.answered + other.answered,
            failed: self.failed + other.failed,
            open: self.open + other.open,
        }
    }

    /// The share that failed of those that ended; `None` where none ended.
    pub fn error_rate(self) -> Option<f64> {
        let ended = self.answered + self.failed;
        (ended > 0).then(|| self.failed as f64 / ended as f64)
    }
}

/// Requests by who had them last.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ByReplica {
    /// The victim.
    pub victim: u64,
    /// Another replica.
    pub others: u64,
    /// Nobody knows: the proxy's log has no line of it, or could not be read.
    pub unknown: u64,
}

impl ByReplica {
    fn add(&mut self, sample: &Sample) {
        match sample.was_on_victim() {
            Some(true) => self.victim += 1,
            Some(false) => self.others += 1,
            None => self.unknown += 1,
        }
    }
}

/// Requests that were open at T0.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct InFlight {
    /// By how they ended: `failed` are those lost in flight.
    #[serde(flatten)]
    pub tally: Tally,
    /// Of those that failed, how many had begun to answer: a status of success, then a cut body.
    pub truncated: u64,
    /// Of those that were answered, how many a proxy had sent more than once.
    pub retried: u64,
    /// All of them, by who had them last.
    pub on: ByReplica,
    /// Those that failed, by who had them last.
    pub lost_on: ByReplica,
}

/// Retries that a proxy made and that the client never saw.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Hidden {
    /// Requests with more than one attempt of which the client saw success.
    pub retries: u64,
    /// Requests of which the proxy's log has no line: they may have been retried.
    pub unknown: u64,
}

/// What clients saw in one lane.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Account {
    /// The lane.
    pub lane: Lane,
    /// Requests that ended before T0.
    pub baseline: Tally,
    /// Requests that were open at T0.
    pub in_flight: InFlight,
    /// Requests that started after T0.
    pub after: Tally,
    /// Outages; `None` in the lane of streams, which follows no schedule.
    pub outage: Option<Outages>,
    /// Latency from the intended start of those answered before T0.
    pub baseline_latency: Quantiles,
    /// Latency from the intended start of those that started after T0 and were answered.
    pub latency: Quantiles,
    /// Hidden retries of requests that were open at T0 or started after it; `None` where the
    /// proxy's log could not be read.
    pub hidden: Option<Hidden>,
    /// Events with content that came on streams before they were lost.
    pub content_before_loss: u64,
    /// Causes of the failures at and after T0, with how many there were.
    pub causes: BTreeMap<String, u64>,
}

impl Account {
    /// Of a lane, over all samples of the drill. `is_log_read`: whether the proxy's log could be
    /// read at all.
    pub fn of(lane: Lane, samples: &[Sample], is_log_read: bool) -> Account {
        let own = || samples.iter().filter(move |sample| sample.lane == lane);
        let mut account = Account {
            lane,
            baseline: Tally::default(),
            in_flight: InFlight::default(),
            after: Tally::default(),
            outage: lane.is_open_loop().then(|| Outages::of(own())),
            baseline_latency: Quantiles::default(),
            latency: Quantiles::default(),
            hidden: is_log_read.then(Hidden::default),
            content_before_loss: 0,
            causes: BTreeMap::new(),
        };
        for sample in own() {
            account.add(sample);
        }
        let latency = |sample: &Sample| sample.ended.since(sample.intended);
        let answered = || own().filter(|sample| sample.is_answered());
        account.baseline_latency = Quantiles::of(
            answered()
                .filter(|sample| sample.ended < Moment::T0)
                .map(latency),
        );
        account.latency = Quantiles::of(answered().filter(|sample| sample.is_after()).map(latency));
        account
    }

    fn add(&mut self, sample: &Sample) {
        if sample.is_after() {
            self.after.add(sample);
        } else if sample.is_open_at_t0() {
            let in_flight = &mut self.in_flight;
            in_flight.tally.add(sample);
            in_flight.on.add(sample);
            in_flight.truncated += u64::from(sample.is_truncated());
            let retried = sample.is_answered() && sample.is_hidden_retry() == Some(true);
            in_flight.retried += u64::from(retried);
            if sample.is_failed() {
                in_flight.lost_on.add(sample);
            }
        } else {
            self.baseline.add(sample);
            return;
        }
        if let Some(hidden) = &mut self.hidden {
            match sample.is_hidden_retry() {
                Some(is_hidden) => hidden.retries += u64::from(is_hidden),
                // Of a failure or an open stream nothing was hidden.
                None => hidden.unknown += u64::from(sample.is_answered()),
            }
        }
        if let Some(cause) = sample.cause() {
            *self.causes.entry(cause.to_owned()).or_default() += 1;
            self.content_before_loss += sample.content_events;
        }
    }

    /// Requests that were open at T0 or started after it.
    pub fn total(&self) -> Tally {
        self.in_flight.tally.plus(self.after)
    }
}

/// How far the generator was behind its own schedule: what it could not do is not the server's
/// fault.
pub fn lag(samples: &[Sample]) -> Quantiles {
    let scheduled = samples.iter().filter(|sample| sample.lane.is_open_loop());
    Quantiles::of(scheduled.map(|sample| sample.started.since(sample.intended)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lane::Lane;
    use crate::sample::tests::{VICTIM, answered, attempt, failed};
    use proptest::prelude::*;
    use std::time::Duration;

    #[test]
    fn in_flight_and_after_are_told_apart_by_t0() {
        let samples = [
            answered(Lane::POST, 0, -100),
            failed(Lane::POST, 1, -90),
            answered(Lane::POST, 2, -10),
            failed(Lane::POST, 3, -10),
            answered(Lane::POST, 4, 0),
            failed(Lane::POST, 5, 10),
            answered(Lane::GET, 0, 10),
        ];
        let account = Account::of(Lane::POST, &samples, true);
        let tally = |sent, answered, failed| Tally {
            sent,
            answered,
            failed,
            open: 0,
        };
        assert_eq!(account.baseline, tally(2, 1, 1));
        assert_eq!(account.in_flight.tally, tally(2, 1, 1));
        assert_eq!(account.after, tally(2, 1, 1));
        assert_eq!(account.total(), tally(4, 2, 2));
        assert_eq!(account.causes, BTreeMap::from([("http".to_owned(), 2)]));
        let on = |victim, others| ByReplica {
            victim,
            others,
            unknown: 0,
        };
        assert_eq!(account.in_flight.on, on(1, 1));
        assert_eq!(account.in_flight.lost_on, on(1, 0));
    }

    #[test]
    fn a_cut_body_is_truncated_and_an_error_status_is_not() {
        let cut = Sample {
            status: Some(200),
            content_events: 65,
            ..failed(Lane::STREAMS, 0, -10)
        };
        let refused = failed(Lane::STREAMS, 1, -10);
        let account = Account::of(Lane::STREAMS, &[cut, refused], true);
        assert_eq!(account.in_flight.tally.failed, 2);
        assert_eq!(account.in_flight.truncated, 1);
        assert_eq!(account.content_before_loss, 65);
        assert_eq!(account.outage, None, "streams follow no schedule");
    }

    #[test]
    fn hidden_retries_are_unknown_without_a_log() {
        let mut retried = answered(Lane::GET, 0, 10);
        retried.attempts = Some(vec![attempt(VICTIM, 502), attempt("10.0.0.2:8080", 200)]);
        let mut no_line = answered(Lane::GET, 1, 20);
        no_line.attempts = None;
        let mut lost = failed(Lane::GET, 2, 30);
        lost.attempts = None;
        let samples = [retried, no_line, lost];
        let account = Account::of(Lane::GET, &samples, true);
        assert_eq!(
            account.hidden,
            Some(Hidden {
                retries: 1,
                unknown: 1
            })
        );
        assert_eq!(Account::of(Lane::GET, &samples, false).hidden, None);
    }

    #[test]
    fn a_retry_before_t0_is_not_the_fault_s() {
        let mut retried = answered(Lane::GET, 0, -500);
        retried.attempts = Some(vec![attempt(VICTIM, 502), attempt("10.0.0.2:8080", 200)]);
        let account = Account::of(Lane::GET, &[retried], true);
        assert_eq!(account.hidden, Some(Hidden::default()));
    }

    #[test]
    fn latency_counts_from_the_intended_start_and_lag_is_the_generator_s() {
        let late: Vec<Sample> = (0..20)
            .map(|index| {
                let mut sample = answered(Lane::GET, index, 100 * index as i64);
                sample.intended = Moment(sample.started.0 - 30_000_000);
                sample
            })
            .collect();
        let account = Account::of(Lane::GET, &late, true);
        let fifty = Duration::from_millis(50);
        assert_eq!(account.latency.p99.unwrap().0, fifty);
        assert_eq!(lag(&late).p99.unwrap().0, Duration::from_millis(30));
        assert_eq!(account.baseline_latency.count, 0);
    }

    /// Any sample of a lane.
    fn any() -> impl Strategy<Value = Sample> {
        (0..3usize, -300..300i64, 0..200u64, 0..3u8, 0..3u8).prop_map(
            |(lane, start, millis, end, attempts)| {
                let lane = Lane::ALL[lane];
                let mut sample = match end {
                    0 => answered(lane, 0, start),
                    1 => failed(lane, 0, start),
                    _ => Sample {
                        end: End::Open,
                        ..answered(lane, 0, start)
                    },
                };
                sample.ended = sample.started.plus(Duration::from_millis(millis));
                if attempts == 0 {
                    sample.attempts = None;
                }
                sample
            },
        )
    }

    proptest! {
        /// Nothing is counted twice and nothing is dropped.
        #[test]
        fn every_request_is_counted_once(samples in proptest::collection::vec(any(), 0..80)) {
            let mut counted = 0;
            for lane in Lane::ALL {
                let account = Account::of(lane, &samples, true);
                let in_flight = account.in_flight;
                for tally in [account.baseline, in_flight.tally, account.after, account.total()] {
                    prop_assert_eq!(tally.sent, tally.answered + tally.failed + tally.open);
                }
                counted += account.baseline.sent + account.total().sent;
                let ByReplica { victim, others, unknown } = in_flight.on;
                prop_assert_eq!(victim + others + unknown, in_flight.tally.sent);
                let ByReplica { victim, others, unknown } = in_flight.lost_on;
                prop_assert_eq!(victim + others + unknown, in_flight.tally.failed);
                prop_assert_eq!(account.causes.values().sum::<u64>(), account.total().failed);
            }
            prop_assert_eq!(counted as usize, samples.len());
        }
    }
}
