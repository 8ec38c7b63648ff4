//! What could not be read, as it is told.

use super::diagnostic::{self, Annotation, Diagnostic, Level};
use super::text::{BAD, printable, wrap};
use crate::problem::Problem;
use crate::terminal::Look;
use std::fmt::Write;

/// Renders problems, a blank line between them.
pub(crate) fn render(problems: &[Problem], look: Look) -> String {
    let each: Vec<String> = problems.iter().map(|problem| one(problem, look)).collect();
    each.join("\n")
}

fn one(problem: &Problem, look: Look) -> String {
    if let (Some((source, span)), Some((line, _))) = (&problem.excerpt, problem.position) {
        let diagnostic = Diagnostic {
            level: Level::Error,
            rule: "",
            message: problem.message.clone(),
            primary: Annotation {
                source,
                line,
                span: span.clone(),
                label: String::new(),
            },
            secondary: Vec::new(),
            notes: Vec::new(),
            help: help(problem, look),
        };
        return diagnostic::render(&diagnostic, look.colour, look.ascii, look.width);
    }
    let mut out = look.paint(BAD, "error");
    out.push_str(": ");
    if let Some(file) = &problem.file {
        out.push_str(&printable(file));
        if let Some((line, column)) = problem.position {
            // Writing to a String cannot fail.
            let _ = write!(out, ":{line}:{column}");
        }
        out.push_str(": ");
    }
    out.push_str(&printable(&problem.message));
    out.push('\n');
    for help in help(problem, look) {
        let _ = writeln!(out, "  = help: {}", help.replace('\n', "\n          "));
    }
    out
}

/// In lines that fit beside their frame.
fn help(problem: &Problem, look: Look) -> Vec<String> {
    let each = problem.help.as_deref().into_iter().flat_map(str::lines);
    each.map(|help| wrap(&printable(help), look.width.saturating_sub(14)).join("\n"))
        .collect()
}
