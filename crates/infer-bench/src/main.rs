//! What `cargo xtask bench` runs: figures of the webhook and of `check`, each beside a floor.
//!
//! And the traffic client's stamps, beside the kernel's and beside another tool.
//!
//! Traffic stays on 127.0.0.1; servers are child processes that end with this one.

mod check;
mod client;
mod corpus;
mod error;
mod figures;
mod load;
mod manifests;
mod process;
mod profile;
mod report;
mod serve;
mod traffic;
mod webhook;

use clap::{Parser, Subcommand};
use error::{Error, Result};
use report::{Form, Setting, Table};
use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;

/// Figures of the webhook and of `check`, each beside a floor
#[derive(Debug, Parser)]
#[command(version, max_term_width = 100)]
struct Arguments {
    #[command(subcommand)]
    what: Option<What>,
    /// Rounds that count; one more comes before them
    #[arg(long, global = true, default_value_t = 5, value_parser = clap::value_parser!(u16).range(1..=100))]
    rounds: u16,
    /// Print one JSON document
    #[arg(long, global = true, conflicts_with = "markdown")]
    json: bool,
    /// Print Markdown
    #[arg(long, global = true)]
    markdown: bool,
    /// Also put the tables between the marks of this page
    #[arg(long, global = true, value_name = "FILE")]
    update: Option<PathBuf>,
}

#[derive(Debug, Subcommand)]
enum What {
    /// Reviews by the webhook
    Webhook,
    /// `kubectl-infer check`
    Check,
    Traffic(traffic::Arguments),
    #[command(hide = true)]
    Serve(serve::Arguments),
    #[command(hide = true)]
    Parse {
        path: String,
    },
    #[command(hide = true)]
    Profile(profile::Arguments),
    #[command(hide = true)]
    TrafficServer,
    #[command(hide = true)]
    TrafficGenerate(traffic::generate::Arguments),
}

fn main() -> ExitCode {
    match run(&Arguments::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            report::say(&format!("error: {error}"));
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: &Arguments) -> Result<()> {
    let rounds = usize::from(arguments.rounds);
    let form = match (arguments.json, arguments.markdown) {
        (true, _) => Form::Json,
        (_, true) => Form::Markdown,
        _ => Form::Text,
    };
    let benches: &[fn(usize) -> Result<Table>] = match &arguments.what {
        None => &[webhook::run, check::run],
        Some(What::Webhook) => &[webhook::run],
        Some(What::Check) => &[check::run],
        Some(What::Serve(arguments)) => return serve::run(arguments),
        Some(What::Parse { path }) => return check::parse(path),
        Some(What::Profile(arguments)) => return profile::run(arguments),
        Some(What::Traffic(traffic)) => {
            return traffic::run(traffic, rounds, form, arguments.update.as_deref());
        }
        Some(What::TrafficServer) => return traffic::server::run(),
        Some(What::TrafficGenerate(arguments)) => return traffic::generate::run(arguments),
    };
    let setting = Setting::now();
    let tables = benches
        .iter()
        .map(|bench| bench(rounds))
        .collect::<Result<Vec<Table>>>()?;
    if let Some(page) = &arguments.update {
        report::write_into(
            page,
            report::MARKS,
            &report::render(Form::Markdown, &setting, &tables),
        )?;
    }
    let text = report::render(form, &setting, &tables);
    std::io::stdout()
        .write_all(text.as_bytes())
        .map_err(Error::io("printing the results"))
}
