//! The split: does each backend get its share?
//!
//! Stated error rates, for independent draws and whatever the unknown replies were:
//! - `match` is said in at most [`ERROR`] of the runs in which a share is not within its tolerance,
//! - `mismatch` in at most [`ERROR`] of those in which every share is, and in at most [`EARLY`]
//!   more where a run ends early for a backend that nobody reaches.
//!
//! `cargo xtask prove split` holds both against simulated runs (docs/proofs/split.md).

use std::fmt;

use serde::Serialize;

use crate::beta;
use crate::interval::{Interval, clopper_pearson};

/// How often a verdict may be wrong, over all backends of a run together.
pub const ERROR: f64 = 0.05;
/// How often a run may be ended early for nothing, over all backends together.
pub const EARLY: f64 = 0.01;
/// In how many runs the advised number of requests settles it, where the share is as it should be.
pub const POWER: f64 = 0.9;
/// The widest tolerance that is taken where none is given, in shares of one.
pub const WIDEST_DEFAULT: f64 = 0.1;
/// The tolerance for a share of nothing, or of everything, where none is given.
pub const EDGE_DEFAULT: f64 = 0.05;
/// More requests than this are not advised.
pub const MOST_ADVISED: u64 = 1_000_000;

/// The share that a backend should get.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Target {
    /// The share, from 0 to 1.
    pub share: f64,
    /// How far from it is still right, in shares of one.
    pub tolerance: f64,
}

impl Target {
    /// A share with the default tolerance: half the share, at most ten points; five points for
    /// nothing or everything, where a single request of the wrong kind decides anyway.
    #[must_use]
    pub fn new(share: f64) -> Target {
        let tolerance = if share <= 0.0 || share >= 1.0 {
            EDGE_DEFAULT
        } else {
            (share / 2.0).min(WIDEST_DEFAULT)
        };
        Target { share, tolerance }
    }

    /// The shares that are right.
    #[must_use]
    pub fn band(&self) -> Interval {
        Interval {
            low: (self.share - self.tolerance).max(0.0),
            high: (self.share + self.tolerance).min(1.0),
        }
    }
}

/// What was seen of one backend.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Counts {
    /// Requests that were answered, by whomever.
    pub sent: u64,
    /// Those that this backend answered.
    pub hits: u64,
    /// Those of which nobody knows who answered.
    pub unknown: u64,
}

/// What they prove.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    /// The share is within its tolerance.
    Match,
    /// Too little is known to say.
    Inconclusive,
    /// The share is outside of its tolerance.
    Mismatch,
}

impl Verdict {
    /// The word in reports.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Verdict::Match => "match",
            Verdict::Inconclusive => "inconclusive",
            Verdict::Mismatch => "mismatch",
        }
    }

    /// Of several backends: one mismatch decides, and else one that is not known.
    #[must_use]
    pub fn of_all(each: impl IntoIterator<Item = Verdict>) -> Verdict {
        each.into_iter().max().unwrap_or(Verdict::Inconclusive)
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// How many requests would settle it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Settles {
    /// It is settled.
    Settled,
    /// This many in all do in [`POWER`] of the runs, if the share is what it should be.
    At(u64),
    /// None would, or more than [`MOST_ADVISED`]: too many replies are unknown.
    TooManyUnknown,
    /// Enough were sent for a share that is as it should be, and this one is too near to the edge
    /// of its tolerance: this many in all do, if it goes on as it was.
    NearTheEdge(u64),
    /// As [`Settles::NearTheEdge`], and more than [`MOST_ADVISED`].
    Never,
}

impl Settles {
    /// The number, where there is one.
    #[must_use]
    pub fn requests(self) -> Option<u64> {
        match self {
            Settles::At(n) | Settles::NearTheEdge(n) => Some(n),
            Settles::Settled | Settles::TooManyUnknown | Settles::Never => None,
        }
    }
}

/// The verdict on one backend.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Judged {
    /// The verdict.
    pub verdict: Verdict,
    /// Where the share lies, whoever the unknown replies came from: with an error of [`ERROR`]
    /// over all backends.
    pub interval: Interval,
    /// How many requests would settle it.
    pub settles: Settles,
}

