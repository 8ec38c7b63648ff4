//! The gate: is the canary worse than the stable version?
//!
//! It is asked again and again while a step runs, so its intervals hold at every look at once
//! ([`infer_verdict::watch`]). Two errors are possible, and each has its own budget:
//! - a wrong pass, of a canary that is worse than a limit: at most [`WRONG_PASS`] of the runs for
//!   each metric, at the last step, which asks for the limits themselves;
//! - a wrong failure, of a canary that is within all limits: at most [`WRONG_FAILURE`] of the runs,
//!   over all metrics and steps together.
//!
//! `cargo xtask prove canary` holds both against simulated runs (docs/proofs/canary.md).

use infer_verdict::interval::Interval;
use infer_verdict::watch::{self, Range};
use serde::{Deserialize, Serialize};

/// How often a canary that is beyond a limit may be taken for one within it.
pub const WRONG_PASS: f64 = 0.05;
/// How often a canary that is within all limits may fail in a whole run.
pub const WRONG_FAILURE: f64 = 0.05;

/// How much worse a canary may be.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Limits {
    /// Share of errors above the stable version's, from 0 to 1.
    pub errors: f64,
    /// The 95th percentile of the time to first token, in multiples of the stable version's.
    pub first_token: f64,
    /// Share of lost streams above the stable version's that is surely too much, from 0 to 1.
    pub lost_streams: f64,
}

impl Default for Limits {
    /// One point more errors, half again of the time to first token, no lost stream more.
    fn default() -> Limits {
        Limits {
            errors: 0.01,
            first_token: 1.5,
            lost_streams: 0.0,
        }
    }
}

/// What was seen of one version.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Arm {
    /// Requests that it answered, or that failed at it.
    pub requests: u64,
    /// Those that failed, lost streams among them.
    pub errors: u64,
    /// Those that asked for a stream.
    pub streams: u64,
    /// Streams that began and did not end as they should.
    pub lost: u64,
    /// Times to first token, in seconds, ascending.
    pub first_token: Vec<f64>,
}

impl Arm {
    /// Adds a request. `first_token` is in seconds.
    pub fn add(&mut self, failed: bool, stream: bool, lost: bool, first_token: Option<f64>) {
        self.requests += 1;
        self.errors += u64::from(failed);
        self.streams += u64::from(stream);
        self.lost += u64::from(lost);
        if let Some(time) = first_token.filter(|time| time.is_finite() && *time > 0.0) {
            let at = self.first_token.partition_point(|other| *other < time);
            self.first_token.insert(at, time);
        }
    }
}

/// Requests and how many of them failed, whoever was asked.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Whole {
    /// Requests.
    pub requests: u64,
    /// Those that failed.
    pub errors: u64,
}

/// What was seen since a step began.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Samples {
    /// Answers of the stable version.
    pub stable: Arm,
    /// Answers of the canary.
    pub canary: Arm,
    /// Requests of which nobody knows who answered. They can never decide; those that failed stand
    /// against a pass.
    pub unknown: Whole,
    /// All requests of the route before the canary had a share.
    pub before: Whole,
}

/// What is compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Metric {
    /// Errors of the canary and the stable version.
    Errors,
    /// The 95th percentile of the time to first token.
    FirstToken,
    /// Streams that were cut.
    LostStreams,
    /// Errors of the whole route, whoever answered, and before the canary had a share. It can fail a
    /// canary that is too broken to be recognised as the one who answered, and never pass one.
    Route,
}

/// How many metrics can fail a canary.
const METRICS: f64 = 4.0;

impl Metric {
    /// Its name in reports.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Metric::Errors => "errors",
            Metric::FirstToken => "ttft p95",
            Metric::LostStreams => "lost streams",
            Metric::Route => "route",
        }
    }
}

/// What a gate says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    /// Within the limit.
    Pass,
    /// Too little is known: hold.
    Inconclusive,
    /// Beyond the limit.
    Fail,
}

impl Verdict {
    /// The word in reports.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Verdict::Pass => "pass",
            Verdict::Inconclusive => "inconclusive",
            Verdict::Fail => "fail",
        }
    }
}

