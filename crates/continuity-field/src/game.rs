//! The split of traffic as a game, measured always; and the overlay that plays it, opt-in.
//!
//! The game: every connection picks a backend and pays its turnaround c, which grows with the share x that the backend
//! gets. At the Wardrop equilibrium all backends in use cost the same. Three figures say how far the field is from it
//! ([`crate::Game`]): conductance Σ x/P, relative gap (Σ x·c − min c) / Σ x·c, and external regret
//! max_b (mean of Σ x·c − c_b) over about a minute. Costs are turnarounds beside the median, so none has a unit.
//!
//! The figures are taken every fifth look, the overlay plays every one.
//!
//! The overlay biases the field's weights by linear multiplicative weights, `w ← w · (1 − η (ℓ − ℓ̄))` a look with
//! ℓ = c / 4 in 0 ..= 1 and η = 0.02 (a step linear in the loss: an exponential one turns chaotic in congestion games), and
//! forgets by e in 50 s.
//!
//! Invariants: 0.8 ≤ w ≤ 1.2; w = 1 wherever it is off: not asked for, any regime but laminar, a backend that is not in
//! full use. Slots move one a look, caps and floors hold after it.

use crate::evidence::micros;
use crate::track::{Phase, Track};
use crate::{Game, Regime};

/// Step of the learner a look, and how fast it forgets, s.
const ETA: f64 = 0.02;
const FORGET: f64 = 50.0;
/// Bounds of the bias.
const BIAS: (f64, f64) = (0.8, 1.2);
/// A cost beyond four medians counts as four.
const DEAREST: f64 = 4.0;
/// Memory of the regret, s.
const MEMORY: f64 = 60.0;

/// One backend's part.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Player {
    /// What the overlay multiplies its weight by.
    pub bias: f64,
    /// Mean of what a connection would have saved with it, medians.
    saved: f64,
}

impl Default for Player {
    fn default() -> Self {
        Self {
            bias: 1.0,
            saved: 0.0,
        }
    }
}

crate::save::code::stored! {
    Player { bias, saved }
}

/// Looks between two figures where the overlay is off: they are for people.
pub(crate) const EVERY: u32 = 5;

/// One look of `dt` seconds: costs, figures, and the overlay if it is `on`.
pub(crate) fn look(tracks: &mut [Track], median: Option<f64>, on: bool, regime: Regime, dt: f64) -> Game {
    let (mut flow, mut share, mut paid, mut known) = (0.0, 0.0, 0.0, 0.0);
    let mut least = f64::INFINITY;
    let median = median.map(|median| micros(median).0.max(1) as f64);
    for track in tracks.iter_mut() {
        let slots = f64::from(track.slots);
        share += slots;
        flow += slots / track.pressure.total().max(1.0);
        if let Some(cost) = cost(track, median) {
            paid += slots * cost;
            known += slots;
            least = least.min(cost);
        }
    }
    let mut game = Game::default();
    if share > 0.0 {
        game.conductance_milli = crate::number::to_u32(1e3 * flow / share);
    }
    if known <= 0.0 {
        tracks.iter_mut().for_each(|track| track.player.bias = 1.0);
        return game;
    }
    let mean = paid / known;
    game.gap_milli = crate::number::to_u32(1e3 * ((mean - least) / mean.max(1e-9)).max(0.0));
    let gain = (dt / MEMORY).min(1.0);
    let mut regret = 0.0_f64;
    for track in tracks.iter_mut() {
        let settled = matches!(track.phase, Phase::Normal) && track.in_service;
        let Some(cost) = cost(track, median) else {
            track.player = Player::default();
            continue;
        };
        let player = &mut track.player;
        player.saved += gain * (mean - cost - player.saved);
        regret = regret.max(player.saved);
        player.bias = if on && settled && regime == Regime::Laminar {
            let step = player.bias * (1.0 - ETA * (cost - mean) / DEAREST);
            let faded = step + (dt / FORGET).min(1.0) * (1.0 - step);
            faded.clamp(BIAS.0, BIAS.1)
        } else {
            1.0
        };
    }
    game.regret_milli = crate::number::to_u32(1e3 * regret);
    game
}

/// Turnaround of a backend in use beside the median, ns.
fn cost(track: &mut Track, median: Option<f64>) -> Option<f64> {
    let (level, median) = (track.level.filter(|_| track.in_use())?, median?);
    let own = track.shown.latency.of(level, micros).0 as f64;
    Some((own / median).min(DEAREST))
}

#[cfg(test)]
mod tests;
