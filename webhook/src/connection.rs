//! A connection with deadlines of its own.
//!
//! hyper's `header_read_timeout` also runs while a kept connection is idle (hyper 1.12
//! src/proto/h1/conn.rs `poll_read_head`): one number would have to serve for "5 s for a head" and
//! for "the API server keeps idle connections for 90 s". So the times are kept here, where bytes
//! are seen.

use crate::bounds::Bounds;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep};

/// Between requests.
const IDLE: u8 = 0;
/// The first bytes of a head are here.
const HEAD: u8 = 1;
/// A request is with the service.
const BUSY: u8 = 2;
/// The answer is on its way out.
const ANSWER: u8 = 3;

/// Where a connection is: told by the service, read by the stream.
#[derive(Clone, Debug)]
pub(crate) struct Stage(Arc<AtomicU8>);

impl Stage {
    /// The head was read; the service has the request.
    pub(crate) fn busy(&self) {
        self.0.store(BUSY, Ordering::Relaxed);
    }

    /// The service has answered.
    pub(crate) fn answered(&self) {
        self.0.store(ANSWER, Ordering::Relaxed);
    }

    fn get(&self) -> u8 {
        self.0.load(Ordering::Relaxed)
    }

    fn set(&self, stage: u8) {
        self.0.store(stage, Ordering::Relaxed);
    }
}

/// A stream whose reads and writes fail with [`io::ErrorKind::TimedOut`] when a deadline passes.
#[derive(Debug)]
pub(crate) struct Guarded<S> {
    stream: S,
    stage: Stage,
    header: Duration,
    idle: Duration,
    write: Duration,
    read_deadline: Instant,
    read_sleep: Pin<Box<Sleep>>,
    /// Set while a write is held up.
    write_sleep: Option<Pin<Box<Sleep>>>,
}

impl<S> Guarded<S> {
    /// Guards a fresh stream: its first head is due within [`Bounds::header`].
    pub(crate) fn new(stream: S, bounds: &Bounds) -> (Guarded<S>, Stage) {
        let stage = Stage(Arc::new(AtomicU8::new(HEAD)));
        let read_deadline = Instant::now() + bounds.header;
        let guarded = Guarded {
            stream,
            stage: stage.clone(),
            header: bounds.header,
            idle: bounds.idle,
            write: bounds.write,
            read_deadline,
            read_sleep: Box::pin(tokio::time::sleep_until(read_deadline)),
            write_sleep: None,
        };
        (guarded, stage)
    }

    /// Lets a pending read wait no longer than its deadline.
    fn wait_to_read(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let what = match self.stage.get() {
            IDLE => "no request came while the connection was idle",
            HEAD => "the head of the request did not come in time",
            // The service has its own deadline for the body.
            _ => return Poll::Pending,
        };
        if self.read_sleep.deadline() != self.read_deadline {
            self.read_sleep.as_mut().reset(self.read_deadline);
        }
        self.read_sleep
            .as_mut()
            .poll(cx)
            .map(|()| Err(io::Error::new(io::ErrorKind::TimedOut, what)))
    }

    /// Lets a pending write wait no longer than its deadline, and forgets the deadline of one that
    /// went on.
    fn bound_write<T>(
        &mut self,
        cx: &mut Context<'_>,
        poll: Poll<io::Result<T>>,
    ) -> Poll<io::Result<T>> {
        if poll.is_ready() {
            self.write_sleep = None;
            return poll;
        }
        let write = self.write;
        let sleep = self
            .write_sleep
            .get_or_insert_with(|| Box::pin(tokio::time::sleep(write)));
        sleep.as_mut().poll(cx).map(|()| {
            Err(io::Error::new(
                io::ErrorKind::TimedOut,
                "the client did not take the answer",
            ))
        })
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Guarded<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        match Pin::new(&mut self.stream).poll_read(cx, buffer) {
            Poll::Pending => self.wait_to_read(cx),
            ready => {
                if buffer.filled().len() > before && self.stage.get() == IDLE {
                    self.stage.set(HEAD);
                    self.read_deadline = Instant::now() + self.header;
                }
                ready
            }
        }
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Guarded<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let poll = Pin::new(&mut self.stream).poll_write(cx, bytes);
        self.bound_write(cx, poll)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let poll = Pin::new(&mut self.stream).poll_write_vectored(cx, slices);
        self.bound_write(cx, poll)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let poll = Pin::new(&mut self.stream).poll_flush(cx);
        if matches!(poll, Poll::Ready(Ok(()))) && self.stage.get() == ANSWER {
            self.stage.set(IDLE);
            self.read_deadline = Instant::now() + self.idle;
            // hyper may have asked for the next head before this flush, and will not ask again by
            // itself: the clock must wake it.
            if let Poll::Ready(Err(error)) = self.wait_to_read(cx) {
                return Poll::Ready(Err(error));
            }
        }
        self.bound_write(cx, poll)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let poll = Pin::new(&mut self.stream).poll_shutdown(cx);
        self.bound_write(cx, poll)
    }
}
