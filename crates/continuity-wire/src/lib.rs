//! Layout of the maps shared by the kernel programs and user space.
//!
//! Why it exists: the programs in `bpf/` and the agent read and write the same bytes through mmap. This crate is the
//! Rust mirror of `bpf/wire.h` and of the record in `bpf/choice.h`; both sides assert every size and offset, and both
//! carry [`SCHEMA_VERSION`], which changes whenever a byte moves.
//!
//! Invariants: every struct is plain data without padding, a multiple of 8 bytes long and 8-byte aligned, so that a
//! map element can be read and written as 64-bit words; addresses are 16 bytes in network order, IPv4 in its
//! IPv4-mapped form; ports are in network order as the kernel keeps them.
//!
//! Left out: who writes which field when (`continuity-dataplane`), and what the figures mean (`continuity-field`).
#![allow(unsafe_code, reason = "bytemuck derives implement unsafe marker traits")]

mod address;
mod admission;
mod backend;
mod histogram;
mod set;
mod traffic;

pub use address::{Endpoint, ServiceKey, ServiceValue, TCP, UDP};
pub use admission::{
    Admission, AdmissionTraffic, CALLERS, Caller, CallerKey, CallerValue, Holding, HoldingFlags, LEVELS,
    LIMIT_BANKS, Limits,
};
pub use backend::{Backend, BackendFlags, Place, Record, RecordWords};
pub use histogram::{CONNECT_BUCKETS, Scale, TURNAROUND_BUCKETS};
pub use set::{Bank, Choice, FailsafeCode, Learned, Set, SetFlags, Table, Word};
pub use traffic::{AGE_BUCKETS, AGE_SHIFT, Node, Regression, SetTraffic, Traffic};

use bytemuck::{Pod, Zeroable};

/// Version of this layout, stamped into the pinned control record and part of the pin path (`…/v4`).
///
/// A program or agent that finds another number refuses to touch the maps.
pub const SCHEMA_VERSION: u32 = 4;

/// Slots of one table: shares are multiples of 1/64 (`CT_SLOTS` in `bpf/choice.h`).
pub const SLOTS: usize = 64;

/// "No backend" in a slot, a drip word or a set's memory (`CT_NONE`).
pub const NONE: u32 = u32::MAX;

/// Banks of one set: two that alternate under the epoch word, and the equal-share table of the last known alive.
pub const BANKS: u32 = 3;

/// Index of the equal-share table among the [`BANKS`].
pub const ALIVE_BANK: u32 = 2;

/// Sockets of one bucket of the socket table: a cache line of cookies and their count (`CT_WAYS`).
pub const WAYS: u32 = 7;

/// Cache lines of one bucket: its cookies, and a record for each (`CT_LINES`).
pub const LINES: u32 = WAYS + 1;

/// One bucket: cookies of its sockets, 0 = free, and how many of its sockets stand in their other bucket.
pub type Cookies = [u64; WAYS as usize + 1];

/// Size of one line of the socket table: a bucket's cookies, or one socket's record (`union ct_line`).
pub const SOCKET_BYTES: usize = 64;

/// Key and value sizes of the flows of UDP sockets without a connection, which user space does not read.
pub const FLOW_BYTES: (usize, usize) = (32, 40);

/// Key and value sizes of the clients that keep their backend, which user space does not read.
pub const AFFINITY_BYTES: (usize, usize) = (16, 16);

/// The one record that says whose maps these are and that the agent lives. Array map `control`, one entry.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Pod, Zeroable)]
pub struct Control {
    /// [`SCHEMA_VERSION`]; 0 while the maps are being made.
    pub schema: u32,
    /// Number of counter shards minus one; a CPU adds to shard `cpu & shard_mask`.
    pub shard_mask: u32,
    /// `CLOCK_MONOTONIC` in ns at the agent's last sign of life.
    pub heartbeat: u64,
    /// Added to every cursor, so that nodes walk their tables from different places.
    pub cursor_start: u32,
    /// Zero.
    pub reserved: [u32; 11],
}

/// Names of the pinned maps.
pub mod map {
    /// One [`crate::Control`].
    pub const CONTROL: &str = "control";
    /// Hash [`crate::ServiceKey`] → [`crate::ServiceValue`].
    pub const SERVICES: &str = "services";
    /// Hash [`crate::ServiceKey`] (a local backend's own address) → [`crate::Endpoint`].
    pub const ENDPOINTS: &str = "endpoints";
    /// Array of [`crate::Table`].
    pub const SETS: &str = "sets";
    /// Array of [`crate::Place`].
    pub const BACKENDS: &str = "backends";
    /// Array of [`crate::Traffic`] seen as a client, index `backend * shards + shard`.
    pub const CLIENT_TRAFFIC: &str = "client_traffic";
    /// Array of [`crate::Traffic`] seen on a backend's own node, index `endpoint * shards + shard`.
    pub const SERVER_TRAFFIC: &str = "server_traffic";
    /// Array of [`crate::SetTraffic`], index `set * shards + shard`.
    pub const SET_TRAFFIC: &str = "set_traffic";
    /// Array of [`crate::Node`], index `shard`.
    pub const NODE: &str = "node";
    /// Array of [`crate::Learned`], one per set.
    pub const LEARNED: &str = "learned";
    /// Array of lines, at `bucket * LINES` the [`crate::Cookies`] and behind them the sockets' records, private to the
    /// kernel programs but for what [`crate::Holding`] names.
    pub const SOCKETS: &str = "sockets";
    /// Array of [`crate::Admission`], one per set.
    pub const ADMISSIONS: &str = "admissions";
    /// Array of [`crate::Limits`], index `set * LIMIT_BANKS + bank`.
    pub const LIMITS: &str = "limits";
    /// Array of [`crate::AdmissionTraffic`], index `set * shards + shard`.
    pub const ADMISSION_TRAFFIC: &str = "admission_traffic";
    /// Hash [`crate::CallerKey`] → [`crate::CallerValue`].
    pub const CALLERS: &str = "callers";
    /// Array of [`crate::Caller`].
    pub const SHARES: &str = "shares";

    /// LRU hash of UDP sockets without a connection; private to the kernel programs.
    pub const FLOWS: &str = "flows";
    /// LRU hash of clients with session affinity; private to the kernel programs.
    pub const AFFINITY: &str = "affinity";

    /// Every pinned map.
    pub const ALL: [&str; 18] = [
        CONTROL,
        SERVICES,
        ENDPOINTS,
        SETS,
        BACKENDS,
        CLIENT_TRAFFIC,
        SERVER_TRAFFIC,
        SET_TRAFFIC,
        NODE,
        LEARNED,
        SOCKETS,
        ADMISSIONS,
        LIMITS,
        ADMISSION_TRAFFIC,
        CALLERS,
        SHARES,
        FLOWS,
        AFFINITY,
    ];
}

const _: () = {
    use core::mem::{offset_of, size_of};
    assert!(size_of::<Control>() == 64);
    assert!(offset_of!(Control, heartbeat) == 8);
    assert!(offset_of!(Control, cursor_start) == 16);
};
