//! The operator's picture of the cluster, and what changed in it since the last look.
//!
//! Owned by one task, fed by watches in the order they arrive, read by pure decisions. Only what decisions need is kept of
//! Services and EndpointSlices, and an update that changes none of it marks nothing. Marks are keys of Services and
//! policies; a change that touches many (a whole list again) collapses into "everything".

mod node;
mod service;
mod slice;
mod table;
mod weigh;

pub use node::{NodeFacts, STALE_AFTER};
pub use service::{PortFacts, Reachability, ServiceFacts};
pub use slice::{BackendFacts, EndpointFacts, SliceFacts};
pub use table::Table;

use crate::moment::Moment;
use crate::trust::{self, Ledger};
use continuity_api::node::SetReport;
use continuity_api::{ContinuityNode, ContinuityPolicy, EquivalencePlan, EquivalenceSet};
use k8s_openapi::api::core::v1::Service;
use k8s_openapi::api::discovery::v1::EndpointSlice;
use kube::ResourceExt;
use kube::runtime::watcher::Event;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

/// Marks beyond which everything is looked at: a pass over 5,000 Services costs less than keeping more marks apart.
const MARKS_MAX: usize = 4_096;

/// Namespace and name.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Key {
    /// Namespace.
    pub namespace: String,
    /// Name.
    pub name: String,
}

impl Key {
    /// A key from its parts.
    #[must_use]
    pub fn new(namespace: &str, name: &str) -> Self {
        Self {
            namespace: namespace.to_owned(),
            name: name.to_owned(),
        }
    }

    /// The key of a namespaced object.
    pub fn of<K: ResourceExt>(object: &K) -> Self {
        Self {
            namespace: object.namespace().unwrap_or_default(),
            name: object.name_any(),
        }
    }
}

impl fmt::Display for Key {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}/{}", self.namespace, self.name)
    }
}

/// What a watch brings.
#[derive(Debug)]
pub enum Change {
    /// A Service.
    Service(Event<Service>),
    /// An EndpointSlice.
    Slice(Event<EndpointSlice>),
    /// A policy.
    Policy(Event<ContinuityPolicy>),
    /// A set of ours.
    Set(Event<EquivalenceSet>),
    /// A plan of ours.
    Plan(Event<EquivalencePlan>),
    /// A node's report.
    Node(Event<ContinuityNode>),
}

/// What has to be looked at again.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Marks {
    /// Services, with the sets and plans of their ports.
    pub services: BTreeSet<Key>,
    /// Policies.
    pub policies: BTreeSet<Key>,
    /// All of both.
    pub everything: bool,
}

impl Marks {
    /// Whether nothing is marked.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        !self.everything && self.services.is_empty() && self.policies.is_empty()
    }

    fn bound(&mut self) {
        if self.everything || self.services.len() + self.policies.len() > MARKS_MAX {
            *self = Self {
                everything: true,
                ..Self::default()
            };
        }
    }
}

/// The picture.
#[derive(Debug, Default)]
pub struct World {
    /// Services.
    pub services: Table<Key, ServiceFacts>,
    /// EndpointSlices by (Service, slice name).
    pub slices: Table<(Key, String), SliceFacts>,
    /// Policies.
    pub policies: Table<Key, Arc<ContinuityPolicy>>,
    /// Sets as they are stored.
    pub sets: Table<Key, Arc<EquivalenceSet>>,
    /// Plans as they are stored.
    pub plans: Table<Key, Arc<EquivalencePlan>>,
    /// Nodes.
    pub nodes: Table<String, NodeFacts>,
    /// Reports by set and node.
    pub reports: BTreeMap<Key, BTreeMap<String, SetReport>>,
    /// How far each node is believed.
    pub trust: Ledger,
    /// Sets that each node reports.
    carried: BTreeMap<String, BTreeSet<Key>>,
    /// Digest of each plan, and since when it has been this.
    asked: BTreeMap<Key, (String, Duration)>,
    /// Nodes that went into quarantine or left it since the last look.
    doubts: Vec<(String, trust::Change)>,
    marks: Marks,
}

impl World {
    /// Takes a change in.
    pub fn absorb(&mut self, change: Change, now: Moment) {
        match change {
            Change::Service(event) => self.absorb_service(event),
            Change::Slice(event) => self.absorb_slice(event),
            Change::Policy(event) => self.absorb_policy(event),
            Change::Set(event) => self.absorb_set(event),
            Change::Plan(event) => self.absorb_plan(event, now),
            Change::Node(event) => self.absorb_node(event, now),
        }
        self.marks.bound();
    }

