//! The log of attempts: one record of 32 bytes for every request that was intended.
//!
//! Invariant: an intended request leaves exactly one record, also if it was never sent. The log is a ring in the
//! client's memory; the driver reads it by sequence number, and a reader that came too late is told how many records
//! it missed instead of being given a shorter log.

/// Bytes of one record on the wire.
pub const RECORD_BYTES: usize = 32;

/// Index of a backend name that nobody answered with.
pub const NO_BACKEND: u16 = u16::MAX;

/// How an attempt ended.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
#[repr(u8)]
pub enum Outcome {
    /// A complete answer came.
    Answered = 0,
    /// `connect(2)` was refused.
    Refused = 1,
    /// The connection was reset, or ended before the answer was complete.
    Reset = 2,
    /// Nothing complete came within the time allowed, counted from the start of the attempt.
    TimedOut = 3,
    /// The network said it could not be reached, or the attempt failed in another way.
    Unreachable = 4,
    /// The client had too many attempts outstanding and did not send this one; it counts as failed.
    NotSent = 5,
}

impl Outcome {
    /// The outcome of a code on the wire; an unknown code is a failure without a finer name.
    #[must_use]
    pub const fn of(code: u8) -> Self {
        match code {
            0 => Self::Answered,
            1 => Self::Refused,
            2 => Self::Reset,
            3 => Self::TimedOut,
            5 => Self::NotSent,
            _ => Self::Unreachable,
        }
    }
}

/// One attempt.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Record {
    /// When the request was due, in nanoseconds of `CLOCK_MONOTONIC`.
    pub intended_ns: u64,
    /// Number of the request within its stream and client.
    pub id: u32,
    /// From due to the start of the attempt, µs.
    pub late_us: u32,
    /// Duration of `connect(2)`, µs; 0 on a connection that was kept alive.
    pub connect_us: u32,
    /// From due to the end of the attempt, µs.
    pub total_us: u32,
    /// Index into the client's table of backend names, or [`NO_BACKEND`].
    pub backend: u16,
    /// Which stream it belongs to.
    pub stream: u8,
    /// How it ended.
    pub outcome: Outcome,
}

impl Record {
    /// The record as it travels: little endian, in the order of the fields, four reserved bytes at the end.
    #[must_use]
    pub fn encode(&self) -> [u8; RECORD_BYTES] {
        let mut out = [0; RECORD_BYTES];
        out[..8].copy_from_slice(&self.intended_ns.to_le_bytes());
        out[8..12].copy_from_slice(&self.id.to_le_bytes());
        out[12..16].copy_from_slice(&self.late_us.to_le_bytes());
        out[16..20].copy_from_slice(&self.connect_us.to_le_bytes());
        out[20..24].copy_from_slice(&self.total_us.to_le_bytes());
        out[24..26].copy_from_slice(&self.backend.to_le_bytes());
        out[26] = self.stream;
        out[27] = self.outcome as u8;
        out
    }

    /// Reads what [`Record::encode`] wrote.
    #[must_use]
    pub fn decode(bytes: &[u8; RECORD_BYTES]) -> Self {
        let word = |at: usize| u32::from_le_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]]);
        Self {
            intended_ns: u64::from(word(0)) | u64::from(word(4)) << 32,
            id: word(8),
            late_us: word(12),
            connect_us: word(16),
            total_us: word(20),
            backend: u16::from_le_bytes([bytes[24], bytes[25]]),
            stream: bytes[26],
            outcome: Outcome::of(bytes[27]),
        }
    }
}

/// A bounded log, addressed by sequence number.
#[derive(Debug)]
pub struct Ring {
    slots: std::collections::VecDeque<Record>,
    first: u64,
    capacity: usize,
}

impl Ring {
    /// An empty log that keeps the newest `capacity` records.
    #[must_use]
    pub fn new(capacity: usize) -> Self {
        Self {
            slots: std::collections::VecDeque::new(),
            first: 0,
            capacity: capacity.max(1),
        }
    }

    /// Appends, and lets the oldest go when full.
    pub fn push(&mut self, record: Record) {
        if self.slots.len() == self.capacity {
            self.slots.pop_front();
            self.first += 1;
        }
        self.slots.push_back(record);
    }

    /// Sequence number of the next record to come.
    #[must_use]
    pub fn next(&self) -> u64 {
        self.first + self.slots.len() as u64
    }

    /// Up to `limit` records from sequence number `from`, and how many were lost before the first of them.
    #[must_use]
    pub fn read(&self, from: u64, limit: usize) -> (u64, Vec<Record>) {
        let missed = self.first.saturating_sub(from);
        let skip = usize::try_from(from.saturating_sub(self.first)).unwrap_or(usize::MAX);
        (
            missed,
            self.slots.iter().skip(skip).take(limit).copied().collect(),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn record(id: u32) -> Record {
        Record {
            intended_ns: 7_000_000_000_123,
            id,
            late_us: 1,
            connect_us: 2,
            total_us: 30_000,
            backend: NO_BACKEND,
            stream: 3,
            outcome: Outcome::TimedOut,
        }
    }

    proptest! {
        #[test]
        fn a_record_survives_the_wire(
            intended_ns: u64, id: u32, late_us: u32, connect_us: u32, total_us: u32, backend: u16, stream: u8, code in 0_u8..6
        ) {
            let sent = Record { intended_ns, id, late_us, connect_us, total_us, backend, stream, outcome: Outcome::of(code) };
            prop_assert_eq!(Record::decode(&sent.encode()), sent);
        }
    }

    #[test]
    fn a_late_reader_is_told_what_it_missed() {
        let mut ring = Ring::new(4);
        (0..10).for_each(|id| ring.push(record(id)));
        let (missed, records) = ring.read(3, 100);
        assert_eq!(missed, 3);
        assert_eq!(records.iter().map(|r| r.id).collect::<Vec<_>>(), [6, 7, 8, 9]);
        assert_eq!(ring.read(ring.next(), 100), (0, Vec::new()));
        assert_eq!(ring.read(8, 1).1[0].id, 8);
    }
}
