//! Open loop: requests start at a fixed rate, whatever became of the earlier ones.
//!
//! A closed loop waits for an answer before it sends the next request. So it sends least when the
//! server is slowest, and the worst latencies are never measured (coordinated omission). Here each
//! request has a place in time, and latency counts from that place.

use std::io;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::sleep_until;

use crate::call::Call;
use crate::client::send;
use crate::clock::Clock;
use crate::exchange::Exchange;
use crate::statistics::Histogram;
use crate::target::Target;

/// When the request of this index is to start, after the first. Each is computed from the index, so
/// errors do not add up. A rate that is not above zero gives zero for all: everything at once.
#[must_use]
pub fn intended(rate: f64, index: u64) -> Duration {
    #[expect(
        clippy::cast_precision_loss,
        reason = "exact to 2^53 requests, which is centuries"
    )]
    let seconds = index as f64 / rate;
    Duration::try_from_secs_f64(seconds).unwrap_or_default()
}

/// How requests follow each other.
#[derive(Clone, Copy, Debug)]
pub struct Plan {
    /// When the first is to start, since the start of the clock.
    pub begin: Duration,
    /// Requests in a second; above zero.
    pub rate: f64,
    /// How many at most; `None` goes on until `stop`.
    pub count: Option<u64>,
    /// How many may be open at once. A slot that finds this many open is skipped and said, never
    /// shifted: a shifted one would slow the load down exactly when the server is slow.
    pub in_flight: usize,
}

/// The place of one request in the plan.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Slot {
    /// From zero.
    pub index: u64,
    /// When it is to start, since the start of the clock.
    pub intended: Duration,
}

/// What a run gave.
#[derive(Debug)]
pub struct Driven<T> {
    /// One for each slot that was started, by index.
    pub results: Vec<(Slot, T)>,
    /// Slots that were not started, because `in_flight` were open.
    pub skipped: Vec<Slot>,
    /// How late the generator itself was: from the intended start to the first poll of the call.
    /// tokio's timer alone makes this 1 to 2 ms (`tokio::time::sleep_until`: "millisecond
    /// granularity").
    pub lag: Histogram,
}

/// Starts a call for each slot of the plan at its intended time, whatever the others do, until
/// `count` or `stop`; then waits for those that are open. Calls bound themselves (see
/// [`crate::Limits`]). Dropping the future aborts them.
///
/// # Panics
/// When a call panics.
pub async fn open_loop<C, F, T>(
    clock: Clock,
    plan: Plan,
    stop: impl Future<Output = ()>,
    mut call: C,
) -> Driven<T>
where
    C: FnMut(Slot) -> F,
    F: Future<Output = T> + Send + 'static,
    T: Send + 'static,
{
    let mut stop = pin!(stop);
    let mut tasks: JoinSet<(Slot, Duration, T)> = JoinSet::new();
    // Counted by the calls themselves: a task that is done and not yet joined is not open.
    let open = Arc::new(AtomicUsize::new(0));
    let mut driven = Driven {
        results: Vec::new(),
        skipped: Vec::new(),
        lag: Histogram::new(),
    };
    let mut index = 0;
    while plan.count.is_none_or(|count| index < count) {
        let slot = Slot {
            index,
            intended: plan.begin + intended(plan.rate, index),
        };
        // Joined while the next start is waited for, so that a long run keeps no finished tasks.
        let due = pin!(sleep_until(clock.instant(slot.intended)));
        if !wait(due, stop.as_mut(), &mut tasks, &mut driven).await {
            break;
        }
        index += 1;
        if open.load(Ordering::Relaxed) >= plan.in_flight {
            driven.skipped.push(slot);
            continue;
        }
        open.fetch_add(1, Ordering::Relaxed);
        let one = Open(Arc::clone(&open));
        let future = call(slot);
        tasks.spawn(async move {
            let lag = clock.now().saturating_sub(slot.intended);
            let result = future.await;
            drop(one);
            (slot, lag, result)
        });
    }
    while let Some(joined) = tasks.join_next().await {
        driven.take(joined);
    }
    driven.results.sort_by_key(|(slot, _)| slot.index);
    driven
}

/// True when it is time, false when it is to stop.
async fn wait<T: Send + 'static>(
    mut due: std::pin::Pin<&mut tokio::time::Sleep>,
    mut stop: std::pin::Pin<&mut impl Future<Output = ()>>,
    tasks: &mut JoinSet<(Slot, Duration, T)>,
    driven: &mut Driven<T>,
) -> bool {
    loop {
        tokio::select! {
            biased;
            () = &mut stop => return false,
            () = &mut due => return true,
            Some(joined) = tasks.join_next() => driven.take(joined),
        }
    }
}

impl<T> Driven<T> {
    fn take(&mut self, joined: Result<(Slot, Duration, T), tokio::task::JoinError>) {
        match joined {
            Ok((slot, lag, result)) => {
                self.lag.record(lag);
                self.results.push((slot, result));
            }
            Err(error) => {
                if let Ok(panic) = error.try_into_panic() {
                    std::panic::resume_unwind(panic);
                }
            }
        }
    }
}

/// One open call; dropped with it, however it ends.
struct Open(Arc<AtomicUsize>);

impl Drop for Open {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Sends `count` requests at `rate` from one thread, on a runtime of its own, and gives every
/// exchange and the generator's lag: what a bench of the client itself needs. `call` gives the
/// request of each slot.
///
/// Not to be called from within a runtime.
///
/// # Errors
/// When the runtime cannot be made.
pub fn on_one_core(
    target: &Target,
    rate: f64,
    count: u64,
    mut call: impl FnMut(Slot) -> Call,
) -> io::Result<(Clock, Driven<Exchange>)> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let clock = Clock::start();
    let plan = Plan {
        begin: Duration::from_millis(50),
        rate,
        count: Some(count),
        in_flight: usize::MAX,
    };
    let target = Arc::new(target.clone());
    let driven = runtime.block_on(open_loop(clock, plan, std::future::pending(), |slot| {
        let (target, call) = (Arc::clone(&target), call(slot));
        async move { send(&target, &call, clock, slot.intended).await }
    }));
    runtime.shutdown_background();
    Ok((clock, driven))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn intended_times_do_not_drift() {
        assert_eq!(intended(10.0, 0), Duration::ZERO);
        assert_eq!(intended(10.0, 25), Duration::from_millis(2500));
        assert_eq!(intended(3.0, 3_000_000), Duration::from_secs(1_000_000));
        assert_eq!(intended(0.0, 0), Duration::ZERO);
        assert_eq!(intended(0.0, 1), Duration::ZERO);
        assert_eq!(intended(-1.0, 1), Duration::ZERO);
    }
}
