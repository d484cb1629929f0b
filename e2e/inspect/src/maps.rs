//! The pinned maps of one node, as sets with the share of each backend.
//!
//! A set is named by the addresses that clients connect to: names of Services are not in the maps.

use std::collections::BTreeMap;
use std::path::Path;

use aya::maps::{Array, HashMap, Map, MapData};
use bytemuck::Pod;
use continuity_wire::{
    Backend, Bank, Control, Place, ServiceKey, ServiceValue, SetFlags, SetTraffic, Table, Word, map,
};
use serde::Serialize;

use crate::Error;

/// What the maps say.
#[derive(Clone, Debug, Serialize)]
pub struct Maps {
    /// The agent's last sign of life, `CLOCK_MONOTONIC`.
    pub heartbeat_ns: u64,
    /// The sets.
    pub sets: Vec<SetView>,
}

/// One set.
#[derive(Clone, Debug, Serialize)]
pub struct SetView {
    /// "ip:port" that clients connect to.
    pub frontends: Vec<String>,
    /// Whether connects are steered.
    pub enforced: bool,
    /// Epoch of the field.
    pub epoch: u64,
    /// Normal, Hold or Fallback, as the last connect saw it.
    pub failsafe: &'static str,
    /// When a connect last saw it change, `CLOCK_MONOTONIC`; 0 for never.
    pub failsafe_since_ns: u64,
    /// Connects steered since the maps were made.
    pub steered: u64,
    /// Of them, while the field was frozen.
    pub steered_in_hold: u64,
    /// Connects passed to the VIP in FALLBACK.
    pub passed_fallback: u64,
    /// Connects refused because there is no backend.
    pub refused_empty: u64,
    /// The backends.
    pub backends: Vec<BackendView>,
}

/// One backend.
#[derive(Clone, Debug, Serialize)]
pub struct BackendView {
    /// "ip:port", IPv6 in brackets.
    pub address: String,
    /// Slots that name it, in millionths of the slots that name any backend of its address family.
    pub share_ppm: u64,
}

/// A pinned array as typed records.
struct Records<const N: usize> {
    array: Array<MapData, [u8; N]>,
    path: std::path::PathBuf,
}

fn open(folder: &Path, name: &str) -> Result<(MapData, std::path::PathBuf), Error> {
    let path = folder.join(name);
    let data = MapData::from_pin(&path).map_err(|source| Error::Map {
        path: path.clone(),
        source,
    })?;
    Ok((data, path))
}

impl<const N: usize> Records<N> {
    fn open(folder: &Path, name: &str) -> Result<Self, Error> {
        let (data, path) = open(folder, name)?;
        let array = Array::try_from(Map::Array(data)).map_err(|source| Error::Map {
            path: path.clone(),
            source,
        })?;
        Ok(Self { array, path })
    }

    fn len(&self) -> u32 {
        self.array.len()
    }

    fn get<T: Pod>(&self, index: u32) -> Result<T, Error> {
        let bytes = self.array.get(&index, 0).map_err(|source| Error::Map {
            path: self.path.clone(),
            source,
        })?;
        Ok(bytemuck::pod_read_unaligned(&bytes))
    }
}

