//! Medians, percentiles and the rows that tables are made of.

use serde::Serialize;
use std::time::Duration;

/// Fewer samples than this give no percentile.
const FEWEST: usize = 20;

/// The median; none of nothing.
pub(crate) fn median(values: &[f64]) -> Option<f64> {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let middle = sorted.len() / 2;
    let upper = *sorted.get(middle)?;
    if sorted.len() % 2 == 1 {
        return Some(upper);
    }
    Some((upper + sorted.get(middle.checked_sub(1)?)?) / 2.0)
}

/// A percentile, in seconds; none where there are too few samples for it: 20 at least, and one that
/// may lie above.
pub(crate) fn percentile(samples: &[Duration], percent: f64) -> Option<f64> {
    let count = samples.len();
    if count < FEWEST || (count as f64) * (100.0 - percent) < 100.0 {
        return None;
    }
    let mut sorted = samples.to_vec();
    sorted.sort_unstable();
    let rank = (percent / 100.0 * count as f64).ceil() as usize;
    sorted
        .get(rank.saturating_sub(1))
        .map(Duration::as_secs_f64)
}

/// What a figure counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) enum Unit {
    Seconds,
    Bytes,
    PerSecond,
    Times,
}

impl Unit {
    /// A figure as a person reads it.
    pub(crate) fn show(self, value: f64) -> String {
        match self {
            Unit::Seconds if value < 0.001 => format!("{:.0} µs", value * 1e6),
            Unit::Seconds if value < 0.1 => format!("{:.2} ms", value * 1e3),
            Unit::Seconds if value < 1.0 => format!("{:.0} ms", value * 1e3),
            Unit::Seconds => format!("{value:.2} s"),
            Unit::Bytes => format!("{:.1} MB", value / 1e6),
            Unit::PerSecond => format!("{value:.0}/s"),
            Unit::Times => format!("{value:.2}×"),
        }
    }
}

/// What one round measured of both sides.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pair {
    /// Of the floor.
    pub(crate) floor: f64,
    /// Of ours.
    pub(crate) ours: f64,
}

/// A line of a table.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Row {
    /// What was measured.
    pub(crate) what: String,
    pub(crate) unit: Unit,
    /// Medians over the rounds.
    pub(crate) floor: Option<f64>,
    pub(crate) ours: Option<f64>,
    /// The median of the rounds' ratios, with the least and the greatest.
    pub(crate) ratio: Option<[f64; 3]>,
}

impl Row {
    /// A line of both sides; none where no round has a figure.
    pub(crate) fn compared(what: &str, unit: Unit, rounds: &[Option<Pair>]) -> Option<Row> {
        let rounds: Vec<Pair> = rounds.iter().flatten().copied().collect();
        let of = |pick: fn(&Pair) -> f64| -> Vec<f64> { rounds.iter().map(pick).collect() };
        let ratios = of(|pair| pair.ours / pair.floor);
        let least = ratios.iter().copied().min_by(f64::total_cmp)?;
        let greatest = ratios.iter().copied().max_by(f64::total_cmp)?;
        Some(Row {
            what: what.to_owned(),
            unit,
            floor: median(&of(|pair| pair.floor)),
            ours: median(&of(|pair| pair.ours)),
            ratio: Some([median(&ratios)?, least, greatest]),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn few_samples_give_no_percentile() {
        let samples = |count: u64| (1..=count).map(Duration::from_secs).collect::<Vec<_>>();
        assert_eq!(percentile(&samples(19), 50.0), None);
        assert_eq!(percentile(&samples(20), 50.0), Some(10.0));
        assert_eq!(percentile(&samples(99), 99.0), None);
        assert_eq!(percentile(&samples(100), 99.0), Some(99.0));
    }

    #[test]
    fn a_ratio_is_the_median_of_the_rounds_ratios() {
        let pair = |floor, ours| Some(Pair { floor, ours });
        let row = Row::compared(
            "x",
            Unit::Seconds,
            &[pair(1.0, 2.0), None, pair(10.0, 15.0), pair(2.0, 2.0)],
        );
        let row = row.unwrap();
        assert_eq!(row.ratio, Some([1.5, 1.0, 2.0]));
        assert_eq!((row.floor, row.ours), (Some(2.0), Some(2.0)));
        assert_eq!(median(&[4.0, 1.0]), Some(2.5));
        assert!(Row::compared("x", Unit::Seconds, &[None]).is_none());
    }
}
