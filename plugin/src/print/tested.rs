//! A test of a route as people read it: how to do the same with curl, what came back, who answered.

mod split;

use super::table;
use super::text::{BAD, GOOD, STRONG, Sign, count, printable, wrap};
use super::trace::{self, millis};
use crate::route::Gap;
use crate::terminal::Look;
use crate::tested::{Answer, Report};
use infer_traffic::statistics::{LEAST_SAMPLES, Percentiles};
use std::fmt::Write;

/// Failures that are shown one by one at most; `-o json` has all.
const MOST_FAILURES: usize = 8;

/// Renders the report, without what to run next.
pub(crate) fn render(report: &Report, verbose: bool, look: Look) -> String {
    let mut out = head(report, look);
    let single = report.wanted == 1 && report.split.is_none();
    if single || verbose {
        for answer in &report.answers {
            if !single {
                let title = format!("request {}", answer.sequence);
                let _ = writeln!(out, "\n{}", look.paint(STRONG, &title));
            }
            out.push_str(&trace::heads(answer, &report.request_line, look));
            out.push('\n');
            out.push_str(&trace::timeline(answer, resolves(report), look));
        }
    }
    if !single {
        out.push('\n');
        out.push_str(&summary(report, look));
    }
    if report.interrupted {
        let of = format!("{} of {}", report.answers.len(), count_of(report));
        let text = format!("interrupted: the report is of {of}");
        let _ = writeln!(out, "{} {text}", Sign::Doubtful.show(look));
    }
    out.push_str(&gaps(&report.gaps, look));
    out
}

/// Which run, over which address, and how curl does the same.
pub(crate) fn head(report: &Report, look: Look) -> String {
    let dot = if look.ascii { "," } else { " ·" };
    let tested = &report.tested;
    let mut first = format!("* run {}", report.run);
    if let Some(address) = &tested.address {
        let _ = write!(first, "{dot} via address {address} ({})", tested.from);
    }
    let _ = write!(first, "{dot} Host {}", tested.host);
    let mut out = format!("{}\n", printable(&first));
    let known = [
        ("controller", tested.controller.clone()),
        ("proxies", tested.proxies.map(|number| number.to_string())),
        ("service", tested.service.clone()),
        ("runtime", tested.runtime.clone()),
    ];
    let known: Vec<String> = known
        .into_iter()
        .filter_map(|(what, value)| value.map(|value| format!("{what} {value}")))
        .collect();
    if !known.is_empty() {
        let _ = writeln!(out, "* {}", printable(&known.join(&format!("{dot} "))));
    }
    for note in &report.notes {
        let lines = wrap(&printable(note), look.width - 2);
        let _ = writeln!(out, "* {}", lines.join("\n  "));
    }
    // In one piece, whatever its width: it is there to be copied.
    let _ = writeln!(out, "* {}", report.curl);
    out
}

fn count_of(report: &Report) -> String {
    count(report.wanted as usize, "request")
}

fn resolves(report: &Report) -> bool {
    report.tested.from == crate::tested::RESOLVER
}

/// Counts, percentiles, replicas.
fn summary(report: &Report, look: Look) -> String {
    let failed = report.failed();
    let sent = report.answers.len();
    let sign = if failed == 0 { Sign::Good } else { Sign::Bad };
    let words = format!("{failed} failed");
    let style = if failed == 0 { GOOD } else { BAD };
    let mut out = format!(
        "{} {} in {}, {}",
        sign.show(look),
        count(sent, "request"),
        millis(report.took),
        look.paint(style, &words),
    );
    let known = match &report.split {
        Some(it) => split::attributed(it, sent),
        None => format!("who answered is known of {}/{sent}", report.attributed()),
    };
    let _ = writeln!(out, "; {known}");
    out.push('\n');
    out.push_str(&outcomes(report, look));
    out.push_str(&latencies(report, look));
    out.push_str(&replicas(report, look));
    out.push_str(&failures(report, look));
    out
}

fn outcomes(report: &Report, look: Look) -> String {
    let rows: Vec<[String; 3]> = report
        .outcomes()
        .into_iter()
        .map(|((status, cause), number)| {
            let status = status.map_or("<none>".to_owned(), |status| status.to_string());
            let cause = cause.unwrap_or("<none>").to_owned();
            [status, cause, number.to_string()]
        })
        .collect();
    table::render(["STATUS", "CAUSE", "REQUESTS"], &rows, look) + "\n"
}

