//! Counters that the kernel writes: per backend, per set, per node.
//!
//! Every counter is added to atomically and only ever wraps; readers take differences. A CPU adds to its shard
//! (`cpu & shard_mask`); the sum over the shards is the figure. A gauge (`waiting`) goes up on one shard and may go down
//! on another, so a single shard can be negative and only the wrapping sum means something. What follows from other
//! figures (in flight, open) is not counted: each atomic addition costs on the way of a connect.

use bytemuck::{Pod, Zeroable};

use crate::{CONNECT_BUCKETS, TURNAROUND_BUCKETS};

/// Buckets of the ring of waiting requests.
pub const AGE_BUCKETS: usize = 64;

/// A bucket of the ring spans 2^26 ns = 67.1 ms of start times; the whole ring 4.29 s.
pub const AGE_SHIFT: u32 = 26;

/// Traffic of one backend on one shard. 1 KiB, so that an element never crosses a page; what a connection and a request
/// that go well touch is in the first cache line.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Pod, Zeroable)]
pub struct Traffic {
    /// Of the index's present owner, in every shard; sockets of a former owner no longer count. The agent writes it.
    pub generation: u32,
    /// Zero.
    pub reserved: u32,
    /// Handshakes started (client role); always 0 in the server role.
    pub attempts: u64,
    /// Handshakes that succeeded (client role), connections accepted (server role).
    pub established: u64,
    /// Sum of handshake times, µs: from SYN to SYN-ACK as TCP measures it.
    pub connect_micros: u64,
    /// Requests answered: first payload back after first payload out.
    pub answered: u64,
    /// Sum of turnaround times, µs.
    pub turnaround_micros: u64,
    /// Payload bytes sent by the local side, without retransmissions; added when a connection ends, or per MiB.
    pub bytes_out: u64,
    /// Payload bytes that the local side received in order, likewise.
    pub bytes_in: u64,
    /// Established connections that ended.
    pub closed: u64,
    /// Of these, ended by the peer first.
    pub closed_by_peer: u64,
    /// Handshakes answered by a reset.
    pub refused: u64,
    /// Handshakes or requests that the kernel gave up on after its retransmissions.
    pub timed_out: u64,
    /// Handshakes or requests ended by the network (ICMP unreachable, no route, device gone).
    pub unreachable: u64,
    /// Requests whose peer closed or reset the connection before it sent a byte of answer.
    pub reset_before_data: u64,
    /// Handshakes or requests that the client gave up on while it waited.
    pub abandoned: u64,
    /// Zero.
    pub reserved_word: u64,
    /// Turnaround histogram, [`crate::Scale::TURNAROUND`].
    pub turnaround: [u32; TURNAROUND_BUCKETS],
    /// Gauge: waiting handshakes and requests by start time, bucket `(start ns >> AGE_SHIFT) % AGE_BUCKETS`.
    pub waiting: [i32; AGE_BUCKETS],
    /// Handshake-time histogram of connections that ended, [`crate::Scale::CONNECT`].
    pub connect: [u32; CONNECT_BUCKETS],
    /// Zero.
    pub reserved_tail: [u32; 2],
}

impl Traffic {
    /// Adds another shard.
    pub fn absorb(&mut self, other: &Self) {
        let counters = [
            (&mut self.attempts, other.attempts),
            (&mut self.established, other.established),
            (&mut self.refused, other.refused),
            (&mut self.timed_out, other.timed_out),
            (&mut self.unreachable, other.unreachable),
            (&mut self.reset_before_data, other.reset_before_data),
            (&mut self.abandoned, other.abandoned),
            (&mut self.answered, other.answered),
            (&mut self.closed, other.closed),
            (&mut self.closed_by_peer, other.closed_by_peer),
            (&mut self.bytes_out, other.bytes_out),
            (&mut self.bytes_in, other.bytes_in),
            (&mut self.turnaround_micros, other.turnaround_micros),
            (&mut self.connect_micros, other.connect_micros),
        ];
        for (sum, part) in counters {
            *sum = sum.wrapping_add(part);
        }
        for (sum, part) in self.turnaround.iter_mut().zip(other.turnaround) {
            *sum = sum.wrapping_add(part);
        }
        for (sum, part) in self.waiting.iter_mut().zip(other.waiting) {
            *sum = sum.wrapping_add(part);
        }
        for (sum, part) in self.connect.iter_mut().zip(other.connect) {
            *sum = sum.wrapping_add(part);
        }
        self.generation = other.generation;
    }

    /// Handshakes and requests that wait now, of the sum over the shards.
    #[must_use]
    pub fn in_flight(&self) -> i64 {
        self.waiting.iter().map(|count| i64::from(*count)).sum()
    }

    /// Connections established now, of the sum over the shards.
    #[must_use]
    pub fn open(&self) -> u64 {
        self.established.wrapping_sub(self.closed)
    }
}

