//! A backend's address and the 64-byte record that the choice is made on.

use core::net::SocketAddr;

use bytemuck::{Pod, Zeroable};

use crate::address::{mapped, unmapped};

/// One backend of one set. A pod that serves two sets has two.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Pod, Zeroable)]
pub struct Backend {
    /// Network order; IPv4 as `::ffff:a.b.c.d`.
    pub address: [u8; 16],
    /// Network order.
    pub port: [u8; 2],
    /// [`BackendFlags`].
    pub flags: u16,
    /// Index of the set; the kernel refuses to steer into another set's backend.
    pub set: u32,
    /// Changes when the index is given away again; sockets of the former owner stop counting.
    pub generation: u32,
    /// Zero.
    pub reserved: u32,
}

/// What a node knows of a backend, and where it is: an element of map `backends` (`struct ct_place`).
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Pod, Zeroable)]
pub struct Place {
    /// What the choice is made on.
    pub record: Record,
    /// Address and owner.
    pub backend: Backend,
    /// Zero.
    pub reserved: [u64; 4],
}

/// Bits of [`Backend::flags`].
pub struct BackendFlags;

impl BackendFlags {
    /// The entry is in use; without it a slot that names it passes the connect through to the VIP.
    pub const VALID: u16 = 1;
    /// The backend runs on this node.
    pub const LOCAL: u16 = 2;
}

impl Backend {
    /// A valid entry.
    #[must_use]
    pub fn new(address: SocketAddr, set: u32, generation: u32, local: bool) -> Self {
        let local = if local { BackendFlags::LOCAL } else { 0 };
        Self {
            address: mapped(address.ip()),
            port: address.port().to_be_bytes(),
            flags: BackendFlags::VALID | local,
            set,
            generation,
            reserved: 0,
        }
    }

    /// The socket address, IPv4 unmapped.
    #[must_use]
    pub fn socket_address(&self) -> SocketAddr {
        unmapped(self.address, self.port)
    }

    /// Whether the entry is in use.
    #[must_use]
    pub fn is_valid(&self) -> bool {
        self.flags & BackendFlags::VALID != 0
    }
}

/// What this node knows about one backend: `struct ct_record` of `bpf/choice.h`, one cache line.
///
/// Time is kms = ns >> 20 (1.049 ms). Q8 = log2 of µs × 256; Q4 = requests × 16. The kernel writes all of it but the
/// last eight bytes.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Pod, Zeroable)]
pub struct Record {
    /// kms of the newest report that said something new.
    pub ts: u32,
    /// Reported turnaround, Q8.
    pub l: u16,
    /// Reported requests in flight, Q4.
    pub rif: u16,
    /// Reported recent mean of `rif`, Q4.
    pub q: u16,
    /// Reported error share, 0..=255.
    pub e: u8,
    /// 1 once a report came.
    pub has: u8,
    /// Own in-flight when that report came.
    pub own_at: i32,
    /// Own requests that wait for an answer.
    pub infl: i32,
    /// kms of the last change of `pen`.
    pub pts: u32,
    /// Failure penalty at `pts`, Q8.
    pub pen: u16,
    /// Own turnaround, log EWMA, Q8; 0 = unknown.
    pub lw: u16,
    /// kms of the last answer.
    pub lts: u32,
    /// Reports received.
    pub rx: u32,
    /// Of these, different from the one before.
    pub rnew: u32,
    /// Answers.
    pub good: u32,
    /// Sum of reported `l` over answers that carried a report, wraps.
    pub pair_said: u32,
    /// Sum of own turnaround over the same answers, Q8, wraps.
    pub pair_seen: u32,
    /// Number of such answers, wraps.
    pub pair_n: u16,
    /// Set index + 1 that owns the record; 0 = not checked.
    pub set: u16,
    /// The agent's part.
    pub words: RecordWords,
}

/// The eight bytes of a record that the agent writes, in one 64-bit store.
#[repr(C, align(8))]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Pod, Zeroable)]
pub struct RecordWords {
    /// log2(own slots / fair slots), Q8 octaves.
    pub shl: i16,
    /// Weight of reports, 0..=256.
    pub trust: u16,
    /// Price of an isolated but needed backend, Q8; 0 = none.
    pub fixed: u16,
    /// 1 = isolated or removed: never the memory's answer.
    pub off: u8,
    /// Part of a failure that says nothing about this backend, in 256ths.
    pub pardon: u8,
}

const _: () = {
    use core::mem::{offset_of, size_of};
    assert!(size_of::<Backend>() == 32);
    assert!(offset_of!(Backend, set) == 20);
    assert!(offset_of!(Backend, generation) == 24);
    assert!(size_of::<Record>() == 64);
    assert!(offset_of!(Record, infl) == 16);
    assert!(offset_of!(Record, pts) == 20);
    assert!(offset_of!(Record, good) == 40);
    assert!(offset_of!(Record, set) == 54);
    assert!(offset_of!(Record, words) == 56);
    assert!(size_of::<RecordWords>() == 8);
};