/// Reads the maps pinned in `pins` (`…/continuity/v4`).
///
/// # Errors
/// A map that is not pinned there, or that the kernel does not let us read.
pub fn read(pins: &Path) -> Result<Maps, Error> {
    let folder = pins.join("maps");
    let control: Control = Records::<{ size_of::<Control>() }>::open(&folder, map::CONTROL)?.get(0)?;
    let sets = Records::<{ size_of::<Table>() }>::open(&folder, map::SETS)?;
    let backends = Records::<{ size_of::<Place>() }>::open(&folder, map::BACKENDS)?;
    let traffic = Records::<{ size_of::<SetTraffic>() }>::open(&folder, map::SET_TRAFFIC)?;
    let services = services(&folder)?;
    let named = named(&backends)?;
    let shards = control.shard_mask + 1;

    let mut found = Vec::new();
    for index in 0..sets.len() {
        let Table { set, banks } = sets.get(index)?;
        if set.flags & SetFlags::VALID == 0 {
            continue;
        }
        let word = Word(set.word);
        let bank = &banks[usize::try_from(word.bank() & 1).unwrap_or(0)];
        let mut sum: SetTraffic = traffic.get(index * shards)?;
        for shard in 1..shards {
            sum.absorb(&traffic.get(index * shards + shard)?);
        }
        let mine = |(key, value): &&(ServiceKey, ServiceValue)| {
            key.guard == 0 && value.set == index && value.generation == set.generation
        };
        found.push(SetView {
            frontends: services
                .iter()
                .filter(mine)
                .map(|(key, _)| key.socket_address().to_string())
                .collect(),
            enforced: set.flags & SetFlags::ENFORCE != 0,
            epoch: word.epoch(),
            failsafe: ["Normal", "Hold"]
                .get(usize::try_from(set.failsafe & 3).unwrap_or(2))
                .unwrap_or(&"Fallback"),
            failsafe_since_ns: set.failsafe & !3,
            steered: sum.steered,
            steered_in_hold: sum.steered_in_hold,
            passed_fallback: sum.passed_fallback,
            refused_empty: sum.refused_empty,
            backends: shares(bank, named.get(&index).map_or(&[], Vec::as_slice)),
        });
    }
    Ok(Maps {
        heartbeat_ns: control.heartbeat,
        sets: found,
    })
}

fn services(folder: &Path) -> Result<Vec<(ServiceKey, ServiceValue)>, Error> {
    let (data, path) = open(folder, map::SERVICES)?;
    let refused = |source| Error::Map {
        path: path.clone(),
        source,
    };
    let hash: HashMap<_, [u8; size_of::<ServiceKey>()], [u8; size_of::<ServiceValue>()]> =
        HashMap::try_from(Map::HashMap(data)).map_err(refused)?;
    hash.iter()
        .map(|entry| {
            entry
                .map(|(key, value)| (bytemuck::cast(key), bytemuck::cast(value)))
                .map_err(refused)
        })
        .collect()
}

/// Backends with their indices, by set.
type Named = BTreeMap<u32, Vec<(u32, Backend)>>;

/// Every backend in use, in one walk.
fn named<const N: usize>(backends: &Records<N>) -> Result<Named, Error> {
    let mut found = Named::new();
    for index in 0..backends.len() {
        let Place { backend, .. } = backends.get(index)?;
        if backend.is_valid() {
            found.entry(backend.set).or_default().push((index, backend));
        }
    }
    Ok(found)
}

/// Each backend's part of the slots that name a backend of its own address family.
fn shares(bank: &Bank, backends: &[(u32, Backend)]) -> Vec<BackendView> {
    let slots = |index: u32| bank.slots.iter().filter(|slot| **slot == index).count() as u64;
    let family = |backend: &Backend| backend.socket_address().is_ipv4();
    let view = |(index, backend): &(u32, Backend)| {
        let peers = backends
            .iter()
            .filter(|(_, peer)| family(peer) == family(backend));
        let all: u64 = peers.map(|(peer, _)| slots(*peer)).sum();
        let share_ppm = (slots(*index) * 1_000_000).checked_div(all).unwrap_or(0);
        BackendView {
            address: backend.socket_address().to_string(),
            share_ppm,
        }
    };
    backends.iter().map(view).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytemuck::Zeroable as _;

    #[test]
    fn a_share_is_counted_within_its_address_family() {
        let backend =
            |index: u32, address: &str| (index, Backend::new(address.parse().unwrap(), 0, 1, false));
        let backends = [
            backend(1, "10.244.1.2:8080"),
            backend(2, "10.244.2.2:8080"),
            backend(3, "[fd00::1]:8080"),
        ];
        let mut bank = Bank::zeroed();
        for (at, slot) in bank.slots.iter_mut().enumerate() {
            *slot = [1, 1, 1, 3][at % 4];
        }
        let shares: Vec<u64> = shares(&bank, &backends).iter().map(|b| b.share_ppm).collect();
        assert_eq!(shares, [1_000_000, 0, 1_000_000]);
    }
}
