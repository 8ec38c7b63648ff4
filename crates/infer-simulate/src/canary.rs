//! Runs of a canary: the product's machine and gate on made-up traffic.

use std::fmt::Write;

use infer_canary::gate::{self, Arm, Gate, Limits, Samples, WRONG_FAILURE, WRONG_PASS, Whole};
use infer_canary::machine::{
    Act, Canary, End, Fresh, Plan, Seen, StableSeen, State, Stored, decide,
};

use crate::dice::Dice;
use crate::runs;
use crate::split::holds;

/// Requests a second of the route.
const RATE: u64 = 20;
/// How long a run is followed, in seconds. One that holds longer is counted as holding.
const LONGEST: u64 = 45 * 60;
/// Seconds without a share, in which the canary's pods become ready.
const READY_AFTER: u64 = 60;
/// The median of the time to first token, and how its logarithm spreads: the 95th percentile is
/// nearly twice the median.
const MEDIAN_SECONDS: f64 = 0.2;
const SPREAD: f64 = 0.4;

/// How a version answers.
#[derive(Clone, Copy, Debug)]
struct Version {
    errors: f64,
    slower: f64,
    cut: f64,
}

const FINE: Version = Version {
    errors: 0.0,
    slower: 1.0,
    cut: 0.0,
};

/// What the truth is, against the limits.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Truth {
    /// Within all limits: a rollback is wrong.
    Good,
    /// Exactly at one: neither a promotion nor a rollback may be frequent.
    AtTheLimit,
    /// Beyond one: a promotion is wrong.
    Bad,
    /// Nothing is known: both are wrong.
    NoTraffic,
}

struct Cell {
    name: &'static str,
    truth: Truth,
    stable: Version,
    canary: Version,
    rate: u64,
}

fn cells() -> Vec<Cell> {
    let cell = |name, truth, canary| Cell {
        name,
        truth,
        stable: FINE,
        canary,
        rate: RATE,
    };
    let errors = |errors| Version { errors, ..FINE };
    let slower = |slower| Version { slower, ..FINE };
    let cut = |cut| Version { cut, ..FINE };
    let noise = Version {
        errors: 0.01,
        cut: 0.002,
        ..FINE
    };
    vec![
        cell("good", Truth::Good, FINE),
        Cell {
            stable: noise,
            ..cell(
                "noise: both 1 % errors, 0.2 % of streams cut",
                Truth::Good,
                noise,
            )
        },
        cell("1 % errors", Truth::AtTheLimit, errors(0.01)),
        cell("2 % errors", Truth::Bad, errors(0.02)),
        cell("5 % errors", Truth::Bad, errors(0.05)),
        cell("20 % errors", Truth::Bad, errors(0.2)),
        Cell {
            stable: noise,
            ..cell(
                "noise, and 5 % errors",
                Truth::Bad,
                Version {
                    errors: 0.05,
                    ..noise
                },
            )
        },
        cell("1.5 × time to first token", Truth::AtTheLimit, slower(1.5)),
        cell("3 × time to first token", Truth::Bad, slower(3.0)),
        cell("2 % of streams cut", Truth::Bad, cut(0.02)),
        cell("10 % of streams cut", Truth::Bad, cut(0.1)),
        Cell {
            rate: 0,
            ..cell("no traffic", Truth::NoTraffic, FINE)
        },
    ]
}

fn plan() -> Plan {
    Plan {
        steps: vec![5, 25, 50],
        step_millis: 60_000,
        ready_millis: 600_000,
        outage_millis: 30_000,
        proof_millis: 120_000,
        rollout_millis: 600_000,
        limits: Limits::default(),
        second_workload: false,
    }
}

/// How a run ended, and what it took.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Ended {
    Promoted,
    RolledBack,
    Holding,
}

struct Run {
    ended: Ended,
    /// Requests of the route from the first share to the decision.
    requests: u64,
    /// Those that the canary answered.
    canary: u64,
}

/// One answer: whether it failed, whether its stream was cut, and the time to first token.
fn answer(version: Version, dice: &mut Dice) -> (bool, bool, Option<f64>) {
    let is_cut = dice.chance(version.cut);
    let is_error = !is_cut && dice.chance(version.errors);
    let time =
        (!is_error).then(|| MEDIAN_SECONDS * version.slower * (SPREAD * dice.normal()).exp());
    (is_error || is_cut, is_cut, time)
}

/// Answers that wait to be sorted in.
#[derive(Default)]
struct Fill {
    arm: Arm,
    times: Vec<f64>,
}

impl Fill {
    fn add(&mut self, (failed, lost, time): (bool, bool, Option<f64>)) {
        self.arm.requests += 1;
        self.arm.errors += u64::from(failed);
        self.arm.streams += 1;
        self.arm.lost += u64::from(lost);
        self.times.extend(time);
    }

    fn sorted(&mut self) -> Arm {
        self.times.sort_by(f64::total_cmp);
        self.arm.first_token.clone_from(&self.times);
        self.arm.clone()
    }
}

