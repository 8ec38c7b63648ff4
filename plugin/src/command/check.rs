//! `check`: what is wrong with manifests, before anybody applies them.

use super::{Outcome, Session, next, nothing_in};
use crate::exit::Exit;
use crate::flags::{FailOn, ManifestFlags, Output};
use crate::manifests::Manifests;
use crate::policy_file;
use crate::print::{self, text::count};
use crate::problem::Problem;
use crate::report::Report;
use infer_core::Engine;
use infer_core::catalogue::Catalogue;
use infer_core::rule::Level;

/// Kind of the document for programs.
const KIND: &str = "CheckReport";

const EXAMPLES: &str = "\
Examples:
  # Check the manifests of a directory
  kubectl infer check -f k8s/

  # Check what a chart renders, in the namespace that it goes to
  helm template llama ./chart | kubectl infer check -n inference -f -
";

const EXIT_CODES: &str = "\
Exit codes:
  0  no finding at or above --fail-on
  1  bad usage, something that cannot be read, or nothing to check
  2  findings at or above --fail-on
";

/// Say what is wrong with manifests, and why
///
/// Looks at inference workloads and at the Services, Ingresses, HTTPRoutes, VirtualServices and
/// DestinationRules that lead to them. Reads files only, asks no cluster, and changes nothing.
#[derive(Debug, clap::Args)]
#[command(before_help = EXAMPLES, after_long_help = EXIT_CODES)]
pub(crate) struct Args {
    #[command(flatten)]
    manifests: ManifestFlags,
    /// Exit with 2 on findings of this level or above
    #[arg(long, value_enum, value_name = "LEVEL", default_value_t)]
    fail_on: FailOn,
    /// Accept that there is nothing to check
    #[arg(long)]
    allow_empty: bool,
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

/// Runs it.
pub(crate) fn run(args: &Args, session: &mut Session<'_>) -> Outcome {
    let request = args.manifests.request();
    let mut manifests = Manifests::load(&request, session.stdin);
    let policy = match policy_file::read(request.policy.as_deref()) {
        Ok(policy) => policy,
        Err(mut problems) => {
            problems.append(&mut manifests.problems);
            return session.failed(&problems, (args.output == Output::Json).then_some(empty));
        }
    };
    let mut problems = std::mem::take(&mut manifests.problems);
    let engine = Engine::new(Catalogue::builtin(), policy);
    let checked = infer_core::check::check(&engine, &manifests.objects);
    let report = Report::new(&manifests, &engine, checked);
    // Where something could not be read, that is what is wrong.
    if report.subjects == 0 && problems.is_empty() && !args.allow_empty {
        problems.push(if manifests.objects.is_empty() {
            nothing_in(&request).help(
                "a directory gives its *.yaml, *.yml and *.json files, not those of directories \
                 below it; `--allow-empty` accepts that there is nothing",
            )
        } else {
            let objects = count(manifests.objects.len(), "object");
            Problem::new(format!(
                "nothing to check: no inference server that is known, and nothing that leads to \
                 one, in {objects}"
            ))
            .help("a server is known by its image or its command; `--allow-empty` accepts this")
        });
    }
    let worst = report.worst().map(|entry| entry.finding.rule.level);
    let exit = if !problems.is_empty() {
        Exit::Failed
    } else if args
        .fail_on
        .fails(&worst, &Some(Level::Warning), &Some(Level::Error))
    {
        Exit::Found
    } else {
        Exit::Done
    };
    let out = match args.output {
        Output::Json => print::json::render(KIND, print::json::Findings::of(&report), &problems),
        Output::Text => {
            let diff = session.command("diff", &request);
            let fixed = format!("the webhook fills this in; `{diff}` shows it");
            let mut out = print::findings::render(&report, &fixed, session.out);
            out.push_str(&ending(&report, &problems, &diff, session));
            out
        }
    };
    Outcome {
        out,
        err: print::problem::render(&problems, session.err),
        exit,
    }
}

/// The document of a check that could not be made.
pub(crate) fn empty(problems: &[Problem]) -> String {
    print::json::render(KIND, print::json::Findings::default(), problems)
}

/// The sum, what it leaves out, and what to do now.
fn ending(report: &Report<'_>, problems: &[Problem], diff: &str, session: &Session<'_>) -> String {
    let mut out = String::new();
    if report.subjects > 0 {
        out.push_str(&print::findings::summary(report, session.out));
    } else if problems.is_empty() {
        let objects = count(report.objects, "object");
        out.push_str(&format!("nothing of inference in {objects}\n"));
    }
    let unread: Vec<&str> = problems
        .iter()
        .filter_map(|problem| problem.file.as_deref())
        .collect();
    out.push_str(&print::findings::unread(unread, session.out));
    out.push_str(&print::findings::skipped(&report.skipped, session.out));
    let mut commands = Vec::new();
    if let Some(entry) = report.worst() {
        let rule = entry.finding.rule.id;
        commands.push((format!("{} explain {rule}", session.program), String::new()));
    }
    let fixed = report.fixed();
    if fixed > 0 {
        let word = format!("what the webhook fills in ({})", count(fixed, "finding"));
        commands.push((diff.to_owned(), word));
    } else if report.findings.is_empty() && report.subjects > 0 {
        commands.push((
            diff.to_owned(),
            "what the webhook would still fill in".to_owned(),
        ));
    }
    out.push_str(&next(&commands));
    out
}
