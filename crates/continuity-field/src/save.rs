//! The saved form of what was learned: no warm-up after a restart.
//!
//! Little-endian, versioned, no gaps: version u32, then the baseline as f64. Isolation and shares are not part of it; they
//! are evidence of the moment and are gathered again within a second.

use crate::baseline::Baseline;
use crate::histogram::BUCKETS;
use crate::{RestoreError, SetState};

/// Version of the saved form.
const VERSION: u32 = 1;
/// Numbers of the saved form: mean, variance, looks, calm (NaN = none), mass of the tail, its buckets.
const NUMBERS: usize = 5 + BUCKETS;
const LENGTH: usize = 4 + 8 * NUMBERS;

impl SetState {
    /// Appends what was learned (level, spread and tail of calm answers), versioned, to `bytes`.
    pub fn save(&self, bytes: &mut Vec<u8>) {
        let learned = &self.baseline;
        bytes.extend_from_slice(&VERSION.to_le_bytes());
        let head = [
            learned.mean,
            learned.variance,
            learned.looks,
            learned.calm.unwrap_or(f64::NAN),
            learned.tail_n,
        ];
        for value in head.iter().chain(&learned.tail) {
            bytes.extend_from_slice(&value.to_le_bytes());
        }
    }

    /// A state that has learned what `bytes` hold.
    pub fn restore(bytes: &[u8]) -> Result<Self, RestoreError> {
        let Some((head, body)) = bytes.split_first_chunk::<4>() else {
            return Err(RestoreError::Length {
                got: bytes.len(),
                expected: LENGTH,
            });
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
            return Err(RestoreError::Length {
                got: bytes.len(),
                expected: LENGTH,
            });
        }
        let mut values = [0.0; NUMBERS];
        for (at, (value, chunk)) in values.iter_mut().zip(numbers).enumerate() {
            *value = f64::from_le_bytes(*chunk);
            let absent_calm = at == 3 && value.is_nan();
            if !absent_calm && !(0.0..=1e12).contains(value) {
                return Err(RestoreError::Value { at: 4 + 8 * at });
            }
        }
        let [mean, variance, looks, calm, tail_n, ..] = values;
        let mut tail = [0.0; BUCKETS];
        tail.iter_mut()
            .zip(values.iter().skip(5))
            .for_each(|(bucket, value)| *bucket = *value);
        let calm = (!calm.is_nan()).then_some(calm);
        Ok(Self::knowing(Baseline::learned(
            mean, variance, looks, calm, tail, tail_n,
        )))
    }
}
