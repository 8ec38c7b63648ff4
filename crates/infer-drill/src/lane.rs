//! The lanes of traffic, and how much of it.

use crate::moment::{Millis, span};
use serde::Serialize;
use std::fmt;
use std::time::Duration;

/// What a lane sends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// Short requests that a proxy may repeat.
    Get,
    /// Short requests that a proxy may not repeat once they were sent.
    Post,
    /// Long answers as server-sent events, a fixed number of them open at a time.
    Stream,
}

/// How a lane's requests come by their connection. Connections that are kept and reused may follow.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Connection {
    /// Each opens its own.
    New,
}

/// A lane of traffic.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub struct Lane {
    /// What it sends.
    pub kind: Kind,
    /// On which connection.
    pub connection: Connection,
}

impl Lane {
    /// Short GETs.
    pub const GET: Lane = Lane::new(Kind::Get);
    /// Short POSTs.
    pub const POST: Lane = Lane::new(Kind::Post);
    /// Long streams.
    pub const STREAMS: Lane = Lane::new(Kind::Stream);
    /// All of them, as reports list them.
    pub const ALL: [Lane; 3] = [Lane::GET, Lane::POST, Lane::STREAMS];

    const fn new(kind: Kind) -> Lane {
        Lane {
            kind,
            connection: Connection::New,
        }
    }

    /// Whether its requests follow a schedule, whatever becomes of those before them.
    pub fn is_open_loop(self) -> bool {
        self.kind != Kind::Stream
    }
}

impl fmt::Display for Lane {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let connection = match self.connection {
            Connection::New => "new",
        };
        match self.kind {
            Kind::Get => write!(f, "GET {connection}"),
            Kind::Post => write!(f, "POST {connection}"),
            Kind::Stream => f.write_str("streams"),
        }
    }
}

/// How much is sent, and for how long. Bounded, so that a drill is no load test.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Load {
    /// Requests a second in each of the GET and POST lanes.
    pub rate: f64,
    /// Streams that are kept open.
    pub streams: u32,
    /// Tokens that each stream asks for.
    pub stream_tokens: u32,
    /// How long traffic flows before the fault.
    #[serde(rename = "baselineMs", serialize_with = "as_millis")]
    pub baseline: Duration,
    /// How long it flows after it.
    #[serde(rename = "durationMs", serialize_with = "as_millis")]
    pub duration: Duration,
}

fn as_millis<S: serde::Serializer>(duration: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
    Millis(*duration).serialize(serializer)
}

/// Highest rate of a lane.
pub const MAX_RATE: f64 = 100.0;
/// Most streams.
pub const MAX_STREAMS: u32 = 64;
/// Longest baseline.
pub const MAX_BASELINE: Duration = Duration::from_secs(300);
/// Longest traffic after the fault.
pub const MAX_DURATION: Duration = Duration::from_secs(1800);

impl Default for Load {
    fn default() -> Load {
        Load {
            rate: 10.0,
            streams: 8,
            stream_tokens: 400,
            baseline: Duration::from_secs(10),
            duration: Duration::from_secs(60),
        }
    }
}

/// A load that is not sent.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum BadLoad {
    /// The rate is none, or too high.
    #[error(
        "--rate {0}: from 0.1 to {MAX_RATE} requests a second and lane; a drill is no load test"
    )]
    Rate(f64),
    /// Too many streams.
    #[error("--streams {0}: at most {MAX_STREAMS}; a drill is no load test")]
    Streams(u32),
    /// The streams ask for no token.
    #[error("--stream-tokens 0: a stream of no token ends at once, and nothing is seen to break")]
    StreamTokens,
    /// The baseline is too short or too long.
    #[error("--baseline {}: from 1s to {}", span(*.0), span(MAX_BASELINE))]
    Baseline(Duration),
    /// The duration is too short or too long.
    #[error("--duration {}: from 1s to {}", span(*.0), span(MAX_DURATION))]
    Duration(Duration),
}

impl Load {
    /// Holds it to the bounds.
    ///
    /// # Errors
    ///
    /// The first bound that it breaks.
    pub fn check(&self) -> Result<(), BadLoad> {
        if !(0.1..=MAX_RATE).contains(&self.rate) {
            return Err(BadLoad::Rate(self.rate));
        }
        if self.streams > MAX_STREAMS {
            return Err(BadLoad::Streams(self.streams));
        }
        if self.streams > 0 && self.stream_tokens == 0 {
            return Err(BadLoad::StreamTokens);
        }
        let second = Duration::from_secs(1);
        if !(second..=MAX_BASELINE).contains(&self.baseline) {
            return Err(BadLoad::Baseline(self.baseline));
        }
        if !(second..=MAX_DURATION).contains(&self.duration) {
            return Err(BadLoad::Duration(self.duration));
        }
        Ok(())
    }

    /// Time between two requests of a lane: how precisely an outage is known.
    pub fn precision(&self) -> Duration {
        Duration::from_secs_f64(1.0 / self.rate)
    }

    /// Most short requests that are sent in all.
    pub fn requests(&self) -> u64 {
        let seconds = (self.baseline + self.duration).as_secs_f64();
        let lanes = Lane::ALL.iter().filter(|lane| lane.is_open_loop()).count();
        (seconds * self.rate).ceil() as u64 * lanes as u64
    }
}

impl fmt::Display for Load {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let lanes = Lane::ALL.iter().filter(|lane| lane.is_open_loop()).count();
        write!(
            f,
            "{lanes} lanes × {} req/s for {} + {} after the fault, {} open {}",
            self.rate,
            span(self.baseline),
            span(self.duration),
            self.streams,
            if self.streams == 1 {
                "stream"
            } else {
                "streams"
            },
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_default_load_is_bounded_and_small() {
        let load = Load::default();
        assert_eq!(load.check(), Ok(()));
        assert_eq!(load.requests(), 1400);
        assert_eq!(load.precision(), Duration::from_millis(100));
        assert_eq!(
            load.to_string(),
            "2 lanes × 10 req/s for 10s + 60s after the fault, 8 open streams"
        );
    }

    #[test]
    fn each_bound_is_held() {
        let with = |change: fn(&mut Load)| {
            let mut load = Load::default();
            change(&mut load);
            load.check().map_err(|error| error.to_string())
        };
        for (load, flag) in [
            (with(|load| load.rate = 0.0), "--rate 0"),
            (with(|load| load.rate = 101.0), "--rate 101"),
            (with(|load| load.rate = f64::NAN), "--rate NaN"),
            (with(|load| load.streams = 65), "--streams 65"),
            (with(|load| load.stream_tokens = 0), "--stream-tokens 0"),
            (
                with(|load| load.baseline = Duration::ZERO),
                "--baseline 0ms",
            ),
            (
                with(|load| load.duration = Duration::from_secs(1801)),
                "--duration 1801s",
            ),
        ] {
            assert!(load.clone().unwrap_err().starts_with(flag), "{load:?}");
        }
        assert_eq!(with(|load| load.streams = 0), Ok(()));
    }
}
