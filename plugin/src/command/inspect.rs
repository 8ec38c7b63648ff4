//! `inspect`: the route, explained: which objects are on it, what ends a request first, what is
//! declared and never consulted.

mod files;

use super::{Outcome, Session, next};
use crate::connection::ConnectionFlags;
use crate::duration;
use crate::exit::Exit;
use crate::interrupt::Interrupt;
use crate::policy_file;
use crate::print::inspect::{self as printer, Detail};
use crate::print::{json, text::shell};
use crate::problem::Problem;
use crate::terminal::Progress;
use infer_cluster::{What, gather};
use infer_core::Engine;
use infer_core::catalogue::Catalogue;
use infer_inspect::{Asked, Facts, Outcome as Verdict, Report, Subject, SubjectKind};
use serde::Serialize;
use std::time::Duration;

/// Kind of the document for programs.
const KIND: &str = "InspectReport";
/// Without an answer after so long a person is told what is going on.
const PATIENCE: Duration = Duration::from_millis(100);

const EXAMPLES: &str = "\
Examples:
  # What is on the way from a client to the model, and what ends a request first
  kubectl infer inspect ingress/inference-ingress -n inference

  # Which timer cuts a generation that is silent for 90 seconds
  kubectl infer inspect ingress/inference-ingress -n inference --think 90s

  # Which entries lead to a workload, and how long a stream they let through
  kubectl infer inspect deploy/llama -n inference --stream 20m

  # The same for manifests that nobody has applied yet
  kubectl infer inspect ingress/inference-ingress -f k8s/
";

const EXIT_CODES: &str = "\
How a claim is known:
  declared  it is written in a spec
  reported  a controller wrote it into a status
  observed  it is the live state: endpoints, conditions of pods
  assumed   nothing says so; it is likely

Exit codes:
  0  the route was read, as far as it may be
  1  bad usage, no such object, or a cluster that does not answer
  2  --think or --stream was asked, and a timer cuts such a generation
";

/// Say which objects are on a route, what ends a request first, and what is never consulted
///
/// Takes an Ingress, an HTTPRoute or a VirtualService and follows it to the servers; takes a
/// Service, a workload or a pod and looks for the entries that lead there. Reads that route only,
/// whatever else is in the cluster, and changes nothing. What may not be read is named as a gap.
#[derive(Debug, clap::Args)]
#[command(before_help = EXAMPLES, after_long_help = EXIT_CODES)]
pub(crate) struct Args {
    /// What to begin with: ingress, httproute, virtualservice, service, deployment, statefulset,
    /// daemonset or pod
    #[arg(value_name = "TYPE/NAME", required = true, num_args = 1..=2)]
    target: Vec<String>,
    /// Read files instead of a cluster: a file, the files of a directory, or stdin (`-`)
    #[arg(
        short = 'f',
        long = "filename",
        value_name = "FILE|DIR|-",
        value_delimiter = ','
    )]
    filename: Vec<String>,
    /// Which timer cuts a generation that is silent for so long: its first token is late, or it is
    /// not streamed
    #[arg(long, value_name = "DURATION", value_parser = duration::parse)]
    think: Option<Duration>,
    /// Which timer cuts a streamed answer of this length, the gaps in it being small
    #[arg(long, value_name = "DURATION", value_parser = duration::parse)]
    stream: Option<Duration>,
    /// How long the load balancer in front bears silence; nothing in the cluster says so
    #[arg(long, value_name = "DURATION", value_parser = duration::parse)]
    lb_idle_timeout: Option<Duration>,
    /// Judge by this InferencePolicy instead of the built-in baseline
    #[arg(long, value_name = "FILE")]
    policy: Option<String>,
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
    #[command(flatten)]
    connection: ConnectionFlags,
}

