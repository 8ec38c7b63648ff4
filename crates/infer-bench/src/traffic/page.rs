//! What was found, in the forms in which it is wanted.

use super::clock::Conversion;
use super::distribution::{Distances, Distribution, Spread};
use super::{Arguments, Round};
use crate::report::{Marks, Setting};
use serde::Serialize;

/// Between these two lines docs/performance.md holds the result.
pub(super) const MARKS: Marks = [
    "<!-- bench traffic: begin -->",
    "<!-- bench traffic: end -->",
];

/// The quantiles that the tools are compared at, in percent.
const COMPARED: [usize; 3] = [50, 90, 99];

/// How late stamps and generator were, in nanoseconds.
#[derive(Debug, Default)]
pub(super) struct Lateness {
    /// `firstByte` after the kernel received the answer's first segment.
    pub(super) first_byte: Vec<i64>,
    /// `end` after the kernel received the answer's last segment.
    pub(super) end: Vec<i64>,
    /// The start of a request after its place in the schedule.
    pub(super) lag: Vec<i64>,
    /// The SYN after the request's place in the schedule.
    pub(super) syn: Vec<i64>,
    /// The most that the comparison of the two clocks can be wrong.
    pub(super) doubt: i64,
    /// The most that they went apart in a round.
    pub(super) drift: i64,
}

impl Lateness {
    pub(super) fn of(conversion: &Conversion) -> Lateness {
        Lateness {
            doubt: conversion.before.doubt.max(conversion.after.doubt),
            drift: conversion.drift().abs(),
            ..Lateness::default()
        }
    }

    pub(super) fn add(&mut self, round: Lateness) {
        self.first_byte.extend(round.first_byte);
        self.end.extend(round.end);
        self.lag.extend(round.lag);
        self.syn.extend(round.syn);
        self.doubt = self.doubt.max(round.doubt);
        self.drift = self.drift.max(round.drift);
    }
}

/// Everything that is said, in microseconds.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Found {
    rate: f64,
    requests: u64,
    rounds: usize,
    beside: Option<String>,
    clocks_doubt: f64,
    clocks_drift: f64,
    late: Vec<Late>,
    latency: Vec<Compared>,
    distance: Distances,
    agree: Option<bool>,
}

/// One line of lateness.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Late {
    what: &'static str,
    n: usize,
    least: Option<f64>,
    p50: Option<f64>,
    p99: Option<f64>,
    greatest: Option<f64>,
}

/// A quantile of both tools, over the rounds.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Compared {
    quantile: String,
    ours: Option<Spread>,
    oha: Option<Spread>,
    ours_on_the_wire: Option<Spread>,
    oha_on_the_wire: Option<Spread>,
    agree: Option<bool>,
}

fn micros(nanos: i64) -> f64 {
    nanos as f64 / 1e3
}

impl Late {
    fn of(what: &'static str, samples: &[i64]) -> Late {
        let all = Distribution::of(samples.to_vec());
        Late {
            what,
            n: all.count(),
            least: all.least().map(micros),
            p50: all.quantile(50).map(micros),
            p99: all.quantile(99).map(micros),
            greatest: all.greatest().map(micros),
        }
    }
}

