//! Makes the maps hold what is desired.
//!
//! Order matters, because the kernel decides while we write: a set is complete before an address leads to it, an
//! address is gone before its set is, and a backend is invalid before its index rests.

use std::{
    collections::{BTreeMap, BTreeSet},
    mem::offset_of,
    net::SocketAddr,
    sync::atomic::Ordering,
};

use bytemuck::Zeroable as _;
use continuity_wire::{
    ALIVE_BANK, BANKS, Backend, Bank, Choice, Learned, NONE, Record, RecordWords, SLOTS, Set, SetFlags,
    SetTraffic,
};

use super::{Engine, Entry, admission::ADMISSION_FLAGS};
use crate::{
    BackendIndex, BackendView, Completeness, Desired, DesiredSet, Error, Fallback, Field, Mode, Protocol,
    Reconciled, Rejection, SetId, SetIndex, SetView, backing::Backing,
};

impl<B: Backing> Engine<B> {
    pub(super) fn reconcile_sets(
        &mut self,
        desired: &Desired,
        completeness: Completeness,
    ) -> Result<Reconciled, Error> {
        let mut report = Reconciled::default();
        let desired = &self.supported(desired, &mut report);
        if completeness == Completeness::Complete {
            let wanted: BTreeSet<SetId> = desired.sets.iter().map(|set| set.id).collect();
            let gone: Vec<SetId> = self
                .sets
                .keys()
                .filter(|id| !wanted.contains(id))
                .copied()
                .collect();
            for id in gone {
                self.remove_set(id)?;
                report.sets_removed.push(id);
            }
            self.free_frontends(desired)?;
        }
        for set in &desired.sets {
            self.reconcile_set(set, completeness, &mut report)?;
        }
        self.reconcile_endpoints(&mut report)?;
        Ok(report)
    }

    /// Leaves out the sets that this node cannot carry out.
    fn supported(&self, desired: &Desired, report: &mut Reconciled) -> Desired {
        let capabilities = self.backing.capabilities();
        let mut sets = Vec::with_capacity(desired.sets.len());
        for set in &desired.sets {
            match set.needs(capabilities) {
                Some(capability) => report.rejected.push(Rejection::Unsupported {
                    id: set.id,
                    capability,
                }),
                None => sets.push(set.clone()),
            }
        }
        Desired { sets }
    }

    fn reconcile_set(
        &mut self,
        desired: &DesiredSet,
        completeness: Completeness,
        report: &mut Reconciled,
    ) -> Result<(), Error> {
        let new = !self.sets.contains_key(&desired.id);
        let mut entry = match self.sets.remove(&desired.id) {
            Some(entry) => entry,
            None => match self.new_set(desired, report)? {
                Some(entry) => entry,
                None => return Ok(()),
            },
        };
        let changed = self.reconcile_backends(&mut entry, desired, completeness, report);
        let settled = self.settle_set(&mut entry, desired, new);
        self.sets.insert(desired.id, entry);
        if changed? || new {
            report.sets_changed.push(desired.id);
        }
        settled?;
        self.reconcile_frontends(desired, report)
    }

    /// Takes an index and clears what its former owner left. The set is not yet valid.
    fn new_set(&mut self, desired: &DesiredSet, report: &mut Reconciled) -> Result<Option<Entry>, Error> {
        let Some(index) = self.set_pool.take(self.backing.now()) else {
            let capacity = self.set_pool.capacity();
            report.rejected.push(Rejection::SetsFull {
                id: desired.id,
                capacity,
            });
            return Ok(None);
        };
        let generation = self.tables.sets.load::<Set>(index)?.generation.wrapping_add(1);
        self.tables.sets.store(
            index,
            &Set {
                generation,
                id: desired.id.0,
                ..Set::zeroed()
            },
        )?;
        (0..BANKS).try_for_each(|bank| self.tables.banks.clear::<Bank>(index * BANKS + bank))?;
        self.tables.learned.clear::<Learned>(index)?;
        self.clear_admission(index)?;
        let cursor = self
            .tables
            .control
            .load::<continuity_wire::Control>(0)?
            .cursor_start;
        for shard in 0..self.tables.shards {
            // Bit-reversed offsets keep the shards' walks apart from the first connect on.
            let fresh = SetTraffic {
                cursor: cursor.wrapping_add(shard.reverse_bits()),
                ..SetTraffic::zeroed()
            };
            self.tables
                .decisions
                .store(index * self.tables.shards + shard, &fresh)?;
        }
        report.sets_added.push(desired.id);
        let view = SetView {
            id: desired.id,
            index: SetIndex(index),
            mode: desired.mode,
            protocol: desired.protocol,
            backends: Vec::new(),
            frontends: Vec::new(),
        };
        Ok(Some(Entry {
            view,
            generation,
            flipped: 0,
            limited: 0,
            drift: super::Drift::default(),
        }))
    }

    /// Writes mode and failsafe, and the equal-share table of the backends that are alive now.
    pub(super) fn settle_set(
        &mut self,
        entry: &mut Entry,
        desired: &DesiredSet,
        new: bool,
    ) -> Result<(), Error> {
        let index = entry.view.index.0;
        entry.view.mode = desired.mode;
        entry.view.protocol = desired.protocol;
        let hold = nanos(desired.failsafe.hold_after);
        let present: Set = self.tables.sets.load(index)?;
        let flags = flags(desired) | present.flags & ADMISSION_FLAGS;
        let alive: Vec<BackendIndex> = entry.view.backends.iter().map(|backend| backend.index).collect();
        let bank = Bank {
            backends: u32::try_from(alive.len()).unwrap_or(u32::MAX),
            choice: Choice {
                mem: NONE,
                ..Choice::zeroed()
            },
            slots: slot_words(&Field::equal(&alive)),
            ..Bank::zeroed()
        };
        self.tables.banks.store(index * BANKS + ALIVE_BANK, &bank)?;
        let words = &self.tables.sets;
        words
            .word(index, offset_of!(Set, hold_after))?
            .store(hold, Ordering::Relaxed);
        let fallback = nanos(desired.failsafe.fallback_after).max(hold);
        words
            .word(index, offset_of!(Set, fallback_after))?
            .store(fallback, Ordering::Relaxed);
        words
            .word(index, offset_of!(Set, affinity))?
            .store(desired.affinity.map_or(0, nanos), Ordering::Relaxed);
        let pair = pair(flags, entry.generation);
        words
            .word(index, offset_of!(Set, flags))?
            .store(pair, Ordering::Release);
        if new {
            tracing::debug!(set = %desired.id, index, "set added");
        }
        Ok(())
    }

