//! `cargo xtask lab t|l1|l3 -- COMMAND…`

use std::ffi::OsString;
use std::path::PathBuf;
use std::process::Stdio;

use clap::Args;
use xtask::lab::routers::Router;
use xtask::lab::{self, Level, Options};
use xtask::{Error, Result, contain, say, workspace};

/// Run a command in a throw-away Kubernetes
///
/// Starts the level's servers in namespaces of their own (root is needed for l3 only), runs COMMAND
/// with KUBECONFIG set and with kubectl, kubectl-infer and infer-webhook first on PATH (and the
/// level's nginx and llama-server), passes its exit code on, and leaves nothing behind. COMMAND also
/// finds INFER_LAB_LEVEL, INFER_LAB_ADDRESS (where a webhook should listen), INFER_LAB_STATE (a
/// directory that vanishes with the lab) and INFER_LAB_MODELS (a directory with GGUF models).
///
/// Exit codes: COMMAND's own; 75 when a part of the lab is missing (1 where INFER_LAB_REQUIRE names
/// the level); 70 when the lab did not come up.
#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// How much of a cluster
    level: Level,
    /// Do not build kubectl-infer and infer-webhook first
    #[arg(long)]
    no_build: bool,
    /// Copy the servers' logs to this directory at the end
    #[arg(long, value_name = "DIR")]
    logs: Option<PathBuf>,
    /// Routers to start first: real control planes with real Envoys (l1 and l3). Where each serves is
    /// said, and is in INFER_LAB_STATE/routers/NAME.json
    #[arg(long, value_name = "NAME", value_delimiter = ',')]
    with: Vec<Router>,
    /// The command, for example `kubectl get namespaces` or `bash`
    #[arg(last = true, required = true, value_name = "COMMAND")]
    command: Vec<OsString>,
}

pub(crate) fn run(arguments: Arguments) -> Result<i32> {
    if !arguments.no_build {
        build_own_programs()?;
    }
    let logs = arguments.logs.map(std::path::absolute).transpose();
    let options = Options {
        logs: logs.map_err(Error::io("resolving --logs"))?,
        with: arguments.with,
        ..Options::new(arguments.level)
    };
    match lab::run(&options, &arguments.command) {
        Err(Error::PartMissing(what)) if workspace::requires(arguments.level) => Err(
            Error::Failed(format!("{what}\n(INFER_LAB_REQUIRE makes this an error.)")),
        ),
        Err(Error::PartMissing(what)) => {
            say::line(&format!("skipped: {what}"));
            Ok(Error::PartMissing(what).exit_code())
        }
        ended => ended,
    }
}

/// Builds kubectl-infer, infer-webhook and the lab's own programs into the directory where this program is.
pub(crate) fn build_own_programs() -> Result<()> {
    let arguments = [
        "build",
        "--quiet",
        "-p",
        "kubectl-infer",
        "-p",
        "infer-webhook",
        "-p",
        "lab-nginx",
        "-p",
        "lab-flaw",
        "--bins",
    ];
    let (mut cargo, lifeline) = contain::program("cargo", arguments.map(Into::into))?;
    cargo.current_dir(workspace::root()).stdin(Stdio::null());
    match lifeline.spawn(&mut cargo)?.wait()? {
        0 => Ok(()),
        code => Err(Error::Failed(format!(
            "our own programs do not build: cargo {} gave exit code {code}.\n\
             To go on with what was built before: cargo xtask lab l1|l3 --no-build -- …",
            arguments.join(" ")
        ))),
    }
}
