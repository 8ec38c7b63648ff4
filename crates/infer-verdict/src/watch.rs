//! Intervals that hold at every look at once.
//!
//! A canary is looked at again and again while it runs. An interval for a fixed number of draws is
//! wrong for that: looked at often enough, it will miss the truth in the end. The intervals here are
//! confidence sequences: the chance that one of them, at whatever look, misses the truth is at most
//! the stated error. They come from the likelihood ratio of a mixture against one share, which is a
//! martingale, and Ville's inequality (Robbins, Annals of Mathematical Statistics 41, 1970). Exact
//! for independent draws; `cargo xtask prove canary` holds them against simulated runs.

use crate::beta::ln_beta;
use crate::interval::Interval;

/// Halvings until an end of an interval is said: below a millionth.
const HALVINGS: u32 = 40;

/// Which shares a mixture expects: the interval is narrowest there, and holds everywhere.
#[derive(Clone, Copy, Debug)]
struct Mixture {
    a: f64,
    b: f64,
}

/// Shares of errors: most are near nothing.
const SHARES: Mixture = Mixture { a: 0.1, b: 1.0 };
/// How many samples are above their 95th percentile: about one in twenty.
const TAILS: Mixture = Mixture { a: 0.5, b: 9.5 };

impl Mixture {
    /// For a share: the logarithm of how much likelier the draws are under the mixture.
    fn against(self, hits: u64, n: u64) -> impl Fn(f64) -> f64 {
        let (hits, misses) = (hits as f64, (n - hits) as f64);
        let mixed = ln_beta(self.a + hits, self.b + misses) - ln_beta(self.a, self.b);
        // Nothing of nothing is certain.
        let log = |count: f64, ln: f64| if count > 0.0 { count * ln } else { 0.0 };
        move |share| mixed - log(hits, share.ln()) - log(misses, (-share).ln_1p())
    }

    fn ln_ratio(self, hits: u64, n: u64, share: f64) -> f64 {
        self.against(hits, n)(share)
    }
}

/// Where a share lies after `hits` of `n` independent draws: over all looks of a run together it
/// misses the true share in at most `error` of the runs. Everything from zero to one without draws.
#[must_use]
pub fn share(hits: u64, n: u64, error: f64) -> Interval {
    let hits = hits.min(n);
    if n == 0 {
        return Interval::ALL;
    }
    let seen = hits as f64 / n as f64;
    let bound = -error.ln();
    let ratio = SHARES.against(hits, n);
    let refuted = |share: f64| ratio(share) >= bound;
    Interval {
        low: if hits == 0 {
            0.0
        } else {
            edge(0.0, seen, refuted)
        },
        high: if hits == n {
            1.0
        } else {
            edge(1.0, seen, refuted)
        },
    }
}

/// Between a refuted value and one that is not: the refuted one that is nearest, so that an interval
/// is rather too wide than too narrow.
fn edge(mut refuted: f64, mut possible: f64, is_refuted: impl Fn(f64) -> bool) -> f64 {
    for _ in 0..HALVINGS {
        let middle = f64::midpoint(refuted, possible);
        if is_refuted(middle) {
            refuted = middle;
        } else {
            possible = middle;
        }
    }
    refuted
}

/// Where a percentile lies.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Range {
    /// At least this; zero where nothing is known.
    pub low: f64,
    /// At most this; `None` where too few samples say so.
    pub high: Option<f64>,
}

/// Where the 95th percentile of what `sorted` is drawn from lies, at every look at once, with the
/// same kind of error as [`share`]: the number of samples above the true percentile is a count of
/// draws whose share is one in twenty, whatever the distribution. Samples are positive and ascending.
#[must_use]
pub fn percentile_95(sorted: &[f64], error: f64) -> Range {
    let n = sorted.len() as u64;
    let bound = -error.ln();
    let possible = |above: u64| TAILS.ln_ratio(above, n, 0.05) < bound;
    // The ratio falls up to one in twenty and rises after it.
    let middle = (n / 20).min(n);
    let least = first(0, middle, possible);
    let most = last(middle, n, possible);
    let at = |above: u64| usize::try_from(n - above).unwrap_or(usize::MAX);
    Range {
        low: if most >= n {
            0.0
        } else {
            sorted.get(at(most) - 1).copied().unwrap_or_default()
        },
        high: if least == 0 {
            None
        } else {
            sorted.get(at(least)).copied()
        },
    }
}

