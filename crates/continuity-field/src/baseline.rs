//! What is normal for the set: level and spread of its answers, learned in minutes, frozen while anything is abnormal.
//!
//! Thresholds are `level + 3σ` in octaves (log2) inside fixed floors and ceilings, so that a service whose answers vary
//! by nature is not punished for it, and a step is never absorbed: what lies more than [`CALM_BAND`] above the calm
//! level teaches nothing, until it has been a plateau for [`PLATEAU`].

use crate::histogram::{self, BUCKETS};
use crate::{Nanos, WorkloadProfile};

/// Time in which the spread and the tail forget.
const MEMORY: f64 = 60.0;
/// The calm level follows down in 10 s, up in 200 s (law-admission §2.3).
const CALM_DOWN: f64 = 10.0;
const CALM_UP: f64 = 200.0;
/// Octaves above calm that still teach (1.8 ×).
const CALM_BAND: f64 = 0.85;
/// A lasting new level is believed after this long inside ±13 %.
const PLATEAU: Nanos = Nanos::from_secs(300);
const PLATEAU_BAND: f64 = 0.18;
/// Looks with answers before the calm level is believed.
const WARM: f64 = 25.0;
/// Answers of the peers after which one that is blatantly late tells something, though the set is young.
const FAMILIAR: f64 = 25.0;
/// Spread taken while nothing was learned, and its bounds, octaves.
const SPREAD_PRIOR: f64 = 1.0;
const SPREAD: (f64, f64) = (0.3, 2.5);
/// Answers before the tail counts: a 99.5 % quantile of fewer says nothing.
const TAIL_LEAST: f64 = 200.0;

/// Sums over one look of all backends in use.
#[derive(Debug, Clone)]
pub(crate) struct Fleet {
    pub counts: [f64; BUCKETS],
    pub n: f64,
    pub sum: f64,
    pub squares: f64,
}

impl Default for Fleet {
    fn default() -> Self {
        Self {
            counts: [0.0; BUCKETS],
            n: 0.0,
            sum: 0.0,
            squares: 0.0,
        }
    }
}

impl Fleet {
    pub(crate) fn add(&mut self, bucket: usize, count: f64, level: f64) {
        if let Some(slot) = self.counts.get_mut(bucket) {
            *slot += count;
        }
        self.n += count;
        self.sum += count * level;
        self.squares += count * level * level;
    }
}

/// Learned normality. Levels are log2 of µs.
#[derive(Debug, Clone)]
pub(crate) struct Baseline {
    /// Mean level and its variance.
    pub mean: f64,
    pub variance: f64,
    /// Looks learned from, saturating.
    pub looks: f64,
    /// Calm level of the set.
    pub calm: Option<f64>,
    /// Answers by bucket, fading.
    pub tail: [f64; BUCKETS],
    pub tail_n: f64,
    /// Answers seen, whether they taught or not, saturating.
    answers: f64,
    /// Cached 99.5 % quantile, level.
    tail_level: Option<f64>,
    plateau: Option<(f64, Nanos)>,
}

impl Default for Baseline {
    fn default() -> Self {
        Self {
            mean: 0.0,
            variance: SPREAD_PRIOR * SPREAD_PRIOR,
            looks: 0.0,
            calm: None,
            tail: [0.0; BUCKETS],
            tail_n: 0.0,
            answers: 0.0,
            tail_level: None,
            plateau: None,
        }
    }
}

crate::save::code::stored! {
    Baseline { mean, variance, looks, calm, tail, tail_n, answers, tail_level, plateau }
}

impl Baseline {
    /// What an earlier life learned.
    pub(crate) fn learned(
        mean: f64,
        variance: f64,
        looks: f64,
        calm: Option<f64>,
        tail: [f64; BUCKETS],
        tail_n: f64,
    ) -> Self {
        let mut baseline = Self {
            mean,
            variance,
            looks,
            calm,
            tail,
            tail_n,
            answers: looks,
            ..Self::default()
        };
        baseline.tail_level = baseline.quantile(0.005);
        baseline
    }

    /// Enough was seen to call something abnormal for the set as a whole: 25 looks with answers, 5 s.
    pub(crate) fn warm(&self) -> bool {
        self.looks >= WARM
    }

