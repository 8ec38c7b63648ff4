//! Real curl against the same server: the other witness.

use std::process::Stdio;
use std::time::Duration;

use infer_traffic::{Call, Target};
use tokio::process::Command;

/// What curl made of it.
#[derive(Debug)]
pub(crate) struct Curl {
    pub(crate) exit: i32,
    /// `%{http_code}`; `None` for 000.
    pub(crate) status: Option<u16>,
    /// `%{size_download}`.
    pub(crate) bytes: u64,
    /// The end of what it said.
    pub(crate) stderr: String,
}

/// Runs the line that [`Target::curl`] prints, as a shell reads it, with `--fail`. `None`, and a
/// line that says so, where there is no curl; with `INFER_LAB_REQUIRE` that is a failure.
pub(crate) async fn curl(target: &Target, call: &Call) -> Option<Curl> {
    // Where the body is no text the line names a file, which is made here.
    let body = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(body.path(), call.body.as_deref().unwrap_or_default()).unwrap();
    let line = target
        .curl(call)
        .replace("@BODY", &format!("@{}", body.path().display()));
    let line = format!("{line} -sS --fail -o /dev/null -w '%{{http_code}} %{{size_download}}'");
    let mut command = Command::new("sh");
    command
        .args(["-c", &line])
        .stdin(Stdio::null())
        // The line must be the same request on a machine that has a proxy. Nobody listens here.
        .env("http_proxy", "http://127.0.0.1:9")
        .env("https_proxy", "http://127.0.0.1:9")
        .kill_on_drop(true);
    let output = tokio::time::timeout(Duration::from_secs(20), command.output())
        .await
        .expect("curl ended in time")
        .unwrap();
    let exit = output.status.code().unwrap();
    let last = output.stderr.len().saturating_sub(2000);
    let stderr = String::from_utf8_lossy(&output.stderr[last..]).into_owned();
    if exit == 127 {
        assert!(
            std::env::var_os("INFER_LAB_REQUIRE").is_none(),
            "curl is required and not on PATH: apt-get install curl"
        );
        println!("SKIPPED: curl is not on PATH, so nothing was compared with it");
        return None;
    }
    let stdout = String::from_utf8_lossy(&output.stdout).into_owned();
    let (status, bytes) = stdout
        .rsplit_once(' ')
        .unwrap_or_else(|| panic!("{line}\n{stdout}\n{stderr}"));
    Some(Curl {
        exit,
        status: status.parse().ok().filter(|status| *status > 0),
        bytes: bytes.parse().unwrap(),
        stderr,
    })
}
