//! What ends the program.

use std::ffi::OsString;
use std::process::ExitStatus;

/// Why it does not start or go on, and what to do.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// `--crash`.
    #[error("lab-flaw: this version crashes at its start (--crash)")]
    Crash,
    /// A value of the server's `--host` or `--port`.
    #[error("the server's {flag} is {value:?}, which is not {wanted}")]
    Argument {
        /// The flag, or the variable that stands for it.
        flag: &'static str,
        /// What is written; empty where nothing follows the flag.
        value: String,
        /// What would do.
        wanted: &'static str,
    },
    /// The address is taken.
    #[error("cannot listen on {address}: {source}")]
    Listen {
        /// Where.
        address: std::net::SocketAddr,
        /// What the system said.
        source: std::io::Error,
    },
    /// The server does not start.
    #[error("{program:?}: {source}\n  = help: give the server after `--`")]
    Program {
        /// What was started.
        program: OsString,
        /// What the system said.
        source: std::io::Error,
    },
    /// The server ended by itself.
    #[error("the server ended by itself: {0}")]
    Ended(ExitStatus),
    /// No runtime or no signal handler.
    #[error("cannot wait for signals: {0}")]
    Signals(std::io::Error),
}