impl Found {
    pub(super) fn of(
        arguments: &Arguments,
        beside: Option<String>,
        late: &Lateness,
        ours: &[Round],
        theirs: &[Round],
    ) -> Found {
        let quantile = |rounds: &[Round], of: fn(&Round) -> &Distribution, percent: usize| {
            let each: Vec<f64> = rounds
                .iter()
                .filter_map(|round| of(round).quantile(percent).map(micros))
                .collect();
            Spread::of(&each)
        };
        let latency = COMPARED.map(|percent| {
            let ours_spread = quantile(ours, |it| &it.latency, percent);
            let oha_spread = quantile(theirs, |it| &it.latency, percent);
            Compared {
                quantile: format!("p{percent}"),
                ours: ours_spread,
                oha: oha_spread,
                ours_on_the_wire: quantile(ours, |it| &it.wire, percent),
                oha_on_the_wire: quantile(theirs, |it| &it.wire, percent),
                agree: ours_spread
                    .zip(oha_spread)
                    .filter(|_| ours.len() > 1)
                    .map(|(one, other)| one.agrees(&other)),
            }
        });
        let all = |rounds: &'_ [Round]| -> Vec<Distribution> {
            rounds.iter().map(|round| round.latency.clone()).collect()
        };
        let (one, other) = (all(ours), all(theirs));
        let distance = Distances::of(
            &one.iter().collect::<Vec<_>>(),
            &other.iter().collect::<Vec<_>>(),
        );
        Found {
            rate: arguments.rate,
            requests: arguments.requests,
            rounds: ours.len(),
            beside,
            clocks_doubt: micros(late.doubt),
            clocks_drift: micros(late.drift),
            late: vec![
                Late::of(
                    "`firstByte` after the kernel's first segment",
                    &late.first_byte,
                ),
                Late::of("`end` after the kernel's last segment", &late.end),
                Late::of("generator's lag: start after its place", &late.lag),
                Late::of("SYN at the kernel after its place", &late.syn),
            ],
            latency: latency.into(),
            agree: distance.agree(),
            distance,
        }
    }

    pub(super) fn json(&self, setting: &Setting) -> String {
        let document = serde_json::json!({"setting": setting, "traffic": self});
        format!("{document:#}\n")
    }

    pub(super) fn text(&self, setting: &Setting) -> String {
        let parts = [
            aligned(&self.late_cells()),
            aligned(&self.latency_cells()),
            self.words(),
            format!("{}\n", setting.text()),
        ];
        parts.join("\n")
    }

    pub(super) fn markdown(&self, setting: &Setting) -> String {
        let parts = [
            format!("{}.\n", setting.text()),
            piped(&self.late_cells()),
            piped(&self.latency_cells()),
            self.words(),
        ];
        parts.join("\n")
    }

    fn late_cells(&self) -> Vec<Vec<String>> {
        let head = ["stamps", "samples", "least", "p50", "p99", "greatest"];
        let show = |value: Option<f64>| value.map_or(String::new(), |it| format!("{it:.0} µs"));
        let lines = self.late.iter().map(|late| {
            vec![
                late.what.to_owned(),
                late.n.to_string(),
                show(late.least),
                show(late.p50),
                show(late.p99),
                show(late.greatest),
            ]
        });
        let head = head.map(str::to_owned).to_vec();
        std::iter::once(head).chain(lines).collect()
    }

    fn latency_cells(&self) -> Vec<Vec<String>> {
        let head = [
            "latency",
            "kubectl-infer",
            "oha",
            "difference",
            "wire, kubectl-infer",
            "wire, oha",
            "agree",
        ];
        let lines = self.latency.iter().map(|line| {
            let difference = line.ours.zip(line.oha);
            vec![
                line.quantile.clone(),
                spread(line.ours),
                spread(line.oha),
                difference.map_or(String::new(), |(ours, oha)| {
                    format!("{:+.0} µs", ours.median - oha.median)
                }),
                spread(line.ours_on_the_wire),
                spread(line.oha_on_the_wire),
                verdict(line.agree).to_owned(),
            ]
        });
        let head = head.map(str::to_owned).to_vec();
        std::iter::once(head).chain(lines).collect()
    }

    fn words(&self) -> String {
        let share = |spread: Option<Spread>| {
            spread.map_or("unknown".to_owned(), |it| {
                format!("{:.3} ({:.3} to {:.3})", it.median, it.least, it.greatest)
            })
        };
        let Some(beside) = &self.beside else {
            return format!(
                "UNKNOWN: nothing to compare with, because oha was not there.\n\
                 ({} rounds of {} requests at {} requests/s, each on a connection of its own; medians of \
                 the rounds, least and greatest in parentheses; {})\n",
                self.rounds,
                self.requests,
                self.rate,
                self.clocks()
            );
        };
        let word = match self.agree {
            Some(true) => "AGREE",
            Some(false) => "DIFFER",
            None => "UNKNOWN: one round cannot tell",
        };
        format!(
            "{word}: the cumulative histograms of the two tools are {} apart, those of two rounds of \
             one tool {}.\n\
             ({} rounds of {} requests with each tool, in turns, at {} requests/s, each on a connection \
             of its own; beside {beside}; medians of the rounds, least and greatest in parentheses; {})\n",
            share(self.distance.between),
            share(self.distance.within),
            self.rounds,
            self.requests,
            self.rate,
            self.clocks(),
        )
    }

    fn clocks(&self) -> String {
        format!(
            "the clocks were compared to {:.1} µs and went apart by {:.1} µs in a round at most",
            self.clocks_doubt, self.clocks_drift
        )
    }
}

fn verdict(agree: Option<bool>) -> &'static str {
    match agree {
        Some(true) => "yes",
        Some(false) => "no",
        None => "unknown",
    }
}

/// In milliseconds.
fn spread(spread: Option<Spread>) -> String {
    spread.map_or(String::new(), |it| {
        format!(
            "{:.2} ms ({:.2} to {:.2})",
            it.median / 1e3,
            it.least / 1e3,
            it.greatest / 1e3
        )
    })
}

fn aligned(lines: &[Vec<String>]) -> String {
    let width = |column: usize| {
        let cells = lines.iter().filter_map(|line| line.get(column));
        cells
            .map(|cell| cell.chars().count())
            .max()
            .unwrap_or_default()
    };
    let mut text = String::new();
    for line in lines {
        for (column, cell) in line.iter().enumerate() {
            let width = width(column);
            if column == 0 {
                text.push_str(&format!("{cell:<width$}"));
            } else {
                text.push_str(&format!("  {cell:>width$}"));
            }
        }
        text.push('\n');
    }
    text
}

fn piped(lines: &[Vec<String>]) -> String {
    let mut text = String::new();
    for (number, line) in lines.iter().enumerate() {
        text.push_str(&format!("| {} |\n", line.join(" | ")));
        if number == 0 {
            text.push_str("|---|");
            text.push_str(&"---:|".repeat(line.len().saturating_sub(1)));
            text.push('\n');
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::PathBuf;

    fn round(shift: i64) -> Round {
        let times = || Distribution::of((0..1000).map(|it| it * 10_000 + shift).collect());
        Round {
            latency: times(),
            wire: times(),
        }
    }

    fn found(shift: i64) -> Found {
        let arguments = Arguments {
            oha: Some(PathBuf::new()),
            rate: 500.0,
            requests: 1000,
        };
        let late = Lateness {
            first_byte: (1..=1000).map(|it| it * 1000).collect(),
            ..Lateness::default()
        };
        let (ours, theirs) = ([round(0), round(90_000)], [round(shift), round(shift)]);
        Found::of(&arguments, Some("oha 1".to_owned()), &late, &ours, &theirs)
    }

    #[test]
    fn tools_as_near_as_one_tool_to_itself_agree() {
        let markdown = found(50_000).markdown(&Setting::now());
        assert!(markdown.contains("AGREE: "), "{markdown}");
        assert!(
            markdown.contains("| 1000 | 1 µs | 500 µs | 990 µs | 1000 µs |"),
            "{markdown}"
        );
        let differ = found(2_000_000).markdown(&Setting::now());
        assert!(differ.contains("DIFFER: "), "{differ}");
        assert!(differ.contains("| no |"), "{differ}");
    }
}
