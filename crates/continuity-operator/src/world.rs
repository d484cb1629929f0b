//! The operator's picture of the cluster, and what changed in it since the last look.
//!
//! Owned by one task, fed by watches in the order they arrive, read by pure decisions. Only what decisions need is kept of
//! Services and EndpointSlices, and an update that changes none of it marks nothing. Marks are keys of Services and
//! policies; a change that touches many (a whole list again) collapses into "everything".

mod agent;
mod census;
mod claimant;
mod mark;
mod node;
mod portrait;
mod service;
mod slice;
mod table;
mod weigh;

pub use agent::AgentFacts;
pub use census::Census;
pub use mark::Marks;
pub use node::{NodeFacts, STALE_AFTER};
pub use portrait::{Own, Portrait};
pub use service::{PortFacts, Reachability, ServiceFacts};
pub use slice::{BackendFacts, EndpointFacts, SliceFacts};
pub use table::Table;

use crate::bind::Claim;
use crate::moment::Moment;
use crate::trust::{self, Ledger};
use claimant::Claimants;
use continuity_api::labels;
use continuity_api::node::SetReport;
use continuity_api::{ContinuityNode, ContinuityPolicy, EquivalencePlan, EquivalenceSet};
use k8s_openapi::api::core::v1::{Pod, Service};
use k8s_openapi::api::discovery::v1::EndpointSlice;
use kube::ResourceExt;
use kube::api::ObjectMeta;
use kube::runtime::watcher::Event;
use std::cell::Cell;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

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
    /// An agent's pod.
    Agent(Box<Event<Pod>>),
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
    /// Agents' pods by node. What they say only adds to trust, so nothing waits for their first list.
    pub agents: Table<String, AgentFacts>,
    /// Nodes whose object says that they are not believed.
    shown: BTreeSet<String>,
    /// Sets that each node reports.
    carried: BTreeMap<String, BTreeSet<Key>>,
    /// Digest of each plan, and since when it has been this.
    asked: BTreeMap<Key, (String, Duration)>,
    /// Who can have a say about which Service.
    claimants: Claimants,
    /// Who has which port of a Service, while nothing that it follows from has changed.
    winners: BTreeMap<Key, BTreeMap<String, Claim>>,
    /// Sets and plans by Service; a key here may be gone since.
    children: BTreeMap<Key, BTreeSet<Key>>,
    /// The last census.
    counted: Cell<Option<(Moment, Census)>>,
    /// Whether a set has changed since this was asked last.
    news: bool,
    /// Where the slow look at unconfirmed plans goes on.
    reviewed: String,
    /// Nodes that went into quarantine or left it since the last look.
    doubts: Vec<(String, trust::Change)>,
    /// Nodes that do not count because nothing was heard of them.
    silent: BTreeSet<String>,
    /// Nodes of which something changed that people are told.
    stirred: BTreeSet<String>,
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
            Change::Agent(event) => self.absorb_agent(*event),
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

    /// Policies that can have a say about a Service.
    pub fn claimants<'a>(&'a self, service: &'a Key) -> impl Iterator<Item = &'a Arc<ContinuityPolicy>> {
        self.claimants
            .of(service)
            .filter_map(|policy| self.policies.get(&policy))
    }

    /// Sets and plans that were made for a Service.
    pub fn children<'a>(&'a self, service: &Key) -> impl Iterator<Item = &'a Key> + use<'a> {
        self.children.get(service).into_iter().flatten()
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

    fn absorb_service(&mut self, event: Event<Service>) {
        for key in self
            .services
            .absorb(event, Key::of, |service, _| ServiceFacts::of(&service))
        {
            self.winners.remove(&key);
            if self.marks.everything {
                continue;
            }
            if self.claimants.selects(&key.namespace) {
                self.marks.namespaces.insert(key.namespace.clone());
            }
            self.marks.policies.extend(self.claimants.of(&key));
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
        let mut asks = false;
        let changed = self.policies.absorb(event, Key::of, |mut policy, before| {
            trim(&mut policy.metadata);
            let after = newest(policy, before);
            asks |= before.is_none_or(|before| differs(before, &after));
            after
        });
        for key in changed {
            let policy = self.policies.get(&key);
            // What we wrote into its status is no reason to look at anything else.
            if asks || policy.is_none() {
                let reach = self.claimants.update(&key, policy.map(AsRef::as_ref));
                self.mark_reach(&key.namespace, &reach);
            }
            self.marks.policies.insert(key);
        }
    }

    fn absorb_set(&mut self, event: Event<EquivalenceSet>) {
        if let Event::Apply(set) | Event::Delete(set) | Event::InitApply(set) = &event {
            let service = Key::new(&set.namespace().unwrap_or_default(), &set.spec.service.name);
            self.adopt(service, Key::of(set));
        }
        let listed = matches!(event, Event::InitDone);
        self.sets.absorb(event, Key::of, |mut set, before| {
            trim(&mut set.metadata);
            newest(set, before)
        });
        self.news = true;
        self.marks.everything |= listed;
    }

    fn absorb_plan(&mut self, event: Event<EquivalencePlan>, now: Moment) {
        self.note_asked(&event, now);
        if let Event::Apply(plan) | Event::Delete(plan) | Event::InitApply(plan) = &event {
            let namespace = plan.namespace().unwrap_or_default();
            self.marks
                .policies
                .insert(Key::new(&namespace, &plan.spec.policy.name));
            let service = Key::new(&namespace, &plan.spec.service.name);
            self.adopt(service, Key::of(plan));
        }
        let listed = matches!(event, Event::InitDone);
        self.plans.absorb(event, Key::of, |mut plan, before| {
            trim(&mut plan.metadata);
            newest(plan, before)
        });
        self.marks.everything |= listed;
    }

    /// Remembers whose set or plan this is, and marks its Service.
    fn adopt(&mut self, service: Key, child: Key) {
        self.marks.services.insert(service.clone());
        self.children.entry(service).or_default().insert(child);
    }

    /// Forgets children that are gone.
    pub(super) fn disown(&mut self) {
        let (sets, plans) = (&self.sets, &self.plans);
        self.children.retain(|_, children| {
            children.retain(|child| sets.get(child).is_some() || plans.get(child).is_some());
            !children.is_empty()
        });
    }

    fn absorb_node(&mut self, event: Event<ContinuityNode>, now: Moment) {
        let mut incoming: BTreeMap<String, Vec<SetReport>> = BTreeMap::new();
        let shown = &mut self.shown;
        let mut pictured = BTreeMap::new();
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
                agent::note_shown(shown, &node);
                incoming.insert(node.name_any(), sets);
                pictured.insert(
                    node.name_any(),
                    before.map(|before| (before.own.clone(), before.heard)),
                );
                facts
            },
        );
        self.counted.set(None);
        for name in changed {
            self.replace_reports(&name, incoming.remove(&name).unwrap_or_default());
            self.stir(&name, pictured.remove(&name).flatten());
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

/// Drops what no decision reads: a user's annotations alone may be 256 kB an object.
fn trim(metadata: &mut ObjectMeta) {
    let keep = |kept: &mut Option<BTreeMap<String, String>>, name: &str| {
        if let Some(found) = kept {
            found.retain(|key, _| key == name);
        }
        *kept = kept.take().filter(|found| !found.is_empty());
    };
    metadata.managed_fields = None;
    keep(&mut metadata.annotations, labels::ROLLOUT);
    keep(&mut metadata.labels, labels::MANAGED_BY);
}

/// Whether two versions of a policy ask for different things, or are not the same policy.
fn differs(before: &ContinuityPolicy, after: &ContinuityPolicy) -> bool {
    let (was, is) = (&before.metadata, &after.metadata);
    before.spec != after.spec
        || was.uid != is.uid
        || was.generation != is.generation
        || was.annotations != is.annotations
        || was.creation_timestamp != is.creation_timestamp
        || was.deletion_timestamp != is.deletion_timestamp
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