/// One metric of a gate.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Compared {
    /// Which.
    pub metric: Metric,
    /// Of the stable version: a share from 0 to 1, or seconds. `None` is unknown.
    pub stable: Option<f64>,
    /// Of the canary.
    pub canary: Option<f64>,
    /// Counts behind it: what was hit, of how many; for times the number of samples twice.
    pub counts: [(u64, u64); 2],
    /// The difference of shares, or the ratio of times, with an error of [`WRONG_PASS`]. `None` at
    /// the upper end is unknown.
    pub difference: (f64, Option<f64>),
    /// What is allowed at this step: a difference of shares, or a ratio.
    pub limit: f64,
    /// The verdict.
    pub verdict: Verdict,
    /// About how many more requests to the canary would settle it, if nothing bad comes.
    pub needs: Option<u64>,
}

/// What the gate says at one look.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Gate {
    /// Metric by metric.
    pub metrics: Vec<Compared>,
    /// A failure of one is a failure; a pass takes all.
    pub verdict: Verdict,
    /// Requests of which nobody knows who answered.
    pub unknown: Whole,
}

/// How strictly a step is judged.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Strictness {
    /// Steps of the whole run, which share the budget of wrong failures.
    pub steps: usize,
    /// The share that the canary gets next, in percent, 100 for a promotion. What a step must
    /// exclude is what the next one risks: that the clients of the route, taken together, see more
    /// than the limit. So before 25 % four times the limit is asked for, and the limit itself
    /// before a promotion.
    pub next_weight: u8,
}

/// Judges what was seen. Without traffic everything is inconclusive.
#[must_use]
pub fn judge(samples: &Samples, limits: &Limits, strictness: Strictness) -> Gate {
    let look = Look {
        samples,
        limits,
        // Two intervals are compared, each with half of the error.
        pass: WRONG_PASS / 2.0,
        failure: WRONG_FAILURE / (METRICS * strictness.steps.max(1) as f64) / 2.0,
        looser: 100.0 / f64::from(strictness.next_weight.clamp(1, 100)),
    };
    let metrics = vec![
        look.errors(),
        look.first_token(),
        look.lost_streams(),
        look.route(),
    ];
    let decides = metrics
        .iter()
        .filter(|compared| compared.metric != Metric::Route || compared.verdict == Verdict::Fail);
    let verdict = decides.map(|compared| compared.verdict).max();
    Gate {
        verdict: verdict.unwrap_or(Verdict::Inconclusive),
        metrics,
        unknown: samples.unknown,
    }
}

impl Gate {
    /// The metrics that fail.
    pub fn failing(&self) -> impl Iterator<Item = &Compared> {
        self.metrics
            .iter()
            .filter(|compared| compared.verdict == Verdict::Fail)
    }

    /// About how many more requests to the canary are needed at least.
    #[must_use]
    pub fn needs(&self) -> Option<u64> {
        self.metrics.iter().filter_map(|it| it.needs).max()
    }
}

struct Look<'a> {
    samples: &'a Samples,
    limits: &'a Limits,
    pass: f64,
    failure: f64,
    looser: f64,
}

/// Hits of so many.
type Count = (u64, u64);

