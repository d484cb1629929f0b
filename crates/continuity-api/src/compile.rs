//! A policy's spec, compiled: preset × workload profile × named fields → every constant an agent runs.
//!
//! Pure and total: any spec compiles, also one that slipped past admission, because figures are clamped to the ranges the
//! schema states. A field that the policy names beats the preset. The Balanced column is what the balancing law was
//! measured with, and all three are the ones of the law's own presets.

use crate::plan::{
    CompiledAdmission, CompiledFailsafe, CompiledHint, CompiledIsolation, CompiledObjectives, CompiledPolicy,
    CompiledPressure, CompiledRegime, CompiledShare,
};
use crate::policy::{AdmissionMode, CALLERS_MAX, ContinuityPolicySpec, Response, WorkloadProfile};

/// What differs between the presets: how much evidence an isolation needs, how long it lasts at least, and the overload that
/// admission regulates to.
struct Preset {
    latency_ratio_milli: i32,
    evidence_ticks: i32,
    error_permille: i32,
    consecutive_failures: i32,
    hold_seconds: i32,
    overload_milli: i32,
}

const GENTLE: Preset = Preset {
    latency_ratio_milli: 16_000,
    evidence_ticks: 4,
    error_permille: 700,
    consecutive_failures: 6,
    hold_seconds: 4,
    overload_milli: 3_200,
};

const BALANCED: Preset = Preset {
    latency_ratio_milli: 8_000,
    evidence_ticks: 3,
    error_permille: 500,
    consecutive_failures: 3,
    hold_seconds: 2,
    overload_milli: 2_800,
};

const STRICT: Preset = Preset {
    latency_ratio_milli: 4_000,
    evidence_ticks: 2,
    error_permille: 300,
    consecutive_failures: 2,
    hold_seconds: 1,
    overload_milli: 2_400,
};

impl Preset {
    const fn of(response: Response) -> &'static Self {
        match response {
            Response::Gentle => &GENTLE,
            Response::Balanced => &BALANCED,
            Response::Strict => &STRICT,
        }
    }
}

/// Time scale of one answer and the age at which an unanswered request is stuck, in microseconds.
///
/// Ten times the scale, but not under a second: below that a scheduling hiccup of the client looks like a stuck server.
const fn scale(profile: WorkloadProfile) -> (i64, i64) {
    match profile {
        WorkloadProfile::Light => (10_000, 1_000_000),
        WorkloadProfile::Standard => (100_000, 1_000_000),
        WorkloadProfile::Heavy => (5_000_000, 50_000_000),
        WorkloadProfile::Extreme => (60_000_000, 600_000_000),
    }
}

/// Least share of connections that tests isolated backends, in parts per million: at 100 connections a second one test in
/// 100 s.
const DRIP_MIN: i32 = 100;

/// Resolves every constant of a policy.
#[must_use]
pub fn compile(spec: &ContinuityPolicySpec) -> CompiledPolicy {
    let preset = Preset::of(spec.response);
    CompiledPolicy {
        mode: spec.mode,
        topology: spec.balancing.topology,
        pressure: pressure(spec.workload_profile),
        share: share(spec),
        isolation: isolation(spec, preset),
        regime: regime(),
        objectives: objectives(spec),
        admission: admission(spec, preset),
        failsafe: failsafe(spec),
        hint: hint(spec),
    }
}

/// How much is too much, and who calls, matter where a connect may be refused: a plan without admission says neither.
fn admission(spec: &ContinuityPolicySpec, preset: &Preset) -> CompiledAdmission {
    let asked = spec.admission.mode == AdmissionMode::Auto;
    let rules = if asked { CALLERS_MAX } else { 0 };
    CompiledAdmission {
        mode: spec.admission.mode,
        survival_permille: spec.admission.survival_permille.clamp(1, 1000),
        retry_budget_permille: spec.admission.retry_budget_permille.clamp(0, 1000),
        target_milli: asked.then_some(preset.overload_milli),
        default_priority: asked.then_some(spec.default_priority),
        callers: spec.callers.iter().take(rules).cloned().collect(),
    }
}

