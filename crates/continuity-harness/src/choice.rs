//! The kernel's choice of a backend, run natively: a thin, safe face of `bpf/choice.h`.
//!
//! Why it exists: the wind tunnel must measure the C that the hooks run, not a translation of it. Records are those
//! of `continuity-wire`, the layouts below mirror the header's other structs; `ffi` is the only place with unsafe code.
//!
//! Invariant: every index handed to C is checked there against the length of the record slice.
//! Left out: who calls when (see `law`), and what a report is made of on the backend's node.

mod ffi;

#[cfg(test)]
mod tests;

pub use continuity_wire::{Record, RecordWords, Regression};
pub use ffi::{dead_zone, decay, indices, lg};

/// No backend.
pub const NONE: u32 = u32::MAX;
/// Entries of a set's slot table.
pub const SLOTS: usize = 64;
/// What `prediction` returns without fresh news.
pub const NO_PREDICTION: i32 = -32768;

/// Kernel time: units of 2^20 ns (1.049 ms), wrapping.
#[must_use]
pub fn kms(nanos: u64) -> u32 {
    u32::try_from((nanos >> 20) & u64::from(u32::MAX)).unwrap_or(0)
}

/// The words of one set; `struct ct_choice`.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Words {
    /// Median of reported turnaround, Q8.
    pub wm: i32,
    /// Median of own turnaround, Q8.
    pub lm: i32,
    /// `lg(16 · mean own in-flight + 16)`, Q8.
    pub ownm: i32,
    /// The backend with the freshest good news, or [`NONE`].
    pub mem: u32,
    /// `(kms << 32) | (backend + 1)`; 0 = nothing due.
    pub drip: u64,
    /// 1 = the memory may be used.
    pub mem_on: u8,
    /// 1 = reports are in use.
    pub reports: u8,
    /// Dead zone of own turnaround, 1/64 octaves.
    pub width: u8,
    /// Always 0.
    pub reserved: [u8; 5],
}

impl Default for Words {
    fn default() -> Self {
        Self {
            wm: 0,
            lm: 0,
            ownm: 0,
            mem: NONE,
            drip: 0,
            mem_on: 0,
            reports: 0,
            width: 0,
            reserved: [0; 5],
        }
    }
}

/// One bank of a slot table; `struct ct_slots`.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Slots {
    /// Backend index or [`NONE`].
    pub id: [u32; SLOTS],
}

/// A parsed in-band report; `struct ct_report`.
#[repr(C)]
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Report {
    /// Turnaround, 1/8 octaves of µs.
    pub l: u8,
    /// Error share, 0..=255.
    pub e: u8,
    /// Age of the figures, ms.
    pub age: u8,
    /// Always 0.
    pub reserved: u8,
    /// Requests in flight, Q4.
    pub rif: u16,
    /// Their recent mean, Q4.
    pub q: u16,
}

/// What a backend's node measures about a pod; `struct ct_pod` of `bpf/report.h`.
#[repr(C)]
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Pod {
    /// Requests in flight.
    pub rif: u32,
    /// Turnaround, µs.
    pub el: u32,
    /// Mean of `rif`, Q12.
    pub q: u32,
    /// Error share, Q16.
    pub ee: u32,
    /// When `q` last changed, kms.
    pub tq: u32,
    /// When the last answer left, kms.
    pub ta: u32,
    /// When the last answer left or the idle time ended, kms.
    pub lastc: u32,
    /// 1 once a good answer left.
    pub good: u32,
}

impl Pod {
    /// A request came in.
    pub fn request(&mut self, now: u32) {
        ffi::pod_request(self, now);
    }

    /// A request ended without a response.
    pub fn gone(&mut self, now: u32) {
        ffi::pod_gone(self, now);
    }

    /// A response left, `micros` after its request came in.
    pub fn response(&mut self, micros: u32, error: bool, now: u32) {
        ffi::pod_response(self, micros, error, now);
    }

    /// What the node would write into a segment now; nothing before the first good answer.
    #[must_use]
    pub fn report(&self, now: u32) -> Option<Report> {
        ffi::pod_report(self, now)
    }
}

/// One node's choice state for one set.
#[derive(Debug, Clone)]
pub struct Chooser {
    /// Words of the set.
    pub words: Words,
    /// The table.
    pub slots: Slots,
    /// One record per backend.
    pub records: Vec<Record>,
    /// Sums for the slope gate.
    pub regression: Regression,
    /// Position in the low-discrepancy sequence.
    pub cursor: u32,
}

impl Chooser {
    /// A fresh chooser over `backends` equal backends, its sequence starting after `cursor`.
    #[must_use]
    pub fn new(backends: usize, cursor: u32) -> Self {
        let count = u32::try_from(backends).unwrap_or(u32::MAX).max(1);
        let mut slots = Slots { id: [NONE; SLOTS] };
        if backends > 0 {
            for (slot, id) in slots.id.iter_mut().zip((0..count).cycle()) {
                *slot = id;
            }
        }
        Self {
            words: Words::default(),
            slots,
            records: vec![Record::default(); backends],
            regression: Regression::default(),
            cursor,
        }
    }

    /// The backend of the next connection, or `None` if the set is empty. Takes a due drip, else the better of two.
    pub fn pick(&mut self, now: u32) -> Option<usize> {
        self.cursor = self.cursor.wrapping_add(1);
        let id = ffi::pick(&self.slots, &mut self.words, &self.records, self.cursor, now);
        usize::try_from(id).ok().filter(|&id| id < self.records.len())
    }

    /// Score of a backend; smaller is better.
    #[must_use]
    pub fn score(&self, backend: usize, now: u32) -> Option<i32> {
        self.records
            .get(backend)
            .map(|record| ffi::score(record, &self.words, now))
    }

    /// What the latest report predicts for a request to `backend`, or [`NO_PREDICTION`].
    #[must_use]
    pub fn prediction(&self, backend: usize, now: u32) -> i32 {
        self.records
            .get(backend)
            .map_or(NO_PREDICTION, |record| ffi::prediction(record, &self.words, now))
    }

    /// A request leaves.
    pub fn start(&mut self, backend: usize) {
        if let Some(record) = self.records.get_mut(backend) {
            ffi::on_start(record);
        }
    }

    /// The client went away while it waited.
    pub fn abandon(&mut self, backend: usize) {
        if let Some(record) = self.records.get_mut(backend) {
            ffi::on_abandon(record);
        }
    }

    /// First payload came back after `micros`; `predicted` is what [`Self::prediction`] said at the start.
    pub fn answer(&mut self, backend: usize, micros: u32, predicted: i32, now: u32) {
        if let Some(record) = self.records.get_mut(backend) {
            ffi::on_answer(record, micros, now);
            ffi::learn(&mut self.regression, &self.words, predicted, micros);
        }
    }

    /// Refused, timed out or reset before data.
    pub fn failure(&mut self, backend: usize, now: u32) {
        if let Some(record) = self.records.get_mut(backend) {
            ffi::on_failure(record, now);
        }
    }

    /// A report arrived from `backend`.
    pub fn report(&mut self, backend: usize, report: &Report, now: u32) {
        if let Ok(id) = u32::try_from(backend) {
            ffi::report(&mut self.words, &mut self.records, id, report, now);
        }
    }

    /// An answer that carried a report: what it said against what was seen.
    pub fn pair(&mut self, backend: usize, said: u8, micros: u32) {
        if let Some(record) = self.records.get_mut(backend) {
            ffi::on_pair(record, said, micros);
        }
    }
}
