//! What ends the program or one round of its loop.

use std::path::PathBuf;
use std::process::ExitStatus;

/// Why something did not work, and what to do.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No client for the cluster.
    #[error(
        "no client for the cluster: {0}\n  = help: in a pod the service account must be mounted; \
         elsewhere give --kubeconfig FILE"
    )]
    Client(String),
    /// The first lists did not come.
    #[error(
        "{resource} could not be listed within {seconds} s\n  = help: the lines above say why; \
         `kubectl auth can-i list {resource} -A --as SERVICEACCOUNT` tests the permission"
    )]
    NotListed {
        /// The plural of the kind.
        resource: &'static str,
        /// The limit.
        seconds: u64,
    },
    /// A file of NGINX's directory.
    #[error("{}: {source}", path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// NGINX does not start.
    #[error("{}: {source}\n  = help: give the path of an nginx program with --nginx", program.display())]
    Program {
        /// What was started.
        program: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// `nginx -t` does not end.
    #[error("`nginx -t` did not end within {0} s")]
    TestTimeout(u64),
    /// NGINX refuses what it accepted before, so that no changed Ingress is to blame.
    #[error("NGINX refuses the configuration, the old one stays: {0}")]
    Refused(String),
    /// NGINX accepted a configuration and does not run it.
    #[error(
        "NGINX did not take configuration {digest} into service within {seconds} s; its own log says why"
    )]
    NotLoaded {
        /// The configuration's name.
        digest: String,
        /// The limit.
        seconds: u64,
    },
    /// NGINX's master process ended by itself.
    #[error("NGINX ended by itself: {0}")]
    Ended(ExitStatus),
    /// A signal handler cannot be installed.
    #[error("cannot wait for signals: {0}")]
    Signals(std::io::Error),
}
