//! What a set remembers between steps, and its saved form.

use crate::{Nanos, Outcome, RestoreError};

/// Everything the law keeps of one set. `Default` is "nothing known".
#[derive(Debug, Clone, Default)]
pub struct SetState {
    pub(crate) last: Nanos,
    pub(crate) outcome: Outcome,
}

/// Version of the saved form.
const VERSION: u32 = 1;

impl SetState {
    /// Most backends of one set: EndpointSlices of a Service are capped by the API at 1,000 an annotation-free Service
    /// is truncated to; four times that leaves room for several slices that have not been trimmed yet.
    pub const MOST_BACKENDS: usize = 4_096;

    /// The outcome of the last step.
    pub fn outcome(&self) -> &Outcome {
        &self.outcome
    }

    /// Appends what was learned (baselines, proven capacity), versioned, to `bytes`.
    pub fn save(&self, bytes: &mut Vec<u8>) {
        bytes.extend_from_slice(&VERSION.to_le_bytes());
    }

    /// A state that has learned what `bytes` hold. Isolation and shares are not part of it: they are evidence of the moment.
    pub fn restore(bytes: &[u8]) -> Result<Self, RestoreError> {
        let found = bytes.first_chunk::<4>().map(|head| u32::from_le_bytes(*head));
        match found {
            Some(VERSION) if bytes.len() == 4 => Ok(Self::default()),
            Some(VERSION) | None => Err(RestoreError::Length {
                got: bytes.len(),
                expected: 4,
            }),
            Some(found) => Err(RestoreError::Version {
                found,
                expected: VERSION,
            }),
        }
    }
}
