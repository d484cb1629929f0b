//! Words, live words and counters of admission: mirror of `bpf/admit.h` and of its records in `bpf/wire.h`.
//!
//! The agent writes [`Limits`] into the bank of the next epoch, then the control word; the kernel loads that word once a
//! decision. What the words mean is the law's (`continuity-field`, `admission::Words`): the bytes are the same.

use bytemuck::{Pod, Zeroable};

/// Levels: five classes, and what is above a caller's share (`CT_LEVELS`).
pub const LEVELS: usize = 6;

/// Callers of all sets on a node (`CT_CALLERS_MOST`).
pub const CALLERS: u32 = 4_096;

/// Banks of a set's limits: even epochs in 0, odd ones in 1.
pub const LIMIT_BANKS: u32 = 2;

/// What the agent wrote for one epoch.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Pod, Zeroable)]
pub struct Limits {
    /// The law's control word, which counts in [`Admission::control`] only.
    pub control: u64,
    /// Zombies − parked, Q24.8 requests.
    pub adjust: i32,
    /// In flight below which a level is admitted, Q24.8 requests.
    pub thresholds: [u32; LEVELS],
    /// Limits of normal: normal and lower levels, reserved levels; Q24.8 requests.
    pub fuse: [u32; 2],
    /// Part of a level's connects that may come, Q0.32; all ones = open.
    pub gates: [u32; LEVELS],
    /// For in-band reports; not read by the kernel yet.
    pub report_fuse: u32,
    /// Pace of the fractional slot, ns.
    pub fractions: [u64; LEVELS],
    /// Pace of the survivors, ns; 0 = none.
    pub trickles: [u64; LEVELS],
    /// Turnaround is cut here before it is summed, ns; the agent's.
    pub cut: u64,
    /// Low 16 bits of the epoch, as in the control word.
    pub epoch: u64,
    /// Zero.
    pub reserved: u64,
}

/// Words of a set that change while it decides.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Pod, Zeroable)]
pub struct Admission {
    /// Epoch 16 · mode 2 · top level 3 · heartbeat 32 (ms), from bit 0; the agent's.
    pub control: u64,
    /// Admitted and not ended.
    pub in_flight: i32,
    /// Largest of it since the agent last looked.
    pub most: i32,
    /// Accumulators of the gates.
    pub thinned: [u32; LEVELS],
    /// Next time of the fractional slot, ns.
    pub fraction_at: [u64; LEVELS],
    /// Next time of a survivor, ns.
    pub trickle_at: [u64; LEVELS],
    /// Zero.
    pub reserved: [u64; 7],
}

/// Admission of one set on one shard; counters only grow.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Pod, Zeroable)]
pub struct AdmissionTraffic {
    /// Connects that asked, by level.
    pub offered: [u64; LEVELS],
    /// Refused: no slot was free.
    pub full: [u64; LEVELS],
    /// Refused: the part of the class that may come was there.
    pub thinned: [u64; LEVELS],
    /// Admitted as survivors.
    pub trickled: [u64; LEVELS],
    /// Admitted because nobody owns the limits any more.
    pub orphaned: u64,
    /// Admitted without a slot: no room for a record of the socket.
    pub unheld: u64,
    /// Not asked: the words were not of one epoch.
    pub torn: u64,
    /// Zero.
    pub reserved: [u64; 5],
}

impl AdmissionTraffic {
    /// Adds another shard.
    pub fn absorb(&mut self, other: &Self) {
        let arrays = [
            (&mut self.offered, &other.offered),
            (&mut self.full, &other.full),
            (&mut self.thinned, &other.thinned),
            (&mut self.trickled, &other.trickled),
        ];
        for (sums, parts) in arrays {
            for (sum, part) in sums.iter_mut().zip(parts) {
                *sum = sum.wrapping_add(*part);
            }
        }
        self.orphaned = self.orphaned.wrapping_add(other.orphaned);
        self.unheld = self.unheld.wrapping_add(other.unheld);
        self.torn = self.torn.wrapping_add(other.torn);
    }

    /// Refused for whatever reason.
    #[must_use]
    pub fn refused(&self) -> u64 {
        let parts = self.full.iter().chain(&self.thinned);
        parts.fold(0, |sum, part| sum.wrapping_add(*part))
    }

    /// Asked, refused ones included.
    #[must_use]
    pub fn asked(&self) -> u64 {
        self.offered.iter().fold(0, |sum, part| sum.wrapping_add(*part))
    }
}

/// Key of a caller: the cgroup of a container and the set that it calls.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Pod, Zeroable)]
pub struct CallerKey {
    /// Id of the cgroup in the v2 hierarchy: the inode of its directory.
    pub cgroup: u64,
    /// Index of the set.
    pub set: u32,
    /// Zero.
    pub reserved: u32,
}

/// Who a caller is to the law.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Pod, Zeroable)]
pub struct CallerValue {
    /// Its slot among the shares; containers of one pod have one.
    pub slot: u32,
    /// Its level, 0 ..= 4.
    pub level: u32,
}

/// One calling pod of one set. The first two words are the agent's.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Pod, Zeroable)]
pub struct Caller {
    /// Pace of its share, ns; 0 = not limited.
    pub interval: u64,
    /// Pace of its retries, ns; 0 = not limited.
    pub retry_interval: u64,
    /// Next time of the share, ns.
    pub at: u64,
    /// Next time of a retry, ns.
    pub retry_at: u64,
    /// Latest failure, ns.
    pub failed_at: u64,
    /// Connects that asked.
    pub offered: u64,
    /// Of those, taken for retries.
    pub retries: u64,
    /// Failures that no connect has followed yet.
    pub owed: u32,
    /// Zero.
    pub reserved: u32,
}

/// The part of a socket's record that says what it holds (`struct ct_socket`); all else is private to the kernel programs.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Pod, Zeroable)]
pub struct Holding {
    /// Private.
    pub address: [u32; 4],
    /// When what waits began, ns.
    pub started: u64,
    /// Index of its backend.
    pub backend: u32,
    /// The backend's generation then.
    pub generation: u32,
    /// Private.
    pub phase: u32,
    /// [`HoldingFlags`] and private ones.
    pub flags: u32,
    /// Private.
    pub private: [u32; 4],
    /// Private.
    pub port: u16,
    /// Index of its set.
    pub set: u16,
    /// Private.
    pub rest: [u16; 2],
}

/// Bits of [`Holding::flags`].
pub struct HoldingFlags;

impl HoldingFlags {
    /// It went on to the VIP; it has no backend.
    pub const PASSED: u32 = 8_192;
    /// It holds a slot of its set.
    pub const HELD: u32 = 32_768;
}

const _: () = {
    use core::mem::{offset_of, size_of};
    assert!(size_of::<Limits>() == 192);
    assert!(offset_of!(Limits, thresholds) == 12);
    assert!(offset_of!(Limits, fractions) == 72);
    assert!(offset_of!(Limits, epoch) == 176);
    assert!(size_of::<Admission>() == 192);
    assert!(offset_of!(Admission, in_flight) == 8);
    assert!(size_of::<AdmissionTraffic>() == 256);
    assert!(offset_of!(AdmissionTraffic, orphaned) == 192);
    assert!(size_of::<CallerKey>() == 16);
    assert!(size_of::<CallerValue>() == 8);
    assert!(size_of::<Caller>() == 64);
    assert!(size_of::<Holding>() == crate::SOCKET_BYTES);
    assert!(offset_of!(Holding, backend) == 24);
    assert!(offset_of!(Holding, flags) == 36);
    assert!(offset_of!(Holding, set) == 58);
};
