//! `version`: what runs here, and what it knows.

use super::Outcome;
use crate::exit::Exit;
use crate::flags::Output;
use crate::print;
use crate::problem::Problem;
use infer_core::{catalogue, rules};
use serde::Serialize;

/// Kind of the document for programs.
const KIND: &str = "VersionReport";

const EXAMPLES: &str = "\
Examples:
  # Print the versions for a bug report
  kubectl infer version
";

/// Print the versions of the client and of its catalogue
#[derive(Debug, clap::Args)]
#[command(before_help = EXAMPLES)]
pub(crate) struct Args {
    /// Print the result in this form
    #[arg(
        short,
        long,
        value_enum,
        value_name = "FORM",
        default_value_t,
        help_heading = "Output"
    )]
    output: Output,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Versions {
    client_version: &'static str,
    catalogue_version: &'static str,
    rules: usize,
}

/// Runs it.
pub(crate) fn run(args: &Args) -> Outcome {
    let versions = Versions::own();
    let out = match args.output {
        Output::Text => format!(
            "client     {}\ncatalogue  {}\nrules      {}\n",
            versions.client_version, versions.catalogue_version, versions.rules
        ),
        Output::Json => print::json::render(KIND, versions, &[]),
    };
    Outcome {
        out,
        err: String::new(),
        exit: Exit::Done,
    }
}

/// The document where the flags are wrong: versions are known all the same.
pub(crate) fn empty(problems: &[Problem]) -> String {
    print::json::render(KIND, Versions::own(), problems)
}

impl Versions {
    fn own() -> Versions {
        Versions {
            client_version: env!("CARGO_PKG_VERSION"),
            catalogue_version: catalogue::VERSION,
            rules: rules::ALL.len(),
        }
    }
}
