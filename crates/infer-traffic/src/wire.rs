//! The socket, watched: when bytes went and came, and what the kernel said at the end.
//!
//! Two layers. [`Socket`] is around TCP and knows times and errors. [`Plain`] is around what speaks
//! HTTP (TLS or the socket itself) and knows heads. hyper wraps errors and turns an end of file into
//! "incomplete message"; what the kernel said is kept here instead.

use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

use crate::clock::Clock;
use crate::head::{Answer, Written};

/// What was seen on the wire.
#[derive(Debug)]
pub(crate) struct Seen {
    pub(crate) last_read: Option<Duration>,
    last_write: Option<Duration>,
    /// When the request's last byte was handed to the kernel.
    pub(crate) sent: Option<Duration>,
    /// The peer closed its side (FIN).
    pub(crate) closed: bool,
    pub(crate) read_error: Option<io::Error>,
    pub(crate) write_error: Option<io::Error>,
    pub(crate) written: Written,
    pub(crate) answer: Answer,
}

/// [`Seen`], shared between the layers and the reader of the result.
#[derive(Clone, Debug)]
pub(crate) struct Watch(Arc<Mutex<Seen>>);

impl Watch {
    pub(crate) fn new(body: u64) -> Self {
        Self(Arc::new(Mutex::new(Seen {
            last_read: None,
            last_write: None,
            sent: None,
            closed: false,
            read_error: None,
            write_error: None,
            written: Written::new(body),
            answer: Answer::default(),
        })))
    }

    pub(crate) fn seen(&self) -> MutexGuard<'_, Seen> {
        // Nobody panics with the lock held, and half an update would still be worth reading.
        self.0
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

/// TCP, watched.
#[derive(Debug)]
pub(crate) struct Socket {
    stream: TcpStream,
    clock: Clock,
    watch: Watch,
}

impl Socket {
    pub(crate) fn new(stream: TcpStream, clock: Clock, watch: Watch) -> Self {
        Self {
            stream,
            clock,
            watch,
        }
    }
}

impl AsyncRead for Socket {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        let room = buf.remaining() > 0;
        let result = ready!(Pin::new(&mut self.stream).poll_read(cx, buf));
        let at = self.clock.now();
        let mut seen = self.watch.seen();
        match &result {
            Ok(()) if buf.filled().len() > before => seen.last_read = Some(at),
            Ok(()) => seen.closed |= room,
            Err(error) => seen.read_error = Some(copy(error)),
        }
        Poll::Ready(result)
    }
}

impl AsyncWrite for Socket {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        if self.watch.seen().write_error.is_some() {
            return Poll::Ready(Ok(buf.len()));
        }
        let result = ready!(Pin::new(&mut self.stream).poll_write(cx, buf));
        let at = self.clock.now();
        let mut seen = self.watch.seen();
        match result {
            Ok(written) => {
                seen.last_write = Some(at);
                Poll::Ready(Ok(written))
            }
            // A server may answer (413) and close while we still write. Its answer waits in our
            // receive buffer, and hyper would not read it after a failed write: so the failure is
            // kept here, the rest is swallowed, and reading decides.
            Err(error) if is_reset(&error) => {
                seen.write_error = Some(copy(&error));
                Poll::Ready(Ok(buf.len()))
            }
            Err(error) => {
                seen.write_error = Some(copy(&error));
                Poll::Ready(Err(error))
            }
        }
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

/// What speaks HTTP, watched.
#[derive(Debug)]
pub(crate) struct Plain<S> {
    inner: S,
    watch: Watch,
}

impl<S> Plain<S> {
    pub(crate) fn new(inner: S, watch: Watch) -> Self {
        Self { inner, watch }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Plain<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        let room = buf.remaining() > 0;
        ready!(Pin::new(&mut self.inner).poll_read(cx, buf))?;
        let mut seen = self.watch.seen();
        // TLS ends with close_notify, and TCP perhaps later.
        seen.closed |= room && buf.filled().len() == before;
        if let (Some(at), false) = (seen.last_read, seen.answer.complete()) {
            seen.answer
                .push(buf.filled().get(before..).unwrap_or_default(), at);
        }
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Plain<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = ready!(Pin::new(&mut self.inner).poll_write(cx, buf))?;
        self.watch
            .seen()
            .written
            .push(buf.get(..written).unwrap_or_default());
        Poll::Ready(Ok(written))
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        // TLS keeps records back until it is flushed, so only now is the last byte the kernel's.
        ready!(Pin::new(&mut self.inner).poll_flush(cx))?;
        let mut seen = self.watch.seen();
        if seen.sent.is_none() && seen.write_error.is_none() && seen.written.complete() {
            seen.sent = seen.last_write;
        }
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_shutdown(cx)
    }
}

/// The peer's reset, in either of the kernel's words: `ECONNRESET`, and `EPIPE` for the write after.
pub(crate) fn is_reset(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionReset
            | io::ErrorKind::ConnectionAborted
            | io::ErrorKind::BrokenPipe
            | io::ErrorKind::NotConnected
    )
}

fn copy(error: &io::Error) -> io::Error {
    match error.raw_os_error() {
        Some(code) => io::Error::from_raw_os_error(code),
        None => io::Error::new(error.kind(), error.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;

    use super::*;

    #[tokio::test]
    async fn a_reset_met_by_a_write_leaves_the_answer_to_be_read() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let client = TcpStream::connect(listener.local_addr().unwrap())
            .await
            .unwrap();
        let (mut server, _) = listener.accept().await.unwrap();
        server.write_all(b"HTTP/1.1 413 ").await.unwrap();
        server.set_zero_linger().unwrap();
        drop(server);
        // Long enough for loopback to carry both.
        tokio::time::sleep(Duration::from_millis(100)).await;

        let watch = Watch::new(0);
        let mut socket = Socket::new(client, Clock::start(), watch.clone());
        for _ in 0..2 {
            socket.write_all(b"more of the body").await.unwrap();
        }
        assert!(watch.seen().write_error.as_ref().is_some_and(is_reset));
        let mut read = Vec::new();
        let _ = socket.read_to_end(&mut read).await;
        assert_eq!(read, b"HTTP/1.1 413 ");
    }
}
