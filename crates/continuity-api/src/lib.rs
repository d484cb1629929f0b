//! CRD types, validation, and the condition and reason vocabulary of Continuity.
//!
//! This crate is the contract between operator, agents and command line: five kinds in
//! `continuity.nity.io/v1alpha1`, the names that go into conditions, events, metrics and labels, the one function
//! that names a set, and the one function that turns a policy into the constants an agent runs.
//! It reads no clock, does no I/O and knows no runtime, so that every part can depend on it.

#![allow(
    clippy::duplicated_attributes,
    reason = "print columns repeat attribute names by design; clippy takes the columns for one list"
)]

pub mod compile;
pub mod conditions;
pub mod events;
mod fence;
pub mod labels;
pub mod metrics;
pub mod name;
pub mod node;
pub mod plan;
pub mod policy;
pub mod reasons;
pub mod record;
pub mod schema;
pub mod selector;
pub mod set;
pub mod target;
pub mod timeline;

pub use compile::compile;
pub use name::set_name;
pub use node::{ContinuityNode, ContinuityNodeSpec, ContinuityNodeStatus};
pub use plan::{CompiledPolicy, EquivalencePlan, EquivalencePlanSpec};
pub use policy::{ContinuityPolicy, ContinuityPolicySpec, ContinuityPolicyStatus};
pub use set::{EquivalenceSet, EquivalenceSetSpec, EquivalenceSetStatus};
pub use timeline::{EquivalenceTimeline, EquivalenceTimelineSpec};

/// API group of every kind.
pub const GROUP: &str = "continuity.nity.io";
/// The only served version.
pub const VERSION: &str = "v1alpha1";
/// `apiVersion` of every kind.
pub const API_VERSION: &str = "continuity.nity.io/v1alpha1";
/// Field manager of everything the operator applies.
pub const OPERATOR_MANAGER: &str = "continuity-operator";
/// Field manager of everything an agent applies.
pub const AGENT_MANAGER: &str = "continuity-agent";
/// Controller name in policy status, in the Gateway API's form.
pub const CONTROLLER_NAME: &str = "continuity.nity.io/operator";

/// A condition as Kubernetes defines it.
pub use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
/// Time as Kubernetes writes it, in whole seconds.
pub use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
