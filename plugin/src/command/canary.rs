//! `canary`: shifts traffic to a second version step by step, and takes it back where that is worse.

mod drive;
mod start;
mod watch;
mod wish;

use super::{Outcome, Session};
use crate::cli::TEMPLATE;
use crate::connection::ConnectionFlags;
use crate::exit::Exit;
use crate::flags::Output;
use crate::print;
use crate::problem::Problem;
use infer_canary::journal::Journal;
use infer_cluster::Cluster;

const EXAMPLES: &str = "\
Examples:
  # Give a second image 5, 25, then 50 % of the requests; promote it, or take it back
  kubectl infer canary start deployment/llama -n inference --image=server:b4812

  # Where it stands, from any machine
  kubectl infer canary status deployment/llama -n inference

  # Take it back now
  kubectl infer canary abort deployment/llama -n inference
";

/// Shift traffic to a second version step by step, and take it back where it is worse
///
/// Creates the canary, gives it a share of the route's requests in steps, and compares the two
/// versions by requests of our own: errors, lost streams, time to first token. A step is passed
/// only where the difference is surely within the limit; without traffic it holds. On failure the
/// share goes to 0, which fresh requests then prove from outside.
#[derive(Debug, clap::Args)]
#[command(before_help = EXAMPLES)]
pub(crate) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    #[command(help_template = TEMPLATE)]
    Start(Box<start::Args>),
    #[command(help_template = TEMPLATE)]
    Status(watch::StatusArgs),
    #[command(help_template = TEMPLATE)]
    Promote(Box<wish::PromoteArgs>),
    #[command(help_template = TEMPLATE)]
    Abort(Box<wish::AbortArgs>),
    #[command(help_template = TEMPLATE)]
    Report(watch::ReportArgs),
}

/// Runs it.
pub(crate) fn run(args: &Args, session: &mut Session<'_>) -> Outcome {
    match &args.command {
        Command::Start(args) => start::run(args, session),
        Command::Status(args) => watch::status(args, session),
        Command::Promote(args) => wish::promote(args, session),
        Command::Abort(args) => wish::abort(args, session),
        Command::Report(args) => watch::report(args, session),
    }
}

/// The workload of a canary, and how the answer is wanted.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Common {
    /// The workload of the stable version
    #[arg(value_name = "deployment/NAME", required = true, num_args = 1..=2)]
    workload: Vec<String>,
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
    #[command(flatten)]
    connection: ConnectionFlags,
}

impl Common {
    /// The name of the Deployment.
    ///
    /// # Errors
    ///
    /// Words that name another kind, or nothing.
    fn deployment(&self, program: &str) -> Result<String, Problem> {
        let (kind, name) = match self.workload.as_slice() {
            [word] => word.split_once('/').unwrap_or(("deployment", word)),
            [kind, name] => (kind.as_str(), name.as_str()),
            _ => ("", ""),
        };
        let lower = kind.to_ascii_lowercase();
        let plain = lower.split('.').next().unwrap_or_default();
        if !matches!(plain, "deployment" | "deployments" | "deploy") {
            let given = self.workload.join(" ");
            return Err(
                Problem::new(format!("`{given}`: a canary is of a Deployment")).help(format!(
                    "`{program} canary start deployment/NAME -n NAMESPACE`"
                )),
            );
        }
        if name.is_empty() || name.contains('/') {
            let given = self.workload.join(" ");
            return Err(Problem::new(format!("`{given}` names no Deployment")));
        }
        Ok(name.to_owned())
    }

    fn document(&self) -> Option<fn(&[Problem]) -> String> {
        let is_json = self.output == Output::Json;
        is_json.then_some(print::canary_json::empty as fn(&[Problem]) -> String)
    }

    /// The flags that lead to the same run, for a command that is to be pasted.
    fn words(&self, program: &str, command: &str) -> String {
        let mut words = vec![program.to_owned(), "canary".to_owned(), command.to_owned()];
        words.extend(
            self.workload
                .iter()
                .map(|word| print::text::shell(word).into_owned()),
        );
        words.extend(self.connection.words());
        words.join(" ")
    }
}

/// What is stored of the canary of a workload.
async fn stored(
    cluster: &Cluster,
    workload: &str,
) -> Result<Option<(infer_cluster::StoredJournal, Option<Journal>)>, Problem> {
    let lease = cluster.journal(cluster.namespace(), workload, "", crate::canary::SECONDS);
    let Some(stored) = lease.read().await? else {
        return Ok(None);
    };
    let journal = match &stored.text {
        None => None,
        Some(text) => Some(Journal::parse(text).map_err(|error| {
            Problem::new(format!(
                "the journal of the canary of deployment/{workload} is not readable: {error}"
            ))
            .help(format!(
                "`kubectl get lease infer-canary-{workload} -n {} -o yaml` shows it; deleting it \
                 forgets the run and changes no weight",
                cluster.namespace()
            ))
        })?),
    };
    Ok(Some((stored, journal)))
}

/// The end of a command that has no more to say than this.
fn failed(problem: Problem, exit: Exit, common: &Common, session: &Session<'_>) -> Outcome {
    Outcome {
        exit,
        ..session.failed(&[problem], common.document())
    }
}
