//! Writes what was decided into the outcome: words per backend, states for people, figures for the hint.

use crate::evidence::micros;
use crate::number::to_u32;
use crate::track::{Phase, Track};
use crate::{BackendSample, BackendState, BackendView, Limit, Nanos, Samples, SetConfig, SetState, Warning};
use crate::{drip, pressure, share, word};

/// Parts per million of one slot.
const SLOT_PPM: u32 = 15_625;

/// Fills the outcome from the state.
pub(crate) fn publish(state: &mut SetState, samples: &Samples<'_>, config: &SetConfig, now: Nanos) {
    let spacing = drip::spacing(&samples.advice, state.demand.rate(), config);
    let rate = state.demand.rate();
    let capacities: f64 = used(&state.tracks, samples).map(share::capacity).sum();
    let outcome = &mut state.outcome;
    let mut changed = outcome.changed || outcome.backends.len() != samples.backends.len();
    let before = outcome.backends.len();
    outcome.warnings.clear();
    outcome.backends.truncate(samples.backends.len());
    for (index, (track, sample)) in state.tracks.iter_mut().zip(samples.backends).enumerate() {
        let fair = if capacities > 0.0 {
            64.0 * share::capacity(sample) / capacities
        } else {
            0.0
        };
        let choice = word::backend(track, fair, (state.spill.price, outcome.words.reports), now);
        let view = BackendView {
            id: track.id,
            state: standing(track),
            isolation: track.isolation(),
            share_ppm: share_ppm(track, spacing, rate),
            slots: track.slots,
            pressure_milli: to_u32(1e3 * track.pressure.total()),
            latency: track.level.map(|level| track.shown.latency.of(level, micros)),
            error_permille: to_u32(1e3 * track.failed / track.ended.max(1.0)).min(1_000),
            choice,
        };
        if let Some(told) = track.watch.as_ref().and_then(|watch| watch.told()) {
            outcome.warnings.push(Warning {
                backend: track.id,
                told,
            });
        }
        match outcome.backends.get_mut(index) {
            Some(last) => {
                changed |= last.choice.off != choice.off || last.choice.fixed != choice.fixed;
                *last = view;
            }
            None => outcome.backends.push(view),
        }
    }
    outcome.changed = changed || before != samples.backends.len();
    outcome.drip = drip::next(&state.tracks, samples.backends, outcome.words.lm, spacing);
    outcome.regime = state.machine.regime;
    outcome.regime_since = if state.machine.since == Nanos::ZERO {
        now
    } else {
        state.machine.since
    };
    outcome.limit = Limit {
        in_flight: None,
        survival_permille: config.admission.survival_permille,
    };
    outcome.pressure_milli = to_u32(1e3 * state.pressure.max(mean_pressure(&state.tracks)));
    let median = pressure::median(&state.levels);
    outcome.demand = state
        .demand
        .publish(&state.tracks, samples.backends, median, state.baseline.calm);
}

fn used<'a>(tracks: &'a [Track], samples: &'a Samples<'_>) -> impl Iterator<Item = &'a BackendSample> {
    tracks
        .iter()
        .zip(samples.backends)
        .filter(|(track, _)| track.in_use())
        .map(|(_, sample)| sample)
}

fn standing(track: &Track) -> BackendState {
    match track.phase {
        _ if !track.in_service => BackendState::Out,
        Phase::Isolated(_) => BackendState::Isolated,
        Phase::Returning { .. } => BackendState::Returning,
        Phase::Starting { .. } => BackendState::Starting,
        Phase::Normal if track.evidence.is_some() || track.look.hits(5) > 0 || track.run > 0 => {
            BackendState::Suspect
        }
        Phase::Normal => BackendState::Normal,
    }
}

/// Share by slots; an isolated backend gets what its tests take of this node's connections.
fn share_ppm(track: &Track, spacing: Nanos, rate: f64) -> u32 {
    if track.isolation().is_some() && track.in_service && track.slots == 0 {
        let tests = 1.0 / spacing.as_secs_f64().max(1e-3);
        return to_u32(1e6 * (tests / rate.max(tests)).min(1.0)).min(SLOT_PPM);
    }
    track.slots * SLOT_PPM
}

/// Pressure of the set as a person reads it: mean over the backends weighed by their fair part, isolated ones included.
fn mean_pressure(tracks: &[Track]) -> f64 {
    let served = tracks.iter().filter(|track| track.in_service);
    let (count, sum) = served.fold((0.0, 0.0), |(count, sum), track| {
        (count + 1.0, sum + track.pressure.total())
    });
    if count > 0.0 { sum / count } else { 1.0 }
}
