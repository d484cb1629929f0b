//! Status of a policy: whether it is applied as written, never whether traffic is healthy.
//!
//! A pipeline that waits for `Ready` must not roll the protection back during the very incident it is there for.

use crate::plan::RolloutPhase;
use crate::target::TargetRef;
use crate::{Condition, conditions, fence};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Targets shown in full; a selector can match more, which `targetsTotal` counts.
pub const TARGETS_MAX: usize = 16;
/// Roll-outs shown; what was taken back stands first, then what has come furthest.
pub const ROLLOUTS_MAX: usize = 16;

/// How far the policy is applied.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("x-kubernetes-validations" = [fence::once_written()]))]
pub struct ContinuityPolicyStatus {
    /// metadata.generation this status is about, counted from 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0))]
    pub observed_generation: Option<i64>,
    /// Summary over all targets: Accepted, Programmed, Ready, and NotYetEnforced where a field is accepted before it acts.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "conditions::list_schema")]
    pub conditions: Vec<Condition>,
    /// Each target and what became of it, in the order of the spec, at most 16.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16), extend("x-kubernetes-list-type" = "atomic"))]
    pub targets: Vec<TargetStatus>,
    /// Number of targets, also beyond the 16 that are listed.
    #[serde(default)]
    #[schemars(range(min = 0))]
    pub targets_total: i32,
    /// Nodes that run this generation, and nodes that should, as "3/3".
    #[serde(default, skip_serializing_if = "String::is_empty")]
    #[schemars(length(max = 32))]
    pub programmed: String,
    /// Roll-outs of the present generation that have not ended well, at most 16; what was taken back stands first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16), extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["set"]))]
    pub rollouts: Vec<RolloutStatus>,
    /// Fields of the spec that are stored and validated but do not act in this version.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 32), inner(length(max = 128)), extend("x-kubernetes-list-type" = "atomic"))]
    pub not_yet_enforced: Vec<String>,
    /// Fencing epoch of the leader that wrote this: it never falls, so that a deposed leader's late write is refused. No
    /// unit, counted from 1 (default: written before there was one).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0))]
    pub writer_epoch: Option<i64>,
}

/// Where the roll-out to one set stands.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct RolloutStatus {
    /// Name of the set.
    #[schemars(length(min = 1, max = 63))]
    pub set: String,
    /// Waiting, Canary, Domain, Widening, Halted or Aborted.
    pub phase: RolloutPhase,
    /// metadata.generation of the policy that is tried, counted from 1.
    #[schemars(range(min = 0))]
    pub generation: i64,
    /// Failure domain (zone) of the canary nodes (default: the nodes name none).
    #[serde(default, skip_serializing_if = "String::is_empty")]
    #[schemars(length(max = 253))]
    pub domain: String,
    /// Why it is where it is, one sentence with figures (default empty).
    #[serde(default, skip_serializing_if = "String::is_empty")]
    #[schemars(length(max = 256))]
    pub reason: String,
    /// Whether a person keeps it where it is.
    #[serde(default)]
    pub paused: bool,
}

/// What became of one target.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct TargetStatus {
    /// The target as the spec names it, or as the selector found it.
    pub target_ref: TargetRef,
    /// Controller that wrote this entry.
    #[schemars(length(max = 253))]
    pub controller_name: String,
    /// Accepted for this target, with the reason where it is not.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "conditions::list_schema")]
    pub conditions: Vec<Condition>,
}