/// Sums of predicted (x) against realised (y) turnaround, Q8 octaves: `struct ct_regression`.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Pod, Zeroable)]
pub struct Regression {
    /// Samples.
    pub n: u64,
    /// Sum of x.
    pub sx: i64,
    /// Sum of y.
    pub sy: i64,
    /// Sum of x².
    pub sxx: i64,
    /// Sum of x·y.
    pub sxy: i64,
}

/// Decisions of one set on one shard.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Pod, Zeroable)]
pub struct SetTraffic {
    /// Connects rewritten to a backend by the published field.
    pub steered: u64,
    /// Position in the low-discrepancy sequence.
    pub cursor: u32,
    /// Zero.
    pub reserved: u32,
    /// Of these, while the field was frozen.
    pub steered_in_hold: u64,
    /// Connects shared equally over the last known alive in FALLBACK.
    pub steered_in_fallback: u64,
    /// Passed through to the VIP: HOLD without any field published in time.
    pub passed_hold: u64,
    /// Passed through to the VIP: FALLBACK.
    pub passed_fallback: u64,
    /// Passed through to the VIP: a slot named a backend that is gone or of the other address family.
    pub passed_miss: u64,
    /// Passed through: the set is observed only.
    pub passed_observe: u64,
    /// Passed through to the VIP: nothing published yet.
    pub passed_unpublished: u64,
    /// Passed through to the VIP: the bank did not carry the word's epoch (the grace period was broken).
    pub passed_torn: u64,
    /// Refused because the set has no backends.
    pub refused_empty: u64,
    /// Transitions into HOLD.
    pub to_hold: u64,
    /// Transitions into FALLBACK.
    pub to_fallback: u64,
    /// Transitions back to normal.
    pub to_normal: u64,
    /// Connects decided by the drip.
    pub dripped: u64,
    /// Steered connects whose socket found no room in the socket table: steered, but not measured.
    pub unmeasured: u64,
    /// Predicted against realised turnaround.
    pub regression: Regression,
    /// Of the steered: to the backend that session affinity had kept.
    pub affine: u64,
    /// Sends on connected UDP sockets that failed because their backend left the set.
    pub ended: u64,
    /// Zero.
    pub reserved_words: [u64; 9],
}

impl SetTraffic {
    /// Adds another shard; the cursors mean nothing in sum and are left.
    pub fn absorb(&mut self, other: &Self) {
        let counters = [
            (&mut self.steered, other.steered),
            (&mut self.steered_in_hold, other.steered_in_hold),
            (&mut self.steered_in_fallback, other.steered_in_fallback),
            (&mut self.passed_hold, other.passed_hold),
            (&mut self.passed_fallback, other.passed_fallback),
            (&mut self.passed_miss, other.passed_miss),
            (&mut self.passed_observe, other.passed_observe),
            (&mut self.passed_unpublished, other.passed_unpublished),
            (&mut self.passed_torn, other.passed_torn),
            (&mut self.refused_empty, other.refused_empty),
            (&mut self.to_hold, other.to_hold),
            (&mut self.to_fallback, other.to_fallback),
            (&mut self.to_normal, other.to_normal),
            (&mut self.dripped, other.dripped),
            (&mut self.unmeasured, other.unmeasured),
            (&mut self.regression.n, other.regression.n),
            (&mut self.affine, other.affine),
            (&mut self.ended, other.ended),
        ];
        for (sum, part) in counters {
            *sum = sum.wrapping_add(part);
        }
        let sums = [
            (&mut self.regression.sx, other.regression.sx),
            (&mut self.regression.sy, other.regression.sy),
            (&mut self.regression.sxx, other.regression.sxx),
            (&mut self.regression.sxy, other.regression.sxy),
        ];
        for (sum, part) in sums {
            *sum = sum.wrapping_add(part);
        }
    }
}

/// What concerns the node and no set, on one shard.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Pod, Zeroable)]
pub struct Node {
    /// Connects whose service entry was stale.
    pub stale_service: u64,
    /// Passive sockets of a known backend that found no room in the socket table.
    pub unmeasured_passive: u64,
    /// Sockets whose backend index was given away while they lived; no longer counted.
    pub outlived: u64,
    /// Binds refused because the port is a steered node port.
    pub guarded: u64,
    /// Datagrams passed through to the VIP because the way back found no room.
    pub unkept: u64,
    /// Zero.
    pub reserved: [u64; 11],
}

const _: () = {
    use core::mem::{offset_of, size_of};
    assert!(size_of::<Traffic>() == 1024);
    assert!(offset_of!(Traffic, attempts) == 8);
    assert!(offset_of!(Traffic, closed) == 64);
    assert!(offset_of!(Traffic, turnaround) == 128);
    assert!(offset_of!(Traffic, waiting) == 512);
    assert!(offset_of!(Traffic, connect) == 768);
    assert!(size_of::<SetTraffic>() == 256);
    assert!(offset_of!(SetTraffic, cursor) == 8);
    assert!(offset_of!(SetTraffic, regression) == 128);
    assert!(offset_of!(SetTraffic, affine) == 168);
    assert!(size_of::<Node>() == 128);
};
