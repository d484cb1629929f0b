//! The picture of a lane for the snapshot.

use std::sync::Arc;

use continuity_api::Time;
use continuity_field::Outcome;

use super::Track;
use crate::snapshot::{BackendShot, LaneShot, RateShot, TotalShot};

impl Track {
    /// Transitions so far; a rise calls for a snapshot at once.
    #[must_use]
    pub const fn transitions(&self) -> u64 {
        self.notes.transitions
    }

    /// The picture of this moment.
    #[must_use]
    pub fn shot(&self) -> LaneShot {
        let outcome = self.state.outcome();
        let flows = &self.flows;
        LaneShot {
            key: self.key.clone(),
            lane: Arc::clone(&self.lane),
            epoch: self.epoch,
            regime: self.notes.regime,
            since: time(self.notes.regime_since_millis),
            reason: self.notes.reason.clone(),
            enforcement: outcome.enforcement,
            pressure_milli: outcome.pressure_milli,
            rates: RateShot {
                offered: flows.offered.rate.milli(),
                steered: flows.steered.rate.milli(),
                accepted: flows.accepted.rate.milli(),
                refused: flows.refused.rate.milli(),
                failed: flows.failed.rate.milli(),
            },
            totals: TotalShot {
                offered: flows.offered.total,
                steered: flows.steered.total,
                accepted: flows.accepted.total,
                refused: flows.refused.total,
                failed: flows.failed.total,
            },
            p50_micros: self.answers.quantile(500),
            p99_micros: self.answers.quantile(990),
            demand: outcome.demand,
            backends: self.backend_shots(outcome),
            refusal: self.refusal.clone(),
        }
    }

    fn backend_shots(&self, outcome: &Outcome) -> Vec<BackendShot> {
        let shots = outcome.backends.iter().enumerate().filter_map(|(index, view)| {
            // The outcome is of the last round; after a failed one the lane may be newer.
            self.lane
                .backends
                .get(index)
                .filter(|backend| backend.id == view.id)?;
            let note = self.notes.backends.get(&view.id)?;
            let micros = view.latency.map_or(0, continuity_field::Nanos::as_micros);
            let hearsay = |isolation: continuity_field::Isolation| {
                matches!(isolation.evidence, continuity_field::Evidence::Shared { .. })
            };
            Some(BackendShot {
                index,
                hearsay: view.isolation.is_some_and(hearsay),
                state: note.state,
                since: time(note.since_millis),
                reason: note.reason.clone(),
                share_ppm: view.share_ppm,
                latency_micros: i64::try_from(micros).unwrap_or(i64::MAX),
                open: self.meters.get(&view.id).map_or(0, crate::meter::Meter::open),
            })
        });
        shots.collect()
    }
}

/// Wall time in whole seconds, as Kubernetes writes it.
fn time(millis: i64) -> Time {
    Time(jiff::Timestamp::from_second(millis.div_euclid(1_000)).unwrap_or_default())
}
