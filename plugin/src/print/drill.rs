//! A drill as people read it: the plan, the timeline while it happens, what clients saw, the
//! verdict and why.

use super::table;
use super::text::{BAD, DOUBTFUL, GOOD, STRONG, Sign, count, printable, wrap};
use crate::terminal::Look;
use infer_drill::account::{Account, ByReplica};
use infer_drill::budget::percent;
use infer_drill::lane::Kind;
use infer_drill::moment::span;
use infer_drill::outage::Outages;
use infer_drill::plan::Plan;
use infer_drill::quantile::{ENOUGH, Quantiles};
use infer_drill::report::{Report, State};
use infer_drill::timeline::{Event, Mood, Side};
use infer_drill::verdict::Outcome;
use std::borrow::Cow;
use std::fmt::Write;

/// Columns of T+.
const TIME: usize = 9;
/// Columns of the cluster's events.
const CLUSTER: usize = 46;
/// Columns of the words that begin a paragraph: `why`, `next`.
const TITLE: usize = 8;

/// The plan, before anything is done.
pub(crate) fn plan(plan: &Plan, look: Look) -> String {
    let context = plan.context.as_deref().unwrap_or("<none>");
    let victim = &plan.victim;
    let pid = victim.pid.map(|pid| format!(" (pid {pid})"));
    let place = victim.node.as_deref().map(|node| format!(" on {node}"));
    let lines = [
        (
            "context",
            format!("{context}, namespace {}, {}", plan.namespace, plan.route),
        ),
        (
            "victim",
            format!(
                "pod/{}{} ({} of {} ready in {}, {})",
                victim.pod,
                place.unwrap_or_default(),
                plan.ready,
                plan.pods,
                plan.workload,
                plan.runtime
            ),
        ),
        (
            "fault",
            format!(
                "{}{}: {}",
                plan.fault,
                pid.unwrap_or_default(),
                plan.fault.does()
            ),
        ),
        ("proof", plan.fault.verified_by().to_owned()),
        (
            "load",
            format!(
                "{}, via address {} as {}",
                plan.load, plan.address, plan.host
            ),
        ),
        ("budget", plan.budgets.to_string()),
    ];
    let gaps = plan.gaps.iter().map(|gap| ("unknown", gap.clone()));
    let mut out = format!("{}\n", look.paint(STRONG, "PLAN"));
    for (title, text) in lines.into_iter().chain(gaps) {
        out.push_str(&paragraph(&format!("  {title}"), TITLE + 2, &text, look));
    }
    out
}

/// The line above the timeline.
pub(crate) fn header(look: Look) -> String {
    let line = format!("{:<TIME$}{:<CLUSTER$}{}", "T+", "CLUSTER", "CLIENTS");
    format!("{}\n", look.paint(STRONG, &line))
}

/// One line of the timeline.
pub(crate) fn event(event: &Event, look: Look) -> String {
    let (sign, columns) = match event.mood {
        Mood::Plain => (String::new(), 0),
        Mood::Good => (
            format!("{} ", Sign::Good.show(look)),
            if look.ascii { 3 } else { 2 },
        ),
        Mood::Doubtful => (format!("{} ", Sign::Doubtful.show(look)), 2),
        Mood::Bad => (format!("{} ", Sign::Bad.show(look)), 2),
    };
    let text = fitting(&event.text, look);
    let text = printable(&text);
    let before = match event.side {
        Side::Cluster => TIME,
        Side::Clients => TIME + CLUSTER,
    };
    let room = look.width.saturating_sub(before + columns).max(20);
    let indent = " ".repeat(before + columns);
    let lines = wrap(&text, room).join(&format!("\n{indent}"));
    let time = format!("{:>8} ", event.at.to_string());
    let gap = " ".repeat(before - TIME);
    format!("{time}{gap}{sign}{lines}\n")
}

/// What clients saw, the verdict and why; the timeline was printed while it happened.
pub(crate) fn report(report: &Report, look: Look) -> String {
    let mut out = String::new();
    if report.fault.state != State::NotSent {
        out.push_str(&seen(report, look));
    }
    out.push_str(&verdict(report, look));
    let mut title = "why";
    for said in &report.why.said {
        out.push_str(&paragraph(title, TITLE, said, look));
        title = "";
    }
    let mut title = "fix";
    for prevention in &report.why.prevents {
        let rule = prevention.rule.as_ref().map(|rule| format!("{rule}: "));
        let fix = prevention.fix.as_ref().map(|fix| format!("; {fix}"));
        let text = format!(
            "{}{}{}",
            rule.unwrap_or_default(),
            prevention.what,
            fix.unwrap_or_default()
        );
        out.push_str(&paragraph(title, TITLE, &text, look));
        title = "";
    }
    let mut title = "done";
    for done in &report.done {
        out.push_str(&paragraph(title, TITLE, done, look));
        title = "";
    }
    out
}

