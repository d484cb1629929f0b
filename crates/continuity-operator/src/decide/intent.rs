//! One object, one aspect of it, and what should be written there.

use crate::plan::Bound;
use crate::scheduler::Domain;
use crate::transition::Notice;
use crate::world::{Key, ServiceFacts, World};
use continuity_api::{
    ContinuityPolicyStatus, EquivalencePlanSpec, EquivalenceSet, EquivalenceSetSpec, EquivalenceSetStatus,
    labels,
};
use kube::api::ObjectMeta;
use serde::Serialize;
use std::sync::Arc;

/// What of an object is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Aspect {
    /// An EquivalenceSet itself.
    Set,
    /// Status of an EquivalenceSet.
    SetStatus,
    /// An EquivalencePlan.
    Plan,
    /// Status of a policy.
    PolicyStatus,
    /// Whether a node is believed, in the status of its ContinuityNode.
    NodeTrust,
}

impl Aspect {
    /// As a metric label.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Set => "set",
            Self::SetStatus => "set_status",
            Self::Plan => "plan",
            Self::PolicyStatus => "policy_status",
            Self::NodeTrust => "node_trust",
        }
    }
}

/// Where a write goes.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Slot {
    /// What of the object.
    pub aspect: Aspect,
    /// The object.
    pub key: Key,
}

impl Slot {
    /// A slot.
    #[must_use]
    pub const fn new(aspect: Aspect, key: Key) -> Self {
        Self { aspect, key }
    }
}

/// Whether somebody waits for the write.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Urgency {
    /// Figures moved.
    Figure,
    /// A decision or a transition.
    Transition,
}

/// What is written.
#[derive(Clone, Debug, PartialEq)]
pub enum Write {
    /// Nothing: the object is as it should be, and a write that waits for it is void.
    Nothing,
    /// The set and its labels.
    Set {
        /// Its spec.
        spec: Box<EquivalenceSetSpec>,
        /// UID of the owning Service.
        service_uid: String,
    },
    /// The status of the set.
    SetStatus(Box<EquivalenceSetStatus>),
    /// The plan; the writer puts its epoch in.
    Plan {
        /// Its spec.
        spec: Box<EquivalencePlanSpec>,
        /// UID of the owning Service.
        service_uid: String,
    },
    /// The status of the policy.
    PolicyStatus(Box<ContinuityPolicyStatus>),
    /// Whether a node is believed, and why or why not.
    NodeTrust {
        /// Whether.
        believed: bool,
        /// One sentence.
        why: String,
    },
    /// The object goes, if it is still what was decided about.
    Delete {
        /// UID of the object that was decided about, so that a namesake survives.
        uid: Option<String>,
        /// Its version, so that a deposed leader takes nothing away that the present one has written.
        version: Option<String>,
    },
}

impl Write {
    /// The content as text, to tell two writes apart by a hash.
    #[must_use]
    pub fn content(&self) -> String {
        // What does not serialise fails at the writer, and must not look like another write here.
        match self {
            Self::Nothing => String::new(),
            Self::Set { spec, service_uid } => text(&(spec, service_uid)),
            Self::SetStatus(status) => text(status),
            Self::Plan { spec, service_uid } => text(&(spec, service_uid)),
            Self::PolicyStatus(status) => text(status),
            Self::NodeTrust { believed, why } => text(&("trust", believed, why)),
            Self::Delete { uid, version } => text(&("delete", uid, version)),
        }
    }
}

fn text<T: Serialize>(value: &T) -> String {
    serde_json::to_string(value).unwrap_or_default()
}

/// One slot and what belongs there.
#[derive(Clone, Debug, PartialEq)]
pub struct Intent {
    /// Where.
    pub slot: Slot,
    /// What.
    pub write: Write,
    /// Whether somebody waits.
    pub urgency: Urgency,
    /// What is told once it is written.
    pub notices: Vec<Notice>,
    /// Version of the object that was decided on; none where there is no object yet.
    pub observed: Option<String>,
    /// What it costs, in units of the scheduler's budget.
    pub cost: u32,
    /// Zone that this step of a roll-out widens to, if it is one.
    pub zone: Option<String>,
}

impl Intent {
    /// The slot is as it should be.
    #[must_use]
    pub const fn nothing(slot: Slot) -> Self {
        Self {
            slot,
            write: Write::Nothing,
            urgency: Urgency::Figure,
            notices: Vec::new(),
            observed: None,
            cost: 1,
            zone: None,
        }
    }

    /// Place in the order of work, 0 (first) to 10 (last). What nodes steer by goes before what people read, and a
    /// transition before a figure.
    #[must_use]
    pub const fn priority(&self) -> u8 {
        match (self.slot.aspect, self.urgency) {
            (Aspect::Plan, Urgency::Transition) => 1,
            (Aspect::Set, _) => 2,
            (Aspect::SetStatus, Urgency::Transition) => 3,
            (Aspect::PolicyStatus | Aspect::NodeTrust, Urgency::Transition) => 4,
            (Aspect::Plan, Urgency::Figure) => 6,
            (Aspect::SetStatus, Urgency::Figure) => 7,
            (Aspect::PolicyStatus | Aspect::NodeTrust, Urgency::Figure) => 8,
        }
    }

    /// What it fails together with.
    #[must_use]
    pub fn domain(&self) -> Domain {
        match &self.zone {
            Some(zone) => Domain::Zone(zone.clone()),
            None => Domain::Kind(self.slot.aspect),
        }
    }

    /// The object goes.
    #[must_use]
    pub fn delete(slot: Slot, metadata: &ObjectMeta) -> Self {
        Self {
            slot,
            write: Write::Delete {
                uid: metadata.uid.clone(),
                version: metadata.resource_version.clone(),
            },
            urgency: Urgency::Transition,
            notices: Vec::new(),
            observed: metadata.resource_version.clone(),
            cost: 1,
            zone: None,
        }
    }
}

/// The set itself.
pub(super) fn set(world: &World, bound: &Bound, service: &ServiceFacts) -> Intent {
    let slot = Slot::new(Aspect::Set, bound.key.clone());
    let stored = world.sets.get(&bound.key);
    let same = |stored: &Arc<EquivalenceSet>| {
        let wanted = EquivalenceSetSpec {
            writer_epoch: stored.spec.writer_epoch,
            ..bound.set.clone()
        };
        stored.spec == wanted && owned(&stored.metadata, &service.uid)
    };
    if stored.is_some_and(same) {
        return Intent::nothing(slot);
    }
    Intent {
        write: Write::Set {
            spec: Box::new(bound.set.clone()),
            service_uid: service.uid.clone(),
        },
        urgency: Urgency::Transition,
        observed: stored.and_then(|stored| stored.metadata.resource_version.clone()),
        ..Intent::nothing(slot)
    }
}

/// Whether the object says whose it is, as we write it.
pub(super) fn owned(metadata: &ObjectMeta, service_uid: &str) -> bool {
    let owner = metadata
        .owner_references
        .iter()
        .flatten()
        .any(|owner| owner.uid == service_uid);
    let label = metadata.labels.as_ref().is_some_and(|found| {
        found
            .get(labels::MANAGED_BY)
            .is_some_and(|value| value == labels::MANAGED_BY_OPERATOR)
    });
    owner && label
}
