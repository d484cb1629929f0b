//! ContinuityNode: what one node's agent reports.
//!
//! Cluster-scoped, one per node, named like it, written by that node's agent alone. Sets that are not laminar, have
//! changed or hint stand first. Written on transitions and slowly otherwise: liveness is the agent's readiness, not this
//! object. Its size is bounded by `bounded`, because 256 sets of 64 backends would not fit into etcd.

mod bound;
mod report;

pub use bound::STATUS_BYTES_MAX;
pub use report::{
    AdmissionState, BackendReport, BackendState, CapabilityReport, DataplaneReport, DataplaneState,
    DemandReport, FailsafeState, NEW_BACKEND, ProgramReport, Regime, SetReport, Warning, WouldHave,
};

use crate::{Condition, Time, conditions};
use kube_derive::CustomResource;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Sets in one report.
pub const SETS_MAX: usize = 256;
/// Backends of one set in one report.
pub const BACKENDS_MAX: usize = 64;
/// Warnings about the node itself: one for each resource and kind of stall there is.
pub const WARNINGS_MAX: usize = 8;

/// Nothing is asked of a node through its spec.
#[derive(CustomResource, Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[kube(
    group = "continuity.nity.io",
    version = "v1alpha1",
    kind = "ContinuityNode",
    plural = "continuitynodes",
    status = "ContinuityNodeStatus",
    shortname = "cnode",
    category = "continuity",
    derive = "PartialEq",
    doc = "What the agent of one node reports. Written by that node's agent, and by the operator whether it is believed; do not edit.",
    printcolumn(
        name = "Ready",
        type_ = "string",
        json_path = ".status.conditions[?(@.type==\"Ready\")].status",
        description = "Whether the dataplane is attached and its heartbeat fresh"
    ),
    printcolumn(
        name = "Dataplane",
        type_ = "string",
        json_path = ".status.dataplane.state",
        description = "Attached, Degraded, Detached or Refused"
    ),
    printcolumn(
        name = "Trusted",
        type_ = "string",
        json_path = ".status.conditions[?(@.type==\"Trusted\")].status",
        description = "False while the operator leaves its reports out; empty where it never did"
    ),
    printcolumn(
        name = "Failsafe",
        type_ = "string",
        json_path = ".status.dataplane.failsafe",
        description = "Normal, Hold or Fallback"
    ),
    printcolumn(
        name = "Regime",
        type_ = "string",
        json_path = ".status.regime",
        description = "Worst regime of any set"
    ),
    printcolumn(
        name = "Sets",
        type_ = "integer",
        json_path = ".status.setsTotal",
        description = "Sets the node carries"
    ),
    printcolumn(
        name = "Kernel",
        type_ = "string",
        json_path = ".status.kernel",
        description = "Kernel release"
    ),
    printcolumn(
        name = "Epoch",
        type_ = "integer",
        json_path = ".status.epoch",
        description = "Epoch of the node's field",
        priority = 1
    ),
    printcolumn(
        name = "Age",
        type_ = "date",
        json_path = ".metadata.creationTimestamp",
        description = "Age of the object"
    ),
    crates(kube_core = "::kube_core")
)]
#[serde(rename_all = "camelCase")]
pub struct ContinuityNodeSpec {}

/// What the agent of one node sees and does.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ContinuityNodeStatus {
    /// metadata.generation this status is about, counted from 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0))]
    pub observed_generation: Option<i64>,
    /// Version of the agent, as its build names it.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    #[schemars(length(max = 64))]
    pub agent_version: String,
    /// Boot id of the node's kernel: counters start again when it changes.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    #[schemars(length(max = 64))]
    pub boot_id: String,
    /// Kernel release of the node.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    #[schemars(length(max = 128))]
    pub kernel: String,
    /// Failure domain of the node: its label topology.kubernetes.io/zone (default: unknown).
    #[serde(default, skip_serializing_if = "String::is_empty")]
    #[schemars(length(max = 253))]
    pub zone: String,
    /// Time the agent last started.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub started: Option<Time>,
    /// Time this report was made, by the node's own clock. Never used to judge freshness across nodes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reported: Option<Time>,
    /// Counts the reports since the agent started: a report that does not raise it is a repetition.
    #[serde(default)]
    #[schemars(range(min = 0))]
    pub sequence: i64,
    /// Epoch of the newest field on the node, counted from 0 over all sets; survives a restart of the agent.
    #[serde(default)]
    #[schemars(range(min = 0))]
    pub epoch: i64,
    /// State of the kernel side.
    #[serde(default)]
    pub dataplane: DataplaneReport,
    /// Every feature, whether the node can do it, what it needs and what is done instead; at most 32.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 32), extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["name"]))]
    pub capabilities: Vec<CapabilityReport>,
    /// Ready, CapabilitiesMet and ResourcesSufficient by the agent; Trusted by the operator, on a node that it doubts or has doubted.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "conditions::list_schema")]
    pub conditions: Vec<Condition>,
    /// Resources of the node itself that run out or for which its tasks wait, at most 8 (default none).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 8), extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["resource"]))]
    pub warnings: Vec<Warning>,
    /// Worst regime of any set on this node. One of Laminar, Recovery, Transition, Crisis (default Laminar).
    #[serde(default)]
    pub regime: Regime,
    /// Number of sets the node carries, also those that are not listed.
    #[serde(default)]
    #[schemars(range(min = 0))]
    pub sets_total: i32,
    /// Sets, worst first, at most 256 and at most 64 kB together.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 256), extend("x-kubernetes-list-type" = "atomic"))]
    pub sets: Vec<SetReport>,
    /// Whether sets or backends were left out for size.
    #[serde(default)]
    pub truncated: bool,
    /// Number of sets that were left out.
    #[serde(default)]
    #[schemars(range(min = 0))]
    pub omitted_sets: i32,
}
