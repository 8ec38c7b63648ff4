//! Whether clients saw no more than they may, and how sure that is.

use crate::account::{Account, Tally};
use crate::budget::{Budgets, percent};
use crate::lane::Kind;
use crate::moment::span;
use serde::Serialize;
use std::time::Duration;

/// Exit code of a drill that is done, within its budgets where it has any.
pub const DONE: u8 = 0;
/// Exit code of a drill that broke a budget.
pub const BROKEN: u8 = 2;
/// Exit code of a drill that proved nothing.
pub const INCONCLUSIVE: u8 = 4;

/// The result.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Outcome {
    /// Within every budget.
    Pass,
    /// A budget is broken.
    Fail,
    /// Nothing is proven.
    Inconclusive,
    /// There was no budget to judge by.
    Told,
}

/// A budget against what was seen.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Judged {
    /// The flag: `--max-outage`.
    pub budget: &'static str,
    /// Whether what was seen is more than it allows.
    pub is_broken: bool,
    /// What was seen, and the limit, in words.
    pub text: String,
}

/// The verdict.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Verdict {
    /// The result.
    pub outcome: Outcome,
    /// Each budget.
    pub budgets: Vec<Judged>,
    /// Why nothing is proven, or what makes the result less sure.
    pub doubts: Vec<String>,
    /// The share of GET and POST requests that failed, with what it counts.
    pub error_rate: Option<f64>,
    /// What the error rate counts.
    pub counted: Tally,
    /// Streams that failed, of those that were open at T0 or started after it.
    pub lost_streams: u64,
}

/// What is known of the fault.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FaultState {
    /// It was never sent, for this reason.
    NotSent(String),
    /// It was sent, and not seen to have happened, for this reason.
    NotVerified(String),
    /// It was seen to have happened.
    Verified,
}

/// What the verdict rests on.
#[derive(Clone, Debug)]
pub struct Basis<'a> {
    /// The budgets.
    pub budgets: Budgets,
    /// What clients saw, lane by lane.
    pub accounts: &'a [Account],
    /// What is known of the fault.
    pub fault: FaultState,
    /// Time between two requests of a lane.
    pub precision: Duration,
    /// Whether it was interrupted.
    pub is_interrupted: bool,
    /// How far the generator was behind its schedule at most, where that was more than a tenth of
    /// the time between two requests would allow to overlook.
    pub lag: Duration,
}

impl Verdict {
    /// The exit code of a drill that ran to its end.
    pub fn exit(&self) -> u8 {
        match self.outcome {
            Outcome::Pass | Outcome::Told => DONE,
            Outcome::Fail => BROKEN,
            Outcome::Inconclusive => INCONCLUSIVE,
        }
    }

