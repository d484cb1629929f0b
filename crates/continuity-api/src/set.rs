//! EquivalenceSet: what a person reads.
//!
//! `kubectl get equivalencesets` alone must answer which Service is in trouble, how, since when, and what is being done.
//! Made by the operator and owned by the Service; nothing watches it to act on it.

mod status;

pub use status::{
    ALSO_MAX, AdmissionCounts, BackendCounts, BackendWarning, Direction, EXCEPTIONS_MAX,
    EquivalenceSetStatus, HintStatus, ISOLATED_MAX, IsolatedBackend, NodeCounts, NodeException, ReachStatus,
    TrafficStatus, WARNINGS_MAX, WouldHaveStatus,
};

use crate::fence;
use crate::policy::Mode;
use crate::target::{PolicyIdentity, PortIdentity, ServiceIdentity};
use kube_derive::CustomResource;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Which backends may stand in for each other.
#[derive(CustomResource, Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[kube(
    group = "continuity.nity.io",
    version = "v1alpha1",
    kind = "EquivalenceSet",
    plural = "equivalencesets",
    namespaced,
    status = "EquivalenceSetStatus",
    shortname = "eqs",
    category = "continuity",
    derive = "PartialEq",
    doc = "The backends of one Service port that may stand in for each other. Made by the operator; do not edit.",
    selectable = ".spec.service.name",
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
        name = "Backends",
        type_ = "string",
        json_path = ".status.backends.summary",
        description = "Ready backends / all backends"
    ),
    printcolumn(
        name = "Isolated",
        type_ = "integer",
        json_path = ".status.backends.isolated",
        description = "Backends out of rotation"
    ),
    printcolumn(
        name = "Regime",
        type_ = "string",
        json_path = ".status.regime",
        description = "Laminar, Recovery, Transition or Crisis, by offered traffic"
    ),
    printcolumn(
        name = "Since",
        type_ = "date",
        json_path = ".status.regimeSince",
        description = "Age of the regime"
    ),
    printcolumn(
        name = "Admission",
        type_ = "string",
        json_path = ".status.admission",
        description = "Normal, Soft or Hard"
    ),
    printcolumn(
        name = "Pressure",
        type_ = "string",
        json_path = ".status.pressure",
        description = "Resistance to flow; 1.00 is as usual"
    ),
    printcolumn(
        name = "Hint",
        type_ = "string",
        json_path = ".status.scaleHint.summary",
        description = "Wanted replicas, with an arrow where they differ from the present ones"
    ),
    printcolumn(
        name = "Reach",
        type_ = "string",
        json_path = ".status.reach.summary",
        description = "Share of the Service's new connections that Continuity steers"
    ),
    printcolumn(
        name = "Mode",
        type_ = "string",
        json_path = ".spec.mode",
        description = "Observe or Enforce",
        priority = 1
    ),
    printcolumn(
        name = "Age",
        type_ = "date",
        json_path = ".metadata.creationTimestamp",
        description = "Age of the set"
    ),
    crates(kube_core = "::kube_core")
)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("x-kubernetes-validations" = [fence::once_written()]))]
pub struct EquivalenceSetSpec {
    /// Service of the set.
    pub service: ServiceIdentity,
    /// Port of the set.
    pub port: PortIdentity,
    /// Revision label (pod-template-hash) of the set, where revisions are split (default: every pod of the Service).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 63))]
    pub revision: Option<String>,
    /// Policy in force.
    pub policy: PolicyIdentity,
    /// Observe or Enforce, from the policy (default Observe).
    #[serde(default)]
    pub mode: Mode,
    /// Fencing epoch of the leader that wrote this: it never falls, so that a deposed leader's late write is refused. No
    /// unit, counted from 1 (default: written before there was one).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0))]
    pub writer_epoch: Option<i64>,
}
