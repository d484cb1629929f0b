//! What a timeline is about, as it was seen: a set or a policy as it is stored, or a node as people are told of it.

use super::{entry, node, policy};
use crate::world::{Key, Portrait};
use continuity_api::timeline::{
    NodeMark, PolicyMark, SubjectKind, TimelineEntry, TimelineMark, TimelineSubject, timeline_name,
};
use continuity_api::{API_VERSION, ContinuityPolicy, EquivalenceSet, EquivalenceTimelineSpec, labels};
use k8s_openapi::jiff::Timestamp;
use kube::ResourceExt;
use serde_json::{Value, json};
use std::sync::Arc;

/// What was seen.
#[derive(Clone, Debug)]
pub enum Subject {
    /// A set.
    Set(Arc<EquivalenceSet>),
    /// A policy.
    Policy(Arc<ContinuityPolicy>),
    /// A node.
    Node(Arc<Portrait>),
}

/// What the next transition is told from.
#[derive(Clone, Debug, PartialEq)]
pub enum Mark {
    /// Of a set.
    Set(TimelineMark),
    /// Of a policy.
    Policy(PolicyMark),
    /// Of a node.
    Node(NodeMark),
}

impl Mark {
    /// The stored one.
    pub(super) fn of(stored: &EquivalenceTimelineSpec) -> Option<Self> {
        let set = || stored.mark.clone().map(Self::Set);
        let policy = || stored.policy_mark.clone().map(Self::Policy);
        let node = || stored.node_mark.clone().map(Self::Node);
        node().or_else(policy).or_else(set)
    }

    /// Puts it where it is stored.
    pub(super) fn store(self, spec: &mut EquivalenceTimelineSpec) {
        match self {
            Self::Set(mark) => spec.mark = Some(mark),
            Self::Policy(mark) => spec.policy_mark = Some(mark),
            Self::Node(mark) => spec.node_mark = Some(mark),
        }
    }

    const fn set(&self) -> Option<&TimelineMark> {
        match self {
            Self::Set(mark) => Some(mark),
            _ => None,
        }
    }

    const fn policy(&self) -> Option<&PolicyMark> {
        match self {
            Self::Policy(mark) => Some(mark),
            _ => None,
        }
    }

    const fn node(&self) -> Option<&NodeMark> {
        match self {
            Self::Node(mark) => Some(mark),
            _ => None,
        }
    }
}

impl Subject {
    /// Where its timeline is; `home` is the namespace of the installation, where those of nodes are.
    pub(super) fn key(&self, home: &str) -> Key {
        let about = self.about();
        let name = timeline_name(about.kind, &about.name);
        match self {
            Self::Set(set) => Key::new(&set.namespace().unwrap_or_default(), &name),
            Self::Policy(policy) => Key::new(&policy.namespace().unwrap_or_default(), &name),
            Self::Node(_) => Key::new(home, &name),
        }
    }

    /// What it is.
    pub(super) fn about(&self) -> TimelineSubject {
        let (kind, name) = match self {
            Self::Set(set) => (SubjectKind::EquivalenceSet, set.name_any()),
            Self::Policy(policy) => (SubjectKind::ContinuityPolicy, policy.name_any()),
            Self::Node(node) => (SubjectKind::ContinuityNode, node.name.clone()),
        };
        TimelineSubject { kind, name }
    }

    /// What the next transition is told from; what is not known now stays as it was `before`.
    pub(super) fn mark(&self, before: Option<&Mark>) -> Mark {
        match self {
            Self::Set(set) => Mark::Set(super::mark(set)),
            Self::Policy(policy) => Mark::Policy(policy::mark(before.and_then(Mark::policy), policy)),
            Self::Node(node) => Mark::Node(node::mark(before.and_then(Mark::node), node)),
        }
    }

    /// What happened since `before`.
    pub(super) fn told(&self, before: Option<&Mark>, now: Timestamp) -> Vec<TimelineEntry> {
        match self {
            Self::Set(set) => entry::told(before.and_then(Mark::set), set, now),
            Self::Policy(policy) => policy::told(before.and_then(Mark::policy), policy, now),
            Self::Node(node) => node::told(before.and_then(Mark::node), node, now),
        }
    }

    /// A timeline without entries.
    pub(super) fn blank(&self) -> EquivalenceTimelineSpec {
        let set = match self {
            Self::Set(set) => Some(&set.spec),
            _ => None,
        };
        EquivalenceTimelineSpec {
            about: self.about(),
            service: set.map(|spec| spec.service.clone()),
            port: set.map(|spec| spec.port.clone()),
            ..EquivalenceTimelineSpec::default()
        }
    }

    /// Metadata of its timeline: it goes with what it is about.
    pub(super) fn metadata(&self, key: &Key, version: Option<String>) -> Value {
        let mut known = json!({
            labels::MANAGED_BY: labels::MANAGED_BY_OPERATOR,
            labels::PART_OF: labels::PART_OF_CONTINUITY,
        });
        let uid = match self {
            Self::Set(set) => {
                if let Some(known) = known.as_object_mut() {
                    known.insert(labels::SERVICE.to_owned(), set.spec.service.name.clone().into());
                    known.insert(labels::PORT.to_owned(), set.spec.port.label.clone().into());
                }
                set.uid()
            }
            Self::Policy(policy) => policy.uid(),
            Self::Node(node) => Some(node.own.uid.clone()),
        };
        let about = self.about();
        let mut metadata = json!({
            "name": key.name,
            "namespace": key.namespace,
            "labels": known,
            "ownerReferences": [{
                "apiVersion": API_VERSION,
                "kind": about.kind.as_str(),
                "name": about.name,
                "uid": uid,
                "controller": true,
                "blockOwnerDeletion": false,
            }],
        });
        if let (Some(fields), Some(version)) = (metadata.as_object_mut(), version) {
            fields.insert("resourceVersion".to_owned(), version.into());
        }
        metadata
    }
}
