//! What has to be looked at again, and who has which port of what is looked at.
//!
//! A mark is a key of a Service or a policy; a change that can touch a whole namespace is one mark until the marks are
//! taken. Who has a port is settled then, once for all that ask in the same pass.

use super::claimant::Reach;
use super::{Key, World};
use crate::bind::{self, Claim};
use std::collections::{BTreeMap, BTreeSet};
use std::hash::{DefaultHasher, Hash, Hasher};

/// Marks beyond which everything is looked at: a pass over 5,000 Services costs less than keeping more marks apart.
pub(super) const MARKS_MAX: usize = 4_096;

/// What has to be looked at again.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Marks {
    /// Services, with the sets and plans of their ports.
    pub services: BTreeSet<Key>,
    /// Policies.
    pub policies: BTreeSet<Key>,
    /// Namespaces, with all their Services and policies; empty once the marks are taken.
    pub namespaces: BTreeSet<String>,
    /// All of both.
    pub everything: bool,
}

impl Marks {
    /// Whether nothing is marked.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        !self.everything && self.services.is_empty() && self.policies.is_empty() && self.namespaces.is_empty()
    }

    pub(super) fn bound(&mut self) {
        let kept = self.services.len() + self.policies.len() + self.namespaces.len();
        if self.everything || kept > MARKS_MAX {
            *self = Self {
                everything: true,
                ..Self::default()
            };
        }
    }
}

impl World {
    /// Marks everything, as a new leader does.
    pub fn mark_everything(&mut self) {
        self.marks.everything = true;
        self.marks.bound();
    }

    /// Marks one of `shares` parts of everything, the same objects for the same share.
    ///
    /// A look at 5,000 Services takes a second; in parts, what happens meanwhile waits for a part of it only.
    pub fn mark_share(&mut self, share: u64, shares: u64) {
        if self.marks.everything {
            return;
        }
        let within = |key: &&Key| {
            let mut hash = DefaultHasher::new();
            key.hash(&mut hash);
            hash.finish() % shares.max(1) == share
        };
        // Also Services that are gone but left sets or plans behind.
        let services = self.services.keys().chain(self.children.keys()).filter(within);
        self.marks.services.extend(services.cloned());
        let policies = self.policies.keys().filter(within);
        self.marks.policies.extend(policies.cloned());
        self.marks.bound();
    }

    /// Marks the Service of a set.
    pub fn mark_set(&mut self, set: &Key) {
        if let Some(stored) = self.sets.get(set) {
            let service = Key::new(&set.namespace, &stored.spec.service.name);
            self.marks.services.insert(service);
            self.marks.bound();
        }
    }

    /// Takes the marks, everything and namespaces expanded, and settles who has which port of the marked Services.
    pub fn take_marks(&mut self) -> Marks {
        let mut marks = std::mem::take(&mut self.marks);
        if marks.everything {
            // Also Services that are gone but left sets or plans behind.
            marks.services = self.services.keys().cloned().collect();
            marks.services.extend(self.children.keys().cloned());
            marks.policies = self.policies.keys().cloned().collect();
        }
        for namespace in std::mem::take(&mut marks.namespaces) {
            let policies = self.policies_in(&namespace);
            marks
                .policies
                .extend(policies.map(|policy| Key::of(policy.as_ref())));
            let services = self.services_in(&namespace);
            marks.services.extend(services.map(|(key, _)| key.clone()));
        }
        for key in &marks.services {
            self.settle(key);
        }
        marks
    }

    /// Whether a set has changed since this was asked last.
    pub fn take_news(&mut self) -> bool {
        std::mem::take(&mut self.news)
    }

    /// Who has the ports of a Service, by port label, if that is settled.
    #[must_use]
    pub fn settled(&self, service: &Key) -> Option<&BTreeMap<String, Claim>> {
        self.winners.get(service)
    }

    fn settle(&mut self, key: &Key) {
        let Some(facts) = self.services.get(key).filter(|_| !self.winners.contains_key(key)) else {
            return;
        };
        let steerable = facts.ports.iter().filter(|port| port.steerable());
        let claims = steerable.filter_map(|port| {
            let claim = bind::contest(self, key, facts, port)?;
            Some((port.identity.label.clone(), claim))
        });
        let claims = claims.collect();
        self.winners.insert(key.clone(), claims);
    }

    /// Marks what a changed policy can have had a say about, and who else has one there.
    pub(super) fn mark_reach(&mut self, namespace: &str, reach: &Reach) {
        if reach.selects {
            let inside = |key: &Key| key.namespace == namespace;
            self.winners.retain(|key, _| !inside(key));
            self.marks.namespaces.insert(namespace.to_owned());
            return;
        }
        for service in &reach.services {
            let key = Key::new(namespace, service);
            self.winners.remove(&key);
            if self.marks.everything {
                // During a first list each of many that name the same Service would mark all before it again.
                continue;
            }
            self.marks.policies.extend(self.claimants.of(&key));
            self.marks.services.insert(key);
        }
    }
}
