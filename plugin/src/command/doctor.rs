//! `doctor`: what a cluster has, and what of it is broken, retired or unknown.

use super::{Outcome, Session, next};
use crate::connection::ConnectionFlags;
use crate::doctor::{Wanted, gather};
use crate::exit::Exit;
use crate::flags::FailOn;
use crate::print;
use crate::problem::Problem;
use infer_core::catalogue::Catalogue;
use infer_doctor::{Checkup, Status};
use serde::Serialize;
use std::time::{SystemTime, UNIX_EPOCH};

/// Kind of the document for programs.
const KIND: &str = "DoctorReport";
/// Commands that the end names.
const NEXT: usize = 3;

const EXAMPLES: &str = "\
Examples:
  # Say which controllers and meshes are here, and how GPUs and our webhook are
  kubectl infer doctor

  # Judge the workloads of one namespace only, and fail on warnings, too
  kubectl infer doctor -n inference --fail-on warning
";

const EXIT_CODES: &str = "\
Exit codes:
  0  no check ended at or above --fail-on; what could not be seen does not count
  1  bad usage, or no cluster to ask
  2  checks that ended at or above --fail-on
";

/// Say what a cluster has, and what of it is broken, retired or unknown
///
/// Controllers by their classes, meshes, the Gateway API, ServiceMonitors, GPUs and our webhook.
/// Reads the API server only, in a bounded number of calls, and changes nothing: the webhook is tried
/// with a dry run, which the API server does not store. What may not be read is a named gap.
#[derive(Debug, clap::Args)]
#[command(
    before_help = EXAMPLES,
    after_long_help = EXIT_CODES,
    mut_arg("namespace", |arg| arg.help(
        "Judge the workloads of these namespaces only, by comma; default: all of them"
    )),
)]
pub(crate) struct Args {
    #[command(flatten)]
    connection: ConnectionFlags,
    /// Do not try the webhook with a dry run
    #[arg(long)]
    no_dry_run: bool,
    /// Exit with 2 on checks that ended so or worse
    #[arg(long, value_enum, value_name = "LEVEL", default_value_t)]
    fail_on: FailOn,
    /// Print the result in this form
    #[arg(
        short,
        long,
        value_enum,
        value_name = "FORM",
        default_value_t,
        help_heading = "Output"
    )]
    output: Form,
}

/// The form of the result.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
enum Form {
    /// For people; may change
    #[default]
    Text,
    /// For programs: one document, also on failure
    Json,
    /// The same as YAML
    Yaml,
}

/// What the document holds.
#[derive(Default, Serialize)]
#[serde(rename_all = "camelCase")]
struct Body<'a> {
    #[serde(flatten)]
    checkup: Option<&'a Checkup>,
}

/// Runs it.
pub(crate) fn run(args: &Args, session: &Session<'_>) -> Outcome {
    match checkup(args, session) {
        Ok(checkup) => told(&checkup, args, session),
        Err(problem) => {
            let problems = [problem];
            Outcome {
                out: match args.output {
                    Form::Text => String::new(),
                    Form::Json => empty(&problems),
                    Form::Yaml => print::json::as_yaml(&empty(&problems)),
                },
                ..session.failed(&problems, None)
            }
        }
    }
}

/// The document where there is no cluster to ask.
pub(crate) fn empty(problems: &[Problem]) -> String {
    print::json::render(KIND, Body::default(), problems)
}

fn checkup(args: &Args, session: &Session<'_>) -> Result<Checkup, Problem> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| Problem::new(format!("cannot begin: {error}")))?;
    // A clock before 1970 makes every certificate "not valid yet", which is so.
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    let now = now.map_or(0, |it| i64::try_from(it.as_secs()).unwrap_or(i64::MAX));
    let namespaces: Vec<String> = args
        .connection
        .namespace
        .iter()
        .flat_map(|names| names.split(','))
        .map(str::trim)
        .filter(|name| !name.is_empty())
        .map(str::to_owned)
        .collect();
    // Where lists over all namespaces are refused, these are asked instead.
    let connection = ConnectionFlags {
        namespace: namespaces.first().cloned(),
        ..args.connection.clone()
    };
    let wanted = Wanted {
        program: session.program.to_owned(),
        namespaces: namespaces.clone(),
        rehearse: !args.no_dry_run,
        now,
    };
    let mut progress = crate::terminal::Progress::of_stderr();
    let facts = runtime.block_on(async {
        progress.show("asking the cluster");
        let cluster = connection.connect().await?;
        let facts = gather(&cluster, &wanted).await;
        progress.clear();
        facts.map_err(Problem::from)
    });
    runtime.shutdown_background();
    Ok(infer_doctor::checkup(&Catalogue::builtin(), &facts?))
}

/// The checkup in the form that is wanted.
fn told(checkup: &Checkup, args: &Args, session: &Session<'_>) -> Outcome {
    let json = || {
        let body = Body {
            checkup: Some(checkup),
        };
        print::json::render(KIND, body, &[])
    };
    let out = match args.output {
        Form::Json => json(),
        Form::Yaml => print::json::as_yaml(&json()),
        Form::Text => {
            let mut out = print::doctor::render(checkup, session.out);
            out.push_str(&next(&print::doctor::commands(checkup, NEXT, session.out)));
            out
        }
    };
    Outcome {
        out,
        err: String::new(),
        exit: if args
            .fail_on
            .fails(&checkup.worst(), &Status::Warning, &Status::Error)
        {
            Exit::Found
        } else {
            Exit::Done
        },
    }
}
