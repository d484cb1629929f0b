//! What the next transition of a policy or a node is told from.

use crate::Time;
use crate::node::DataplaneState;
use crate::plan::RolloutPhase;
use crate::policy::Mode;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Where a policy stood at its last entry.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct PolicyMark {
    /// metadata.generation that was looked at, counted from 1 (default: none yet).
    #[serde(default)]
    #[schemars(range(min = 0))]
    pub generation: i64,
    /// Its mode. One of Observe, Enforce (default Observe).
    #[serde(default)]
    pub mode: Mode,
    /// Reason of its condition Accepted (default: none yet).
    #[serde(default, skip_serializing_if = "String::is_empty")]
    #[schemars(length(max = 64))]
    pub accepted: String,
    /// Its targets, at most 16, as its status lists them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16), extend("x-kubernetes-list-type" = "atomic"))]
    pub targets: Vec<TargetMark>,
    /// Whether it has more targets than are listed.
    #[serde(default)]
    pub truncated: bool,
    /// Its roll-outs, at most 16, as its status lists them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16), extend("x-kubernetes-list-type" = "atomic"))]
    pub rollouts: Vec<RolloutMark>,
    /// Last generation that every node ran, counted from 1 (default: none).
    #[serde(default)]
    #[schemars(range(min = 0))]
    pub programmed: i64,
    /// Whether a node refuses it.
    #[serde(default)]
    pub refused: bool,
}

/// What had become of one target.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct TargetMark {
    /// The Service, or one port of it as NAME:PORT.
    #[schemars(length(max = 128))]
    pub target: String,
    /// Reason of its condition Accepted.
    #[schemars(length(max = 64))]
    pub reason: String,
    /// Whether another policy had some port of it.
    #[serde(default)]
    pub contested: bool,
    /// Digest of what its condition said, 16 hexadecimal digits.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    #[schemars(length(max = 16))]
    pub digest: String,
}

/// Where the roll-out to one set stood.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct RolloutMark {
    /// Name of the set.
    #[schemars(length(max = 63))]
    pub set: String,
    /// Waiting, Canary, Domain, Widening, Halted or Aborted.
    pub phase: RolloutPhase,
    /// metadata.generation of the policy that is tried, counted from 1.
    #[schemars(range(min = 0))]
    pub generation: i64,
    /// Whether a person had paused it.
    #[serde(default)]
    pub paused: bool,
    /// Digest of its reason, 16 hexadecimal digits.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    #[schemars(length(max = 16))]
    pub digest: String,
}

/// Where a node stood at its last entry.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct NodeMark {
    /// Version of its agent.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    #[schemars(length(max = 64))]
    pub agent_version: String,
    /// Boot id of its kernel.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    #[schemars(length(max = 64))]
    pub boot_id: String,
    /// Time its agent last started, by its own clock.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub started: Option<Time>,
    /// State of its kernel side. One of Detached, Attached, Degraded, Refused (default Detached).
    #[serde(default)]
    pub dataplane: DataplaneState,
    /// Features that it lacks, by name, at most 32.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 32), inner(length(max = 64)), extend("x-kubernetes-list-type" = "atomic"))]
    pub missing: Vec<String>,
    /// Whether its reports were left out.
    #[serde(default)]
    pub distrusted: bool,
    /// Whether nothing had been heard of it for so long that it did not count.
    #[serde(default)]
    pub silent: bool,
}