fn seen(report: &Report, look: Look) -> String {
    let precision = span(report.plan.load.precision());
    let rows: Vec<[String; 8]> = report
        .lanes
        .iter()
        .map(|account| row(account, &precision).map(|cell| fitting(&cell, look).into_owned()))
        .collect();
    let titles = [
        "LANE",
        "SENT",
        "OK",
        "IN FLIGHT LOST",
        "FAILED AFTER",
        "OUTAGE",
        "P99",
        "HIDDEN RETRIES",
    ];
    let mut out = format!("\n{}\n", look.paint(STRONG, "WHAT CLIENTS SAW"));
    out.push_str(&table::render(titles, &rows, look));
    let in_flight: Vec<String> = report.lanes.iter().filter_map(in_flight).collect();
    if !in_flight.is_empty() {
        let text = format!("open at the fault: {}", in_flight.join("; "));
        out.push_str(&paragraph("", 0, &text, look));
    }
    out.push('\n');
    out
}

fn row(account: &Account, precision: &str) -> [String; 8] {
    let total = account.total();
    let open = match total.open {
        0 => String::new(),
        open => format!(" ({open} open)"),
    };
    let hidden = match account.hidden {
        None => "unknown".to_owned(),
        Some(hidden) if hidden.unknown > 0 => {
            format!("{} ({} unknown)", hidden.retries, hidden.unknown)
        }
        Some(hidden) => hidden.retries.to_string(),
    };
    let outage = account
        .outage
        .as_ref()
        .map_or_else(|| "-".to_owned(), |outages| outage(outages, precision));
    [
        account.lane.to_string(),
        total.sent.to_string(),
        format!("{}{open}", total.answered),
        account.in_flight.tally.failed.to_string(),
        account.after.failed.to_string(),
        outage,
        p99(account.latency),
        hidden,
    ]
}

fn outage(outages: &Outages, precision: &str) -> String {
    let windows = outages.windows.len();
    if windows == 0 {
        return "none".to_owned();
    }
    let total = span(outages.total.0);
    let split = match windows {
        1 => String::new(),
        windows => format!(" in {windows}"),
    };
    if outages.is_over {
        format!("{total} ±{precision}{split}")
    } else {
        format!("≥ {total}, not over{split}")
    }
}

fn p99(latency: Quantiles) -> String {
    match latency.p99 {
        Some(p99) => p99.to_string(),
        None => format!("- (n={} < {ENOUGH})", latency.count),
    }
}

fn in_flight(account: &Account) -> Option<String> {
    let in_flight = &account.in_flight;
    if in_flight.tally.sent == 0 {
        return None;
    }
    let of = |by: ByReplica| {
        let parts = [
            (by.victim, "on the victim"),
            (by.others, "elsewhere"),
            (by.unknown, "unknown where"),
        ];
        let parts: Vec<String> = parts
            .iter()
            .filter(|(number, _)| *number > 0)
            .map(|(number, place)| format!("{number} {place}"))
            .collect();
        parts.join(", ")
    };
    let noun = match account.lane.kind {
        Kind::Get => "GET",
        Kind::Post => "POST",
        Kind::Stream => "stream",
    };
    let sent = usize::try_from(in_flight.tally.sent).unwrap_or(usize::MAX);
    let mut text = format!("{} ({}", count(sent, noun), of(in_flight.on));
    if in_flight.tally.failed > 0 {
        let _ = write!(text, "; lost: {}", of(in_flight.lost_on));
    }
    text.push(')');
    Some(text)
}

fn verdict(report: &Report, look: Look) -> String {
    let verdict = &report.verdict;
    let (sign, word, style) = match verdict.outcome {
        Outcome::Pass => (Sign::Good, "PASS", GOOD),
        Outcome::Told => (Sign::Good, "DONE", GOOD),
        Outcome::Fail => (Sign::Bad, "FAIL", BAD),
        Outcome::Inconclusive => (Sign::Doubtful, "INCONCLUSIVE", DOUBTFUL),
    };
    let mut parts: Vec<&str> = Vec::new();
    // What is broken comes first.
    for broken in [true, false] {
        let of = verdict.budgets.iter().filter(|it| it.is_broken == broken);
        parts.extend(of.map(|judged| judged.text.as_str()));
    }
    let told = told(report);
    if parts.is_empty() && report.fault.state != State::NotSent {
        parts.push(&told);
    }
    let text = fitting(&parts.join("; "), look).into_owned();
    let head = format!("{} {}", sign.show(look), look.paint(style, word));
    let lines = wrap(&text, look.width - 8).join("\n        ");
    let mut out = format!("{head}  {lines}").trim_end().to_owned();
    out.push('\n');
    for doubt in &verdict.doubts {
        let doubt = fitting(doubt, look);
        let lines = wrap(&printable(&doubt), look.width - 2).join("\n  ");
        let _ = writeln!(out, "{} {lines}", Sign::Doubtful.show(look));
    }
    if report.fault.state != State::NotSent {
        out.push_str(&paragraph("counted", TITLE, &counted(report), look));
    }
    out
}

