//! What was seen of the requests at and after T0, counted by what explains it.

use crate::lane::Kind;
use crate::moment::Moment;
use crate::sample::Sample;

/// What was seen, counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Seen {
    /// New requests that a proxy moved from the victim to another replica.
    pub(super) moved: usize,
    /// GETs and POSTs in flight that were moved.
    pub(super) moved_in_flight: usize,
    /// POSTs in flight that failed on the victim after a single attempt.
    pub(super) posts_lost_once: usize,
    /// POSTs in flight that failed, of which the attempts are not known.
    pub(super) posts_lost_unknown: usize,
    /// GETs in flight that failed.
    pub(super) gets_lost: usize,
    /// Streams in flight that were lost, on whichever replica.
    pub(super) streams_lost: usize,
    /// New requests that the victim failed and that were not moved: one attempt, or all failed.
    pub(super) after_on_victim: usize,
    /// Of these, those that it answered 503.
    pub(super) after_loading: usize,
    /// Of these, those that started when it was ready again, and that it did not answer 503.
    pub(super) after_back: usize,
    /// New requests that failed without the victim in any attempt.
    pub(super) after_elsewhere: usize,
    /// New requests that failed, of which the attempts are not known.
    pub(super) after_unknown: usize,
}

impl Seen {
    pub(super) fn of(samples: &[Sample], back: Option<Moment>) -> Seen {
        let mut seen = Seen::default();
        for sample in samples {
            if sample.is_after() {
                seen.after(sample, back);
            } else if sample.is_open_at_t0() {
                seen.in_flight(sample);
            }
        }
        seen
    }

    fn in_flight(&mut self, sample: &Sample) {
        if !sample.is_failed() {
            let moved = sample.lane.kind != Kind::Stream && was_moved(sample);
            self.moved_in_flight += usize::from(moved);
            return;
        }
        match (sample.lane.kind, &sample.attempts) {
            (Kind::Stream, _) => self.streams_lost += 1,
            (Kind::Get, _) => self.gets_lost += 1,
            (Kind::Post, None) => self.posts_lost_unknown += 1,
            (Kind::Post, Some(attempts)) => {
                let once = attempts.len() == 1 && attempts.iter().all(|it| it.is_victim);
                self.posts_lost_once += usize::from(once);
            }
        }
    }

    fn after(&mut self, sample: &Sample, back: Option<Moment>) {
        if !sample.is_failed() {
            self.moved += usize::from(was_moved(sample));
            return;
        }
        let Some(attempts) = &sample.attempts else {
            self.after_unknown += 1;
            return;
        };
        if !attempts.iter().any(|attempt| attempt.is_victim) {
            self.after_elsewhere += 1;
            return;
        }
        self.after_on_victim += 1;
        let loading = attempts
            .last()
            .is_some_and(|attempt| attempt.is_victim && attempt.status == Some(503));
        let is_back = back.is_some_and(|back| sample.started >= back);
        self.after_loading += usize::from(loading);
        self.after_back += usize::from(is_back && !loading);
    }
}

/// Whether a proxy moved it from the victim to another replica, and the client was answered.
fn was_moved(sample: &Sample) -> bool {
    let first = sample
        .attempts
        .as_ref()
        .and_then(|attempts| attempts.first());
    sample.is_hidden_retry() == Some(true) && first.is_some_and(|attempt| attempt.is_victim)
}