fn latencies(report: &Report, look: Look) -> String {
    let whole = report.percentiles(Answer::latency);
    let first = report.percentiles(Answer::first_token);
    let mut rows = vec![times("whole answer", whole)];
    if report.stream {
        rows.push(times("first token", first));
    }
    if let Some(lag) = &report.lag {
        rows.push(times("our own lag", lag.late));
    }
    let header = ["TIME", "N", "P50", "P95", "P99", "MAX"];
    let mut out = table::render(header, &rows, look);
    if whole.n > 0 && whole.n < LEAST_SAMPLES {
        let _ = writeln!(
            out,
            "below {LEAST_SAMPLES} samples no percentile is said; failed requests are not among them"
        );
    }
    if let Some(lag) = &report.lag {
        let _ = writeln!(
            out,
            "from the intended start, {} requests a second; what we were late is in every time",
            lag.rate
        );
        if lag.skipped > 0 {
            let text = format!(
                "{} not sent: too many were open at their time; the rate was not kept",
                count(lag.skipped, "request")
            );
            let _ = writeln!(out, "{} {text}", Sign::Doubtful.show(look));
        }
    }
    out.push('\n');
    out
}

fn times(title: &str, times: Percentiles) -> [String; 6] {
    let show = |time: Option<_>| time.map_or("<unknown>".to_owned(), millis);
    [
        title.to_owned(),
        times.n.to_string(),
        show(times.p50),
        show(times.p95),
        show(times.p99),
        show(times.max),
    ]
}

fn replicas(report: &Report, look: Look) -> String {
    let mut out = match &report.split {
        Some(it) => split::render(it, look),
        None => hits(report, look),
    };
    // A fingerprint names no replica, and is enough for a share.
    let all = report.split.as_ref();
    let all = all.is_some_and(|it| it.attributed == report.answers.len());
    let mut unknown = report.answers.iter();
    let unknown = unknown.find(|it| it.replica.grade.is_none() && !all);
    if let Some(unknown) = unknown {
        let text = format!("unknown: {}", printable(&unknown.replica.reason));
        let _ = writeln!(out, "{}", wrap(&text, look.width).join("\n  "));
    }
    let hidden = report.hidden_retries();
    if hidden > 0 {
        let text = format!(
            "{} answered only at a second replica: the proxy tried again, and the client saw \
             nothing of it",
            count(hidden, "request")
        );
        let sign = Sign::Doubtful.show(look);
        let lines = wrap(&text, look.width - 2).join("\n  ");
        let _ = writeln!(out, "{sign} {lines}");
    }
    out
}

/// Hits by replica.
fn hits(report: &Report, look: Look) -> String {
    let sent = report.answers.len().max(1);
    let rows: Vec<[String; 4]> = report
        .replicas()
        .into_iter()
        .map(|(replica, hits)| {
            let (name, grade) = match replica {
                Some((name, grade)) => (printable(&name).into_owned(), grade.as_str()),
                None => ("<unknown>".to_owned(), "<none>"),
            };
            let share = hits as f64 / sent as f64 * 100.0;
            [
                name,
                hits.to_string(),
                format!("{share:.1}%"),
                grade.to_owned(),
            ]
        })
        .collect();
    table::render(["REPLICA", "HITS", "SHARE", "GRADE"], &rows, look)
}

fn failures(report: &Report, look: Look) -> String {
    let failed: Vec<&Answer> = report.answers.iter().filter(|it| it.failed()).collect();
    if failed.is_empty() {
        return String::new();
    }
    let mut out = "\n".to_owned();
    for answer in failed.iter().take(MOST_FAILURES) {
        let Some(failure) = &answer.exchange.failure else {
            continue;
        };
        let at = answer.latency().map(millis).unwrap_or_default();
        let mut text = format!(
            "request {}, {at}: {}: {}",
            answer.sequence, failure.cause, failure.message
        );
        if !answer.replica.attempts.is_empty() {
            let _ = write!(text, "; {}", trace::attempts(answer, look));
        }
        let lines = wrap(&printable(&text), look.width - 2).join("\n  ");
        let _ = writeln!(out, "{} {lines}", Sign::Bad.show(look));
    }
    if failed.len() > MOST_FAILURES {
        let more = failed.len() - MOST_FAILURES;
        let _ = writeln!(out, "  {more} more, `-o json` lists them");
    }
    out
}

/// What could not be read, and what to do about it.
pub(crate) fn gaps(gaps: &[Gap], look: Look) -> String {
    let mut out = String::new();
    for gap in gaps {
        let text = printable(&format!("not known: {}: {}", gap.what, gap.why)).into_owned();
        let _ = writeln!(out, "{}", wrap(&text, look.width).join("\n  "));
        if let Some(help) = &gap.help {
            for line in help.lines() {
                let _ = writeln!(out, "  = help: {}", printable(line));
            }
        }
    }
    if !out.is_empty() {
        out.insert(0, '\n');
    }
    out
}
