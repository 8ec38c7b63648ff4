//! The flaws, and the draw that says which requests have one.

use std::str::FromStr;
use std::sync::atomic::{AtomicU64, Ordering};

/// What is wrong with this version. One thing.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Flaw {
    /// Nothing.
    None,
    /// It answers 500 to so many POSTs.
    Errors(Percent),
    /// The first byte of a POST's answer comes after so many times what the server took.
    Slow(f64),
    /// It closes the connection in the middle of so many streams.
    Cut(Percent),
    /// It does not start.
    Crash,
    /// It answers 503 to everything.
    NeverReady,
}

/// 0 to 100.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Percent(f64);

impl FromStr for Percent {
    type Err = String;

    fn from_str(text: &str) -> Result<Percent, String> {
        match text.parse::<f64>() {
            Ok(percent) if (0.0..=100.0).contains(&percent) => Ok(Percent(percent)),
            _ => Err("a number from 0 to 100 is wanted".to_owned()),
        }
    }
}

/// Draws, one after the other; the same seed gives the same ones.
#[derive(Debug)]
pub struct Draw {
    seed: u64,
    drawn: AtomicU64,
}

impl Draw {
    /// The draws of this seed.
    pub fn new(seed: u64) -> Draw {
        Draw {
            seed,
            drawn: AtomicU64::new(0),
        }
    }

    /// Whether the next one is among so many of a hundred.
    pub fn hits(&self, percent: Percent) -> bool {
        let number = self.drawn.fetch_add(1, Ordering::Relaxed);
        // The upper 53 bits, which a double holds exactly: 0 to less than 100.
        let bits = mixed(mixed(self.seed).wrapping_add(number)) >> 11;
        let drawn = bits as f64 / (1_u64 << 53) as f64 * 100.0;
        drawn < percent.0
    }
}

/// The number'th output of SplitMix64 (Sebastiano Vigna, prng.di.unimi.it/splitmix64.c).
fn mixed(number: u64) -> u64 {
    let mut z = number.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hits(seed: u64, percent: &str, draws: usize) -> Vec<bool> {
        let draw = Draw::new(seed);
        let percent = percent.parse().unwrap();
        (0..draws).map(|_| draw.hits(percent)).collect()
    }

    #[test]
    fn the_generator_is_the_published_one() {
        // The first outputs of splitmix64.c from state 0.
        assert_eq!(mixed(0), 0xe220_a839_7b1d_cdaf);
        assert_eq!(mixed(1), 0x6e78_9e6a_a1b9_65f4);
    }

    #[test]
    fn a_seed_repeats_and_another_one_does_not() {
        assert_eq!(hits(1, "50", 100), hits(1, "50", 100));
        assert_ne!(hits(1, "50", 100), hits(2, "50", 100));
    }

    #[test]
    fn so_many_of_a_hundred_are_hit_none_at_0_and_all_at_100() {
        let count = |percent| hits(7, percent, 20_000).iter().filter(|hit| **hit).count();
        assert_eq!((count("0"), count("100")), (0, 20_000));
        // Five standard deviations of 20 000 draws at 5 %.
        assert!(count("5").abs_diff(1_000) < 155, "{}", count("5"));
    }
}
