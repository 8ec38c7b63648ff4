//! The lab's NGINX: its text, its judgement, and the real program.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod canary;
mod objects;
mod real;
mod rendering;
mod settling;
mod traffic;
