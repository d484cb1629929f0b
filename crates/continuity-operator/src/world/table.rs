//! One watched kind: objects by key, with lists that replace what they do not name.
//!
//! A watch that starts again delivers a whole list between `Init` and `InitDone`; what the list does not name is gone and
//! must be reported as changed, or a deletion during an outage would be lost.

use kube::runtime::watcher::Event;
use std::borrow::Borrow;
use std::collections::BTreeSet;
use std::collections::btree_map::{self, BTreeMap};
use std::ops::RangeBounds;

/// Objects by key.
#[derive(Debug)]
pub struct Table<K, V> {
    entries: BTreeMap<K, V>,
    listing: Option<BTreeSet<K>>,
    synced: bool,
}

impl<K, V> Default for Table<K, V> {
    fn default() -> Self {
        Self {
            entries: BTreeMap::new(),
            listing: None,
            synced: false,
        }
    }
}

impl<K: Ord + Clone, V: PartialEq> Table<K, V> {
    /// Takes an event in and names the keys whose value changed, appeared or went.
    ///
    /// `value` also sees what is stored under the key, for kinds whose facts remember.
    pub fn absorb<O>(
        &mut self,
        event: Event<O>,
        key: impl Fn(&O) -> K,
        mut value: impl FnMut(O, Option<&V>) -> V,
    ) -> Vec<K> {
        match event {
            Event::Init => {
                self.listing = Some(BTreeSet::new());
                Vec::new()
            }
            Event::InitApply(object) | Event::Apply(object) => {
                let key = key(&object);
                if let Some(listing) = &mut self.listing {
                    listing.insert(key.clone());
                }
                let before = self.entries.get(&key);
                let after = value(object, before);
                if before == Some(&after) {
                    return Vec::new();
                }
                self.entries.insert(key.clone(), after);
                vec![key]
            }
            Event::Delete(object) => {
                let key = key(&object);
                self.entries.remove(&key).map(|_| key).into_iter().collect()
            }
            Event::InitDone => {
                self.synced = true;
                let Some(listed) = self.listing.take() else {
                    return Vec::new();
                };
                let gone: Vec<K> = self
                    .entries
                    .keys()
                    .filter(|key| !listed.contains(key))
                    .cloned()
                    .collect();
                for key in &gone {
                    self.entries.remove(key);
                }
                gone
            }
        }
    }

    /// Whether a whole list has been delivered once.
    pub const fn synced(&self) -> bool {
        self.synced
    }

    /// What is stored under a key.
    pub fn get<Q>(&self, key: &Q) -> Option<&V>
    where
        K: Borrow<Q>,
        Q: Ord + ?Sized,
    {
        self.entries.get(key)
    }

    /// All entries in order.
    pub fn iter(&self) -> btree_map::Iter<'_, K, V> {
        self.entries.iter()
    }

    /// All keys in order.
    pub fn keys(&self) -> btree_map::Keys<'_, K, V> {
        self.entries.keys()
    }

    /// Entries of a range of keys.
    pub fn range<R: RangeBounds<K>>(&self, range: R) -> btree_map::Range<'_, K, V> {
        self.entries.range(range)
    }

    /// Number of entries.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether there is no entry.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }
}