    /// Enough answers were seen to know what late is.
    pub(crate) fn familiar(&self) -> bool {
        self.answers >= FAMILIAR
    }

    /// Spread of one answer, octaves.
    pub(crate) fn spread(&self) -> f64 {
        libm::sqrt(self.variance).clamp(SPREAD.0, SPREAD.1)
    }

    /// Level that 99.5 % of the answers stay below; `None` while too few were seen.
    pub(crate) fn tail(&self) -> Option<f64> {
        self.tail_level
    }

    /// Level to compare with while nothing better is known.
    pub(crate) fn calm_or(&self, profile: WorkloadProfile) -> f64 {
        self.calm
            .unwrap_or_else(|| libm::log2(profile.typical().as_micros() as f64))
    }

    /// One look of `dt` seconds: the median level of the backends in use and everything they answered.
    pub(crate) fn learn(&mut self, fleet: &Fleet, median: Option<f64>, abnormal: bool, dt: f64, now: Nanos) {
        self.follow(median, abnormal, dt, now);
        self.answers = (self.answers + fleet.n).min(1e6);
        if abnormal || fleet.n < 1.0 || self.late(median) {
            return;
        }
        self.looks = (self.looks + 1.0).min(1e6);
        let gain = (dt / MEMORY).max(1.0 / (self.looks + 4.0)).min(1.0);
        let mean = fleet.sum / fleet.n;
        let spread = if fleet.n >= 2.0 {
            (fleet.squares / fleet.n - mean * mean).max(0.0)
        } else {
            0.0
        };
        if self.looks <= 1.0 {
            self.mean = mean;
        }
        // Between looks the mean itself moves; that is part of how much one answer may differ.
        let apart = mean - self.mean;
        self.mean += gain * apart;
        self.variance += gain * (spread + (1.0 - gain) * apart * apart / fleet.n.max(1.0) - self.variance);
        self.remember(fleet, dt);
    }

    /// The set as a whole is beyond what teaches: a step that came to all backends at once is no spread.
    fn late(&self, median: Option<f64>) -> bool {
        match (median, self.calm) {
            (Some(median), Some(calm)) => self.warm() && median > calm + CALM_BAND,
            _ => false,
        }
    }

    fn remember(&mut self, fleet: &Fleet, dt: f64) {
        let keep = libm::exp(-dt / MEMORY);
        self.tail_n = self.tail_n * keep + fleet.n;
        for (kept, new) in self.tail.iter_mut().zip(&fleet.counts) {
            *kept = *kept * keep + new;
        }
        self.tail_level = self.quantile(0.005);
    }

    /// Level above which that share of the answers lie.
    fn quantile(&self, above: f64) -> Option<f64> {
        if self.tail_n < TAIL_LEAST {
            return None;
        }
        let mut left = self.tail_n * above;
        for (bucket, count) in self.tail.iter().enumerate().rev() {
            left -= count;
            if left < 0.0 {
                return Some(libm::log2(histogram::lower_micros(bucket + 1)));
            }
        }
        None
    }

    fn follow(&mut self, median: Option<f64>, abnormal: bool, dt: f64, now: Nanos) {
        let Some(median) = median else { return };
        let Some(calm) = self.calm else {
            self.calm = Some(median);
            return;
        };
        if !self.warm() {
            self.calm = Some(calm + (median - calm) / (self.looks + 2.0));
            return;
        }
        if self.late(Some(median)) {
            match self.plateau {
                Some((level, since)) if (median - level).abs() < PLATEAU_BAND => {
                    if !abnormal && now.since(since) >= PLATEAU {
                        self.calm = Some(level);
                        self.plateau = None;
                    }
                }
                _ => self.plateau = Some((median, now)),
            }
            return;
        }
        self.plateau = None;
        if abnormal && median > calm {
            return;
        }
        // The first minute learns fast in both directions: a first answer is no baseline.
        let young = 1.0 / (self.looks + 1.0);
        let gain = (dt / if median < calm { CALM_DOWN } else { CALM_UP })
            .max(young)
            .min(1.0);
        self.calm = Some(calm + gain * (median - calm));
    }
}

#[cfg(test)]
mod tests;
