//! The parts of a policy's spec, one type each, with units, ranges and defaults.
//!
//! Two kinds of default exist. A plain field carries its default in the schema. A field that `response` decides is
//! optional without one; its description lists what each preset gives.

use crate::selector::Selector;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Whether connections are touched.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
pub enum Mode {
    /// Measure and show, touch nothing.
    #[default]
    Observe,
    /// Steer new connections.
    Enforce,
}

/// Preset of every constant not named.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
pub enum Response {
    /// Acts late, on much evidence.
    Gentle,
    /// The measured default.
    #[default]
    Balanced,
    /// Acts early, on little evidence.
    Strict,
}

/// Time scale of one answer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
pub enum WorkloadProfile {
    /// About 10 ms.
    Light,
    /// About 100 ms.
    #[default]
    Standard,
    /// About 5 s.
    Heavy,
    /// About 60 s.
    Extreme,
}

/// Class of a caller.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, JsonSchema,
)]
pub enum Priority {
    /// Refused last.
    Critical,
    /// Above normal.
    High,
    /// The class of callers without a rule.
    #[default]
    Normal,
    /// Below normal.
    Low,
    /// Refused first.
    Bulk,
}

/// Most rules of one policy.
pub const CALLERS_MAX: usize = 16;

/// A rule that puts callers into a class.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("x-kubernetes-validations" = [{
    "rule": "has(self.podSelector) || has(self.namespaceSelector)",
    "message": "a caller rule needs podSelector, namespaceSelector or both; for everybody else use defaultPriority"
}]))]
pub struct Caller {
    /// Pods the rule is about, by label; alone it means pods of the policy's namespace (default: any pod of the selected
    /// namespaces).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pod_selector: Option<Selector>,
    /// Namespaces the rule is about, by label (default: the policy's own namespace).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub namespace_selector: Option<Selector>,
    /// Class of these callers. One of Critical, High, Normal, Low, Bulk (default Normal).
    #[serde(default)]
    pub priority: Priority,
    /// Weight of these callers among the callers of one class, 1 to 1000, no unit (default 100).
    #[serde(default = "Caller::default_share")]
    #[schemars(range(min = 1, max = 1000))]
    pub share: i32,
}

impl Caller {
    fn default_share() -> i32 {
        100
    }
}

/// What the Service promises its users.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("x-kubernetes-validations" = [{
    "rule": "has(self.latencyP99Millis) || has(self.errorBudgetPerMillion)",
    "message": "objectives needs latencyP99Millis, errorBudgetPerMillion or both; leave objectives out to promise nothing"
}]))]
pub struct Objectives {
    /// 99th percentile of answer time that users are promised, in milliseconds, 1 to 600000 (default: no objective).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 600_000))]
    pub latency_p99_millis: Option<i32>,
    /// Failed requests in a million that users are promised not to exceed, 1 to 1000000 (default: no objective).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 1_000_000))]
    pub error_budget_per_million: Option<i32>,
}

/// How new connections are shared.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Balancing {
    /// Largest share of new connections that one backend may get, in permille, 100 to 1000; never less than a fair share
    /// (default 800).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 100, max = 1000))]
    pub max_share_permille: Option<i32>,
    /// Time in which a new backend grows from a tenth to its full share, in seconds, 0 to 3600; 0 turns it off (default 30).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 3600))]
    pub slow_start_seconds: Option<i32>,
    /// Follow keeps to the zone hints of EndpointSlices while the zone has capacity; Ignore does not look at zones. One of
    /// Follow, Ignore (default Follow).
    #[serde(default)]
    pub topology: Topology,
    /// Bounded learning bias around the field, active in the laminar regime only (default false).
    #[serde(default)]
    pub regret_overlay: bool,
}

/// Use of zone hints.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
pub enum Topology {
    /// Keep to the hints while the zone can carry it.
    #[default]
    Follow,
    /// Zones do not matter.
    Ignore,
}

/// When a backend is taken out and how it is tested.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Isolation {
    /// Whether a backend may be taken out of rotation at all (default true).
    #[serde(default = "enabled")]
    pub enabled: bool,
    /// Largest part of the backends that may be isolated at once, in permille, 0 to 500, rounded down; never the last
    /// backend (default 500).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 500))]
    pub max_isolated_permille: Option<i32>,
    /// Shortest isolation, in seconds, 1 to 300; it doubles with every relapse up to 300 s and forgives one step per healthy
    /// minute (default by response: Gentle 4, Balanced 2, Strict 1).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 300))]
    pub hold_seconds: Option<i32>,
    /// Fleet-wide share of new connections that may test isolated backends, in parts per million, 0 to 10000; the nodes
    /// divide it among themselves. Values below 100 act as 100: with less, a backend that is well again would wait for
    /// minutes to be found out, and with none for ever (default 500).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 10_000))]
    pub drip_per_million: Option<i32>,
}

impl Default for Isolation {
    fn default() -> Self {
        Self {
            enabled: true,
            max_isolated_permille: None,
            hold_seconds: None,
            drip_per_million: None,
        }
    }
}

fn enabled() -> bool {
    true
}

/// Whether demand beyond capacity is refused early.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
pub enum AdmissionMode {
    /// Never refuse.
    #[default]
    Off,
    /// Refuse when capacity is gone.
    Auto,
}

