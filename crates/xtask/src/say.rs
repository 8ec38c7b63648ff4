//! Lines for the person who waits. They go to stderr; stdout belongs to results.

use std::io::Write;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Writes one line to stderr. A closed stderr is no reason to fail.
pub fn line(text: &str) {
    let mut stderr = std::io::stderr().lock();
    let _ = writeln!(stderr, "{text}");
}

/// Writes one line of a result to stdout. A reader that has gone (`| head`) is no reason to fail.
pub fn result(text: &str) {
    let mut stdout = std::io::stdout().lock();
    let _ = writeln!(stdout, "{text}");
}

/// A heading above what a long command does next.
pub fn heading(text: &str) {
    line(&format!("\n== {text}"));
}

/// A clock that two processes share, so that their lines read as one story.
#[derive(Debug, Clone, Copy)]
pub struct Clock {
    started: Duration,
}

impl Clock {
    /// Starts now.
    #[must_use]
    pub fn start() -> Self {
        Self {
            started: since_epoch(),
        }
    }

    /// The clock that another process started; see [`Clock::to_millis`].
    #[must_use]
    pub fn from_millis(millis: u64) -> Self {
        Self {
            started: Duration::from_millis(millis),
        }
    }

    /// The start as a number that another process can be given.
    #[must_use]
    pub fn to_millis(self) -> u64 {
        u64::try_from(self.started.as_millis()).unwrap_or(u64::MAX)
    }

    /// Time since the start.
    #[must_use]
    pub fn elapsed(self) -> Duration {
        since_epoch().saturating_sub(self.started)
    }

    /// `[  3120 ms] API server ready` on stderr.
    pub fn say(self, text: &str) {
        line(&format!("[{:6} ms] {text}", self.elapsed().as_millis()));
    }
}

fn since_epoch() -> Duration {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default()
}

/// `4.2 s` or `3 min 10 s`.
#[must_use]
pub fn duration(time: Duration) -> String {
    let seconds = time.as_secs();
    if seconds < 60 {
        format!("{:.1} s", time.as_secs_f64())
    } else {
        format!("{} min {} s", seconds / 60, seconds % 60)
    }
}
