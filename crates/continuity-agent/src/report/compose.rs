//! From the loop's snapshot to `ContinuityNode.status`: lanes of one set joined, worst first, bounded.

mod danger;
mod plane;

use std::collections::BTreeMap;

use continuity_api::node::{
    AdmissionState, BACKENDS_MAX, BackendReport, BackendState, ContinuityNodeStatus, DemandReport,
    NEW_BACKEND, Regime, SetReport, WARNINGS_MAX, WouldHave,
};
use continuity_api::{Condition, Time, policy};
use continuity_dataplane::Mode;
use continuity_field as field;
use continuity_field::NodeDemand;
use continuity_field::admission::Level;
use continuity_sensors::NodeSample;

use crate::desire::Idle;
use crate::forecast::Forecast;
use crate::identity::Identity;
use crate::snapshot::{BackendShot, LaneShot, Snapshot};
use crate::version::VERSION;
use danger::sufficient;
use plane::{capabilities, capable, dataplane, dated, ready};

/// Addresses in "would have".
const WOULD_ISOLATE_MAX: usize = 16;

/// The status of this moment. `conditions` keep the transition times of `before` where the status of a condition stayed.
#[must_use]
pub fn compose(
    snapshot: &Snapshot,
    sensed: &NodeSample,
    foreseen: &Forecast,
    identity: &Identity,
    before: &[Condition],
    sequence: i64,
    now: Time,
) -> ContinuityNodeStatus {
    let mut sets = sets(snapshot, foreseen);
    let total = i32::try_from(sets.len()).unwrap_or(i32::MAX);
    sets.sort_by(|one, other| {
        rank(other)
            .cmp(&rank(one))
            .then_with(|| name(one).cmp(&name(other)))
    });
    let epoch = snapshot.lanes.iter().map(|lane| lane.epoch).max().unwrap_or(0);
    ContinuityNodeStatus {
        observed_generation: identity.generation,
        agent_version: VERSION.to_owned(),
        boot_id: identity.boot_id.clone(),
        kernel: identity.kernel.clone(),
        zone: identity.zone.clone().unwrap_or_default(),
        started: Some(identity.started.clone()),
        conditions: vec![
            ready(&snapshot.plane, snapshot.adopted),
            capable(&snapshot.plane),
            sufficient(foreseen),
        ]
        .into_iter()
        .map(|condition| dated(condition, before, &now, identity.generation))
        .collect(),
        warnings: foreseen
            .node
            .iter()
            .take(WARNINGS_MAX)
            .map(danger::told)
            .collect(),
        reported: Some(now),
        sequence,
        epoch: i64::try_from(epoch).unwrap_or(i64::MAX),
        dataplane: dataplane(&snapshot.plane),
        capabilities: capabilities(&snapshot.plane, sensed),
        regime: sets.iter().map(|set| set.regime).max().unwrap_or_default(),
        sets_total: total,
        sets,
        truncated: false,
        omitted_sets: 0,
    }
    .bounded()
}

/// Sets by name: the lanes of both families joined, and the plans that have no lane here.
fn sets(snapshot: &Snapshot, foreseen: &Forecast) -> Vec<SetReport> {
    let mut joined: BTreeMap<(&str, &str), SetReport> = BTreeMap::new();
    for lane in &snapshot.lanes {
        let report = set(lane, foreseen);
        match joined.entry((&*lane.key.namespace, &*lane.key.set)) {
            std::collections::btree_map::Entry::Vacant(entry) => {
                entry.insert(report);
            }
            std::collections::btree_map::Entry::Occupied(mut entry) => join(entry.get_mut(), report),
        }
    }
    let mut sets: Vec<SetReport> = joined.into_values().collect();
    sets.extend(snapshot.idle.iter().map(idle));
    sets
}

fn set(shot: &LaneShot, foreseen: &Forecast) -> SetReport {
    let lane = &shot.lane;
    let mut backends: Vec<BackendReport> = shot
        .backends
        .iter()
        .filter_map(|backend| self::backend(backend, shot, foreseen))
        .collect();
    backends.sort_by_key(worst_first);
    let total = backends.len();
    let observed = lane.mode == Mode::Observe;
    let would_have = observed.then(|| would_have(shot, &backends));
    backends.truncate(BACKENDS_MAX);
    SetReport {
        namespace: lane.service.namespace.to_string(),
        set: shot.key.set.to_string(),
        service: lane.service.name.to_string(),
        port: lane.port.to_string(),
        plan_digest: if shot.refusal.is_empty() {
            lane.digest.to_string()
        } else {
            String::new()
        },
        plan_generation: lane.generation,
        refusal: shot.refusal.clone(),
        regime: regime(shot.regime),
        since: Some(shot.since.clone()),
        reason: shot.reason.clone(),
        mode: if observed {
            policy::Mode::Observe
        } else {
            policy::Mode::Enforce
        },
        admission: match shot.enforcement {
            _ if observed => AdmissionState::Normal,
            field::Enforcement::Normal => AdmissionState::Normal,
            field::Enforcement::Soft => AdmissionState::Soft,
            field::Enforcement::Hard => AdmissionState::Hard,
        },
        offered_milli_per_second: shot.rates.offered,
        steered_milli_per_second: shot.rates.steered,
        accepted_milli_per_second: shot.rates.accepted,
        refused_milli_per_second: shot.rates.refused,
        failed_milli_per_second: shot.rates.failed,
        pressure_milli: i64::from(shot.pressure_milli),
        p50_micros: shot.p50_micros,
        p99_micros: shot.p99_micros,
        demand: demand(&shot.demand),
        backends,
        backends_total: i32::try_from(total).unwrap_or(i32::MAX),
        would_have,
    }
}

