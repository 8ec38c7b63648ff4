//! The lab that a test or a demo finds itself in.

use std::env;
use std::io::Write;
use std::net::Ipv4Addr;
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};

use crate::{Error, Result};

/// A lab seen from inside: what [`super::run`] told its command through the environment.
#[derive(Debug, Clone)]
pub struct Lab {
    /// The level, for example `l1`.
    pub level: String,
    /// The lab's address: where a webhook should listen. Not loopback, but in a plain lab.
    pub address: Ipv4Addr,
    /// The lab's directory; files in it vanish with the lab.
    pub state: PathBuf,
    /// The directory with GGUF models.
    pub models: PathBuf,
    /// Its kubeconfig, of a member of `system:masters`.
    pub kubeconfig: PathBuf,
}

impl Lab {
    /// The lab that this process runs in, if it does.
    #[must_use]
    pub fn current() -> Option<Self> {
        let text = |name| env::var(name).ok();
        Some(Self {
            level: text("INFER_LAB_LEVEL")?,
            address: text("INFER_LAB_ADDRESS")?.parse().ok()?,
            state: text("INFER_LAB_STATE")?.into(),
            models: text("INFER_LAB_MODELS")?.into(),
            // A lab of level `t` has no API server.
            kubeconfig: text("KUBECONFIG").unwrap_or_default().into(),
        })
    }

    /// `kubectl ARGUMENTS`, ready to run, in this lab.
    #[must_use]
    pub fn kubectl(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new("kubectl");
        command.args(arguments).stdin(Stdio::null());
        command
    }

    /// Runs kubectl with this input. Whatever it answers is the result; the caller judges.
    ///
    /// # Errors
    ///
    /// When kubectl cannot be run.
    pub fn kubectl_with(&self, arguments: &[&str], input: &str) -> Result<Output> {
        let failed = || Error::io(format!("running kubectl {}", arguments.join(" ")));
        let mut child = Command::new("kubectl")
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .map_err(failed())?;
        if let Some(mut stdin) = child.stdin.take() {
            // kubectl may refuse its arguments and read nothing; its own message says more than a
            // broken pipe.
            let _ = stdin.write_all(input.as_bytes());
        }
        child.wait_with_output().map_err(failed())
    }

    /// Runs kubectl, expects success, gives its stdout.
    ///
    /// # Errors
    ///
    /// When it does not succeed, with what it said.
    pub fn kubectl_ok(&self, arguments: &[&str], input: &str) -> Result<String> {
        let output = self.kubectl_with(arguments, input)?;
        if output.status.success() {
            return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
        }
        Err(Error::Failed(format!(
            "kubectl {} failed: {}",
            arguments.join(" "),
            String::from_utf8_lossy(&output.stderr).trim()
        )))
    }
}
