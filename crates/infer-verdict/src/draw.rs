//! Whether a proxy's choices look like a random draw.
//!
//! An interval of a share counts on independent draws. A round robin gives the share exactly, and an
//! interval is wider than needed; stickiness gives few draws with many requests each, and an interval
//! is far too narrow. Both show in the order of the hits.

use serde::Serialize;

/// What the order of the hits looks like.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Draw {
    /// Nothing speaks against a random draw.
    Random,
    /// Hits come at even distances: a round robin. The share needs no interval.
    Regular,
    /// Hits come in clumps: stickiness, or a share that changed during the run. The interval is too
    /// narrow.
    Clustered,
    /// Too few hits to say.
    Unknown,
}

/// How far from a random draw counts, in standard deviations: one in about 740 random sequences is
/// farther on one side.
const FAR: f64 = 3.0;
/// Blocks of fewer hits on average tell nothing.
const HITS_IN_A_BLOCK: f64 = 3.0;
/// Fewer blocks tell nothing.
const LEAST_BLOCKS: usize = 6;
/// More blocks are not needed.
const MOST_BLOCKS: usize = 60;

/// Judges the requests of a run in their order; true is a hit.
///
/// Counts of equal blocks vary as a binomial does if each request is drawn by itself: the sum of
/// their squared distances, over that variance, follows chi-squared (Wilson and Hilferty's cube root
/// makes it normal, PNAS 17, 1931).
#[must_use]
pub fn draw(hits: &[bool]) -> Draw {
    let count = |of: &[bool]| of.iter().filter(|hit| **hit).count();
    let all = count(hits);
    let rarer = all.min(hits.len() - all);
    let blocks = ((rarer as f64 / HITS_IN_A_BLOCK) as usize).min(MOST_BLOCKS);
    if blocks < LEAST_BLOCKS {
        return Draw::Unknown;
    }
    let size = hits.len() / blocks;
    let used = size * blocks;
    let share = count(&hits[..used]) as f64 / used as f64;
    let (mean, variance) = (share * size as f64, share * (1.0 - share) * size as f64);
    if variance <= 0.0 {
        return Draw::Unknown;
    }
    let squares = hits[..used]
        .chunks_exact(size)
        .map(|block| (count(block) as f64 - mean).powi(2));
    let statistic = squares.sum::<f64>() / variance;
    let freedom = (blocks - 1) as f64;
    let spread = 2.0 / (9.0 * freedom);
    let z = ((statistic / freedom).cbrt() - (1.0 - spread)) / spread.sqrt();
    match z {
        z if z < -FAR => Draw::Regular,
        z if z > FAR => Draw::Clustered,
        _ => Draw::Random,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::random;

    #[test]
    fn round_robin() {
        let alternating: Vec<bool> = (0..40).map(|index| index % 2 == 0).collect();
        assert_eq!(draw(&alternating), Draw::Regular);
        let tenth: Vec<bool> = (0..400).map(|index| index % 10 == 3).collect();
        assert_eq!(draw(&tenth), Draw::Regular);
        let most: Vec<bool> = (0..400).map(|index| index % 10 != 3).collect();
        assert_eq!(draw(&most), Draw::Regular);
    }

    #[test]
    fn stickiness() {
        let mut next = random(7);
        let sticky: Vec<bool> = (0..40).flat_map(|_| [next() < 0.5; 25]).collect();
        assert_eq!(draw(&sticky), Draw::Clustered);
        let changed: Vec<bool> = (0..400)
            .map(|index| index >= 300 && index % 3 == 0)
            .collect();
        assert_eq!(draw(&changed), Draw::Clustered);
    }

    #[test]
    fn a_random_draw_is_seldom_called_otherwise() {
        for share in [0.01, 0.1, 0.5, 0.9] {
            let mut otherwise = 0;
            for seed in 1..=1000 {
                let mut next = random(seed);
                let hits: Vec<bool> = (0..1000).map(|_| next() < share).collect();
                otherwise += usize::from(matches!(draw(&hits), Draw::Regular | Draw::Clustered));
            }
            assert!(otherwise <= 10, "{share}: {otherwise} of 1000");
        }
    }

    #[test]
    fn too_few_hits() {
        assert_eq!(draw(&[]), Draw::Unknown);
        assert_eq!(draw(&[true; 100]), Draw::Unknown);
        let few: Vec<bool> = (0..400).map(|index| index % 100 == 0).collect();
        assert_eq!(draw(&few), Draw::Unknown);
    }
}
