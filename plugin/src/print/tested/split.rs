//! Whether backends get their shares, as people read it: a table, then what to make of it.

use crate::print::table;
use crate::print::text::{BAD, DOUBTFUL, GOOD, Sign, count, printable, wrap};
use crate::terminal::Look;
use crate::tested::split::{By, Expectation, Split};
use infer_verdict::draw::Draw;
use infer_verdict::interval::Interval;
use infer_verdict::split::{Settles, Verdict};
use std::fmt::Write;

/// Shares below this many points need two digits to be told apart.
const FINE: f64 = 2.0;

/// The table of hits, with a verdict for each backend that has a target, and the notes on it.
pub(super) fn render(split: &Split, look: Look) -> String {
    let header = [
        "BACKEND",
        "REPLICA",
        "HITS",
        "SHARE",
        "95% INTERVAL",
        "TARGET",
        "VERDICT",
    ];
    let mut out = table::render(header, &rows(split, look), look);
    // Padding counts characters: colour comes last.
    for (verdict, style) in [
        (Verdict::Match, GOOD),
        (Verdict::Inconclusive, DOUBTFUL),
        (Verdict::Mismatch, BAD),
    ] {
        let plain = verdict_word(verdict, look);
        out = out.replace(
            &format!("{plain}\n"),
            &format!("{}\n", look.paint(style, &plain)),
        );
    }
    for expectation in &split.expectations {
        if expectation.judged.verdict == Verdict::Inconclusive {
            let text = undecided(expectation, look);
            let lines = wrap(&printable(&text), look.width - 2).join("\n  ");
            let _ = writeln!(out, "{} {lines}", look.paint(DOUBTFUL, "?"));
        }
    }
    for note in notes(split) {
        let lines = wrap(&format!("note: {}", printable(&note)), look.width);
        let _ = writeln!(out, "{}", lines.join("\n  "));
    }
    out
}

/// How many replies are known, and how surely.
pub(super) fn attributed(split: &Split, sent: usize) -> String {
    let grade = match split.grade {
        Some(grade) => format!(" (grade {})", grade.as_str()),
        None => String::new(),
    };
    format!("attributed {}/{sent}{grade}", split.attributed)
}

fn rows(split: &Split, look: Look) -> Vec<[String; 7]> {
    let sent: usize = split.rows.iter().map(|row| row.hits).sum();
    let share = |hits: usize, fine: bool| {
        let percent = hits as f64 / sent.max(1) as f64 * 100.0;
        if fine {
            format!("{percent:.2}%")
        } else {
            format!("{percent:.1}%")
        }
    };
    let mut rows = Vec::new();
    let mut told = None;
    for row in &split.rows {
        let expectation = row.wanted.and_then(|index| split.expectations.get(index));
        let is_fine = expectation.is_some_and(fine);
        let replicas = split
            .rows
            .iter()
            .filter(|it| it.wanted == row.wanted)
            .count();
        let backend = match &row.backend {
            Some(backend) => printable(backend).into_owned(),
            None => "<unknown>".to_owned(),
        };
        let mut verdict = [String::new(), String::new(), String::new()];
        if let Some(expectation) = expectation
            && told != row.wanted
        {
            told = row.wanted;
            verdict = [
                interval(&expectation.judged.interval, is_fine, look),
                target(expectation, look),
                verdict_word(expectation.judged.verdict, look),
            ];
            if replicas > 1 {
                let hits = usize::try_from(expectation.counts.hits).unwrap_or(usize::MAX);
                let [interval, target, word] = std::mem::take(&mut verdict);
                rows.push([
                    backend.clone(),
                    format!("all {replicas}"),
                    hits.to_string(),
                    share(hits, is_fine),
                    interval,
                    target,
                    word,
                ]);
            }
        }
        let replica = match &row.replica {
            Some(replica) => printable(replica).into_owned(),
            None if row.backend.is_none() || row.hits > 0 => "<unknown>".to_owned(),
            None => "<none>".to_owned(),
        };
        let [interval, target, word] = verdict;
        rows.push([
            backend,
            replica,
            row.hits.to_string(),
            share(row.hits, is_fine),
            interval,
            target,
            word,
        ]);
    }
    rows
}

/// Whether one digit would not tell.
fn fine(expectation: &Expectation) -> bool {
    let target = expectation.wanted.target;
    target.tolerance * 100.0 < FINE && target.share > 0.0 && target.share < 1.0
}

