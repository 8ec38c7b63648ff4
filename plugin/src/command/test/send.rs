//! Sends the requests of a run and keeps what came of each, also where the run is cut short.

use crate::interrupt::Interrupt;
use crate::terminal::Progress;
use infer_traffic::attribution::{Token, user_agent};
use infer_traffic::statistics::Percentiles;
use infer_traffic::{Call, Clock, Exchange, Header, Target, schedule, send};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// Requests that may be open at once: each has a socket, and a shell's limit is often 1024.
const MOST_OPEN: usize = 500;
/// How often progress is shown.
const TICK: Duration = Duration::from_millis(200);

/// What is to be sent.
#[derive(Clone, Debug)]
pub(super) struct Load {
    /// Where to.
    pub(super) target: Target,
    /// What, without the user agent.
    pub(super) call: Call,
    /// Name of the run.
    pub(super) run: String,
    /// How many.
    pub(super) count: u32,
    /// How many a second; none sends one after the other.
    pub(super) rate: Option<f64>,
}

/// What came of it.
#[derive(Debug)]
pub(super) struct Sent {
    /// Number of the request, from 1, and what happened; in the order of the numbers.
    pub(super) exchanges: Vec<(u64, Exchange)>,
    /// From the start to the last answer.
    pub(super) took: Duration,
    /// How late we were, and how many were left out; none without a schedule.
    pub(super) lag: Option<(Percentiles, usize)>,
}

type Kept = Arc<Mutex<Vec<(u64, Exchange)>>>;

impl Load {
    /// The call of this number, with the token that logs will show.
    pub(super) fn call(&self, sequence: u64) -> Call {
        let mut call = self.call.clone();
        let named = |header: &Header| header.name.eq_ignore_ascii_case("user-agent");
        // A person who names an agent wants that one; then logs cannot be joined.
        if !call.headers.iter().any(named) {
            let token = Token {
                run: self.run.clone(),
                sequence,
            };
            let agent = user_agent(env!("CARGO_PKG_VERSION"), &token);
            call.headers.insert(0, Header::new("user-agent", agent));
        }
        call
    }

    /// Sends until all are answered, or until Ctrl-C.
    pub(super) async fn send(
        &self,
        clock: Clock,
        interrupt: &Interrupt,
        progress: &mut Progress,
    ) -> Sent {
        let begin = clock.now();
        let kept = Kept::default();
        let work = async {
            match self.rate {
                None => {
                    self.one_by_one(clock, &kept).await;
                    0
                }
                Some(rate) => self.at_rate(rate, clock, &kept).await,
            }
        };
        let shown = async {
            loop {
                tokio::time::sleep(TICK).await;
                progress.show(&self.done(&kept));
            }
        };
        let skipped = interrupt
            .or(async {
                tokio::select! {
                    skipped = work => skipped,
                    () = shown => 0,
                }
            })
            .await;
        progress.clear();
        let mut exchanges = std::mem::take(&mut *lock(&kept));
        exchanges.sort_by_key(|(sequence, _)| *sequence);
        let ends = exchanges.iter().filter_map(|(_, it)| it.stamps.end);
        let took = ends.max().unwrap_or(begin).saturating_sub(begin);
        let lag = self.rate.map(|_| {
            let late: Vec<Duration> = exchanges
                .iter()
                .map(|(_, it)| it.started.saturating_sub(it.intended))
                .collect();
            (Percentiles::of(&late), skipped.unwrap_or_default())
        });
        Sent {
            exchanges,
            took,
            lag,
        }
    }

    async fn one_by_one(&self, clock: Clock, kept: &Kept) {
        for sequence in 1..=u64::from(self.count) {
            let exchange = send(&self.target, &self.call(sequence), clock, clock.now()).await;
            lock(kept).push((sequence, exchange));
        }
    }

    /// Returns how many requests were left out.
    async fn at_rate(&self, rate: f64, clock: Clock, kept: &Kept) -> usize {
        let plan = schedule::Plan {
            begin: clock.now(),
            rate,
            count: Some(u64::from(self.count)),
            in_flight: MOST_OPEN,
        };
        let target = Arc::new(self.target.clone());
        let driven = schedule::open_loop(clock, plan, std::future::pending(), |slot| {
            let sequence = slot.index + 1;
            let (call, target, kept) = (self.call(sequence), target.clone(), kept.clone());
            async move {
                let exchange = send(&target, &call, clock, slot.intended).await;
                lock(&kept).push((sequence, exchange));
            }
        })
        .await;
        driven.skipped.len()
    }

    fn done(&self, kept: &Kept) -> String {
        let kept = lock(kept);
        let failed = kept.iter().filter(|(_, it)| it.failure.is_some()).count();
        format!("{}/{} requests, {failed} failed", kept.len(), self.count)
    }
}

fn lock(kept: &Kept) -> std::sync::MutexGuard<'_, Vec<(u64, Exchange)>> {
    // A panic elsewhere leaves whole entries behind.
    kept.lock().unwrap_or_else(PoisonError::into_inner)
}
