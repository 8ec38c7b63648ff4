//! Whether something on the way held a stream back: what can be known from outside. Pure.
//!
//! Events that come together at the end of an answer are what a buffering proxy makes of a stream.
//! They are also what an honest hop delivers when the prompt took long and the model is fast, when
//! the server thinks first and emits last, when an answer comes from a cache, or when this process
//! did not get to read. Arrival times alone cannot tell these apart, so they never accuse by
//! themselves. [`Buffered::Yes`] needs evidence that tokens existed before they came here:
//!
//! 1. **The server's own clock.** llama.cpp says in its last event how long it generated
//!    (`timings.predicted_ms`, `predicted_n`), and stamps each event with `created` in whole seconds
//!    (both run in the lab). Other servers repeat the time of the request, which says nothing.
//!    When the server generated for G and all content came here within a twentieth of G, it was
//!    held. `timings` count only when nearly each token has an event of its own: a parser of tool
//!    calls or hidden reasoning keeps tokens back in the server. `created` is of the content events
//!    themselves and needs no such care, but loses a second to rounding.
//! 2. **Lumps at a known pace.** A proxy that fills buffers of 4 or 8 KiB delivers a long stream in
//!    lumps. NGINX 1.26.3 does so with `proxy_buffering on` where the server's body ends with its
//!    connection; chunks it hands on as they come, and only the head waits for the first of them
//!    (both run in the lab). A server that decodes one token in a step makes no lumps; speculative
//!    decoding does, and llama.cpp says when it drafts. So: `timings` without drafts, a pace of 5 ms
//!    a token or slower, most events in lumps of eight or more, pauses of 200 ms or more between the
//!    lumps (above what delayed acknowledgements, Nagle and Wi-Fi power saving do).
//! 3. **Lumps that end inside an event.** A server writes whole events; a buffer that is full ends
//!    where it ends. When at least three of the lumps, and half of them, end inside an event whose
//!    rest comes 200 ms later, something cuts by size. No server clock is needed: a real NGINX was
//!    found out this way.
//!
//! A network that stood still for the whole of a generation looks like the first, and did hold it.
//!
//! In all three our own reader must have been on time. Its lateness is measured by a timer in the
//! same task, and what that might explain is [`Buffered::Unknown`].
//!
//! [`Buffered::No`] needs events that came one by one with time between them, which no flush of a
//! buffer makes, or a spread that matches the server's own generation time.
//!
//! Fewer than [`ENOUGH_EVENTS`] content events are always unknown.

use std::time::Duration;

use crate::content::{Carried, Timings};
pub use crate::exchange::Buffered;
use crate::sse::Event;

/// The least number of content events for a judgement.
pub const ENOUGH_EVENTS: u64 = 10;

/// The least generation time that arrival times are compared with.
const ENOUGH_GENERATION: Duration = Duration::from_millis(250);
/// Events this near to each other came together.
const TOGETHER: Duration = Duration::from_millis(1);
/// A pause that the network does not make by itself.
const PAUSE: Duration = Duration::from_millis(200);
/// Events in a lump.
const LUMP: u64 = 8;
/// Lumps that make a pattern.
const ENOUGH_LUMPS: usize = 4;
/// Events that a pause cut in two. A lump that happens to end between events shows nothing, so not
/// all need to be cut; a server that writes whole events cuts none.
const ENOUGH_CUTS: usize = 3;
/// The pace a token, from which on single tokens are told apart.
const SLOW_PACE: Duration = Duration::from_millis(5);
/// A pause between tokens that no flush of a buffer makes, not even over a link of 1 Mbit/s, where
/// a packet takes 12 ms.
const CLEAR_GAP: Duration = Duration::from_millis(20);
/// The longest pause of a stream that is too fast for its tokens to be told apart.
const SHORT: Duration = Duration::from_millis(50);
/// The bound of what is kept.
const KEPT_ARRIVALS: usize = 16 * 1024;

/// Events that came together.
#[derive(Clone, Copy, Debug)]
struct Arrival {
    first: Duration,
    last: Duration,
    events: u64,
}

/// How a stream's content came.
#[derive(Debug, Default)]
pub struct Arrivals {
    arrivals: Vec<Arrival>,
    more_than_kept: bool,
    events: u64,
    cut_by_pause: usize,
    created: Option<(u64, u64)>,
    timings: Option<Timings>,
}

/// What else the judgement needs.
#[derive(Clone, Copy, Debug)]
pub struct Circumstances {
    /// When the request was written.
    pub sent: Duration,
    /// When the answer ended.
    pub end: Duration,
    /// How late our own reader was at worst while the body came.
    pub own_lateness: Duration,
}