    /// Whether every watch has delivered its first list.
    #[must_use]
    pub fn synced(&self) -> bool {
        self.services.synced()
            && self.slices.synced()
            && self.policies.synced()
            && self.sets.synced()
            && self.plans.synced()
            && self.nodes.synced()
    }

    /// Highest writer epoch found anywhere: whoever leads next must pass it, or its writes are refused.
    #[must_use]
    pub fn highest_epoch(&self) -> i64 {
        let plans = self.plans.iter().map(|(_, plan)| plan.spec.writer_epoch);
        let sets = self.sets.iter().flat_map(|(_, set)| {
            let status = set.status.as_ref().and_then(|status| status.writer_epoch);
            [set.spec.writer_epoch, status]
        });
        let policies = self
            .policies
            .iter()
            .map(|(_, policy)| policy.status.as_ref().and_then(|status| status.writer_epoch));
        plans.chain(sets.chain(policies).flatten()).max().unwrap_or(0)
    }

    /// Marks everything, as a new leader and the slow resync do.
    pub fn mark_everything(&mut self) {
        self.marks.everything = true;
        self.marks.bound();
    }

    /// Takes the marks, everything expanded.
    pub fn take_marks(&mut self) -> Marks {
        let mut marks = std::mem::take(&mut self.marks);
        if marks.everything {
            // Also Services that are gone but left sets or plans behind.
            marks.services = self.services.keys().cloned().collect();
            marks.services.extend(
                self.sets
                    .iter()
                    .map(|(key, set)| Key::new(&key.namespace, &set.spec.service.name)),
            );
            marks.services.extend(
                self.plans
                    .iter()
                    .map(|(key, plan)| Key::new(&key.namespace, &plan.spec.service.name)),
            );
            marks.policies = self.policies.keys().cloned().collect();
        }
        marks
    }

    /// Whether something is marked.
    #[must_use]
    pub fn marked(&self) -> bool {
        !self.marks.is_empty()
    }

    /// Policies of a namespace, by name.
    pub fn policies_in<'a>(&'a self, namespace: &'a str) -> impl Iterator<Item = &'a Arc<ContinuityPolicy>> {
        let from = Key {
            namespace: namespace.to_owned(),
            name: String::new(),
        };
        self.policies
            .range(from..)
            .take_while(move |(key, _)| key.namespace == namespace)
            .map(|(_, policy)| policy)
    }

