//! EquivalenceTimeline: what happened to one set, policy or node, for a person who asks why.
//!
//! One for each, written on transitions only and by the leader only. Entries are appended and the eldest fall off at the
//! bounds; nothing is rewritten, and `total` never falls. The mark is the state that the last entry led to, so that a new
//! leader finds what happened while nobody wrote. Nothing watches it.

mod mark;

pub use mark::{NodeMark, PolicyMark, RolloutMark, TargetMark};

use crate::Time;
use crate::node::{AdmissionState, Regime};
use crate::policy::Mode;
use crate::target::{PolicyIdentity, PortIdentity, ServiceIdentity};
use kube_derive::CustomResource;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

/// Entries of one object.
pub const ENTRIES_MAX: usize = 200;
/// Age at which an entry falls off, in seconds: 24 h.
pub const AGE_MAX_SECONDS: i64 = 24 * 3_600;
/// Bytes of all entries as JSON: with the rest of the object below 64 kB. An entry has about 200 bytes, so the number of
/// entries is the bound that bites; only sentences of full length make this one the first.
pub const ENTRIES_BYTES_MAX: usize = 54 * 1024;
/// Longest sentence of an entry, in characters.
pub const SENTENCE_MAX: usize = 256;
/// Warned pods that the mark remembers; as many as the status of a set names.
pub const MARK_WARNED_MAX: usize = 16;
/// Isolated addresses that the mark remembers; as many as the status of a set names.
pub const MARK_ADDRESSES_MAX: usize = 16;

/// Longest name of an object.
const NAME_MAX: usize = 253;

/// Name of the timeline of an object: a set's own name, `policy.NAME` beside the policy, `node.NAME` in the namespace of the
/// installation. A name that would be too long ends in 16 hexadecimal digits of its hash.
///
/// The name of a set is a DNS label and has no dot, so no two meet.
#[must_use]
pub fn timeline_name(kind: SubjectKind, name: &str) -> String {
    let whole = match kind {
        SubjectKind::EquivalenceSet => return name.to_owned(),
        SubjectKind::ContinuityPolicy => format!("policy.{name}"),
        SubjectKind::ContinuityNode => format!("node.{name}"),
    };
    if whole.len() <= NAME_MAX {
        return whole;
    }
    let hash: String = Sha256::digest(name.as_bytes())
        .iter()
        .take(8)
        .map(|byte| format!("{byte:02x}"))
        .collect();
    let kept: String = whole.chars().take(NAME_MAX - hash.len() - 1).collect();
    format!("{}-{hash}", kept.trim_end_matches(['-', '.']))
}

/// What happened to one set, policy or node.
#[derive(CustomResource, Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[kube(
    group = "continuity.nity.io",
    version = "v1alpha1",
    kind = "EquivalenceTimeline",
    plural = "equivalencetimelines",
    namespaced,
    shortname = "eqt",
    category = "continuity",
    derive = "PartialEq",
    doc = "What happened to one Service port, policy or node: every transition with its reason. Made by the operator; do not edit.",
    selectable = ".spec.service.name",
    printcolumn(
        name = "Service",
        type_ = "string",
        json_path = ".spec.service.name",
        description = "Service of the set; empty for a policy or node"
    ),
    printcolumn(
        name = "Port",
        type_ = "string",
        json_path = ".spec.port.label",
        description = "Port name or number"
    ),
    printcolumn(
        name = "Last",
        type_ = "string",
        json_path = ".spec.last",
        description = "What happened last"
    ),
    printcolumn(
        name = "When",
        type_ = "date",
        json_path = ".spec.lastTime",
        description = "How long ago"
    ),
    printcolumn(
        name = "Total",
        type_ = "integer",
        json_path = ".spec.total",
        description = "Entries ever written"
    ),
    crates(kube_core = "::kube_core")
)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("x-kubernetes-validations" = [
    {
        "rule": "self.total >= oldSelf.total",
        "message": "total is smaller than the stored one: a timeline is appended to and never rewritten",
        "reason": "FieldValueForbidden",
        "fieldPath": ".total"
    }
]))]
pub struct EquivalenceTimelineSpec {
    /// What it is about.
    #[serde(default)]
    pub about: TimelineSubject,
    /// Service of the set (default: it is about no set).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub service: Option<ServiceIdentity>,
    /// Port of the set (default: it is about no set).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub port: Option<PortIdentity>,
    /// Entries ever written; more than are listed where old ones fell off.
    #[schemars(range(min = 0))]
    pub total: i64,
    /// What happened last, in CamelCase.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    #[schemars(length(max = 64))]
    pub last: String,
    /// Time of the last entry.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_time: Option<Time>,
    /// State of the set that the last entry led to (default: it is about no set).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mark: Option<TimelineMark>,
    /// State of the policy that the last entry led to (default: it is about no policy).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub policy_mark: Option<PolicyMark>,
    /// State of the node that the last entry led to (default: it is about no node).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub node_mark: Option<NodeMark>,
    /// Entries, eldest first, at most 200 and of the last 24 h.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 200), extend("x-kubernetes-list-type" = "atomic"))]
    pub entries: Vec<TimelineEntry>,
}

