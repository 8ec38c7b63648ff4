//! The Lease that keeps two drills of one workload apart: taken, kept and given back.

use infer_cluster::{Lease, LeaseError};
use std::time::Duration;
use tokio::sync::watch;
use tokio::task::JoinHandle;

/// How long a Lease is ours without being renewed, in seconds.
pub(crate) const SECONDS: i32 = 30;
/// How often it is renewed.
const RENEW: Duration = Duration::from_secs(8);

/// A Lease that is ours, renewed by a task of its own.
#[derive(Debug)]
pub(crate) struct Held {
    stop: watch::Sender<bool>,
    lost: watch::Receiver<Option<String>>,
    task: JoinHandle<Result<(), LeaseError>>,
}

impl Held {
    /// Takes it. Not to be interrupted: a Lease that was taken half stays behind.
    ///
    /// # Errors
    ///
    /// Where another holds it, or the cluster refuses.
    pub(crate) async fn acquire(mut lease: Lease) -> Result<Held, LeaseError> {
        if let Err(error) = lease.acquire().await {
            if !matches!(error, LeaseError::Held { .. }) {
                // An answer that was lost may have been a yes.
                let _ = lease.release().await;
            }
            return Err(error);
        }
        let (stop, mut stopped) = watch::channel(false);
        let (loses, lost) = watch::channel(None);
        let task = tokio::spawn(async move {
            loop {
                let stop = stopped.wait_for(|stopped| *stopped);
                let is_stopped = tokio::time::timeout(RENEW, stop).await.is_ok();
                if is_stopped {
                    break;
                }
                match lease.renew().await {
                    Ok(()) => {}
                    Err(error @ LeaseError::Lost { .. }) => {
                        loses.send_replace(Some(error.to_string()));
                        break;
                    }
                    // The next try may reach the cluster, and until then it is ours.
                    Err(_) => {}
                }
            }
            lease.release().await
        });
        Ok(Held { stop, lost, task })
    }

    /// Why it is not ours any more.
    pub(crate) fn lost(&self) -> Option<String> {
        self.lost.borrow().clone()
    }

    /// Gives it back.
    ///
    /// # Errors
    ///
    /// Where that failed; it then expires by itself.
    pub(crate) async fn release(self) -> Result<(), String> {
        self.stop.send_replace(true);
        match self.task.await {
            Ok(released) => released.map_err(|error| error.to_string()),
            Err(error) => Err(error.to_string()),
        }
    }
}