    /// Judges.
    pub fn of(basis: &Basis<'_>) -> Verdict {
        let mut doubts = Vec::new();
        // Whether the budgets can be judged at all.
        let mut proves = true;
        match &basis.fault {
            FaultState::NotSent(reason) => {
                proves = false;
                doubts.push(format!("the fault was not sent: {reason}"));
            }
            FaultState::NotVerified(reason) => {
                proves = false;
                doubts.push(format!("the fault was not seen to happen: {reason}"));
            }
            FaultState::Verified => {}
        }
        if basis.is_interrupted {
            proves = false;
            doubts.push("interrupted: what came later is not known".to_owned());
        }
        let of = |kind: fn(Kind) -> bool| {
            let own = basis.accounts.iter().filter(move |it| kind(it.lane.kind));
            own.map(Account::total).fold(Tally::default(), Tally::plus)
        };
        let short = of(|kind| kind != Kind::Stream);
        let streams = of(|kind| kind == Kind::Stream);
        let after: u64 = basis.accounts.iter().map(|it| it.after.sent).sum();
        if after == 0 && proves {
            proves = false;
            doubts.push("no request was sent after the fault".to_owned());
        }
        if basis.lag > basis.precision {
            doubts.push(format!(
                "the generator was up to {} behind its schedule: this machine was too busy to keep it",
                span(basis.lag)
            ));
        }
        let mut budgets = Vec::new();
        let mut unsettled = false;
        if let Some(most) = basis.budgets.max_outage {
            let (judged, doubt) = outage(basis, most);
            unsettled |= doubt.is_some() && !judged.is_broken;
            doubts.extend(doubt);
            budgets.push(judged);
        }
        if let Some(most) = basis.budgets.max_error_rate {
            match short.error_rate() {
                None => {
                    unsettled = true;
                    doubts.push(
                        "no GET or POST ended after the fault, so there is no error rate"
                            .to_owned(),
                    );
                }
                Some(rate) => budgets.push(Judged {
                    budget: "--max-error-rate",
                    is_broken: rate > most,
                    text: format!(
                        "errors {} ({} of {}), at most {}",
                        percent(rate),
                        short.failed,
                        short.answered + short.failed,
                        percent(most)
                    ),
                }),
            }
        }
        let baseline = basis
            .accounts
            .iter()
            .map(|account| account.baseline)
            .fold(Tally::default(), Tally::plus);
        if baseline.failed > 0 && proves {
            doubts.push(format!(
                "{} of {} requests failed in the baseline already: what failed later need not be the fault's",
                baseline.failed, baseline.sent
            ));
        }
        let hanging = |kind: fn(Kind) -> bool| -> u64 {
            let own = basis.accounts.iter().filter(|it| kind(it.lane.kind));
            own.map(|it| it.in_flight.tally.open).sum()
        };
        let all = hanging(|_| true);
        if all > 0 && proves {
            doubts.push(format!(
                "{all} of the requests that were open at the fault had not ended when the drill ended: a longer --duration shows what becomes of them"
            ));
        }
        if let Some(most) = basis.budgets.max_lost_streams {
            let could_be = streams.failed + hanging(|kind| kind == Kind::Stream);
            unsettled |= streams.failed <= most && could_be > most;
            if streams.sent == 0 {
                unsettled = true;
                doubts.push(
                    "no stream was open at the fault or started after it, so none could be lost"
                        .to_owned(),
                );
            }
            budgets.push(Judged {
                budget: "--max-lost-streams",
                is_broken: streams.failed > most,
                text: format!(
                    "lost streams {} of {}, at most {most}",
                    streams.failed, streams.sent
                ),
            });
        }
        if matches!(basis.fault, FaultState::NotSent(_)) {
            // What was lost without a fault is no answer to the question.
            budgets.clear();
        }
        let is_broken = budgets.iter().any(|judged| judged.is_broken);
        let outcome = match () {
            () if !proves => Outcome::Inconclusive,
            () if is_broken => Outcome::Fail,
            () if unsettled => Outcome::Inconclusive,
            () if basis.budgets.is_empty() => Outcome::Told,
            () => Outcome::Pass,
        };
        Verdict {
            outcome,
            budgets,
            doubts,
            error_rate: short.error_rate(),
            counted: short,
            lost_streams: streams.failed,
        }
    }
}

