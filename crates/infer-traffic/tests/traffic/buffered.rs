//! A proxy that buffers is told from one that does not, and the honest one is never accused.

use std::time::Duration;

use infer_traffic::buffered::{Arrivals, Circumstances};
use infer_traffic::content::{Carried, Timings};
use infer_traffic::sse::Event;
use infer_traffic::{Buffered, Clock, Target, send};

use crate::servers::{Hold, proxy, stamping};
use crate::{DEADLINE, streamed};

/// A stream as it came, in milliseconds.
#[derive(Default)]
struct Came {
    arrivals: Arrivals,
    last: u64,
    own_lateness: u64,
}

impl Came {
    /// An event that began to come at one time and ended at another.
    fn cut(mut self, began: u64, at: u64, carried: &Carried) -> Self {
        let event = Event {
            name: String::new(),
            data: String::new(),
            began: Duration::from_millis(began),
            at: Duration::from_millis(at),
        };
        self.arrivals.push(&event, carried);
        self.last = at;
        self
    }

    fn content(self, times: impl IntoIterator<Item = u64>) -> Self {
        times
            .into_iter()
            .fold(self, |came, at| came.cut(at, at, &content(None)))
    }

    /// `lumps` of `size` events, `pause` apart.
    fn lumps(self, lumps: u64, size: u64, pause: u64) -> Self {
        (0..lumps).fold(self, |came, lump| {
            came.content((0..size).map(move |_| 1000 + lump * pause))
        })
    }

    fn timings(self, predicted_ms: f64, predicted_n: u64, drafted: bool) -> Self {
        let at = self.last;
        let carried = Carried {
            timings: Some(Timings {
                predicted_ms,
                predicted_n,
                drafted,
            }),
            ..Carried::default()
        };
        self.cut(at, at, &carried)
    }

    fn late(mut self, own_lateness: u64) -> Self {
        self.own_lateness = own_lateness;
        self
    }

    fn judged(&self) -> Buffered {
        self.arrivals.judge(&Circumstances {
            sent: Duration::ZERO,
            end: Duration::from_millis(self.last + 1),
            own_lateness: Duration::from_millis(self.own_lateness),
        })
    }
}

fn content(created: Option<u64>) -> Carried {
    Carried {
        content: true,
        created,
        ..Carried::default()
    }
}

fn every(step: usize, from: u64, to: u64) -> impl Iterator<Item = u64> {
    (from..to).step_by(step)
}

#[test]
fn what_is_held_and_what_shows_it() {
    let all_at_once = Came::default().content(vec![2100; 96]);
    assert_eq!(
        all_at_once.timings(2000.0, 96, false).judged(),
        Buffered::Yes
    );

    // `created` ran for four seconds while everything came at once.
    let by_created = (0..50).fold(Came::default(), |came, index| {
        came.cut(5000, 5000, &content(Some(100 + index / 10)))
    });
    assert_eq!(by_created.judged(), Buffered::Yes);

    // NGINX with `proxy_buffering on`: lumps of 4 KiB at 22 ms a token.
    let lumps = Came::default().lumps(6, 16, 352);
    assert_eq!(lumps.timings(2112.0, 96, false).judged(), Buffered::Yes);

    // The same, from a server that says nothing of its time: each lump ends inside an event.
    let mut by_size = Came::default();
    for lump in 0..6 {
        let at = 1000 + lump * 352;
        if lump > 0 {
            by_size = by_size.cut(at - 352, at, &content(None));
        }
        by_size = by_size.content(vec![at; 15]);
    }
    assert_eq!(by_size.judged(), Buffered::Yes);
}

