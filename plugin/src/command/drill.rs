//! `drill`: takes one replica away under traffic, and says what clients saw.

mod next;
mod prepare;

use super::{Outcome, Session};
use crate::connection::ConnectionFlags;
use crate::drill::lease::Held;
use crate::drill::live::{Live, Sink};
use crate::drill::record;
use crate::drill::run::Drill;
use crate::duration;
use crate::exit::Exit;
use crate::flags::Output;
use crate::interrupt::Interrupt;
use crate::print;
use crate::problem::Problem;
use crate::request::RequestFlags;
use infer_drill::budget::{Budgets, parse_share};
use infer_drill::fault::Fault;
use infer_drill::lane::Load;
use infer_drill::plan::Plan;
use infer_drill::report::{Report, Run};
use infer_drill::verdict::{BROKEN, DONE};
use infer_traffic::Clock;
use prepare::{Prepared, Ready};
use std::io::{IsTerminal, Write};
use std::time::Duration;

const EXAMPLES: &str = "\
Examples:
  # Show what would be done, and do nothing
  kubectl infer drill ingress/inference-ingress -n inference --fault crash --dry-run

  # Kill the server of one replica, and say what clients saw
  kubectl infer drill ingress/inference-ingress -n inference --fault crash

  # Delete one pod as a rollout does, and fail where a stream is lost
  kubectl infer drill ingress/inference-ingress -n inference --fault delete --max-lost-streams 0 --yes
";

const EXIT_CODES: &str = "\
How it is counted:
  T0 is when the fault was sent. Requests that are open then count as in flight, requests that
  start later as after, also where the proxy still sends them to the victim. An outage runs from
  the first failure after T0 to the first of 5 successes in a row, within 1/rate.

Exit codes:
  0    the fault happened, and no budget is broken
  1    bad usage, or refused: fewer than two ready replicas, a PodDisruptionBudget that would
       break, another drill of the workload, a server that cannot be killed from inside
  2    a budget is broken
  4    inconclusive: the fault was not seen to happen, nothing was sent, or an outage was not over
  130  interrupted; the report is of what was done until then
";

/// Take one replica away under traffic, and say what clients saw, and why
///
/// Sends GETs, POSTs and streams through the route at a low, fixed rate, then deletes one pod or
/// kills its server, verifies that this happened, and follows cluster and clients on one clock.
/// Shows the plan and asks first. Changes nothing else: it scales nothing and edits nothing, and
/// its Lease, which keeps two drills of a workload apart, is given back.
#[derive(Debug, clap::Args)]
#[command(
    before_help = EXAMPLES,
    after_long_help = EXIT_CODES,
    mut_arg("method", |arg| arg.hide(true)),
    mut_arg("replica_header", |arg| arg.hide(true)),
)]
pub(crate) struct Args {
    /// The route to drill
    #[arg(value_name = "ingress/NAME", required = true, num_args = 1..=2)]
    target: Vec<String>,
    /// What to do to one replica: delete, force-delete, crash
    #[arg(long, value_name = "FAULT", value_parser = fault)]
    fault: Fault,
    /// The pod to hit; default: the last of the ready ones by name
    #[arg(long, value_name = "NAME")]
    pod: Option<String>,
    /// Time of traffic before the fault
    #[arg(long, value_name = "DURATION", default_value = "10s", value_parser = duration::parse)]
    baseline: Duration,
    /// Time of traffic after it
    #[arg(long, value_name = "DURATION", default_value = "60s", value_parser = duration::parse)]
    duration: Duration,
    /// Requests a second in each of the GET and POST lanes
    #[arg(long, value_name = "R", default_value_t = 10.0, value_parser = number)]
    rate: f64,
    /// Streams to keep open
    #[arg(long, value_name = "N", default_value_t = 8)]
    streams: u32,
    /// Tokens that each stream asks for: it must outlast the fault
    #[arg(long, value_name = "N", default_value_t = 400)]
    stream_tokens: u32,
    /// Tokens that each POST asks for; default: those of the smoke request
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    post_tokens: Option<u32>,
    /// Path of the GETs; default: the health path, else the list of models, where it is routed
    #[arg(long, value_name = "PATH")]
    get_path: Option<String>,
    /// Fail where a lane is out for longer
    #[arg(long, value_name = "DURATION", value_parser = zero_or_duration, help_heading = "Budgets")]
    max_outage: Option<Duration>,
    /// Fail where a greater share of GETs and POSTs fails: `1%` or `0.01`
    #[arg(long, value_name = "SHARE", value_parser = parse_share, help_heading = "Budgets")]
    max_error_rate: Option<f64>,
    /// Fail where more streams are lost
    #[arg(long, value_name = "N", help_heading = "Budgets")]
    max_lost_streams: Option<u64>,
    /// Show the plan, and do nothing
    #[arg(long)]
    dry_run: bool,
    /// Do not ask
    #[arg(short, long)]
    yes: bool,
    /// Write every event and request to this file, one JSON object on a line
    #[arg(long, value_name = "FILE", help_heading = "Output")]
    record: Option<String>,
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
    request: RequestFlags,
    #[command(flatten)]
    connection: ConnectionFlags,
}

