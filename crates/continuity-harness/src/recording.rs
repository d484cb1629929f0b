//! What a run leaves behind: every attempt, and who was isolated when. Figures are taken from it afterwards.

use sha2::{Digest, Sha256};

use crate::policy::End;

/// Backend of an attempt that the law refused.
pub const NOWHERE: u32 = u32::MAX;

/// One attempt, as its client saw it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Attempt {
    /// When it was due, ns.
    pub sent: u64,
    /// How long it took, µs; a time-out counts as the client's patience.
    pub micros: u32,
    /// Where it went.
    pub backend: u32,
    /// How it ended.
    pub end: End,
    /// A pick decided where it went; false on a connection that was kept.
    pub fresh: bool,
}

/// A caller's request, over all its attempts. Recorded where attempts do not say it all: retries, callers, closed
/// loops, admission.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Served {
    /// When it was first due, ns.
    pub due: u64,
    /// From then to its end, µs.
    pub micros: u32,
    /// Which calling pod.
    pub caller: u32,
    /// Kind of caller, an index into the scenario's.
    pub kind: u8,
    /// Attempts made.
    pub attempts: u8,
    /// It was answered.
    pub good: bool,
}

/// A pod whose memory ran out, or whose node said that it would.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Alarm {
    /// When, ns.
    pub at: u64,
    /// Which backend.
    pub backend: u32,
    /// It was killed; else it was foretold.
    pub killed: bool,
}

/// One run.
#[derive(Debug, Clone, Default)]
pub struct Recording {
    /// Attempts, in the order of their ends.
    pub attempts: Vec<Attempt>,
    /// Requests, in the order of their ends; empty where every request is one attempt of an ordinary caller.
    pub served: Vec<Served>,
    /// Changes of the number of backends a node has isolated: (ns, node, number).
    pub isolations: Vec<(u64, u32, usize)>,
    /// Changes of a node's mode of admission: (ns, node, mode).
    pub modes: Vec<(u64, u32, u8)>,
    /// Kills for memory, and warnings of them; a warning that stands is one entry.
    pub alarms: Vec<Alarm>,
    /// Events that the plant worked through.
    pub events: u64,
    isolated: Vec<usize>,
    enforced: Vec<u8>,
}

impl Recording {
    pub(crate) fn isolation(&mut self, now: u64, node: u32, number: usize) {
        let index = usize::try_from(node).unwrap_or(0);
        if self.isolated.len() <= index {
            self.isolated.resize(index + 1, 0);
        }
        if let Some(before) = self.isolated.get_mut(index)
            && *before != number
        {
            *before = number;
            self.isolations.push((now, node, number));
        }
    }

    pub(crate) fn mode(&mut self, now: u64, node: u32, mode: u8) {
        let index = usize::try_from(node).unwrap_or(0);
        if self.enforced.len() <= index {
            self.enforced.resize(index + 1, 0);
        }
        if let Some(before) = self.enforced.get_mut(index)
            && *before != mode
        {
            *before = mode;
            self.modes.push((now, node, mode));
        }
    }

    /// SHA-256 over every attempt, request, isolation and mode: equal digests, equal runs.
    #[must_use]
    pub fn digest(&self) -> String {
        let mut hash = Sha256::new();
        for attempt in &self.attempts {
            hash.update(attempt.sent.to_le_bytes());
            hash.update(attempt.micros.to_le_bytes());
            hash.update(attempt.backend.to_le_bytes());
            hash.update([attempt.end as u8]);
        }
        for (at, node, number) in &self.isolations {
            hash.update(at.to_le_bytes());
            hash.update(node.to_le_bytes());
            hash.update((*number as u64).to_le_bytes());
        }
        for served in &self.served {
            hash.update(served.due.to_le_bytes());
            hash.update(served.micros.to_le_bytes());
            hash.update(served.caller.to_le_bytes());
            hash.update([served.kind, served.attempts, u8::from(served.good)]);
        }
        for (at, node, mode) in &self.modes {
            hash.update(at.to_le_bytes());
            hash.update(node.to_le_bytes());
            hash.update([*mode]);
        }
        for alarm in &self.alarms {
            hash.update(alarm.at.to_le_bytes());
            hash.update(alarm.backend.to_le_bytes());
            hash.update([u8::from(alarm.killed)]);
        }
        hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
    }
}
