//! `test`: what really comes back, from the beginning of the route, and who answered.

mod next;
mod plan;
mod send;

use super::{Outcome, Session};
use crate::answered::{Watch, Watched};
use crate::connection::ConnectionFlags;
use crate::exit::Exit;
use crate::flags::Output;
use crate::interrupt::Interrupt;
use crate::print;
use crate::problem::Problem;
use crate::request::RequestFlags;
use crate::route;
use crate::subject::Subject;
use crate::terminal::Progress;
use crate::tested::{Answer, Lag, Report};
use infer_traffic::Clock;
use plan::{Plan, Prepared};
use send::Sent;

const EXAMPLES: &str = "\
Examples:
  # Send a route the smoke request of its runtime, as curl -v would show it
  kubectl infer test ingress/inference-ingress -n inference

  # Read a stream: first token, gaps, whether something buffers
  kubectl infer test ingress/inference-ingress -n inference --stream

  # Ten requests a second, whatever the answers take, and which replicas they hit
  kubectl infer test ingress/inference-ingress -n inference --requests 200 --rate 10

  # A URL needs no cluster
  kubectl infer test http://127.0.0.1:8080/v1/completions --data request.json
";

const EXIT_CODES: &str = "\
Causes of failure, and the exit code of curl for the same:
  resolve 6, refused 7, connect-timeout 28, tls 35 or 60, closed-before-headers 52,
  reset-before-headers 56, closed-in-body 18, reset-in-body 56, stalled 28, timeout 28, http 22,
  closed-without-terminator 0 (HTTP is complete, but a stream lacks its [DONE])

Exit codes:
  0    every request was answered below 400, and every stream to its end
  1    bad usage, or no request could be made
  2    a request failed, or was answered with 400 or above
  130  interrupted; the report is of what was done until then
";

/// Send real requests to a route, and say what came back and who answered
///
/// Takes the route from its beginning: the address in the Ingress' status, with its host as name.
/// Prints the equal curl line first. Each request has a connection of its own, and none is tried
/// again. Reads the cluster, changes nothing in it.
#[derive(Debug, clap::Args)]
#[command(before_help = EXAMPLES, after_long_help = EXIT_CODES)]
pub(crate) struct Args {
    /// What to test: an Ingress, or a URL
    #[arg(value_name = "ingress/NAME|URL", required = true, num_args = 1..=2)]
    target: Vec<String>,
    /// Ask for a stream, and read the answer as server-sent events
    #[arg(long)]
    stream: bool,
    /// How many requests to send
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=MOST_REQUESTS))]
    requests: u32,
    /// How many to send each second, whatever the answers take; default: one after the other
    #[arg(long, value_name = "R", value_parser = rate)]
    rate: Option<f64>,
    #[command(flatten)]
    request: RequestFlags,
    /// Show heads and body of every request; the default for a single one
    #[arg(short, long, help_heading = "Output")]
    verbose: bool,
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

/// Requests of one run: beyond this the report outgrows memory and patience.
const MOST_REQUESTS: i64 = 100_000;
/// Requests a second: this is no load generator, and beyond it a typing error is likelier than a
/// wish. What one core keeps up with was not measured; the report states the generator's lag.
const MOST_RATE: f64 = 1_000.0;

fn rate(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(rate) if rate > 0.0 && rate <= MOST_RATE => Ok(rate),
        Ok(_) => Err(format!("requests a second, above 0 and up to {MOST_RATE}")),
        Err(_) => Err("a number of requests a second is wanted: `10`, `0.5`".to_owned()),
    }
}

/// Runs it.
pub(crate) fn run(args: &Args, session: &mut Session<'_>) -> Outcome {
    let document = (args.output == Output::Json).then_some(empty as fn(&[Problem]) -> String);
    let prepared = match plan::prepare(args, session) {
        Ok(prepared) => prepared,
        Err(problems) => return session.failed(&problems, document),
    };
    // One thread: what is measured waits for nobody else's turn.
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    let runtime = match runtime {
        Ok(runtime) => runtime,
        Err(error) => {
            let problem = Problem::new(format!("cannot begin: {error}"));
            return session.failed(&[problem], document);
        }
    };
    let tested = runtime.block_on(test(args, prepared));
    // A name that is still being resolved is not waited for.
    runtime.shutdown_background();
    match tested {
        Ok(report) => told(&report, args, session),
        Err(stopped) => Outcome {
            exit: stopped.exit,
            ..session.failed(&stopped.problems, document)
        },
    }
}