/// The second family of a set: rates add up, the worse posture speaks, backends of both are listed.
fn join(first: &mut SetReport, second: SetReport) {
    if second.regime > first.regime {
        first.regime = second.regime;
        first.since = second.since;
        first.reason = second.reason;
        first.pressure_milli = second.pressure_milli;
    }
    first.admission = first.admission.max(second.admission);
    first.offered_milli_per_second += second.offered_milli_per_second;
    first.steered_milli_per_second += second.steered_milli_per_second;
    first.accepted_milli_per_second += second.accepted_milli_per_second;
    first.refused_milli_per_second += second.refused_milli_per_second;
    first.failed_milli_per_second += second.failed_milli_per_second;
    first.p50_micros = first.p50_micros.max(second.p50_micros);
    first.p99_micros = first.p99_micros.max(second.p99_micros);
    first.demand = join_demand(first.demand, second.demand);
    if let (Some(one), Some(other)) = (&mut first.would_have, second.would_have) {
        one.regime = one.regime.max(other.regime);
        let fresh = other.isolated.iter().filter(|address| {
            let Some(pod) = pod_of(&second.backends, address) else {
                return true;
            };
            let told = |known: &String| pod_of(&first.backends, known) == Some(pod);
            !one.isolated.iter().any(told)
        });
        let fresh: Vec<String> = fresh.cloned().collect();
        one.isolated.extend(fresh);
        one.isolated.truncate(WOULD_ISOLATE_MAX);
    }
    first.backends.extend(second.backends);
    first.backends.sort_by_key(worst_first);
    first.backends.truncate(BACKENDS_MAX);
    // A pod with an address of each family is one backend; a set has the same pods in both.
    first.backends_total = first.backends_total.max(second.backends_total);
    if first.refusal.is_empty() {
        first.refusal = second.refusal;
    }
}

/// Backends that are out or in danger stand first, where a bound cannot cut them off.
fn worst_first(backend: &BackendReport) -> std::cmp::Reverse<(BackendState, bool)> {
    std::cmp::Reverse((backend.state, backend.warning.is_some()))
}

/// The pod behind an address, where it is known.
fn pod_of<'a>(backends: &'a [BackendReport], address: &str) -> Option<&'a str> {
    let backend = backends.iter().find(|backend| backend.address == address)?;
    (!backend.pod.is_empty()).then_some(&*backend.pod)
}

/// A pod answers on both families, so capacity and counts of backends are not summed; work is.
fn join_demand(one: DemandReport, other: DemandReport) -> DemandReport {
    DemandReport {
        offered_milli_per_second: one.offered_milli_per_second + other.offered_milli_per_second,
        shed_milli_per_second: one.shed_milli_per_second + other.shed_milli_per_second,
        answered_milli_per_second: one.answered_milli_per_second + other.answered_milli_per_second,
        trend_milli_per_second2: one.trend_milli_per_second2 + other.trend_milli_per_second2,
        in_flight_milli: one.in_flight_milli + other.in_flight_milli,
        turnaround_micros: one.turnaround_micros.max(other.turnaround_micros),
        calm_micros: one.calm_micros.max(other.calm_micros),
        p99_micros: one.p99_micros.max(other.p99_micros),
        error_permille: one.error_permille.max(other.error_permille),
        in_service: one.in_service.max(other.in_service),
        carrying_milli: one.carrying_milli.max(other.carrying_milli),
        dependency_limited: one.dependency_limited || other.dependency_limited,
    }
}

fn idle(idle: &Idle) -> SetReport {
    SetReport {
        namespace: idle.namespace.to_string(),
        set: idle.set.to_string(),
        service: idle.service.to_string(),
        port: idle.port.to_string(),
        plan_generation: idle.generation,
        refusal: idle.cause.sentence().to_owned(),
        ..SetReport::default()
    }
}

