//! Exit codes, the same for every `-o`.

use std::process::ExitCode;

/// How a command ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Exit {
    /// Done.
    Done = 0,
    /// Bad usage, something that cannot be read, or nothing to look at.
    Failed = 1,
    /// Done, and there are findings at or above `--fail-on`.
    Found = 2,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> ExitCode {
        ExitCode::from(exit as u8)
    }
}
