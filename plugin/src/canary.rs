//! A canary that is driven from here: what is seen of the cluster and of our own traffic is fed to
//! the machine of `infer-canary`, and what it decides is done.

pub(crate) mod begin;
pub(crate) mod live;
pub(crate) mod obey;
pub(crate) mod observe;
pub(crate) mod run;
pub(crate) mod traffic;

use crate::problem::Problem;
use infer_canary::machine::Millis;
use infer_canary::shift::Refusal;
use infer_cluster::{LeaseError, WriteError};
use std::time::{SystemTime, UNIX_EPOCH};

/// How long a run is ours without being renewed, in seconds.
pub(crate) const SECONDS: i32 = 15;

/// The time, for the journal.
pub(crate) fn now() -> Millis {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.map_or(0, |since| {
        u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
    })
}

impl From<Refusal> for Problem {
    fn from(refusal: Refusal) -> Problem {
        Problem::new(refusal.message()).ways_out(&refusal.help())
    }
}

impl From<WriteError> for Problem {
    fn from(error: WriteError) -> Problem {
        Problem::new(error.message()).ways_out(&error.help())
    }
}

impl From<LeaseError> for Problem {
    fn from(error: LeaseError) -> Problem {
        Problem::new(error.message()).ways_out(&error.help())
    }
}
