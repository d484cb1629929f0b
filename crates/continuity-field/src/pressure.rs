//! Pressure: the resistance of a backend to flow, dimensionless; 1 is "like its healthy peers".
//!
//! `P = 1 + latency + errors + queue + momentum + scar + path + node + reported`, each term ≥ 0 and capped:
//!
//! | term | formula | range | source |
//! | --- | --- | --- | --- |
//! | latency | `max(0, ln(x / median) − 0.15)`, x with censored ages, shrunk to the median by `n/(n + 20)` | 0 … 20 | own answers, ages of what waits |
//! | errors | `min(E / 5 %, 20)`, E the share of failed requests over 10 s, shrunk by `n/(n + 5)` | 0 … 20 | own connects |
//! | queue | `¼ · max(0, log2((f + 1) / (mean f + 1)))`, f own requests in flight, leases apart | 0 … 4 | own connects |
//! | momentum | `0.2 · max(0, dx/dt)`, octaves a second, moving mean of 2 s | 0 … 2 | own answers |
//! | scar | +0.25 a failure spell or isolation, saturating; heals by e in 60 s and by 1 % a good answer | 0 … 1 | own connects |
//! | path | `10 · max(0, R − 2 %)`, R the share of segments sent again over 10 s, shrunk by `n/(n + 50)` | 0 … 2 | TCP on this node |
//! | node | `2 · max(0, cpu − 10 %) + 3 · max(0, max(memory, io) − 5 %) + distress` (½ strained, 1 drowning), stalls as parts of time | 0 … 3 | PSI of its pod or node, by plan |
//! | reported | `t · min(2, max(0, ln(l / wm) − 0.15) + e / 5 %)`, l and e as reported, t trust (0 … 1) faded by e in 4 s | 0 … 2 | in-band reports |
//!
//! What others say (node, reported) only worsens: a liar can give away traffic, not attract it. Missing is never healthy: a
//! backend of which nothing is known has the pressure of the median and the share of slow start; a term without a signal
//! is 0, and the signal's absence is said where it is read.

use crate::track::{Phase, Track};
use crate::{BackendSample, Nanos};

/// The terms at the latest look.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Pressure {
    pub latency: f64,
    pub errors: f64,
    pub queue: f64,
    pub momentum: f64,
    pub scar: f64,
    pub path: f64,
    pub node: f64,
    pub reported: f64,
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
            path: 0.0,
            node: 0.0,
            reported: 0.0,
            before: None,
            scarred: false,
        }
    }
}

crate::save::code::stored! {
    Pressure { latency, errors, queue, momentum, scar, path, node, reported, before, scarred }
}

/// Dead band: peers within ±15 % are alike.
const DEAD_BAND: f64 = 0.15;
/// Share of failed requests that doubles the pressure.
const ERROR_REFERENCE: f64 = 0.05;
/// Each term's cap, so that one absurd sample cannot freeze a share for long.
const CAP: f64 = 20.0;
/// Segments sent again that are ordinary, weight of what is beyond, the samples that make it known, and the cap.
const RESENT: (f64, f64, f64, f64) = (0.02, 10.0, 50.0, 2.0);
/// Part of the time that tasks may wait for the CPU, and for memory or I/O; weights of what is beyond; the cap.
const CPU: (f64, f64) = (0.1, 2.0);
const WAIT: (f64, f64) = (0.05, 3.0);
const NODE: f64 = 3.0;
/// What reports may add at most, and the time in which they fade by e, s.
const REPORTED: (f64, f64) = (2.0, 4.0);
/// Full trust of reports, of 256.
const TRUSTED: f64 = 160.0;

/// What the formula needs of one backend, estimated already.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Signs {
    /// `ln(x / median of the peers)`, no unit.
    pub apart: f64,
    /// How well that is known, 0 ..= 1.
    pub known: f64,
    /// Share of failed requests, 0 ..= 1.
    pub failed: f64,
    /// `log2` of own requests in flight against the mean, each plus one.
    pub crowd: f64,
    /// Rise of the level, octaves a second, moving mean times 0.2.
    pub rise: f64,
    /// 0 ..= 1.
    pub scar: f64,
    /// Terms of signals that not every backend has, made already: path, node, reported.
    pub told: [f64; 3],
}

/// The terms of the formula at the head of this module; each is at least 0.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Terms {
    /// Lateness.
    pub latency: f64,
    /// Failures.
    pub errors: f64,
    /// Waiting requests.
    pub queue: f64,
    /// Getting later.
    pub momentum: f64,
    /// Failed of late.
    pub scar: f64,
    /// Path, node, reported.
    pub told: [f64; 3],
}

impl Terms {
    /// The formula.
    #[must_use]
    #[inline]
    pub fn of(signs: &Signs) -> Self {
        Self {
            latency: ((signs.apart - DEAD_BAND).max(0.0) * signs.known).min(CAP),
            errors: (signs.failed / ERROR_REFERENCE).min(CAP),
            queue: (0.25 * signs.crowd).clamp(0.0, 4.0),
            momentum: signs.rise.clamp(0.0, 2.0),
            scar: signs.scar,
            told: signs.told,
        }
    }

    /// The pressure: the sum, at least 1.
    #[must_use]
    #[inline]
    pub fn total(&self) -> f64 {
        let own = self.latency + self.errors + self.queue + self.momentum + self.scar;
        let [path, node, reported] = self.told;
        1.0 + own + path + node + reported
    }
}

