//! The alphabet of saved forms: little-endian, no gaps, every value checked when it is read.
//!
//! A value that reads back is the value that was written, bit for bit. What no state can hold (a float that is not
//! finite, a tag without meaning, a list beyond its bound) is an error with the offset at which it stands.

use crate::regime::{Enforcement, Regime};
use crate::{BackendId, Evidence, Isolation, Nanos, RestoreError, SetState};

/// No level, rate, sum or variance of the law comes near it.
const MOST: f64 = 1e15;

/// Something that has a saved form.
pub(crate) trait Stored: Sized {
    fn put(&self, out: &mut Vec<u8>);
    fn take(from: &mut Reader<'_>) -> Result<Self, RestoreError>;
}

/// Bytes being read.
#[derive(Debug)]
pub(crate) struct Reader<'b> {
    bytes: &'b [u8],
    at: usize,
}

impl<'b> Reader<'b> {
    pub(crate) fn new(bytes: &'b [u8]) -> Self {
        Self { bytes, at: 0 }
    }

    /// The value that was just read cannot be.
    pub(crate) fn refuse(&self) -> RestoreError {
        RestoreError::Value { at: self.at }
    }

    /// All bytes were read.
    pub(crate) fn end(&self) -> Result<(), RestoreError> {
        if self.at == self.bytes.len() {
            return Ok(());
        }
        Err(RestoreError::Length {
            got: self.bytes.len(),
            expected: self.at,
        })
    }

    fn word<const N: usize>(&mut self) -> Result<[u8; N], RestoreError> {
        let word = self.bytes.get(self.at..).and_then(<[u8]>::first_chunk::<N>);
        let word = word.ok_or(RestoreError::Length {
            got: self.bytes.len(),
            expected: self.at + N,
        })?;
        self.at += N;
        Ok(*word)
    }
}

macro_rules! words {
    ($($word:ty),*) => {$(
        impl Stored for $word {
            fn put(&self, out: &mut Vec<u8>) {
                out.extend_from_slice(&self.to_le_bytes());
            }

            fn take(from: &mut Reader<'_>) -> Result<Self, RestoreError> {
                from.word().map(Self::from_le_bytes)
            }
        }
    )*};
}

words!(u8, u16, u32, u64, i32, i64);

impl Stored for f64 {
    fn put(&self, out: &mut Vec<u8>) {
        self.to_bits().put(out);
    }

    fn take(from: &mut Reader<'_>) -> Result<Self, RestoreError> {
        let value = Self::from_bits(u64::take(from)?);
        if value.abs() <= MOST {
            Ok(value)
        } else {
            Err(from.refuse())
        }
    }
}

impl Stored for bool {
    fn put(&self, out: &mut Vec<u8>) {
        u8::from(*self).put(out);
    }

    fn take(from: &mut Reader<'_>) -> Result<Self, RestoreError> {
        match u8::take(from)? {
            0 => Ok(false),
            1 => Ok(true),
            _ => Err(from.refuse()),
        }
    }
}

impl Stored for usize {
    fn put(&self, out: &mut Vec<u8>) {
        (*self as u64).put(out);
    }

    fn take(from: &mut Reader<'_>) -> Result<Self, RestoreError> {
        Self::try_from(u64::take(from)?).map_err(|_| from.refuse())
    }
}

impl<T: Stored> Stored for Option<T> {
    fn put(&self, out: &mut Vec<u8>) {
        self.is_some().put(out);
        if let Some(value) = self {
            value.put(out);
        }
    }

    fn take(from: &mut Reader<'_>) -> Result<Self, RestoreError> {
        bool::take(from)?.then(|| T::take(from)).transpose()
    }
}

impl<T: Stored> Stored for Box<T> {
    fn put(&self, out: &mut Vec<u8>) {
        self.as_ref().put(out);
    }

    fn take(from: &mut Reader<'_>) -> Result<Self, RestoreError> {
        T::take(from).map(Self::new)
    }
}

impl<T: Stored, U: Stored> Stored for (T, U) {
    fn put(&self, out: &mut Vec<u8>) {
        self.0.put(out);
        self.1.put(out);
    }

    fn take(from: &mut Reader<'_>) -> Result<Self, RestoreError> {
        Ok((T::take(from)?, U::take(from)?))
    }
}

impl<T: Stored + Copy + Default, const N: usize> Stored for [T; N] {
    fn put(&self, out: &mut Vec<u8>) {
        self.iter().for_each(|value| value.put(out));
    }

