//! News that somebody reads later: they are stamped when they arrive, not when they are read.

use futures::Stream;
use std::pin::Pin;
use std::task::{Context, Poll};
use tokio::sync::mpsc::{Receiver, Sender, channel};
use tokio::task::JoinHandle;

/// So many wait for a reader who is busy; beyond that the sender waits.
const WAITING: usize = 1024;

/// A stream of news that a task of its own collects. The task ends when the feed is dropped.
#[derive(Debug)]
pub struct Feed<T> {
    news: Receiver<T>,
    task: JoinHandle<()>,
}

impl<T: Send + 'static> Feed<T> {
    /// Starts the task that `collect` makes of the sender. Needs a tokio runtime.
    pub(crate) fn start<F>(collect: impl FnOnce(Sender<T>) -> F) -> Feed<T>
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let (sender, news) = channel(WAITING);
        Feed {
            news,
            task: tokio::spawn(collect(sender)),
        }
    }
}

impl<T> Feed<T> {
    /// The next news; none when there will be no more. May be dropped and called again without
    /// losing any.
    pub async fn next(&mut self) -> Option<T> {
        self.news.recv().await
    }

    /// What has arrived already, without waiting.
    pub fn arrived(&mut self) -> Option<T> {
        self.news.try_recv().ok()
    }
}

impl<T> Stream for Feed<T> {
    type Item = T;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<T>> {
        self.news.poll_recv(cx)
    }
}

impl<T> Drop for Feed<T> {
    fn drop(&mut self) {
        self.task.abort();
    }
}

#[cfg(test)]
mod tests {
    use crate::fake::{self, run, status};
    use crate::{Selector, What};
    use std::time::Duration;

    #[test]
    fn one_that_is_dropped_asks_no_more() {
        let (cluster, record) = fake::cluster(|_| status(503, "ServiceUnavailable", "no", ""));
        run(async {
            let mut feed = cluster.follow(What::Pod, Some("n"), &Selector::all());
            assert!(feed.next().await.is_some(), "the interruption");
            drop(feed);
            tokio::time::sleep(Duration::from_millis(50)).await;
            let asked = record.lock().unwrap().len();
            // It would try again after 100 ms, then after 200 ms.
            tokio::time::sleep(Duration::from_millis(500)).await;
            assert_eq!(record.lock().unwrap().len(), asked);
        });
    }
}
