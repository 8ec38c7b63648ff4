//! A report as people read it: each finding, then the sum of it, then what was not looked at.

use super::diagnostic::{self, Annotation, Diagnostic};
use super::text::{Sign, count, printable, wrap};
use crate::manifests::Place;
use crate::report::{Entry, Report, Skip};
use crate::terminal::Look;
use infer_core::rule::Level;
use std::collections::BTreeMap;

/// Lines about skipped rules that are shown at most; `-o json` has all.
const MOST_SKIPS: usize = 8;

/// Renders the findings, each followed by a blank line. `fixed` is said about those that admission
/// takes care of.
pub(crate) fn render(report: &Report<'_>, fixed: &str, look: Look) -> String {
    let mut out = String::new();
    for entry in &report.findings {
        let diagnostic = diagnostic_of(entry, fixed, look);
        out.push_str(&diagnostic::render(
            &diagnostic,
            look.colour,
            look.ascii,
            look.width,
        ));
        out.push('\n');
    }
    out
}

fn diagnostic_of<'a>(entry: &'a Entry<'_>, fixed: &str, look: Look) -> Diagnostic<'a> {
    let finding = &entry.finding;
    // The frame takes a few columns: "   = note: ".
    let room = look.width.saturating_sub(14);
    let lines = |text: &str| wrap(&printable(text), room).join("\n");
    let fixed = (!entry.fix.is_empty()).then_some(fixed);
    let notes = finding.notes.iter().map(String::as_str).chain(fixed);
    Diagnostic {
        level: finding.rule.level.into(),
        rule: finding.rule.id,
        message: finding.message.clone(),
        primary: annotation(&entry.place, ""),
        secondary: entry
            .marks
            .iter()
            .map(|(place, text)| annotation(place, text))
            .collect(),
        notes: notes.map(lines).collect(),
        help: finding.help.iter().map(|text| lines(text)).collect(),
    }
}

fn annotation<'a>(place: &'a Place<'_>, label: &str) -> Annotation<'a> {
    Annotation {
        source: place.source,
        line: place.line,
        span: place.span.clone(),
        label: label.to_owned(),
    }
}

/// The sum in one line: "✖ 2 errors, 1 note in 3 objects (1 file)".
pub(crate) fn summary(report: &Report<'_>, look: Look) -> String {
    let levels = [Level::Error, Level::Warning, Level::Note].map(|level| {
        let number = report.count(level);
        (number > 0).then(|| count(number, level.as_str()))
    });
    let counts: Vec<String> = levels.into_iter().flatten().collect();
    let (sign, found) = match report.worst().map(|entry| entry.finding.rule.level) {
        None => (Sign::Good, "no findings".to_owned()),
        Some(Level::Error) => (Sign::Bad, counts.join(", ")),
        Some(_) => (Sign::Doubtful, counts.join(", ")),
    };
    format!(
        "{} {found} in {} ({})\n",
        sign.show(look),
        count(report.objects, "object"),
        count(report.files, "file"),
    )
}

/// The files that could not be read in full, each once. What is wrong with them is told elsewhere.
pub(crate) fn unread(files: Vec<&str>, look: Look) -> String {
    let mut each: Vec<&str> = Vec::new();
    for file in files {
        if !each.contains(&file) {
            each.push(file);
        }
    }
    if each.is_empty() {
        return String::new();
    }
    let text = format!("not read in full: {}", printable(&each.join(", ")));
    let lines = wrap(&text, look.width.saturating_sub(2));
    format!("{} {}\n", Sign::Bad.show(look), lines.join("\n  "))
}

/// What was not looked at: kinds that no rule reads, and rules that could not speak.
pub(crate) fn skipped(skips: &[Skip<'_>], look: Look) -> String {
    let mut kinds: BTreeMap<&str, usize> = BTreeMap::new();
    // Objects that lack the same are told together.
    let mut reasons: Vec<(&[&str], &str, Vec<&Skip<'_>>)> = Vec::new();
    for skip in skips {
        if skip.rules.is_empty() {
            *kinds.entry(&skip.object.kind).or_default() += 1;
            continue;
        }
        let same = reasons
            .iter_mut()
            .find(|(rules, reason, _)| *rules == skip.rules && *reason == skip.reason);
        match same {
            Some((_, _, list)) => list.push(skip),
            None => reasons.push((&skip.rules, &skip.reason, vec![skip])),
        }
    }
    let mut out = String::new();
    let mut say = |title: &str, text: &str| {
        let lines = wrap(&format!("{title}: {}", printable(text)), look.width - 2);
        out.push_str(&lines.join("\n  "));
        out.push('\n');
    };
    for (rules, reason, skips) in reasons.iter().take(MOST_SKIPS) {
        let about = match skips.as_slice() {
            [one] => format!(
                "{} ({}:{})",
                one.object, one.place.source.name, one.place.line
            ),
            many => count(many.len(), "object"),
        };
        say(
            "skipped",
            &format!("{about}: {reason}; not judged: {}", rules.join(", ")),
        );
    }
    if reasons.len() > MOST_SKIPS {
        let more = reasons.len() - MOST_SKIPS;
        say("skipped", &format!("{more} more, `-o json` lists them"));
    }
    if !kinds.is_empty() {
        let kinds: Vec<String> = kinds
            .into_iter()
            .map(|(kind, number)| format!("{number} {kind}"))
            .collect();
        say(
            "not read",
            &format!("{} (no rule looks at these kinds yet)", kinds.join(", ")),
        );
    }
    out
}
