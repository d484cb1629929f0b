//! The parts of a node's report.
//!
//! All rates are per 1000 seconds ("milli per second"), all times in microseconds, all shares in parts per million: whole
//! numbers, so that equal reports are equal bytes.

use crate::Time;
use crate::policy::Mode;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Posture of a set, in rising order of concern.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, JsonSchema,
)]
pub enum Regime {
    /// As usual.
    #[default]
    Laminar,
    /// Paying back after a crisis.
    Recovery,
    /// Something is wrong and is being handled.
    Transition,
    /// Capacity is gone or the objective is broken.
    Crisis,
}

/// What the kernel does with connections beyond capacity.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, JsonSchema,
)]
pub enum AdmissionState {
    /// Nothing is refused.
    #[default]
    Normal,
    /// Low classes are refused.
    Soft,
    /// Only the top class and the survival trickle pass.
    Hard,
}

/// What the kernel does while the agent is silent.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, JsonSchema,
)]
pub enum FailsafeState {
    /// The heartbeat is fresh.
    #[default]
    Normal,
    /// The field is frozen.
    Hold,
    /// The field no longer chooses.
    Fallback,
}

/// State of the kernel side as a whole.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
pub enum DataplaneState {
    /// Nothing of ours is in the kernel.
    #[default]
    Detached,
    /// All programs are attached.
    Attached,
    /// Attached, but a feature is off.
    Degraded,
    /// Pins of another schema version are there; nothing was touched.
    Refused,
}

/// State of the kernel side.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct DataplaneReport {
    /// Detached, Attached, Degraded or Refused (default Detached).
    #[serde(default)]
    pub state: DataplaneState,
    /// Why it is not Attached, and what to do (default empty).
    #[serde(default, skip_serializing_if = "String::is_empty")]
    #[schemars(length(max = 512))]
    pub message: String,
    /// Schema version of the pinned maps.
    #[serde(default)]
    #[schemars(range(min = 0))]
    pub schema: i32,
    /// Programs and whether each is attached, at most 16.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16), extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["name"]))]
    pub programs: Vec<ProgramReport>,
    /// Normal, Hold or Fallback, as the kernel itself judges the heartbeat (default Normal).
    #[serde(default)]
    pub failsafe: FailsafeState,
}

/// One kernel program.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ProgramReport {
    /// Name of the program, such as connect4.
    #[schemars(length(min = 1, max = 64))]
    pub name: String,
    /// Whether it is attached.
    pub attached: bool,
}

/// One feature and what the node offers for it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct CapabilityReport {
    /// Name of the feature.
    #[schemars(length(min = 1, max = 64))]
    pub name: String,
    /// Whether the node has what it needs.
    pub met: bool,
    /// Kernel version, capability or mount it needs.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    #[schemars(length(max = 256))]
    pub needs: String,
    /// What is done instead where it is not met.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    #[schemars(length(max = 256))]
    pub fallback: String,
}

