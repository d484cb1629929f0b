//! Counters as user space sees them: summed over the shards.

use crate::{
    BackendView,
    wire::{Record, Regression, SetTraffic, Traffic},
};

/// Counters of one backend.
#[derive(Clone, Debug, PartialEq)]
pub struct BackendCounters {
    /// The backend; a new `generation` starts from zero.
    pub backend: BackendView,
    /// As this node's clients see it (steered connections only).
    pub client: Traffic,
    /// As its own node sees it: every accepted connection, whoever steered it. `None` if it is not local. Two sets
    /// that share a pod and port share these figures.
    pub server: Option<Traffic>,
    /// The record that the choice is made on.
    pub record: Record,
}

/// Decisions of one set: [`SetTraffic`] summed.
pub type SetDecisions = SetTraffic;

/// Counters of one set.
#[derive(Clone, Debug, PartialEq)]
pub struct SetCounters {
    /// `CLOCK_MONOTONIC` in ns when they were read.
    pub read_at: u64,
    /// Decisions.
    pub decisions: SetDecisions,
    /// Predicted against realised turnaround.
    pub regression: Regression,
    /// Backends in index order.
    pub backends: Vec<BackendCounters>,
}

/// What concerns the node and no set.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct NodeCounters {
    /// Connects whose service entry was stale.
    pub stale_service: u64,
    /// Passive sockets of a known backend that found no room in the socket table.
    pub unmeasured_passive: u64,
    /// Sockets that outlived their backend's index.
    pub outlived: u64,
    /// Binds refused because the port is a steered node port.
    pub guarded: u64,
    /// Datagrams passed through because the way back found no room.
    pub unkept: u64,
}

/// What the kernel enforces.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Failsafe {
    /// The heartbeat is fresh.
    Normal,
    /// The field is frozen.
    Hold,
    /// The choice falls back.
    Fallback,
}

/// Failsafe of one set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FailsafeState {
    /// As the last connect saw it.
    pub seen: Failsafe,
    /// `CLOCK_MONOTONIC` in ns of the last transition that a connect saw; 0 = none.
    pub since: u64,
    /// As a connect would see it now.
    pub now: Failsafe,
}
