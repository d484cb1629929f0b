//! The constants an agent runs, all resolved, all integers, unit in each name.
//!
//! Ticks are the agent's decision ticks of 200 ms. "Milli" means thousandths of a dimensionless figure. The values of the
//! presets, and why they are what they are, stand in `compile`.

use crate::policy::{AdmissionMode, Caller, Fallback, Mode, Priority, Topology};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Every constant of one set, resolved from preset, profile and fields.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct CompiledPolicy {
    /// Observe or Enforce.
    pub mode: Mode,
    /// Whether zone hints are followed: Follow or Ignore.
    pub topology: Topology,
    /// How latency, errors and queue become pressure.
    pub pressure: CompiledPressure,
    /// How pressure becomes shares.
    pub share: CompiledShare,
    /// When a backend is taken out and how it returns.
    pub isolation: CompiledIsolation,
    /// When the posture of the set changes.
    pub regime: CompiledRegime,
    /// What users are promised; zero means no promise.
    pub objectives: CompiledObjectives,
    /// What happens when demand exceeds capacity.
    pub admission: CompiledAdmission,
    /// What the kernel does when the agent is silent.
    pub failsafe: CompiledFailsafe,
    /// How the wanted number of replicas is computed.
    pub hint: CompiledHint,
}

/// How latency, errors and queue become pressure.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct CompiledPressure {
    /// Age from which an unanswered request counts as stuck where peers give no better measure, in microseconds.
    #[schemars(range(min = 1))]
    pub stuck_micros: i64,
    /// Time scale of one answer of the workload, in microseconds.
    #[schemars(range(min = 1))]
    pub time_scale_micros: i64,
    /// Weight of one e-fold of latency above the median of the peers, in thousandths.
    #[schemars(range(min = 0))]
    pub latency_weight_milli: i32,
    /// Weight of the error term, in thousandths.
    #[schemars(range(min = 0))]
    pub error_weight_milli: i32,
    /// Error rate that makes the error term 1, in permille.
    #[schemars(range(min = 1, max = 1000))]
    pub error_reference_permille: i32,
    /// Latency that a failure counts as, in milliseconds.
    #[schemars(range(min = 0))]
    pub failure_penalty_millis: i32,
    /// Weight of requests in flight against the median of the peers, in thousandths.
    #[schemars(range(min = 0))]
    pub queue_weight_milli: i32,
    /// Distance to the peers' median that counts as no distance, in permille of the median.
    #[schemars(range(min = 0, max = 1000))]
    pub dead_band_permille: i32,
}

/// How pressure becomes shares.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct CompiledShare {
    /// Largest share of one backend, in permille; never less than a fair share.
    #[schemars(range(min = 0, max = 1000))]
    pub max_permille: i32,
    /// Smallest share of a backend in rotation, in permille of a fair share.
    #[schemars(range(min = 0, max = 1000))]
    pub floor_of_fair_permille: i32,
    /// Decision ticks in which a drain ends, if the others can carry it.
    #[schemars(range(min = 1))]
    pub drain_ticks: i32,
    /// Slots of 64 that rebalancing may move in one tick.
    #[schemars(range(min = 0, max = 64))]
    pub rebalance_slots_per_tick: i32,
    /// Time in which a new backend grows to its full share, in seconds; 0 means at once.
    #[schemars(range(min = 0))]
    pub slow_start_seconds: i32,
    /// Gain of the slow shares, in parts per million per second.
    #[schemars(range(min = 0))]
    pub gain_per_million_per_second: i32,
    /// Whether the bounded learning bias is on.
    pub regret_overlay: bool,
}

