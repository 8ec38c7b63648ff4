//! The timeline, printed while it happens. Each event is printed once; those of clients when they
//! have settled, because a burst is counted and a log line comes later than the request.

use crate::print;
use crate::terminal::Look;
use infer_drill::Moment;
use infer_drill::timeline::{Event, Side};
use std::io::Write;
use std::time::Duration;

/// How long a client's event must be over before it is told: the proxy writes its line when the
/// request ends, and the line comes through kubelet and API server.
const SETTLED: Duration = Duration::from_millis(1500);
/// The same for the last of several, which may be followed by another.
const LAST_SETTLED: Duration = Duration::from_secs(4);

/// How far the times of one event may lie apart.
const MOVED: Duration = Duration::from_millis(100);

/// Where the timeline goes while it happens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Sink {
    /// With the result.
    Stdout,
    /// Beside it.
    Stderr,
    /// Nowhere.
    None,
}

/// A timeline that is being printed.
#[derive(Debug)]
pub(crate) struct Live {
    sink: Sink,
    look: Look,
    told: Vec<Event>,
}

impl Live {
    /// Nothing printed yet.
    pub(crate) fn new(sink: Sink, look: Look) -> Live {
        Live {
            sink,
            look,
            told: Vec::new(),
        }
    }

    /// Prints text as it is. What cannot be shown is no failure: the report comes all the same.
    pub(crate) fn print(&self, text: &str) {
        let _ = match self.sink {
            Sink::Stdout => write_now(std::io::stdout(), text),
            Sink::Stderr => write_now(std::io::stderr(), text),
            Sink::None => Ok(()),
        };
    }

    /// How it may look.
    pub(crate) fn look(&self) -> Look {
        self.look
    }

    /// Prints those of these events that were not told yet and have settled by now.
    pub(crate) fn tell(&mut self, events: &[Event], now: Moment) {
        for event in events {
            let settled = match event.side {
                Side::Cluster => Duration::ZERO,
                Side::Clients if event.what.starts_with("last-") => LAST_SETTLED,
                Side::Clients => SETTLED,
            };
            if event.at.plus(settled) <= now && !self.is_told(event) {
                self.print(&print::drill::event(event, self.look));
                self.told.push(event.clone());
            }
        }
    }

    /// Whether it was told, if not in the same words: a count that grew belongs to an event that was
    /// told, unless it says that it is the last.
    fn is_told(&self, event: &Event) -> bool {
        self.told.iter().any(|told| {
            let same = told.side == event.side && told.what == event.what;
            match event.side {
                // T0 moves a little when the fault is sent.
                Side::Cluster => {
                    let apart = told.at.since(event.at).max(event.at.since(told.at));
                    same && told.text == event.text && apart < MOVED
                }
                Side::Clients if event.what.starts_with("last-") => same && told.text == event.text,
                Side::Clients => same && told.at == event.at,
            }
        })
    }
}

fn write_now(mut stream: impl Write, text: &str) -> std::io::Result<()> {
    stream.write_all(text.as_bytes())?;
    stream.flush()
}

#[cfg(test)]
mod tests {
    use super::*;
    use infer_drill::timeline::Mood;

    fn event(side: Side, what: &'static str, at: i64, text: &str) -> Event {
        Event {
            side,
            ..Event::cluster(Moment(at * 1_000_000), what, Mood::Plain, text)
        }
    }

    fn told(live: &Live) -> Vec<&str> {
        live.told.iter().map(|event| event.text.as_str()).collect()
    }

    #[test]
    fn events_are_told_once_and_when_they_have_settled() {
        let look = Look {
            colour: false,
            ascii: false,
            width: 100,
        };
        let mut live = Live::new(Sink::None, look);
        let mut events = vec![
            event(Side::Cluster, "pod-ready", 100, "cluster"),
            event(Side::Clients, "lost-in-flight", 100, "1 cut"),
            event(Side::Clients, "last-hidden-retry", 100, "last of 2"),
        ];
        live.tell(&events, Moment(100_000_000));
        assert_eq!(told(&live), ["cluster"]);
        // The burst grew while it was not told.
        events[1].text = "2 cut".to_owned();
        live.tell(&events, Moment(1_700_000_000));
        assert_eq!(told(&live), ["cluster", "2 cut"]);
        live.tell(&events, Moment(5_000_000_000));
        events[2] = event(Side::Clients, "last-hidden-retry", 5000, "last of 3");
        live.tell(&events, Moment(9_000_000_000));
        assert_eq!(told(&live), ["cluster", "2 cut", "last of 2", "last of 3"]);
    }
}