impl Look<'_> {
    fn shares(
        &self,
        metric: Metric,
        [stable, canary]: [Count; 2],
        at_worst: Count,
        [fail_above, pass_below]: [f64; 2],
    ) -> Compared {
        let apart = |canary: Count, error: f64| -> Interval {
            watch::difference(
                watch::share(canary.0, canary.1, error),
                watch::share(stable.0, stable.1, error),
            )
        };
        let surely = apart(canary, self.failure);
        let seen = apart(canary, self.pass);
        let worst = apart(at_worst, self.pass);
        let is_known = stable.1 > 0 && canary.1 > 0;
        let verdict = if is_known && surely.low > fail_above {
            Verdict::Fail
        } else if is_known && worst.high <= pass_below {
            Verdict::Pass
        } else {
            Verdict::Inconclusive
        };
        let wanted = watch::without_a_hit(pass_below, self.pass);
        let share = |(hits, n): Count| (n > 0).then(|| hits as f64 / n as f64);
        Compared {
            metric,
            stable: share(stable),
            canary: share(canary),
            counts: [stable, canary],
            difference: (seen.low, Some(seen.high)),
            limit: fail_above,
            verdict,
            needs: (verdict == Verdict::Inconclusive)
                .then(|| wanted.saturating_sub(canary.1).max(1)),
        }
    }

    fn errors(&self) -> Compared {
        let Samples {
            stable,
            canary,
            unknown,
            ..
        } = self.samples;
        let worst = (
            canary.errors + unknown.errors,
            canary.requests + unknown.errors,
        );
        let counts = [
            (stable.errors, stable.requests),
            (canary.errors, canary.requests),
        ];
        let limit = self.limits.errors;
        self.shares(Metric::Errors, counts, worst, [limit, limit * self.looser])
    }

    fn lost_streams(&self) -> Compared {
        let Samples { stable, canary, .. } = self.samples;
        let counts = [(stable.lost, stable.streams), (canary.lost, canary.streams)];
        if canary.streams == 0 && stable.streams == 0 && canary.requests > 0 {
            // Nobody asks for streams: there is none to lose.
            return Compared {
                metric: Metric::LostStreams,
                stable: None,
                canary: None,
                counts,
                difference: (0.0, None),
                limit: self.limits.lost_streams,
                verdict: Verdict::Pass,
                needs: None,
            };
        }
        // That not one stream more is lost is beyond proof. Surely more is a failure, and what is
        // allowed for errors must be excluded for a pass.
        let pass_below = (self.limits.lost_streams + self.limits.errors) * self.looser;
        self.shares(
            Metric::LostStreams,
            counts,
            counts[1],
            [self.limits.lost_streams, pass_below],
        )
    }

    fn route(&self) -> Compared {
        let Samples {
            stable,
            canary,
            unknown,
            before,
        } = self.samples;
        let all = (
            stable.errors + canary.errors + unknown.errors,
            stable.requests + canary.requests + unknown.requests,
        );
        let counts = [(before.errors, before.requests), all];
        let limit = self.limits.errors;
        let compared = self.shares(Metric::Route, counts, all, [limit, limit]);
        Compared {
            needs: None,
            ..compared
        }
    }

    fn first_token(&self) -> Compared {
        let (stable, canary) = (
            &self.samples.stable.first_token,
            &self.samples.canary.first_token,
        );
        let apart = |error: f64| -> Range {
            watch::ratio(
                watch::percentile_95(canary, error),
                watch::percentile_95(stable, error),
            )
        };
        let limit = self.limits.first_token;
        let allowed = 1.0 + (limit - 1.0) * self.looser;
        let (surely, seen) = (apart(self.failure), apart(self.pass));
        let verdict = if surely.low > limit {
            Verdict::Fail
        } else if seen.high.is_some_and(|high| high <= allowed) {
            Verdict::Pass
        } else {
            Verdict::Inconclusive
        };
        let counts = |samples: &Vec<f64>| (samples.len() as u64, samples.len() as u64);
        Compared {
            metric: Metric::FirstToken,
            stable: percentile(stable),
            canary: percentile(canary),
            counts: [counts(stable), counts(canary)],
            difference: (seen.low, seen.high),
            limit,
            verdict,
            needs: (verdict == Verdict::Inconclusive).then(|| {
                let wanted = FEW_TAILS.saturating_sub(canary.len() as u64);
                wanted.max(1)
            }),
        }
    }
}

/// About how many samples a percentile needs for an upper end (`watch::percentile_95` at half of
/// [`WRONG_PASS`]; a test holds it).
const FEW_TAILS: u64 = 96;
/// Below this many samples no percentile is said.
const LEAST_SAMPLES: usize = 20;

/// The nearest rank of the 95th percentile.
fn percentile(sorted: &[f64]) -> Option<f64> {
    if sorted.len() < LEAST_SAMPLES {
        return None;
    }
    let rank = (sorted.len() * 95).div_ceil(100);
    sorted.get(rank - 1).copied()
}
