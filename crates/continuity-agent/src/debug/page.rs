//! Pages from the loop's picture, bounded.

use std::cmp::Reverse;

use continuity_field::BackendState;
use serde_json::{Value, json};

use super::diary::backends;
use crate::forecast::Forecast;
use crate::lane::Family;
use crate::snapshot::{BackendShot, GateShot, LaneShot, Snapshot};

/// Lanes of one page, and backends of one lane; those in trouble stand first. At 300 B a backend and 1 kB a lane a page has
/// 700 kB at most.
pub(super) const LANES_MAX: usize = 64;
pub(super) const BACKENDS_MAX: usize = 32;
/// Plans without a lane, and warnings about pods, on one page.
const IDLE_MAX: usize = 64;

/// Lanes, the worst first.
pub(super) fn lanes(snapshot: &Snapshot) -> Value {
    let mut worst: Vec<&LaneShot> = snapshot.lanes.iter().collect();
    worst.sort_by_key(|lane| (Reverse(lane.regime), Reverse(lane.rates.offered), &lane.key));
    let shown: Vec<Value> = worst.iter().take(LANES_MAX).map(|shot| lane(shot)).collect();
    json!({
        "lanes": shown,
        "total": snapshot.lanes.len(),
        "omitted": snapshot.lanes.len().saturating_sub(LANES_MAX),
    })
}

fn lane(shot: &LaneShot) -> Value {
    let plan = &shot.lane;
    let family = match shot.key.family {
        Family::V4 => 4,
        Family::V6 => 6,
    };
    let mut worst: Vec<_> = backends(shot).collect();
    worst.sort_by_key(|(address, shot)| (shot.state == BackendState::Normal, *address));
    let named: Vec<Value> = worst
        .iter()
        .take(BACKENDS_MAX)
        .map(|(address, backend)| self::backend(&address.to_string(), backend, shot))
        .collect();
    json!({
        "set": format!("{}/{}", shot.key.namespace, shot.key.set),
        "service": plan.service.to_string(), "port": plan.port, "family": family,
        "mode": format!("{:?}", plan.mode), "planGeneration": plan.generation, "planDigest": plan.digest,
        "epoch": shot.epoch, "refusal": shot.refusal,
        "law": {
            "regime": format!("{:?}", shot.regime), "since": shot.since, "reason": shot.reason,
            "enforcement": format!("{:?}", shot.enforcement), "pressureMilli": shot.pressure_milli,
            "admission": shot.gate.as_ref().map(gate),
        },
        "meters": {
            "milliPerSecond": {
                "offered": shot.rates.offered, "steered": shot.rates.steered, "accepted": shot.rates.accepted,
                "refused": shot.rates.refused, "failed": shot.rates.failed,
            },
            "total": {
                "offered": shot.totals.offered, "steered": shot.totals.steered, "accepted": shot.totals.accepted,
                "refused": shot.totals.refused, "failed": shot.totals.failed,
            },
            "p50Micros": shot.p50_micros, "p99Micros": shot.p99_micros,
            "calmMicros": shot.demand.calm_micros, "inFlightMilli": shot.demand.in_flight_milli,
            "errorPermille": shot.demand.error_permille, "carryingMilli": shot.demand.carrying_milli,
        },
        "backends": named,
        "backendsTotal": plan.backends.len(),
        "backendsOmitted": worst.len().saturating_sub(BACKENDS_MAX),
    })
}

fn gate(gate: &GateShot) -> Value {
    let posture = &gate.posture;
    json!({
        "since": gate.since, "reason": gate.reason, "gatesPermille": gate.gates_permille,
        "levelMilli": posture.level_milli, "overloadMilli": posture.overload_milli,
        "latencyMilli": posture.latency_milli, "debtMilli": posture.debt_milli,
        "refusedPermille": posture.refused_permille, "provenMilli": posture.proven_milli,
    })
}

fn backend(address: &str, shot: &BackendShot, lane: &LaneShot) -> Value {
    let known = lane.lane.backends.get(shot.index);
    json!({
        "address": address,
        "pod": known.and_then(|known| known.pod.as_deref()),
        "node": known.and_then(|known| known.node.as_deref()),
        "state": format!("{:?}", shot.state), "since": shot.since, "reason": shot.reason,
        "hearsay": shot.hearsay, "sharePpm": shot.share_ppm,
        "latencyMicros": shot.latency_micros, "open": shot.open,
    })
}

/// The kernel side, the loop's counters, and what the sensors foretell.
pub(super) fn node(snapshot: &Snapshot, foreseen: &Forecast) -> Value {
    let plane = &snapshot.plane;
    let capabilities: Vec<Value> = plane
        .capabilities
        .capabilities
        .iter()
        .map(|one| {
            json!({
                "name": one.id.to_string(), "met": one.met, "required": one.required, "found": one.found,
                "needs": one.needs, "fallback": one.fallback,
            })
        })
        .collect();
    let idle: Vec<Value> = snapshot
        .idle
        .iter()
        .take(IDLE_MAX)
        .map(|plan| json!({"set": format!("{}/{}", plan.namespace, plan.set), "cause": format!("{:?}", plan.cause)}))
        .collect();
    let times: serde_json::Map<String, Value> = foreseen
        .times
        .iter()
        .map(|(subject, left)| (subject.name().to_owned(), (left.0 / 1_000_000_000).into()))
        .collect();
    let warnings = foreseen.node.iter().chain(foreseen.pods.values());
    let warnings: Vec<&str> = warnings.take(IDLE_MAX).map(|one| one.message.as_str()).collect();
    let tally = &snapshot.tally;
    json!({
        "plane": {
            "state": format!("{:?}", plane.state), "message": plane.message,
            "failsafe": format!("{:?}", plane.failsafe), "capabilities": capabilities,
        },
        "loop": {
            "adopted": snapshot.adopted, "ticks": tally.ticks, "publishes": tally.publishes,
            "errors": tally.errors, "putRight": tally.drift.total(),
        },
        "lanes": snapshot.lanes.len(),
        "idle": idle, "idleTotal": snapshot.idle.len(),
        "forecast": {"read": foreseen.read, "secondsLeft": times, "warnings": warnings},
    })
}

#[cfg(test)]
mod tests;
