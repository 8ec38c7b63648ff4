//! The real server as a child process.

use crate::error::Error;
use rustix::process::{Pid, Signal, kill_process};
use std::ffi::OsString;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;
use tokio::process::{Child, Command};

/// From SIGTERM to SIGKILL, once nobody waits for an answer. llama-server takes 0.3 s when it is idle.
const TERM: Duration = Duration::from_secs(2);

/// It ends with this.
#[derive(Debug)]
pub(crate) struct Server {
    child: Child,
}

impl Server {
    /// Starts it, without these variables of our own environment.
    pub(crate) fn start(
        program: &OsString,
        arguments: &[OsString],
        without: &[&str],
    ) -> Result<Server, Error> {
        let mut command = Command::new(program);
        command.args(arguments).stdin(Stdio::null());
        for variable in without {
            command.env_remove(variable);
        }
        // In a group of its own: Ctrl-C on a terminal is ours to pass on, after what is in flight.
        let spawned = command.process_group(0).kill_on_drop(true).spawn();
        spawned
            .map(|child| Server { child })
            .map_err(|source| Error::Program {
                program: program.clone(),
                source,
            })
    }

    /// Waits for its end, as which it is an error.
    pub(crate) async fn ended(&mut self, program: &OsString) -> Error {
        match self.child.wait().await {
            Ok(status) => Error::Ended(status),
            Err(source) => Error::Program {
                program: program.clone(),
                source,
            },
        }
    }

    /// Ends it: SIGTERM, then SIGKILL.
    pub(crate) async fn stop(mut self) -> Option<ExitStatus> {
        let id = self.child.id().and_then(|it| i32::try_from(it).ok());
        if let Some(pid) = id.and_then(Pid::from_raw) {
            // It fails where the process just ended.
            let _ = kill_process(pid, Signal::TERM);
        }
        if let Ok(status) = tokio::time::timeout(TERM, self.child.wait()).await {
            return status.ok();
        }
        self.child.kill().await.ok()?;
        self.child.wait().await.ok()
    }
}
