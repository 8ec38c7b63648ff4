//! Times of a drill.

use serde::{Serialize, Serializer};
use std::fmt;
use std::time::Duration;

/// A moment on the drill's clock: nanoseconds since T0, when the fault was sent. What happened
/// before is negative. In documents it is a number of milliseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Moment(pub i64);

impl Moment {
    /// When the fault was sent.
    pub const T0: Moment = Moment(0);

    /// So long after T0.
    pub fn after(duration: Duration) -> Moment {
        Moment::T0.plus(duration)
    }

    /// So long before T0.
    pub fn before(duration: Duration) -> Moment {
        Moment(-nanos(duration))
    }

    /// So long after this moment.
    pub fn plus(self, duration: Duration) -> Moment {
        Moment(self.0.saturating_add(nanos(duration)))
    }

    /// How long after `earlier` this is; zero where it is not after it.
    pub fn since(self, earlier: Moment) -> Duration {
        let nanos = self.0.saturating_sub(earlier.0).max(0);
        Duration::from_nanos(nanos.unsigned_abs())
    }

    /// In milliseconds.
    pub fn millis(self) -> f64 {
        self.0 as f64 / 1e6
    }
}

impl fmt::Display for Moment {
    /// Seconds since T0 with two decimals: `0.91s`, `-10.00s`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:.2}s", self.0 as f64 / 1e9)
    }
}

impl Serialize for Moment {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_f64(self.millis())
    }
}

/// A duration as a document carries it: a number of milliseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Millis(pub Duration);

impl Serialize for Millis {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_f64(self.0.as_nanos() as f64 / 1e6)
    }
}

impl From<Duration> for Millis {
    fn from(duration: Duration) -> Millis {
        Millis(duration)
    }
}

impl fmt::Display for Millis {
    /// As [`span`].
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&span(self.0))
    }
}

/// A duration for people: `38ms`, `2.1s`, `240s`.
pub fn span(duration: Duration) -> String {
    let seconds = duration.as_secs_f64();
    // Rounded first, so that 999.6 ms are a second and not `1000ms`.
    let millis = (seconds * 1e3).round();
    if millis < 1000.0 {
        format!("{millis}ms")
    } else if seconds.fract() == 0.0 || seconds >= 100.0 {
        format!("{seconds:.0}s")
    } else {
        format!("{seconds:.1}s")
    }
}

fn nanos(duration: Duration) -> i64 {
    i64::try_from(duration.as_nanos()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_moment_is_seconds_from_t0() {
        assert_eq!(
            Moment::after(Duration::from_millis(910)).to_string(),
            "0.91s"
        );
        assert_eq!(
            Moment::before(Duration::from_secs(10)).to_string(),
            "-10.00s"
        );
        assert_eq!(
            Moment::before(Duration::from_secs(10)).since(Moment::T0),
            Duration::ZERO
        );
        assert_eq!(serde_json::to_string(&Moment(1_500_000)).unwrap(), "1.5");
    }

    #[test]
    fn a_span_is_short() {
        let of = |millis| span(Duration::from_millis(millis));
        assert_eq!(
            [of(0), of(38), of(999), of(2149), of(60_000), of(240_400)],
            ["0ms", "38ms", "999ms", "2.1s", "60s", "240s"]
        );
        assert_eq!(span(Duration::from_micros(999_600)), "1.0s");
    }
}
