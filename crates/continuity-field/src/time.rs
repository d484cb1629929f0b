//! Time as the law sees it: nanoseconds of the kernel's monotonic clock, handed in, never read.
//!
//! The same type serves instants and durations: both are differences to some origin, and every subtraction saturates,
//! so that a clock that steps back gives zero instead of a panic or a giant.

use std::fmt;
use std::ops::Add;

/// Nanoseconds; an instant of `CLOCK_MONOTONIC` or a duration. Range 0 ..= 2^64 − 1 (584 years).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Nanos(pub u64);

impl Nanos {
    /// No time at all; as an instant, the boot of the machine.
    pub const ZERO: Self = Self(0);

    /// From microseconds, saturating.
    pub const fn from_micros(micros: u64) -> Self {
        Self(micros.saturating_mul(1_000))
    }

    /// From milliseconds, saturating.
    pub const fn from_millis(millis: u64) -> Self {
        Self(millis.saturating_mul(1_000_000))
    }

    /// From seconds, saturating.
    pub const fn from_secs(seconds: u64) -> Self {
        Self(seconds.saturating_mul(1_000_000_000))
    }

    /// Time from `earlier` to this instant; zero if `earlier` is later.
    pub const fn since(self, earlier: Self) -> Self {
        Self(self.0.saturating_sub(earlier.0))
    }

    /// Whole milliseconds, rounded down.
    pub const fn as_millis(self) -> u64 {
        self.0 / 1_000_000
    }

    /// Whole microseconds, rounded down.
    pub const fn as_micros(self) -> u64 {
        self.0 / 1_000
    }

    /// Seconds with fraction.
    pub fn as_secs_f64(self) -> f64 {
        self.0 as f64 / 1e9
    }
}

impl Add for Nanos {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self(self.0.saturating_add(other.0))
    }
}

impl fmt::Display for Nanos {
    /// The form a person reads: `850 µs`, `21 ms`, `4.2 s`, `3 min`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let micros = self.as_micros();
        match micros {
            0..1_000 => write!(f, "{micros} µs"),
            1_000..10_000 => write!(f, "{}.{} ms", micros / 1_000, micros % 1_000 / 100),
            10_000..2_000_000 => write!(f, "{} ms", micros / 1_000),
            2_000_000..120_000_000 => write!(f, "{}.{} s", micros / 1_000_000, micros % 1_000_000 / 100_000),
            _ => write!(f, "{} min", micros / 60_000_000),
        }
    }
}
