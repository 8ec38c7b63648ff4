//! One monotonic clock per run.

use std::time::{Duration, Instant};

/// The clock of a run. Every stamp is the time since it was started, so stamps of requests, of
/// cluster events and of a fault can be compared with each other.
///
/// It is the machine's monotonic clock: setting the date does not move it. On Linux it stands still
/// while the machine sleeps (clock_gettime(2), `CLOCK_MONOTONIC`).
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    start: Instant,
}

impl Clock {
    /// Starts the clock at zero.
    #[must_use]
    pub fn start() -> Self {
        Self {
            start: Instant::now(),
        }
    }

    /// The time since the start.
    #[must_use]
    pub fn now(&self) -> Duration {
        self.start.elapsed()
    }

    /// The instant of a stamp, for tokio's timers.
    #[must_use]
    pub fn instant(&self, at: Duration) -> tokio::time::Instant {
        tokio::time::Instant::from_std(self.start + at)
    }

    /// The stamp of an instant; zero for one before the start.
    #[must_use]
    pub fn at(&self, instant: Instant) -> Duration {
        instant.saturating_duration_since(self.start)
    }
}
