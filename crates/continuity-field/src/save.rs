//! Saved forms of a state: [`SetState::save`] fits a page and serves a restart, [`SetState::save_whole`] is complete.
//!
//! The page's form holds what was learned (level, spread and tail of calm answers) and where the backends stand that do
//! not simply carry: isolated, returning, or relapsed of late. So a new process neither warms up nor hands a sick backend
//! its full share again. Shares, rates and estimates are of the moment and are gathered again within a second or two.
//!
//! | offset | content |
//! | --- | --- |
//! | 0 | version u32 = 2 |
//! | 4 | mean, variance, looks, calm (absent = NaN), mass of the tail: f64 each |
//! | 44 | tail: 96 × f32 |
//! | 428 | count u64, then so many standings of at most 99 bytes each |
//!
//! Version 1 (the baseline alone, its tail as f64) is read too.

pub(crate) mod code;
mod standing;
mod whole;

use crate::baseline::Baseline;
use crate::histogram::BUCKETS;
use crate::{RestoreError, SetState};
use code::{Reader, Stored};

pub(crate) use standing::{Standing, recall};

/// Version of the page's form.
const VERSION: u32 = 2;
/// Backends whose standing is saved, worst first: half of 40 replicas, and 16 × 99 bytes fit half a page.
const MOST_STANDINGS: usize = 16;

impl SetState {
    /// Most bytes that [`Self::save`] appends.
    pub const MOST_SAVED: usize = 4 + 5 * 8 + 4 * BUCKETS + 8 + MOST_STANDINGS * Standing::MOST;

    /// Appends what a restart must not lose, versioned, to `bytes`: at most [`Self::MOST_SAVED`].
    pub fn save(&self, bytes: &mut Vec<u8>) {
        VERSION.put(bytes);
        let learned = &self.baseline;
        (learned.mean, (learned.variance, learned.looks)).put(bytes);
        bytes.extend_from_slice(&learned.calm.unwrap_or(f64::NAN).to_le_bytes());
        learned.tail_n.put(bytes);
        for count in &learned.tail {
            bytes.extend_from_slice(&narrow(*count).to_le_bytes());
        }
        standing::gather(&self.tracks, &self.remembered, MOST_STANDINGS).put(bytes);
    }

    /// A state that knows what `bytes` hold. Instants that do not fit the clock of the first step (another boot) are
    /// dropped there.
    pub fn restore(bytes: &[u8]) -> Result<Self, RestoreError> {
        let mut reader = Reader::new(bytes);
        let from = &mut reader;
        let found = u32::take(from)?;
        if found != VERSION && found != 1 {
            return Err(RestoreError::Version {
                found,
                expected: VERSION,
            });
        }
        let (mean, (variance, looks)) = Stored::take(from)?;
        let calm = match f64::from_bits(u64::take(from)?) {
            value if value.is_nan() => None,
            value => Some(value),
        };
        let tail_n = f64::take(from)?;
        let mut tail = [0.0; BUCKETS];
        for count in &mut tail {
            *count = match found {
                1 => f64::take(from)?,
                _ => f64::from(f32::from_bits(u32::take(from)?)),
            };
        }
        let numbers = [mean, variance, looks, calm.unwrap_or(0.0), tail_n];
        if !numbers
            .iter()
            .chain(&tail)
            .all(|value| (0.0..=1e12).contains(value))
        {
            return Err(from.refuse());
        }
        let remembered: Vec<Standing> = if found == 1 {
            Vec::new()
        } else {
            Stored::take(from)?
        };
        if remembered.len() > MOST_STANDINGS {
            return Err(from.refuse());
        }
        reader.end()?;
        let baseline = Baseline::learned(mean, variance, looks, calm, tail, tail_n);
        Ok(Self {
            baseline,
            remembered,
            ..Self::default()
        })
    }
}

/// Counts of a tail need no more than seven digits.
#[allow(
    clippy::cast_possible_truncation,
    reason = "rounding to the nearest f32 is what is asked for"
)]
fn narrow(value: f64) -> f32 {
    value as f32
}
