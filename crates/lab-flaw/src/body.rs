//! The bodies of answers: the server's own, or one that breaks off.

use bytes::Bytes;
use hyper::body::{Body, Frame, Incoming};
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;
use tokio::time::{Sleep, sleep};

/// So many events of a stream come before it is cut: the client has seen that it was answered.
const EVENTS: u32 = 2;
/// From the last byte to the cut. hyper forgets what it has not written yet when a body fails.
const FLUSH: Duration = Duration::from_millis(20);

/// An answer that was broken off.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Broken {
    /// By the flaw.
    #[error("cut on purpose")]
    OnPurpose,
    /// By the server.
    #[error(transparent)]
    Server(#[from] hyper::Error),
    /// By us, because the server's head did not come.
    #[error("the server says nothing")]
    Silent,
}

/// The server's body, of which the first frame may be known already.
#[derive(Debug)]
pub(crate) struct Relayed {
    first: Option<Frame<Bytes>>,
    rest: Incoming,
    cut: Option<Cut>,
}

/// Where a stream is cut.
#[derive(Debug)]
struct Cut {
    events: Events,
    /// Once that was reached.
    pause: Option<Pin<Box<Sleep>>>,
}

impl Relayed {
    /// The body as it is; `first` was read from it.
    pub(crate) fn whole(first: Option<Frame<Bytes>>, rest: Incoming) -> Relayed {
        Relayed {
            first,
            rest,
            cut: None,
        }
    }

    /// The body of a stream of events, cut after some of them.
    pub(crate) fn cut(rest: Incoming) -> Relayed {
        let cut = Cut {
            events: Events::new(EVENTS),
            pause: None,
        };
        Relayed {
            first: None,
            rest,
            cut: Some(cut),
        }
    }
}

impl Body for Relayed {
    type Data = Bytes;
    type Error = Broken;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Broken>>> {
        if let Some(first) = self.first.take() {
            return Poll::Ready(Some(Ok(first)));
        }
        let pause = self.cut.as_mut().and_then(|cut| cut.pause.as_mut());
        if let Some(pause) = pause {
            ready!(pause.as_mut().poll(context));
            return Poll::Ready(Some(Err(Broken::OnPurpose)));
        }
        let next = ready!(Pin::new(&mut self.rest).poll_frame(context));
        let Some(cut) = &mut self.cut else {
            return Poll::Ready(next.map(|it| it.map_err(Broken::from)));
        };
        Poll::Ready(match next {
            Some(Ok(frame)) => Some(Ok(frame.map_data(|mut data: Bytes| {
                if let Some(end) = cut.events.end_in(&data) {
                    data.truncate(end);
                    cut.pause = Some(Box::pin(sleep(FLUSH)));
                }
                data
            }))),
            other => other.map(|it| it.map_err(Broken::from)),
        })
    }
}

/// Counts the events of a stream, each of which an empty line ends (WHATWG HTML, 9.2.5).
#[derive(Debug)]
struct Events {
    left: u32,
    after_line: bool,
}

impl Events {
    fn new(left: u32) -> Events {
        Events {
            left,
            after_line: false,
        }
    }

    /// How many of these bytes belong to the events that are left, where the last of those ends in
    /// them.
    fn end_in(&mut self, bytes: &[u8]) -> Option<usize> {
        for (index, byte) in bytes.iter().enumerate() {
            match byte {
                b'\n' if self.after_line => {
                    self.after_line = false;
                    self.left = self.left.saturating_sub(1);
                    if self.left == 0 {
                        return Some(index + 1);
                    }
                }
                b'\n' => self.after_line = true,
                b'\r' => {}
                _ => self.after_line = false,
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::Events;

    #[test]
    fn events_end_at_empty_lines_wherever_the_frames_do() {
        assert_eq!(Events::new(1).end_in(b"data: 1\n\ndata: 2\n\n"), Some(9));
        assert_eq!(Events::new(2).end_in(b"data: 1\n\ndata: 2\n\n"), Some(18));
        assert_eq!(Events::new(1).end_in(b"data: 1\r\n\r\nx"), Some(11));
        let mut split = Events::new(2);
        assert_eq!(split.end_in(b"data: 1\n\ndata: 2\n"), None);
        assert_eq!(split.end_in(b"\ndata: 3"), Some(1));
        assert_eq!(Events::new(1).end_in(b"data: 1\nid: 2\n"), None);
    }
}
