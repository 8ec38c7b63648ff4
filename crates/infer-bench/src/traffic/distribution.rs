//! Samples with a sign, their quantiles, and how far two sets of them are apart. Pure.

use serde::Serialize;

/// Fewer samples than this give no quantile.
const FEWEST: usize = 20;

/// Samples in nanoseconds.
#[derive(Clone, Debug, Default)]
pub(crate) struct Distribution {
    sorted: Vec<i64>,
}

impl Distribution {
    /// Of samples in any order.
    pub(crate) fn of(mut samples: Vec<i64>) -> Distribution {
        samples.sort_unstable();
        Distribution { sorted: samples }
    }

    pub(crate) fn count(&self) -> usize {
        self.sorted.len()
    }

    pub(crate) fn least(&self) -> Option<i64> {
        self.sorted.first().copied()
    }

    pub(crate) fn greatest(&self) -> Option<i64> {
        self.sorted.last().copied()
    }

    /// Nearest rank; none of fewer than 20 samples, nor where not even one may lie above.
    pub(crate) fn quantile(&self, percent: usize) -> Option<i64> {
        let count = self.sorted.len();
        if count < FEWEST || count * (100 - percent.min(100)) < 100 {
            return None;
        }
        let rank = (count * percent).div_ceil(100);
        self.sorted.get(rank.saturating_sub(1)).copied()
    }

    /// The greatest distance of the two cumulative distributions, from 0 to 1 (the statistic of
    /// Kolmogorov and Smirnov); none where one is empty.
    pub(crate) fn distance(&self, other: &Distribution) -> Option<f64> {
        let (one, two) = (&self.sorted, &other.sorted);
        if one.is_empty() || two.is_empty() {
            return None;
        }
        let (mut below_one, mut below_two, mut greatest) = (0, 0, 0.0_f64);
        while let (Some(first), Some(second)) = (one.get(below_one), two.get(below_two)) {
            // All that equal the smaller of the two are passed before the two are compared.
            let value = *first.min(second);
            below_one += equal_to(value, one, below_one);
            below_two += equal_to(value, two, below_two);
            let share = |below: usize, all: &[i64]| below as f64 / all.len() as f64;
            greatest = greatest.max((share(below_one, one) - share(below_two, two)).abs());
        }
        Some(greatest)
    }
}

fn equal_to(value: i64, sorted: &[i64], from: usize) -> usize {
    let rest = sorted.get(from..).unwrap_or_default();
    rest.iter().take_while(|sample| **sample == value).count()
}

/// A figure over the rounds: median, least and greatest.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub(crate) struct Spread {
    pub(crate) median: f64,
    pub(crate) least: f64,
    pub(crate) greatest: f64,
}

impl Spread {
    /// None of nothing.
    pub(crate) fn of(values: &[f64]) -> Option<Spread> {
        Some(Spread {
            median: crate::figures::median(values)?,
            least: values.iter().copied().min_by(f64::total_cmp)?,
            greatest: values.iter().copied().max_by(f64::total_cmp)?,
        })
    }

    fn width(&self) -> f64 {
        self.greatest - self.least
    }

    /// Whether two tools' medians differ by no more than one tool's own rounds do.
    pub(crate) fn agrees(&self, other: &Spread) -> bool {
        (self.median - other.median).abs() <= self.width().max(other.width())
    }
}

/// How far the histograms of two tools are apart, and those of one tool from each other.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub(crate) struct Distances {
    /// Of each round of one tool to each of the other.
    pub(crate) between: Option<Spread>,
    /// Of two rounds of the same tool.
    pub(crate) within: Option<Spread>,
}

impl Distances {
    pub(crate) fn of(one: &[&Distribution], other: &[&Distribution]) -> Distances {
        let between: Vec<f64> = one
            .iter()
            .flat_map(|first| other.iter().filter_map(|second| first.distance(second)))
            .collect();
        let pairs = |all: &[&Distribution]| -> Vec<f64> {
            let each = all.iter().enumerate();
            each.flat_map(|(index, first)| {
                let later = all.iter().skip(index + 1);
                later.filter_map(|second| first.distance(second))
            })
            .collect()
        };
        let within = [pairs(one), pairs(other)].concat();
        Distances {
            between: Spread::of(&between),
            within: Spread::of(&within),
        }
    }

    /// Whether two rounds of different tools are typically no further apart than two rounds of one
    /// tool can be; none where there are too few rounds to say.
    pub(crate) fn agree(&self) -> Option<bool> {
        Some(self.between?.median <= self.within?.greatest)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn range(from: i64, to: i64) -> Distribution {
        Distribution::of((from..=to).rev().collect())
    }

    #[test]
    fn quantiles_are_nearest_rank_and_few_samples_have_none() {
        // The rank is rounded up.
        assert_eq!(range(1, 21).quantile(50), Some(11));
        let hundred = range(1, 100);
        assert_eq!(hundred.quantile(50), Some(50));
        assert_eq!(hundred.quantile(99), Some(99));
        assert_eq!((hundred.least(), hundred.greatest()), (Some(1), Some(100)));
        assert_eq!(range(1, 99).quantile(99), None);
        assert_eq!(range(1, 19).quantile(50), None);
        assert_eq!(range(-20, -1).quantile(50), Some(-11));
    }

    #[test]
    fn the_distance_is_that_of_the_cumulative_distributions() {
        let apart = range(1, 100).distance(&range(101, 200));
        assert_eq!(apart, Some(1.0));
        assert_eq!(range(1, 100).distance(&range(1, 100)), Some(0.0));
        // Shifted by a tenth.
        let shifted = range(1, 100).distance(&range(11, 110)).unwrap();
        assert!((shifted - 0.1).abs() < 1e-9, "{shifted}");
        // Ties and other sizes: half of one lies where nothing of the other does.
        let two = Distribution::of(vec![1, 1, 5, 5]);
        assert_eq!(two.distance(&Distribution::of(vec![5])), Some(0.5));
        assert_eq!(two.distance(&Distribution::default()), None);
    }

    #[test]
    fn tools_agree_within_what_one_tool_differs_from_itself() {
        let (calm, same, other) = (range(1, 100), range(4, 103), range(2, 101));
        let (far, farther) = (range(51, 150), range(52, 151));
        let agreeing = Distances::of(&[&calm, &same], &[&other, &calm]);
        assert_eq!(agreeing.agree(), Some(true), "{agreeing:?}");
        let apart = Distances::of(&[&calm, &other], &[&far, &farther]);
        assert_eq!(apart.agree(), Some(false), "{apart:?}");
        assert_eq!(Distances::of(&[&calm], &[&other]).agree(), None);
        let spread = |values: &[f64]| Spread::of(values).unwrap();
        assert!(spread(&[5.0, 5.3]).agrees(&spread(&[5.4, 5.4])));
        assert!(!spread(&[5.0, 5.1]).agrees(&spread(&[5.4, 5.4])));
    }
}
