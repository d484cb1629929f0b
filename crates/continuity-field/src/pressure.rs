//! Pressure: the resistance of a backend to flow, dimensionless; 1 is "like its healthy peers".
//!
//! `P = 1 + latency + errors + queue + momentum + scar + node`, each term ≥ 0:
//!
//! | term | formula | range |
//! | --- | --- | --- |
//! | latency | `max(0, ln(x / median) − 0.15)`, x with censored ages, shrunk to the median by `n/(n + 20)` | 0 … 20 |
//! | errors | `min(E / 5 %, 20)`, E the share of failed requests over 10 s, shrunk by `n/(n + 5)` | 0 … 20 |
//! | queue | `¼ · max(0, log2((f + 1) / (mean f + 1)))`, f own requests in flight | 0 … 4 |
//! | momentum | `0.2 · max(0, dx/dt)`, octaves a second, moving mean of 2 s | 0 … 2 |
//! | scar | +0.25 a failure spell or isolation, saturating; heals by e in 60 s and by 1 % a good answer | 0 … 1 |
//! | node | `2 · max(0, stall − 10 %)`, CPU stall of the backend's node; a liar can only look worse | 0 … 1.8 |
//!
//! Missing is never healthy: a backend of which nothing is known has the pressure of the median and the share of slow start.

use crate::BackendSample;
use crate::track::{Phase, Track};

/// The terms at the latest look.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Pressure {
    pub latency: f64,
    pub errors: f64,
    pub queue: f64,
    pub momentum: f64,
    pub scar: f64,
    pub node: f64,
    /// Level at the last look, for the momentum.
    before: Option<f64>,
    /// The spell of failures has been scarred already.
    scarred: bool,
}

impl Default for Pressure {
    fn default() -> Self {
        Self {
            latency: 0.0,
            errors: 0.0,
            queue: 0.0,
            momentum: 0.0,
            scar: 0.0,
            node: 0.0,
            before: None,
            scarred: false,
        }
    }
}

crate::save::code::stored! {
    Pressure { latency, errors, queue, momentum, scar, node, before, scarred }
}

/// Dead band: peers within ±15 % are alike.
const DEAD_BAND: f64 = 0.15;
/// Share of failed requests that doubles the pressure.
const ERROR_REFERENCE: f64 = 0.05;
/// Each term's cap, so that one absurd sample cannot freeze a share for long.
const CAP: f64 = 20.0;

impl Pressure {
    /// The sum, at least 1.
    pub(crate) fn total(&self) -> f64 {
        1.0 + self.latency + self.errors + self.queue + self.momentum + self.scar + self.node
    }

    /// What the slots answer to. Queue, momentum and the first octave of latency are left to the choice, which sees them
    /// per connection; moving slots after them as well makes the field chase its own echo (law-balancing §4).
    pub(crate) fn slow(&self) -> f64 {
        1.0 + (self.latency - core::f64::consts::LN_2).max(0.0) + self.errors + self.scar + self.node
    }
}

/// Pressure of one backend after a look of `dt` seconds.
pub(crate) fn weigh(
    track: &mut Track,
    sample: &BackendSample,
    peers: Option<f64>,
    mean_in_flight: f64,
    dt: f64,
) {
    let known = track.known / (track.known + 20.0);
    let apart = match (track.level, peers) {
        (Some(level), Some(peers)) => (level - peers) * core::f64::consts::LN_2,
        _ => 0.0,
    };
    let pressure = &mut track.pressure;
    // A look that found it gray is no small sample: its distinct late requests stand for themselves.
    let known = if track.look.hits(1) > 0 {
        known.max(0.8)
    } else {
        known
    };
    pressure.latency = ((apart - DEAD_BAND).max(0.0) * known).min(CAP);
    let share = track.failed / (track.ended + 5.0);
    pressure.errors = (share / ERROR_REFERENCE).min(CAP);
    let queue = libm::log2((f64::from(sample.in_flight) + 1.0) / (mean_in_flight + 1.0));
    pressure.queue = (0.25 * queue).clamp(0.0, 4.0);
    let slope = match (track.level, pressure.before) {
        (Some(level), Some(before)) if dt > 0.0 => (level - before) / dt,
        _ => 0.0,
    };
    pressure.before = track.level;
    let gain = (dt / 2.0).min(1.0);
    pressure.momentum =
        (pressure.momentum + gain * (0.2 * slope * known - pressure.momentum)).clamp(0.0, 2.0);
    let stall = f64::from(sample.stall_permille.unwrap_or(0).min(1_000)) / 1_000.0;
    pressure.node = 2.0 * (stall - 0.1).max(0.0);
    scar(track, sample, dt);
}

fn scar(track: &mut Track, sample: &BackendSample, dt: f64) {
    let isolated = matches!(track.phase, Phase::Isolated(_));
    let pressure = &mut track.pressure;
    let hurt = isolated || track.run >= 2;
    if hurt && !pressure.scarred {
        pressure.scar += 0.25 * (1.0 - pressure.scar);
    }
    pressure.scarred = hurt;
    if pressure.scar < 1e-6 {
        pressure.scar = 0.0;
        return;
    }
    let good = sample.answered.min(1_000) as f64;
    pressure.scar *= libm::exp(-dt.min(60.0) / 60.0) * libm::pow(0.99, good);
}

/// Median of sorted values without one of them: what the peers of that one have. `None` without peers.
pub(crate) fn median_without(sorted: &[f64], own: Option<f64>) -> Option<f64> {
    let Some(own) = own else { return median(sorted) };
    let at = sorted.partition_point(|value| *value < own);
    let rest = sorted.len().checked_sub(1)?;
    let get = |index: usize| sorted.get(if index >= at { index + 1 } else { index }).copied();
    if rest % 2 == 1 {
        get(rest / 2)
    } else {
        Some((get((rest / 2).checked_sub(1)?)? + get(rest / 2)?) / 2.0)
    }
}

/// Median of sorted values.
pub(crate) fn median(sorted: &[f64]) -> Option<f64> {
    let half = sorted.len() / 2;
    if sorted.len() % 2 == 1 {
        sorted.get(half).copied()
    } else {
        Some((sorted.get(half.checked_sub(1)?)? + sorted.get(half)?) / 2.0)
    }
}
