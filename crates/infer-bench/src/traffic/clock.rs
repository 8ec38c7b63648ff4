//! Stamps of the client's monotonic clock as the kernel's time of day, which is what a capture has.

use serde::{Deserialize, Serialize};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// Readings of which the narrowest is kept: one that was interrupted is wide.
const TRIES: usize = 64;

/// Both clocks at one moment, in nanoseconds.
#[derive(Clone, Copy, Debug, Deserialize, Serialize)]
pub(crate) struct Reading {
    /// Since the start of the run's clock; below zero before it.
    pub(crate) monotonic: i64,
    /// Since the Unix epoch.
    pub(crate) real: i64,
    /// The moment is known to this: time of day was read between two readings of the other clock.
    pub(crate) doubt: i64,
}

impl Reading {
    /// Reads both; `start` is when the run's clock was started.
    pub(crate) fn take(start: Instant) -> Reading {
        let since_start = |at: Instant| match at.checked_duration_since(start) {
            Some(after) => nanos(after),
            None => -nanos(start.saturating_duration_since(at)),
        };
        let once = || {
            let before = since_start(Instant::now());
            let real = SystemTime::now()
                .duration_since(UNIX_EPOCH)
                .unwrap_or_default();
            let after = since_start(Instant::now());
            Reading {
                monotonic: before + (after - before) / 2,
                real: nanos(real),
                doubt: after - before,
            }
        };
        let first = once();
        (1..TRIES).map(|_| once()).fold(
            first,
            |best, next| {
                if next.doubt < best.doubt { next } else { best }
            },
        )
    }
}

/// The two clocks over a run: read before it and after it.
#[derive(Clone, Copy, Debug, Deserialize, Serialize)]
pub(crate) struct Conversion {
    pub(crate) before: Reading,
    pub(crate) after: Reading,
}

impl Conversion {
    /// The time of day of a stamp. What the clocks drifted apart is spread evenly over the run.
    pub(crate) fn real(&self, monotonic: i64) -> i64 {
        let span = i128::from(self.after.monotonic - self.before.monotonic).max(1);
        let passed = i128::from(monotonic - self.before.monotonic);
        let share = i128::from(self.drift()) * passed / span;
        let share = i64::try_from(share).unwrap_or_default();
        self.before.real + (monotonic - self.before.monotonic) + share
    }

    /// How far time of day went from the monotonic clock: its adjustment, or a step.
    pub(crate) fn drift(&self) -> i64 {
        (self.after.real - self.before.real) - (self.after.monotonic - self.before.monotonic)
    }
}

/// Nanoseconds; the largest number where there are more.
pub(crate) fn nanos(duration: Duration) -> i64 {
    i64::try_from(duration.as_nanos()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reading(monotonic: i64, real: i64) -> Reading {
        Reading {
            monotonic,
            real,
            doubt: 0,
        }
    }

    #[test]
    fn stamps_become_time_of_day_and_drift_is_spread() {
        let steady = Conversion {
            before: reading(-100, 1_000_000),
            after: reading(900, 1_001_000),
        };
        assert_eq!((steady.real(0), steady.drift()), (1_000_100, 0));
        let drifting = Conversion {
            before: reading(0, 1_000_000),
            after: reading(1_000, 1_001_100),
        };
        assert_eq!(drifting.drift(), 100);
        assert_eq!(drifting.real(500), 1_000_550);
        assert_eq!(drifting.real(1_000), 1_001_100);
    }

    #[test]
    fn a_reading_before_the_start_is_below_zero() {
        let start = Instant::now() + Duration::from_secs(3600);
        let early = Reading::take(start);
        assert!(early.monotonic < 0 && early.doubt >= 0, "{early:?}");
    }
}
