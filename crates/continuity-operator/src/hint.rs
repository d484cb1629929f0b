//! The wanted number of replicas: the law's hint, kept over time and put into words.
//!
//! The law sums the nodes and decides; this module hands it fresh figures, remembers its state per set, starts it from
//! what is stored after a restart, and never lets the value vanish: silence keeps the last one.

use crate::gather::sentence;
use crate::moment::Moment;
use continuity_api::node::{DemandReport, SetReport};
use continuity_api::plan::CompiledPolicy;
use continuity_api::reasons;
use continuity_api::set::{Direction, HintStatus};
use continuity_field::{Hint, HintConfig, HintReason, HintState, Nanos, NodeDemand};

/// What one set's hint remembers.
#[derive(Clone, Debug, Default)]
pub struct Memory {
    state: HintState,
    started: bool,
}

/// The hint of a set, or none where the policy turns it off or there has never been a backend.
pub fn decide(
    memory: &mut Memory,
    policy: &CompiledPolicy,
    reports: &[(&str, &SetReport)],
    ready: usize,
    stored: Option<&HintStatus>,
    now: Moment,
) -> Option<HintStatus> {
    if !policy.hint.enabled || (ready == 0 && stored.is_none()) {
        return None;
    }
    let ready = u32::try_from(ready).unwrap_or(u32::MAX);
    if !memory.started {
        memory.started = true;
        if let Some(stored) = stored {
            memory.state = HintState::resume(u32::try_from(stored.desired_replicas).unwrap_or(0));
        }
    }
    let demands: Vec<NodeDemand> = reports.iter().map(|(_, report)| demand(&report.demand)).collect();
    let nanos = Nanos::from_millis(u64::try_from(now.mono.as_millis()).unwrap_or(u64::MAX));
    let hint = continuity_field::hint(&demands, ready, &config(policy), &mut memory.state, nanos);
    Some(status(&hint, ready, stored, now))
}

fn config(policy: &CompiledPolicy) -> HintConfig {
    let default = HintConfig::default();
    let positive = |figure: i32, otherwise: u32| {
        u32::try_from(figure)
            .ok()
            .filter(|figure| *figure > 0)
            .unwrap_or(otherwise)
    };
    let p99 = u64::try_from(policy.objectives.latency_p99_micros)
        .ok()
        .filter(|micros| *micros > 0);
    HintConfig {
        headroom_permille: u32::try_from(policy.hint.headroom_permille).unwrap_or(default.headroom_permille),
        scale_down_hold: Nanos::from_secs(u64::try_from(policy.hint.scale_down_hold_seconds).unwrap_or(0)),
        min_replicas: positive(policy.hint.min_replicas, default.min_replicas),
        max_replicas: positive(policy.hint.max_replicas, default.max_replicas),
        latency_p99: p99.map(Nanos::from_micros),
        ..default
    }
}

fn demand(report: &DemandReport) -> NodeDemand {
    let rate = |figure: i64| u64::try_from(figure).unwrap_or(0);
    let count = |figure: i32| u32::try_from(figure).unwrap_or(0);
    NodeDemand {
        offered_milli_per_second: rate(report.offered_milli_per_second),
        shed_milli_per_second: rate(report.shed_milli_per_second),
        answered_milli_per_second: rate(report.answered_milli_per_second),
        trend_milli_per_second2: report.trend_milli_per_second2,
        in_flight_milli: rate(report.in_flight_milli),
        turnaround_micros: rate(report.turnaround_micros),
        calm_micros: rate(report.calm_micros),
        p99_micros: rate(report.p99_micros),
        error_permille: count(report.error_permille),
        in_service: count(report.in_service),
        carrying_milli: count(report.carrying_milli),
        dependency_limited: report.dependency_limited,
    }
}

fn status(hint: &Hint, ready: u32, stored: Option<&HintStatus>, now: Moment) -> HintStatus {
    let desired = i32::try_from(hint.replicas).unwrap_or(i32::MAX).max(1);
    let current = i32::try_from(ready).unwrap_or(i32::MAX);
    let direction = match desired.cmp(&current) {
        std::cmp::Ordering::Greater => Direction::Up,
        std::cmp::Ordering::Less => Direction::Down,
        std::cmp::Ordering::Equal => Direction::Hold,
    };
    let reason = word(hint.reason, direction);
    let same = stored.filter(|stored| stored.desired_replicas == desired);
    // The sentence stays with the decision it explains; its figures move all the time.
    let settled = same.filter(|stored| stored.reason == reason && stored.current_replicas == current);
    HintStatus {
        desired_replicas: desired,
        current_replicas: current,
        direction,
        reason: reason.to_owned(),
        message: settled.map_or_else(
            || sentence(&hint.reason.to_string()),
            |stored| stored.message.clone(),
        ),
        summary: if desired == current {
            desired.to_string()
        } else {
            format!("{current}→{desired}")
        },
        changed: same
            .and_then(|stored| stored.changed.clone())
            .or_else(|| Some(now.time())),
        clamped: matches!(
            hint.reason,
            HintReason::AtLeast { .. } | HintReason::AtMost { .. }
        ),
    }
}

fn word(reason: HintReason, direction: Direction) -> &'static str {
    match reason {
        HintReason::Load { .. } => match direction {
            Direction::Up => reasons::DEMAND,
            Direction::Down => reasons::EXCESS,
            Direction::Hold => reasons::STEADY,
        },
        HintReason::NotLearned => reasons::LEARNING,
        HintReason::Silent => reasons::SILENT,
        HintReason::HoldingDown { .. } => reasons::HOLDING,
        HintReason::WithinTolerance { .. } => reasons::STEADY,
        HintReason::DependencyLimited { .. } => reasons::UPSTREAM,
        HintReason::AtLeast { .. } | HintReason::AtMost { .. } => reasons::CLAMPED,
    }
}

#[cfg(test)]
mod tests;
