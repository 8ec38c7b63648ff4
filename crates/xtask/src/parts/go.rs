//! Programs built from Go modules, and files out of them, with a module file of ours that pins
//! everything.

use std::ffi::OsString;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use super::progress::Row;
use crate::contain::Lifeline;
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

/// A command `go ARGUMENTS` in the directory of a module file, in which a person's own flags and
/// workspace do not count.
fn go(module: &str, arguments: Vec<OsString>) -> Result<(Command, Lifeline)> {
    if !super::on_path("go") {
        return Err(Error::Failed(
            "Go is not on PATH. Install Go 1.26 or newer (https://go.dev/dl), it gets this part from Go modules."
                .into(),
        ));
    }
    let (mut command, lifeline) = contain::program("go", arguments)?;
    command
        .current_dir(workspace::root().join(module))
        .env("CGO_ENABLED", "0")
        .env("GOFLAGS", "")
        .env("GOWORK", "off")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped());
    Ok((command, lifeline))
}

/// Builds the packages into `to/bin`; gives a line about what was built.
pub(super) fn build(
    module: &str,
    packages: &[&str],
    ldflags: &str,
    to: &Path,
    row: &mut Row,
) -> Result<String> {
    row.note("building from Go modules; the first time takes 4 to 10 minutes");
    let mut arguments: Vec<OsString> = ["install", "-mod=readonly", "-trimpath", "-v", "-ldflags"]
        .map(Into::into)
        .to_vec();
    arguments.push(ldflags.into());
    arguments.extend(packages.iter().map(Into::into));
    let (mut command, lifeline) = go(module, arguments)?;
    command.env("GOBIN", to.join("bin"));
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

/// Fetches modules and takes the files out of them, as [`super::Source::Modules`] says, into the
/// directory `to`; gives a line about it.
pub(super) fn files(
    module: &str,
    files: &[(&str, &str, &str)],
    to: &Path,
    row: &mut Row,
) -> Result<String> {
    let mut modules: Vec<&str> = files.iter().map(|(_, module, _)| *module).collect();
    modules.sort_unstable();
    modules.dedup();
    row.note(&format!("fetching {}", modules.join(", ")));
    let mut arguments: Vec<OsString> = ["mod", "download"].map(Into::into).to_vec();
    arguments.extend(modules.iter().map(Into::into));
    let (mut command, lifeline) = go(module, arguments)?;
    let log = row.follow(lifeline.spawn(&mut command)?, ToString::to_string)?;
    if log.code != 0 {
        return Err(Error::Failed(format!(
            "go mod download failed with exit code {}:\n{}",
            log.code,
            log.tail()
        )));
    }
    for (name, of, path) in files {
        let from = module_directory(module, of)?.join(path);
        let file = to.join(name);
        std::fs::write(&file, joined(&from)?)
            .map_err(Error::io(format!("writing {}", file.display())))?;
    }
    Ok(format!(
        "{} files of {} modules",
        files.len(),
        modules.len()
    ))
}

/// Where Go unpacked a module.
fn module_directory(module: &str, of: &str) -> Result<PathBuf> {
    let words = ["list", "-m", "-f", "{{.Dir}}", of]
        .map(Into::into)
        .to_vec();
    let (mut command, lifeline) = go(module, words)?;
    command.stdout(Stdio::piped());
    let mut running = lifeline.spawn(&mut command)?;
    let mut said = String::new();
    if let Some(mut stdout) = running.take_stdout() {
        stdout
            .read_to_string(&mut said)
            .map_err(Error::io("reading what go list says"))?;
    }
    let mut complained = String::new();
    if let Some(mut stderr) = running.take_stderr() {
        stderr
            .read_to_string(&mut complained)
            .map_err(Error::io("reading what go list says"))?;
    }
    match (running.wait()?, said.trim()) {
        (0, directory) if !directory.is_empty() => Ok(directory.into()),
        (code, _) => Err(Error::Failed(format!(
            "go list -m {of} gave exit code {code} and no directory: {}",
            complained.trim()
        ))),
    }
}

/// A file, or the YAML files of a directory, by name, as documents of one.
fn joined(from: &Path) -> Result<String> {
    let read = |path: &Path| {
        std::fs::read_to_string(path).map_err(Error::io(format!("reading {}", path.display())))
    };
    if !from.is_dir() {
        return read(from);
    }
    let mut paths: Vec<PathBuf> = std::fs::read_dir(from)
        .map_err(Error::io(format!("reading {}", from.display())))?
        .flatten()
        .map(|entry| entry.path())
        .filter(|path| path.extension().is_some_and(|end| end == "yaml"))
        .collect();
    paths.sort();
    let texts: Vec<String> = paths.iter().map(|path| read(path)).collect::<Result<_>>()?;
    Ok(texts.join("\n---\n"))
}
