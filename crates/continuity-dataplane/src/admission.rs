//! What the dataplane takes and gives about admission.

use crate::{SetId, wire::AdmissionTraffic};

/// Limits of one set, as the law wrote them; the engine gives them an epoch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// The words. Of `control` mode, top level and heartbeat count; the epoch is the engine's.
    pub words: crate::wire::Limits,
    /// Level of callers that are not known, 0 ..= 4.
    pub level: u32,
    /// Whether callers are looked up.
    pub callers: bool,
}

/// A calling pod of one set on this node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DesiredCaller {
    /// The set that it calls.
    pub set: SetId,
    /// Whose it is: stable for the pod.
    pub pod: u64,
    /// Its level, 0 ..= 4.
    pub level: u32,
    /// Ids of its cgroups: one a container.
    pub cgroups: Vec<u64>,
}

/// Counters of one caller of one set; they only grow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CallerCounters {
    /// Whose.
    pub pod: u64,
    /// Connects that asked.
    pub offered: u64,
    /// Of those, taken for retries.
    pub retries: u64,
}

/// Admission of one set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AdmissionCounters {
    /// Counters that only grow, summed over the shards.
    pub traffic: AdmissionTraffic,
    /// Admitted and not ended, now.
    pub in_flight: u64,
    /// Most of them at once since the last read.
    pub most: u64,
}

/// A question of [`crate::Dataplane::audit`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Parking {
    /// The set.
    pub id: SetId,
    /// What began to wait before this, `CLOCK_MONOTONIC` ns, is overdue.
    pub before: u64,
}

/// What the sockets of one set hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Held {
    /// The set.
    pub id: SetId,
    /// Sockets that hold a slot.
    pub held: u64,
    /// Of those, overdue.
    pub overdue: u64,
    /// By how much the count in flight was mended.
    pub mended: i32,
}