/// One set on this node.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct SetReport {
    /// Namespace of the set.
    #[schemars(length(min = 1, max = 63))]
    pub namespace: String,
    /// Name of the EquivalenceSet.
    #[schemars(length(min = 1, max = 63))]
    pub set: String,
    /// Name of the Service.
    #[schemars(length(max = 63))]
    pub service: String,
    /// Name or number of the port.
    #[schemars(length(max = 63))]
    pub port: String,
    /// spec.digest of the plan that the node runs for this set; empty while none is in force.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    #[schemars(length(max = 64))]
    pub plan_digest: String,
    /// metadata.generation of the newest plan the node has applied, advice included.
    #[serde(default)]
    #[schemars(range(min = 0))]
    pub plan_generation: i64,
    /// Why the plan is not in force here (default: it is).
    #[serde(default, skip_serializing_if = "String::is_empty")]
    #[schemars(length(max = 256))]
    pub refusal: String,
    /// Laminar, Recovery, Transition or Crisis (default Laminar).
    #[serde(default)]
    pub regime: Regime,
    /// Time the regime began.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub since: Option<Time>,
    /// Why the regime is what it is, one sentence with figures.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    #[schemars(length(max = 256))]
    pub reason: String,
    /// Observe or Enforce, as in force on this node (default Observe).
    #[serde(default)]
    pub mode: Mode,
    /// Normal, Soft or Hard (default Normal).
    #[serde(default)]
    pub admission: AdmissionState,
    /// New connections to the Service that clients of this node began, per 1000 seconds.
    #[serde(default)]
    #[schemars(range(min = 0))]
    pub offered_milli_per_second: i64,
    /// Those of them whose backend Continuity chose, per 1000 seconds.
    #[serde(default)]
    #[schemars(range(min = 0))]
    pub steered_milli_per_second: i64,
    /// New connections that backends on this node accepted for this set from anywhere, per 1000 seconds.
    #[serde(default)]
    #[schemars(range(min = 0))]
    pub accepted_milli_per_second: i64,
    /// New connections that Continuity refused on this node, per 1000 seconds.
    #[serde(default)]
    #[schemars(range(min = 0))]
    pub refused_milli_per_second: i64,
    /// Connections of this node's clients that failed: refused, timed out, or reset before an answer; per 1000 seconds.
    #[serde(default)]
    #[schemars(range(min = 0))]
    pub failed_milli_per_second: i64,
    /// Pressure of the set against its baseline, in thousandths; 1000 is as usual.
    #[serde(default)]
    #[schemars(range(min = 0))]
    pub pressure_milli: i64,
    /// Median answer time seen from this node, in microseconds; 0 means not known.
    #[serde(default)]
    #[schemars(range(min = 0))]
    pub p50_micros: i64,
    /// 99th percentile of answer time seen from this node, in microseconds; 0 means not known.
    #[serde(default)]
    #[schemars(range(min = 0))]
    pub p99_micros: i64,
    /// Figures for the scale hint.
    #[serde(default)]
    pub demand: DemandReport,
    /// Backends that are not plainly active come first; at most 64.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64), extend("x-kubernetes-list-type" = "atomic"))]
    pub backends: Vec<BackendReport>,
    /// Number of backends the node knows, also those that are not listed.
    #[serde(default)]
    #[schemars(range(min = 0))]
    pub backends_total: i32,
    /// What Enforce would have done; in Observe only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub would_have: Option<WouldHave>,
}

/// Demand and capacity as this node sees them, moving means over about 5 s; the operator adds the nodes up.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct DemandReport {
    /// New connections that this node's clients offered, refused ones included, per 1000 seconds.
    #[serde(default)]
    #[schemars(range(min = 0))]
    pub offered_milli_per_second: i64,
    /// Of those, refused by admission, per 1000 seconds.
    #[serde(default)]
    #[schemars(range(min = 0))]
    pub shed_milli_per_second: i64,
    /// Answers that backends gave to this node's clients, per 1000 seconds.
    #[serde(default)]
    #[schemars(range(min = 0))]
    pub answered_milli_per_second: i64,
    /// Growth of the offered rate over the last 10 s, per 1000 seconds and second; negative while it falls.
    #[serde(default)]
    #[schemars(range(min = -1_000_000_000_000i64, max = 1_000_000_000_000i64))]
    pub trend_milli_per_second2: i64,
    /// Requests of this node that wait for an answer, moving mean, in thousandths of a request.
    #[serde(default)]
    #[schemars(range(min = 0))]
    pub in_flight_milli: i64,
    /// Answer time now, median over the backends in use, in microseconds; 0 means not known.
    #[serde(default)]
    #[schemars(range(min = 0))]
    pub turnaround_micros: i64,
    /// Answer time while the set was last calm, in microseconds; 0 means not known.
    #[serde(default)]
    #[schemars(range(min = 0))]
    pub calm_micros: i64,
    /// 99th percentile of answer time over all answers, in microseconds; 0 means not known.
    #[serde(default)]
    #[schemars(range(min = 0))]
    pub p99_micros: i64,
    /// Failed requests, in permille of attempts.
    #[serde(default)]
    #[schemars(range(min = 0))]
    pub error_permille: i32,
    /// Backends in service as this node sees them.
    #[serde(default)]
    #[schemars(range(min = 0))]
    pub in_service: i32,
    /// Of those, backends that carry (not isolated), weighted by capacity, in thousandths of a backend.
    #[serde(default)]
    #[schemars(range(min = 0))]
    pub carrying_milli: i32,
    /// Whether most backends became slow or failing together while their queues did not grow: more replicas will not help.
    #[serde(default)]
    pub dependency_limited: bool,
}