fn interval(interval: &Interval, fine: bool, look: Look) -> String {
    let to = if look.ascii { ".." } else { "…" };
    let (low, high) = (interval.low * 100.0, interval.high * 100.0);
    if fine {
        format!("{low:.2} {to} {high:.2}")
    } else {
        format!("{low:.1} {to} {high:.1}")
    }
}

fn target(expectation: &Expectation, look: Look) -> String {
    let around = if look.ascii { "+-" } else { "±" };
    let target = expectation.wanted.target;
    let share = points(target.share);
    format!("{share} {around} {}", points(target.tolerance))
}

/// A share in percent, without digits that say nothing.
fn points(share: f64) -> String {
    ((share * 1e6).round() / 1e4).to_string()
}

fn verdict_word(verdict: Verdict, look: Look) -> String {
    let plain = Look {
        colour: false,
        ..look
    };
    let sign = match verdict {
        Verdict::Match => Sign::Good.show(plain),
        Verdict::Inconclusive => "?".to_owned(),
        Verdict::Mismatch => Sign::Bad.show(plain),
    };
    format!("{sign} {verdict}")
}

/// What is seen of a share that nothing is decided of, and what would settle it.
fn undecided(expectation: &Expectation, look: Look) -> String {
    let counts = &expectation.counts;
    let name = &expectation.wanted.name;
    let share = counts.hits as f64 / counts.sent.max(1) as f64 * 100.0;
    let mut text = format!(
        "{name}: {}/{} = {share:.1}% ({}) is not decided for {}",
        counts.hits,
        counts.sent,
        interval(&expectation.judged.interval, fine(expectation), look),
        target(expectation, look),
    );
    if counts.unknown > 0 {
        let unknown = usize::try_from(counts.unknown).unwrap_or(usize::MAX);
        let replies = if unknown == 1 { "reply" } else { "replies" };
        let _ = write!(text, "; of {unknown} {replies} nobody knows whose they are");
    }
    let settles = match expectation.judged.settles {
        Settles::Settled => return text,
        Settles::At(requests) => {
            format!("--requests={requests} settles it in 9 of 10 runs if the share is right")
        }
        Settles::NearTheEdge(requests) => format!(
            "it is near the edge of its tolerance: --requests={requests} settles it if it goes on \
             so, a wider --tolerance sooner"
        ),
        Settles::TooManyUnknown => {
            "too many are unknown for any number to settle it: --replica-header NAME where the \
             server sends one"
                .to_owned()
        }
        Settles::Never => {
            "no number settles it, so near is it to the edge of its tolerance: --tolerance POINTS \
             wider or narrower"
                .to_owned()
        }
    };
    text.push_str("; ");
    text.push_str(&settles);
    text
}

fn notes(split: &Split) -> Vec<String> {
    let mut notes = Vec::new();
    if let Some(silent) = &split.ended {
        notes.push(format!(
            "ended early: none of the first {} went to {}; if it got the least share that is right, \
             fewer than 1 run in 100 would look so",
            count(usize::try_from(silent.requests).unwrap_or(usize::MAX), "request"),
            silent.backend
        ));
    }
    for expectation in &split.expectations {
        let name = &expectation.wanted.name;
        if let Some(note) = nameless(expectation, &split.names) {
            notes.push(note);
        }
        if expectation.by == Some(By::ItsName) {
            notes.push(format!(
                "{name} is known by its name alone: pods called {name}-HASH are taken for its own"
            ));
        }
        match expectation.draw {
            Draw::Regular => notes.push(format!(
                "hits of {name} come at even distances: a round robin, no random draw; the share \
                 is exact as it stands"
            )),
            Draw::Clustered => notes.push(format!(
                "hits of {name} come in clumps: requests stick to a backend, or the share changed \
                 during the run. The interval is too narrow then: take affinity or hashing off \
                 the route, or repeat it when the share has settled"
            )),
            Draw::Random | Draw::Unknown => {}
        }
    }
    for backend in &split.taking_turns {
        notes.push(format!(
            "replicas alternate inside {backend} (round robin), so their own shares are not a \
             random draw"
        ));
    }
    notes
}

/// What to say of a name that no reply had.
fn nameless(expectation: &Expectation, names: &[String]) -> Option<String> {
    let name = &expectation.wanted.name;
    let is_guess = matches!(
        expectation.by,
        None | Some(By::Header | By::Fingerprint | By::ItsName)
    );
    if !is_guess || expectation.counts.hits > 0 {
        return None;
    }
    let known = match names {
        [] => "nor is anything else known of who answers".to_owned(),
        _ => format!("known are {}", names.join(", ")),
    };
    Some(format!("nothing that answered is called {name}; {known}"))
}
