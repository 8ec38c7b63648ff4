//! One thread for long reviews: megabytes, or a thousand containers.
//!
//! Short reviews do not wait behind long ones, and the memory of long ones is that of one at a
//! time on one thread: glibc keeps freed memory by thread, so that the same reviews spread over
//! all threads cost as many times as much (measured: 20 MB a thread for 1,000 containers).

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc::{Sender, channel};
use tokio::sync::oneshot;
use tokio::time::{Instant, timeout_at};

type Job = Box<dyn FnOnce() + Send>;

/// The thread, as those see it who have work for it. It ends with the last of them.
#[derive(Debug)]
pub(crate) struct Aside {
    /// None where the system gave us no thread; work is then done at once.
    queue: Option<Sender<Job>>,
}

/// Why there is no result.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Undone {
    /// Its turn did not come in time, or it took too long.
    Late,
    /// It panicked.
    Broken,
}

impl Aside {
    /// Starts the thread.
    pub(crate) fn start() -> Aside {
        let (queue, jobs) = channel::<Job>();
        let work = move || {
            for job in jobs {
                // The next one must find a thread; who waits for this one sees that it is gone.
                let _ = catch_unwind(AssertUnwindSafe(job));
            }
        };
        let thread = std::thread::Builder::new().name("long-reviews".to_owned());
        match thread.spawn(work) {
            Ok(_) => Aside { queue: Some(queue) },
            Err(error) => {
                tracing::warn!(%error, "no thread for long reviews: short ones may wait for them");
                Aside { queue: None }
            }
        }
    }

    /// Does `work` after what came before it. What nobody waits for any more is not begun.
    pub(crate) async fn run<T: Send + 'static>(
        &self,
        deadline: Instant,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, Undone> {
        let Some(queue) = &self.queue else {
            return Ok(work());
        };
        let (done, result) = oneshot::channel();
        let job = move || {
            if !done.is_closed() {
                // An error means that nobody waits any more.
                let _ = done.send(work());
            }
        };
        if queue.send(Box::new(job)).is_err() {
            return Err(Undone::Broken);
        }
        match timeout_at(deadline, result).await {
            Ok(Ok(result)) => Ok(result),
            Ok(Err(_)) => Err(Undone::Broken),
            Err(_) => Err(Undone::Late),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicBool, Ordering};
    use std::time::Duration;

    #[tokio::test]
    async fn a_panic_ends_its_own_work_only_and_what_is_late_is_not_begun() {
        let aside = Aside::start();
        let soon = || Instant::now() + Duration::from_secs(5);
        let broken = aside.run(soon(), || panic!("broken")).await;
        assert_eq!(broken, Err::<(), _>(Undone::Broken));
        assert_eq!(aside.run(soon(), || 1).await, Ok(1));
        let (hold, held) = channel::<()>();
        let slow = aside.run(Instant::now() + Duration::from_millis(50), move || {
            held.recv()
        });
        assert!(matches!(slow.await, Err(Undone::Late)));
        let begun = Arc::new(AtomicBool::new(false));
        let it = Arc::clone(&begun);
        let never = aside.run(Instant::now() + Duration::from_millis(50), move || {
            it.store(true, Ordering::Relaxed);
        });
        assert_eq!(never.await, Err(Undone::Late));
        hold.send(()).unwrap();
        assert_eq!(aside.run(soon(), || 2).await, Ok(2));
        assert!(!begun.load(Ordering::Relaxed));
    }
}
