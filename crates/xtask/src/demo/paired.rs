//! Paired ratios: how much slower one system is than the other, and how sure that is.
//!
//! Both systems are measured in the same blocks of time with the same arrivals and service times. Each block gives
//! one ratio; the answer is their geometric mean with a one-sided upper 95 % bound from a percentile bootstrap over
//! blocks (Efron 1979): blocks are drawn with replacement, so whatever disturbs a block as a whole is carried along.

use continuity_traffic::draw;
use serde::{Deserialize, Serialize};

use super::latency::fraction;

/// Redraws: the 95 % point of 4,000 has a standard error below 0.4 % in rank.
const REDRAWS: u64 = 4_000;
/// Seed of the redraws, so that a report can be computed again.
const SEED: u64 = 20;

/// A ratio with its upper bound.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Serialize)]
pub(super) struct Ratio {
    /// Geometric mean over the blocks.
    pub(super) mean: f64,
    /// Upper 95 % bound, one-sided.
    pub(super) upper: f64,
    /// Lower 95 % bound, one-sided.
    pub(super) lower: f64,
    /// Blocks.
    pub(super) blocks: usize,
}

impl Ratio {
    /// Of pairs (ours, theirs), both positive; `None` without a usable pair.
    pub(super) fn of(pairs: &[(f64, f64)]) -> Option<Self> {
        let logs: Vec<f64> = pairs
            .iter()
            .filter(|(a, b)| *a > 0.0 && *b > 0.0)
            .map(|(a, b)| (a / b).ln())
            .collect();
        if logs.is_empty() {
            return None;
        }
        let mean = |sum: f64| sum / fraction(logs.len());
        let mut redrawn: Vec<f64> = (0..REDRAWS)
            .map(|draw| {
                mean(
                    (0..logs.len() as u64)
                        .filter_map(|i| logs.get(pick(draw, i, logs.len())))
                        .sum(),
                )
            })
            .collect();
        redrawn.sort_by(f64::total_cmp);
        let bound = |percent: usize| redrawn.get(redrawn.len() * percent / 100).map(|log| log.exp());
        let (upper, lower) = (bound(95)?, bound(5)?);
        Some(Self {
            mean: mean(logs.iter().sum()).exp(),
            upper,
            lower,
            blocks: logs.len(),
        })
    }
}

/// An index below `count` for the `i`-th place of a redraw.
fn pick(redraw: u64, i: u64, count: usize) -> usize {
    let drawn = draw::mix(draw::mix(SEED ^ redraw) ^ i) % count.max(1) as u64;
    usize::try_from(drawn).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_blocks_have_no_spread() {
        let ratio = Ratio::of(&[(31.5, 30.0); 12]).unwrap();
        assert!((ratio.mean - 1.05).abs() < 1e-9 && (ratio.upper - 1.05).abs() < 1e-9);
        assert_eq!(ratio.blocks, 12);
    }

    #[test]
    fn the_bound_covers_the_truth_about_as_often_as_it_says() {
        let mut covered = 0;
        for trial in 0..200_u64 {
            let noise = |i: u64| (0.05 * draw::normal(draw::mix(trial * 1000 + i))).exp();
            let pairs: Vec<_> = (0..12).map(|i| (noise(i), 1.0)).collect();
            covered += usize::from(Ratio::of(&pairs).unwrap().upper >= 1.0);
        }
        // 95 % nominal; a percentile bootstrap over 12 blocks is a little short of it.
        assert!((170..=200).contains(&covered), "{covered}");
    }

    #[test]
    fn nothing_measured_gives_no_ratio() {
        assert_eq!(Ratio::of(&[]), None);
        assert_eq!(Ratio::of(&[(0.0, 1.0)]), None);
    }
}
