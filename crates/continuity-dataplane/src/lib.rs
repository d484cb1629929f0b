//! Load, attach, pin, publish and read the kernel programs.
//!
//! Why it exists: everything above this crate speaks of sets, backends and counters; everything below it is maps,
//! pins and links. [`Dataplane`] is the border. [`KernelDataplane`] keeps it with the real programs,
//! [`MemoryDataplane`] with the same records on the heap, so that the agent's loop can be tested without privileges.
//!
//! Invariants: a backend is never given to another set while a field may still name it; a bank is never rewritten
//! within a grace period of its last use; the word is stored last, with release order; nothing is removed before the
//! first complete list; a layout of another schema is refused, never reinterpreted.
//!
//! Left out: which share a backend gets (`continuity-field`), and what Kubernetes object it came from (the agent).
#![allow(
    unsafe_code,
    reason = "mmapped maps and bpf(2) need it; every block says why it is sound"
)]

mod admission;
mod age;
mod backing;
mod capability;
pub mod capacity;
mod counters;
mod desired;
mod engine;
mod error;
mod field;
mod kernel;
mod memory;
mod pool;
mod region;
mod tables;

pub use admission::{AdmissionCounters, CallerCounters, DesiredCaller, Held, Limits, Parking};
pub use age::{AgeReader, Ages};
pub use capability::{Capability, CapabilityId, CapabilityReport};
pub use capacity::Capacities;
pub use continuity_wire as wire;
pub use counters::{BackendCounters, Failsafe, FailsafeState, NodeCounters, SetCounters, SetDecisions};
pub use desired::{
    BackendIndex, BackendView, Completeness, Desired, DesiredBackend, DesiredSet, FailsafeTimes, Fallback,
    Mended, Mode, Protocol, Reconciled, Rejection, SetId, SetIndex, SetView,
};
pub use engine::{Engine, GRACE};
pub use error::{Category, Error};
pub use field::{BackendWords, ChoiceWords, Drip, Epoch, Field};
pub use kernel::{HOOKS, Hook, KernelDataplane, OBJECT, Options, Removed, probe, uninstall};
pub use memory::MemoryDataplane;

/// The node's kernel side, or its twin.
///
/// One writer: the agent's node loop. No call blocks longer than a grace period (≤ 50 ms), and [`Dataplane::read`],
/// [`Dataplane::heartbeat`] and (50 ms after the last one of the same set) [`Dataplane::publish`] make no syscall
/// but `clock_gettime`, which the vDSO serves.
pub trait Dataplane: Send {
    /// What this node can do, and what stands in where it can't.
    fn capabilities(&self) -> &CapabilityReport;

    /// Makes the maps hold the desired sets.
    ///
    /// Sets and backends keep their index as long as they stay; the index of one that left rests 10 s as a tombstone
    /// before it is given away. With [`Completeness::Partial`] nothing is removed. What doesn't fit is left out and
    /// named in [`Reconciled::rejected`]; its traffic stays with kube-proxy.
    ///
    /// A removed backend gets no connect from the return of this call on (a slot that still names it passes through
    /// to the VIP); call [`Dataplane::publish`] next. Until the first publish a new set passes through.
    ///
    /// # Errors
    /// When the kernel refuses a write of a hash map; what was written before stays consistent.
    fn reconcile(&mut self, desired: &Desired, completeness: Completeness) -> Result<Reconciled, Error>;

    /// Compares the maps with what was last reconciled, `desired`, and puts right what differs; what the kernel writes is
    /// left alone. Reads every place once: for a round of its own, once a minute.
    ///
    /// # Errors
    /// When the kernel refuses a read or a write; what was repaired before stays so.
    fn mend(&mut self, desired: &Desired) -> Result<Mended, Error>;

    /// Every set in the maps, with its backends in index order; after a restart also those of the former agent.
    fn sets(&self) -> Vec<&SetView>;

    /// One set.
    fn set(&self, id: &SetId) -> Option<&SetView>;

    /// Publishes a field: writes the inactive bank, stores the word.
    ///
    /// # Errors
    /// When the set is unknown, or the field names a backend that the set does not have.
    fn publish(&mut self, id: &SetId, field: &Field) -> Result<Epoch, Error>;

    /// Says that the agent lives: one store.
    fn heartbeat(&mut self);

    /// Reads the counters of one set, absolute since the backend got its index; the caller takes wrapping differences.
    ///
    /// # Errors
    /// When the set is unknown, or a part of the counters cannot be mapped.
    fn read(&mut self, id: &SetId) -> Result<SetCounters, Error>;

    /// Reads the counters that belong to no set.
    ///
    /// # Errors
    /// When the counters cannot be mapped.
    fn read_node(&mut self) -> Result<NodeCounters, Error>;

    /// Failsafe state of one set, as its last connect saw it, and as it would be now.
    ///
    /// # Errors
    /// When the set is unknown.
    fn failsafe(&self, id: &SetId) -> Result<FailsafeState, Error>;

    /// What the law left here for one set, if a whole write is there.
    fn learned(&self, id: &SetId) -> Option<Vec<u8>>;

    /// Keeps what the law learned across restarts.
    ///
    /// # Errors
    /// When the set is unknown or the bytes are more than [`wire::Learned::CAPACITY`].
    fn keep_learned(&mut self, id: &SetId, bytes: &[u8]) -> Result<(), Error>;

    /// Puts a set's connects under these limits, and says that they are still meant: what is not said again within 3 s
    /// relaxes. True if more than the heartbeat was written.
    ///
    /// # Errors
    /// When the set is unknown.
    fn limit(&mut self, id: &SetId, limits: &Limits) -> Result<bool, Error>;

    /// Connects to the set ask for nothing any more.
    ///
    /// # Errors
    /// When the set is unknown.
    fn unlimit(&mut self, id: &SetId) -> Result<(), Error>;

    /// Reads what admission did, absolute since the set got its index.
    ///
    /// # Errors
    /// When the set is unknown.
    fn read_admission(&mut self, id: &SetId) -> Result<AdmissionCounters, Error>;

    /// Makes these the callers that are known, all others unknown; returns how many did not fit and are unknown too.
    ///
    /// # Errors
    /// When the kernel refuses a write; what was written before stays consistent.
    fn know_callers(&mut self, callers: &[DesiredCaller]) -> Result<u32, Error>;

    /// Counters of the known callers of a set, absolute since each was known.
    ///
    /// # Errors
    /// When the set is unknown.
    fn read_callers(&self, id: &SetId) -> Result<Vec<CallerCounters>, Error>;

    /// Holds a caller to its share: paces in ns, 0 = not held.
    ///
    /// # Errors
    /// When the set or the caller is unknown.
    fn share(&mut self, id: &SetId, pod: u64, interval: u64, retry_interval: u64) -> Result<(), Error>;

    /// Compares what is in flight with the sockets that hold it, and mends what differs for three audits in a row.
    ///
    /// # Errors
    /// When a set is unknown or the sockets' records cannot be mapped.
    fn audit(&mut self, parkings: &[Parking]) -> Result<Vec<Held>, Error>;

    /// Asks the kernel whether every program is attached where it was put. Readiness rests on this.
    ///
    /// # Errors
    /// Names the first hook that is not live and why.
    fn verify(&self) -> Result<(), Error>;

    /// `CLOCK_MONOTONIC` in ns: the clock that the kernel compares the heartbeat with.
    fn now(&self) -> u64;
}
