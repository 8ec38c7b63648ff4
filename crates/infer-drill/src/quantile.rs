//! Quantiles of few values. Below [`ENOUGH`] there is none.

use crate::moment::Millis;
use serde::Serialize;
use std::time::Duration;

/// Fewest values of which a quantile is said.
pub const ENOUGH: usize = 20;

/// Quantiles of durations, by nearest rank: each is a value that was seen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Quantiles {
    /// How many values.
    pub count: usize,
    /// Median.
    #[serde(rename = "p50Ms")]
    pub p50: Option<Millis>,
    /// Of 100, five are greater.
    #[serde(rename = "p95Ms")]
    pub p95: Option<Millis>,
    /// Of 100, one is greater.
    #[serde(rename = "p99Ms")]
    pub p99: Option<Millis>,
    /// The greatest, however few there are.
    #[serde(rename = "maxMs")]
    pub max: Option<Millis>,
}

impl Quantiles {
    /// Of these.
    pub fn of(values: impl IntoIterator<Item = Duration>) -> Quantiles {
        let mut values: Vec<Duration> = values.into_iter().collect();
        values.sort_unstable();
        let count = values.len();
        let rank = |hundredths: usize| {
            (count >= ENOUGH).then(|| {
                let rank = (count * hundredths).div_ceil(100).max(1);
                Millis(values[rank - 1])
            })
        };
        Quantiles {
            count,
            p50: rank(50),
            p95: rank(95),
            p99: rank(99),
            max: values.last().copied().map(Millis),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn up_to(count: u64) -> Quantiles {
        Quantiles::of((1..=count).rev().map(Duration::from_millis))
    }

    #[test]
    fn below_twenty_there_is_no_quantile() {
        let few = up_to(19);
        assert_eq!(
            (few.count, few.p50, few.p95, few.p99),
            (19, None, None, None)
        );
        assert_eq!(few.max, Some(Millis(Duration::from_millis(19))));
        assert_eq!(Quantiles::of([]).max, None);
    }

    #[test]
    fn a_quantile_is_a_value_that_was_seen() {
        let millis = |value: Option<Millis>| value.unwrap().0.as_millis();
        let some = up_to(20);
        assert_eq!(
            (millis(some.p50), millis(some.p95), millis(some.p99)),
            (10, 19, 20)
        );
        let more = up_to(600);
        assert_eq!(
            (millis(more.p50), millis(more.p95), millis(more.p99)),
            (300, 570, 594)
        );
    }
}
