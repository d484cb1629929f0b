//! Status of a set, gathered from the nodes.
//!
//! No field changes with time alone: figures are rounded to steps a person would notice, so that equal situations are
//! equal bytes and nothing is written while nothing happens.

use crate::node::{AdmissionState, Regime};
use crate::{Condition, Time, conditions, fence};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Nodes named as exceptions.
pub const EXCEPTIONS_MAX: usize = 16;
/// Isolated backends named.
pub const ISOLATED_MAX: usize = 16;
/// Warnings about backends named.
pub const WARNINGS_MAX: usize = 16;
/// Further addresses named of one isolated backend: a dual-stack pod has one.
pub const ALSO_MAX: usize = 4;

/// What is going on in one set, over all nodes.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("x-kubernetes-validations" = [fence::once_written()]))]
pub struct EquivalenceSetStatus {
    /// metadata.generation this status is about, counted from 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0))]
    pub observed_generation: Option<i64>,
    /// Ready: the set is resolved, has backends, and nodes report it. Says nothing about the health of traffic.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "conditions::list_schema")]
    pub conditions: Vec<Condition>,
    /// Worst regime that at least 5 % of offered traffic is in. One of Laminar, Recovery, Transition, Crisis (default
    /// Laminar).
    #[serde(default)]
    pub regime: Regime,
    /// Time that regime began.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub regime_since: Option<Time>,
    /// Why, in one sentence with figures, from the node with the most traffic in that regime.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    #[schemars(length(max = 256))]
    pub reason: String,
    /// Nodes per regime.
    #[serde(default)]
    pub nodes: NodeCounts,
    /// Nodes that differ from the headline, worst first, at most 16.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16), extend("x-kubernetes-list-type" = "atomic"))]
    pub exceptions: Vec<NodeException>,
    /// Whether exceptions or isolated backends were left out.
    #[serde(default)]
    pub truncated: bool,
    /// Backends of the set.
    #[serde(default)]
    pub backends: BackendCounts,
    /// Backends that nodes keep out of rotation, at most 16.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16), extend("x-kubernetes-list-type" = "atomic"))]
    pub isolated: Vec<IsolatedBackend>,
    /// Backends whose own node foresees that they fail, or that stand still; at most 16 (default none).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16), extend("x-kubernetes-list-type" = "atomic"))]
    pub warnings: Vec<BackendWarning>,
    /// Strictest admission state that at least 5 % of offered traffic is under: Normal, Soft or Hard (default Normal).
    #[serde(default)]
    pub admission: AdmissionState,
    /// Nodes per admission state.
    #[serde(default)]
    pub admission_nodes: AdmissionCounts,
    /// Pressure against the baseline, mean over offered traffic, as a decimal with two places; "1.00" is as usual.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    #[schemars(length(max = 16))]
    pub pressure: String,
    /// Time until headroom is gone at the present trend, in seconds (default: none foreseen).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0))]
    pub ttf_seconds: Option<i64>,
    /// Rates and answer times over all nodes, rounded.
    #[serde(default)]
    pub traffic: TrafficStatus,
    /// Share of new connections that pass our hook.
    #[serde(default)]
    pub reach: ReachStatus,
    /// Wanted number of replicas (default: none while the policy turns it off or nothing is known).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scale_hint: Option<HintStatus>,
    /// What Enforce would have done; in Observe only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub would_have: Option<WouldHaveStatus>,
    /// Fencing epoch of the leader that wrote this: it never falls, so that a deposed leader's late write is refused. No
    /// unit, counted from 1 (default: written before there was one).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0))]
    pub writer_epoch: Option<i64>,
}

/// Nodes per regime.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct NodeCounts {
    /// Nodes that report the set.
    #[serde(default)]
    #[schemars(range(min = 0))]
    pub reporting: i32,
    /// Nodes that run the present plan.
    #[serde(default)]
    #[schemars(range(min = 0))]
    pub programmed: i32,
    /// Nodes with an agent.
    #[serde(default)]
    #[schemars(range(min = 0))]
    pub total: i32,
    /// Nodes in regime Laminar.
    #[serde(default)]
    #[schemars(range(min = 0))]
    pub laminar: i32,
    /// Nodes in regime Recovery.
    #[serde(default)]
    #[schemars(range(min = 0))]
    pub recovery: i32,
    /// Nodes in regime Transition.
    #[serde(default)]
    #[schemars(range(min = 0))]
    pub transition: i32,
    /// Nodes in regime Crisis.
    #[serde(default)]
    #[schemars(range(min = 0))]
    pub crisis: i32,
}

/// Nodes per admission state.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct AdmissionCounts {
    /// Nodes that refuse low classes.
    #[serde(default)]
    #[schemars(range(min = 0))]
    pub soft: i32,
    /// Nodes that let the top class and the trickle pass only.
    #[serde(default)]
    #[schemars(range(min = 0))]
    pub hard: i32,
}

/// A node that differs from the headline.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct NodeException {
    /// Name of the node.
    #[schemars(length(min = 1, max = 253))]
    pub node: String,
    /// Its regime: Laminar, Recovery, Transition or Crisis.
    pub regime: Regime,
    /// Time that regime began there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub since: Option<Time>,
    /// Why, in one sentence.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    #[schemars(length(max = 256))]
    pub message: String,
}

