//! Drives a run from a command to its end, and reports it.

use super::{Common, failed};
use crate::canary::live::{Live, Sink};
use crate::canary::run::{Driver, Ended};
use crate::canary::traffic::{self, Load};
use crate::canary::{SECONDS, now};
use crate::command::{Outcome, Session, next};
use crate::exit::Exit;
use crate::flags::Output;
use crate::holder;
use crate::interrupt::Interrupt;
use crate::print;
use crate::problem::Problem;
use crate::request::RequestFlags;
use crate::route;
use crate::subject::Entry;
use infer_canary::journal::Journal;
use infer_canary::machine::{End, Proof, Reason, State, Wish};
use infer_canary::shift::Via;
use infer_cluster::Cluster;
use infer_core::catalogue::Catalogue;
use infer_traffic::Clock;
use std::time::Duration;

/// What is sent.
pub(super) struct Traffic<'a> {
    pub(super) flags: &'a RequestFlags,
    /// The body, where it came by stdin.
    pub(super) data: Option<Vec<u8>>,
}

/// A run that is to be driven.
pub(super) struct Run<'a> {
    pub(super) common: &'a Common,
    pub(super) cluster: Cluster,
    pub(super) journal: Journal,
    pub(super) is_new: bool,
    pub(super) wish: Option<Wish>,
    pub(super) hold: Option<Duration>,
    pub(super) traffic: Traffic<'a>,
}

/// Runs a command that talks to a cluster.
///
/// # Errors
///
/// Where there is no runtime to be had.
pub(super) fn on_a_runtime(work: impl Future<Output = Outcome>) -> Result<Outcome, Problem> {
    // Two threads: objects are not read in the time of the traffic.
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .map_err(|error| Problem::new(format!("cannot begin: {error}")))?;
    let outcome = runtime.block_on(work);
    // A name that is still being resolved is not waited for.
    runtime.shutdown_background();
    Ok(outcome)
}

/// Takes the run and drives it.
pub(super) async fn drive(mut run: Run<'_>, session: &mut Session<'_>) -> Outcome {
    let interrupt = Interrupt::listen();
    let sink = match run.common.output {
        Output::Text => Sink::Stdout,
        Output::Json => Sink::Stderr,
    };
    let look = if sink == Sink::Stdout {
        session.out
    } else {
        session.err
    };
    let mut live = Live::new(sink, look);
    let driven = match prepare(&mut run, session).await {
        Ok((traffic, lease)) => {
            let catalogue = Catalogue::builtin();
            let driver = Driver {
                cluster: &run.cluster,
                catalogue: &catalogue,
                lease,
                journal: run.journal.clone(),
                traffic,
                interrupt: &interrupt,
                hold: run.hold,
                wish: run.wish,
            };
            driver.drive(&mut live).await
        }
        Err(problem) => return failed(problem, Exit::Failed, run.common, session),
    };
    let (journal, ended) = driven;
    told(&journal, ended, &run, session)
}

/// The route, the traffic, and the Lease.
async fn prepare(
    run: &mut Run<'_>,
    session: &mut Session<'_>,
) -> Result<(traffic::Traffic, infer_cluster::Journal), Problem> {
    let clock = Clock::start();
    let flags = run.traffic.flags;
    let headers = flags.all_headers()?;
    let data = match run.traffic.data.take() {
        Some(data) => Some(data),
        None => flags.body(session.stdin)?,
    };
    let shift = &run.journal.shift;
    let name = shift.entry.name.clone();
    let entry = match shift.via {
        Via::IngressNginx => Entry::Ingress(name),
        Via::HttpRoute => Entry::HttpRoute(name),
        Via::VirtualService => Entry::VirtualService(name),
    };
    let route = route::read_entry(&run.cluster, &entry, flags).await?;
    let load = Load::of(&route, flags, headers, data, run.journal.rate, clock).await?;
    // Each process has a token of its own: a log must not join two.
    let token = crate::run_name::new();
    let holder = holder::of(&token);
    let mut lease = run
        .cluster
        .journal(&shift.namespace, &shift.stable.workload, &holder, SECONDS);
    let stored = lease.acquire(&run.journal.text()).await?;
    // A wish of an earlier run is none of this one, and one that is granted here is heard. Who only
    // goes on (a Job whose pod was lost) hears what a person wished meanwhile.
    if let Some(wish) = &stored.wish
        && (run.is_new || matches!(run.wish, Some(Wish::Abort | Wish::Promote)))
    {
        lease.clear_wish(wish).await?;
    }
    if run.is_new {
        lease.write(&run.journal.text()).await?;
    } else if let Some(text) = &stored.text {
        // What is there by now, not what was read before it was ours.
        run.journal = Journal::parse(text)
            .map_err(|error| Problem::new(format!("the journal is not readable: {error}")))?;
    }
    let traffic = traffic::Traffic::start(
        &run.cluster,
        &route,
        &run.journal.shift,
        &token,
        load,
        clock,
    )
    .await;
    Ok((traffic, lease))
}

/// The report, and the exit code.
fn told(journal: &Journal, ended: Ended, run: &Run<'_>, session: &Session<'_>) -> Outcome {
    let common = run.common;
    let again =
        |command: &str, word: &str| (common.words(session.program, command), word.to_owned());
    let shift = &journal.shift;
    let mut problems = Vec::new();
    let (exit, commands) = match ended {
        Ended::Over => match &journal.state {
            State::Ended {
                end: End::RolledBack { reason, proof },
            } => {
                let exit = match (reason, proof) {
                    (Reason::Abort, Proof::Proven { .. } | Proof::NotNeeded)
                        if run.wish == Some(Wish::Abort) =>
                    {
                        Exit::Done
                    }
                    (Reason::Abort, _) if run.wish == Some(Wish::Abort) => Exit::Inconclusive,
                    _ => Exit::Found,
                };
                let mut commands = vec![again("report", "says it again, from any machine")];
                if shift.creates_workload() {
                    commands.push((
                        format!(
                            "kubectl delete deployment/{} -n {}",
                            shift.canary.workload, shift.namespace
                        ),
                        "once you have looked at it; it has no pods".to_owned(),
                    ));
                }
                (exit, commands)
            }
            _ => (
                Exit::Done,
                vec![again("report", "says it again, from any machine")],
            ),
        },
        Ended::Paused => (
            Exit::Changed,
            vec![
                again("start", "goes on, and writes our weight again"),
                again("abort", "takes the canary back"),
            ],
        ),
        Ended::Held => (
            Exit::Inconclusive,
            vec![
                again("start", "goes on"),
                again("abort", "takes the canary back"),
            ],
        ),
        Ended::Interrupted => (
            Exit::Interrupted,
            vec![
                again(
                    "start",
                    &format!("goes on; the weight stays {} until then", journal.weight()),
                ),
                again("abort", "takes the canary back"),
            ],
        ),
        Ended::Stopped(problem) => {
            problems.push(problem);
            (
                Exit::Failed,
                vec![
                    again(
                        "start",
                        &format!("goes on; the weight stays {} until then", journal.weight()),
                    ),
                    again("abort", "takes the canary back"),
                ],
            )
        }
    };
    let out = match common.output {
        Output::Json => print::canary_json::render(Some(journal), &problems),
        Output::Text => {
            let mut out = print::canary::summary(journal, now(), session.out);
            out.push_str(&next(&commands));
            out
        }
    };
    Outcome {
        out,
        err: print::problem::render(&problems, session.err),
        exit,
    }
}
