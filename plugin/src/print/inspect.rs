//! A route as people read it: the answer first, then where requests go, what ends them, what is not
//! on the way, what is wrong.

mod findings;
mod timers;
mod tree;

use super::text::{STRONG, Sign, printable, wrap};
use crate::terminal::Look;
use infer_inspect::{Answer, Mark, Outcome, Question, Report, Source, TimerTable, Way, short};
use std::fmt::Write;

/// Columns, unless `-o wide` asks for more.
pub(crate) const WIDTH: usize = 80;

/// How much is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Detail {
    /// What fits on a screen.
    Plain,
    /// Everything, names unshortened.
    Wide,
}

/// Renders a report. `from` says where the facts come from: `context kind-lab`, `from files`.
pub(crate) fn render(
    report: &Report,
    from: &str,
    program: &str,
    detail: Detail,
    look: Look,
) -> String {
    let look = match detail {
        Detail::Plain => Look {
            width: look.width.min(WIDTH),
            ..look
        },
        Detail::Wide => look,
    };
    let mut out = String::new();
    for (index, way) in report.ways.iter().enumerate() {
        if index > 0 {
            out.push('\n');
        }
        out.push_str(&of_way(report, way, from, detail, look));
    }
    if report.ways.is_empty() {
        let _ = writeln!(out, "no way leads to {}", report.subject);
    }
    out.push_str(&findings::beside(report, look));
    for way in &report.ways {
        for table in &way.timers {
            out.push_str(&timers::render(way, table, detail, look));
        }
        out.push_str(&drain(way, look));
    }
    out.push_str(&findings::findings(report, program, detail, look));
    out.push_str(&findings::gaps(report, look));
    for note in &report.notes {
        say(&mut out, "note   ", note, look);
    }
    out
}

fn heading(text: &str, rest: &str, look: Look) -> String {
    let mut line = look.paint(STRONG, text);
    if !rest.is_empty() {
        line.push_str("  ");
        line.push_str(rest);
    }
    format!("\n{line}\n")
}

/// Text after a word, wrapped beneath itself.
fn say(out: &mut String, word: &str, text: &str, look: Look) {
    let indent = word.chars().count();
    let lines = wrap(&printable(text), look.width.saturating_sub(indent));
    for (index, line) in lines.iter().enumerate() {
        let before = if index == 0 {
            word.to_owned()
        } else {
            " ".repeat(indent)
        };
        let _ = writeln!(out, "{before}{line}");
    }
}

fn of_way(report: &Report, way: &Way, from: &str, detail: Detail, look: Look) -> String {
    let mut out = String::new();
    let line = format!("ROUTE  {}", printable(&way.url));
    let room = look.width.saturating_sub(from.chars().count());
    if line.chars().count() + 2 <= room {
        let _ = writeln!(out, "{line:<room$}{from}");
    } else {
        let _ = writeln!(out, "{line}\n       {from}");
    }
    out.push('\n');
    if let Some(broken) = &way.broken {
        let text = format!("No request gets through. {broken}.");
        out.push_str(&signed(Sign::Bad, &text, look));
    }
    for table in &way.timers {
        for answer in &table.answers {
            out.push_str(&of_answer(way, table, answer, look));
        }
    }
    let nobody_asked = way
        .timers
        .iter()
        .flat_map(|it| &it.answers)
        .any(|it| !it.asked);
    if nobody_asked {
        let text = "--think DURATION and --stream DURATION ask about another length";
        let indent = if look.ascii { "   " } else { "  " };
        say(&mut out, indent, text, look);
    }
    if !way.timers.is_empty() {
        out.push('\n');
    }
    out.push_str(&tree::render(report, &way.hops, detail, look));
    out
}

/// What the timers do to a generation, in a sentence or two.
fn of_answer(way: &Way, table: &TimerTable, answer: &Answer, look: Look) -> String {
    let mut length = short(answer.seconds);
    if !answer.asked {
        length.push_str(" (the longest expected)");
    }
    let mut what = match answer.question {
        Question::Think => format!("silence of {length} before the answer"),
        Question::Stream => format!("a stream of {length}"),
    };
    if !table.rule.is_empty() {
        let _ = write!(what, " at {}", table.rule);
    }
    if way.broken.is_some() {
        what = format!("if requests got through, {what}");
    }
    let what = capital(&what);
    let (sign, text) = match &answer.outcome {
        Outcome::Cut {
            after,
            place,
            name,
            timer,
            source,
            raised_by,
            client,
            ..
        } => {
            let who = if name.is_empty() {
                format!("the {}", place.words())
            } else {
                format!("the {} ({name})", place.words())
            };
            let mut text = format!("{what}: CUT after {} by {who}.", short(*after));
            let _ = write!(text, " Its timer for {}: {source}.", timer.words());
            if let Some(client) = client {
                let _ = write!(text, " The client gets {client}.");
            }
            if let Some(raised_by) = raised_by {
                let _ = write!(text, " To raise it: {raised_by}.");
            }
            (Sign::Bad, text)
        }
        Outcome::Survives { next, gap } => {
            let mut text = match next {
                Some((limit, place)) => format!(
                    "{what}: not cut; the first timer that would is the {}'s, {}.",
                    place.words(),
                    short(*limit)
                ),
                None => format!("{what}: no timer that is known cuts it."),
            };
            if let Some(gap) = gap {
                let _ = write!(
                    text,
                    " No gap between two tokens may reach {}.",
                    short(*gap)
                );
            }
            (Sign::Good, text)
        }
        Outcome::Unknown => (
            Sign::Doubtful,
            format!("{what}: not known, no timer on this way can be read."),
        ),
    };
    let mut text = text;
    if !answer.unless.is_empty() && answer.outcome != Outcome::Unknown {
        let who = answer.unless.join(" or ");
        let _ = match answer.outcome {
            Outcome::Cut { .. } => write!(text, " Perhaps earlier, by {who}: not readable."),
            _ => write!(text, " Unless {who} cuts it: not readable."),
        };
    }
    if answer.question == Question::Stream {
        let events = [
            ("A rollout", answer.rollout_cuts_after),
            ("A reload of the proxy", answer.reload_cuts_after),
        ];
        for (event, after) in events {
            match after {
                Some(0) => {
                    let _ = write!(text, " {event} cuts it at once.");
                }
                Some(seconds) => {
                    let _ = write!(text, " {event} cuts it after {}.", short(seconds));
                }
                None => {}
            }
        }
    }
    signed(sign, &text, look)
}