/// What was seen, where no budget says it.
fn told(report: &Report) -> String {
    let verdict = &report.verdict;
    let errors = verdict
        .error_rate
        .map_or_else(|| "unknown".to_owned(), percent);
    let worst = report
        .lanes
        .iter()
        .filter_map(|account| account.outage.as_ref())
        .max_by_key(|outages| outages.total);
    let precision = span(report.plan.load.precision());
    let outage = worst.map_or_else(|| "unknown".to_owned(), |worst| outage(worst, &precision));
    format!(
        "errors {errors}, outage {outage}, lost streams {}",
        verdict.lost_streams
    )
}

/// How sure the numbers are.
fn counted(report: &Report) -> String {
    let verdict = &report.verdict;
    let lag = report.lag.max.map_or_else(
        || "nothing was sent".to_owned(),
        |most| format!("the generator was at most {most} late"),
    );
    let left_out = match report.skipped {
        0 => String::new(),
        skipped => format!(", {skipped} left out because too many were open"),
    };
    format!(
        "{} GET and POST requests that were open at the fault or started after it; outages are known to ±{}; {lag}{left_out}",
        verdict.counted.sent,
        span(report.plan.load.precision()),
    )
}

/// Text under a title, in lines that fit.
fn paragraph(title: &str, columns: usize, text: &str, look: Look) -> String {
    let text = fitting(text, look);
    let lines = wrap(
        &printable(&text),
        look.width.saturating_sub(columns).max(20),
    );
    let indent = " ".repeat(columns);
    format!("{title:<columns$}{}\n", lines.join(&format!("\n{indent}")))
}

/// The text in the characters that the stream can show.
fn fitting(text: &str, look: Look) -> Cow<'_, str> {
    if !look.ascii || text.is_ascii() {
        return Cow::Borrowed(text);
    }
    let mut plain = text.to_owned();
    for (sign, ascii) in [
        ("≤", "<="),
        ("≥", ">="),
        ("×", "x"),
        ("±", "+-"),
        ("…", "..."),
    ] {
        plain = plain.replace(sign, ascii);
    }
    Cow::Owned(plain)
}

#[cfg(test)]
mod tests {
    use super::*;
    use infer_drill::Moment;
    use infer_drill::budget::Budgets;
    use infer_drill::fault::Fault;
    use infer_drill::lane::{Lane, Load};
    use infer_drill::plan::Victim;
    use infer_drill::report::Run;
    use infer_drill::sample::{Attempt, End, Sample};
    use infer_drill::verdict::FaultState;
    use infer_drill::verify::Verified;
    use infer_drill::why::AtSigterm;
    use std::time::Duration;

    const LOOK: Look = Look {
        colour: false,
        ascii: false,
        width: 100,
    };
    const ASCII: Look = Look {
        ascii: true,
        ..LOOK
    };

    fn a_plan() -> Plan {
        Plan {
            run: "7f3a9c".to_owned(),
            context: Some("lab".to_owned()),
            namespace: "inference".to_owned(),
            route: "ingress/front".to_owned(),
            address: "10.0.0.1:80".to_owned(),
            host: "inference.local".to_owned(),
            workload: "Deployment/llama".to_owned(),
            runtime: "llama.cpp".to_owned(),
            victim: Victim {
                pod: "llama-a".to_owned(),
                uid: "u".to_owned(),
                address: "10.0.0.8:8080".to_owned(),
                container: "server".to_owned(),
                node: Some("node-a".to_owned()),
                pid: Some(7),
            },
            ready: 2,
            pods: 2,
            fault: Fault::Crash,
            load: Load::default(),
            budgets: Budgets {
                max_lost_streams: Some(0),
                ..Budgets::default()
            },
            gaps: vec!["hidden retries: nobody logs".to_owned()],
        }
    }

    /// A request that started so many milliseconds after T0, took 40, and was tried there.
    fn sample(lane: Lane, sequence: u64, start: i64, tries: &[(bool, u16)]) -> Sample {
        let started = Moment(start * 1_000_000);
        let status = tries.last().map(|(_, status)| *status);
        let end = match status {
            Some(200) => End::Answered,
            _ => End::Failed {
                cause: "http".to_owned(),
                message: String::new(),
            },
        };
        let attempt = |(is_victim, status): &(bool, u16)| Attempt {
            address: String::new(),
            pod: None,
            is_victim: *is_victim,
            status: Some(*status),
        };
        Sample {
            lane,
            sequence,
            token: String::new(),
            local_port: None,
            intended: started,
            started,
            ended: started.plus(Duration::from_millis(40)),
            end,
            status,
            bytes: 0,
            content_events: 0,
            last_content: None,
            attempts: Some(tries.iter().map(attempt).collect()),
        }
    }

