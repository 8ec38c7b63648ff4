//! `cargo xtask bench`

mod oha;
mod traffic;

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use clap::{Args, ValueEnum};
use xtask::{Error, Result, contain, say, workspace};

/// Measure what reviews and `check` cost, each beside a floor, and what the client's stamps are worth
///
/// Builds with optimisation, then runs `crates/infer-bench`: the webhook under load beside the same
/// server with a constant answer, and `kubectl infer check` on generated manifests beside a parse of
/// them. It takes about five minutes; docs/performance.md says what the figures mean. Whatever they
/// are, the exit code is 0: benches are no tests.
///
/// `bench traffic` is apart from these: it needs root and a lab's network, compares the stamps of
/// `kubectl infer test` with a packet capture, and its histogram with that of oha, which it builds
/// from crates.io the first time.
#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// One of them; webhook and check without
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
    /// Put the tables into docs/performance.md; not for webhook or check alone
    #[arg(long)]
    update: bool,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum What {
    /// Reviews by the webhook
    Webhook,
    /// `kubectl infer check`
    Check,
    /// Stamps and histograms of `kubectl infer test`
    Traffic,
}

const PAGE: &str = "docs/performance.md";
/// The same for every bench: another choice would build their dependencies with other features, anew.
const PACKAGES: [&str; 3] = ["infer-bench", "infer-webhook", "kubectl-infer"];

pub(crate) fn run(arguments: &Arguments) -> Result<i32> {
    let line = match arguments.what {
        Some(What::Traffic) => return traffic::run(arguments),
        Some(What::Webhook | What::Check) if arguments.update => {
            return Err(Error::Failed(
                "--update replaces the tables of webhook and check together: leave the name out"
                    .into(),
            ));
        }
        Some(What::Webhook) => vec!["webhook".into()],
        Some(What::Check) => vec!["check".into()],
        None => Vec::new(),
    };
    build(&[])?;
    say::heading("Measuring");
    contained(
        &optimised()?,
        line.into_iter().chain(options(arguments)).collect(),
    )
}

/// Builds with optimisation: every program, or where some are named only these.
fn build(programs: &[&str]) -> Result<()> {
    say::heading("Building with optimisation");
    let build = ["build", "--release"].into_iter();
    let chosen = PACKAGES.iter().flat_map(|package| ["-p", package]);
    let only = programs.iter().flat_map(|program| ["--bin", program]);
    match contained(
        Path::new("cargo"),
        build.chain(chosen).chain(only).map(Into::into).collect(),
    )? {
        0 => Ok(()),
        code => Err(Error::Failed(format!(
            "cargo build --release gave exit code {code}"
        ))),
    }
}

/// The bench's own program: beside the directory of the profile that we ourselves were built with.
fn optimised() -> Result<PathBuf> {
    Ok(workspace::program_dir()?
        .with_file_name("release")
        .join("infer-bench"))
}

/// What is passed on to it.
fn options(arguments: &Arguments) -> Vec<OsString> {
    let mut line: Vec<OsString> = vec!["--rounds".into(), arguments.rounds.to_string().into()];
    line.extend(arguments.json.then(|| "--json".into()));
    line.extend(arguments.markdown.then(|| "--markdown".into()));
    if arguments.update {
        line.extend(["--update".into(), PAGE.into()]);
    }
    line
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
