//! The saved form of what admission learned: no unprotected warm-up after a restart.
//!
//! Little-endian, versioned, no gaps: version u32, then the figures as f64.

use super::learn::Learned;
use super::state::State;
use crate::RestoreError;

/// Version of the saved form.
const VERSION: u32 = 1;
const NUMBERS: usize = 7;
const LENGTH: usize = 4 + 8 * NUMBERS;

impl State {
    /// Appends what was learned to `bytes`.
    pub fn save(&self, bytes: &mut Vec<u8>) {
        let [recent, before] = self.learned.lowest;
        let learned = &self.learned;
        bytes.extend_from_slice(&VERSION.to_le_bytes());
        let figures: [f64; NUMBERS] = [
            learned.typical,
            learned.proven,
            learned.trusted,
            learned.peak,
            learned.reported_peak,
            recent,
            before,
        ];
        for figure in figures {
            bytes.extend_from_slice(&figure.to_le_bytes());
        }
    }

    /// A state that has learned what `bytes` hold.
    ///
    /// # Errors
    /// Bytes of another version, of another length, or with figures that no state can hold.
    pub fn restore(bytes: &[u8]) -> Result<Self, RestoreError> {
        let length = RestoreError::Length {
            got: bytes.len(),
            expected: LENGTH,
        };
        let Some((head, body)) = bytes.split_first_chunk::<4>() else {
            return Err(length);
        };
        let found = u32::from_le_bytes(*head);
        if found != VERSION {
            return Err(RestoreError::Version {
                found,
                expected: VERSION,
            });
        }
        let (numbers, rest) = body.as_chunks::<8>();
        if numbers.len() != NUMBERS || !rest.is_empty() {
            return Err(length);
        }
        let mut figures = [0.0; NUMBERS];
        for (at, (figure, chunk)) in figures.iter_mut().zip(numbers).enumerate() {
            *figure = f64::from_le_bytes(*chunk);
            if !(0.0..=1e9).contains(figure) {
                return Err(RestoreError::Value { at: 4 + 8 * at });
            }
        }
        let [typical, proven, trusted, peak, reported_peak, recent, before] = figures;
        let learned = Learned {
            typical,
            proven,
            trusted,
            peak,
            reported_peak,
            lowest: [recent, before],
        };
        // Nothing was known yet: start as if nothing had been saved.
        Ok(if typical > 0.0 && proven > 0.0 {
            Self::knowing(learned)
        } else {
            Self::default()
        })
    }
}