/// What happens when demand exceeds capacity.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Admission {
    /// Off never refuses a connection; Auto refuses early what capacity cannot carry, lowest class first, with ECONNREFUSED.
    /// One of Off, Auto (default Off).
    #[serde(default)]
    pub mode: AdmissionMode,
    /// Part of demand that is let through even when nothing seems to work, in permille, 1 to 1000 (default 10).
    #[serde(default = "Admission::default_survival")]
    #[schemars(range(min = 1, max = 1000))]
    pub survival_permille: i32,
    /// Retries of a caller that count as first attempts, in permille of its attempts, 0 to 1000 (default 200).
    #[serde(default = "Admission::default_retry_budget")]
    #[schemars(range(min = 0, max = 1000))]
    pub retry_budget_permille: i32,
}

impl Admission {
    fn default_survival() -> i32 {
        10
    }

    fn default_retry_budget() -> i32 {
        200
    }
}

impl Default for Admission {
    fn default() -> Self {
        Self {
            mode: AdmissionMode::Off,
            survival_permille: Self::default_survival(),
            retry_budget_permille: Self::default_retry_budget(),
        }
    }
}

/// Who chooses when the agent is gone for long.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
pub enum Fallback {
    /// kube-proxy.
    #[default]
    PassThrough,
    /// Equal share over the backends last known alive.
    LastKnownAlive,
}

/// What a node does when its agent stops.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("x-kubernetes-validations" = [{
    "rule": "self.holdAfterSeconds < self.fallbackAfterSeconds",
    "message": "failsafe.holdAfterSeconds must be smaller than failsafe.fallbackAfterSeconds: a node first holds its field, then falls back"
}]))]
pub struct Failsafe {
    /// Silence of the agent after which the field is frozen, in seconds, 1 to 60 (default 3).
    #[serde(default = "Failsafe::default_hold")]
    #[schemars(range(min = 1, max = 60))]
    pub hold_after_seconds: i32,
    /// Silence of the agent after which it no longer chooses, in seconds, 2 to 600 (default 15).
    #[serde(default = "Failsafe::default_fallback")]
    #[schemars(range(min = 2, max = 600))]
    pub fallback_after_seconds: i32,
    /// Who chooses then: PassThrough lets kube-proxy serve, LastKnownAlive shares equally over the backends last known
    /// alive. One of PassThrough, LastKnownAlive (default PassThrough).
    #[serde(default)]
    pub fallback: Fallback,
}

impl Failsafe {
    fn default_hold() -> i32 {
        3
    }

    fn default_fallback() -> i32 {
        15
    }
}

impl Default for Failsafe {
    fn default() -> Self {
        Self {
            hold_after_seconds: Self::default_hold(),
            fallback_after_seconds: Self::default_fallback(),
            fallback: Fallback::PassThrough,
        }
    }
}

/// Which pods may stand in for each other.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Revisions {
    /// Whether pods of different pod-template-hash are different sets, as canary roll-outs behind one Service need (default
    /// false).
    #[serde(default)]
    pub split_by_pod_template_hash: bool,
}

/// The wanted number of replicas.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("x-kubernetes-validations" = [{
    "rule": "!has(self.minReplicas) || !has(self.maxReplicas) || self.minReplicas <= self.maxReplicas",
    "message": "scaleHint.minReplicas must not be greater than scaleHint.maxReplicas"
}]))]
pub struct ScaleHint {
    /// Whether a hint is published in status and metrics (default true).
    #[serde(default = "enabled")]
    pub enabled: bool,
    /// Capacity wanted above demand, in permille of demand, 0 to 2000 (default 100).
    #[serde(default = "ScaleHint::default_headroom")]
    #[schemars(range(min = 0, max = 2000))]
    pub headroom_permille: i32,
    /// Time for which a lower need must last before the hint falls, in seconds, 0 to 3600 (default 300).
    #[serde(default = "ScaleHint::default_hold")]
    #[schemars(range(min = 0, max = 3600))]
    pub scale_down_hold_seconds: i32,
    /// Smallest hint, in replicas, 1 to 10000 (default: no lower clamp but 1).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 10_000))]
    pub min_replicas: Option<i32>,
    /// Largest hint, in replicas, 1 to 10000; when it bites, status says so (default: no upper clamp).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 10_000))]
    pub max_replicas: Option<i32>,
}

impl ScaleHint {
    fn default_headroom() -> i32 {
        100
    }

    fn default_hold() -> i32 {
        300
    }
}

impl Default for ScaleHint {
    fn default() -> Self {
        Self {
            enabled: true,
            headroom_permille: Self::default_headroom(),
            scale_down_hold_seconds: Self::default_hold(),
            min_replicas: None,
            max_replicas: None,
        }
    }
}

/// How a change reaches the nodes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Rollout {
    /// Nodes that try a change first, 0 to 3; 0 applies it everywhere at once (default 3).
    #[serde(default = "Rollout::default_canaries")]
    #[schemars(range(min = 0, max = 3))]
    pub canary_nodes: i32,
    /// Time for which each step is watched before the next, in seconds, 5 to 86400 (default 60).
    #[serde(default = "Rollout::default_soak")]
    #[schemars(range(min = 5, max = 86_400))]
    pub soak_seconds: i32,
    /// Whether a roll-out stays where it is (default false).
    #[serde(default)]
    pub paused: bool,
}

impl Rollout {
    fn default_canaries() -> i32 {
        3
    }

    fn default_soak() -> i32 {
        60
    }
}

impl Default for Rollout {
    fn default() -> Self {
        Self {
            canary_nodes: Self::default_canaries(),
            soak_seconds: Self::default_soak(),
            paused: false,
        }
    }
}