/// What a backend is to this node.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, JsonSchema,
)]
pub enum BackendState {
    /// In rotation.
    #[default]
    Active,
    /// Growing back after isolation or birth.
    Returning,
    /// Out of rotation but for the drip.
    Isolated,
}

/// Reason of a backend that is Returning because it is new: it was never taken out, and nobody blames it.
pub const NEW_BACKEND: &str = "is new: its share still grows";

/// One backend as this node sees it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct BackendReport {
    /// "ip:port", IPv6 in brackets.
    #[schemars(length(min = 1, max = 64))]
    pub address: String,
    /// Pod behind the address; empty where it is none.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    #[schemars(length(max = 253))]
    pub pod: String,
    /// Node of that pod; empty where not known.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    #[schemars(length(max = 253))]
    pub node: String,
    /// Share of new connections the node gives it, in parts per million.
    #[serde(default)]
    #[schemars(range(min = 0, max = 1_000_000))]
    pub share_ppm: i32,
    /// Active, Returning or Isolated (default Active).
    #[serde(default)]
    pub state: BackendState,
    /// Why the state is what it is, one sentence with figures.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    #[schemars(length(max = 256))]
    pub reason: String,
    /// Time the state began.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub since: Option<Time>,
    /// True when it is isolated on the word of other nodes alone. Such an entry is no vote for a shared verdict, else a
    /// verdict would keep itself alive (default false).
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub hearsay: bool,
    /// What its own node foresees of it (default: nothing). Only the node that it runs on can say so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub warning: Option<Warning>,
    /// Median answer time, in microseconds; 0 means not known, or in Observe that it was asked too seldom of late.
    #[serde(default)]
    #[schemars(range(min = 0))]
    pub median_micros: i64,
    /// Connections of this node that are long-lived and stay on it, out of reach of a choice at connect.
    #[serde(default)]
    #[schemars(range(min = 0))]
    pub keep_alive: i64,
}

/// Something that runs out or stalls, before it fails: said, and turned into a little pressure, never into an isolation.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Warning {
    /// What it is about, such as pod-memory, memory, descriptors, conntrack, threads, memory-stall, io-stall or cpu-stall.
    #[schemars(length(min = 1, max = 32))]
    pub resource: String,
    /// One sentence with figures.
    #[schemars(length(min = 1, max = 256))]
    pub message: String,
    /// Time it was first seen.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub since: Option<Time>,
    /// Time at which the resource is used up if it goes on like this, by its flattest likely trend (default: a stall, which
    /// has none).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expected: Option<Time>,
    /// How much it should weigh against the backend, as a part of the time in which it would stand still, in permille.
    #[serde(default)]
    #[schemars(range(min = 0, max = 1000))]
    pub stall_permille: i32,
}

/// What Enforce would have done.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct WouldHave {
    /// Regime that Enforce would be in: Laminar, Recovery, Transition or Crisis (default Laminar).
    #[serde(default)]
    pub regime: Regime,
    /// Addresses it would have isolated, at most 16.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16), inner(length(max = 64)), extend("x-kubernetes-list-type" = "atomic"))]
    pub isolated: Vec<String>,
    /// One sentence: what it would have done, or what can not be seen in Observe.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    #[schemars(length(max = 256))]
    pub message: String,
}
