//! Programs built from Go modules, with a module file of ours that pins everything.

use std::ffi::OsString;
use std::path::Path;
use std::process::Stdio;

use super::progress::Row;
use crate::digest::Digest;
use crate::{Error, Result, contain, workspace};

/// A short hash of a module's go.mod and go.sum.
pub(super) fn fingerprint(module: &str) -> Result<String> {
    let mut digest = Digest::default();
    for name in ["go.mod", "go.sum"] {
        digest.file(&workspace::root().join(module).join(name))?;
    }
    Ok(digest.finish()[..12].to_string())
}

/// Builds the packages into `to/bin`; gives a line about what was built.
pub(super) fn build(
    module: &str,
    packages: &[&str],
    ldflags: &str,
    to: &Path,
    row: &mut Row,
) -> Result<String> {
    if !super::on_path("go") {
        return Err(Error::Failed(
            "Go is not on PATH. Install Go 1.26 or newer (https://go.dev/dl), it builds this part from Go modules."
                .into(),
        ));
    }
    row.note("building from Go modules; the first time takes 4 to 10 minutes");
    let mut arguments: Vec<OsString> = ["install", "-mod=readonly", "-trimpath", "-v", "-ldflags"]
        .map(Into::into)
        .to_vec();
    arguments.push(ldflags.into());
    arguments.extend(packages.iter().map(Into::into));
    let (mut command, lifeline) = contain::program("go", arguments)?;
    command
        .current_dir(workspace::root().join(module))
        .env("CGO_ENABLED", "0")
        .env("GOBIN", to.join("bin"))
        // A person's flags and workspace are not ours.
        .env("GOFLAGS", "")
        .env("GOWORK", "off")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped());
    let mut built = 0;
    let log = row.follow(lifeline.spawn(&mut command)?, |line| {
        if line.starts_with("go: ") {
            return line.to_string();
        }
        built += 1;
        format!("{built} packages compiled, the last is {line}")
    })?;
    if log.code == 0 {
        return Ok(format!("{built} packages compiled"));
    }
    Err(Error::Failed(format!(
        "go install failed with exit code {}:\n{}",
        log.code,
        log.tail()
    )))
}
