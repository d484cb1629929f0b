//! The array maps, and the sums over their shards.

use std::mem::offset_of;

use bytemuck::Zeroable as _;
use continuity_wire::{
    Admission, AdmissionTraffic, BANKS, Backend, Bank, CALLERS, Caller, Control, LIMIT_BANKS, LINES, Learned,
    Limits, Node, Place, Record, SOCKET_BYTES, Set, SetTraffic, Table, Traffic, map,
};

use crate::{
    Error,
    capacity::Capacities,
    region::{Region, Shape, Source},
};

/// A set and its banks, in an element of map `sets`.
const SET: Shape = Shape::part(size_of::<Table>(), offset_of!(Table, set), size_of::<Set>(), 1);
const BANK: Shape = Shape::part(
    size_of::<Table>(),
    offset_of!(Table, banks),
    size_of::<Bank>(),
    BANKS,
);
/// A backend and its record, in an element of map `backends`.
const BACKEND: Shape = Shape::part(
    size_of::<Place>(),
    offset_of!(Place, backend),
    size_of::<Backend>(),
    1,
);
const RECORD: Shape = Shape::part(
    size_of::<Place>(),
    offset_of!(Place, record),
    size_of::<Record>(),
    1,
);

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
        let mut part = |name, shape, entries| Ok(Region::new(name, shape, entries, source(name)?));
        Ok(Self {
            control: part(map::CONTROL, Shape::whole(size_of::<Control>()), 1)?,
            sets: part(map::SETS, SET, sets)?,
            banks: part(map::SETS, BANK, sets)?,
            backends: part(map::BACKENDS, BACKEND, backends)?,
            records: part(map::BACKENDS, RECORD, backends)?,
            client: part(
                map::CLIENT_TRAFFIC,
                Shape::whole(size_of::<Traffic>()),
                backends * shards,
            )?,
            server: part(
                map::SERVER_TRAFFIC,
                Shape::whole(size_of::<Traffic>()),
                endpoints * shards,
            )?,
            decisions: part(
                map::SET_TRAFFIC,
                Shape::whole(size_of::<SetTraffic>()),
                sets * shards,
            )?,
            node: part(map::NODE, Shape::whole(size_of::<Node>()), shards)?,
            learned: part(map::LEARNED, Shape::whole(size_of::<Learned>()), sets)?,
            admissions: part(map::ADMISSIONS, Shape::whole(size_of::<Admission>()), sets)?,
            limits: part(map::LIMITS, Shape::whole(size_of::<Limits>()), sets * LIMIT_BANKS)?,
            admission_traffic: part(
                map::ADMISSION_TRAFFIC,
                Shape::whole(size_of::<AdmissionTraffic>()),
                sets * shards,
            )?,
            shares: part(map::SHARES, Shape::whole(size_of::<Caller>()), CALLERS)?,
            sockets: part(map::SOCKETS, Shape::whole(SOCKET_BYTES), buckets * LINES)?,
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