    /// Services of a namespace, by name.
    pub fn services_in<'a>(
        &'a self,
        namespace: &'a str,
    ) -> impl Iterator<Item = (&'a Key, &'a ServiceFacts)> {
        let from = Key {
            namespace: namespace.to_owned(),
            name: String::new(),
        };
        self.services
            .range(from..)
            .take_while(move |(key, _)| key.namespace == namespace)
    }

    /// Slices of a Service.
    pub fn slices_of<'a>(&'a self, service: &'a Key) -> impl Iterator<Item = &'a SliceFacts> {
        self.slices
            .range((service.clone(), String::new())..)
            .take_while(move |((key, _), _)| key == service)
            .map(|(_, slice)| slice)
    }

    /// Nodes whose agent can be counted on now.
    pub fn fresh_nodes(&self, now: Moment) -> impl Iterator<Item = (&String, &NodeFacts)> {
        self.nodes.iter().filter(move |(_, node)| node.fresh(now))
    }

    /// Fresh reports of a set from nodes that are believed, by node.
    pub fn fresh_reports<'a>(
        &'a self,
        set: &Key,
        now: Moment,
    ) -> impl Iterator<Item = (&'a str, &'a SetReport)> {
        self.reports
            .get(set)
            .into_iter()
            .flatten()
            .filter_map(move |(node, report)| {
                self.nodes
                    .get(node)
                    .is_some_and(|facts| facts.fresh(now) && self.trust.trusts(node))
                    .then_some((node.as_str(), report))
            })
    }

    fn mark_namespace(&mut self, namespace: &str) {
        let policies: Vec<Key> = self
            .policies_in(namespace)
            .map(|policy| Key::of(policy.as_ref()))
            .collect();
        let services: Vec<Key> = self.services_in(namespace).map(|(key, _)| key.clone()).collect();
        self.marks.policies.extend(policies);
        self.marks.services.extend(services);
    }

    fn absorb_service(&mut self, event: Event<Service>) {
        for key in self
            .services
            .absorb(event, Key::of, |service, _| ServiceFacts::of(&service))
        {
            self.marks.policies.extend(
                self.policies
                    .range(
                        Key {
                            namespace: key.namespace.clone(),
                            name: String::new(),
                        }..,
                    )
                    .take_while(|(policy, _)| policy.namespace == key.namespace)
                    .map(|(policy, _)| policy.clone()),
            );
            self.marks.services.insert(key);
        }
    }

    fn absorb_slice(&mut self, event: Event<EndpointSlice>) {
        let changed = self
            .slices
            .absorb(event, SliceFacts::key, |slice, _| SliceFacts::of(&slice));
        self.marks
            .services
            .extend(changed.into_iter().map(|(service, _)| service));
    }

    fn absorb_policy(&mut self, event: Event<ContinuityPolicy>) {
        let changed = self.policies.absorb(event, Key::of, |mut policy, before| {
            policy.metadata.managed_fields = None;
            newest(policy, before)
        });
        for key in changed {
            self.mark_namespace(&key.namespace);
            self.marks.policies.insert(key);
        }
    }

    fn absorb_set(&mut self, event: Event<EquivalenceSet>) {
        let services = &mut self.marks.services;
        let mut service = |set: &EquivalenceSet| {
            services.insert(Key {
                namespace: set.namespace().unwrap_or_default(),
                name: set.spec.service.name.clone(),
            });
        };
        if let Event::Apply(set) | Event::Delete(set) | Event::InitApply(set) = &event {
            service(set);
        }
        let gone = matches!(event, Event::InitDone);
        self.sets.absorb(event, Key::of, |mut set, before| {
            set.metadata.managed_fields = None;
            newest(set, before)
        });
        self.marks.everything |= gone;
    }

    fn absorb_plan(&mut self, event: Event<EquivalencePlan>, now: Moment) {
        self.note_asked(&event, now);
        if let Event::Apply(plan) | Event::Delete(plan) | Event::InitApply(plan) = &event {
            let namespace = plan.namespace().unwrap_or_default();
            self.marks.policies.insert(Key {
                namespace: namespace.clone(),
                name: plan.spec.policy.name.clone(),
            });
            self.marks.services.insert(Key {
                namespace,
                name: plan.spec.service.name.clone(),
            });
        }
        let gone = matches!(event, Event::InitDone);
        self.plans.absorb(event, Key::of, |mut plan, before| {
            plan.metadata.managed_fields = None;
            newest(plan, before)
        });
        self.marks.everything |= gone;
    }

    fn absorb_node(&mut self, event: Event<ContinuityNode>, now: Moment) {
        let mut incoming: BTreeMap<String, Vec<SetReport>> = BTreeMap::new();
        let changed = self.nodes.absorb(
            event,
            |node| node.name_any(),
            |mut node, before| {
                let sets = node
                    .status
                    .as_mut()
                    .map(|status| std::mem::take(&mut status.sets))
                    .unwrap_or_default();
                let facts = NodeFacts::of(&node, &sets, before, now);
                incoming.insert(node.name_any(), sets);
                facts
            },
        );
        for name in changed {
            self.replace_reports(&name, incoming.remove(&name).unwrap_or_default());
            self.weigh(&name, now);
        }
    }

    fn replace_reports(&mut self, node: &str, sets: Vec<SetReport>) {
        let mut touched = self.carried.remove(node).unwrap_or_default();
        for key in &touched {
            if let Some(reports) = self.reports.get_mut(key) {
                reports.remove(node);
            }
        }
        let mut carried = BTreeSet::new();
        for report in sets {
            let key = Key::new(&report.namespace, &report.set);
            carried.insert(key.clone());
            self.reports
                .entry(key)
                .or_default()
                .insert(node.to_owned(), report);
        }
        touched.extend(carried.iter().cloned());
        if !carried.is_empty() {
            self.carried.insert(node.to_owned(), carried);
        }
        for key in touched {
            if self.reports.get(&key).is_some_and(BTreeMap::is_empty) {
                self.reports.remove(&key);
            }
            if let Some(set) = self.sets.get(&key) {
                self.marks
                    .policies
                    .insert(Key::new(&key.namespace, &set.spec.policy.name));
                self.marks
                    .services
                    .insert(Key::new(&key.namespace, &set.spec.service.name));
            }
        }
    }
}

/// The newer of two versions of one object: what a write returned can be ahead of what the watch brings next.
fn newest<K: ResourceExt>(object: K, before: Option<&Arc<K>>) -> Arc<K> {
    let version = |object: &K| {
        object
            .resource_version()
            .and_then(|version| version.parse::<u64>().ok())
    };
    match before {
        Some(before) if before.uid() == object.uid() && version(before) > version(&object) => {
            Arc::clone(before)
        }
        _ => Arc::new(object),
    }
}

#[cfg(test)]
mod tests;
