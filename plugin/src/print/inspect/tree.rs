//! The hops as a tree in columns.

use super::{Detail, fit, mark};
use crate::print::text::{STRONG, printable, wrap};
use crate::terminal::Look;
use infer_inspect::{Hop, How, Mark, Report, SubjectKind};
use std::fmt::Write;

/// Pods of one workload that are shown; those that need a look come first.
const PODS: usize = 6;
/// Columns of KIND at most: `DestinationRule`.
const KIND: usize = 15;
/// Columns of EVIDENCE: `answered`.
const HOW: usize = 8;
/// Columns of HOP are at least so many.
const NAME: usize = 24;

/// One line to be.
struct Line<'a> {
    /// The tree's own characters.
    before: String,
    /// The same for what the line runs on to.
    beneath: String,
    hop: &'a Hop,
}

/// Renders hops.
pub(super) fn render(report: &Report, hops: &[Hop], detail: Detail, look: Look) -> String {
    let mut lines = Vec::new();
    let mut more = Vec::new();
    for hop in hops {
        collect(hop, "", "", detail, look, &mut lines, &mut more);
    }
    let width_of = |line: &Line<'_>| line.before.chars().count() + line.hop.name.chars().count();
    let widest = lines.iter().map(width_of).max().unwrap_or(NAME);
    let kinds = lines.iter().map(|line| line.hop.kind.chars().count());
    let kind = kinds.max().unwrap_or(KIND).min(KIND);
    // Gaps of one column between four columns, and the mark's own column.
    let mark_width = if look.ascii { 3 } else { 2 };
    let state_least = 20;
    let rest = kind + HOW + 3 + mark_width;
    let name = match detail {
        Detail::Plain => widest.clamp(
            NAME,
            look.width.saturating_sub(rest + state_least).max(NAME),
        ),
        Detail::Wide => widest.max(NAME),
    };
    let state = match detail {
        Detail::Plain => look.width.saturating_sub(rest + name).max(state_least),
        Detail::Wide => lines
            .iter()
            .map(|line| line.hop.state.chars().count())
            .max()
            .unwrap_or_default()
            .max(state_least),
    };
    let title = format!(
        "{:<name$} {:<kind$} {:<width$} {}",
        "HOP",
        "KIND",
        "STATE",
        "EVIDENCE",
        width = state + mark_width
    );
    let mut out = look.paint(STRONG, title.trim_end());
    out.push('\n');
    for line in &lines {
        let this = is_subject(report, line.hop);
        row(&mut out, line, this, (name, kind, state), look);
    }
    for text in more {
        let _ = writeln!(out, "{text}");
    }
    out
}

/// Whether a person pointed at this hop, and it is not where the tree begins anyway.
fn is_subject(report: &Report, hop: &Hop) -> bool {
    !report.subject.kind.is_entry()
        && report.subject.kind != SubjectKind::Service
        && hop.object.as_ref().is_some_and(|object| {
            object.kind == report.subject.kind.kind() && object.name == report.subject.name
        })
}

fn row(
    out: &mut String,
    line: &Line<'_>,
    this: bool,
    (name, kind_room, state): (usize, usize, usize),
    look: Look,
) {
    let hop = line.hop;
    let room = name.saturating_sub(line.before.chars().count());
    let shown = format!("{}{}", line.before, fit(&hop.name, room, look));
    let kind = fit(&hop.kind, kind_room, look);
    let mut text = printable(&hop.state).into_owned();
    if this {
        let comma = if text.is_empty() { "" } else { ", " };
        let _ = write!(text, "{comma}this one");
    }
    let says_nothing = text.is_empty() && hop.mark == Mark::Plain && hop.how == How::Declared;
    let states = wrap(&text, state);
    for (index, part) in states.iter().enumerate() {
        let (left, kind, sign, how) = if index == 0 {
            let how = match hop.hop {
                infer_inspect::HopKind::Address if says_nothing => "",
                _ => hop.how.word(),
            };
            (shown.as_str(), kind.as_str(), mark(hop.mark, look), how)
        } else {
            let blank = if look.ascii { "  " } else { " " };
            (line.beneath.as_str(), "", blank.to_owned(), "")
        };
        let text = format!("{left:<name$} {kind:<kind_room$} {sign} {part:<state$} {how}");
        let _ = writeln!(out, "{}", text.trim_end());
    }
}

fn collect<'a>(
    hop: &'a Hop,
    before: &str,
    beneath: &str,
    detail: Detail,
    look: Look,
    lines: &mut Vec<Line<'a>>,
    more: &mut Vec<String>,
) {
    let (branch, last_branch, bar) = if look.ascii {
        ("|-", "`-", "| ")
    } else {
        ("├ ", "└ ", "│ ")
    };
    let pods = hop.next.iter().filter(|it| it.kind == "Pod").count();
    let hidden = match detail {
        // One more line would say no less than the pod itself.
        Detail::Plain if pods > PODS + 1 => pods - PODS,
        _ => 0,
    };
    let shown: Vec<&Hop> = hop.next[..hop.next.len() - hidden].iter().collect();
    let own_beneath = if shown.is_empty() {
        beneath.to_owned()
    } else {
        format!("{beneath}{bar}")
    };
    lines.push(Line {
        before: before.to_owned(),
        beneath: own_beneath.trim_end().to_owned(),
        hop,
    });
    for (index, next) in shown.iter().enumerate() {
        let last = index + 1 == shown.len();
        let before = format!("{beneath}{}", if last { last_branch } else { branch });
        let beneath = format!("{beneath}{}", if last { "  " } else { bar });
        collect(next, &before, &beneath, detail, look, lines, more);
    }
    if hidden > 0 {
        let rest = &hop.next[hop.next.len() - hidden..];
        let good = rest.iter().all(|it| it.mark == Mark::Good);
        let words = if good { "ready" } else { "see -o wide" };
        more.push(format!(
            "{} has {hidden} more pods, {words}",
            printable(&hop.name)
        ));
    }
}