    fn take(from: &mut Reader<'_>) -> Result<Self, RestoreError> {
        let mut values = [T::default(); N];
        for value in &mut values {
            *value = T::take(from)?;
        }
        Ok(values)
    }
}

/// Lists hold one entry a backend at most.
impl<T: Stored> Stored for Vec<T> {
    fn put(&self, out: &mut Vec<u8>) {
        self.len().put(out);
        self.iter().for_each(|value| value.put(out));
    }

    fn take(from: &mut Reader<'_>) -> Result<Self, RestoreError> {
        let count = usize::take(from)?;
        if count > SetState::MOST_BACKENDS {
            return Err(from.refuse());
        }
        (0..count).map(|_| T::take(from)).collect()
    }
}

impl Stored for Nanos {
    fn put(&self, out: &mut Vec<u8>) {
        self.0.put(out);
    }

    fn take(from: &mut Reader<'_>) -> Result<Self, RestoreError> {
        u64::take(from).map(Self)
    }
}

impl Stored for BackendId {
    fn put(&self, out: &mut Vec<u8>) {
        self.0.put(out);
    }

    fn take(from: &mut Reader<'_>) -> Result<Self, RestoreError> {
        u64::take(from).map(Self)
    }
}

/// Gives structs their saved form: the fields in that order, each one named, so that a new field cannot be forgotten.
macro_rules! stored {
    ($($name:path { $($field:ident),* $(,)? })*) => {$(
        impl $crate::save::code::Stored for $name {
            fn put(&self, out: &mut Vec<u8>) {
                let Self { $($field),* } = self;
                $($crate::save::code::Stored::put($field, out);)*
            }

            fn take(from: &mut $crate::save::code::Reader<'_>) -> Result<Self, $crate::RestoreError> {
                Ok(Self { $($field: $crate::save::code::Stored::take(from)?),* })
            }
        }
    )*};
}

/// Gives enums without content their saved form: the place in the list.
macro_rules! stored_names {
    ($($name:ident [ $($variant:ident),* $(,)? ])*) => {$(
        impl $crate::save::code::Stored for $name {
            fn put(&self, out: &mut Vec<u8>) {
                let all = [$(Self::$variant),*];
                let place = all.iter().position(|each| each == self).unwrap_or(0);
                u8::try_from(place).unwrap_or(0).put(out);
            }

            fn take(from: &mut $crate::save::code::Reader<'_>) -> Result<Self, $crate::RestoreError> {
                let place = usize::from(u8::take(from)?);
                [$(Self::$variant),*].get(place).copied().ok_or_else(|| from.refuse())
            }
        }
    )*};
}

pub(crate) use {stored, stored_names};

stored_names! {
    Regime [Laminar, Transition, Crisis, Recovery]
    Enforcement [Normal, Soft, Hard]
}

stored! {
    Isolation { since, evidence, level, hold_until }
}

impl Stored for Evidence {
    fn put(&self, out: &mut Vec<u8>) {
        match *self {
            Self::Latency {
                own,
                peers,
                hits,
                window,
            } => {
                0_u8.put(out);
                ((own, peers), (hits, window)).put(out);
            }
            Self::Silence {
                waiting,
                oldest,
                bound,
            } => {
                1_u8.put(out);
                (waiting, (oldest, bound)).put(out);
            }
            Self::Consecutive { failures } => {
                2_u8.put(out);
                failures.put(out);
            }
            Self::ErrorRate {
                permille,
                peers_permille,
            } => {
                3_u8.put(out);
                (permille, peers_permille).put(out);
            }
            Self::Shared { expires } => {
                4_u8.put(out);
                expires.put(out);
            }
            Self::LeaseLost { leases } => {
                5_u8.put(out);
                leases.put(out);
            }
        }
    }

    fn take(from: &mut Reader<'_>) -> Result<Self, RestoreError> {
        Ok(match u8::take(from)? {
            0 => {
                let ((own, peers), (hits, window)) = Stored::take(from)?;
                Self::Latency {
                    own,
                    peers,
                    hits,
                    window,
                }
            }
            1 => {
                let (waiting, (oldest, bound)) = Stored::take(from)?;
                Self::Silence {
                    waiting,
                    oldest,
                    bound,
                }
            }
            2 => Self::Consecutive {
                failures: Stored::take(from)?,
            },
            3 => {
                let (permille, peers_permille) = Stored::take(from)?;
                Self::ErrorRate {
                    permille,
                    peers_permille,
                }
            }
            4 => Self::Shared {
                expires: Stored::take(from)?,
            },
            5 => Self::LeaseLost {
                leases: Stored::take(from)?,
            },
            _ => return Err(from.refuse()),
        })
    }
}