/// Kind of what a timeline is about.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, JsonSchema,
)]
pub enum SubjectKind {
    /// A set.
    #[default]
    EquivalenceSet,
    /// A policy.
    ContinuityPolicy,
    /// A node.
    ContinuityNode,
}

impl SubjectKind {
    /// As the API calls it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::EquivalenceSet => "EquivalenceSet",
            Self::ContinuityPolicy => "ContinuityPolicy",
            Self::ContinuityNode => "ContinuityNode",
        }
    }
}

/// What a timeline is about.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct TimelineSubject {
    /// EquivalenceSet, ContinuityPolicy or ContinuityNode (default EquivalenceSet).
    #[serde(default)]
    pub kind: SubjectKind,
    /// Its name (default: the timeline's own).
    #[serde(default, skip_serializing_if = "String::is_empty")]
    #[schemars(length(max = 253))]
    pub name: String,
}

/// One transition.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct TimelineEntry {
    /// When it was seen.
    pub at: Time,
    /// What happened, in CamelCase; the reasons of Events, and those of a timeline alone.
    #[schemars(length(min = 1, max = 64))]
    pub what: String,
    /// What it happened to, where that is less than the whole: an address, a policy, a target.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    #[schemars(length(max = 128))]
    pub subject: String,
    /// Why, with figures.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    #[schemars(length(max = 256))]
    pub cause: String,
    /// What Continuity did about it; empty where nothing was to be done.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    #[schemars(length(max = 256))]
    pub action: String,
}

/// What the next transition of a set is told from.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct TimelineMark {
    /// Regime.
    #[serde(default)]
    pub regime: Regime,
    /// Admission state.
    #[serde(default)]
    pub admission: AdmissionState,
    /// Whether a backend serves.
    #[serde(default)]
    pub served: bool,
    /// Isolated backends by address, at most 16.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16), inner(length(max = 64)), extend("x-kubernetes-list-type" = "atomic"))]
    pub isolated: Vec<String>,
    /// Backends of which trouble was foreseen, by address, at most 16.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16), inner(length(max = 64)), extend("x-kubernetes-list-type" = "atomic"))]
    pub warned: Vec<String>,
    /// Whether more are isolated than named.
    #[serde(default)]
    pub truncated: bool,
    /// Wanted replicas; 0 without a hint.
    #[serde(default)]
    #[schemars(range(min = 0))]
    pub desired_replicas: i32,
    /// Policy in force (default: none yet).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub policy: Option<PolicyIdentity>,
    /// Its mode.
    #[serde(default)]
    pub mode: Mode,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_two_timelines_have_one_name_and_each_is_short_enough() {
        let name = "n".repeat(NAME_MAX);
        let policy = timeline_name(SubjectKind::ContinuityPolicy, &name);
        let other = timeline_name(
            SubjectKind::ContinuityPolicy,
            &format!("{}m", "n".repeat(NAME_MAX - 1)),
        );
        assert!(policy.len() <= NAME_MAX && policy != other, "{policy}");
        assert_eq!(timeline_name(SubjectKind::ContinuityPolicy, "a"), "policy.a");
        assert_eq!(timeline_name(SubjectKind::ContinuityNode, "a"), "node.a");
        assert_eq!(
            timeline_name(SubjectKind::EquivalenceSet, "a-http-039c3"),
            "a-http-039c3"
        );
    }
}
