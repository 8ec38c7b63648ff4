//! Traffic as a client sees it: one request on a connection of its own, and what became of it.
//!
//! [`send`] never errors and never hangs: each failure is in the [`Exchange`], with the kernel's own
//! cause and the exit code that curl has for it. There is no pool, no redirect and no hidden retry,
//! because each of them would hide the very failure that is being looked for.
//!
//! [`schedule::open_loop`] starts requests at a fixed rate, whatever became of the earlier ones, and
//! measures how late it was itself. [`attribution`] reads who answered from a proxy's access log or
//! from a header.

pub mod attribution;
mod body;
pub mod buffered;
mod call;
mod client;
mod clock;
pub mod content;
mod exchange;
mod head;
pub mod schedule;
pub mod sse;
pub mod statistics;
mod target;
mod tls;
mod wire;

pub use call::{Call, Header, Limits};
pub use client::send;
pub use clock::Clock;
pub use exchange::{Buffered, Cause, Exchange, Failure, Stamps, StreamSeen};
pub use target::{ConnectTo, Target, TargetError};
pub use tls::{Tls, TlsError, TlsOptions};