fn fault(word: &str) -> Result<Fault, String> {
    // clap names the word that is wrong.
    word.parse()
        .map_err(|_| "one of delete, force-delete, crash".to_owned())
}

fn number(text: &str) -> Result<f64, String> {
    text.parse()
        .map_err(|_| "a number of requests a second is wanted: `10`, `0.5`".to_owned())
}

/// A budget may be none at all.
fn zero_or_duration(text: &str) -> Result<Duration, String> {
    match text {
        "0" | "0s" => Ok(Duration::ZERO),
        text => duration::parse(text),
    }
}

impl Args {
    fn load(&self) -> Load {
        Load {
            rate: self.rate,
            streams: self.streams,
            stream_tokens: self.stream_tokens,
            baseline: self.baseline,
            duration: self.duration,
        }
    }

    fn budgets(&self) -> Budgets {
        Budgets {
            max_outage: self.max_outage,
            max_error_rate: self.max_error_rate,
            max_lost_streams: self.max_lost_streams,
        }
    }
}

/// How a drill ended.
enum Ended {
    /// It was not run.
    Stopped(Vec<Problem>, Exit),
    /// It was only planned.
    Planned(Box<Plan>),
    /// It was run.
    Ran(Box<Run>, Vec<Problem>),
}

impl From<Problem> for Ended {
    fn from(problem: Problem) -> Ended {
        Ended::Stopped(vec![problem], Exit::Failed)
    }
}

/// Runs it.
pub(crate) fn run(args: &Args, session: &mut Session<'_>) -> Outcome {
    let is_json = args.output == Output::Json;
    let document = is_json.then_some(empty as fn(&[Problem]) -> String);
    let prepared = match prepare::prepare(args, session) {
        Ok(prepared) => prepared,
        Err(problems) => return session.failed(&problems, document),
    };
    // Two threads: the log is not read in the time of the traffic.
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build();
    let runtime = match runtime {
        Ok(runtime) => runtime,
        Err(error) => {
            let problem = Problem::new(format!("cannot begin: {error}"));
            return session.failed(&[problem], document);
        }
    };
    let (sink, look) = match (is_json, std::io::stderr().is_terminal()) {
        (false, _) => (Sink::Stdout, session.out),
        (true, true) => (Sink::Stderr, session.err),
        (true, false) => (Sink::None, session.err),
    };
    let mut live = Live::new(sink, look);
    let ended = runtime.block_on(drill(args, prepared, session, &mut live));
    // A name that is still being resolved is not waited for.
    runtime.shutdown_background();
    match ended {
        Ended::Stopped(problems, exit) => Outcome {
            exit,
            ..session.failed(&problems, document)
        },
        Ended::Planned(plan) => Outcome {
            out: if is_json {
                print::drill_json::planned(&plan)
            } else {
                planned(&plan, args, session)
            },
            err: String::new(),
            exit: Exit::Done,
        },
        Ended::Ran(run, problems) => told(*run, &problems, args, session),
    }
}

/// The document of a drill that was not run.
pub(crate) fn empty(problems: &[Problem]) -> String {
    print::drill_json::empty(problems)
}

