//! The array maps, and the sums over their shards.

use bytemuck::Zeroable as _;
use continuity_wire::{
    Admission, AdmissionTraffic, BANKS, Backend, Bank, CALLERS, Caller, Control, LIMIT_BANKS, LINES, Learned,
    Limits, Node, Record, SOCKET_BYTES, Set, SetTraffic, Traffic, map,
};

use crate::{
    Error,
    capacity::Capacities,
    region::{Region, Source},
};

/// Every array map of a dataplane.
pub(crate) struct Tables {
    pub(crate) control: Region,
    pub(crate) sets: Region,
    pub(crate) banks: Region,
    pub(crate) backends: Region,
    pub(crate) records: Region,
    pub(crate) client: Region,
    pub(crate) server: Region,
    pub(crate) decisions: Region,
    pub(crate) node: Region,
    pub(crate) learned: Region,
    pub(crate) admissions: Region,
    pub(crate) limits: Region,
    pub(crate) admission_traffic: Region,
    pub(crate) shares: Region,
    pub(crate) sockets: Region,
    pub(crate) shards: u32,
}

impl Tables {
    /// Tables of these sizes; `source` gives the memory of each map by name.
    pub(crate) fn new<E>(
        sizes: Capacities,
        mut source: impl FnMut(&'static str) -> Result<Source, E>,
    ) -> Result<Self, E> {
        let Capacities {
            sets,
            backends,
            endpoints,
            shards,
            ..
        } = sizes;
        let buckets = sizes.buckets();
        let mut region = |name, stride, entries| Ok(Region::new(name, stride, entries, source(name)?));
        Ok(Self {
            control: region(map::CONTROL, size_of::<Control>(), 1)?,
            sets: region(map::SETS, size_of::<Set>(), sets)?,
            banks: region(map::BANKS, size_of::<Bank>(), sets * BANKS)?,
            backends: region(map::BACKENDS, size_of::<Backend>(), backends)?,
            records: region(map::RECORDS, size_of::<Record>(), backends)?,
            client: region(map::CLIENT_TRAFFIC, size_of::<Traffic>(), backends * shards)?,
            server: region(map::SERVER_TRAFFIC, size_of::<Traffic>(), endpoints * shards)?,
            decisions: region(map::SET_TRAFFIC, size_of::<SetTraffic>(), sets * shards)?,
            node: region(map::NODE, size_of::<Node>(), shards)?,
            learned: region(map::LEARNED, size_of::<Learned>(), sets)?,
            admissions: region(map::ADMISSIONS, size_of::<Admission>(), sets)?,
            limits: region(map::LIMITS, size_of::<Limits>(), sets * LIMIT_BANKS)?,
            admission_traffic: region(
                map::ADMISSION_TRAFFIC,
                size_of::<AdmissionTraffic>(),
                sets * shards,
            )?,
            shares: region(map::SHARES, size_of::<Caller>(), CALLERS)?,
            sockets: region(map::SOCKETS, SOCKET_BYTES, buckets * LINES)?,
            shards,
        })
    }

    /// Sum of one backend's or endpoint's traffic.
    pub(crate) fn traffic(&self, region: &Region, index: u32) -> Result<Traffic, Error> {
        let mut sum = Traffic::zeroed();
        for shard in 0..self.shards {
            sum.absorb(&region.load(index * self.shards + shard)?);
        }
        Ok(sum)
    }

    /// Starts an index's traffic from zero for a new owner.
    pub(crate) fn reset_traffic(&self, region: &Region, index: u32, generation: u32) -> Result<(), Error> {
        let fresh = Traffic {
            generation,
            ..Traffic::zeroed()
        };
        (0..self.shards).try_for_each(|shard| region.store(index * self.shards + shard, &fresh))
    }

    /// Generation of an index's present or last owner.
    pub(crate) fn generation(&self, region: &Region, index: u32) -> Result<u32, Error> {
        Ok(region.load::<Traffic>(index * self.shards)?.generation)
    }

    /// Sum of one set's decisions.
    pub(crate) fn decisions(&self, set: u32) -> Result<SetTraffic, Error> {
        let mut sum = SetTraffic::zeroed();
        for shard in 0..self.shards {
            sum.absorb(&self.decisions.load(set * self.shards + shard)?);
        }
        Ok(sum)
    }
}
