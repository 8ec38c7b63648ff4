//! `cargo xtask bench`

use std::ffi::OsString;
use std::path::Path;
use std::process::Stdio;

use clap::{Args, ValueEnum};
use xtask::{Error, Result, contain, say, workspace};

/// Measure what reviews and `check` cost, each beside a floor
///
/// Builds with optimisation, then runs `crates/infer-bench`: the webhook under load beside the same
/// server with a constant answer, and `kubectl infer check` on generated manifests beside a parse of
/// them. It takes about five minutes; docs/performance.md says what the figures mean. Whatever they
/// are, the exit code is 0: benches are no tests.
#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// One of the two; both without
    what: Option<What>,
    /// Rounds that count
    #[arg(long, value_name = "N", default_value_t = 5, value_parser = clap::value_parser!(u16).range(1..=100))]
    rounds: u16,
    /// Print one JSON document
    #[arg(long, conflicts_with = "markdown")]
    json: bool,
    /// Print Markdown
    #[arg(long)]
    markdown: bool,
    /// Put the tables into docs/performance.md
    #[arg(long, conflicts_with = "what")]
    update: bool,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum What {
    /// Reviews by the webhook
    Webhook,
    /// `kubectl infer check`
    Check,
}

const PAGE: &str = "docs/performance.md";

pub(crate) fn run(arguments: &Arguments) -> Result<i32> {
    say::heading("Building with optimisation");
    let packages = ["infer-bench", "infer-webhook", "kubectl-infer"];
    let build = ["build", "--release"].into_iter();
    let chosen = packages.iter().flat_map(|package| ["-p", package]);
    match contained(
        Path::new("cargo"),
        build.chain(chosen).map(Into::into).collect(),
    )? {
        0 => {}
        code => {
            return Err(Error::Failed(format!(
                "cargo build --release gave exit code {code}"
            )));
        }
    }
    say::heading("Measuring");
    let mut line: Vec<OsString> = Vec::new();
    line.extend(arguments.what.map(|what| match what {
        What::Webhook => "webhook".into(),
        What::Check => "check".into(),
    }));
    line.extend(["--rounds".into(), arguments.rounds.to_string().into()]);
    line.extend(arguments.json.then(|| "--json".into()));
    line.extend(arguments.markdown.then(|| "--markdown".into()));
    if arguments.update {
        line.extend(["--update".into(), PAGE.into()]);
    }
    // Beside the directory of the profile that we ourselves were built with.
    let program = workspace::program_dir()?
        .with_file_name("release")
        .join("infer-bench");
    contained(&program, line)
}

/// Runs a program so that nothing of it outlives us, in the checkout.
fn contained(program: &Path, arguments: Vec<OsString>) -> Result<i32> {
    let name = program.display().to_string();
    let (mut command, lifeline) = contain::program(&name, arguments)?;
    command.current_dir(workspace::root()).stdin(Stdio::null());
    let code = lifeline.spawn(&mut command)?.wait()?;
    if let Some(signal) = contain::signals::received() {
        return Err(Error::Interrupted(signal));
    }
    Ok(code)
}
