//! The picture of a lane for the snapshot.

use std::sync::Arc;

use continuity_api::Time;
use continuity_dataplane::Mode;
use continuity_field::{BackendId, Enforcement, NodeDemand, Outcome, Regime};

use super::Track;
use crate::snapshot::{BackendShot, GateShot, LaneShot, RateShot, TotalShot};

impl Track {
    /// Transitions so far; a rise calls for a snapshot at once.
    #[must_use]
    pub const fn transitions(&self) -> u64 {
        self.notes.transitions + self.gatekeeper.transitions()
    }

    /// The picture of this moment.
    #[must_use]
    pub fn shot(&self) -> LaneShot {
        let outcome = self.state.outcome();
        let flows = &self.flows;
        let (regime, since_millis, reason) = self.posture();
        LaneShot {
            key: self.key.clone(),
            lane: Arc::clone(&self.lane),
            epoch: self.epoch,
            regime,
            since: time(since_millis),
            reason: reason.to_owned(),
            enforcement: self.gate_outcome().map_or(Enforcement::Normal, |gate| gate.mode),
            gate: self.gate_shot(),
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
            demand: self.demand(outcome),
            backends: self.backend_shots(outcome),
            refusal: self.refusal.clone(),
        }
    }

    /// The worse posture of the two laws, since when and why; among equals the one that refuses speaks.
    fn posture(&self) -> (Regime, i64, &str) {
        let notes = &self.notes;
        let gate = self.gatekeeper.regime(&self.lane);
        if concern(gate) > 0 && concern(gate) >= concern(notes.regime) {
            return (gate, self.gatekeeper.since_millis(), self.gatekeeper.reason());
        }
        (notes.regime, notes.regime_since_millis, &notes.reason)
    }

    fn gate_outcome(&self) -> Option<&continuity_field::admission::Outcome> {
        self.lane.gate.as_ref().map(|_| self.gatekeeper.outcome())
    }

    fn gate_shot(&self) -> Option<GateShot> {
        let outcome = self.gate_outcome()?;
        Some(GateShot {
            since: time(self.gatekeeper.since_millis()),
            reason: self.gatekeeper.reason().to_owned(),
            posture: outcome.posture,
            gates_permille: outcome.gates_permille,
            traffic: self.gatekeeper.traffic().copied(),
        })
    }

    /// Work that was shed is work that was offered.
    fn demand(&self, outcome: &Outcome) -> NodeDemand {
        if self.lane.gate.is_none() {
            return outcome.demand;
        }
        let shed = u64::try_from(self.flows.shed.rate.milli()).unwrap_or(0);
        NodeDemand {
            offered_milli_per_second: outcome.demand.offered_milli_per_second.saturating_add(shed),
            shed_milli_per_second: shed,
            ..outcome.demand
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
            let latency = view.latency.filter(|_| self.telling(view.id));
            let micros = latency.map_or(0, continuity_field::Nanos::as_micros);
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

    /// Whether the median of a backend is worth telling. In Observe the operator compares it with those of other nodes, and
    /// what a backend answered long ago says nothing of it now.
    fn telling(&self, id: BackendId) -> bool {
        self.lane.mode == Mode::Enforce || self.asked.get(&id).is_some_and(|asked| asked.enough())
    }
}

/// Which of two postures people should hear of.
const fn concern(regime: Regime) -> u8 {
    match regime {
        Regime::Laminar => 0,
        Regime::Recovery => 1,
        Regime::Transition => 2,
        Regime::Crisis => 3,
    }
}

/// Wall time in whole seconds, as Kubernetes writes it.
fn time(millis: i64) -> Time {
    Time(jiff::Timestamp::from_second(millis.div_euclid(1_000)).unwrap_or_default())
}
