//! What counts and times prove, each with a stated error rate.
//!
//! [`split`] judges one run of `test --expect`: a number of requests that was fixed before. [`watch`]
//! judges a canary while it runs: its intervals hold at every look at once, so that looking often
//! costs nothing. [`draw`] says whether a proxy's choices look like a random draw at all.
//!
//! Pure: no clock, no randomness, no I/O.

pub mod draw;
pub mod interval;
pub mod split;
pub mod watch;

mod beta;
#[cfg(test)]
mod random;