impl Pressure {
    fn terms(&self) -> Terms {
        Terms {
            latency: self.latency,
            errors: self.errors,
            queue: self.queue,
            momentum: self.momentum,
            scar: self.scar,
            told: [self.path, self.node, self.reported],
        }
    }

    /// The sum, at least 1.
    pub(crate) fn total(&self) -> f64 {
        self.terms().total()
    }

    /// What the slots answer to. Queue, momentum, reports and the first octave of latency are left to the choice, which sees
    /// them per connection; moving slots after them as well makes the field chase its own echo (law-balancing §4). What
    /// reports say for long reaches the slots as a lean of at most an octave ([`crate::share`]).
    pub(crate) fn slow(&self) -> f64 {
        let late = (self.latency - core::f64::consts::LN_2).max(0.0);
        1.0 + late + self.errors + self.scar + self.path + self.node
    }
}

/// What a backend's pressure is taken against.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Ground {
    /// Mean of the requests in flight at the backends in use.
    pub in_flight: f64,
    /// Median of the reported levels, Q8.
    pub wm: i32,
    /// Seconds of the look, and its end.
    pub dt: f64,
    pub now: Nanos,
}

/// Pressure of one backend after a look.
pub(crate) fn weigh(track: &mut Track, sample: &BackendSample, peers: Option<f64>, ground: &Ground) {
    let dt = ground.dt;
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
    let queue = libm::log2((f64::from(queued(sample)) + 1.0) / (ground.in_flight + 1.0));
    let slope = match (track.level, pressure.before) {
        (Some(level), Some(before)) if dt > 0.0 => (level - before) / dt,
        _ => 0.0,
    };
    pressure.before = track.level;
    let gain = (dt / 2.0).min(1.0);
    let terms = Terms::of(&Signs {
        apart,
        known,
        failed: track.failed / (track.ended + 5.0),
        crowd: queue,
        rise: pressure.momentum + gain * (0.2 * slope * known - pressure.momentum),
        ..Signs::default()
    });
    pressure.latency = terms.latency;
    pressure.errors = terms.errors;
    pressure.queue = terms.queue;
    pressure.momentum = terms.momentum;
    pressure.node = node(sample, track.fear.pressure());
    track.pressure.path = path(track, sample, dt);
    track.pressure.reported = reported(track, sample, ground);
    scar(track, sample, dt);
}

/// Requests in flight that are no long jobs under leases.
pub(crate) fn queued(sample: &BackendSample) -> u32 {
    sample.in_flight.saturating_sub(sample.leases.held)
}

/// Stalls and distress.
fn node(sample: &BackendSample, distress: f64) -> f64 {
    let part = |permille: Option<u32>| f64::from(permille.unwrap_or(0).min(1_000)) / 1_000.0;
    let (ordinary, weight) = CPU;
    let cpu = weight * (part(sample.stall_permille) - ordinary).max(0.0);
    let Some(host) = sample.host else {
        return cpu + distress;
    };
    let (ordinary, weight) = WAIT;
    let waits = part(host.memory_stall_permille).max(part(host.io_stall_permille));
    (cpu + weight * (waits - ordinary).max(0.0) + distress).min(NODE)
}

/// Segments that were sent again.
fn path(track: &mut Track, sample: &BackendSample, dt: f64) -> f64 {
    if track.segments == 0.0 && sample.path.is_none() {
        return 0.0;
    }
    let seen = sample.path.unwrap_or_default();
    let keep = libm::exp(-dt / 10.0);
    track.segments = track.segments * keep + f64::from(seen.segments);
    track.resent = track.resent * keep + f64::from(seen.retransmitted.min(seen.segments));
    if track.segments < 1e-3 {
        (track.segments, track.resent) = (0.0, 0.0);
    }
    let (ordinary, weight, least, most) = RESENT;
    let part = track.resent / (track.segments + least);
    (weight * (part - ordinary).max(0.0)).min(most)
}

/// What its reports say, as far as they are trusted and fresh.
fn reported(track: &Track, sample: &BackendSample, ground: &Ground) -> f64 {
    let Some(report) = sample.report else { return 0.0 };
    let weight = f64::from(track.trust.weight(ground.now)) / TRUSTED;
    if weight <= 0.0 {
        return 0.0;
    }
    let (most, fades) = REPORTED;
    let apart = (f64::from(report.level) - f64::from(ground.wm)) / 256.0 * core::f64::consts::LN_2;
    let failed = f64::from(report.errors) / 255.0 / ERROR_REFERENCE;
    let said = ((apart - DEAD_BAND).max(0.0) + failed).min(most);
    weight * said * libm::exp(-report.age.as_secs_f64() / fades)
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

/// Median of `count` values of which the sorted ones are known and all others are `rest`.
pub(crate) fn median_among(sorted: &[f64], count: usize, rest: f64) -> Option<f64> {
    let unknown = count.saturating_sub(sorted.len());
    let below = sorted.partition_point(|value| *value < rest);
    let get = |index: usize| match index {
        index if index < below => sorted.get(index).copied(),
        index if index < below + unknown => Some(rest),
        index => sorted.get(index - unknown).copied(),
    };
    let all = sorted.len() + unknown;
    if all % 2 == 1 {
        get(all / 2)
    } else {
        Some((get((all / 2).checked_sub(1)?)? + get(all / 2)?) / 2.0)
    }
}

#[cfg(test)]
mod tests;
