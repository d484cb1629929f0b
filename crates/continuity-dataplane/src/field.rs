//! A field: what is published for one set under one epoch.

use crate::{BackendIndex, wire::SLOTS};

/// Number of a set's field; grows by one with every publish.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Epoch(pub u64);

/// The figures of the choice that concern the whole set.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ChoiceWords {
    /// Median of reported turnaround, Q8 log2 µs.
    pub wm: i32,
    /// Median of own turnaround, Q8 log2 µs.
    pub lm: i32,
    /// lg(16 × mean own in-flight + 16), Q8.
    pub ownm: i32,
    /// Enough backends have live, trusted reports for the memory.
    pub mem_on: bool,
    /// In-band reports are in use.
    pub reports: bool,
    /// Dead zone of own turnaround, 1/64 octaves.
    pub width: u8,
}

/// The figures of the choice that concern one backend.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BackendWords {
    /// The backend.
    pub backend: BackendIndex,
    /// log2(own slots / fair slots), Q8 octaves.
    pub shl: i16,
    /// Weight of reports, 0..=256.
    pub trust: u16,
    /// Price of an isolated but needed backend, Q8; 0 = none.
    pub fixed: u16,
    /// Isolated: never the memory's answer.
    pub off: bool,
    /// Part of a failure that says nothing about this backend, in 256ths.
    pub pardon: u8,
}

/// The next connect that tests an isolated backend.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Drip {
    /// Leave the one that is armed.
    #[default]
    Keep,
    /// None.
    Off,
    /// The first connect from then on goes to this backend.
    Arm {
        /// The backend.
        backend: BackendIndex,
        /// `CLOCK_MONOTONIC` in ns.
        at: u64,
    },
}

/// A field.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Field {
    /// Backend of each slot. A connect that finds `None` in both its slots passes through to the VIP; connects are
    /// refused (ECONNREFUSED) if, and only if, the set has no backends at all when the field is published.
    pub slots: [Option<BackendIndex>; SLOTS],
    /// Figures of the set.
    pub choice: ChoiceWords,
    /// Figures of backends; those not named keep theirs.
    pub backends: Vec<BackendWords>,
    /// The next test connect.
    pub drip: Drip,
}

impl Field {
    /// Every backend the same share, as near as 64 slots allow; without backends connects are refused.
    #[must_use]
    pub fn equal(backends: &[BackendIndex]) -> Self {
        let mut slots = [None; SLOTS];
        if !backends.is_empty() {
            for (slot, backend) in slots.iter_mut().zip(backends.iter().cycle()) {
                *slot = Some(*backend);
            }
        }
        Self {
            slots,
            choice: ChoiceWords::default(),
            backends: Vec::new(),
            drip: Drip::Keep,
        }
    }
}
