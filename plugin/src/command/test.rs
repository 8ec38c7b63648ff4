//! `test`: what really comes back, from the beginning of the route, and who answered.

mod expect;
mod next;
mod plan;
mod send;

use super::{Outcome, Session};
use crate::answered::{Behind, Replica, Watch, Watched};
use crate::connection::ConnectionFlags;
use crate::exit::Exit;
use crate::flags::Output;
use crate::interrupt::Interrupt;
use crate::print;
use crate::problem::Problem;
use crate::request::RequestFlags;
use crate::route;
use crate::subject::Aim;
use crate::terminal::Progress;
use crate::tested::split::{self, Reply, Silent, Split, Wanted};
use crate::tested::{Answer, Lag, Report};
use expect::Share;
use infer_traffic::Clock;
use infer_verdict::split::{Verdict, silence};
use plan::{Plan, Prepared};
use send::{Done, Sent};

const EXAMPLES: &str = "\
Examples:
  # Send a route the smoke request of its runtime, as curl -v would show it
  kubectl infer test ingress/inference-ingress -n inference

  # Read a stream: first token, gaps, whether something buffers
  kubectl infer test ingress/inference-ingress -n inference --stream

  # Ten requests a second, whatever the answers take, and which replicas they hit
  kubectl infer test ingress/inference-ingress -n inference --requests 200 --rate 10

  # Prove a split: 10 % of the requests, give or take 5 points, go to the canary
  kubectl infer test ingress/inference-ingress -n inference --expect llama-canary=10

  # A URL needs no cluster
  kubectl infer test http://127.0.0.1:8080/v1/completions --data request.json
";

const MORE: &str = "\
A backend of --expect is, in this order, the name of a Service behind the route, of a workload, of a
pod, of an Istio subset, a value of the response header that names who answered (--replica-header),
or the model's fingerprint: system_fingerprint or model of its answers. What the shares leave of 100
is of others. Who answered is read from that header, from the log of ingress-nginx or Envoy (grade
A), or from the answer itself (grade D: versions, no replicas).

A share matches where its 95% interval is within the tolerance, and mismatches where the two are
apart. Replies of which nobody knows who gave them can decide nothing. A run ends early for a
backend that should get requests and gets none.

Causes of failure, and the exit code of curl for the same:
  resolve 6, refused 7, connect-timeout 28, tls 35 or 60, closed-before-headers 52,
  reset-before-headers 56, closed-in-body 18, reset-in-body 56, stalled 28, timeout 28, http 22,
  closed-without-terminator 0 (HTTP is complete, but a stream lacks its [DONE])

Exit codes:
  0    every request was answered below 400, and every stream to its end; every share matches
  1    bad usage, or no request could be made
  2    a request failed, or was answered with 400 or above; or a share does not match
  4    too little is known to judge a share
  130  interrupted; the report is of what was done until then
";

/// Send real requests to a route, and say what came back and who answered
///
/// Takes the route from its beginning: the address in the status of the Ingress, or of the Gateway in
/// front, with the route's host as name.
/// Prints the equal curl line first. Each request has a connection of its own, and none is tried
/// again. Reads the cluster, changes nothing in it.
#[derive(Debug, clap::Args)]
#[command(before_help = EXAMPLES, after_long_help = MORE)]
pub(crate) struct Args {
    /// What to test: an Ingress, an HTTPRoute, a VirtualService, or a URL
    #[arg(value_name = "TYPE/NAME|URL", required = true, num_args = 1..=2)]
    target: Vec<String>,
    /// Ask for a stream, and read the answer as server-sent events
    #[arg(long)]
    stream: bool,
    /// How many requests to send; default: 1, with --expect as many as settle it
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=MOST_REQUESTS))]
    requests: Option<u32>,
    /// How many to send each second, whatever the answers take; default: one after the other
    #[arg(long, value_name = "R", value_parser = rate)]
    rate: Option<f64>,
    /// Share of the requests, in percent, that a backend should get
    #[arg(long, value_name = "NAME=SHARE[,...]", value_delimiter = ',', value_parser = expect::share)]
    expect: Vec<Share>,
    /// How far from its share is still right, in percentage points; default: half of it, at most 10
    #[arg(long, value_name = "POINTS", requires = "expect", value_parser = expect::tolerance)]
    tolerance: Option<f64>,
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
    let run = crate::run_name::new();
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
    let header = args.request.replica_header.as_deref();
    let ends = |done: &[Done]| ends(&plan.wanted, watch.as_ref(), done, clock, header);
    let mut sent = plan
        .load
        .send(clock, &interrupt, &mut progress, &ends)
        .await;
    let interrupted = interrupt.is_pressed();
    let done = std::mem::take(&mut sent.done);
    let watched = match watch {
        Some(watch) => {
            let written = done.iter().filter(|it| it.exchange.stamps.sent.is_some());
            let written: Vec<u64> = written.map(|it| it.sequence).collect();
            watch.until_heard(&written, clock, &interrupt).await
        }
        None => Watched::nobody(
            "a URL leads to no proxy's log, and no response header names who answered; \
             --replica-header NAME if the server sends one",
            clock,
        ),
    };
    let answers = done
        .into_iter()
        .map(|done| Answer {
            replica: watched.replica(done.sequence, &done.exchange, header),
            sequence: done.sequence,
            exchange: done.exchange,
            fingerprint: done.fingerprint,
        })
        .collect();
    Ok(report(args, plan, answers, &sent, watched, interrupted))
}

