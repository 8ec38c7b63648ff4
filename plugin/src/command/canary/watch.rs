//! `canary status` and `canary report`: what is stored of a run. Reads only.

use super::{Common, drive, failed, stored};
use crate::canary::now;
use crate::command::{Outcome, Session, next};
use crate::exit::Exit;
use crate::flags::Output;
use crate::print;
use crate::problem::Problem;
use infer_canary::journal::Journal;

const STATUS: &str = "\
Examples:
  # Where a canary stands, from any machine
  kubectl infer canary status deployment/llama -n inference
";

const REPORT: &str = "\
Examples:
  # What happened in the last run
  kubectl infer canary report deployment/llama -n inference
";

/// Say where a canary stands, from any machine
#[derive(Debug, clap::Args)]
#[command(before_help = STATUS)]
pub(crate) struct StatusArgs {
    #[command(flatten)]
    common: Common,
}

/// Say what happened in the last run of a canary
#[derive(Debug, clap::Args)]
#[command(before_help = REPORT)]
pub(crate) struct ReportArgs {
    #[command(flatten)]
    common: Common,
}

/// Runs it.
pub(super) fn status(args: &StatusArgs, session: &mut Session<'_>) -> Outcome {
    let common = &args.common;
    drive::on_a_runtime(read(common, session, true))
        .unwrap_or_else(|problem| failed(problem, Exit::Failed, common, session))
}

/// Runs it.
pub(super) fn report(args: &ReportArgs, session: &mut Session<'_>) -> Outcome {
    let common = &args.common;
    drive::on_a_runtime(read(common, session, false))
        .unwrap_or_else(|problem| failed(problem, Exit::Failed, common, session))
}

async fn read(common: &Common, session: &Session<'_>, is_status: bool) -> Outcome {
    match found(common, session).await {
        Ok((kept, journal)) => {
            let out = match common.output {
                Output::Json => print::canary_json::render(Some(&journal), &[]),
                Output::Text if is_status => status_text(&kept, &journal, common, session),
                Output::Text => print::canary::report(&journal, now(), session.out),
            };
            Outcome {
                out,
                err: String::new(),
                exit: Exit::Done,
            }
        }
        Err(problem) => failed(problem, Exit::Failed, common, session),
    }
}

async fn found(
    common: &Common,
    session: &Session<'_>,
) -> Result<(infer_cluster::StoredJournal, Journal), Problem> {
    let workload = common.deployment(session.program)?;
    let cluster = common.connection.connect().await?;
    let none = || {
        Problem::new(format!(
            "there is no canary of deployment/{workload} in {}",
            cluster.namespace()
        ))
        .help(format!(
            "`{} --image=IMAGE` begins one",
            common.words(session.program, "start")
        ))
    };
    let (kept, journal) = stored(&cluster, &workload).await?.ok_or_else(none)?;
    Ok((kept, journal.ok_or_else(none)?))
}

fn status_text(
    kept: &infer_cluster::StoredJournal,
    journal: &Journal,
    common: &Common,
    session: &Session<'_>,
) -> String {
    let mut text = format!("{}\n", print::canary::standing(journal, now()));
    let holder = kept.holder.as_deref().unwrap_or_default();
    let who = if kept.is_held() {
        format!("driven by {holder}")
    } else if journal.is_over() {
        "over".to_owned()
    } else {
        format!("nobody drives it; the weight stays {}", journal.weight())
    };
    text.push_str(&format!("{who}\n"));
    if let Some(event) = journal.events.last() {
        text.push_str(&print::canary::event(event.at, &event.text, session.out));
    }
    print::canary::after(&mut text, journal);
    let again =
        |command: &str, word: &str| (common.words(session.program, command), word.to_owned());
    let commands = if journal.is_over() {
        vec![again("report", "says what happened")]
    } else if kept.is_held() {
        vec![
            again("abort", "takes the canary back"),
            again("report", "says what happened"),
        ]
    } else {
        vec![
            again("start", "goes on"),
            again("abort", "takes the canary back"),
        ]
    };
    text.push_str(&next(&commands));
    text
}