    fn reconcile_backends(
        &mut self,
        entry: &mut Entry,
        desired: &DesiredSet,
        completeness: Completeness,
        report: &mut Reconciled,
    ) -> Result<bool, Error> {
        let wanted: BTreeMap<SocketAddr, bool> = desired
            .backends
            .iter()
            .map(|backend| (backend.address, backend.local))
            .collect();
        let mut changed = false;
        let mut kept = Vec::with_capacity(wanted.len());
        for mut backend in std::mem::take(&mut entry.view.backends) {
            match wanted.get(&backend.address) {
                None if completeness == Completeness::Complete => {
                    self.remove_backend(entry.view.index, &backend)?;
                    changed = true;
                    continue;
                }
                Some(local) if *local != backend.local => {
                    backend.local = *local;
                    self.write_backend(entry.view.index, &backend)?;
                }
                _ => {}
            }
            kept.push(backend);
        }
        let present: BTreeSet<SocketAddr> = kept.iter().map(|backend| backend.address).collect();
        for (address, local) in wanted
            .into_iter()
            .filter(|(address, _)| !present.contains(address))
        {
            match self.add_backend(entry.view.index, address, local)? {
                Some(backend) => {
                    kept.push(backend);
                    changed = true;
                }
                None => report.rejected.push(Rejection::BackendsFull {
                    id: desired.id,
                    address,
                    capacity: self.backend_pool.capacity(),
                }),
            }
        }
        kept.sort_unstable_by_key(|backend| backend.index);
        entry.view.backends = kept;
        Ok(changed)
    }

    fn add_backend(
        &mut self,
        set: SetIndex,
        address: SocketAddr,
        local: bool,
    ) -> Result<Option<BackendView>, Error> {
        let Some(index) = self.backend_pool.take(self.backing.now()) else {
            return Ok(None);
        };
        let generation = self
            .tables
            .backends
            .load::<Backend>(index)?
            .generation
            .wrapping_add(1);
        self.tables
            .reset_traffic(&self.tables.client, index, generation)?;
        let owner = u16::try_from(set.0 + 1).unwrap_or(0);
        self.tables.records.store(
            index,
            &Record {
                set: owner,
                ..Record::zeroed()
            },
        )?;
        let backend = BackendView {
            index: BackendIndex(index),
            generation,
            address,
            local,
        };
        self.write_backend(set, &backend)?;
        Ok(Some(backend))
    }

    pub(super) fn write_backend(&self, set: SetIndex, backend: &BackendView) -> Result<(), Error> {
        let record = Backend::new(backend.address, set.0, backend.generation, backend.local);
        self.tables.backends.store(backend.index.0, &record)
    }

    /// From here on no connect goes there: the entry is invalid, the memory may not name it.
    fn remove_backend(&mut self, set: SetIndex, backend: &BackendView) -> Result<(), Error> {
        let index = backend.index.0;
        let mut record: Backend = self.tables.backends.load(index)?;
        record.flags = 0;
        self.tables.backends.store(index, &record)?;
        let off = RecordWords {
            off: 1,
            ..RecordWords::default()
        };
        self.tables
            .records
            .word(index, offset_of!(Record, words))?
            .store(bytemuck::cast(off), Ordering::Relaxed);
        self.forget_memory(set, index)?;
        self.backend_pool.rest(index, self.backing.now());
        Ok(())
    }

    fn remove_set(&mut self, id: SetId) -> Result<(), Error> {
        self.drop_frontends_of(id)?;
        let Some(entry) = self.sets.remove(&id) else {
            return Ok(());
        };
        let index = entry.view.index.0;
        self.tables
            .sets
            .word(index, offset_of!(Set, flags))?
            .store(pair(0, entry.generation), Ordering::Release);
        self.drop_callers_of(index)?;
        for backend in &entry.view.backends {
            self.remove_backend(entry.view.index, backend)?;
        }
        self.set_pool.rest(index, self.backing.now());
        Ok(())
    }
}

fn flags(desired: &DesiredSet) -> u32 {
    let when = |holds: bool, flag: u32| if holds { flag } else { 0 };
    SetFlags::VALID
        | when(desired.mode == Mode::Enforce, SetFlags::ENFORCE)
        | when(
            desired.fallback == Fallback::LastKnownAlive,
            SetFlags::LAST_KNOWN_ALIVE,
        )
        | when(desired.affinity.is_some(), SetFlags::AFFINITY)
        | when(desired.protocol == Protocol::Udp, SetFlags::DATAGRAM)
}

fn nanos(duration: std::time::Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

/// `flags` and `generation` as the one word that they share.
fn pair(flags: u32, generation: u32) -> u64 {
    bytemuck::cast([flags, generation])
}

/// A field's slots as the kernel reads them.
pub(super) fn slot_words(field: &Field) -> [u32; SLOTS] {
    field.slots.map(|slot| slot.map_or(NONE, |backend| backend.0))
}
