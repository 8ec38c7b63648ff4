//! Percentiles that are not said where there is too little to say them. Pure.

use std::fmt;
use std::time::Duration;

/// Below this many samples no percentile is said.
pub const LEAST_SAMPLES: u64 = 20;

/// Percentiles of durations.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Percentiles {
    /// How many samples.
    pub n: u64,
    /// `None` below [`LEAST_SAMPLES`].
    pub p50: Option<Duration>,
    /// `None` below [`LEAST_SAMPLES`].
    pub p95: Option<Duration>,
    /// `None` below [`LEAST_SAMPLES`].
    pub p99: Option<Duration>,
    /// `None` without samples.
    pub max: Option<Duration>,
}

impl Percentiles {
    /// Exact, by sorting (nearest rank).
    #[must_use]
    pub fn of(samples: &[Duration]) -> Self {
        let mut sorted = samples.to_vec();
        sorted.sort_unstable();
        let n = sorted.len() as u64;
        let at = |percent: usize| {
            if n < LEAST_SAMPLES {
                return None;
            }
            let rank = (sorted.len() * percent).div_ceil(100);
            sorted.get(rank.saturating_sub(1)).copied()
        };
        Self {
            n,
            p50: at(50),
            p95: at(95),
            p99: at(99),
            max: sorted.last().copied(),
        }
    }
}

/// Durations in bounded memory, to three digits, from 1 µs to 1 h.
#[derive(Clone)]
pub struct Histogram {
    micros: hdrhistogram::Histogram<u64>,
}

const LONGEST_MICROS: u64 = 3_600_000_000;
const DIGITS: u8 = 3;

impl Histogram {
    /// An empty one.
    #[must_use]
    pub fn new() -> Self {
        Self {
            micros: hdrhistogram::Histogram::new_with_bounds(1, LONGEST_MICROS, DIGITS)
                .expect("the bounds are constants that hdrhistogram takes"),
        }
    }

    /// Adds a sample. One above 1 h counts as 1 h.
    pub fn record(&mut self, sample: Duration) {
        let micros = u64::try_from(sample.as_micros()).unwrap_or(u64::MAX);
        self.micros.saturating_record(micros);
    }

    /// Adds the samples of another.
    pub fn merge(&mut self, other: &Self) {
        for recorded in other.micros.iter_recorded() {
            let (value, count) = (recorded.value_iterated_to(), recorded.count_at_value());
            self.micros.saturating_record_n(value, count);
        }
    }

    /// How many samples.
    #[must_use]
    pub fn n(&self) -> u64 {
        self.micros.len()
    }

    /// The value that `percent` of the samples do not exceed; `None` below [`LEAST_SAMPLES`].
    #[must_use]
    pub fn percentile(&self, percent: f64) -> Option<Duration> {
        (self.n() >= LEAST_SAMPLES)
            .then(|| Duration::from_micros(self.micros.value_at_percentile(percent)))
    }

    /// The largest; `None` without samples.
    #[must_use]
    pub fn max(&self) -> Option<Duration> {
        (self.n() > 0).then(|| Duration::from_micros(self.micros.max()))
    }

    /// The usual three, the largest and the count.
    #[must_use]
    pub fn percentiles(&self) -> Percentiles {
        Percentiles {
            n: self.n(),
            p50: self.percentile(50.0),
            p95: self.percentile(95.0),
            p99: self.percentile(99.0),
            max: self.max(),
        }
    }

    /// Every value with its count, in order: for a drawing, or for a comparison with another tool.
    pub fn recorded(&self) -> impl Iterator<Item = (Duration, u64)> {
        self.micros.iter_recorded().map(|recorded| {
            (
                Duration::from_micros(recorded.value_iterated_to()),
                recorded.count_at_value(),
            )
        })
    }
}

impl Default for Histogram {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for Histogram {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Histogram")
            .field(&self.percentiles())
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn millis(range: std::ops::RangeInclusive<u64>) -> Vec<Duration> {
        range.map(Duration::from_millis).collect()
    }

    #[test]
    fn no_percentile_below_twenty_samples() {
        let few = Percentiles::of(&millis(1..=19));
        assert_eq!((few.n, few.p50, few.p95, few.p99), (19, None, None, None));
        assert_eq!(few.max, Some(Duration::from_millis(19)));
        let mut histogram = Histogram::new();
        millis(1..=19)
            .into_iter()
            .for_each(|sample| histogram.record(sample));
        assert_eq!(histogram.percentile(50.0), None);
        assert!(histogram.max() >= Some(Duration::from_millis(19)));
        assert_eq!(Percentiles::of(&[]).max, None);
        assert_eq!(Histogram::new().max(), None);
    }

    #[test]
    fn nearest_rank() {
        let of = Percentiles::of(&millis(1..=100));
        assert_eq!(of.p50, Some(Duration::from_millis(50)));
        assert_eq!(of.p99, Some(Duration::from_millis(99)));
        let twenty = Percentiles::of(&millis(1..=20));
        assert_eq!(twenty.p99, Some(Duration::from_millis(20)));
    }

    #[test]
    fn the_histogram_agrees_to_three_digits_and_merges() {
        let samples = millis(1..=1000);
        let (mut one, mut other) = (Histogram::new(), Histogram::new());
        for (index, sample) in samples.iter().enumerate() {
            if index % 2 == 0 { &mut one } else { &mut other }.record(*sample);
        }
        one.merge(&other);
        let exact = Percentiles::of(&samples);
        assert_eq!(one.n(), exact.n);
        for (got, want) in [
            (one.percentiles().p50, exact.p50),
            (one.percentiles().p99, exact.p99),
            (one.percentiles().max, exact.max),
        ] {
            let (got, want) = (got.unwrap(), want.unwrap());
            assert!(got.abs_diff(want) * 500 <= want, "{got:?} {want:?}");
        }
    }
}
