//! What is asked: method, headers, body and the limits of one request.

use std::time::Duration;

use bytes::Bytes;

/// One request, apart from where it goes.
///
/// `send` adds `host`, `accept: */*` and `content-length` where they are missing, and nothing else.
#[derive(Clone, Debug)]
pub struct Call {
    /// The method, in capitals.
    pub method: String,
    /// The headers, in the order in which they are sent.
    pub headers: Vec<Header>,
    /// The body; `None` sends none.
    pub body: Option<Bytes>,
    /// Read the body of a successful answer as server-sent events.
    pub stream: bool,
    /// How long and how much.
    pub limits: Limits,
}

/// A request header.
#[derive(Clone, Debug)]
pub struct Header {
    /// The name, as it is to be shown and sent.
    pub name: String,
    /// The value.
    pub value: String,
    /// A secret is sent and never shown: not in [`crate::Exchange::request_head`] and not in
    /// [`crate::Target::curl`].
    pub secret: bool,
}

impl Header {
    /// A header that may be shown.
    #[must_use]
    pub fn new(name: impl Into<String>, value: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            value: value.into(),
            secret: false,
        }
    }
}

/// The limits of one request. All of them count from the moment at which [`crate::send`] is called.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// For the name, TCP and TLS together, as curl's `--connect-timeout`.
    pub connect: Duration,
    /// For everything, as curl's `--max-time`.
    pub whole: Duration,
    /// The longest silence inside a body; `None` waits for `whole`.
    pub stall: Option<Duration>,
    /// How many of the body's first bytes are kept in the [`crate::Exchange`].
    pub kept_body: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(10),
            whole: Duration::from_secs(60),
            stall: None,
            kept_body: 64 * 1024,
        }
    }
}