/// Judges one backend of `backends` in one run, whose number of requests was fixed before.
#[must_use]
pub fn judge(target: Target, counts: Counts, backends: usize) -> Judged {
    let (verdict, interval) = decide(target, counts, backends);
    let settles = match verdict {
        Verdict::Match | Verdict::Mismatch => Settles::Settled,
        Verdict::Inconclusive => settles(target, counts, backends),
    };
    Judged {
        verdict,
        interval,
        settles,
    }
}

/// The verdict and the interval of [`judge`], without the advice, which takes longer.
#[must_use]
pub fn decide(target: Target, counts: Counts, backends: usize) -> (Verdict, Interval) {
    let interval = envelope(counts, error_of(backends));
    // An exact share allows no request of the wrong kind.
    let exact = (target.share <= 0.0 && counts.hits > 0)
        || (target.share >= 1.0 && counts.hits + counts.unknown < counts.sent);
    let verdict = if counts.sent == 0 {
        Verdict::Inconclusive
    } else if exact || interval.is_apart(&target.band()) {
        Verdict::Mismatch
    } else if interval.is_within(&target.band()) {
        Verdict::Match
    } else {
        Verdict::Inconclusive
    };
    (verdict, interval)
}

/// Bonferroni: the error of one of so many backends.
fn error_of(backends: usize) -> f64 {
    ERROR / backends.max(1) as f64
}

/// The interval whoever the unknown replies came from: none of them at the lower end, all of them
/// at the upper.
fn envelope(counts: Counts, error: f64) -> Interval {
    let Counts {
        sent,
        hits,
        unknown,
    } = counts;
    let most = (hits + unknown).min(sent);
    Interval {
        low: clopper_pearson(hits, sent, error).low,
        high: clopper_pearson(most, sent, error).high,
    }
}

/// How many requests to send, where nothing is known yet: enough for every target, each settled in
/// [`POWER`] of the runs if its share is what it should be.
#[must_use]
pub fn planned(targets: &[Target]) -> Option<u64> {
    let each = targets.iter().map(|target| {
        let error = error_of(targets.len());
        least(*target, target.share, 0.0, error)
    });
    each.collect::<Option<Vec<u64>>>()?.into_iter().max()
}

/// After how many requests without a single one for this backend, and with every reply known, the
/// run may end: were its share at the lower edge of its tolerance, so long a silence would be seen
/// in at most [`EARLY`] of the runs. `None` where no silence tells.
#[must_use]
pub fn silence(target: Target, backends: usize) -> Option<u64> {
    let edge = target.band().low;
    if edge <= 0.0 || edge >= 1.0 {
        return None;
    }
    let needed = (EARLY / backends.max(1) as f64).ln() / (-edge).ln_1p();
    // The least silence that the fixed interval counts as a mismatch, too, so that both agree.
    let fixed = (error_of(backends) / 2.0).ln() / (-edge).ln_1p();
    Some(needed.max(fixed).ceil() as u64 + 1)
}

fn settles(target: Target, counts: Counts, backends: usize) -> Settles {
    let error = error_of(backends);
    let unknown = if counts.sent == 0 {
        0.0
    } else {
        counts.unknown as f64 / counts.sent as f64
    };
    let Some(wanted) = least(target, target.share, unknown, error) else {
        return Settles::TooManyUnknown;
    };
    if wanted > counts.sent {
        return Settles::At(wanted);
    }
    let known = counts.sent.saturating_sub(counts.unknown).max(1);
    let seen = counts.hits as f64 / known as f64;
    match least(target, seen, unknown, error) {
        Some(n) if n > counts.sent => Settles::NearTheEdge(n),
        _ => Settles::Never,
    }
}

