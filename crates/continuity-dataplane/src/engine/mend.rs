//! Compares the maps with what this process put there, and puts right what differs.
//!
//! Nobody else should write there; a debugging tool, a second agent or a kernel fault could. What the kernel itself writes
//! (traffic, memory, the words of the choice) is not looked at, and a bank is left to the next publish. Every place is
//! written in the order that `reconcile` keeps: sets before backends before the addresses that lead to them.

use std::{collections::BTreeMap, mem::offset_of, sync::atomic::Ordering};

use continuity_wire::{Backend, Endpoint, ServiceKey, ServiceValue, Set, SetFlags, TCP};

use super::Engine;
use crate::{Desired, DesiredSet, Error, Fallback, Mended, Mode, backing::Backing};

impl<B: Backing> Engine<B> {
    pub(super) fn mend_maps(&mut self, desired: &Desired) -> Result<Mended, Error> {
        Ok(Mended {
            sets: self.mend_sets(desired)?,
            backends: self.mend_backends()?,
            endpoints: self.mend_endpoints()?,
            services: self.mend_services()?,
        })
    }

    fn mend_sets(&mut self, desired: &Desired) -> Result<u64, Error> {
        let mut drift = 0;
        for wanted in &desired.sets {
            // One that the maps had no room for is not there, and should not be.
            let Some(mut entry) = self.sets.remove(&wanted.id) else {
                continue;
            };
            let index = entry.view.index.0;
            let stands = self.tables.sets.load::<Set>(index).map(|set| {
                set.id == wanted.id.0 && set.generation == entry.generation && as_wanted(&set, wanted)
            });
            let repaired = match stands {
                Ok(true) => Ok(false),
                Ok(false) => self.repair_set(index, &mut entry, wanted).map(|()| true),
                Err(error) => Err(error),
            };
            self.sets.insert(wanted.id, entry);
            drift += u64::from(repaired?);
        }
        Ok(drift)
    }

    /// The id is two words that the kernel never reads; flags, generation and times are written as ever.
    fn repair_set(&mut self, index: u32, entry: &mut super::Entry, wanted: &DesiredSet) -> Result<(), Error> {
        let [low, high]: [u64; 2] = bytemuck::cast(wanted.id.0);
        let at = offset_of!(Set, id);
        for (place, word) in [(at, low), (at + 8, high)] {
            self.tables
                .sets
                .word(index, place)?
                .store(word, Ordering::Relaxed);
        }
        self.settle_set(entry, wanted, false)
    }

    fn mend_backends(&self) -> Result<u64, Error> {
        let mut owned = BTreeMap::new();
        for entry in self.sets.values() {
            for backend in &entry.view.backends {
                owned.insert(backend.index.0, (entry.view.index, backend));
            }
        }
        let mut drift = 0;
        for index in 0..self.tables.backends.entries() {
            let mut found: Backend = self.tables.backends.load(index)?;
            match owned.get(&index) {
                Some((set, backend)) => {
                    let wanted = Backend::new(backend.address, set.0, backend.generation, backend.local);
                    if found != wanted {
                        self.write_backend(*set, backend)?;
                        drift += 1;
                    }
                }
                None if found.is_valid() => {
                    found.flags = 0;
                    self.tables.backends.store(index, &found)?;
                    drift += 1;
                }
                None => {}
            }
        }
        Ok(drift)
    }

    fn mend_endpoints(&mut self) -> Result<u64, Error> {
        let wanted = self.endpoints.iter().map(|(address, local)| {
            let value = Endpoint {
                endpoint: local.index,
                generation: local.generation,
            };
            (ServiceKey::new(*address, TCP), value)
        });
        let (missing, foreign) = differences(wanted.collect(), self.backing.endpoints()?);
        let drift = missing.len() + foreign.len();
        for key in foreign {
            self.backing.drop_endpoint(key)?;
        }
        for (key, value) in missing {
            self.backing.put_endpoint(key, value)?;
        }
        Ok(u64::try_from(drift).unwrap_or(u64::MAX))
    }

    fn mend_services(&mut self) -> Result<u64, Error> {
        let wanted = self.frontends.iter().filter_map(|(key, owner)| {
            let entry = self.sets.get(owner)?;
            let value = ServiceValue {
                set: entry.view.index.0,
                generation: entry.generation,
            };
            Some((*key, value))
        });
        let (missing, foreign) = differences(wanted.collect(), self.backing.services()?);
        let drift = missing.len() + foreign.len();
        for key in foreign {
            self.backing.drop_service(key)?;
        }
        for (key, value) in missing {
            self.backing.put_service(key, value)?;
        }
        Ok(u64::try_from(drift).unwrap_or(u64::MAX))
    }
}

/// What must be written, and what must go.
fn differences<V: PartialEq + Copy>(
    wanted: BTreeMap<ServiceKey, V>,
    found: Vec<(ServiceKey, V)>,
) -> (Vec<(ServiceKey, V)>, Vec<ServiceKey>) {
    let found: BTreeMap<ServiceKey, V> = found.into_iter().collect();
    let foreign = found.keys().filter(|key| !wanted.contains_key(key));
    let foreign = foreign.copied().collect();
    let missing = wanted
        .into_iter()
        .filter(|(key, value)| found.get(key) != Some(value));
    (missing.collect(), foreign)
}

fn as_wanted(set: &Set, wanted: &DesiredSet) -> bool {
    let has = |flag: u32| set.flags & flag != 0;
    let nanos = |time: std::time::Duration| u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
    let hold = nanos(wanted.failsafe.hold_after);
    has(SetFlags::VALID)
        && has(SetFlags::ENFORCE) == (wanted.mode == Mode::Enforce)
        && has(SetFlags::LAST_KNOWN_ALIVE) == (wanted.fallback == Fallback::LastKnownAlive)
        && set.hold_after == hold
        && set.fallback_after == nanos(wanted.failsafe.fallback_after).max(hold)
}
