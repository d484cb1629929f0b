//! What is learned in calm and frozen otherwise: typical turnaround, proven in-flight, peak, trusted share.
//!
//! The freeze is essential: a baseline that learns in overload makes the overload normal. A lasting change is accepted
//! after a plateau of 300 s without refusals; a ramp is no plateau.

use super::config::Config;
use super::estimate::{Estimate, Ratios};
use super::sample::Period;
use crate::{Enforcement, Nanos};

/// Plateau after which a new level is believed.
const PLATEAU: Nanos = Nanos::from_secs(300);
/// A plateau stays within this part of its start.
const BAND: f64 = 0.13;
/// The typical turnaround may exceed its lowest of the last day by this factor.
const DRIFT_MOST: f64 = 3.0;
/// The lowest of the last day is kept in two halves of this length.
const HALF_DAY: Nanos = Nanos::from_secs(12 * 3_600);

/// Learned figures of one set on one node.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(super) struct Learned {
    /// s0: turnaround in calm, s.
    pub typical: f64,
    /// I_ref: requests in flight in calm.
    pub proven: f64,
    /// w: this node's part that the pull aims at, requests.
    pub trusted: f64,
    /// Largest in-flight in calm.
    pub peak: f64,
    /// Largest reported in-flight of one backend in calm.
    pub reported_peak: f64,
    /// Lowest `typical` of this half day and of the one before, s; 0 = none.
    pub lowest: [f64; 2],
}

/// When a plateau began.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Plateau {
    /// Turnaround, mean of 30 s.
    mean: f64,
    anchor: f64,
    since: Nanos,
    half_day: Nanos,
}

impl Plateau {
    fn observe(&mut self, slow: f64, shed: bool, weight: f64, now: Nanos) {
        if self.mean <= 0.0 {
            (self.mean, self.anchor, self.since) = (slow, slow, now);
        }
        self.mean += (weight * 0.2 / 30.0).min(1.0) * (slow - self.mean);
        if shed || (self.mean - self.anchor).abs() > BAND * self.anchor {
            (self.anchor, self.since) = (self.mean, now);
        }
    }

    /// Whether it has lasted.
    pub(super) fn lasted(&self, now: Nanos) -> bool {
        now.since(self.since) >= PLATEAU
    }
}

/// What one period shows.
#[derive(Debug, Clone, Copy)]
pub(super) struct Look<'a> {
    pub estimate: &'a Estimate,
    pub ratios: &'a Ratios,
    pub mode: Enforcement,
    pub period: &'a Period,
    pub config: &'a Config,
    pub now: Nanos,
}

impl Learned {
    /// First figures, before anything is enforced.
    pub(super) fn warm(&mut self, estimate: &Estimate, period: &Period) {
        self.typical = estimate.slow;
        self.proven = estimate.rate * self.typical;
        self.trusted = self.proven;
        self.peak = self.peak.max(period.most - estimate.parked);
        self.reports(period);
    }

    /// One period. Returns whether it learned.
    pub(super) fn observe(&mut self, look: &Look<'_>, plateau: &mut Plateau) -> bool {
        let Look {
            estimate,
            ratios,
            mode,
            period,
            config,
            now,
        } = *look;
        let weight = period.weight();
        plateau.observe(estimate.slow, period.shed() > 0.0, weight, now);
        if mode != Enforcement::Normal {
            // A lasting new demand is believed in minutes.
            let wanted = estimate.demand() * self.typical;
            let wanted = wanted.clamp(0.25 * self.proven, 4.0 * self.proven);
            self.trusted += (wanted - self.trusted) * (weight * 0.2 / 120.0);
            return false;
        }
        let calm = ratios.slow < config.calm() || plateau.lasted(now);
        if ratios.fast >= config.enter() || !calm || estimate.slow <= 0.0 {
            return false;
        }
        let seconds = if estimate.slow < self.typical { 10.0 } else { 200.0 };
        self.typical += (estimate.slow - self.typical) * (weight * 0.2 / seconds);
        self.bound(plateau, now);
        let carried = estimate.rate * estimate.slow;
        let gain = if carried > self.proven { 0.04 } else { 0.000_33 };
        self.proven += (carried - self.proven) * (weight * gain);
        self.trusted = self.proven;
        if ratios.fast < config.calm() {
            let kept = self.peak * (1.0 - 0.000_33 * weight);
            self.peak = kept.max(period.most - estimate.parked);
            self.reported_peak *= 1.0 - 0.000_33 * weight;
            self.reports(period);
        }
        true
    }

    fn reports(&mut self, period: &Period) {
        let told = period
            .reported
            .map_or(0.0, |told| f64::from(told.most_in_flight.min(1_000_000)));
        self.reported_peak = self.reported_peak.max(told);
    }

    /// Keeps `typical` within thrice its lowest of the last day.
    fn bound(&mut self, plateau: &mut Plateau, now: Nanos) {
        if now.since(plateau.half_day) >= HALF_DAY {
            plateau.half_day = now;
            let [recent, _] = self.lowest;
            self.lowest = [0.0, recent];
        }
        let lowest = self.lowest.into_iter().filter(|value| *value > 0.0);
        let lowest = lowest.fold(f64::INFINITY, f64::min);
        self.typical = self.typical.min(DRIFT_MOST * lowest);
        let [recent, _] = &mut self.lowest;
        if *recent <= 0.0 || self.typical < *recent {
            *recent = self.typical;
        }
    }

    /// Largest level ever asked for.
    pub(super) fn cap(&self, config: &Config) -> f64 {
        let learned = 4.0 * self.peak + 8.0;
        config
            .most_parallel
            .map_or(learned, |most| learned.min(f64::from(most.max(1))))
    }

    /// NORMAL limits: for normal and lower, and for the reserved levels.
    pub(super) fn fuse(&self, config: &Config) -> [f64; 2] {
        let fuse = (config.fuse() * self.peak + 1.5).max(5.0 * self.trusted + 4.0);
        [fuse, 1.5 * fuse]
    }
}
