//! Status of a policy: whether it is applied as written, never whether traffic is healthy.
//!
//! A pipeline that waits for `Ready` must not roll the protection back during the very incident it is there for.

use crate::target::TargetRef;
use crate::{Condition, conditions, fence};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Targets shown in full; a selector can match more, which `targetsTotal` counts.
pub const TARGETS_MAX: usize = 16;

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