/// So many times the requests of a silence are looked at for one, so that a look stays short.
const WINDOW: u64 = 4;

/// The backend for which a run may end, by what is known while it goes on.
fn ends(
    wanted: &[Wanted],
    watch: Option<&Watch>,
    done: &[Done],
    clock: Clock,
    header: Option<&str>,
) -> Option<Silent> {
    let silences = wanted
        .iter()
        .filter_map(|it| silence(it.target, wanted.len()));
    let (least, most) = (silences.clone().min()?, silences.max()?);
    if (done.len() as u64) < least {
        return None;
    }
    let mut done: Vec<&Done> = done.iter().collect();
    done.sort_unstable_by_key(|it| it.sequence);
    done.truncate(usize::try_from(most * WINDOW).unwrap_or(usize::MAX));
    let nobody = Watched::nobody("", clock);
    let replica = |done: &Done| match watch {
        Some(watch) => watch.replica(done.sequence, &done.exchange, clock, header),
        None => nobody.replica(done.sequence, &done.exchange, header),
    };
    let replicas: Vec<Replica> = done.iter().map(|it| replica(it)).collect();
    let replies: Vec<Reply<'_>> = done
        .iter()
        .zip(&replicas)
        .map(|(done, replica)| Reply {
            sequence: done.sequence,
            replica,
            fingerprint: &done.fingerprint,
        })
        .collect();
    let behind = watch.map_or_else(Behind::default, Watch::behind);
    split::silent(wanted, &behind, &replies)
}

/// Everything before the first request.
async fn ready(
    args: &Args,
    prepared: Prepared,
    run: &str,
    clock: Clock,
    progress: &mut Progress,
) -> Result<(Plan, Option<Watch>), Problem> {
    let entry = match &prepared.subject {
        Aim::Url(url) => {
            let url = url.clone();
            return Ok((plan::of_url(args, prepared, &url, run)?, None));
        }
        Aim::Entry(entry) => entry.clone(),
    };
    progress.show("reading the route");
    let cluster = args.connection.connect().await?;
    let route = route::read_entry(&cluster, &entry, &args.request).await?;
    // Before the first request, so that no line is missed.
    let names: Vec<&str> = prepared.wanted.iter().map(|it| it.name.as_str()).collect();
    let watch = Watch::start(&cluster, &route, run, &names).await;
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
    let split = (!plan.wanted.is_empty()).then(|| {
        let replies: Vec<Reply<'_>> = answers.iter().map(Answer::reply).collect();
        Split::of(
            &plan.wanted,
            &watched.behind(),
            &replies,
            sent.ended.clone(),
        )
    });
    let mut gaps = plan.gaps;
    gaps.extend(watched.gaps);
    Report {
        run: plan.load.run,
        tested,
        request_line: plan.request_line,
        curl: plan.curl,
        stream: args.stream,
        wanted: plan.load.count,
        answers,
        lag: sent.lag.zip(args.rate).map(|((late, skipped), rate)| Lag {
            rate,
            late,
            skipped,
        }),
        took: sent.took,
        split,
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
        match report.split.as_ref().map(Split::verdict) {
            Some(Verdict::Mismatch) => Exit::Found,
            Some(Verdict::Inconclusive) => Exit::Inconclusive,
            Some(Verdict::Match) | None => Exit::Done,
        }
    };
    Outcome {
        out,
        err: String::new(),
        exit,
    }
}