/// The least number of requests, to about one in a hundred, with which a run is decided in
/// [`POWER`] of all, if the share is `share` and so many replies are unknown.
fn least(target: Target, share: f64, unknown: f64, error: f64) -> Option<u64> {
    let settled = |n: u64| is_settled(target, share, unknown, n, error);
    let mut high = 16;
    while !settled(high) {
        high *= 2;
        if high > MOST_ADVISED * 2 {
            return None;
        }
    }
    let mut low = high / 2;
    while high - low > (high / 100).max(1) {
        let middle = u64::midpoint(low, high);
        if settled(middle) {
            high = middle;
        } else {
            low = middle;
        }
    }
    (high <= MOST_ADVISED).then_some(high)
}

/// Whether `n` requests decide it in [`POWER`] of the runs. The lower end rests on the known hits,
/// the upper end on the known ones and the unknown, so each has a share of its own.
fn is_settled(target: Target, share: f64, unknown: f64, n: u64, error: f64) -> bool {
    let (known, most) = (share * (1.0 - unknown), share * (1.0 - unknown) + unknown);
    let band = target.band();
    // Whether the ends of the interval reach a share, by the binomial itself: an end is where the
    // tail has half of the error.
    let low_reaches = |hits: u64, share: f64| {
        let less = hits
            .checked_sub(1)
            .map_or(0.0, |less| beta::at_most(less, n, share));
        share <= 0.0 || 1.0 - less <= error / 2.0
    };
    let high_stays =
        |hits, share: f64| share >= 1.0 || beta::at_most(hits, n, share) <= error / 2.0;
    // From this number of hits on, the lower end is in the band; up to that, the upper end is.
    let from = first(n, |hits| low_reaches(hits, band.low));
    let up_to = first(n, |hits| !high_stays(hits, band.high));
    let too_few = if from == 0 {
        0.0
    } else {
        beta::at_most(from - 1, n, known)
    };
    let too_many = if up_to > n {
        0.0
    } else if up_to == 0 {
        1.0
    } else {
        1.0 - beta::at_most(up_to - 1, n, most)
    };
    let is_match = 1.0 - too_few - too_many;
    // Apart: the upper end stays below the band, or the lower end is above.
    let below = first(n, |hits| !high_stays(hits, band.low));
    let above = first(n, |hits| low_reaches(hits, band.high));
    let is_below = if below == 0 {
        0.0
    } else {
        beta::at_most(below - 1, n, most)
    };
    let is_above = if above > n {
        0.0
    } else {
        1.0 - beta::at_most(above.saturating_sub(1), n, known)
    };
    is_match >= POWER || is_below >= POWER || is_above >= POWER
}