/// The outage budget against the worst lane, and what makes it less than sure.
fn outage(basis: &Basis<'_>, most: Duration) -> (Judged, Option<String>) {
    let lanes = basis
        .accounts
        .iter()
        .filter_map(|account| Some((account.lane, account.outage.as_ref()?)));
    let worst = lanes.clone().max_by_key(|(_, outages)| outages.total);
    let open = lanes
        .clone()
        .find(|(_, outages)| !outages.is_over && !outages.windows.is_empty());
    let total = worst.map_or(Duration::ZERO, |(_, outages)| outages.total.0);
    let precision = span(basis.precision);
    let text = match worst.filter(|(_, outages)| !outages.windows.is_empty()) {
        None => format!("outage none (±{precision}), at most {}", span(most)),
        Some((lane, _)) => format!(
            "outage {}{} ±{precision} ({lane}), at most {}",
            if open.is_some() { "at least " } else { "" },
            span(total),
            span(most)
        ),
    };
    let judged = Judged {
        budget: "--max-outage",
        is_broken: total > most,
        text,
    };
    let doubt = open.map(|(lane, _)| {
        format!("the outage of lane {lane} was not over when the drill ended: a longer --duration shows its end")
    });
    (judged, doubt)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lane::Lane;
    use crate::sample::tests::{answered, failed};
    use crate::sample::{End, Sample};

    /// GETs each 100 ms from T0 (`.` answered, `x` failed), and streams that were open at T0.
    fn accounts(gets: &str, streams: &str) -> Vec<Account> {
        let get = |(index, sign): (usize, char)| match sign {
            'x' => failed(Lane::GET, index as u64, 100 * index as i64),
            _ => answered(Lane::GET, index as u64, 100 * index as i64),
        };
        let stream = |(index, sign): (usize, char)| match sign {
            '?' => Sample {
                end: End::Open,
                ..answered(Lane::STREAMS, index as u64, -10)
            },
            'x' => failed(Lane::STREAMS, index as u64, -10),
            _ => answered(Lane::STREAMS, index as u64, -10),
        };
        let samples: Vec<Sample> = gets
            .chars()
            .enumerate()
            .map(get)
            .chain(streams.chars().enumerate().map(stream))
            .collect();
        Lane::ALL
            .iter()
            .map(|lane| Account::of(*lane, &samples, true))
            .collect()
    }

    const ALL: Budgets = Budgets {
        max_outage: Some(Duration::from_millis(200)),
        max_error_rate: Some(0.2),
        max_lost_streams: Some(1),
    };

    fn judge(gets: &str, streams: &str, budgets: Budgets, fault: FaultState) -> Verdict {
        Verdict::of(&Basis {
            budgets,
            accounts: &accounts(gets, streams),
            fault,
            precision: Duration::from_millis(100),
            is_interrupted: false,
            lag: Duration::ZERO,
        })
    }

    #[test]
    fn budgets_decide() {
        let table = [
            ("..........", "....", Outcome::Pass, 0),
            (".xx.......", "....", Outcome::Pass, 0),
            (".xxx......", "....", Outcome::Fail, 2),
            ("..........", "..x.", Outcome::Pass, 0),
            ("..........", "x.x.", Outcome::Fail, 2),
            // One that hangs may be lost; that one is allowed.
            ("..........", "?...", Outcome::Pass, 0),
            ("..........", "?.x.", Outcome::Inconclusive, 4),
            // 0.3 s at least, and more than 20 % failed.
            ("......xxxx", "....", Outcome::Fail, 2),
            // Within the budget so far, and not over.
            ("........x.", "....", Outcome::Inconclusive, 4),
            ("", "....", Outcome::Inconclusive, 4),
            ("..........", "", Outcome::Inconclusive, 4),
        ];
        for (gets, streams, outcome, exit) in table {
            let verdict = judge(gets, streams, ALL, FaultState::Verified);
            assert_eq!(verdict.outcome, outcome, "{gets} {streams} {verdict:?}");
            assert_eq!(verdict.exit(), exit);
        }
        let verdict = judge(".xxx......", "x.x.", ALL, FaultState::Verified);
        let texts: Vec<&str> = verdict.budgets.iter().map(|it| it.text.as_str()).collect();
        assert_eq!(
            texts,
            [
                "outage 300ms ±100ms (GET new), at most 200ms",
                "errors 30% (3 of 10), at most 20%",
                "lost streams 2 of 4, at most 1"
            ]
        );
    }

    #[test]
    fn a_fault_that_was_not_seen_proves_nothing() {
        for fault in [
            FaultState::NotVerified("timeout".to_owned()),
            FaultState::NotSent("the route fails already".to_owned()),
        ] {
            for gets in ["..........", "xxxxxxxxxx"] {
                let verdict = judge(gets, "xx", ALL, fault.clone());
                assert_eq!(verdict.outcome, Outcome::Inconclusive);
                assert_eq!(verdict.exit(), 4);
                assert!(verdict.doubts[0].starts_with("the fault was not"));
                let is_sent = matches!(fault, FaultState::NotVerified(_));
                assert_eq!(!verdict.budgets.is_empty(), is_sent);
            }
        }
    }

    #[test]
    fn without_budgets_what_was_seen_is_told() {
        let none = Budgets::default();
        let verdict = judge("xxxxxxxxxx", "xx", none, FaultState::Verified);
        assert_eq!((verdict.outcome, verdict.exit()), (Outcome::Told, 0));
        assert_eq!(verdict.error_rate, Some(1.0));
        assert_eq!(verdict.lost_streams, 2);
        let quiet = judge("", "", none, FaultState::Verified);
        assert_eq!(quiet.outcome, Outcome::Inconclusive, "no traffic");
    }

    #[test]
    fn an_interrupted_drill_and_a_busy_generator_are_doubted() {
        let accounts = accounts("..........", "..");
        let mut basis = Basis {
            budgets: ALL,
            accounts: &accounts,
            fault: FaultState::Verified,
            precision: Duration::from_millis(100),
            is_interrupted: true,
            lag: Duration::ZERO,
        };
        assert_eq!(Verdict::of(&basis).outcome, Outcome::Inconclusive);
        basis.is_interrupted = false;
        basis.lag = Duration::from_millis(150);
        let verdict = Verdict::of(&basis);
        assert_eq!(verdict.outcome, Outcome::Pass);
        assert!(verdict.doubts[0].contains("150ms behind"));
    }
}
