//! `canary promote` and `canary abort`: tells whoever drives a run, or drives it where nobody does.

use super::drive::{self, Traffic};
use super::{Common, failed, stored};
use crate::canary::now;
use crate::command::{Outcome, Session};
use crate::confirm;
use crate::exit::Exit;
use crate::flags::Output;
use crate::print;
use crate::problem::Problem;
use crate::request::RequestFlags;
use infer_canary::journal::Journal;
use infer_canary::machine::{End, State, Wish};
use infer_cluster::Cluster;
use std::time::Duration;

const PROMOTE: &str = "\
Examples:
  # Give everybody the new version now, whatever the gate says
  kubectl infer canary promote deployment/llama -n inference
";

const ABORT: &str = "\
Examples:
  # Take the canary back now
  kubectl infer canary abort deployment/llama -n inference
";

/// How long another machine may take to hear a wish.
const HEARD: Duration = Duration::from_secs(30);
/// How long it may then take to fulfil it.
const FULFILLED: Duration = Duration::from_secs(900);
/// How often it is looked.
const LOOK: Duration = Duration::from_secs(1);

/// Promote a canary now, whatever the gate says
#[derive(Debug, clap::Args)]
#[command(before_help = PROMOTE)]
pub(crate) struct PromoteArgs {
    /// Do not ask
    #[arg(short, long)]
    yes: bool,
    #[command(flatten)]
    request: RequestFlags,
    #[command(flatten)]
    common: Common,
}

/// Take a canary back now
#[derive(Debug, clap::Args)]
#[command(before_help = ABORT)]
pub(crate) struct AbortArgs {
    #[command(flatten)]
    request: RequestFlags,
    #[command(flatten)]
    common: Common,
}

/// Runs it.
pub(super) fn promote(args: &PromoteArgs, session: &mut Session<'_>) -> Outcome {
    let common = &args.common;
    if !args.yes {
        let text = format!(
            "promote {}: everybody gets the new version\n",
            common.workload.join("/")
        );
        if let Err(problem) = confirm::ask(session, &text, "nothing was done") {
            return failed(problem, Exit::Failed, common, session);
        }
    }
    drive::on_a_runtime(wish(common, &args.request, Wish::Promote, session))
        .unwrap_or_else(|problem| failed(problem, Exit::Failed, common, session))
}

/// Runs it.
pub(super) fn abort(args: &AbortArgs, session: &mut Session<'_>) -> Outcome {
    let common = &args.common;
    drive::on_a_runtime(wish(common, &args.request, Wish::Abort, session))
        .unwrap_or_else(|problem| failed(problem, Exit::Failed, common, session))
}

fn word(wish: Wish) -> &'static str {
    match wish {
        Wish::Abort => "abort",
        Wish::Promote => "promote",
        Wish::Resume => "resume",
    }
}

async fn wish(
    common: &Common,
    request: &RequestFlags,
    wish: Wish,
    session: &mut Session<'_>,
) -> Outcome {
    match told(common, wish, session).await {
        Ok(Told::Fulfilled(journal)) => said(&journal, wish, common, session),
        Ok(Told::Nobody(cluster, journal)) => {
            let run = drive::Run {
                common,
                cluster,
                journal: *journal,
                is_new: false,
                wish: Some(wish),
                hold: None,
                traffic: Traffic {
                    flags: request,
                    data: None,
                },
            };
            drive::drive(run, session).await
        }
        Err(problem) => failed(problem, Exit::Failed, common, session),
    }
}

enum Told {
    /// Whoever drives it has done it, or said why not.
    Fulfilled(Box<Journal>),
    /// Nobody drives it.
    Nobody(Cluster, Box<Journal>),
}

async fn told(common: &Common, wish: Wish, session: &Session<'_>) -> Result<Told, Problem> {
    let workload = common.deployment(session.program)?;
    let cluster = common.connection.connect().await?;
    let none = || {
        Problem::new(format!(
            "there is no canary of deployment/{workload} in {}",
            cluster.namespace()
        ))
    };
    let (kept, journal) = stored(&cluster, &workload).await?.ok_or_else(none)?;
    let journal = journal.ok_or_else(none)?;
    if journal.is_over() {
        return Err(Problem::new(format!(
            "the canary of deployment/{workload} is over: {}",
            print::canary::standing(&journal, now())
        )));
    }
    if !kept.is_held() {
        return Ok(Told::Nobody(cluster, Box::new(journal)));
    }
    let lease = cluster.journal(cluster.namespace(), &workload, "", crate::canary::SECONDS);
    lease.wish(word(wish)).await?;
    let begun = std::time::Instant::now();
    let mut is_heard = false;
    loop {
        tokio::time::sleep(LOOK).await;
        let Some((kept, Some(journal))) = stored(&cluster, &workload).await? else {
            return Err(none());
        };
        is_heard |= kept.wish.is_none();
        let is_done = match wish {
            Wish::Abort => journal.is_over(),
            _ => is_heard,
        };
        if is_done {
            return Ok(Told::Fulfilled(Box::new(journal)));
        }
        if !kept.is_held() {
            return Ok(Told::Nobody(cluster, Box::new(journal)));
        }
        let waited = begun.elapsed();
        if (!is_heard && waited > HEARD) || waited > FULFILLED {
            let holder = kept.holder.unwrap_or_default();
            return Err(Problem::new(format!(
                "{holder} drives the canary and did not do it within {} s",
                waited.as_secs()
            ))
            .help(format!(
                "`{}` shows where it stands; when the holder is gone, its Lease expires within {} s \
                 and the same command does it from here",
                common.words(session.program, "status"),
                crate::canary::SECONDS
            )));
        }
    }
}

fn said(journal: &Journal, wish: Wish, common: &Common, session: &Session<'_>) -> Outcome {
    let is_promoted = matches!(journal.state, State::Ended { end: End::Promoted });
    let exit = if wish == Wish::Abort && is_promoted {
        Exit::Found
    } else {
        Exit::Done
    };
    Outcome {
        out: match common.output {
            Output::Json => print::canary_json::render(Some(journal), &[]),
            Output::Text => print::canary::summary(journal, now(), session.out),
        },
        err: String::new(),
        exit,
    }
}