fn run(cell: &Cell, plan: &Plan, dice: &mut Dice) -> Run {
    let mut state = State::Preparing { since: 0 };
    let mut weight = 0u8;
    let (mut stable, mut canary) = (Fill::default(), Fill::default());
    let mut before = Whole::default();
    let mut gate: Option<Gate> = None;
    let mut looked_at = 0;
    let mut sums = (0, 0);
    for second in 0..LONGEST {
        for _ in 0..cell.rate {
            if dice.chance(f64::from(weight) / 100.0) {
                canary.add(answer(cell.canary, dice));
                sums.1 += 1;
            } else {
                let answer = answer(cell.stable, dice);
                if weight == 0 {
                    before.requests += 1;
                    before.errors += u64::from(answer.0);
                }
                stable.add(answer);
            }
            sums.0 += u64::from(weight > 0);
        }
        if let State::Analysing { step, .. } = &state {
            // A look for about every twentieth answer more: looks of which no one can differ much
            // from the last are left out to save time. The stated rates allow for any number.
            let answers = canary.arm.requests;
            if gate.is_none() || answers > looked_at + looked_at / 20 {
                looked_at = answers;
                let samples = Samples {
                    stable: stable.sorted(),
                    canary: canary.sorted(),
                    unknown: Whole::default(),
                    before,
                };
                gate = Some(gate::judge(&samples, &plan.limits, plan.strictness(*step)));
            }
        }
        let seen = Seen {
            now: second * 1000,
            stored: Some(Stored::Weight(weight)),
            canary: Some(Canary {
                exists: true,
                ready: u32::from(second >= READY_AFTER),
                wanted: 1,
                restarts: 0,
                last_death: None,
            }),
            stable: Some(StableSeen::default()),
            gate: gate.as_ref(),
            fresh: Fresh::default(),
            wish: None,
            is_clear: false,
        };
        let decision = decide(plan, &state, &seen);
        match decision.act {
            Act::SetWeight(to) => weight = to,
            Act::StartSamples => {
                (stable, canary) = (Fill::default(), Fill::default());
                gate = None;
                looked_at = 0;
            }
            _ => {}
        }
        state = decision.state;
        let ended = match state {
            State::Promoting { .. } | State::Ended { end: End::Promoted } => Ended::Promoted,
            State::RollingBack { .. } => Ended::RolledBack,
            _ => continue,
        };
        return Run {
            ended,
            requests: sums.0,
            canary: sums.1,
        };
    }
    Run {
        ended: Ended::Holding,
        requests: sums.0,
        canary: sums.1,
    }
}

/// A table of so many runs for each cell, in Markdown, and whether every stated error rate holds.
#[must_use]
pub fn table(number: usize) -> (String, bool) {
    let plan = plan();
    let mut text = String::from(
        "| canary | promoted % | rolled back % | holding % | stated | holds | requests of the route: median, 90 % | of the canary: median, 90 % |\n\
         |---|---|---|---|---|---|---|---|\n",
    );
    let mut all_hold = true;
    for cell in cells() {
        let runs = runs::all(number, |mut dice| run(&cell, &plan, &mut dice));
        let of = |ended| runs.iter().filter(|run| run.ended == ended).count();
        let (promoted, rolled_back) = (of(Ended::Promoted), of(Ended::RolledBack));
        let mut stated = Vec::new();
        let mut is_held = true;
        if cell.truth != Truth::Good {
            let most = if cell.truth == Truth::NoTraffic {
                0.0
            } else {
                WRONG_PASS
            };
            stated.push(format!("promoted ≤ {:.0}", most * 100.0));
            is_held &= holds(promoted, number, most);
        }
        if cell.truth != Truth::Bad {
            let most = if cell.truth == Truth::NoTraffic {
                0.0
            } else {
                WRONG_FAILURE
            };
            stated.push(format!("rolled back ≤ {:.0}", most * 100.0));
            is_held &= holds(rolled_back, number, most);
        }
        all_hold &= is_held;
        let decided = || runs.iter().filter(|run| run.ended != Ended::Holding);
        let _ = writeln!(
            text,
            "| {} | {} | {} | {} | {} | {} | {} | {} |",
            cell.name,
            runs::percent(promoted, number),
            runs::percent(rolled_back, number),
            runs::percent(of(Ended::Holding), number),
            stated.join(", "),
            if is_held { "yes" } else { "**no**" },
            spread(decided().map(|run| run.requests).collect()),
            spread(decided().map(|run| run.canary).collect()),
        );
    }
    (text, all_hold)
}

/// Median and 90th percentile; a dash below twenty.
fn spread(mut of: Vec<u64>) -> String {
    of.sort_unstable();
    if of.len() < 20 {
        return "–".to_owned();
    }
    let at = |part: usize| {
        of.get((of.len() * part).div_ceil(100).saturating_sub(1))
            .copied()
            .unwrap_or_default()
    };
    format!("{}, {}", at(50), at(90))
}
