//! Paired ratios: how much slower one system is than the other, and how sure that is.
//!
//! Both systems are measured in the same blocks of time with the same arrivals and service times. Each block gives
//! one ratio; the answer is their geometric mean with one-sided 95 % bounds. Blocks that follow one another are alike (what
//! disturbs a machine lasts longer than a block), so the bounds are Student's over the means of batches of adjacent blocks
//! (batch means; Law, Simulation Modeling and Analysis, 9.5.3): bounds from single blocks were too narrow by half.

use serde::{Deserialize, Serialize};

use super::latency::fraction;

/// Blocks of a batch.
const BATCH: usize = 2;
/// 95 % points of Student's t, one-sided, by degrees of freedom from 1 on.
const STUDENT: [f64; 15] = [
    6.314, 2.920, 2.353, 2.132, 2.015, 1.943, 1.895, 1.860, 1.833, 1.812, 1.796, 1.782, 1.771, 1.761, 1.753,
];

/// A ratio with its bounds.
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
    /// Of pairs (ours, theirs), both positive; `None` with fewer than two batches of usable pairs.
    pub(super) fn of(pairs: &[(f64, f64)]) -> Option<Self> {
        let logs: Vec<f64> = pairs
            .iter()
            .filter(|(a, b)| *a > 0.0 && *b > 0.0)
            .map(|(a, b)| (a / b).ln())
            .collect();
        let batches: Vec<f64> = logs.chunks_exact(BATCH).map(mean).collect();
        let freedom = batches.len().checked_sub(1).filter(|freedom| *freedom > 0)?;
        let middle = mean(&batches);
        let spread: f64 = batches.iter().map(|batch| (batch - middle).powi(2)).sum();
        let error = (spread / fraction(freedom) / fraction(batches.len())).sqrt();
        let student = STUDENT.get(freedom - 1).or(STUDENT.last()).copied()?;
        let centre = mean(&logs);
        Some(Self {
            mean: centre.exp(),
            upper: (centre + student * error).exp(),
            lower: (centre - student * error).exp(),
            blocks: logs.len(),
        })
    }
}

fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / fraction(values.len())
}

#[cfg(test)]
mod tests {
    use super::*;
    use continuity_traffic::draw;

    #[test]
    fn equal_blocks_have_no_spread() {
        let ratio = Ratio::of(&[(31.5, 30.0); 12]).unwrap();
        assert!((ratio.mean - 1.05).abs() < 1e-9 && (ratio.upper - 1.05).abs() < 1e-9);
        assert_eq!(ratio.blocks, 12);
    }

    /// How often of 400 the upper bound is not below the truth, where each block keeps `memory` of the one before.
    fn covered(memory: f64) -> usize {
        let covers = |trial: &u64| {
            let mut state = 0.0;
            let mut noise = |i: u64| {
                state = memory * state + 0.01 * draw::normal(draw::mix(trial * 1000 + i));
                f64::exp(state)
            };
            let pairs: Vec<_> = (0..8).map(|i| (noise(i), 1.0)).collect();
            Ratio::of(&pairs).unwrap().upper >= 1.0
        };
        (0..400_u64).filter(covers).count()
    }

    #[test]
    fn the_bound_covers_the_truth_about_as_often_as_it_says() {
        // 95 % nominal: 380 ± 9 of independent blocks, a little fewer where each is like the one before.
        assert!((362..=398).contains(&covered(0.0)), "{}", covered(0.0));
        assert!((345..=398).contains(&covered(0.4)), "{}", covered(0.4));
    }

    #[test]
    fn nothing_measured_or_too_little_gives_no_ratio() {
        assert_eq!(Ratio::of(&[]), None);
        assert_eq!(Ratio::of(&[(0.0, 1.0); 9]), None);
        assert_eq!(Ratio::of(&[(1.0, 1.0); 3]), None);
    }
}