/// One backend; none for those out of service.
fn backend(shot: &BackendShot, lane: &LaneShot, foreseen: &Forecast) -> Option<BackendReport> {
    let known = lane.lane.backends.get(shot.index)?;
    let state = match shot.state {
        field::BackendState::Normal | field::BackendState::Suspect => BackendState::Active,
        field::BackendState::Starting | field::BackendState::Returning => BackendState::Returning,
        field::BackendState::Isolated => BackendState::Isolated,
        field::BackendState::Out => return None,
    };
    Some(BackendReport {
        address: known.address.to_string(),
        pod: known.pod.as_deref().unwrap_or_default().to_owned(),
        node: known.node.as_deref().unwrap_or_default().to_owned(),
        share_ppm: i32::try_from(shot.share_ppm.min(1_000_000)).unwrap_or(0),
        state,
        reason: why(shot),
        since: Some(shot.since.clone()),
        hearsay: shot.hearsay,
        warning: danger::of(known, foreseen),
        median_micros: shot.latency_micros,
        keep_alive: i64::try_from(shot.open).unwrap_or(i64::MAX),
    })
}

/// Why a backend stands where it stands. A new one was never taken out: nobody blames it.
fn why(shot: &BackendShot) -> String {
    if shot.state == field::BackendState::Starting && shot.reason.is_empty() {
        return NEW_BACKEND.to_owned();
    }
    shot.reason.clone()
}

fn would_have(shot: &LaneShot, backends: &[BackendReport]) -> WouldHave {
    let isolated = backends
        .iter()
        .filter(|backend| backend.state == BackendState::Isolated);
    let isolated: Vec<String> = isolated
        .map(|backend| backend.address.clone())
        .take(WOULD_ISOLATE_MAX)
        .collect();
    let local = shot
        .lane
        .backends
        .iter()
        .filter(|backend| backend.locality == field::Locality::Node)
        .count();
    let message = match (isolated.as_slice(), local) {
        ([], 0) => {
            "no backend of this set runs on this node, so Observe sees none of their answers here".to_owned()
        }
        ([], _) => format!("nothing, by what the {local} backends on this node answered"),
        ([one], _) => format!("taken {one} out of rotation: {}", shot.reason),
        (several, _) => format!(
            "taken {} backends out of rotation: {}",
            several.len(),
            shot.reason
        ),
    };
    let message = would_refuse(shot).map_or(message.clone(), |refused| format!("{refused}; {message}"));
    WouldHave {
        regime: regime(shot.regime),
        isolated,
        message: message.chars().take(256).collect(),
    }
}

/// Whom admission would have refused; by the gates, which are what is sure without a connect to ask.
fn would_refuse(shot: &LaneShot) -> Option<String> {
    let gate = shot.gate.as_ref()?;
    let whom = match shot.enforcement {
        field::Enforcement::Normal => return None,
        field::Enforcement::Soft => "the lowest classes",
        field::Enforcement::Hard => "all but the top class and a trickle",
    };
    let class = shot
        .lane
        .gate
        .as_ref()
        .map(|gate| Level::Class(gate.class).index())?;
    let open = gate.gates_permille.get(class).copied().unwrap_or(1_000);
    let closed = 1_000_u32.saturating_sub(open) / 10;
    Some(format!(
        "refused {whom} and at least {closed} % of callers without a rule: {}",
        gate.reason
    ))
}

fn demand(demand: &NodeDemand) -> DemandReport {
    let wide = |value: u64| i64::try_from(value).unwrap_or(i64::MAX);
    let narrow = |value: u32| i32::try_from(value).unwrap_or(i32::MAX);
    DemandReport {
        offered_milli_per_second: wide(demand.offered_milli_per_second),
        shed_milli_per_second: wide(demand.shed_milli_per_second),
        answered_milli_per_second: wide(demand.answered_milli_per_second),
        trend_milli_per_second2: demand.trend_milli_per_second2,
        in_flight_milli: wide(demand.in_flight_milli),
        turnaround_micros: wide(demand.turnaround_micros),
        calm_micros: wide(demand.calm_micros),
        p99_micros: wide(demand.p99_micros),
        error_permille: narrow(demand.error_permille),
        in_service: narrow(demand.in_service),
        carrying_milli: narrow(demand.carrying_milli),
        dependency_limited: demand.dependency_limited,
    }
}

const fn regime(regime: field::Regime) -> Regime {
    match regime {
        field::Regime::Laminar => Regime::Laminar,
        field::Regime::Recovery => Regime::Recovery,
        field::Regime::Transition => Regime::Transition,
        field::Regime::Crisis => Regime::Crisis,
    }
}

/// Worst first: refusal, posture, isolated backends, then traffic.
fn rank(set: &SetReport) -> (Regime, bool, bool, i64) {
    let isolated = set
        .backends
        .iter()
        .any(|backend| backend.state != BackendState::Active || backend.warning.is_some());
    (
        set.regime,
        isolated,
        !set.refusal.is_empty(),
        set.offered_milli_per_second,
    )
}

fn name(set: &SetReport) -> (&str, &str) {
    (&set.namespace, &set.set)
}

#[cfg(test)]
mod tests;
