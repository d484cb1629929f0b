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
}

/// One run.
#[derive(Debug, Clone, Default)]
pub struct Recording {
    /// Attempts, in the order of their ends.
    pub attempts: Vec<Attempt>,
    /// Changes of the number of backends a node has isolated: (ns, node, number).
    pub isolations: Vec<(u64, u32, usize)>,
    /// Events that the plant worked through.
    pub events: u64,
    isolated: Vec<usize>,
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

    /// SHA-256 over every attempt and every isolation: equal digests, equal runs.
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
        hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
    }
}
