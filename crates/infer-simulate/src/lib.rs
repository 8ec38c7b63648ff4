//! Runs whose truth is known: how often is a verdict wrong?
//!
//! Clients are made up, the verdicts are the product's own.

pub mod canary;
pub mod dice;
pub mod runs;
pub mod split;
