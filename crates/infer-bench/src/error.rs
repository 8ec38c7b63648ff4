//! What can go wrong, in words for the person who waits for figures.

use std::io;

/// The result of everything in this crate.
pub(crate) type Result<T, E = Error> = std::result::Result<T, E>;

/// Why there are no figures.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    /// The operating system said no. `doing` names the action and its object.
    #[error("{doing}: {source}")]
    Io {
        /// What was being done.
        doing: String,
        /// What the operating system answered.
        source: io::Error,
    },
    /// Anything else, said in full.
    #[error("{0}")]
    Failed(String),
}

impl Error {
    /// An [`Error::Io`] for use in `map_err`: `.map_err(Error::io("reading x"))`.
    pub(crate) fn io(doing: impl Into<String>) -> impl FnOnce(io::Error) -> Error {
        let doing = doing.into();
        move |source| Error::Io { doing, source }
    }

    /// Something that another library says of `doing`.
    pub(crate) fn of<E: std::fmt::Display>(doing: &'static str) -> impl FnOnce(E) -> Error {
        move |error| Error::Failed(format!("{doing}: {error}"))
    }
}
