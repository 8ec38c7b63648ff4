//! What happened to one request.

use std::fmt;
use std::net::SocketAddr;
use std::time::Duration;

/// One request and its answer, as seen from here. Everything that was not reached is `None`.
#[derive(Clone, Debug)]
pub struct Exchange {
    /// When the request was to start, by its schedule. Latency counts from here.
    pub intended: Duration,
    /// When it did start.
    pub started: Duration,
    /// When what was reached.
    pub stamps: Stamps,
    /// The status of the final answer; 1xx is not final. There is one as soon as the status line is
    /// whole, even where the rest of the head never came.
    pub status: Option<u16>,
    /// The answer's version, as `HTTP/1.1`.
    pub version: Option<String>,
    /// The answer's reason phrase, as the server wrote it.
    pub reason: Option<String>,
    /// The request's headers, as they were written. A secret's value is `***`.
    pub request_head: Vec<(String, String)>,
    /// The final answer's headers, in the order and case in which they came.
    pub headers: Vec<(String, String)>,
    /// How many bytes of body arrived, after chunked coding is taken off: what curl calls
    /// `size_download`.
    pub bytes: u64,
    /// The first of them, at most `Limits::kept_body`.
    pub body: Vec<u8>,
    /// What went wrong; `None` is a complete answer below status 400.
    pub failure: Option<Failure>,
    /// What was seen of a stream: `Call::stream` was set, the status is below 400, and the answer
    /// does not declare a content type other than `text/event-stream`.
    pub stream: Option<StreamSeen>,
    /// Our end of the connection; its port is what a packet capture and a proxy's log know.
    pub local: Option<SocketAddr>,
    /// The address that was connected to, or the last one that was tried.
    pub peer: Option<SocketAddr>,
}

/// Stamps, as time since the start of the [`crate::Clock`].
///
/// Stamps of received data are taken right after the read of the socket that delivered it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stamps {
    /// The name was resolved. Set also where there was nothing to resolve.
    pub resolved: Option<Duration>,
    /// TCP was connected.
    pub connected: Option<Duration>,
    /// The TLS handshake was done. `None` on plain HTTP.
    pub tls: Option<Duration>,
    /// The request's last byte was handed to the kernel.
    pub sent: Option<Duration>,
    /// The first byte of the final answer's status line came. A 1xx is not it.
    pub first_byte: Option<Duration>,
    /// The first event came that carries content, reasoning or a tool call.
    pub first_token: Option<Duration>,
    /// It was over, well or not.
    pub end: Option<Duration>,
}

/// Why a request failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// The kind, for programs.
    pub cause: Cause,
    /// The same for a person, with what was seen.
    pub message: String,
}

/// What made a request fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Cause {
    /// The name has no address.
    Resolve,
    /// Nobody listens: `ECONNREFUSED`.
    Refused,
    /// No way to the address: `EHOSTUNREACH`, `ENETUNREACH` and the like.
    Unreachable,
    /// No connection within `Limits::connect`.
    ConnectTimeout,
    /// The TLS handshake failed or the certificate was not accepted.
    Tls,
    /// The server closed (FIN) before the answer's head was complete.
    ClosedBeforeHeaders,
    /// The connection was reset (RST) while the request was written or before the answer's head
    /// was complete.
    ResetBeforeHeaders,
    /// The server closed (FIN) before the body was complete.
    ClosedInBody,
    /// The connection was reset (RST) before the body was complete.
    ResetInBody,
    /// HTTP was complete, and the stream had no terminator.
    ClosedWithoutTerminator,
    /// Silence inside the body for longer than `Limits::stall`.
    Stalled,
    /// Longer than `Limits::whole`.
    Timeout,
    /// What came is not HTTP/1.1, or its head is too large.
    Protocol,
    /// The status is 400 or above.
    Http,
}

