//! Calling pods: which cgroup calls which set as whom, and the share that each is held to.
//!
//! The hash leads from a container's cgroup and a set to a slot; containers of one pod have one slot, and so has a pod that
//! an earlier agent knew. A slot rests before it is given to another pod.

use std::{
    collections::{BTreeMap, BTreeSet},
    mem::offset_of,
    sync::atomic::Ordering,
};

use continuity_wire::{CALLERS, Caller, CallerKey, CallerValue};

use super::Engine;
use crate::{CallerCounters, DesiredCaller, Error, SetId, backing::Backing, pool::Pool};

/// The callers of all sets.
#[derive(Debug)]
pub(super) struct Callers {
    entries: BTreeMap<CallerKey, CallerValue>,
    /// By index of the set and pod.
    slots: BTreeMap<(u32, u64), u32>,
    pool: Pool,
}

impl Callers {
    /// As a former agent left them.
    pub(super) fn found(entries: Vec<(CallerKey, CallerValue)>, now: u64) -> Self {
        let entries: BTreeMap<_, _> = entries.into_iter().collect();
        let used: BTreeSet<u32> = entries.values().map(|value| value.slot).collect();
        Self {
            entries,
            slots: BTreeMap::new(),
            pool: Pool::new(CALLERS, &used, now),
        }
    }

    /// Slots that a pod or an entry has.
    fn in_use(&self) -> BTreeSet<u32> {
        let entries = self.entries.values().map(|value| value.slot);
        entries.chain(self.slots.values().copied()).collect()
    }
}

impl<B: Backing> Engine<B> {
    /// Makes the hash hold exactly these; returns how many did not fit.
    pub(super) fn reconcile_callers(&mut self, desired: &[DesiredCaller]) -> Result<u32, Error> {
        let before = self.callers.in_use();
        let mut wanted = BTreeMap::new();
        let mut slots = BTreeMap::new();
        let mut left_out = 0;
        for caller in desired {
            let Some(set) = self.sets.get(&caller.set).map(|entry| entry.view.index.0) else {
                continue;
            };
            let room = u32::try_from(wanted.len() + caller.cgroups.len()).is_ok_and(|count| count <= CALLERS);
            let Some(slot) = room.then(|| self.slot_of(set, caller)).transpose()?.flatten() else {
                left_out += 1;
                continue;
            };
            slots.insert((set, caller.pod), slot);
            let value = CallerValue {
                slot,
                level: caller.level.min(4),
            };
            wanted.extend(caller.cgroups.iter().map(|cgroup| (key(*cgroup, set), value)));
        }
        let gone: Vec<CallerKey> = self
            .callers
            .entries
            .keys()
            .filter(|known| !wanted.contains_key(known))
            .copied()
            .collect();
        for key in gone {
            self.drop_caller(key)?;
        }
        for (key, value) in wanted {
            if self.callers.entries.get(&key) != Some(&value) {
                self.backing.put_caller(key, value)?;
                self.callers.entries.insert(key, value);
            }
        }
        self.callers.slots = slots;
        self.rest_slots(&before);
        Ok(left_out)
    }

    /// The slot that the pod has, or one that an entry of its cgroups has, or a new one.
    fn slot_of(&mut self, set: u32, caller: &DesiredCaller) -> Result<Option<u32>, Error> {
        if let Some(slot) = self.callers.slots.get(&(set, caller.pod)) {
            return Ok(Some(*slot));
        }
        let known = |cgroup: &u64| self.callers.entries.get(&key(*cgroup, set));
        if let Some(value) = caller.cgroups.iter().find_map(known) {
            return Ok(Some(value.slot));
        }
        let Some(slot) = self.callers.pool.take(self.backing.now()) else {
            return Ok(None);
        };
        self.tables.shares.store(slot, &Caller::default())?;
        Ok(Some(slot))
    }

    /// Slots that were in use and are not any more rest.
    fn rest_slots(&mut self, before: &BTreeSet<u32>) {
        let now = self.backing.now();
        let after = self.callers.in_use();
        for slot in before.difference(&after) {
            self.callers.pool.rest(*slot, now);
        }
    }

    fn drop_caller(&mut self, key: CallerKey) -> Result<(), Error> {
        self.backing.drop_caller(key)?;
        self.callers.entries.remove(&key);
        Ok(())
    }

    /// A set that goes takes its callers along: the next owner of the index is not theirs.
    pub(super) fn drop_callers_of(&mut self, set: u32) -> Result<(), Error> {
        let before = self.callers.in_use();
        let gone: Vec<CallerKey> = self
            .callers
            .entries
            .keys()
            .filter(|known| known.set == set)
            .copied()
            .collect();
        gone.into_iter().try_for_each(|key| self.drop_caller(key))?;
        self.callers.slots.retain(|(owner, _), _| *owner != set);
        self.rest_slots(&before);
        Ok(())
    }

    pub(super) fn read_callers_of(&self, id: &SetId) -> Result<Vec<CallerCounters>, Error> {
        let set = self.entry(id)?.view.index.0;
        let own = self.callers.slots.range((set, 0)..=(set, u64::MAX));
        own.map(|((_, pod), slot)| {
            let caller: Caller = self.tables.shares.load(*slot)?;
            Ok(CallerCounters {
                pod: *pod,
                offered: caller.offered,
                retries: caller.retries,
            })
        })
        .collect()
    }

    pub(super) fn write_share(
        &self,
        id: &SetId,
        pod: u64,
        interval: u64,
        retry_interval: u64,
    ) -> Result<(), Error> {
        let set = self.entry(id)?.view.index.0;
        let slot = self.callers.slots.get(&(set, pod));
        let slot = slot.ok_or(Error::Missing("caller of that pod"))?;
        let words = [
            (offset_of!(Caller, interval), interval),
            (offset_of!(Caller, retry_interval), retry_interval),
        ];
        words.into_iter().try_for_each(|(at, value)| {
            self.tables
                .shares
                .word(*slot, at)?
                .store(value, Ordering::Relaxed);
            Ok(())
        })
    }
}

const fn key(cgroup: u64, set: u32) -> CallerKey {
    CallerKey {
        cgroup,
        set,
        reserved: 0,
    }
}