    fn a_report(fault: FaultState) -> Report {
        let gets = (0..30).map(|index| {
            let tries: &[_] = match index {
                0 => &[(true, 502), (false, 200)],
                _ => &[(false, 200)],
            };
            sample(Lane::GET, index, 100 * index as i64, tries)
        });
        let mut samples: Vec<Sample> = gets.collect();
        samples.push(sample(Lane::POST, 0, -10, &[(true, 502)]));
        let mut cut = sample(Lane::STREAMS, 0, -20, &[(true, 200)]);
        cut.end = End::Failed {
            cause: "closed-in-body".to_owned(),
            message: String::new(),
        };
        cut.content_events = 65;
        samples.push(cut);
        Report::of(Run {
            plan: a_plan(),
            verified: Some((
                Moment(910_000_000),
                Verified {
                    what: "exit 137".to_owned(),
                    exit_code: Some(137),
                    restarts: 1,
                },
            )),
            fault,
            samples,
            cluster: Vec::new(),
            pods: Vec::new(),
            is_log_read: true,
            at_sigterm: AtSigterm::Hang,
            at_sigterm_words: String::new(),
            findings: Vec::new(),
            is_interrupted: false,
            skipped: 0,
            done: vec!["lease/x taken and given back".to_owned()],
        })
    }

    #[test]
    fn what_clients_saw_is_a_table_with_a_verdict_and_why() {
        let text = report(&a_report(FaultState::Verified), LOOK);
        let expected = "
WHAT CLIENTS SAW
LANE      SENT  OK  IN FLIGHT LOST  FAILED AFTER  OUTAGE  P99           HIDDEN RETRIES
GET new   30    30  0               0             none    40ms          1
POST new  1     0   1               0             none    - (n=0 < 20)  0
streams   1     0   1               0             -       - (n=0 < 20)  0
open at the fault: 1 POST (1 on the victim; lost: 1 on the victim); 1 stream (1 on the victim; lost:
1 on the victim)

✖ FAIL  lost streams 1 of 1, at most 0
counted 31 GET and POST requests that were open at the fault or started after it; outages are known
        to ±100ms; the generator was at most 0ms late
why     New requests were safe: the proxy could not use the victim and took another replica, once.
        1 POST in flight on the victim was not repeated: once sent, a proxy repeats only methods
        that are idempotent, and POST is none.
        1 stream in flight was lost after 65 content events in all: no proxy can resume a stream,
        clients must ask again.
fix     nothing in the cluster saves what a killed server was answering; clients that ask again
        a proxy may be told to repeat sent POSTs, and then an answer may be generated twice
done    lease/x taken and given back
";
        assert_eq!(text, expected);
    }

    #[test]
    fn of_a_fault_that_was_not_sent_only_the_reason_is_told() {
        let reason = FaultState::NotSent("the route fails already".to_owned());
        let text = report(&a_report(reason), LOOK);
        assert_eq!(
            text,
            "▲ INCONCLUSIVE\n▲ the fault was not sent: the route fails already\n\
             done    lease/x taken and given back\n"
        );
    }

    #[test]
    fn ascii_stays_ascii() {
        let text = plan(&a_plan(), ASCII) + &report(&a_report(FaultState::Verified), ASCII);
        assert!(text.is_ascii(), "{text}");
        assert!(
            text.contains("2 lanes x 10 req/s") && text.contains("+-100ms"),
            "{text}"
        );
        assert!(
            text.contains("  unknown hidden retries: nobody logs"),
            "{text}"
        );
    }

    #[test]
    fn each_side_of_the_timeline_has_its_column() {
        let at = Moment(910_000_000);
        let of_cluster = Event::cluster(at, "verified", Mood::Good, "verified: exit 137");
        assert_eq!(event(&of_cluster, LOOK), "   0.91s ✔ verified: exit 137\n");
        let of_clients = Event {
            side: Side::Clients,
            ..Event::cluster(at, "lost-in-flight", Mood::Bad, "4 streams in flight cut")
        };
        let line = event(&of_clients, LOOK);
        assert!(line.starts_with("   0.91s ") && line.ends_with("✖ 4 streams in flight cut\n"));
        let column = |text: &str| text.chars().position(|c| c == '✖' || c == 'C');
        let header = header(LOOK);
        let clients = header.find("CLIENTS");
        assert_eq!(column(&line), clients, "{header}{line}");
    }
}
