//! A checkup as lines: one for each check, its cause below it.

use super::text::{BAD, DOUBTFUL, GOOD, STRONG, count, printable, wrap};
use crate::terminal::Look;
use anstyle::Style;
use infer_doctor::{Check, Checkup, Status};

/// Columns before the text of a check: sign, word, and the spaces between.
const INDENT: usize = 11;
/// Columns of a line, however wide the terminal is.
const WIDTH: usize = 80;

/// The sign, whatever the stream can show, and the style of sign and word.
fn sign(status: Status, look: Look) -> (&'static str, Style) {
    let (glyph, plain, style) = match status {
        Status::Ok => ("✔", "+", GOOD),
        Status::Note => ("·", "-", Style::new()),
        Status::Unknown => ("?", "?", DOUBTFUL),
        Status::Warning => ("▲", "!", DOUBTFUL),
        Status::Error => ("✖", "x", BAD),
    };
    (if look.ascii { plain } else { glyph }, style)
}

/// Renders a checkup, without the commands that come next.
pub(crate) fn render(checkup: &Checkup, look: Look) -> String {
    let look = Look {
        width: look.width.min(WIDTH),
        ..look
    };
    let mut out = head(checkup, look);
    for category in &checkup.categories {
        out.push('\n');
        out.push_str(&look.paint(STRONG, category.title));
        out.push('\n');
        for check in &category.checks {
            line(check, look, &mut out);
        }
    }
    out.push('\n');
    out.push_str(&summary(checkup, look));
    out
}

/// What to run next, with a word on each where there is room for it.
pub(crate) fn commands(checkup: &Checkup, most: usize, look: Look) -> Vec<(String, String)> {
    /// Columns before a command, and between command and word (`command::next`).
    const BESIDE: usize = 8;
    let found = checkup.next(most);
    let longest = found.iter().map(|it| it.command.chars().count()).max();
    let longest = longest.unwrap_or_default();
    found
        .into_iter()
        .map(|it| {
            let columns = BESIDE + longest + it.why.chars().count();
            let why = if columns <= look.width.min(WIDTH) {
                it.why.as_str()
            } else {
                ""
            };
            (it.command.clone(), why.to_owned())
        })
        .collect()
}

/// Which cluster it was, and in what the workloads were looked for.
fn head(checkup: &Checkup, look: Look) -> String {
    let mut parts = Vec::new();
    if let Some(context) = &checkup.context {
        parts.push(format!("context {context}"));
    }
    match &checkup.server_version {
        Some(version) => parts.push(format!("Kubernetes {version}")),
        None => parts.push("Kubernetes version unknown".to_owned()),
    }
    parts.push(format!("kubectl-infer {}", checkup.client_version));
    if !checkup.namespaces.is_empty() {
        parts.push(format!("workloads of {}", checkup.namespaces.join(", ")));
    }
    let between = if look.ascii { ", " } else { " · " };
    let text = parts.join(between);
    wrap(&printable(&text), look.width).join("\n") + "\n"
}

/// One check.
fn line(check: &Check, look: Look, out: &mut String) {
    let (sign, style) = sign(check.status, look);
    let word = check.status.word();
    let mut text = check.message.clone();
    if let Some(evidence) = check.evidence {
        text.push_str(&format!(" ({})", evidence.word()));
    }
    let pad = " ".repeat(INDENT);
    let columns = look.width.saturating_sub(INDENT).max(20);
    let label = look.paint(style, &format!("{sign} {word}"));
    let gap = " ".repeat(INDENT.saturating_sub(2 + word.len()));
    for (index, row) in wrap(&printable(&text), columns).iter().enumerate() {
        match index {
            0 => out.push_str(&format!("{label}{gap}{row}\n")),
            _ => out.push_str(&format!("{pad}{row}\n")),
        }
    }
    for detail in &check.details {
        for row in wrap(&printable(detail), columns) {
            out.push_str(&format!("{pad}{row}\n"));
        }
    }
    if let Some(next) = check.next.as_ref().filter(|_| check.status > Status::Ok) {
        // A command stays on one line, however long: it is there to be copied.
        out.push_str(&format!("{pad}next  {}\n", printable(&next.command)));
    }
}

/// The sum.
fn summary(checkup: &Checkup, look: Look) -> String {
    let (sign, style) = sign(checkup.worst(), look);
    let of = |status| checkup.count(status);
    let mut parts = vec![
        count(of(Status::Error), "error"),
        count(of(Status::Warning), "warning"),
    ];
    if of(Status::Unknown) > 0 {
        parts.push(format!("{} unknown", of(Status::Unknown)));
    }
    let all = count(checkup.checks().count(), "check");
    let mut out = format!(
        "{} {} in {all}\n",
        look.paint(style, sign),
        parts.join(", ")
    );
    if !checkup.gaps.is_empty() {
        let asked: Vec<&str> = checkup.gaps.iter().map(|gap| gap.asked.as_str()).collect();
        let text = format!("not seen: {}", asked.join(", "));
        out.push_str(&(wrap(&printable(&text), look.width).join("\n") + "\n"));
    }
    out
}

#[cfg(test)]
mod tests;
