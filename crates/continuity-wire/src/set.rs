//! A set, its banks, and what the law learned about it.

use bytemuck::{Pod, Zeroable};

use crate::{BANKS, SLOTS};

/// The word that names a set's field: epoch << 1 | bank. Loaded once per decision, stored with release order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Word(pub u64);

impl Word {
    /// Nothing was published yet.
    pub const UNPUBLISHED: Self = Self(0);

    /// Word of an epoch; even epochs live in bank 0, odd ones in bank 1.
    #[must_use]
    pub const fn of(epoch: u64) -> Self {
        Self(epoch << 1 | epoch & 1)
    }

    /// The epoch; the first published one is 1.
    #[must_use]
    pub const fn epoch(self) -> u64 {
        self.0 >> 1
    }

    /// The bank that holds it.
    #[must_use]
    pub const fn bank(self) -> u32 {
        if self.0 & 1 == 0 { 0 } else { 1 }
    }
}

/// One equivalence set.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Pod, Zeroable)]
pub struct Set {
    /// [`Word`].
    pub word: u64,
    /// Age of the heartbeat in ns from which the field is frozen.
    pub hold_after: u64,
    /// Age of the heartbeat in ns from which the choice falls back.
    pub fallback_after: u64,
    /// [`SetFlags`].
    pub flags: u32,
    /// Changes when the index is given to another set.
    pub generation: u32,
    /// Who the set is, so that a restarted agent finds it again.
    pub id: [u8; 16],
    /// Written by the kernel: failsafe state ([`FailsafeCode`]) in the low 2 bits, `CLOCK_MONOTONIC` ns of the last
    /// transition (truncated to 4 ns) in the others.
    pub failsafe: u64,
    /// Time in ns since a client's last connect for which it keeps its backend, with [`SetFlags::AFFINITY`].
    pub affinity: u64,
}

/// Bits of [`Set::flags`].
pub struct SetFlags;

impl SetFlags {
    /// The entry is in use.
    pub const VALID: u32 = 1;
    /// Connects are steered; without it they are only counted.
    pub const ENFORCE: u32 = 2;
    /// In FALLBACK share equally over the last known alive instead of passing through.
    pub const LAST_KNOWN_ALIVE: u32 = 4;
    /// A client, which is a network namespace, keeps its backend.
    pub const AFFINITY: u32 = 8;
    /// The set is of UDP.
    pub const DATAGRAM: u32 = 64;
    /// Connects ask for admission.
    pub const ADMIT: u32 = 16;
    /// The calling pod is looked up for it.
    pub const CALLERS: u32 = 32;
    /// The level of callers that are not found stands from this bit up, 3 bits.
    pub const CLASS_SHIFT: u32 = 8;
}

/// Failsafe state of a set, as the kernel sees it at the last connect.
#[repr(u64)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FailsafeCode {
    /// The heartbeat is fresh.
    Normal = 0,
    /// The field is frozen.
    Hold = 1,
    /// The choice passes through, or is shared equally.
    Fallback = 2,
}

/// The words of the choice: `struct ct_choice` of `bpf/choice.h`.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Pod, Zeroable)]
pub struct Choice {
    /// Median of reported turnaround, Q8.
    pub wm: i32,
    /// Median of own turnaround, Q8.
    pub lm: i32,
    /// lg(16 × mean own in-flight + 16), Q8.
    pub ownm: i32,
    /// Backend with the freshest good news or [`crate::NONE`]; the kernel writes it.
    pub mem: u32,
    /// kms from which on << 32 | backend + 1; 0 = nothing due. The kernel takes it by compare-exchange.
    pub drip: u64,
    /// 1 = enough backends have live, trusted reports for the memory.
    pub mem_on: u8,
    /// 1 = in-band reports are in use.
    pub reports: u8,
    /// Dead zone of own turnaround, 1/64 octaves.
    pub width: u8,
    /// Zero.
    pub reserved: [u8; 5],
}

/// One bank: a complete field of one epoch.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Pod, Zeroable)]
pub struct Bank {
    /// Epoch that the bank belongs to; differs from the word's while it is being rewritten.
    pub epoch: u64,
    /// `CLOCK_MONOTONIC` in ns right before the flip; one that is `hold_after` past the heartbeat came too late.
    pub published: u64,
    /// Backends that the field was made for; 0 = the set has none, connects are refused.
    pub backends: u32,
    /// Zero.
    pub reserved: [u32; 3],
    /// The words of the choice.
    pub choice: Choice,
    /// Backend index or [`crate::NONE`].
    pub slots: [u32; SLOTS],
}

/// A set and its banks: an element of map `sets` (`struct ct_set`). A connect pays for a page as for a cache line, so what
/// it needs together lies together.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Pod, Zeroable)]
pub struct Table {
    /// The set.
    pub set: Set,
    /// Two that alternate under its word, and the equal share of the last known alive.
    pub banks: [Bank; BANKS as usize],
}

/// What the law learned about one set, kept across restarts of the agent. Opaque to the kernel.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Pod, Zeroable)]
pub struct Learned {
    /// Bytes in use; 0 = nothing.
    pub length: u32,
    /// Zero.
    pub reserved: u32,
    /// FNV-1a over the bytes in use, so that a write cut short by a crash is not believed.
    pub checksum: u64,
    /// The bytes.
    pub bytes: [u8; Learned::CAPACITY],
}

impl Learned {
    /// 64 backends × 62 bytes and 112 for the set; with the header one page.
    pub const CAPACITY: usize = 4096 - 16;
}

const _: () = {
    use core::mem::{offset_of, size_of};
    assert!(size_of::<Set>() == 64);
    assert!(offset_of!(Set, flags) == 24);
    assert!(offset_of!(Set, id) == 32);
    assert!(offset_of!(Set, failsafe) == 48);
    assert!(offset_of!(Set, affinity) == 56);
    assert!(size_of::<Choice>() == 32);
    assert!(offset_of!(Choice, mem) == 12);
    assert!(offset_of!(Choice, drip) == 16);
    assert!(offset_of!(Choice, mem_on) == 24);
    assert!(size_of::<Bank>() == 320);
    assert!(offset_of!(Bank, choice) == 32);
    assert!(offset_of!(Bank, slots) == 64);
    assert!(size_of::<Table>() == 1024);
    assert!(offset_of!(Table, banks) == 64);
    assert!(size_of::<Learned>() == 4096);
};

#[cfg(test)]
mod tests {
    use super::Word;

    #[test]
    fn consecutive_epochs_alternate_between_the_banks() {
        for epoch in 1..100 {
            assert_eq!(Word::of(epoch).epoch(), epoch);
            assert_ne!(Word::of(epoch).bank(), Word::of(epoch + 1).bank());
            assert_ne!(Word::of(epoch), Word::UNPUBLISHED);
        }
    }
}
