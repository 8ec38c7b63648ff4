//! An interval of a share, and the exact one of a fixed number of draws.

use serde::Serialize;

use crate::beta;

/// From low to high, both included; shares are fractions of one.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Interval {
    /// The lower end.
    pub low: f64,
    /// The upper end.
    pub high: f64,
}

impl Interval {
    /// Everything that a share can be.
    pub const ALL: Interval = Interval {
        low: 0.0,
        high: 1.0,
    };

    /// Whether the whole of it is within another.
    #[must_use]
    pub fn is_within(&self, other: &Interval) -> bool {
        self.low >= other.low && self.high <= other.high
    }

    /// Whether the two have nothing in common.
    #[must_use]
    pub fn is_apart(&self, other: &Interval) -> bool {
        self.high < other.low || self.low > other.high
    }
}

/// The interval of Clopper and Pearson (Biometrika 26, 1934): over repeated runs of `n` independent
/// draws it misses the true share in at most `error` of them, half of that on each side. Exact, so
/// it is wider than others. All of zero to one without draws.
#[must_use]
pub fn clopper_pearson(hits: u64, n: u64, error: f64) -> Interval {
    Interval {
        low: lower(hits, n, error / 2.0),
        high: upper(hits, n, error / 2.0),
    }
}

/// The lower end alone: above the true share in at most `error` of the runs.
#[must_use]
pub fn lower(hits: u64, n: u64, error: f64) -> f64 {
    if hits == 0 || n == 0 {
        return 0.0;
    }
    let (hits, n) = (hits.min(n), n);
    beta::quantile(hits as f64, (n - hits) as f64 + 1.0, error)
}

/// The upper end alone: below the true share in at most `error` of the runs.
#[must_use]
pub fn upper(hits: u64, n: u64, error: f64) -> f64 {
    if hits >= n {
        return 1.0;
    }
    beta::quantile(hits as f64 + 1.0, (n - hits) as f64, 1.0 - error)
}