/// From the flags to the end of the traffic.
async fn drill(
    args: &Args,
    prepared: Prepared,
    session: &mut Session<'_>,
    live: &mut Live,
) -> Ended {
    let interrupt = Interrupt::listen();
    let clock = Clock::start();
    let ready = interrupt
        .or(prepare::ready(args, &prepared, session.program, clock))
        .await;
    let ready = match ready {
        Some(Ok(ready)) => ready,
        Some(Err(problem)) => return problem.into(),
        None => return nothing_done(),
    };
    if args.dry_run {
        return Ended::Planned(Box::new(ready.plan));
    }
    live.print(&print::drill::plan(&ready.plan, live.look()));
    if !args.yes
        && let Err(problem) = confirm(args, session, &ready.plan, &interrupt)
    {
        return problem.into();
    }
    if interrupt.is_pressed() {
        return nothing_done();
    }
    let lease = ready.lease();
    let lease = match Held::acquire(lease).await {
        Ok(lease) => lease,
        Err(error) => return prepare::not_ours(error, &ready).into(),
    };
    let impatient = tokio::spawn(exit_at_once(interrupt.clone()));
    let mut run = Drill {
        cluster: &ready.cluster,
        clock,
        ground: &ready.ground,
        plan: &ready.plan,
        templates: ready.templates.clone(),
        lease: &lease,
        interrupt: &interrupt,
    }
    .run(live)
    .await;
    let name = ready.lease_name();
    run.done.push(match lease.release().await {
        Ok(()) => format!("lease/{name} taken and given back"),
        Err(reason) => {
            format!("lease/{name} taken and not given back ({reason}): it expires by itself")
        }
    });
    impatient.abort();
    let problems = match &args.record {
        Some(file) => record::write(file, &run).err().into_iter().collect(),
        None => Vec::new(),
    };
    Ended::Ran(Box::new(run), problems)
}

fn nothing_done() -> Ended {
    let problem = Problem::new("interrupted: nothing was done to the cluster");
    Ended::Stopped(vec![problem], Exit::Interrupted)
}

/// After the first Ctrl-C everything is put in order; a second one does not wait for that.
async fn exit_at_once(interrupt: Interrupt) {
    interrupt.pressed().await;
    let text = "interrupted: traffic ends, the Lease is given back; Ctrl-C again exits at once and \
                leaves the Lease to expire";
    let _ = writeln!(std::io::stderr(), "{text}");
    if tokio::signal::ctrl_c().await.is_ok() {
        std::process::exit(Exit::Interrupted as i32);
    }
}

/// Asks the person.
fn confirm(
    args: &Args,
    session: &mut Session<'_>,
    plan: &Plan,
    interrupt: &Interrupt,
) -> Result<(), Problem> {
    use infer_drill::refusal::Refusal;
    if !std::io::stdin().is_terminal() {
        return Err(crate::drill::refused(&Refusal::NobodyToAsk));
    }
    let mut err = std::io::stderr();
    if args.output == Output::Json && !err.is_terminal() {
        let _ = err.write_all(print::drill::plan(plan, session.err).as_bytes());
    }
    let _ = write!(err, "Proceed? [y/N] ");
    let _ = err.flush();
    // Nothing is held yet, and a read from a terminal cannot be given up.
    let interrupt = interrupt.clone();
    let is_json = args.output == Output::Json;
    let leaving = tokio::spawn(async move {
        interrupt.pressed().await;
        let problem = Problem::new("interrupted: nothing was done to the cluster");
        let _ = writeln!(std::io::stderr(), "\n{}", problem.message);
        if is_json {
            let _ = std::io::stdout().write_all(empty(&[problem]).as_bytes());
        }
        std::process::exit(Exit::Interrupted as i32);
    });
    let answer = crate::confirm::line(session);
    leaving.abort();
    match answer.trim().to_ascii_lowercase().as_str() {
        "y" | "yes" => Ok(()),
        _ => Err(crate::drill::refused(&Refusal::Declined)),
    }
}

fn planned(plan: &Plan, args: &Args, session: &Session<'_>) -> String {
    let mut out = print::drill::plan(plan, session.out);
    out.push_str("dry run: nothing was done\n");
    let real = next::again(args, session.program, plan.fault, false);
    out.push_str(&super::next(&[(real, "asks before it begins".to_owned())]));
    out
}

/// The report in the form that is wanted.
fn told(run: Run, problems: &[Problem], args: &Args, session: &Session<'_>) -> Outcome {
    let report = Report::of(run);
    let exit = match report.verdict.exit() {
        _ if report.interrupted => Exit::Interrupted,
        DONE if problems.is_empty() => Exit::Done,
        DONE => Exit::Failed,
        BROKEN => Exit::Found,
        _ => Exit::Inconclusive,
    };
    let out = match args.output {
        Output::Json => print::drill_json::render(&report, problems),
        Output::Text => {
            let mut out = print::drill::report(&report, session.out);
            let commands = next::commands(&report, args, session.program);
            out.push_str(&super::next(&commands));
            out
        }
    };
    Outcome {
        out,
        err: print::problem::render(problems, session.err),
        exit,
    }
}

impl Ready {
    fn lease(&self) -> infer_cluster::Lease {
        let namespace = &self.plan.namespace;
        self.cluster.lease(
            namespace,
            &self.lease_name(),
            &crate::holder::of(&self.plan.run),
            crate::drill::lease::SECONDS,
        )
    }
}
