//! What a failover drill means: its plan and the reasons to refuse it, what clients saw lane by
//! lane, one timeline of cluster and clients, the verdict, and why it went as it did.
//!
//! Pure: no async, files, clock or network. Whoever runs the drill stamps what happens on one
//! monotonic clock; here every time is a [`Moment`] on it, counted from T0, the moment when the
//! fault was sent.

pub mod account;
pub mod budget;
pub mod fault;
pub mod lane;
pub mod moment;
pub mod outage;
pub mod plan;
pub mod process;
pub mod quantile;
pub mod refusal;
pub mod report;
pub mod sample;
pub mod timeline;
pub mod verdict;
pub mod verify;
pub mod why;

pub use moment::Moment;
