//! ContinuityPolicy: what a person writes.
//!
//! A direct policy in the Gateway API's sense: it acts on Services of its own namespace, never on other policies. Every
//! field but the target has a default, and a field that a preset (`response`) decides has none in the schema, because a
//! stored default would silence the preset. `compile` resolves both into one complete set of constants.

mod sections;
mod status;

pub use sections::{
    Admission, AdmissionMode, Balancing, CALLERS_MAX, Caller, Failsafe, Fallback, Isolation, Mode,
    Objectives, Priority, Response, Revisions, Rollout, ScaleHint, Topology, WorkloadProfile,
};
pub use status::{ContinuityPolicyStatus, ROLLOUTS_MAX, RolloutStatus, TARGETS_MAX, TargetStatus};

use crate::selector::Selector;
use crate::target::TargetRef;
use kube_derive::CustomResource;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What Continuity does with the Services it names.
#[derive(CustomResource, Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[kube(
    group = "continuity.nity.io",
    version = "v1alpha1",
    kind = "ContinuityPolicy",
    plural = "continuitypolicies",
    namespaced,
    status = "ContinuityPolicyStatus",
    shortname = "ctpol",
    category = "continuity",
    derive = "PartialEq",
    label("gateway.networking.k8s.io/policy", "Direct"),
    doc = "Keeps the traffic of Services flowing when their backends slow down, fail or drown.",
    printcolumn(
        name = "Mode",
        type_ = "string",
        json_path = ".spec.mode",
        description = "Observe or Enforce"
    ),
    printcolumn(
        name = "Targets",
        type_ = "integer",
        json_path = ".status.targetsTotal",
        description = "Services and ports this policy is about"
    ),
    printcolumn(
        name = "Accepted",
        type_ = "string",
        json_path = ".status.conditions[?(@.type==\"Accepted\")].status",
        description = "Whether the policy is valid, its targets exist and no other policy has them"
    ),
    printcolumn(
        name = "Programmed",
        type_ = "string",
        json_path = ".status.programmed",
        description = "Nodes that run this generation / nodes that should"
    ),
    printcolumn(
        name = "Ready",
        type_ = "string",
        json_path = ".status.conditions[?(@.type==\"Ready\")].status",
        description = "Whether the policy is applied as written; says nothing about the health of traffic"
    ),
    printcolumn(
        name = "Age",
        type_ = "date",
        json_path = ".metadata.creationTimestamp",
        description = "Age of the policy"
    ),
    crates(kube_core = "::kube_core")
)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("x-kubernetes-validations" = [
    {
        "rule": "has(self.targetRefs) != has(self.targetSelector)",
        "message": "name exactly one of targetRefs (Services by name) and targetSelector (Services by label)"
    }
]))]
pub struct ContinuityPolicySpec {
    /// Services, or single ports of Services, of this namespace; 1 to 16, each named once. Exclusive with targetSelector
    /// (default none).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(min = 1, max = 16), extend(
        "x-kubernetes-list-type" = "atomic",
        "x-kubernetes-validations" = [{
            "rule": "self.all(a, self.exists_one(b, a.group == b.group && a.kind == b.kind && a.name == b.name && (has(a.sectionName) ? a.sectionName : '') == (has(b.sectionName) ? b.sectionName : '')))",
            "message": "every target must be named once: remove the entry that repeats group, kind, name and sectionName"
        }]
    ))]
    pub target_refs: Vec<TargetRef>,
    /// Services of this namespace by label; every port of each. Exclusive with targetRefs (default none).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub target_selector: Option<Selector>,
    /// Observe touches no connection and shows what Enforce would have done; Enforce steers. One of Observe, Enforce
    /// (default Observe).
    #[serde(default)]
    pub mode: Mode,
    /// Preset of every constant that is not named elsewhere in this policy: how sure Continuity must be before it acts.
    /// One of Gentle, Balanced, Strict (default Balanced).
    #[serde(default)]
    pub response: Response,
    /// Time scale of one answer of the workload: Light (10 ms), Standard (100 ms), Heavy (5 s), Extreme (60 s). It sets
    /// how long an unanswered request may be young (default Standard).
    #[serde(default)]
    pub workload_profile: WorkloadProfile,
    /// Class of callers that no rule in `callers` names. One of Critical, High, Normal, Low, Bulk (default Normal).
    #[serde(default)]
    pub default_priority: Priority,
    /// Rules that put callers into classes, at most 16; the first that matches wins (default none).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16), extend("x-kubernetes-list-type" = "atomic"))]
    pub callers: Vec<Caller>,
    /// What the Service promises its users (default none: peers are compared with each other only).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub objectives: Option<Objectives>,
    /// How new connections are shared between backends (default: every constant from the preset).
    #[serde(default)]
    pub balancing: Balancing,
    /// When a backend is taken out, how many at most, and how it is tested (default: enabled, constants from the preset).
    #[serde(default)]
    pub isolation: Isolation,
    /// What happens when demand exceeds capacity (default: Off, constants as described).
    #[serde(default)]
    pub admission: Admission,
    /// What a node does when its agent stops (default: hold at 3 s, pass through at 15 s).
    #[serde(default)]
    pub failsafe: Failsafe,
    /// Which pods of a Service may stand in for each other (default: all of them).
    #[serde(default)]
    pub revisions: Revisions,
    /// The wanted number of replicas, published for an autoscaler (default: enabled).
    #[serde(default)]
    pub scale_hint: ScaleHint,
    /// How a change of this policy reaches the nodes (default: 3 canary nodes, 60 s).
    #[serde(default)]
    pub rollout: Rollout,
}
