//! A drill: what it stands on, what it sends and follows, and the fault.

pub(crate) mod follow;
pub(crate) mod gather;
pub(crate) mod inject;
pub(crate) mod lanes;
pub(crate) mod lease;
pub(crate) mod live;
pub(crate) mod pods;
pub(crate) mod record;
pub(crate) mod run;
pub(crate) mod traffic;

use crate::problem::Problem;
use infer_drill::refusal::Refusal;

/// A refusal, as it is told.
pub(crate) fn refused(refusal: &Refusal) -> Problem {
    Problem::new(refusal.to_string()).help(refusal.help())
}