impl Arrivals {
    /// Takes the next event.
    pub fn push(&mut self, event: &Event, carried: &Carried) {
        self.timings = carried.timings.or(self.timings);
        self.cut_by_pause += usize::from(event.at.saturating_sub(event.began) >= PAUSE);
        if !carried.content {
            return;
        }
        self.events += 1;
        if let Some(created) = carried.created {
            let (low, high) = self.created.unwrap_or((created, created));
            self.created = Some((low.min(created), high.max(created)));
        }
        let room = self.arrivals.len() < KEPT_ARRIVALS;
        match self.arrivals.last_mut() {
            Some(arrival) if event.at.saturating_sub(arrival.last) <= TOGETHER => {
                arrival.last = event.at;
                arrival.events += 1;
            }
            _ if room => self.arrivals.push(Arrival {
                first: event.at,
                last: event.at,
                events: 1,
            }),
            _ => self.more_than_kept = true,
        }
    }

    /// The judgement. The module says on what grounds.
    #[must_use]
    pub fn judge(&self, circumstances: &Circumstances) -> Buffered {
        if self.events < ENOUGH_EVENTS {
            return Buffered::Unknown;
        }
        if !self.more_than_kept && self.held(circumstances) {
            return Buffered::Yes;
        }
        if self.flowed(circumstances) {
            return Buffered::No;
        }
        Buffered::Unknown
    }

    fn held(&self, circumstances: &Circumstances) -> bool {
        let all_at_once = self.generation().is_some_and(|generation| {
            generation >= ENOUGH_GENERATION
                && self.spread() * 20 <= generation
                && circumstances.own_lateness * 10 <= generation
        });
        let usual_gap = self.usual_gap();
        // To make these lumps by itself, our reader would be late by a pause for each of them.
        let in_lumps = circumstances.own_lateness * 2 <= usual_gap
            && self.arrivals.len() >= ENOUGH_LUMPS
            && self.most(|arrival| arrival.events >= LUMP)
            && usual_gap >= PAUSE;
        let slow_and_single = self.honest_timings().is_some_and(|(timings, generation)| {
            !timings.drafted && pace(timings, generation) >= SLOW_PACE
        });
        let cut_by_size =
            self.cut_by_pause >= ENOUGH_CUTS && self.cut_by_pause * 2 >= self.arrivals.len();
        all_at_once || (in_lumps && (slow_and_single || cut_by_size))
    }

    fn flowed(&self, circumstances: &Circumstances) -> bool {
        let whole = circumstances.end.saturating_sub(circumstances.sent);
        let one_by_one = self.most(|arrival| arrival.events <= 2)
            && (self.spread() * 5 >= whole || self.usual_gap() >= CLEAR_GAP);
        let as_generated = self.honest_timings().is_some_and(|(timings, generation)| {
            let single = self.most(|arrival| arrival.events <= 4);
            let too_fast_to_tell =
                pace(timings, generation) < TOGETHER && self.gaps().all(|gap| gap <= SHORT);
            self.spread() * 2 >= generation && (single || too_fast_to_tell)
        });
        one_by_one || as_generated
    }

    /// How long the server generated what came here, as far as the server says it.
    fn generation(&self) -> Option<Duration> {
        // Two stamps of whole seconds are up to one second nearer than they look.
        let created = self
            .created
            .map(|(low, high)| Duration::from_secs((high - low).saturating_sub(1)));
        self.honest_timings()
            .map(|(_, generation)| generation)
            .or(created)
    }

    /// The timings, where nearly each token has an event of its own.
    fn honest_timings(&self) -> Option<(Timings, Duration)> {
        let timings = self.timings?;
        let generation = Duration::try_from_secs_f64(timings.predicted_ms / 1000.0).ok()?;
        let all_shown = timings.predicted_n > 0 && self.events * 5 >= timings.predicted_n * 4;
        all_shown.then_some((timings, generation))
    }

    fn spread(&self) -> Duration {
        match (self.arrivals.first(), self.arrivals.last()) {
            (Some(first), Some(last)) => last.last.saturating_sub(first.first),
            _ => Duration::ZERO,
        }
    }

    fn gaps(&self) -> impl Iterator<Item = Duration> {
        self.arrivals
            .windows(2)
            .filter_map(|pair| Some(pair.last()?.first.saturating_sub(pair.first()?.last)))
    }

    /// The median gap between arrivals; zero where there is none.
    fn usual_gap(&self) -> Duration {
        let mut gaps: Vec<Duration> = self.gaps().collect();
        gaps.sort_unstable();
        gaps.get(gaps.len() / 2).copied().unwrap_or_default()
    }

    /// Four fifths of the events came in arrivals of this kind.
    fn most(&self, kind: impl Fn(&Arrival) -> bool) -> bool {
        let of_kind: u64 = self
            .arrivals
            .iter()
            .filter(|arrival| kind(arrival))
            .map(|arrival| arrival.events)
            .sum();
        of_kind * 5 >= self.events * 4
    }
}

fn pace(timings: Timings, generation: Duration) -> Duration {
    let tokens = u32::try_from(timings.predicted_n).unwrap_or(u32::MAX);
    generation / tokens.max(1)
}