/// The document of a test that could not be made.
pub(crate) fn empty(problems: &[Problem]) -> String {
    print::tested_json::empty(problems)
}

/// Why there is no report.
#[derive(Debug)]
struct Stopped {
    problems: Vec<Problem>,
    exit: Exit,
}

impl From<Problem> for Stopped {
    fn from(problem: Problem) -> Stopped {
        Stopped {
            problems: vec![problem],
            exit: Exit::Failed,
        }
    }
}

/// From the flags to the report.
async fn test(args: &Args, prepared: Prepared) -> Result<Report, Stopped> {
    let interrupt = Interrupt::listen();
    let clock = Clock::start();
    let mut progress = Progress::of_stderr();
    let run = plan::run_name();
    let ready = interrupt
        .or(ready(args, prepared, &run, clock, &mut progress))
        .await;
    let Some(ready) = ready else {
        progress.clear();
        return Err(Stopped {
            problems: vec![Problem::new("interrupted before the first request")],
            exit: Exit::Interrupted,
        });
    };
    let (plan, watch) = ready?;
    progress.clear();
    let mut sent = plan.load.send(clock, &interrupt, &mut progress).await;
    let interrupted = interrupt.is_pressed();
    let exchanges = std::mem::take(&mut sent.exchanges);
    let watched = match watch {
        Some(watch) => watch.until_heard(&exchanges, clock, &interrupt).await,
        None => Watched::nobody(
            "a URL leads to no proxy's log, and no response header names who answered; \
             --replica-header NAME if the server sends one",
            clock,
        ),
    };
    let header = args.request.replica_header.as_deref();
    let answers = exchanges
        .into_iter()
        .map(|(sequence, exchange)| Answer {
            replica: watched.replica(sequence, &exchange, header),
            sequence,
            exchange,
        })
        .collect();
    Ok(report(args, plan, answers, &sent, watched, interrupted))
}

/// Everything before the first request.
async fn ready(
    args: &Args,
    prepared: Prepared,
    run: &str,
    clock: Clock,
    progress: &mut Progress,
) -> Result<(Plan, Option<Watch>), Problem> {
    let name = match &prepared.subject {
        Subject::Url(url) => {
            let url = url.clone();
            return Ok((plan::of_url(args, prepared, &url, run)?, None));
        }
        Subject::Ingress(name) => name.clone(),
    };
    progress.show("reading the route");
    let cluster = args.connection.connect().await?;
    let route = route::read(&cluster, &name, &args.request).await?;
    // Before the first request, so that no line is missed.
    let watch = Watch::start(&cluster, &route, run).await;
    let plan = plan::of_route(args, prepared, &route, run, clock).await;
    Ok((plan, Some(watch)))
}

/// Puts the report together.
fn report(
    args: &Args,
    plan: Plan,
    answers: Vec<Answer>,
    sent: &Sent,
    watched: Watched,
    interrupted: bool,
) -> Report {
    let mut tested = plan.tested;
    // A name has an address only once something was sent.
    let peer = answers.iter().find_map(|answer| answer.exchange.peer);
    tested.address = tested.address.or(peer.map(|peer| peer.to_string()));
    tested.proxies = watched.proxies;
    let mut gaps = plan.gaps;
    gaps.extend(watched.gaps);
    Report {
        run: plan.load.run,
        tested,
        request_line: plan.request_line,
        curl: plan.curl,
        stream: args.stream,
        wanted: args.requests,
        answers,
        lag: sent.lag.zip(args.rate).map(|((late, skipped), rate)| Lag {
            rate,
            late,
            skipped,
        }),
        took: sent.took,
        notes: plan.notes,
        gaps,
        interrupted,
    }
}

/// The report in the form that is wanted.
fn told(report: &Report, args: &Args, session: &Session<'_>) -> Outcome {
    let out = match args.output {
        Output::Json => print::tested_json::render(report, &[]),
        Output::Text => {
            let mut out = print::tested::render(report, args.verbose, session.out);
            let commands = next::commands(report, args, session);
            if !commands.is_empty() {
                out.push('\n');
                out.push_str(&super::next(&commands));
            }
            out
        }
    };
    let exit = if report.interrupted {
        Exit::Interrupted
    } else if report.failed() > 0 {
        Exit::Found
    } else {
        Exit::Done
    };
    Outcome {
        out,
        err: String::new(),
        exit,
    }
}
