//! What the timers do to a generation of a given length.

use crate::report::{Answer, Limit, Outcome, Place, Question, Row, TimerKind};
use crate::view::Asked;

/// The answers: to what a person asked, else for the longest generation that the policy knows.
pub(crate) fn answers(rows: &[Row], asked: Asked, longest: u64) -> Vec<Answer> {
    let nothing_asked = asked.think.is_none() && asked.stream.is_none();
    let mut found = Vec::new();
    let questions = [
        (Question::Think, asked.think),
        (Question::Stream, asked.stream),
    ];
    for (question, seconds) in questions {
        let seconds = match seconds {
            Some(seconds) => seconds,
            None if nothing_asked => longest,
            None => continue,
        };
        found.push(answer(rows, question, seconds, !nothing_asked));
    }
    found
}

fn answer(rows: &[Row], question: Question, seconds: u64, asked: bool) -> Answer {
    let timers: &[TimerKind] = match question {
        Question::Think => &[
            TimerKind::FirstByte,
            TimerKind::Silence,
            TimerKind::WholeResponse,
        ],
        Question::Stream => &[TimerKind::WholeResponse],
    };
    let cells = || {
        rows.iter().flat_map(|row| {
            let of_row = timers.iter().filter_map(|timer| row.cell(*timer));
            of_row.map(move |cell| (row, cell))
        })
    };
    // What sets the first byte by silence is named once, as what it is.
    let first = cells()
        .filter(|(_, cell)| !cell.implied || cell.timer != TimerKind::FirstByte)
        .filter_map(|(row, cell)| Some((cell.seconds.seconds()?, row, cell)))
        .min_by_key(|(limit, row, _)| (*limit, row.place));
    let mut unless: Vec<String> = Vec::new();
    for (row, cell) in cells() {
        let who = match row.place {
            Place::Proxy => format!("the proxy ({})", row.name),
            place => format!("the {}", place.words()),
        };
        if cell.seconds == Limit::Unknown && !unless.contains(&who) {
            unless.push(who);
        }
    }
    let silence = rows
        .iter()
        .filter_map(|row| row.cell(TimerKind::Silence)?.seconds.seconds())
        .min();
    let outcome = match first {
        // At the limit itself it is a race.
        Some((limit, row, cell)) if seconds >= limit => Outcome::Cut {
            after: limit,
            place: row.place,
            name: row.name.clone(),
            timer: cell.timer,
            source: cell.source.clone(),
            how: cell.how,
            raised_by: cell.raised_by.clone(),
            client: cell.client.filter(|_| question == Question::Think),
        },
        None if unless_covers_all(rows) => Outcome::Unknown,
        first => Outcome::Survives {
            next: first.map(|(limit, row, _)| (limit, row.place)),
            gap: silence.filter(|_| question == Question::Stream),
        },
    };
    let window = rows
        .iter()
        .filter(|row| matches!(row.place, Place::Pod | Place::Sidecar))
        .filter_map(|row| row.cell(TimerKind::Drain)?.seconds.seconds())
        .min();
    let reload = rows
        .iter()
        .filter(|row| row.place == Place::Proxy)
        .flat_map(|row| row.cells.iter().chain(&row.other))
        .filter(|cell| cell.at.contains(&"reload"))
        .filter_map(|cell| cell.seconds.seconds())
        .min();
    Answer {
        question,
        seconds,
        asked,
        outcome,
        unless,
        rollout_cuts_after: window.filter(|window| *window < seconds),
        reload_cuts_after: reload.filter(|reload| *reload < seconds),
    }
}

/// Whether no proxy on the way has a timer that is known.
fn unless_covers_all(rows: &[Row]) -> bool {
    let mut proxies = rows
        .iter()
        .filter(|row| row.place == Place::Proxy)
        .peekable();
    proxies.peek().is_some()
        && proxies.all(|row| row.cells.iter().all(|cell| cell.seconds == Limit::Unknown))
}