/// When a backend is taken out and how it returns.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct CompiledIsolation {
    /// Whether a backend may be isolated at all.
    pub enabled: bool,
    /// Largest isolated part, in permille of the backends, rounded down; never the last.
    #[schemars(range(min = 0, max = 500))]
    pub max_permille: i32,
    /// Latency against the peers' median that is evidence, in thousandths of the median.
    #[schemars(range(min = 1000))]
    pub latency_ratio_milli: i32,
    /// Ticks with evidence, out of `windowTicks`, that isolate.
    #[schemars(range(min = 1))]
    pub evidence_ticks: i32,
    /// Window of ticks in which evidence is counted.
    #[schemars(range(min = 1))]
    pub window_ticks: i32,
    /// Smoothed error rate that isolates, in permille.
    #[schemars(range(min = 1, max = 1000))]
    pub error_permille: i32,
    /// Failures in a row, with no success between, that isolate.
    #[schemars(range(min = 1))]
    pub consecutive_failures: i32,
    /// Requests below which a rate is no evidence.
    #[schemars(range(min = 1))]
    pub min_samples: i32,
    /// Shortest isolation, in milliseconds; doubles with every relapse.
    #[schemars(range(min = 0))]
    pub hold_millis: i32,
    /// Longest isolation, in milliseconds.
    #[schemars(range(min = 0))]
    pub hold_max_millis: i32,
    /// Healthy time that forgives one relapse, in milliseconds.
    #[schemars(range(min = 0))]
    pub forgive_millis: i32,
    /// Answer time of a test connection that releases, in thousandths of the peers' median.
    #[schemars(range(min = 1000))]
    pub release_ratio_milli: i32,
    /// Share with which a return starts, in permille of a full share; doubles every second.
    #[schemars(range(min = 1, max = 1000))]
    pub return_start_permille: i32,
    /// Fleet-wide share of connections that tests isolated backends, in parts per million.
    #[schemars(range(min = 0))]
    pub drip_per_million: i32,
}

/// When the posture of the set changes.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct CompiledRegime {
    /// Pressure against baseline that enters transition, in thousandths.
    #[schemars(range(min = 1000))]
    pub transition_enter_milli: i32,
    /// Pressure against baseline that enters crisis, in thousandths.
    #[schemars(range(min = 1000))]
    pub crisis_enter_milli: i32,
    /// Part of the entry threshold below which a regime is left, in permille.
    #[schemars(range(min = 1, max = 1000))]
    pub leave_permille: i32,
    /// Shortest stay in transition, in milliseconds.
    #[schemars(range(min = 0))]
    pub transition_dwell_millis: i32,
    /// Shortest stay in crisis, in milliseconds.
    #[schemars(range(min = 0))]
    pub crisis_dwell_millis: i32,
    /// Shortest stay in recovery, in milliseconds.
    #[schemars(range(min = 0))]
    pub recovery_dwell_millis: i32,
}

/// What users are promised.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct CompiledObjectives {
    /// 99th percentile of answer time, in microseconds; 0 means no objective.
    #[schemars(range(min = 0))]
    pub latency_p99_micros: i64,
    /// Failed requests in a million; 0 means no objective.
    #[schemars(range(min = 0))]
    pub error_budget_per_million: i32,
}

/// What happens when demand exceeds capacity.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct CompiledAdmission {
    /// Off or Auto.
    pub mode: AdmissionMode,
    /// Part of demand let through in any case, in permille.
    #[schemars(range(min = 0, max = 1000))]
    pub survival_permille: i32,
    /// Retries that count as first attempts, in permille of attempts.
    #[schemars(range(min = 0, max = 1000))]
    pub retry_budget_permille: i32,
    /// Overload that is regulated to, in thousandths of calm; with Auto only (absent with Auto: from an operator for which
    /// the field did not act, and nothing is refused).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1500, max = 8000))]
    pub target_milli: Option<i32>,
    /// Class of callers that no rule names; with Auto only (absent: Normal).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub default_priority: Option<Priority>,
    /// Rules that put callers into classes, with Auto only; the first that matches wins.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16), extend("x-kubernetes-list-type" = "atomic"))]
    pub callers: Vec<Caller>,
}

/// What the kernel does when the agent is silent.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct CompiledFailsafe {
    /// Silence after which the field is frozen, in milliseconds.
    #[schemars(range(min = 1))]
    pub hold_after_millis: i32,
    /// Silence after which the field no longer chooses, in milliseconds.
    #[schemars(range(min = 1))]
    pub fallback_after_millis: i32,
    /// Who chooses then: PassThrough or LastKnownAlive.
    pub fallback: Fallback,
}

/// How the wanted number of replicas is computed.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct CompiledHint {
    /// Whether a hint is published.
    pub enabled: bool,
    /// Capacity wanted above demand, in permille of demand.
    #[schemars(range(min = 0))]
    pub headroom_permille: i32,
    /// Time for which a lower need must last, in seconds.
    #[schemars(range(min = 0))]
    pub scale_down_hold_seconds: i32,
    /// Smallest hint, in replicas; 0 means no lower clamp but 1.
    #[schemars(range(min = 0))]
    pub min_replicas: i32,
    /// Largest hint, in replicas; 0 means no upper clamp.
    #[schemars(range(min = 0))]
    pub max_replicas: i32,
}
