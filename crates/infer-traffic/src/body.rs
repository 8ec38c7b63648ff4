//! The body of an answer, counted, kept in part, and read as a stream where it is one.

use std::pin::{Pin, pin};
use std::task::Poll;
use std::time::Duration;

use bytes::Bytes;
use hyper::Response;
use hyper::body::{Body, Incoming};
use hyper::header::CONTENT_TYPE;
use tokio::time::{Instant, sleep_until};

use crate::buffered::{Arrivals, Circumstances};
use crate::call::Call;
use crate::client::{Driven, failure};
use crate::clock::Clock;
use crate::content::carried;
use crate::exchange::{Buffered, Cause, Exchange, Failure, StreamSeen};
use crate::sse::{Event, Parser};
use crate::wire::Watch;

/// How often a stream's reader looks whether it was on time itself.
const HEARTBEAT: Duration = Duration::from_millis(20);
const FIRST_FAILING_STATUS: u16 = 400;

/// What became of a body so far. It outlives the reading, which a deadline may cut.
#[derive(Debug)]
pub(crate) struct Reading {
    wants_stream: bool,
    stall: Option<Duration>,
    kept: usize,
    bytes: u64,
    body: Vec<u8>,
    stream: Option<Stream>,
    complete: bool,
}

impl Reading {
    pub(crate) fn new(call: &Call) -> Self {
        Self {
            wants_stream: call.stream,
            stall: call.limits.stall,
            kept: call.limits.kept_body,
            bytes: 0,
            body: Vec::new(),
            stream: None,
            complete: false,
        }
    }

    /// The head is there: is it a stream?
    pub(crate) fn begin(&mut self, response: &Response<Incoming>) {
        let other_type = response
            .headers()
            .get(CONTENT_TYPE)
            .and_then(|value| value.to_str().ok())
            .is_some_and(|value| {
                let essence = value.split(';').next().unwrap_or_default().trim();
                !essence.eq_ignore_ascii_case("text/event-stream")
            });
        let failed = response.status().as_u16() >= FIRST_FAILING_STATUS;
        if self.wants_stream && !other_type && !failed {
            self.stream = Some(Stream::default());
        }
    }

    /// Reads to the end, to a failure, or to a silence that is too long.
    pub(crate) async fn read<C: Future>(
        &mut self,
        body: Incoming,
        connection: &mut Driven<C>,
        clock: Clock,
        watch: &Watch,
    ) -> Result<(), Failure> {
        let mut body = pin!(body);
        let mut heartbeat = self
            .stream
            .is_some()
            .then(|| Box::pin(sleep_until(Instant::now() + HEARTBEAT)));
        let mut silence = self
            .stall
            .map(|stall| (stall, Box::pin(sleep_until(Instant::now() + stall))));
        loop {
            let next = std::future::poll_fn(|cx| {
                if let (Some(heartbeat), Some(stream)) = (&mut heartbeat, &mut self.stream) {
                    let late = Instant::now().saturating_duration_since(heartbeat.deadline());
                    stream.own_lateness = stream.own_lateness.max(late);
                    while heartbeat.as_mut().poll(cx).is_ready() {
                        heartbeat.as_mut().reset(Instant::now() + HEARTBEAT);
                    }
                }
                loop {
                    if let Poll::Ready(frame) = body.as_mut().poll_frame(cx) {
                        return Poll::Ready(Next::Frame(frame));
                    }
                    if connection.poll(cx).is_pending() {
                        break;
                    }
                }
                if let Some((stall, sleep)) = &mut silence
                    && sleep.as_mut().poll(cx).is_ready()
                {
                    return Poll::Ready(Next::Silence(*stall));
                }
                // The connection may have made a frame and said nothing of its own end.
                match body.as_mut().poll_frame(cx) {
                    Poll::Ready(frame) => Poll::Ready(Next::Frame(frame)),
                    Poll::Pending => Poll::Pending,
                }
            })
            .await;
            match next {
                Next::Frame(Some(Ok(frame))) => {
                    // The read that brought it: nothing was read since (see `client::speak`).
                    let at = watch.seen().last_read.unwrap_or_else(|| clock.now());
                    if let Some((stall, sleep)) = &mut silence {
                        Pin::as_mut(sleep).reset(clock.instant(at) + *stall);
                    }
                    if let Ok(data) = frame.into_data() {
                        self.take(&data, at);
                    }
                }
                Next::Frame(Some(Err(error))) => return Err(failure(watch, &error)),
                Next::Frame(None) => return self.end(watch),
                Next::Silence(stall) => {
                    return Err(Failure {
                        cause: Cause::Stalled,
                        message: format!(
                            "silent for {stall:?} inside the body, after {} bytes",
                            self.bytes
                        ),
                    });
                }
            }
        }
    }

