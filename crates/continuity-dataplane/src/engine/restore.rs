//! The engine's picture of maps that a former agent filled.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::SocketAddr,
};

use continuity_wire::{Backend, BackendFlags, Set, SetFlags};

use super::{Callers, Engine, Entry, Local};
use crate::{
    BackendIndex, BackendView, Error, Mode, Protocol, SetId, SetIndex, SetView, backing::Backing,
    capacity::Capacities, pool::Pool, tables::Tables,
};

impl<B: Backing> Engine<B> {
    /// Opens tables that are empty, or as the former agent left them.
    pub(crate) fn restore(tables: Tables, backing: B, sizes: Capacities) -> Result<Self, Error> {
        let mut by_index = found_sets(&tables)?;
        if !by_index.is_empty() {
            // Programs may still read the bank that the former agent left last; one wait serves every set.
            backing.grace();
        }
        let now = backing.now();
        let used_backends = find_backends(&tables, &mut by_index)?;
        let used_sets = by_index.keys().copied().collect();
        let mut frontends = BTreeMap::new();
        for (key, value) in backing.services()? {
            if let Some(entry) = by_index
                .get_mut(&value.set)
                .filter(|entry| entry.generation == value.generation)
            {
                if key.guard == 0 {
                    entry.view.frontends.push(key.socket_address());
                }
                frontends.insert(key, entry.view.id);
            }
        }
        let endpoints: BTreeMap<SocketAddr, Local> = backing
            .endpoints()?
            .into_iter()
            .map(|(key, found)| {
                (
                    key.socket_address(),
                    Local {
                        index: found.endpoint,
                        generation: found.generation,
                    },
                )
            })
            .collect();
        let used_endpoints = endpoints.values().map(|local| local.index).collect();
        let mut engine = Self {
            set_pool: Pool::new(sizes.sets, &used_sets, now),
            backend_pool: Pool::new(sizes.backends, &used_backends, now),
            endpoint_pool: Pool::new(sizes.endpoints, &used_endpoints, now),
            callers: Callers::found(backing.callers()?, now),
            services_capacity: usize::try_from(sizes.services).unwrap_or(usize::MAX),
            sets: by_index
                .into_values()
                .map(|entry| (entry.view.id, entry))
                .collect(),
            frontends,
            endpoints,
            tables,
            backing,
        };
        engine.drop_stale_services()?;
        Ok(engine)
    }

    /// Removes service addresses that no set owns: an agent that was killed between two writes left them.
    fn drop_stale_services(&mut self) -> Result<(), Error> {
        for (key, _) in self.backing.services()? {
            if !self.frontends.contains_key(&key) {
                self.backing.drop_service(key)?;
            }
        }
        Ok(())
    }
}

fn found_sets(tables: &Tables) -> Result<BTreeMap<u32, Entry>, Error> {
    let mut found = BTreeMap::new();
    for index in 0..tables.sets.entries() {
        let set: Set = tables.sets.load(index)?;
        if set.flags & SetFlags::VALID == 0 {
            continue;
        }
        let mode = if set.flags & SetFlags::ENFORCE == 0 {
            Mode::Observe
        } else {
            Mode::Enforce
        };
        let view = SetView {
            id: SetId(set.id),
            index: SetIndex(index),
            mode,
            protocol: if set.flags & SetFlags::DATAGRAM == 0 {
                Protocol::Tcp
            } else {
                Protocol::Udp
            },
            backends: Vec::new(),
            frontends: Vec::new(),
        };
        found.insert(
            index,
            Entry {
                view,
                generation: set.generation,
                flipped: 0,
                limited: 0,
                drift: super::Drift::default(),
            },
        );
    }
    Ok(found)
}

/// Hands every valid backend to its set, in index order; invalidates those of sets that are gone.
fn find_backends(tables: &Tables, sets: &mut BTreeMap<u32, Entry>) -> Result<BTreeSet<u32>, Error> {
    let mut used = BTreeSet::new();
    for index in 0..tables.backends.entries() {
        let mut backend: Backend = tables.backends.load(index)?;
        if !backend.is_valid() {
            continue;
        }
        match sets.get_mut(&backend.set) {
            Some(entry) => {
                used.insert(index);
                entry.view.backends.push(BackendView {
                    index: BackendIndex(index),
                    generation: backend.generation,
                    address: backend.socket_address(),
                    local: backend.flags & BackendFlags::LOCAL != 0,
                });
            }
            None => {
                backend.flags = 0;
                tables.backends.store(index, &backend)?;
            }
        }
    }
    Ok(used)
}
