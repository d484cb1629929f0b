//! Reconcile, publish and read over the tables; the same for the kernel and its twin.
//!
//! What is in the maps is the truth: the engine rebuilds its picture from them when it is opened, and keeps a mirror
//! of nothing that it could not rebuild.

mod admission;
mod audit;
mod caller;
mod endpoints;
mod frontends;
mod mend;
mod publish;
mod read;
mod reconcile;
mod restore;

use std::{collections::BTreeMap, net::SocketAddr, sync::atomic::Ordering, time::Duration};

use continuity_wire::{Control, Learned, ServiceKey};

use crate::{
    AdmissionCounters, BackendIndex, BackendView, CallerCounters, CapabilityReport, Completeness, Dataplane,
    Desired, DesiredCaller, Epoch, Error, FailsafeState, Field, Held, Limits, Mended, NodeCounters, Parking,
    Reconciled, SetCounters, SetId, SetView, backing::Backing, pool::Pool, tables::Tables,
};
use audit::Drift;
use caller::Callers;

/// A bank rests this long after its last use before it is rewritten, or the engine asks the kernel for a grace
/// period. Six times the 8 ms that a grace period takes on an idle kernel at 250 Hz.
pub const GRACE: Duration = Duration::from_millis(50);

/// A dataplane over some backing.
pub struct Engine<B> {
    tables: Tables,
    backing: B,
    sets: BTreeMap<SetId, Entry>,
    frontends: BTreeMap<ServiceKey, SetId>,
    endpoints: BTreeMap<SocketAddr, Local>,
    set_pool: Pool,
    backend_pool: Pool,
    endpoint_pool: Pool,
    callers: Callers,
    services_capacity: usize,
}

/// One set in the maps.
struct Entry {
    view: SetView,
    generation: u32,
    /// When the word was last stored by this process; 0 = not yet.
    flipped: u64,
    /// When its limits were last changed by this process; 0 = not yet.
    limited: u64,
    /// What the audits of its count in flight found.
    drift: Drift,
}

/// One local address whose passive sockets are measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Local {
    index: u32,
    generation: u32,
}

impl<B: Backing> Engine<B> {
    pub(crate) fn tables(&self) -> &Tables {
        &self.tables
    }

    pub(crate) fn backing(&self) -> &B {
        &self.backing
    }

    pub(crate) fn backing_mut(&mut self) -> &mut B {
        &mut self.backing
    }

    fn entry(&self, id: &SetId) -> Result<&Entry, Error> {
        self.sets.get(id).ok_or(Error::UnknownSet(*id))
    }

    pub(crate) fn set_index(&self, id: &SetId) -> Result<u32, Error> {
        Ok(self.entry(id)?.view.index.0)
    }

    pub(crate) fn index_of(&self, id: &SetId, backend: SocketAddr) -> Result<u32, Error> {
        let view = &self.entry(id)?.view;
        let found = view.backends.iter().find(|known| known.address == backend);
        found
            .map(|known| known.index.0)
            .ok_or(Error::Missing("backend of that address in the set"))
    }

    pub(crate) fn endpoint_of(&self, backend: SocketAddr) -> Option<u32> {
        self.endpoints.get(&backend).map(|local| local.index)
    }

    fn heartbeat_age(&self) -> u64 {
        let beat = self
            .tables
            .control
            .load::<Control>(0)
            .map_or(0, |control| control.heartbeat);
        self.backing.now().saturating_sub(beat)
    }
}

impl SetView {
    /// The backend of an index.
    #[must_use]
    pub fn backend(&self, index: BackendIndex) -> Option<&BackendView> {
        let at = self
            .backends
            .binary_search_by_key(&index, |backend| backend.index)
            .ok()?;
        self.backends.get(at)
    }
}

impl<B: Backing> Dataplane for Engine<B> {
    fn capabilities(&self) -> &CapabilityReport {
        self.backing.capabilities()
    }

    fn reconcile(&mut self, desired: &Desired, completeness: Completeness) -> Result<Reconciled, Error> {
        self.reconcile_sets(desired, completeness)
    }

    fn mend(&mut self, desired: &Desired) -> Result<Mended, Error> {
        self.mend_maps(desired)
    }

    fn sets(&self) -> Vec<&SetView> {
        self.sets.values().map(|entry| &entry.view).collect()
    }

    fn set(&self, id: &SetId) -> Option<&SetView> {
        self.sets.get(id).map(|entry| &entry.view)
    }

    fn publish(&mut self, id: &SetId, field: &Field) -> Result<Epoch, Error> {
        self.publish_field(id, field)
    }

    fn heartbeat(&mut self) {
        let now = self.backing.now();
        if let Ok(word) = self
            .tables
            .control
            .word(0, std::mem::offset_of!(Control, heartbeat))
        {
            word.store(now, Ordering::Release);
        }
    }

    fn read(&mut self, id: &SetId) -> Result<SetCounters, Error> {
        self.read_set(id)
    }

    fn read_node(&mut self) -> Result<NodeCounters, Error> {
        self.read_node_counters()
    }

    fn failsafe(&self, id: &SetId) -> Result<FailsafeState, Error> {
        self.read_failsafe(id)
    }

    fn learned(&self, id: &SetId) -> Option<Vec<u8>> {
        let index = self.entry(id).ok()?.view.index.0;
        let learned: Learned = self.tables.learned.load(index).ok()?;
        let length = usize::try_from(learned.length)
            .ok()
            .filter(|length| *length > 0)?;
        let bytes = learned.bytes.get(..length)?;
        (checksum(bytes) == learned.checksum).then(|| bytes.to_vec())
    }

    fn keep_learned(&mut self, id: &SetId, bytes: &[u8]) -> Result<(), Error> {
        let index = self.entry(id)?.view.index.0;
        let too_long = || Error::LearnedTooLong {
            set: *id,
            length: bytes.len(),
            capacity: Learned::CAPACITY,
        };
        let length = u32::try_from(bytes.len()).map_err(|_| too_long())?;
        let mut learned = Learned {
            length,
            reserved: 0,
            checksum: checksum(bytes),
            bytes: [0; Learned::CAPACITY],
        };
        learned
            .bytes
            .get_mut(..bytes.len())
            .ok_or_else(too_long)?
            .copy_from_slice(bytes);
        self.tables.learned.store(index, &learned)
    }

    fn limit(&mut self, id: &SetId, limits: &Limits) -> Result<bool, Error> {
        self.write_limits(id, limits)
    }

    fn unlimit(&mut self, id: &SetId) -> Result<(), Error> {
        self.open_limits(id)
    }

    fn read_admission(&mut self, id: &SetId) -> Result<AdmissionCounters, Error> {
        self.read_admission_of(id)
    }

    fn know_callers(&mut self, callers: &[DesiredCaller]) -> Result<u32, Error> {
        self.reconcile_callers(callers)
    }

    fn read_callers(&self, id: &SetId) -> Result<Vec<CallerCounters>, Error> {
        self.read_callers_of(id)
    }

    fn share(&mut self, id: &SetId, pod: u64, interval: u64, retry_interval: u64) -> Result<(), Error> {
        self.write_share(id, pod, interval, retry_interval)
    }

    fn audit(&mut self, parkings: &[Parking]) -> Result<Vec<Held>, Error> {
        self.audit_sets(parkings)
    }

    fn verify(&self) -> Result<(), Error> {
        self.backing.verify()
    }

    fn now(&self) -> u64 {
        self.backing.now()
    }
}

/// FNV-1a, 64 bits: guards against a write cut short, not against an adversary.
fn checksum(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3)
    })
}