    fn take(&mut self, data: &Bytes, at: Duration) {
        self.bytes += data.len() as u64;
        let room = self.kept.saturating_sub(self.body.len());
        self.body
            .extend_from_slice(data.get(..room.min(data.len())).unwrap_or_default());
        if let Some(stream) = &mut self.stream {
            for event in stream.parser.push(data, at) {
                stream.take(&event);
            }
        }
    }

    /// HTTP says that the body is complete.
    fn end(&mut self, watch: &Watch) -> Result<(), Failure> {
        let seen = watch.seen();
        // A body without length ends with the connection. Where that end was a reset that our own
        // write met first, the read after it looks like an end of file.
        if let (true, Some(error)) = (seen.closed, &seen.write_error) {
            return Err(Failure {
                cause: Cause::ResetInBody,
                message: format!("the connection was reset inside the body: {error}"),
            });
        }
        self.complete = true;
        let at = seen.last_read.unwrap_or_default();
        let Some(stream) = &mut self.stream else {
            return Ok(());
        };
        if let Some(event) = stream.parser.finish(at) {
            stream.take(&event);
        }
        if stream.seen.terminated {
            return Ok(());
        }
        let said = stream
            .seen
            .error
            .as_ref()
            .map(|error| format!("; the server said: {error}"))
            .unwrap_or_default();
        Err(Failure {
            cause: Cause::ClosedWithoutTerminator,
            message: format!(
                "the answer is complete for HTTP, but the stream has no terminator ([DONE]) after \
                 {} events, {} with content{said}",
                stream.seen.events, stream.seen.content_events
            ),
        })
    }

    /// Puts what was read into the exchange, after the end.
    pub(crate) fn conclude(self, exchange: &mut Exchange) {
        exchange.bytes = self.bytes;
        exchange.body = self.body;
        let Some(mut stream) = self.stream else {
            return;
        };
        exchange.stamps.first_token = stream.seen.content_stamps.first().copied();
        // What was cut short was not delivered as a whole: only a whole stream is judged.
        if self.complete
            && let (Some(sent), Some(end)) = (exchange.stamps.sent, exchange.stamps.end)
        {
            stream.seen.buffered = stream.arrivals.judge(&Circumstances {
                sent,
                end,
                own_lateness: stream.own_lateness,
            });
        }
        exchange.stream = Some(stream.seen);
    }
}

enum Next {
    Frame(Option<Result<hyper::body::Frame<Bytes>, hyper::Error>>),
    Silence(Duration),
}

#[derive(Debug)]
struct Stream {
    parser: Parser,
    seen: StreamSeen,
    last_content: Option<Duration>,
    arrivals: Arrivals,
    own_lateness: Duration,
}

impl Default for Stream {
    fn default() -> Self {
        Self {
            parser: Parser::new(),
            seen: StreamSeen {
                events: 0,
                content_events: 0,
                largest_gap: None,
                largest_gap_at: None,
                terminated: false,
                buffered: Buffered::Unknown,
                content_stamps: Vec::new(),
                role_only_at: None,
                error: None,
            },
            last_content: None,
            arrivals: Arrivals::default(),
            own_lateness: Duration::ZERO,
        }
    }
}

impl Stream {
    fn take(&mut self, event: &Event) {
        let carried = carried(event);
        self.arrivals.push(event, &carried);
        let seen = &mut self.seen;
        seen.events += 1;
        seen.terminated |= carried.terminator;
        if seen.error.is_none() {
            seen.error = carried.error;
        }
        if !carried.content {
            if seen.content_events == 0 && !carried.terminator {
                seen.role_only_at.get_or_insert(event.at);
            }
            return;
        }
        seen.content_events += 1;
        if seen.content_stamps.len() < StreamSeen::KEPT_STAMPS {
            seen.content_stamps.push(event.at);
        }
        if let Some(last) = self.last_content.replace(event.at) {
            let gap = event.at.saturating_sub(last);
            if seen.largest_gap.is_none_or(|largest| gap > largest) {
                seen.largest_gap = Some(gap);
                seen.largest_gap_at = Some(last);
            }
        }
    }
}