const fn pressure(profile: WorkloadProfile) -> CompiledPressure {
    let (time_scale_micros, stuck_micros) = scale(profile);
    CompiledPressure {
        time_scale_micros,
        stuck_micros,
        latency_weight_milli: 1_000,
        error_weight_milli: 1_000,
        error_reference_permille: 50,
        failure_penalty_millis: 5_000,
        queue_weight_milli: 250,
        dead_band_permille: 150,
    }
}

fn share(spec: &ContinuityPolicySpec) -> CompiledShare {
    CompiledShare {
        max_permille: spec.balancing.max_share_permille.unwrap_or(800).clamp(100, 1000),
        floor_of_fair_permille: 200,
        drain_ticks: 2,
        rebalance_slots_per_tick: 1,
        slow_start_seconds: spec.balancing.slow_start_seconds.unwrap_or(30).clamp(0, 3600),
        gain_per_million_per_second: 20_000,
        regret_overlay: spec.balancing.regret_overlay,
    }
}

fn isolation(spec: &ContinuityPolicySpec, preset: &Preset) -> CompiledIsolation {
    let named = &spec.isolation;
    CompiledIsolation {
        enabled: named.enabled,
        max_permille: named.max_isolated_permille.unwrap_or(500).clamp(0, 500),
        latency_ratio_milli: preset.latency_ratio_milli,
        evidence_ticks: preset.evidence_ticks,
        window_ticks: 5,
        error_permille: preset.error_permille,
        consecutive_failures: preset.consecutive_failures,
        min_samples: 5,
        hold_millis: named.hold_seconds.unwrap_or(preset.hold_seconds).clamp(1, 300) * 1_000,
        hold_max_millis: 300_000,
        forgive_millis: 60_000,
        release_ratio_milli: 3_000,
        return_start_permille: 20,
        // The floor is the law's own; resolved here, the plan and `explain` show what acts.
        drip_per_million: named.drip_per_million.unwrap_or(500).clamp(DRIP_MIN, 10_000),
    }
}

const fn regime() -> CompiledRegime {
    CompiledRegime {
        transition_enter_milli: 1_300,
        crisis_enter_milli: 2_000,
        leave_permille: 650,
        transition_dwell_millis: 2_000,
        crisis_dwell_millis: 10_000,
        recovery_dwell_millis: 20_000,
    }
}

fn objectives(spec: &ContinuityPolicySpec) -> CompiledObjectives {
    let promised = spec.objectives.unwrap_or_default();
    CompiledObjectives {
        latency_p99_micros: i64::from(promised.latency_p99_millis.unwrap_or(0).clamp(0, 600_000)) * 1_000,
        error_budget_per_million: promised.error_budget_per_million.unwrap_or(0).clamp(0, 1_000_000),
    }
}

fn failsafe(spec: &ContinuityPolicySpec) -> CompiledFailsafe {
    let hold = spec.failsafe.hold_after_seconds.clamp(1, 60);
    CompiledFailsafe {
        hold_after_millis: hold * 1_000,
        // Falling back before holding would skip the frozen field; admission refuses it, this keeps the order anyway.
        fallback_after_millis: spec.failsafe.fallback_after_seconds.clamp(hold + 1, 600) * 1_000,
        fallback: spec.failsafe.fallback,
    }
}

fn hint(spec: &ContinuityPolicySpec) -> CompiledHint {
    let named = &spec.scale_hint;
    let min_replicas = named.min_replicas.unwrap_or(0).clamp(0, 10_000);
    let max_replicas = match named.max_replicas {
        Some(max) => max.clamp(min_replicas.max(1), 10_000),
        None => 0,
    };
    CompiledHint {
        enabled: named.enabled,
        headroom_permille: named.headroom_permille.clamp(0, 2_000),
        scale_down_hold_seconds: named.scale_down_hold_seconds.clamp(0, 3_600),
        min_replicas,
        max_replicas,
    }
}

#[cfg(test)]
mod tests;
