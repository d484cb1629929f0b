//! EquivalencePlan: what the operator tells the agents about one set.
//!
//! Written on decisions only and without a status, so that an agent that watches it hears nothing else. It carries every
//! constant resolved; an agent never reads a policy. An agent without a plan for a Service never touches that Service,
//! and an agent whose plan stops changing keeps working by it.

mod compiled;
mod rollout;

pub use compiled::{
    CompiledAdmission, CompiledFailsafe, CompiledHint, CompiledIsolation, CompiledObjectives, CompiledPolicy,
    CompiledPressure, CompiledRegime, CompiledShare,
};
pub use rollout::{RolloutPhase, RolloutRecord};

use crate::target::{PolicyIdentity, PortIdentity, ServiceIdentity};
use crate::{Time, fence};
use kube_derive::CustomResource;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Shared verdicts in one plan: a set isolates at most half of its backends, and beyond 64 at once the fault is not theirs.
pub const VERDICTS_MAX: usize = 64;
/// Backends in distress in one plan.
pub const DISTRESS_MAX: usize = 64;

/// What agents run for one set: identity, the compiled policy, and slow advice.
#[derive(CustomResource, Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[kube(
    group = "continuity.nity.io",
    version = "v1alpha1",
    kind = "EquivalencePlan",
    plural = "equivalenceplans",
    namespaced,
    shortname = "eqp",
    category = "continuity",
    derive = "PartialEq",
    doc = "What the operator tells the agents about one Service port. Made by the operator; do not edit.",
    printcolumn(
        name = "Service",
        type_ = "string",
        json_path = ".spec.service.name",
        description = "Service of the set"
    ),
    printcolumn(
        name = "Port",
        type_ = "string",
        json_path = ".spec.port.label",
        description = "Port name or number"
    ),
    printcolumn(
        name = "Mode",
        type_ = "string",
        json_path = ".spec.stable.mode",
        description = "Observe or Enforce"
    ),
    printcolumn(
        name = "Policy",
        type_ = "string",
        json_path = ".spec.policy.name",
        description = "Policy in force"
    ),
    printcolumn(
        name = "Nodes",
        type_ = "integer",
        json_path = ".spec.advice.activeNodes",
        description = "Nodes that carry traffic of the set"
    ),
    printcolumn(
        name = "Epoch",
        type_ = "integer",
        json_path = ".spec.writerEpoch",
        description = "Fencing epoch of the leader that wrote the plan",
        priority = 1
    ),
    printcolumn(
        name = "Age",
        type_ = "date",
        json_path = ".metadata.creationTimestamp",
        description = "Age of the plan"
    ),
    crates(kube_core = "::kube_core")
)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("x-kubernetes-validations" = [fence::always()]))]
pub struct EquivalencePlanSpec {
    /// Service of the set.
    pub service: ServiceIdentity,
    /// Port of the set.
    pub port: PortIdentity,
    /// Policy that was compiled.
    pub policy: PolicyIdentity,
    /// Revision label (pod-template-hash) of the set, where revisions are split (default: every pod of the Service).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 63))]
    pub revision: Option<String>,
    /// Fencing epoch of the leader that wrote this plan: it never falls, so that a deposed leader's late write is refused.
    /// No unit, counted from 0.
    #[schemars(range(min = 0))]
    pub writer_epoch: i64,
    /// Digest of everything in this plan that a node must apply: identity and compiled policies, but neither advice nor
    /// writerEpoch. A node reports the digest it runs; equal digests mean the plan is in force there.
    #[schemars(length(min = 1, max = 64))]
    pub digest: String,
    /// Policy that every node runs which the candidate does not name.
    pub stable: CompiledPolicy,
    /// Policy that is being rolled out, with the nodes that run it already (default: no roll-out).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub candidate: Option<Candidate>,
    /// Where that roll-out stands, or how it ended where the candidate was taken back (default: none). Not part of the
    /// digest.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rollout: Option<RolloutRecord>,
    /// What the cluster knows and a node can not: slow, optional, never needed to steer.
    #[serde(default)]
    pub advice: Advice,
}

/// A policy on its way.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Candidate {
    /// The policy that is tried.
    pub policy: CompiledPolicy,
    /// Nodes that run it, at most 256.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 256), inner(length(max = 253)), extend("x-kubernetes-list-type" = "set"))]
    pub nodes: Vec<String>,
    /// Failure domains (zones) whose nodes all run it, at most 64.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64), inner(length(max = 253)), extend("x-kubernetes-list-type" = "set"))]
    pub domains: Vec<String>,
}

/// What the cluster knows and a node can not.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Advice {
    /// Nodes N that carry traffic of the set, at least 1 (default 1). Divides the drip between the nodes.
    #[serde(default = "Advice::one")]
    #[schemars(range(min = 1))]
    pub active_nodes: i32,
    /// Offered rate of the whole fleet, in new connections per 1000 seconds (default 0: not known).
    #[serde(default)]
    #[schemars(range(min = 0))]
    pub offered_milli_per_second: i64,
    /// Least time between two reports of a node that are no transitions, in milliseconds, 5000 to 600000 (default 5000).
    #[serde(default = "Advice::spacing")]
    #[schemars(range(min = 5_000, max = 600_000))]
    pub report_spacing_millis: i32,
    /// Verdicts that several nodes share, at most 64 (default none).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64), extend("x-kubernetes-list-type" = "atomic"))]
    pub verdicts: Vec<SharedVerdict>,
    /// Backends whose own nodes foresee trouble beyond that of the others, at most 64 (default none). They get less, never
    /// nothing.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64), extend("x-kubernetes-list-type" = "atomic"))]
    pub distress: Vec<Distress>,
}

/// Trouble of one backend that only its own node sees.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Distress {
    /// Address of the backend as "ip:port", IPv6 in brackets.
    #[schemars(length(min = 1, max = 64))]
    pub address: String,
    /// Part of the time in which it counts as standing still, in permille, in steps of 100.
    #[schemars(range(min = 0, max = 1000))]
    pub stall_permille: i32,
}

impl Advice {
    fn one() -> i32 {
        1
    }

    fn spacing() -> i32 {
        5_000
    }
}

impl Default for Advice {
    fn default() -> Self {
        Self {
            active_nodes: Self::one(),
            offered_milli_per_second: 0,
            report_spacing_millis: Self::spacing(),
            verdicts: Vec::new(),
            distress: Vec::new(),
        }
    }
}

/// What several nodes found out about one backend.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct SharedVerdict {
    /// Address of the backend as "ip:port", IPv6 in brackets.
    #[schemars(length(min = 1, max = 64))]
    pub address: String,
    /// What the nodes that see it do with it: Isolate or Release.
    pub action: VerdictAction,
    /// Nodes that agree, of those that report traffic to it.
    #[schemars(range(min = 1))]
    pub agreeing_nodes: i32,
    /// Time after which the verdict means nothing; a node then relies on itself alone.
    pub expires: Time,
}

/// What nodes do with a backend.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
pub enum VerdictAction {
    /// Take it out of rotation.
    Isolate,
    /// Let it return.
    Release,
}
