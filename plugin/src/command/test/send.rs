//! Sends the requests of a run and keeps what came of each, also where the run is cut short.

use crate::answered::Fingerprint;
use crate::interrupt::Interrupt;
use crate::smoke::Smoke;
use crate::terminal::Progress;
use crate::tested::split::Silent;
use infer_traffic::attribution::{Token, user_agent};
use infer_traffic::statistics::Percentiles;
use infer_traffic::{Call, Clock, Exchange, Header, Target, schedule, send};
use std::cell::RefCell;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::Notify;

/// Requests that may be open at once: each has a socket, and a shell's limit is often 1024.
const MOST_OPEN: usize = 500;
/// How often progress is shown, and asked whether the run may end.
const TICK: Duration = Duration::from_millis(200);

/// What is to be sent.
#[derive(Clone, Debug)]
pub(super) struct Load {
    /// Where to.
    pub(super) target: Target,
    /// What, without the user agent.
    pub(super) call: Call,
    /// The smoke request, as a stream or not, where the prompt of each request is its own.
    pub(super) vary: Option<(Smoke, bool)>,
    /// Name of the run.
    pub(super) run: String,
    /// How many.
    pub(super) count: u32,
    /// How many a second; none sends one after the other.
    pub(super) rate: Option<f64>,
    /// How many bytes of a body are kept once its fingerprint is taken.
    pub(super) kept: usize,
}

/// One request that is over.
#[derive(Debug)]
pub(super) struct Done {
    /// Its number, from 1.
    pub(super) sequence: u64,
    /// What happened.
    pub(super) exchange: Exchange,
    /// What the answer says of itself.
    pub(super) fingerprint: Fingerprint,
}

/// What came of it.
#[derive(Debug)]
pub(super) struct Sent {
    /// The requests, in the order of their numbers.
    pub(super) done: Vec<Done>,
    /// For whom the run ended early.
    pub(super) ended: Option<Silent>,
    /// From the start to the last answer.
    pub(super) took: Duration,
    /// How late we were, and how many were left out; none without a schedule.
    pub(super) lag: Option<(Percentiles, usize)>,
}

impl Done {
    fn of(sequence: u64, mut exchange: Exchange, kept: usize) -> Done {
        let fingerprint = Fingerprint::of(&exchange);
        if exchange.body.len() > kept {
            exchange.body.truncate(kept);
            exchange.body.shrink_to_fit();
        }
        Done {
            sequence,
            exchange,
            fingerprint,
        }
    }
}

type Kept = Arc<Mutex<Vec<Done>>>;

impl Load {
    /// The call of this number, with the token that logs will show.
    pub(super) fn call(&self, sequence: u64) -> Call {
        let mut call = self.call.clone();
        if let Some((smoke, stream)) = &self.vary {
            let body = smoke.numbered(sequence).body(*stream, None);
            call.body = Some(body.into_bytes().into());
        }
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

    /// Sends until all are answered, until `ends` says for whom it may end, or until Ctrl-C.
    pub(super) async fn send(
        &self,
        clock: Clock,
        interrupt: &Interrupt,
        progress: &mut Progress,
        ends: &dyn Fn(&[Done]) -> Option<Silent>,
    ) -> Sent {
        let begin = clock.now();
        let kept = Kept::default();
        let ended = RefCell::new(None);
        let stop = Notify::new();
        let work = async {
            match self.rate {
                None => {
                    self.one_by_one(clock, &kept, &ended).await;
                    0
                }
                Some(rate) => self.at_rate(rate, clock, &kept, stop.notified()).await,
            }
        };
        let shown = async {
            loop {
                tokio::time::sleep(TICK).await;
                progress.show(&self.done(&kept));
                if ended.borrow().is_none() {
                    // Requests that are open are waited for: a slow answer is one, too.
                    let silent = ends(&lock(&kept));
                    if silent.is_some() {
                        *ended.borrow_mut() = silent;
                        stop.notify_one();
                    }
                }
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
        let mut done = std::mem::take(&mut *lock(&kept));
        done.sort_by_key(|it| it.sequence);
        let last = done.iter().filter_map(|it| it.exchange.stamps.end).max();
        let took = last.unwrap_or(begin).saturating_sub(begin);
        let lag = self.rate.map(|_| {
            let late: Vec<Duration> = done
                .iter()
                .map(|it| it.exchange.started.saturating_sub(it.exchange.intended))
                .collect();
            (Percentiles::of(&late), skipped.unwrap_or_default())
        });
        Sent {
            done,
            ended: ended.into_inner(),
            took,
            lag,
        }
    }

    async fn one_by_one(&self, clock: Clock, kept: &Kept, ended: &RefCell<Option<Silent>>) {
        for sequence in 1..=u64::from(self.count) {
            if ended.borrow().is_some() {
                return;
            }
            let exchange = send(&self.target, &self.call(sequence), clock, clock.now()).await;
            lock(kept).push(Done::of(sequence, exchange, self.kept));
        }
    }

    /// Returns how many requests were left out.
    async fn at_rate(
        &self,
        rate: f64,
        clock: Clock,
        kept: &Kept,
        stop: impl Future<Output = ()>,
    ) -> usize {
        let plan = schedule::Plan {
            begin: clock.now(),
            rate,
            count: Some(u64::from(self.count)),
            in_flight: MOST_OPEN,
        };
        let target = Arc::new(self.target.clone());
        let bytes = self.kept;
        let driven = schedule::open_loop(clock, plan, stop, |slot| {
            let sequence = slot.index + 1;
            let (call, target, kept) = (self.call(sequence), target.clone(), kept.clone());
            async move {
                let exchange = send(&target, &call, clock, slot.intended).await;
                lock(&kept).push(Done::of(sequence, exchange, bytes));
            }
        })
        .await;
        driven.skipped.len()
    }

    fn done(&self, kept: &Kept) -> String {
        let kept = lock(kept);
        let failed = kept.iter().filter(|it| it.exchange.failure.is_some());
        let failed = failed.count();
        format!("{}/{} requests, {failed} failed", kept.len(), self.count)
    }
}

fn lock(kept: &Kept) -> std::sync::MutexGuard<'_, Vec<Done>> {
    // A panic elsewhere leaves whole entries behind.
    kept.lock().unwrap_or_else(PoisonError::into_inner)
}