/// The form of the result.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
enum Form {
    /// For people, in 80 columns; may change
    #[default]
    Text,
    /// For people, everything, names unshortened
    Wide,
    /// For programs: one document, also on failure
    Json,
    /// The same document as YAML
    Yaml,
    /// The objects on the route
    Name,
}

/// Runs it.
pub(crate) fn run(args: &Args, session: &mut Session<'_>) -> Outcome {
    match inspected(args, session) {
        Ok((report, context)) => told(&report, context.as_deref(), args, session),
        Err(stopped) => Outcome {
            out: empty_as(args.output, &stopped.problems),
            exit: stopped.exit,
            ..session.failed(&stopped.problems, None)
        },
    }
}

/// The document of a route that could not be read.
pub(crate) fn empty(problems: &[Problem]) -> String {
    json::render(KIND, Nothing::default(), problems)
}

fn empty_as(form: Form, problems: &[Problem]) -> String {
    match form {
        Form::Json => empty(problems),
        Form::Yaml => json::as_yaml(&empty(problems)),
        Form::Text | Form::Wide | Form::Name => String::new(),
    }
}

/// The document's members, where there is no report.
#[derive(Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
struct Nothing {
    ways: [(); 0],
    not_on_path: [(); 0],
    findings: [(); 0],
    gaps: [(); 0],
    notes: [(); 0],
}

/// Why there is no report.
#[derive(Debug)]
struct Stopped {
    problems: Vec<Problem>,
    exit: Exit,
}

impl From<Vec<Problem>> for Stopped {
    fn from(problems: Vec<Problem>) -> Stopped {
        Stopped {
            problems,
            exit: Exit::Failed,
        }
    }
}

impl From<Problem> for Stopped {
    fn from(problem: Problem) -> Stopped {
        vec![problem].into()
    }
}

/// The report, with the context of the cluster.
fn inspected(args: &Args, session: &mut Session<'_>) -> Result<(Report, Option<String>), Stopped> {
    let namespace = args.connection.namespace.clone().unwrap_or_default();
    let subject = subject(args, &namespace, session.program)?;
    let policy = policy_file::read(args.policy.as_deref())?;
    let engine = Engine::new(Catalogue::builtin(), policy);
    let seconds = |duration: Option<Duration>| duration.map(|it| it.as_secs_f64().ceil() as u64);
    let asked = Asked {
        think: seconds(args.think),
        stream: seconds(args.stream),
        lb_idle: seconds(args.lb_idle_timeout),
    };
    let (facts, context) = if args.filename.is_empty() {
        from_cluster(args, subject)?
    } else {
        (files::read(args, subject, session)?, None)
    };
    Ok((infer_inspect::inspect(&engine, &facts, asked), context))
}

/// What a person points at.
fn subject(args: &Args, namespace: &str, program: &str) -> Result<Subject, Problem> {
    let given = args.target.join(" ");
    let (kind, name) = match args.target.as_slice() {
        [kind, name] => (kind.as_str(), name.as_str()),
        [word] => match word.split_once('/') {
            Some(parts) => parts,
            None => {
                let word = shell(word);
                return Err(Problem::new(format!("`{word}` is not TYPE/NAME"))
                    .help(format!("`{program} inspect ingress/{word}`")));
            }
        },
        _ => return Err(Problem::new("one TYPE/NAME is wanted")),
    };
    let Some(found) = SubjectKind::parse(kind) else {
        let kinds: Vec<String> = SubjectKind::all()
            .map(|it| it.kind().to_lowercase())
            .collect();
        return Err(
            Problem::new(format!("`{given}`: no route is read from this kind"))
                .help(format!("it is read from {}", kinds.join(", "))),
        );
    };
    if name.is_empty() || name.contains('/') {
        return Err(
            Problem::new(format!("`{given}` names no object")).help(format!(
                "`{program} inspect {}/NAME -n NAMESPACE`",
                shell(kind)
            )),
        );
    }
    Ok(Subject {
        kind: found,
        namespace: namespace.to_owned(),
        name: name.to_owned(),
    })
}

