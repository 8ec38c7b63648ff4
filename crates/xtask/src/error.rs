//! What can go wrong, in words for the person who typed the command.

use std::io;

/// The result of everything in this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Why a command could not do its work.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The operating system said no. `doing` names the action and its object.
    #[error("{doing}: {source}")]
    Io {
        /// What was being done, for example `reading /etc/hosts`.
        doing: String,
        /// What the operating system answered.
        source: io::Error,
    },
    /// A part of the lab is not here and could not be got. Not a failure of the code under test:
    /// commands answer with [`EXIT_PART_MISSING`], unless the level is required.
    #[error("{0}")]
    PartMissing(String),
    /// The command that someone gave us cannot be started. A shell's exit code for it is 127.
    #[error("cannot start {name}: {source}")]
    CommandMissing {
        /// The command.
        name: String,
        /// What the operating system answered.
        source: io::Error,
    },
    /// A signal asked us to stop; its number.
    #[error("stopped by signal {0}")]
    Interrupted(i32),
    /// Anything else, said in full.
    #[error("{0}")]
    Failed(String),
}

/// Exit code of a command whose lab could not be started because a part is missing (EX_TEMPFAIL).
pub const EXIT_PART_MISSING: i32 = 75;

/// Exit code of a lab that did not come up although all its parts are here (EX_SOFTWARE).
pub const EXIT_LAB_FAILED: i32 = 70;

impl Error {
    /// An [`Error::Io`] for use in `map_err`: `.map_err(Error::io("reading x"))`.
    pub fn io(doing: impl Into<String>) -> impl FnOnce(io::Error) -> Self {
        let doing = doing.into();
        move |source| Self::Io { doing, source }
    }

    /// The same for the error numbers that rustix returns.
    pub fn os(doing: impl Into<String>) -> impl FnOnce(rustix::io::Errno) -> Self {
        let doing = doing.into();
        move |source| Self::Io {
            doing,
            source: source.into(),
        }
    }

    /// The exit code that says this to a script.
    #[must_use]
    pub fn exit_code(&self) -> i32 {
        match self {
            Self::PartMissing(_) => EXIT_PART_MISSING,
            Self::Interrupted(signal) => 128 + signal,
            Self::CommandMissing { .. } => 127,
            Self::Io { .. } | Self::Failed(_) => 1,
        }
    }
}
