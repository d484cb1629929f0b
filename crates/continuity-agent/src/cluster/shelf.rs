//! A bounded map that a watch fills: the last complete state stays in force until a new list is complete.
//!
//! A re-list goes into a second map and replaces the first in one step, so that nothing vanishes because a list was cut
//! short. Records beyond the capacity are refused and counted: the agent stays small and says what it left out.

use std::collections::BTreeMap;

use kube::runtime::watcher::Event;

/// One kind of record by its key.
#[derive(Debug)]
pub struct Shelf<K, V> {
    live: BTreeMap<K, V>,
    incoming: Option<BTreeMap<K, V>>,
    complete: bool,
    capacity: usize,
    refused: u64,
}

impl<K: Ord + Clone, V: PartialEq> Shelf<K, V> {
    /// An empty shelf for at most `capacity` records.
    #[must_use]
    pub const fn new(capacity: usize) -> Self {
        Self {
            live: BTreeMap::new(),
            incoming: None,
            complete: false,
            capacity,
            refused: 0,
        }
    }

    /// Takes an event of a watch; `read` gives an object's key, and its record unless that cannot be read, which leaves the
    /// last readable one in force. True when what is in force changed.
    pub fn take<T>(&mut self, event: Event<T>, read: impl FnOnce(T) -> Option<(K, Option<V>)>) -> bool {
        match event {
            Event::Init => {
                self.begin();
                false
            }
            Event::InitDone => self.finish(),
            Event::Apply(object) | Event::InitApply(object) => match read(object) {
                Some((key, Some(record))) => self.put(key, record),
                _ => false,
            },
            Event::Delete(object) => read(object).is_some_and(|(key, _)| self.remove(&key)),
        }
    }

    /// A list begins.
    pub fn begin(&mut self) {
        self.incoming = Some(BTreeMap::new());
    }

    /// A record was listed or changed; true when what is in force changed.
    pub fn put(&mut self, key: K, value: V) -> bool {
        let listing = self.incoming.is_some();
        let map = self.incoming.as_mut().unwrap_or(&mut self.live);
        if map.len() >= self.capacity && !map.contains_key(&key) {
            self.refused = self.refused.saturating_add(1);
            return false;
        }
        if map.get(&key) == Some(&value) {
            return false;
        }
        map.insert(key, value);
        !listing
    }

    /// A record is gone; true when what is in force changed.
    pub fn remove(&mut self, key: &K) -> bool {
        match self.incoming.as_mut() {
            Some(incoming) => {
                incoming.remove(key);
                false
            }
            None => self.live.remove(key).is_some(),
        }
    }

    /// The list is complete and takes force; true when anything changed, the first list included.
    pub fn finish(&mut self) -> bool {
        let Some(incoming) = self.incoming.take() else {
            return false;
        };
        let changed = !self.complete || incoming != self.live;
        self.live = incoming;
        self.complete = true;
        changed
    }

    /// At least one list was complete.
    #[must_use]
    pub const fn complete(&self) -> bool {
        self.complete
    }

    /// Records refused for lack of room, since the start.
    #[must_use]
    pub const fn refused(&self) -> u64 {
        self.refused
    }

    /// The record of a key.
    #[must_use]
    pub fn get(&self, key: &K) -> Option<&V> {
        self.live.get(key)
    }

    /// Every record in key order.
    pub fn iter(&self) -> impl Iterator<Item = (&K, &V)> {
        self.live.iter()
    }

    /// Number of records in force.
    #[must_use]
    pub fn len(&self) -> usize {
        self.live.len()
    }

    /// Nothing is in force.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.live.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_in_force_before_the_first_list_is_complete() {
        let mut shelf = Shelf::new(8);
        shelf.begin();
        assert!(!shelf.put("a", 1));
        assert!(!shelf.complete() && shelf.is_empty());
        assert!(shelf.finish());
        assert!(shelf.complete());
        assert_eq!(shelf.get(&"a"), Some(&1));
    }

    #[test]
    fn an_empty_first_list_counts_as_a_change() {
        let mut shelf: Shelf<u8, u8> = Shelf::new(8);
        shelf.begin();
        assert!(shelf.finish());
        shelf.begin();
        assert!(!shelf.finish());
    }

    #[test]
    fn a_list_cut_short_leaves_the_old_state_in_force() {
        let mut shelf = Shelf::new(8);
        shelf.begin();
        shelf.put("a", 1);
        shelf.put("b", 2);
        shelf.finish();
        shelf.begin();
        shelf.put("a", 9);
        assert_eq!(shelf.get(&"b"), Some(&2));
        assert_eq!(shelf.get(&"a"), Some(&1));
        shelf.begin();
        shelf.put("b", 2);
        assert!(shelf.finish());
        assert_eq!(shelf.len(), 1);
    }

    #[test]
    fn equal_writes_are_no_change() {
        let mut shelf = Shelf::new(8);
        shelf.begin();
        shelf.finish();
        assert!(shelf.put("a", 1));
        assert!(!shelf.put("a", 1));
        assert!(shelf.remove(&"a"));
        assert!(!shelf.remove(&"a"));
    }

    #[test]
    fn beyond_its_capacity_records_are_refused_and_counted() {
        let mut shelf = Shelf::new(2);
        shelf.begin();
        shelf.finish();
        for key in 0..5 {
            shelf.put(key, ());
        }
        assert!(shelf.put(6, ()) == shelf.put(7, ()));
        assert_eq!((shelf.len(), shelf.refused()), (2, 5));
    }
}
