//! Outages of a lane.
//!
//! Over requests that started after T0, in the order of their start: an outage runs from the first
//! that failed to the first of [`RECOVERED`] successes in a row. Requests that were open at T0 are
//! counted as in flight and make no outage.

use crate::moment::{Millis, Moment};
use crate::sample::{End, Sample};
use serde::Serialize;
use std::time::Duration;

/// Successes in a row that end an outage.
pub const RECOVERED: usize = 5;

/// A stretch of failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Outage {
    /// When the first request that failed was started.
    #[serde(rename = "fromMs")]
    pub from: Moment,
    /// When the first of the successes that ended it was started; `None` where it was not over
    /// when the drill ended.
    #[serde(rename = "toMs")]
    pub to: Option<Moment>,
    /// When the last request that counts was started.
    #[serde(skip)]
    pub last: Moment,
    /// Requests that failed in it.
    pub failed: usize,
}

impl Outage {
    /// How long it took; for one that is not over, how long it took at least.
    pub fn length(&self) -> Duration {
        self.to.unwrap_or(self.last).since(self.from)
    }
}

/// The outages of a lane.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Outages {
    /// Each of them.
    pub windows: Vec<Outage>,
    /// Their lengths together.
    #[serde(rename = "totalMs")]
    pub total: Millis,
    /// Whether the last one was over when the drill ended.
    pub is_over: bool,
}

impl Outages {
    /// Of the samples of one lane, in any order. Those that were still open when the drill ended
    /// say nothing.
    pub fn of<'a>(samples: impl IntoIterator<Item = &'a Sample>) -> Outages {
        let mut after: Vec<&Sample> = samples
            .into_iter()
            .filter(|sample| sample.is_after() && sample.end != End::Open)
            .collect();
        after.sort_by_key(|sample| (sample.started, sample.sequence));
        let mut windows: Vec<Outage> = Vec::new();
        let mut open: Option<Outage> = None;
        // When the successes in a row began, and how many there are.
        let mut row: Option<(Moment, usize)> = None;
        for sample in after {
            if sample.is_failed() {
                row = None;
                let outage = open.get_or_insert(Outage {
                    from: sample.started,
                    to: None,
                    last: sample.started,
                    failed: 0,
                });
                outage.failed += 1;
                outage.last = sample.started;
                continue;
            }
            let Some(outage) = &mut open else {
                continue;
            };
            outage.last = sample.started;
            let (began, length) = row.unwrap_or((sample.started, 0));
            if length + 1 < RECOVERED {
                row = Some((began, length + 1));
                continue;
            }
            outage.to = Some(began);
            row = None;
            windows.extend(open.take());
        }
        let is_over = open.is_none();
        windows.extend(open);
        let total = windows.iter().map(Outage::length).sum::<Duration>();
        Outages {
            windows,
            total: Millis(total),
            is_over,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lane::Lane;
    use crate::sample::tests::{answered, failed};
    use proptest::prelude::*;

    /// One request each 100 ms from T0: `.` answered, `x` failed, `?` still open.
    fn lane(text: &str) -> Vec<Sample> {
        let at = |(index, sign): (usize, char)| {
            let start = 100 * index as i64;
            match sign {
                'x' => failed(Lane::GET, index as u64, start),
                '?' => Sample {
                    end: End::Open,
                    status: None,
                    ..answered(Lane::GET, index as u64, start)
                },
                _ => answered(Lane::GET, index as u64, start),
            }
        };
        text.chars().enumerate().map(at).collect()
    }

    fn lengths(text: &str) -> (Vec<u128>, bool) {
        let outages = Outages::of(&lane(text));
        let millis = |outage: &Outage| outage.length().as_millis();
        (
            outages.windows.iter().map(millis).collect(),
            outages.is_over,
        )
    }

    #[test]
    fn an_outage_ends_at_the_first_of_five_successes() {
        assert_eq!(lengths("...."), (vec![], true));
        assert_eq!(lengths("..xxx....."), (vec![300], true));
        assert_eq!(
            lengths("x.x....x....."),
            (vec![800], true),
            "four are not five"
        );
        assert_eq!(lengths("x.....x....."), (vec![100, 100], true));
    }

    #[test]
    fn an_outage_that_is_not_over_says_so() {
        assert_eq!(lengths("..xx...."), (vec![500], false));
        assert_eq!(lengths("....x"), (vec![0], false));
        assert!(Outages::of(&lane("x")).windows[0].to.is_none());
    }

    #[test]
    fn what_was_open_says_nothing() {
        assert_eq!(lengths("x..?.??.."), (vec![100], true));
        assert_eq!(lengths("x...?."), (vec![500], false), "still four");
        assert_eq!(lengths("??"), (vec![], true));
    }

    #[test]
    fn what_started_before_t0_is_no_outage() {
        let mut samples = lane("......");
        samples.push(failed(Lane::GET, 99, -10));
        assert_eq!(Outages::of(&samples).windows, []);
    }

    proptest! {
        /// Against the definition, read backwards: each failure lies in one window, no window is
        /// open but the last, and after each end there are five successes.
        #[test]
        fn every_failure_lies_in_one_window(signs in proptest::collection::vec(0..4u8, 0..60)) {
            let text: String = signs.iter().map(|sign| ['.', '.', '.', 'x'][*sign as usize]).collect();
            let samples = lane(&text);
            let outages = Outages::of(&samples);
            let failures = text.matches('x').count();
            prop_assert_eq!(outages.windows.iter().map(|window| window.failed).sum::<usize>(), failures);
            for sample in samples.iter().filter(|sample| sample.is_failed()) {
                let inside = outages.windows.iter().filter(|window| {
                    sample.started >= window.from && window.to.is_none_or(|to| sample.started < to)
                });
                prop_assert_eq!(inside.count(), 1);
            }
            for (index, window) in outages.windows.iter().enumerate() {
                if let Some(to) = window.to {
                    let row = samples.iter().filter(|sample| sample.started >= to).take(RECOVERED);
                    prop_assert!(row.clone().count() == RECOVERED && row.clone().all(Sample::is_answered));
                } else {
                    prop_assert_eq!(index, outages.windows.len() - 1);
                }
            }
            prop_assert_eq!(outages.is_over, outages.windows.iter().all(|window| window.to.is_some()));
            let mut shuffled = samples;
            shuffled.reverse();
            prop_assert_eq!(outages, Outages::of(&shuffled));
        }
    }
}