/// Backends of the set.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct BackendCounts {
    /// Backends that serve: ready, or terminating and still serving where nothing else is.
    #[serde(default)]
    #[schemars(range(min = 0))]
    pub ready: i32,
    /// All backends in EndpointSlices.
    #[serde(default)]
    #[schemars(range(min = 0))]
    pub total: i32,
    /// Backends that nodes with most of the traffic to them keep out of rotation.
    #[serde(default)]
    #[schemars(range(min = 0))]
    pub isolated: i32,
    /// "ready/total" for the column.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    #[schemars(length(max = 32))]
    pub summary: String,
}

/// A backend that nodes keep out of rotation: one entry a pod, whatever the number of its addresses.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct IsolatedBackend {
    /// "ip:port", IPv6 in brackets; of a pod with several the one that was isolated first, as long as any of them is.
    #[schemars(length(min = 1, max = 64))]
    pub address: String,
    /// Other addresses of the same pod that are out of rotation, at most 4 (default none).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 4), inner(length(max = 64)), extend("x-kubernetes-list-type" = "atomic"))]
    pub also: Vec<String>,
    /// Pod behind the address; empty where it is none.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    #[schemars(length(max = 253))]
    pub pod: String,
    /// Node of that pod; empty where not known.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    #[schemars(length(max = 253))]
    pub node: String,
    /// Why, in one sentence with figures, from the node that isolated it first.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    #[schemars(length(max = 256))]
    pub reason: String,
    /// Time the first node isolated it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub since: Option<Time>,
    /// Nodes that keep it out, over any of its addresses.
    #[serde(default)]
    #[schemars(range(min = 0))]
    pub agreeing_nodes: i32,
    /// Nodes that report the set.
    #[serde(default)]
    #[schemars(range(min = 0))]
    pub reporting_nodes: i32,
    /// Long-lived connections that stay on it, out of reach of a choice at connect.
    #[serde(default)]
    #[schemars(range(min = 0))]
    pub keep_alive: i64,
}

/// A backend that still carries and of which its node foresees trouble.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct BackendWarning {
    /// "ip:port", IPv6 in brackets.
    #[schemars(length(min = 1, max = 64))]
    pub address: String,
    /// Pod behind the address; empty where it is none.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    #[schemars(length(max = 253))]
    pub pod: String,
    /// Node of that pod.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    #[schemars(length(max = 253))]
    pub node: String,
    /// What it is about, such as pod-memory or memory-stall.
    #[schemars(length(min = 1, max = 32))]
    pub resource: String,
    /// One sentence with the figures it was first told with.
    #[schemars(length(min = 1, max = 256))]
    pub message: String,
    /// Time it was first told.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub since: Option<Time>,
    /// Time at which it fails if it goes on like this; moved only by what a person would notice (default: a stall).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expected: Option<Time>,
}

/// Rates and answer times, rounded to two digits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct TrafficStatus {
    /// New connections that clients began, per 1000 seconds.
    #[serde(default)]
    #[schemars(range(min = 0))]
    pub offered_milli_per_second: i64,
    /// New connections that Continuity refused, per 1000 seconds.
    #[serde(default)]
    #[schemars(range(min = 0))]
    pub refused_milli_per_second: i64,
    /// Connections that failed, per 1000 seconds.
    #[serde(default)]
    #[schemars(range(min = 0))]
    pub failed_milli_per_second: i64,
    /// Median answer time, mean over offered traffic, in microseconds; 0 means not known.
    #[serde(default)]
    #[schemars(range(min = 0))]
    pub p50_micros: i64,
    /// Largest 99th percentile of answer time of any node with 5 % of the traffic, in microseconds; 0 means not known.
    #[serde(default)]
    #[schemars(range(min = 0))]
    pub p99_micros: i64,
}

/// Share of new connections that pass our hook.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ReachStatus {
    /// Steered connections in permille of those that the backends accepted (default: not known).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 1000))]
    pub permille: Option<i32>,
    /// The same for the column, as "98%"; empty while not known.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    #[schemars(length(max = 16))]
    pub summary: String,
}

/// Where the hint points.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
pub enum Direction {
    /// More replicas.
    Up,
    /// Fewer replicas.
    Down,
    /// As many as there are.
    #[default]
    Hold,
}

/// Wanted number of replicas.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct HintStatus {
    /// Wanted replicas, at least 1.
    #[schemars(range(min = 1))]
    pub desired_replicas: i32,
    /// Ready backends when the hint was made.
    #[schemars(range(min = 0))]
    pub current_replicas: i32,
    /// Up, Down or Hold.
    pub direction: Direction,
    /// Why, one word for machines.
    #[schemars(length(min = 1, max = 64))]
    pub reason: String,
    /// Why, one sentence with figures.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    #[schemars(length(max = 256))]
    pub message: String,
    /// "3", or "5→6" where they differ.
    #[schemars(length(min = 1, max = 32))]
    pub summary: String,
    /// Time the wanted number last changed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub changed: Option<Time>,
    /// Whether minReplicas or maxReplicas of the policy bit.
    #[serde(default)]
    pub clamped: bool,
}

/// What Enforce would have done.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct WouldHaveStatus {
    /// Regime Enforce would be in: Laminar, Recovery, Transition or Crisis (default Laminar).
    #[serde(default)]
    pub regime: Regime,
    /// Addresses it would have isolated, at most 16.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16), inner(length(max = 64)), extend("x-kubernetes-list-type" = "atomic"))]
    pub isolated: Vec<String>,
    /// Nodes that would have acted.
    #[serde(default)]
    #[schemars(range(min = 0))]
    pub nodes: i32,
    /// One sentence.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    #[schemars(length(max = 256))]
    pub message: String,
}