/// The least number of hits, from zero to `n`, for which it holds; `n + 1` where for none. It must
/// hold for every larger number, too.
fn first(n: u64, holds: impl Fn(u64) -> bool) -> u64 {
    let (mut low, mut high) = (0, n + 1);
    while low < high {
        let middle = u64::midpoint(low, high);
        if holds(middle) {
            high = middle;
        } else {
            low = middle + 1;
        }
    }
    low
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counts(sent: u64, hits: u64, unknown: u64) -> Counts {
        Counts {
            sent,
            hits,
            unknown,
        }
    }

    fn within(share: f64, tolerance: f64) -> Target {
        Target { share, tolerance }
    }

    #[test]
    fn the_default_tolerance() {
        assert_eq!(Target::new(0.1).tolerance, 0.05);
        assert_eq!(Target::new(0.5).tolerance, 0.1);
        assert_eq!(Target::new(0.01).tolerance, 0.005);
        assert_eq!(Target::new(0.0).tolerance, 0.05);
        assert_eq!(Target::new(1.0).tolerance, 0.05);
    }

    #[test]
    fn match_mismatch_and_what_lies_between() {
        let target = Target::new(0.1);
        let judged = judge(target, counts(400, 38, 0), 1);
        assert_eq!(judged.verdict, Verdict::Match);
        assert_eq!(judged.settles, Settles::Settled);
        assert!((judged.interval.low - 0.0681).abs() < 0.0005, "{judged:?}");
        assert!((judged.interval.high - 0.1281).abs() < 0.0005, "{judged:?}");
        assert_eq!(
            judge(target, counts(400, 80, 0), 1).verdict,
            Verdict::Mismatch
        );
        let near = judge(within(0.1, 0.03), counts(200, 23, 0), 1);
        assert_eq!(near.verdict, Verdict::Inconclusive);
        assert!(matches!(near.settles, Settles::At(1000..=1600)), "{near:?}");
        assert_eq!(
            judge(target, counts(0, 0, 0), 1).verdict,
            Verdict::Inconclusive
        );
    }

    #[test]
    fn unknown_replies_can_never_decide() {
        let target = Target::new(0.1);
        // Known alone, both would be decided.
        assert_eq!(judge(target, counts(400, 38, 0), 1).verdict, Verdict::Match);
        let with = judge(target, counts(440, 38, 40), 1);
        assert_eq!(with.verdict, Verdict::Inconclusive);
        assert_eq!(with.settles, Settles::TooManyUnknown);
        let nobody = judge(target, counts(200, 0, 0), 1);
        assert_eq!(nobody.verdict, Verdict::Mismatch);
        let perhaps = judge(target, counts(200, 0, 20), 1);
        assert_eq!(perhaps.verdict, Verdict::Inconclusive);
        let all = judge(target, counts(200, 0, 200), 1);
        assert_eq!(all.verdict, Verdict::Inconclusive);
        assert_eq!(all.interval, Interval::ALL);
    }

    #[test]
    fn a_share_of_nothing_allows_nothing() {
        let nothing = Target::new(0.0);
        assert_eq!(
            judge(nothing, counts(66, 0, 0), 1).verdict,
            Verdict::Inconclusive
        );
        assert_eq!(judge(nothing, counts(100, 0, 0), 1).verdict, Verdict::Match);
        assert_eq!(
            judge(nothing, counts(1000, 1, 0), 1).verdict,
            Verdict::Mismatch
        );
        let everything = Target::new(1.0);
        assert_eq!(
            judge(everything, counts(1000, 999, 0), 1).verdict,
            Verdict::Mismatch
        );
        assert_eq!(
            judge(everything, counts(1000, 999, 1), 1).verdict,
            Verdict::Match
        );
        assert_eq!(
            judge(everything, counts(100, 100, 0), 1).verdict,
            Verdict::Match
        );
    }

    /// Without a hit the run may end, and the fixed verdict then agrees.
    #[test]
    fn silence_agrees_with_the_verdict() {
        assert_eq!(silence(Target::new(0.0), 1), None);
        assert_eq!(silence(within(0.05, 0.05), 1), None);
        for (target, backends) in [
            (Target::new(0.1), 1),
            (Target::new(0.1), 3),
            (Target::new(0.01), 1),
            (Target::new(0.5), 2),
            (within(0.9, 0.05), 1),
        ] {
            let n = silence(target, backends).unwrap();
            let judged = judge(target, counts(n, 0, 0), backends);
            assert_eq!(judged.verdict, Verdict::Mismatch, "{target:?} {n}");
        }
        assert_eq!(silence(Target::new(0.1), 1), Some(91));
    }

    /// The advice is kept: with a tenth fewer it would not hold (hits are whole, so close to it the chance is a saw-tooth).
    #[test]
    fn the_advised_number_settles() {
        for target in [
            Target::new(0.1),
            within(0.1, 0.03),
            Target::new(0.01),
            Target::new(0.5),
            Target::new(0.0),
        ] {
            let n = planned(&[target]).unwrap();
            assert!(is_settled(target, target.share, 0.0, n, ERROR));
            assert!(!is_settled(target, target.share, 0.0, n * 9 / 10, ERROR));
        }
        let n = planned(&[Target::new(0.1)]).unwrap();
        assert!((440..560).contains(&n), "{n}");
        assert_eq!(planned(&[Target::new(0.5)]).map(|n| n / 100), Some(3));
    }

    #[test]
    fn near_the_edge() {
        let judged = judge(Target::new(0.1), counts(2000, 290, 0), 1);
        assert_eq!(judged.verdict, Verdict::Inconclusive);
        assert!(
            matches!(judged.settles, Settles::NearTheEdge(20_000..)),
            "{judged:?}"
        );
        let on = judge(Target::new(0.1), counts(2000, 300, 0), 1);
        assert_eq!(on.settles, Settles::Never);
    }
}