/// The least number from `low` to `high` for which it holds, where it holds for `high`.
fn first(mut low: u64, mut high: u64, holds: impl Fn(u64) -> bool) -> u64 {
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

/// The largest number from `low` to `high` for which it holds, where it holds for `low`.
fn last(mut low: u64, mut high: u64, holds: impl Fn(u64) -> bool) -> u64 {
    while low < high {
        let middle = high - (high - low) / 2;
        if holds(middle) {
            low = middle;
        } else {
            high = middle - 1;
        }
    }
    low
}

/// The difference of two shares that lie in these intervals.
#[must_use]
pub fn difference(of: Interval, from: Interval) -> Interval {
    Interval {
        low: of.low - from.high,
        high: of.high - from.low,
    }
}

/// How many times larger one percentile is than another; `None` at the upper end is unknown.
#[must_use]
pub fn ratio(of: Range, from: Range) -> Range {
    Range {
        low: match from.high {
            Some(high) if high > 0.0 => of.low / high,
            _ => 0.0,
        },
        high: match of.high {
            Some(high) if from.low > 0.0 => Some(high / from.low),
            _ => None,
        },
    }
}

/// After how many draws without a hit the share is below `share`, with this error at every look.
#[must_use]
pub fn without_a_hit(share: f64, error: f64) -> u64 {
    if share <= 0.0 {
        return u64::MAX;
    }
    if share >= 1.0 {
        return 1;
    }
    let bound = -error.ln();
    let mut high = 1u64;
    while SHARES.ln_ratio(0, high, share) < bound {
        high *= 2;
    }
    first(high / 2, high, |n| SHARES.ln_ratio(0, n, share) >= bound)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::random;

    #[test]
    fn nothing_known_and_nothing_seen() {
        assert_eq!(share(0, 0, 0.05), Interval::ALL);
        let none = share(0, 400, 0.05);
        assert_eq!(none.low, 0.0);
        assert!((0.008..0.011).contains(&none.high), "{none:?}");
        let all = share(30, 30, 0.05);
        assert_eq!(all.high, 1.0);
        assert!(all.low > 0.7, "{all:?}");
        let n = without_a_hit(0.01, 0.05);
        assert!(share(0, n, 0.05).high <= 0.01 && share(0, n - 1, 0.05).high > 0.01);
    }

    /// One run is wrong if any of its looks is.
    fn wrong_runs(is_wrong: impl Fn(&mut dyn FnMut() -> f64) -> bool) -> usize {
        (1..=1000)
            .filter(|seed| is_wrong(&mut random(*seed)))
            .count()
    }

    /// Looked at after each draw; by the ratio itself, since the ends of an interval cost more.
    #[test]
    fn it_holds_at_every_look() {
        let bound = -0.05f64.ln();
        for truth in [0.002, 0.02, 0.3] {
            let wrong = wrong_runs(|next| {
                let mut hits = 0;
                (1..=600).any(|n| {
                    hits += u64::from(next() < truth);
                    SHARES.ln_ratio(hits, n, truth) >= bound
                })
            });
            assert!(wrong <= 65, "{truth}: {wrong} of 1000");
        }
    }

    /// The ends of an interval are where the ratio says.
    #[test]
    fn the_ends_are_refuted_and_what_is_within_is_not() {
        let bound = -0.05f64.ln();
        for (hits, n) in [(0, 10), (3, 40), (20, 400), (399, 400), (40, 40)] {
            let seen = share(hits, n, 0.05);
            let refuted = |share: f64| SHARES.ln_ratio(hits, n, share) >= bound;
            assert!(
                hits == 0 || refuted(seen.low * 0.999),
                "{hits} {n} {seen:?}"
            );
            assert!(hits == n || refuted(seen.high + (1.0 - seen.high) * 0.001));
            assert!(!refuted(seen.low + (seen.high - seen.low) * 0.001));
            assert!(!refuted(seen.high - (seen.high - seen.low) * 0.001));
        }
    }

    /// The control: an interval for a fixed number of draws, looked at as often, is wrong far
    /// more often than it says.
    #[test]
    fn a_fixed_interval_does_not() {
        let wrong = wrong_runs(|next| {
            let mut hits = 0u64;
            (1..=600u64).any(|n| {
                hits += u64::from(next() < 0.3);
                // Refuted by an exact test of the fixed number.
                let tail = crate::beta::at_most(hits, n, 0.3);
                let other = 1.0
                    - hits
                        .checked_sub(1)
                        .map_or(0.0, |less| crate::beta::at_most(less, n, 0.3));
                n % 10 == 0 && (tail < 0.025 || other < 0.025)
            })
        });
        assert!(wrong > 120, "{wrong} of 1000");
    }

    #[test]
    fn a_percentile_holds_at_every_look() {
        // Exponential, so its 95th percentile is the logarithm of twenty.
        let truth = 20f64.ln();
        let wrong = wrong_runs(|next| {
            let mut samples: Vec<f64> = Vec::new();
            (1..=600).any(|n| {
                let sample = -next().max(1e-12).ln();
                let at = samples.partition_point(|other| *other < sample);
                samples.insert(at, sample);
                n % 40 == 0 && {
                    let seen = percentile_95(&samples, 0.05);
                    truth < seen.low || seen.high.is_some_and(|high| truth > high)
                }
            })
        });
        assert!((5..=65).contains(&wrong), "{wrong} of 1000");
    }

    #[test]
    fn few_samples_have_no_upper_end() {
        let samples: Vec<f64> = (1..=60).map(f64::from).collect();
        assert_eq!(percentile_95(&samples, 0.05).high, None);
        assert_eq!(
            percentile_95(&[], 0.05),
            Range {
                low: 0.0,
                high: None
            }
        );
        let samples: Vec<f64> = (1..=2000).map(f64::from).collect();
        let seen = percentile_95(&samples, 0.05);
        assert!((1860.0..1900.0).contains(&seen.low), "{seen:?}");
        assert!(
            seen.high
                .is_some_and(|high| (1900.0..1940.0).contains(&high)),
            "{seen:?}"
        );
    }

    #[test]
    fn ratios_of_what_is_unknown() {
        let known = Range {
            low: 2.0,
            high: Some(4.0),
        };
        let unknown = Range {
            low: 0.0,
            high: None,
        };
        assert_eq!(
            ratio(known, known),
            Range {
                low: 0.5,
                high: Some(2.0)
            }
        );
        assert_eq!(ratio(known, unknown), unknown);
        assert_eq!(ratio(unknown, known), unknown);
    }
}