fn capital(text: &str) -> String {
    let mut chars = text.chars();
    match chars.next() {
        Some(first) => first.to_uppercase().chain(chars).collect(),
        None => String::new(),
    }
}

/// Text behind a sign, wrapped beneath itself.
fn signed(sign: Sign, text: &str, look: Look) -> String {
    let word = match (look.ascii, sign) {
        (true, Sign::Good) => "ok ".to_owned(),
        (true, Sign::Doubtful) => "!  ".to_owned(),
        (true, Sign::Bad) => "x  ".to_owned(),
        (false, sign) => format!("{} ", sign.show(look)),
    };
    let indent = if look.ascii { 3 } else { 2 };
    let lines = wrap(&printable(text), look.width.saturating_sub(indent));
    let beneath = format!("\n{}", " ".repeat(indent));
    format!("{word}{}\n", lines.join(&beneath))
}

/// What happens at SIGTERM, server by server.
fn drain(way: &Way, look: Look) -> String {
    let mut out = String::new();
    for sheet in &way.drain {
        let whose = format!("{}, container {}", sheet.workload, sheet.container);
        out.push_str(&heading("WHEN A POD IS TOLD TO GO", &whose, look));
        for step in &sheet.steps {
            say(&mut out, &format!("{:<9}", step.who), &step.does, look);
        }
        let window = match sheet.window_seconds {
            Some(seconds) => short(seconds),
            None => "unknown".to_owned(),
        };
        let text = format!("{window}, bound by {}", sheet.bound_by);
        say(&mut out, "window   ", &text, look);
        say(&mut out, "cut      ", &sheet.cut, look);
    }
    out
}

/// A mark as this stream can show it; of the same width in either set of characters.
fn mark(mark: Mark, look: Look) -> String {
    match mark {
        Mark::Good if look.ascii => "ok".to_owned(),
        Mark::Good => Sign::Good.show(look),
        Mark::Doubtful if look.ascii => "! ".to_owned(),
        Mark::Doubtful => Sign::Doubtful.show(look),
        Mark::Bad if look.ascii => "x ".to_owned(),
        Mark::Bad => Sign::Bad.show(look),
        Mark::Waiting if look.ascii => "..".to_owned(),
        Mark::Waiting => "◌".to_owned(),
        Mark::Plain if look.ascii => "  ".to_owned(),
        Mark::Plain => " ".to_owned(),
    }
}

/// Where the facts of a report come from.
pub(crate) fn from(source: Source, context: Option<&str>) -> String {
    match (source, context) {
        (Source::Files, _) => "from files".to_owned(),
        (Source::Cluster, Some(context)) => format!("context {}", printable(context)),
        (Source::Cluster, None) => "this cluster".to_owned(),
    }
}

/// A name in so many columns: what is too long loses its middle, because the end tells pods apart.
fn fit(name: &str, width: usize, look: Look) -> String {
    let name = printable(name);
    let length = name.chars().count();
    if length <= width {
        return name.into_owned();
    }
    let dots = if look.ascii { ".." } else { "…" };
    let room = width.saturating_sub(dots.chars().count());
    let tail = (room / 2).min(12);
    let head: String = name.chars().take(room - tail).collect();
    let tail: String = name.chars().skip(length - tail).collect();
    format!("{head}{dots}{tail}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_name_keeps_its_end() {
        let look = Look {
            colour: false,
            ascii: false,
            width: 80,
        };
        let name = "llama-inference-6d9f7c8b5d-2kqzl";
        assert_eq!(fit(name, 40, look), name);
        assert_eq!(fit(name, 20, look), "llama-infe…b5d-2kqzl");
        assert_eq!(fit(name, 20, look).chars().count(), 20);
        assert_eq!(
            fit(
                name,
                20,
                Look {
                    ascii: true,
                    ..look
                }
            )
            .chars()
            .count(),
            20
        );
    }
}