#[test]
fn what_flows() {
    let plain = Came::default().content(every(22, 200, 2300));
    assert_eq!(plain.judged(), Buffered::No);
    // A prompt of twenty seconds, then few tokens, one by one.
    let long_prompt = Came::default().content(every(20, 20_000, 20_300));
    assert_eq!(long_prompt.judged(), Buffered::No);
    // 2,000 tokens a second.
    let fast = (0..1000).fold(Came::default(), |came, index| {
        came.content([100 + index / 2])
    });
    assert_eq!(fast.timings(500.0, 1000, false).judged(), Buffered::No);
    // Two tokens now and then come together.
    let uneven = Came::default().content(every(22, 200, 2300).flat_map(|at| [at, at]));
    assert_eq!(uneven.judged(), Buffered::No);
}

#[test]
fn what_nobody_is_accused_of() {
    let at_once = || Came::default().content(vec![5000; 96]);
    let unknown = [
        ("no word of the server's own time", at_once()),
        (
            "a tiny model after a long prompt",
            at_once().timings(10.0, 96, false),
        ),
        (
            "a parser that kept the tokens in the server",
            Came::default()
                .content(vec![5000; 12])
                .timings(4500.0, 200, false),
        ),
        (
            "this process did not get to read",
            at_once().timings(4500.0, 96, false).late(4600),
        ),
        (
            "too few events",
            Came::default()
                .content(vec![5000; 9])
                .timings(4500.0, 9, false),
        ),
        (
            "created repeats the time of the request",
            (0..50).fold(Came::default(), |came, _| {
                came.cut(5000, 5000, &content(Some(100)))
            }),
        ),
        (
            "created crosses one second",
            (0..50).fold(Came::default(), |came, index| {
                came.cut(5000, 5000, &content(Some(100 + index / 25)))
            }),
        ),
        (
            "speculative decoding",
            Came::default().lumps(6, 16, 352).timings(2112.0, 96, true),
        ),
        (
            "steps of several tokens, of a server that says nothing",
            Came::default().lumps(20, 16, 352),
        ),
        (
            "Wi-Fi that saves power",
            Came::default()
                .lumps(20, 10, 100)
                .timings(2000.0, 200, false),
        ),
        (
            "lumps that our own lateness made",
            Came::default()
                .lumps(6, 16, 352)
                .timings(2112.0, 96, false)
                .late(300),
        ),
        ("nothing came", Came::default()),
    ];
    for (name, came) in unknown {
        assert_eq!(came.judged(), Buffered::Unknown, "{name}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn through_real_sockets() {
    // One event is about 70 bytes: 1,024 bytes are a lump of fourteen, 280 ms apart.
    for (hold, says_timings, wanted) in [
        (Hold::Nothing, true, Buffered::No),
        (Hold::Nothing, false, Buffered::No),
        (Hold::Everything, true, Buffered::Yes),
        (Hold::Everything, false, Buffered::Unknown),
        (Hold::Lumps(1024), true, Buffered::Yes),
        (Hold::Lumps(1024), false, Buffered::Yes),
    ] {
        let mut judged = Vec::new();
        // On a busy machine our own reader is late, and then nothing is known: so three turns.
        while judged.len() < 3 && judged.last() != Some(&wanted) {
            judged.push(through(hold, says_timings).await);
        }
        assert_eq!(judged.last(), Some(&wanted), "{hold:?} {says_timings}");
        let wrong = match wanted {
            Buffered::Yes => Buffered::No,
            Buffered::No | Buffered::Unknown => Buffered::Yes,
        };
        assert!(!judged.contains(&wrong), "{hold:?} {judged:?}");
    }
}

async fn through(hold: Hold, says_timings: bool) -> Buffered {
    let clock = Clock::start();
    let (server, thread) = stamping(clock, 90, Duration::from_millis(20), says_timings);
    let (address, _proxy) = proxy(server, hold).await;
    let target = Target::from_url(&format!("http://{address}/"), None).unwrap();
    let call = streamed();
    let exchange = send(&target, &call, clock, clock.now());
    let exchange = tokio::time::timeout(DEADLINE, exchange).await.unwrap();
    thread.join().unwrap();
    assert_eq!(exchange.failure, None);
    let stream = exchange.stream.unwrap();
    assert_eq!(stream.content_events, 90);
    stream.buffered
}
