//! A command inside of a container.

use crate::call::Asked;
use crate::connection::Cluster;
use crate::request_error::RequestError;
use crate::what::What;
use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Status;
use kube::Api;
use kube::api::AttachParams;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt};

/// What a command left behind.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ExecOutput {
    /// Its exit code; none when the connection ended before it was told, as it does when the
    /// container dies meanwhile.
    pub code: Option<i32>,
    /// What it wrote to stdout, up to the bound.
    pub stdout: String,
    /// What it wrote to stderr, up to the bound.
    pub stderr: String,
    /// Whether it wrote more than the bound.
    pub is_cut: bool,
}

impl Cluster {
    /// Runs a command in a container and waits for its end. No shell is between: `command` is the
    /// program and its arguments. At most `bytes` of each output are kept, the rest is thrown away.
    ///
    /// # Errors
    ///
    /// As every request; [`RequestError::Other`] where the container has no such program, with the
    /// runtime's words; [`RequestError::TimedOut`] after `limit`: the command may still run then.
    pub async fn exec(
        &self,
        namespace: &str,
        pod: &str,
        container: Option<&str>,
        command: &[&str],
        limit: Duration,
        bytes: usize,
    ) -> Result<ExecOutput, RequestError> {
        let asked = Asked::new("create", What::Pod, Some(namespace))
            .name(pod)
            .subresource("exec");
        asked.check()?;
        let running = self.run(asked, container, command, bytes);
        match tokio::time::timeout(limit, running).await {
            Ok(output) => output,
            Err(_) => Err(self.timed_out(asked, limit)),
        }
    }

    async fn run(
        &self,
        asked: Asked<'_>,
        container: Option<&str>,
        command: &[&str],
        bytes: usize,
    ) -> Result<ExecOutput, RequestError> {
        let namespace = asked.namespace.unwrap_or_default();
        let pod = asked.name.unwrap_or_default();
        let api: Api<Pod> = Api::namespaced(self.client.clone(), namespace);
        let params = AttachParams {
            container: container.map(str::to_owned),
            ..AttachParams::default()
        };
        let started = api.exec(pod, command.iter().copied(), &params).await;
        let mut process = started.map_err(|error| self.failed(asked, &error))?;
        let status = process.take_status();
        let (stdout, stderr) = (process.stdout(), process.stderr());
        let (stdout, stderr) = tokio::join!(read(stdout, bytes), read(stderr, bytes));
        let status = match status {
            Some(status) => status.await,
            None => None,
        };
        let code = match status {
            None => None,
            Some(status) => exit_code(&status).map_err(|message| RequestError::Other {
                doing: format!("run `{}` in pod {pod}", command.join(" ")),
                code: None,
                message,
            })?,
        };
        Ok(ExecOutput {
            code,
            stdout: stdout.0,
            stderr: stderr.0,
            is_cut: stdout.1 || stderr.1,
        })
    }
}

/// Reads to the end; keeps the beginning.
async fn read(from: Option<impl AsyncRead + Unpin>, bytes: usize) -> (String, bool) {
    let Some(mut from) = from else {
        return (String::new(), false);
    };
    let mut kept = Vec::new();
    let mut is_cut = false;
    let mut part = [0; 4096];
    // An error is the end of the connection; the status tells whether it came too early.
    while let Ok(length @ 1..) = from.read(&mut part).await {
        let room = bytes - kept.len();
        is_cut |= length > room;
        kept.extend_from_slice(&part[..length.min(room)]);
    }
    (String::from_utf8_lossy(&kept).into_owned(), is_cut)
}

/// The exit code of the status that ends an exec (kubernetes/apimachinery
/// pkg/util/remotecommand/constants.go: `NonZeroExitCode`, cause `ExitCode`); an error when the
/// command was not run.
fn exit_code(status: &Status) -> Result<Option<i32>, String> {
    if status.status.as_deref() == Some("Success") {
        return Ok(Some(0));
    }
    let message = status.message.clone().unwrap_or_default();
    if status.reason.as_deref() != Some("NonZeroExitCode") {
        return Err(message);
    }
    let causes = status
        .details
        .iter()
        .flat_map(|it| it.causes.iter().flatten());
    let code = causes
        .filter(|it| it.reason.as_deref() == Some("ExitCode"))
        .find_map(|it| it.message.as_deref()?.parse().ok());
    Ok(code)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn code_of(status: serde_json::Value) -> Result<Option<i32>, String> {
        exit_code(&serde_json::from_value(status).unwrap())
    }

    #[test]
    fn a_status_tells_the_exit_code_or_why_nothing_ran() {
        assert_eq!(code_of(json!({"status": "Success"})), Ok(Some(0)));
        let failed = json!({
            "status": "Failure", "reason": "NonZeroExitCode", "message": "exit code 137",
            "details": {"causes": [{"reason": "ExitCode", "message": "137"}]},
        });
        assert_eq!(code_of(failed), Ok(Some(137)));
        let never = json!({
            "status": "Failure", "reason": "InternalError",
            "message": "exec: \"sh\": executable file not found in $PATH",
        });
        assert!(
            code_of(never)
                .unwrap_err()
                .contains("executable file not found")
        );
    }

    #[test]
    fn output_is_kept_up_to_the_bound_and_read_to_its_end() {
        let text = "x".repeat(10_000);
        let read = crate::fake::run(read(Some(text.as_bytes()), 4100));
        assert_eq!((read.0.len(), read.1), (4100, true));
        let read = crate::fake::run(super::read(Some(text.as_bytes()), 10_000));
        assert_eq!((read.0.len(), read.1), (10_000, false));
    }
}