/// What the API server is asked for.
fn what(kind: SubjectKind) -> What {
    match kind {
        SubjectKind::Ingress => What::Ingress,
        SubjectKind::HttpRoute => What::HttpRoute,
        SubjectKind::VirtualService => What::VirtualService,
        SubjectKind::Service => What::Service,
        SubjectKind::Deployment => What::Deployment,
        SubjectKind::StatefulSet => What::StatefulSet,
        SubjectKind::DaemonSet => What::DaemonSet,
        SubjectKind::Pod => What::Pod,
    }
}

/// What the cluster says, with its context.
fn from_cluster(args: &Args, subject: Subject) -> Result<(Facts, Option<String>), Stopped> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| Problem::new(format!("cannot begin: {error}")))?;
    let gathered = runtime.block_on(async {
        let interrupt = Interrupt::listen();
        let mut progress = Progress::of_stderr();
        let read = async {
            let cluster = args.connection.connect().await?;
            let context = cluster.context().map(str::to_owned);
            let gathered = gather::gather(&cluster, what(subject.kind), &subject.name)
                .await
                .map_err(Problem::from)?;
            Ok((files::facts(gathered, subject), context))
        };
        let done = interrupt.or(with_progress(read, &mut progress)).await;
        progress.clear();
        done.unwrap_or_else(|| {
            Err(Stopped {
                problems: vec![Problem::new("interrupted before the route was read")],
                exit: Exit::Interrupted,
            })
        })
    });
    runtime.shutdown_background();
    gathered
}

/// Waits for some work; a person who waits too is told for what.
async fn with_progress<T>(work: impl Future<Output = T>, progress: &mut Progress) -> T {
    let mut work = std::pin::pin!(work);
    tokio::select! {
        biased;
        done = &mut work => return done,
        () = tokio::time::sleep(PATIENCE) => progress.show("reading the route"),
    }
    work.await
}

/// The report in the form that is wanted.
fn told(report: &Report, context: Option<&str>, args: &Args, session: &Session<'_>) -> Outcome {
    let cut = report
        .asked()
        .any(|answer| matches!(answer.outcome, Verdict::Cut { .. }));
    let text = |detail| {
        let from = printer::from(report.source, context);
        let mut out = printer::render(report, &from, session.program, detail, session.out);
        let commands = commands(report, session);
        if !commands.is_empty() {
            out.push('\n');
            out.push_str(&next(&commands));
        }
        out
    };
    let out = match args.output {
        Form::Text => text(Detail::Plain),
        Form::Wide => text(Detail::Wide),
        Form::Json => json::render(KIND, report, &[]),
        Form::Yaml => json::as_yaml(&json::render(KIND, report, &[])),
        Form::Name => {
            let names = report.on_path();
            let each = names.iter().map(|it| format!("{}\n", it.resource_name()));
            each.collect()
        }
    };
    Outcome {
        out,
        err: String::new(),
        exit: if cut { Exit::Found } else { Exit::Done },
    }
}

/// What to run next.
fn commands(report: &Report, session: &Session<'_>) -> Vec<(String, String)> {
    let worst = report.findings.first();
    let explain = |rule: &str| (format!("{} explain {rule}", session.program), String::new());
    worst.map(|worst| explain(worst.rule)).into_iter().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_is_one_document_too() {
        let problems = [Problem::new("no")];
        let value: serde_json::Value = serde_json::from_str(&empty(&problems)).unwrap();
        assert_eq!(value["kind"], KIND);
        assert_eq!(value["errors"][0]["message"], "no");
        assert!(value["ways"].as_array().unwrap().is_empty());
        let yaml = empty_as(Form::Yaml, &problems);
        assert!(yaml.starts_with("apiVersion: "), "{yaml}");
        assert!(empty_as(Form::Text, &problems).is_empty());
    }
}
