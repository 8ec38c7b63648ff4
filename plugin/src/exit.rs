//! Exit codes, the same for every `-o`.

use std::process::ExitCode;

/// How a command ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Exit {
    /// Done.
    Done = 0,
    /// Bad usage, something that cannot be read, or nothing to look at.
    Failed = 1,
    /// Done, and what was asked for does not hold: findings at or above `--fail-on`, a request that
    /// failed.
    Found = 2,
    /// Somebody else changed what we work on.
    Changed = 3,
    /// Done, and nothing is proven.
    Inconclusive = 4,
    /// Interrupted by Ctrl-C; what was done until then is reported.
    Interrupted = 130,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> ExitCode {
        ExitCode::from(exit as u8)
    }
}
