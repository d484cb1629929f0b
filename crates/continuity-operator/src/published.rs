//! The published hints: what every replica answers, taken from the stored status of the sets.

use continuity_api::EquivalenceSet;
use std::collections::BTreeMap;
use std::sync::{PoisonError, RwLock};
use tokio::sync::watch;

/// One published hint.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Item {
    /// Service.
    pub service: String,
    /// Port name or number.
    pub port: String,
    /// Wanted replicas.
    pub desired: i32,
}

/// Published hints by namespace. Bounded by the sets there are.
#[derive(Debug, Default)]
pub struct Hints {
    table: RwLock<BTreeMap<String, Vec<Item>>>,
    /// Goes up with every change; 0 until the picture is complete.
    version: watch::Sender<u64>,
}

impl Hints {
    /// Replaces what is published. A set whose status lost its hint keeps the last value; one that is gone loses it.
    pub fn replace<'a>(&self, sets: impl Iterator<Item = &'a EquivalenceSet>) {
        let mut table = self.table.write().unwrap_or_else(PoisonError::into_inner);
        let mut fresh: BTreeMap<String, Vec<Item>> = BTreeMap::new();
        for set in sets {
            let namespace = set.metadata.namespace.clone().unwrap_or_default();
            let (service, port) = (&set.spec.service.name, &set.spec.port.label);
            let known = || {
                let items = table.get(&namespace)?;
                items
                    .iter()
                    .find(|item| item.service == *service && item.port == *port)
                    .map(|item| item.desired)
            };
            let published = set.status.as_ref().and_then(|status| status.scale_hint.as_ref());
            let Some(desired) = published.map(|hint| hint.desired_replicas).or_else(known) else {
                continue;
            };
            let item = Item {
                service: service.clone(),
                port: port.clone(),
                desired,
            };
            fresh.entry(namespace).or_default().push(item);
        }
        let changed = *table != fresh;
        *table = fresh;
        drop(table);
        self.version.send_if_modified(|version| {
            let told = changed || *version == 0;
            *version += u64::from(told);
            told
        });
    }

    /// Tells of changes.
    pub fn changes(&self) -> watch::Receiver<u64> {
        self.version.subscribe()
    }

    /// Whether the picture was complete once: before, a missing hint says nothing.
    #[must_use]
    pub fn complete(&self) -> bool {
        *self.version.borrow() > 0
    }

    /// All hints by namespace, for a person.
    #[must_use]
    pub fn shown(&self) -> serde_json::Value {
        let table = self.table.read().unwrap_or_else(PoisonError::into_inner);
        let item = |item: &Item| serde_json::json!({"service": item.service, "port": item.port, "desiredReplicas": item.desired});
        let listed = table
            .iter()
            .map(|(namespace, items)| (namespace.clone(), items.iter().map(item).collect()));
        serde_json::Value::Object(listed.collect())
    }

    /// Hints of a namespace.
    #[must_use]
    pub fn of(&self, namespace: &str) -> Vec<Item> {
        self.table
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .get(namespace)
            .cloned()
            .unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use continuity_api::set::HintStatus;
    use continuity_api::{EquivalenceSetSpec, EquivalenceSetStatus};

    fn set(desired: Option<i32>) -> EquivalenceSet {
        let mut spec = EquivalenceSetSpec::default();
        spec.service.name = "web".into();
        spec.port.label = "http".into();
        let mut set = EquivalenceSet::new("web-http-00000", spec);
        set.metadata.namespace = Some("shop".into());
        let hint = desired.map(|desired_replicas| HintStatus {
            desired_replicas,
            ..HintStatus::default()
        });
        set.status = Some(EquivalenceSetStatus {
            scale_hint: hint,
            ..EquivalenceSetStatus::default()
        });
        set
    }

    #[test]
    fn a_hint_that_falls_silent_keeps_its_last_value() {
        let hints = Hints::default();
        hints.replace([set(Some(6))].iter());
        hints.replace([set(None)].iter());
        assert_eq!(
            hints.of("shop"),
            vec![Item {
                service: "web".into(),
                port: "http".into(),
                desired: 6
            }]
        );
    }

    #[test]
    fn a_set_that_is_gone_has_no_hint() {
        let hints = Hints::default();
        hints.replace([set(Some(6))].iter());
        hints.replace([].iter());
        assert!(hints.of("shop").is_empty());
    }

    #[test]
    fn a_change_is_told_and_the_same_again_is_not() {
        let hints = Hints::default();
        assert!(!hints.complete());
        hints.replace([].iter());
        assert!(hints.complete(), "nothing is published, and that is known");
        let changes = hints.changes();
        hints.replace([set(Some(6))].iter());
        assert!(changes.has_changed().unwrap());
        let changes = hints.changes();
        hints.replace([set(Some(6))].iter());
        assert!(!changes.has_changed().unwrap());
    }

    #[test]
    fn a_namespace_sees_its_own_hints_only() {
        let hints = Hints::default();
        hints.replace([set(Some(6))].iter());
        assert!(hints.of("other").is_empty());
    }
}
