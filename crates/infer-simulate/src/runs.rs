//! Many runs of one thing, on all cores, the same each time.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use crate::dice::Dice;

/// Runs it so often, each with dice of its own, and gives what came of each, in order.
///
/// # Panics
/// Where a run does.
pub fn all<T: Send>(number: usize, one: impl Fn(Dice) -> T + Sync) -> Vec<T> {
    let next = AtomicUsize::new(0);
    let cores = thread::available_parallelism().map_or(1, usize::from);
    let mut done: Vec<(usize, T)> = thread::scope(|scope| {
        let worker = || {
            let mut done = Vec::new();
            loop {
                let run = next.fetch_add(1, Ordering::Relaxed);
                if run >= number {
                    return done;
                }
                done.push((run, one(Dice::of(run))));
            }
        };
        let workers: Vec<_> = (0..cores).map(|_| scope.spawn(worker)).collect();
        let each = workers
            .into_iter()
            .map(|it| it.join().expect("a run panicked"));
        each.flatten().collect()
    });
    done.sort_by_key(|(run, _)| *run);
    done.into_iter().map(|(_, result)| result).collect()
}

/// `part` of `whole` in percent, with two digits.
#[must_use]
pub fn percent(part: usize, whole: usize) -> String {
    format!("{:.2}", 100.0 * part as f64 / whole.max(1) as f64)
}
