//! Which policies can have a say about a Service: those that name it, and those of its namespace that select by label.
//!
//! Without it every decision about a Service would look at every policy of its namespace, and 10,000 policies in one
//! would cost 10,000 × 10,000 looks. Holds names only, one entry a target, so it is bounded by the policies there are.

use super::Key;
use continuity_api::ContinuityPolicy;
use std::collections::{BTreeMap, BTreeSet};

/// What one policy can have a say about.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Reach {
    /// Services that it names.
    pub(super) services: BTreeSet<String>,
    /// Whether it selects by label, so that every Service of its namespace can be meant.
    pub(super) selects: bool,
}

impl Reach {
    fn of(policy: &ContinuityPolicy) -> Self {
        let named = policy.spec.target_refs.iter();
        Self {
            services: named.map(|target| target.name.clone()).collect(),
            selects: policy.spec.target_selector.is_some(),
        }
    }
}

/// Policies by what they can have a say about.
#[derive(Debug, Default)]
pub(super) struct Claimants {
    reaches: BTreeMap<Key, Reach>,
    named: BTreeMap<Key, BTreeSet<String>>,
    selecting: BTreeMap<String, BTreeSet<String>>,
}

impl Claimants {
    /// Takes in what a policy is now, or that it is gone; gives what it reached before or reaches now.
    pub(super) fn update(&mut self, key: &Key, policy: Option<&ContinuityPolicy>) -> Reach {
        let before = self.reaches.remove(key).unwrap_or_default();
        self.forget(key, &before);
        let Some(policy) = policy else { return before };
        let after = Reach::of(policy);
        self.learn(key, &after);
        let both = Reach {
            services: before.services.union(&after.services).cloned().collect(),
            selects: before.selects || after.selects,
        };
        self.reaches.insert(key.clone(), after);
        both
    }

    /// Policies that can have a say about a Service, by key.
    pub(super) fn of<'a>(&'a self, service: &'a Key) -> impl Iterator<Item = Key> + 'a {
        let named = self.named.get(service).into_iter().flatten();
        let selecting = self.selecting.get(&service.namespace).into_iter().flatten();
        // A policy that names the Service and selects too must come once.
        let only = move |name: &&String| self.named.get(service).is_none_or(|named| !named.contains(*name));
        named
            .chain(selecting.filter(only))
            .map(|name| Key::new(&service.namespace, name))
    }

    /// Whether any policy of the namespace selects by label.
    pub(super) fn selects(&self, namespace: &str) -> bool {
        self.selecting.contains_key(namespace)
    }

    fn learn(&mut self, key: &Key, reach: &Reach) {
        for service in &reach.services {
            self.named
                .entry(Key::new(&key.namespace, service))
                .or_default()
                .insert(key.name.clone());
        }
        if reach.selects {
            self.selecting
                .entry(key.namespace.clone())
                .or_default()
                .insert(key.name.clone());
        }
    }

    fn forget(&mut self, key: &Key, reach: &Reach) {
        for service in &reach.services {
            leave(&mut self.named, &Key::new(&key.namespace, service), &key.name);
        }
        if reach.selects {
            leave(&mut self.selecting, &key.namespace, &key.name);
        }
    }
}

/// Takes a name out, and the entry with its last name.
fn leave<K: Ord>(table: &mut BTreeMap<K, BTreeSet<String>>, key: &K, name: &str) {
    if let Some(names) = table.get_mut(key) {
        names.remove(name);
        if names.is_empty() {
            table.remove(key);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sample::{key, policy};
    use continuity_api::target::TargetRef;

    fn names(claimants: &Claimants, service: &str) -> Vec<String> {
        claimants.of(&key(service)).map(|key| key.name).collect()
    }

    #[test]
    fn a_policy_is_found_by_what_it_names_now_and_no_longer_by_what_it_named() {
        let mut claimants = Claimants::default();
        claimants.update(&key("p"), Some(&policy("p", 1, &[TargetRef::service("web")])));
        assert_eq!(names(&claimants, "web"), ["p"]);
        let moved = policy("p", 1, &[TargetRef::service("api")]);
        let reach = claimants.update(&key("p"), Some(&moved));
        assert_eq!(reach.services, ["api".to_owned(), "web".to_owned()].into());
        assert!(names(&claimants, "web").is_empty());
        assert_eq!(names(&claimants, "api"), ["p"]);
        claimants.update(&key("p"), None);
        assert!(claimants.named.is_empty() && claimants.reaches.is_empty());
    }

    #[test]
    fn a_selector_reaches_every_service_of_its_namespace_and_no_other() {
        let mut claimants = Claimants::default();
        let mut both = policy("p", 1, &[TargetRef::service("web")]);
        both.spec.target_selector = Some(Default::default());
        claimants.update(&key("p"), Some(&both));
        assert_eq!(names(&claimants, "web"), ["p"]);
        assert_eq!(names(&claimants, "api"), ["p"]);
        assert!(claimants.selects("shop") && !claimants.selects("other"));
        assert_eq!(claimants.of(&Key::new("other", "web")).count(), 0);
    }
}