impl Cause {
    /// Every cause.
    pub const ALL: [Self; 14] = [
        Self::Resolve,
        Self::Refused,
        Self::Unreachable,
        Self::ConnectTimeout,
        Self::Tls,
        Self::ClosedBeforeHeaders,
        Self::ResetBeforeHeaders,
        Self::ClosedInBody,
        Self::ResetInBody,
        Self::ClosedWithoutTerminator,
        Self::Stalled,
        Self::Timeout,
        Self::Protocol,
        Self::Http,
    ];

    /// Its name in reports.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Resolve => "resolve",
            Self::Refused => "refused",
            Self::Unreachable => "unreachable",
            Self::ConnectTimeout => "connect-timeout",
            Self::Tls => "tls",
            Self::ClosedBeforeHeaders => "closed-before-headers",
            Self::ResetBeforeHeaders => "reset-before-headers",
            Self::ClosedInBody => "closed-in-body",
            Self::ResetInBody => "reset-in-body",
            Self::ClosedWithoutTerminator => "closed-without-terminator",
            Self::Stalled => "stalled",
            Self::Timeout => "timeout",
            Self::Protocol => "protocol",
            Self::Http => "http",
        }
    }

    /// The exit codes that curl has for it (`curl --fail`, and for `stalled` with `--speed-time`).
    ///
    /// Run with curl 7.88.1 in `tests/traffic`. A reset while the request is still written is 55
    /// (send failure) or 56, whichever call of curl meets it first. An alert after a TLS 1.3
    /// handshake (no client certificate) is 56. A line of a head without end is 27. Two corners are curl's own: a head that is cut
    /// after its `Content-Length` is 18 there and `closed-before-headers` here, and TLS that ends
    /// without close_notify is 56 there (OpenSSL 3) and `closed-in-body` here.
    #[must_use]
    pub fn curl_exit(self) -> &'static [i32] {
        match self {
            Self::Resolve => &[6],
            Self::Refused | Self::Unreachable => &[7],
            Self::ConnectTimeout | Self::Stalled | Self::Timeout => &[28],
            Self::Tls => &[35, 60, 56],
            Self::ClosedBeforeHeaders => &[52],
            Self::ResetBeforeHeaders => &[56, 55],
            Self::ResetInBody => &[56],
            Self::ClosedInBody => &[18],
            Self::ClosedWithoutTerminator => &[0],
            Self::Protocol => &[1, 8, 27, 56],
            Self::Http => &[22],
        }
    }
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// What was seen of a stream of server-sent events.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StreamSeen {
    /// All events.
    pub events: u64,
    /// Those that carry content, reasoning or a tool call.
    pub content_events: u64,
    /// The longest time between two of these.
    pub largest_gap: Option<Duration>,
    /// When it began, since the start of the clock.
    pub largest_gap_at: Option<Duration>,
    /// The stream's own end was seen: `[DONE]`, `message_stop` or `response.completed`.
    pub terminated: bool,
    /// Whether something on the way held the events back.
    pub buffered: Buffered,
    /// When each content event came, the first [`StreamSeen::KEPT_STAMPS`] of them.
    pub content_stamps: Vec<Duration>,
    /// The first event that did not carry content, where it came before the first that did: a
    /// role-only event is not a first token, and a person wants to see that it was not counted.
    pub role_only_at: Option<Duration>,
    /// What the server said of an error inside the stream.
    pub error: Option<String>,
}

impl StreamSeen {
    /// The bound of `content_stamps`.
    pub const KEPT_STAMPS: usize = 16 * 1024;
}

/// Whether something on the way held a stream's events back. See [`crate::buffered`] for what can
/// be known from outside.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Buffered {
    /// Held back, with evidence.
    Yes,
    /// It flowed.
    No,
    /// What came fits both.
    Unknown,
}

impl Buffered {
    /// Its name in reports.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Yes => "yes",
            Self::No => "no",
            Self::Unknown => "unknown",
        }
    }
}
