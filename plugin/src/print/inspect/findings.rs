//! What is not on the way, what is wrong, and what could not be read.

use super::{Detail, heading, say};
use crate::print::text::{Sign, count, printable, wrap};
use crate::terminal::Look;
use infer_core::rule::Level;
use infer_inspect::{Report, Why, roles};
use std::fmt::Write;

/// Findings that are shown in full at most; `-o wide` shows all.
const MOST: usize = 5;

/// What is declared and not on the way.
pub(super) fn beside(report: &Report, look: Look) -> String {
    if report.not_on_path.is_empty() {
        return String::new();
    }
    let mut out = heading("NOT ON THIS PATH", "", look);
    for it in &report.not_on_path {
        let sign = if it.certain {
            Sign::Bad
        } else {
            Sign::Doubtful
        };
        let _ = writeln!(
            out,
            "{} {} {}",
            sign.show(look),
            it.object.kind,
            printable(&it.object.name)
        );
        say(
            &mut out,
            "  ",
            &format!("{}: {}", it.declares, it.why),
            look,
        );
        if let Some(instead) = &it.instead {
            say(&mut out, "  ", instead, look);
        }
    }
    out
}

/// The findings, worst first, each with the command that explains it.
pub(super) fn findings(report: &Report, program: &str, detail: Detail, look: Look) -> String {
    if report.findings.is_empty() {
        return String::new();
    }
    let levels = [Level::Error, Level::Warning, Level::Note].map(|level| {
        let number = report.count(level);
        (number > 0).then(|| count(number, level.as_str()))
    });
    let counts: Vec<String> = levels.into_iter().flatten().collect();
    let mut out = heading("FINDINGS", &counts.join(", "), look);
    let most = match detail {
        Detail::Plain => MOST,
        Detail::Wide => usize::MAX,
    };
    for found in report.findings.iter().take(most) {
        let sign = match found.level {
            Level::Error => Sign::Bad.show(look),
            Level::Warning => Sign::Doubtful.show(look),
            Level::Note => "-".to_owned(),
        };
        let _ = writeln!(
            out,
            "{sign} {}  {}",
            found.rule,
            printable(&found.object.to_string())
        );
        say(&mut out, "  ", &found.message, look);
        if detail == Detail::Wide {
            for note in &found.notes {
                say(&mut out, "  note  ", note, look);
            }
        }
        for help in found
            .help
            .iter()
            .take(if detail == Detail::Wide { 9 } else { 1 })
        {
            say(&mut out, "  fix   ", help, look);
        }
        say(
            &mut out,
            "  next  ",
            &format!("{program} explain {}", found.rule),
            look,
        );
    }
    if report.findings.len() > most {
        let rest = &report.findings[most..];
        let mut rules: Vec<&str> = Vec::new();
        for found in rest {
            if !rules.contains(&found.rule) {
                rules.push(found.rule);
            }
        }
        let text = format!("{} more (-o wide): {}", rest.len(), rules.join(", "));
        say(&mut out, "", &text, look);
    }
    out
}

/// What could not be read, and the rights that would help.
pub(super) fn gaps(report: &Report, look: Look) -> String {
    if report.gaps.is_empty() {
        return String::new();
    }
    let mut out = heading("NOT READ", "", look);
    // What no CRD brings is one line: there is nothing to be done about it.
    let unserved = report.gaps.iter().filter(|it| it.why == Why::NotServed);
    let unserved: Vec<String> = unserved
        .filter_map(|gap| Some(gap.right.as_ref()?.full()))
        .collect();
    if !unserved.is_empty() {
        let text = format!("not served by this cluster: {}", unserved.join(", "));
        say(&mut out, "- ", &text, look);
    }
    for gap in report.gaps.iter().filter(|it| it.why != Why::NotServed) {
        let mut text = format!("{}: {}", gap.what, gap.why.words());
        if let Some(right) = &gap.right {
            let _ = write!(text, ": {} {}", right.verb, right.full());
            if let Some(namespace) = &right.namespace {
                let _ = write!(text, " in namespace {namespace}");
            }
        }
        if gap.why == Why::Failed {
            let _ = write!(text, ": {}", gap.message);
        }
        say(
            &mut out,
            &format!("{} ", Sign::Doubtful.show(look)),
            &text,
            look,
        );
    }
    for role in roles(&report.gaps) {
        // Each line but the last goes on, so that the whole can be copied.
        let lines = wrap(&printable(&role), look.width.saturating_sub(9));
        let _ = writeln!(out, "  add  {}", lines.join(" \\\n         "));
    }
    out
}
