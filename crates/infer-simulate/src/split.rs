//! Runs of `test --expect`.

use std::fmt::Write;

use infer_verdict::split::{
    Counts, EARLY, ERROR, Settles, Target, Verdict, decide, judge, planned, silence,
};

use crate::dice::Dice;
use crate::runs;

/// Which replies are those of which nobody knows who answered.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Unknown {
    /// Each with this chance, whoever answered.
    Any(f64),
    /// The canary's alone, so many of all: the worst that can be.
    Hits(f64),
}

impl Unknown {
    fn words(self) -> String {
        match self {
            Unknown::Any(share) => format!("{:.0} %", share * 100.0),
            Unknown::Hits(share) => format!("{:.0} %, all of one", share * 100.0),
        }
    }
}

/// A split that is asked for.
struct Wanted {
    name: &'static str,
    targets: Vec<Target>,
    /// What the true shares are, and what that is.
    truths: Vec<(&'static str, Vec<f64>)>,
}

fn wanted() -> Vec<Wanted> {
    let one = |name, share: f64, tolerance: f64| {
        let (low, high) = (share - tolerance, share + tolerance);
        Wanted {
            name,
            targets: vec![Target { share, tolerance }],
            truths: vec![
                ("as wanted", vec![share]),
                ("lower edge", vec![low]),
                ("upper edge", vec![high]),
                ("half as much again beyond", vec![high + tolerance / 2.0]),
                ("nothing", vec![0.0]),
            ],
        }
    };
    vec![
        one("10 % ± 5", 0.1, 0.05),
        one("10 % ± 3", 0.1, 0.03),
        one("1 % ± 0.5", 0.01, 0.005),
        one("50 % ± 10", 0.5, 0.1),
        Wanted {
            name: "70 % ± 10, 20 % ± 10, 10 % ± 5",
            targets: vec![Target::new(0.7), Target::new(0.2), Target::new(0.1)],
            truths: vec![
                ("as wanted", vec![0.7, 0.2, 0.1]),
                ("third at its upper edge", vec![0.65, 0.2, 0.15]),
                ("all at an edge", vec![0.6, 0.25, 0.15]),
                ("third gets nothing", vec![0.75, 0.25, 0.0]),
            ],
        },
    ]
}

/// Sends `number` requests, or fewer where a silence ends the run, and counts for each backend.
fn count(
    targets: &[Target],
    truth: &[f64],
    unknown: Unknown,
    number: u64,
    dice: &mut Dice,
) -> Vec<Counts> {
    let nothing = Counts {
        sent: 0,
        hits: 0,
        unknown: 0,
    };
    let mut counts = vec![nothing; targets.len()];
    let silences = targets.iter().map(|it| silence(*it, targets.len()));
    let silences: Vec<Option<u64>> = silences.collect();
    let last = truth.len() - 1;
    for sent in 1..=number {
        let draw = dice.fraction();
        let mut up_to = 0.0;
        let hit = truth.iter().position(|share| {
            up_to += share;
            draw < up_to
        });
        let is_unknown = match unknown {
            Unknown::Any(share) => share > 0.0 && dice.chance(share),
            Unknown::Hits(share) => hit == Some(last) && dice.chance(share / truth[last]),
        };
        for (backend, counts) in counts.iter_mut().enumerate() {
            counts.sent = sent;
            counts.unknown += u64::from(is_unknown);
            counts.hits += u64::from(!is_unknown && hit == Some(backend));
        }
        let is_silent = |(counts, silence): (&Counts, &Option<u64>)| {
            counts.hits + counts.unknown == 0 && silence.is_some_and(|least| sent >= least)
        };
        if counts.iter().zip(&silences).any(is_silent) {
            break;
        }
    }
    counts
}

/// What came of one run.
struct Ended {
    verdict: Verdict,
    sent: u64,
    /// What a second run says, of as many requests as the first advised; `None` where none was
    /// needed or advised.
    second: Option<Verdict>,
}

fn run(targets: &[Target], truth: &[f64], unknown: Unknown, number: u64, dice: &mut Dice) -> Ended {
    let verdict = |counts: &[Counts]| {
        let each = targets.iter().zip(counts);
        Verdict::of_all(each.map(|(target, counts)| decide(*target, *counts, targets.len()).0))
    };
    let counts = count(targets, truth, unknown, number, dice);
    let first = verdict(&counts);
    let is_tried = first == Verdict::Inconclusive && is_as_wanted(targets, truth);
    let second = is_tried
        .then(|| {
            let each = targets.iter().zip(&counts);
            let settles =
                each.map(|(target, counts)| judge(*target, *counts, targets.len()).settles);
            settles.filter_map(Settles::requests).max()
        })
        .flatten()
        .filter(|more| *more <= MOST_SIMULATED)
        .map(|more| verdict(&count(targets, truth, unknown, more, dice)));
    Ended {
        verdict: first,
        sent: counts.first().map_or(0, |it| it.sent),
        second,
    }
}

/// Second runs of more requests than this are not simulated.
const MOST_SIMULATED: u64 = 20_000;
/// What chance alone adds to a rate, in standard deviations: one cell of 30,000 is beyond.
const CHANCE: f64 = 4.0;

/// Whether `seen` of `number` is within a stated rate, as far as chance goes.
#[must_use]
pub(crate) fn holds(seen: usize, number: usize, stated: f64) -> bool {
    let number = number as f64;
    let spread = (stated * (1.0 - stated) / number).sqrt();
    seen as f64 / number <= stated + CHANCE * spread
}

/// Whether the truth is within every tolerance, up to rounding.
fn is_right(targets: &[Target], truth: &[f64]) -> bool {
    let near =
        |(target, share): (&Target, &f64)| (target.share - share).abs() <= target.tolerance + 1e-9;
    targets.iter().zip(truth).all(near)
}

/// Whether the truth is what is wanted, so that the advised number is advised for it.
fn is_as_wanted(targets: &[Target], truth: &[f64]) -> bool {
    let near = |(target, share): (&Target, &f64)| (target.share - share).abs() < 1e-9;
    targets.iter().zip(truth).all(near)
}

/// Whether the truth is at an edge or beyond it.
fn is_at_or_beyond(targets: &[Target], truth: &[f64]) -> bool {
    let far =
        |(target, share): (&Target, &f64)| (target.share - share).abs() >= target.tolerance - 1e-9;
    targets.iter().zip(truth).any(far)
}

/// A table of so many runs for each cell, in Markdown, and whether every stated error rate holds.
#[must_use]
pub fn table(number: usize) -> (String, bool) {
    let mut text = String::from(
        "| split | true share | unknown replies | requests, mean | match % | inconclusive % | mismatch % | stated | holds | decided by the advised number % |\n\
         |---|---|---|---|---|---|---|---|---|---|\n",
    );
    let mut all_hold = true;
    for wanted in wanted() {
        let planned = planned(&wanted.targets).unwrap_or(MOST_SIMULATED);
        for (truth_name, truth) in &wanted.truths {
            let last = truth.last().copied().unwrap_or_default();
            let mut unknowns = vec![Unknown::Any(0.0), Unknown::Any(0.02), Unknown::Any(0.1)];
            if last >= 0.02 {
                unknowns.push(Unknown::Hits(0.02));
            }
            for unknown in unknowns {
                let ended = runs::all(number, |mut dice| {
                    run(&wanted.targets, truth, unknown, planned, &mut dice)
                });
                let of = |verdict| ended.iter().filter(|it| it.verdict == verdict).count();
                let (matches, mismatches) = (of(Verdict::Match), of(Verdict::Mismatch));
                let mut stated = Vec::new();
                let mut is_held = true;
                if is_at_or_beyond(&wanted.targets, truth) {
                    stated.push(format!("match ≤ {:.0}", ERROR * 100.0));
                    is_held &= holds(matches, number, ERROR);
                }
                if is_right(&wanted.targets, truth) {
                    let most = ERROR + EARLY;
                    stated.push(format!("mismatch ≤ {:.0}", most * 100.0));
                    is_held &= holds(mismatches, number, most);
                }
                all_hold &= is_held;
                let second: Vec<Verdict> = ended.iter().filter_map(|it| it.second).collect();
                let decided = second
                    .iter()
                    .filter(|it| **it != Verdict::Inconclusive)
                    .count();
                let sent = ended.iter().map(|it| it.sent).sum::<u64>() as f64 / number as f64;
                let shares: Vec<String> = truth
                    .iter()
                    .map(|share| {
                        format!("{:.4}", share * 100.0)
                            .trim_end_matches('0')
                            .trim_end_matches('.')
                            .to_owned()
                    })
                    .collect();
                let _ = writeln!(
                    text,
                    "| {} | {} ({}) | {} | {sent:.0} | {} | {} | {} | {} | {} | {} |",
                    wanted.name,
                    shares.join(", "),
                    truth_name,
                    unknown.words(),
                    runs::percent(matches, number),
                    runs::percent(of(Verdict::Inconclusive), number),
                    runs::percent(mismatches, number),
                    stated.join(", "),
                    if is_held { "yes" } else { "**no**" },
                    if second.len() >= LEAST_SECOND {
                        format!(
                            "{} of {} runs",
                            runs::percent(decided, second.len()),
                            second.len()
                        )
                    } else {
                        "–".to_owned()
                    },
                );
            }
        }
    }
    (text, all_hold)
}

/// Fewer second runs than this say nothing.
const LEAST_SECOND: usize = 100;
