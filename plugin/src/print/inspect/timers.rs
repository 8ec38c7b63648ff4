//! The timer table, and what sets each value.

use super::{Detail, heading, say};
use crate::print::text::STRONG;
use crate::terminal::Look;
use infer_inspect::{Cell, How, Limit, Place, Row, TimerKind, TimerTable, Way, short};
use std::fmt::Write;

/// Columns of one timer: `first byte`, and a gap.
const COLUMN: usize = 11;
/// Columns of a row's name.
const NAME: usize = 24;

/// Renders a table.
pub(super) fn render(way: &Way, table: &TimerTable, detail: Detail, look: Look) -> String {
    let rule = match (&*table.rule, &way.entry) {
        ("", _) => String::new(),
        (rule, _) => format!("at {rule}"),
    };
    let mut out = heading("WHAT ENDS A REQUEST FIRST", &rule, look);
    let mut title = " ".repeat(NAME);
    for timer in TimerKind::ALL {
        let words = match timer {
            TimerKind::WholeResponse => "whole",
            other => other.words(),
        };
        let _ = write!(title, "{words:<COLUMN$}");
    }
    let _ = writeln!(out, "{}", look.paint(STRONG, title.trim_end()));
    for row in &table.rows {
        let mut line = format!("{:<NAME$}", name(row, look));
        for timer in TimerKind::ALL {
            let cell = row.cell(timer).map_or_else(|| "-".to_owned(), of_cell);
            let _ = write!(line, "{cell:<COLUMN$}");
        }
        let _ = writeln!(out, "{}", line.trim_end());
    }
    let mut effective = format!("{:<NAME$}", "effective");
    let mut bound = format!("{:<NAME$}", "bound by");
    for it in &table.effective {
        let most = if it.at_most { "?" } else { "" };
        let value = format!("{}{most}", limit(it.seconds));
        let _ = write!(effective, "{value:<COLUMN$}");
        let place = it.bound_by.map_or("-", brief);
        let _ = write!(bound, "{place:<COLUMN$}");
    }
    let _ = writeln!(out, "{}\n{}", effective.trim_end(), bound.trim_end());
    legend(&mut out, table);
    // What binds a pod is on its drain sheet.
    for row in table.rows.iter().filter(|row| row.place != Place::Pod) {
        sources(&mut out, row, detail, look);
    }
    out
}

fn name(row: &Row, look: Look) -> String {
    let word = brief(row.place);
    let room = NAME - 2 - word.chars().count();
    match row.name.as_str() {
        "" => word.to_owned(),
        name => format!("{word} {}", super::fit(name, room, look)),
    }
}

/// A place, in few columns.
fn brief(place: Place) -> &'static str {
    match place {
        Place::LoadBalancer => "lb",
        other => other.words(),
    }
}

fn limit(limit: Limit) -> String {
    match limit {
        Limit::Seconds(seconds) => short(seconds),
        Limit::Off => "off".to_owned(),
        Limit::Absent => "-".to_owned(),
        Limit::Unknown => "?".to_owned(),
    }
}

fn of_cell(cell: &Cell) -> String {
    let assumed = cell.how == How::Assumed && cell.seconds != Limit::Unknown;
    format!("{}{}", limit(cell.seconds), if assumed { "*" } else { "" })
}

fn legend(out: &mut String, table: &TimerTable) {
    let cells = || table.rows.iter().flat_map(|row| &row.cells);
    let mut words = Vec::new();
    if cells().any(|it| it.how == How::Assumed && it.seconds != Limit::Unknown) {
        words.push("* assumed: nothing read here sets it");
    }
    if cells().any(|it| it.seconds == Limit::Unknown) {
        words.push("? not readable");
    }
    if !words.is_empty() {
        let _ = writeln!(out, "{}", words.join("; "));
    }
}

/// What sets the values of a row. What one source sets is told together.
fn sources(out: &mut String, row: &Row, detail: Detail, look: Look) {
    let mut told: Vec<(String, String, Option<&str>)> = Vec::new();
    for cell in row.cells.iter().filter(|cell| !cell.implied) {
        let what = match cell.seconds {
            Limit::Unknown => cell.timer.words().to_owned(),
            _ => format!("{} {}", cell.timer.words(), limit(cell.seconds)),
        };
        match told
            .iter_mut()
            .find(|(_, source, _)| *source == cell.source)
        {
            Some((known, ..)) => {
                known.push_str(", ");
                known.push_str(&what);
            }
            None => told.push((what, cell.source.clone(), cell.note.as_deref())),
        }
    }
    for cell in &row.other {
        if detail == Detail::Wide {
            let what = match cell.timer {
                TimerKind::Drain => format!("drain {}", limit(cell.seconds)),
                _ => format!("sending {}", limit(cell.seconds)),
            };
            told.push((what, cell.source.clone(), cell.note.as_deref()));
        }
    }
    for (what, source, note) in told {
        let word = format!("{:<8}", brief(row.place));
        let mut text = format!("{what}: {source}");
        if let (Some(note), Detail::Wide) = (note, detail) {
            let _ = write!(text, " ({note})");
        }
        say(out, &word, &text, look);
    }
}
