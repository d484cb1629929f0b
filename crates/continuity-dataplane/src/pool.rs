//! Indices that are given away, and rest before they are given away again.
//!
//! An index that was freed rests, so that no program still running, no bank not yet rewritten and no reader of
//! counters mistakes the new owner for the old one.

use std::collections::{BTreeSet, VecDeque};

/// How long a freed index rests: far above a grace period (8 ms), a tick (200 ms) and a scrape of counters (5 s).
pub(crate) const REST_NANOS: u64 = 10_000_000_000;

/// A bounded pool of indices.
#[derive(Debug)]
pub(crate) struct Pool {
    capacity: u32,
    fresh: u32,
    resting: VecDeque<(u32, u64)>,
}

impl Pool {
    /// A pool whose `used` indices are taken; holes below the largest rest first.
    pub(crate) fn new(capacity: u32, used: &BTreeSet<u32>, now: u64) -> Self {
        let fresh = used.last().map_or(0, |last| last + 1);
        let resting = (0..fresh)
            .filter(|index| !used.contains(index))
            .map(|index| (index, now + REST_NANOS))
            .collect();
        Self {
            capacity,
            fresh,
            resting,
        }
    }

    /// An index that nobody has; the lowest ones first, so that mapped memory stays small.
    pub(crate) fn take(&mut self, now: u64) -> Option<u32> {
        if self.resting.front().is_some_and(|(_, until)| *until <= now) {
            return self.resting.pop_front().map(|(index, _)| index);
        }
        let index = self.fresh;
        (index < self.capacity).then(|| {
            self.fresh += 1;
            index
        })
    }

    /// Gives an index back.
    pub(crate) fn rest(&mut self, index: u32, now: u64) {
        self.resting.push_back((index, now + REST_NANOS));
    }

    /// Size of the pool.
    pub(crate) fn capacity(&self) -> u32 {
        self.capacity
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::{Pool, REST_NANOS};

    #[test]
    fn a_freed_index_rests_before_it_is_given_away_again() {
        let mut pool = Pool::new(2, &BTreeSet::new(), 0);
        assert_eq!(
            (pool.take(0), pool.take(0), pool.take(0)),
            (Some(0), Some(1), None)
        );
        pool.rest(0, 5);
        assert_eq!(pool.take(5 + REST_NANOS - 1), None);
        assert_eq!(pool.take(5 + REST_NANOS), Some(0));
    }

    #[test]
    fn holes_found_after_a_restart_rest_too() {
        let mut pool = Pool::new(4, &BTreeSet::from([2]), 100);
        assert_eq!(pool.take(100), Some(3));
        assert_eq!(pool.take(100), None);
        assert_eq!(pool.take(100 + REST_NANOS), Some(0));
    }
}
