//! What is known of one replica: the load it has carried calmly, the load at which its queue grew, and whether trouble came
//! with the load or by itself.

use super::HintState;
use crate::{Nanos, NodeDemand};

/// Load that was carried calmly becomes familiar in this time; a ramp that doubles in a minute stays 35 % ahead of it.
const FAMILIAR_UP: f64 = 30.0;
/// And is forgotten in a day.
const FAMILIAR_DOWN: f64 = 86_400.0;
/// Inflation (turnaround beside calm) that is still calm; that means queues; that means trouble whatever the load.
const CALM: f64 = 1.35;
const QUEUES: f64 = 1.6;
const TROUBLE: f64 = 1.8;
/// Trouble at the usual load (+10 %) within this time of calm is sudden: a load that fills the replicas takes longer.
const SUDDEN: Nanos = Nanos::from_secs(30);
pub(super) const USUAL: f64 = 1.1;
const USUAL_MEMORY: f64 = 60.0;
/// Failed share that is trouble, and that is still calm.
const FAILING: f64 = 0.2;
const CALM_ERROR: f64 = 0.05;
/// A load is proven after so many seconds of calm at it (within 30 % below); what comes after that is judged by it.
const PROOF: f64 = 8.0;
const MOST_PROOF: f64 = 3_600.0;
/// The knee counts when queues have grown for this long, s: before, answers lag behind a step. It is forgotten after half
/// an hour without queues, since replicas change.
const RIPE: f64 = 5.0;
const KNEE_MEMORY: Nanos = Nanos::from_secs(1_800);

/// The load at which queues grew.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Knee {
    /// Most answers a second and replica while they did.
    each: f64,
    /// Seconds of queues seen.
    seen: f64,
    at: Nanos,
}

/// All nodes as one.
pub(super) struct Sum {
    /// Connections a second: offered, answered; and the growth of the offered ones.
    pub offered: f64,
    pub answered: f64,
    pub trend: f64,
    /// Means weighed by what a node offers.
    pub inflation: f64,
    pub error: f64,
    pub p99: f64,
    pub carrying: f64,
    pub in_service: f64,
}

pub(super) fn sum(nodes: &[NodeDemand]) -> Sum {
    let total = |of: fn(&NodeDemand) -> f64| nodes.iter().map(of).sum::<f64>();
    let offered = total(|node| node.offered_milli_per_second as f64);
    let weighed = |of: fn(&NodeDemand) -> f64| {
        let whole = nodes
            .iter()
            .map(|node| of(node) * node.offered_milli_per_second as f64)
            .sum::<f64>();
        if offered > 0.0 { whole / offered } else { 0.0 }
    };
    Sum {
        offered: offered / 1e3,
        answered: total(|node| node.answered_milli_per_second as f64) / 1e3,
        trend: total(|node| node.trend_milli_per_second2 as f64) / 1e3,
        inflation: weighed(|node| match (node.turnaround_micros, node.calm_micros) {
            (0, _) | (_, 0) => 1.0,
            (now, calm) => now as f64 / calm as f64,
        }),
        error: weighed(|node| f64::from(node.error_permille) / 1e3),
        p99: nodes
            .iter()
            .map(|node| node.p99_micros as f64)
            .fold(0.0, f64::max),
        carrying: weighed(|node| f64::from(node.carrying_milli) / 1e3),
        in_service: weighed(|node| f64::from(node.in_service)),
    }
}

/// Moves what is known of one replica.
pub(super) fn learn(state: &mut HintState, sum: &Sum, replicas: f64, dt: f64, now: Nanos) {
    let each = sum.offered / replicas;
    let calm = sum.inflation <= CALM && sum.error < CALM_ERROR;
    if calm {
        let gain = if state.usual > 0.0 {
            (dt / USUAL_MEMORY).min(1.0)
        } else {
            1.0
        };
        state.usual += gain * (each - state.usual);
        state.calm_at = Some(now);
        state.sudden = false;
    } else if in_trouble(sum) && state.calm_at.is_some_and(|at| now.since(at) < SUDDEN) {
        state.sudden |= each <= USUAL * state.usual;
    }
    if calm {
        prove(state, each, dt);
    }
    if each < state.familiar {
        state.familiar -= (state.familiar - each) * (dt / FAMILIAR_DOWN).min(1.0);
    }
    bend(state, sum, replicas, calm, dt, now);
}

/// Calm at a load makes it familiar: at once while nothing is proven, slowly afterwards, so that a ramp shows.
fn prove(state: &mut HintState, each: f64, dt: f64) {
    if state.proof < PROOF && each > USUAL * state.familiar {
        state.familiar = each;
        state.proof = 0.0;
    } else if each > state.familiar {
        state.familiar += (each - state.familiar) * (dt / FAMILIAR_UP).min(1.0);
    }
    if each >= 0.7 * state.familiar {
        state.proof = (state.proof + dt).min(MOST_PROOF);
    }
}

/// Follows the knee.
fn bend(state: &mut HintState, sum: &Sum, replicas: f64, calm: bool, dt: f64, now: Nanos) {
    let (each, answered) = (sum.offered / replicas, sum.answered / replicas);
    let all_carry = sum.in_service - sum.carrying < 0.5;
    if all_carry && queues(sum) && each >= 0.9 * state.familiar {
        let knee = state.knee.unwrap_or(Knee {
            each: 0.0,
            seen: 0.0,
            at: now,
        });
        state.knee = Some(Knee {
            each: knee.each.max(answered),
            seen: knee.seen + dt,
            at: now,
        });
        return;
    }
    let outgrown = state
        .knee
        .is_some_and(|knee| calm && each > knee.each || now.since(knee.at) > KNEE_MEMORY);
    let unripe = state.knee.is_some_and(|knee| knee.seen < RIPE) && !queues(sum);
    if outgrown || unripe {
        state.knee = None;
    }
}

/// Queues grow.
pub(super) fn queues(sum: &Sum) -> bool {
    sum.inflation > QUEUES && sum.error < FAILING
}

/// Load of a replica at which its queue grew, once that is sure.
pub(super) fn knee(state: &HintState) -> Option<f64> {
    state.knee.filter(|knee| knee.seen >= RIPE).map(|knee| knee.each)
}

/// What a replica carries is proven.
pub(super) fn proven(state: &HintState) -> bool {
    state.proof >= PROOF
}

pub(super) fn in_trouble(sum: &Sum) -> bool {
    sum.inflation > TROUBLE || sum.error > FAILING
}
