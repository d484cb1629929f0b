//! What the law refuses, and why; each one keeps the last good field.

use crate::{BackendId, Nanos};

/// What kind of trouble an error is, for metrics and back-off.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ErrorCategory {
    /// The caller handed in something that cannot be; retrying the same input gives the same error.
    Input,
    /// The clock did something that passes by itself.
    Clock,
    /// Saved bytes of another version or damaged ones: start without them.
    Stored,
}

/// Input that a step refuses. The outcome then repeats the last good field.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum InputError {
    /// The clock went back.
    #[error("the clock went back by {by}: the field stays as it was until time passes {} ns again", last.0)]
    ClockBackwards {
        /// How far.
        by: Nanos,
        /// The latest instant the state has seen.
        last: Nanos,
    },
    /// Two samples carry the same backend.
    #[error("backend {0:?} occurs twice in the samples: send each backend once a step")]
    DuplicateBackend(BackendId),
    /// More backends than a set may have.
    #[error("{got} backends in one set, at most {most} are supported: the field stays as it was")]
    TooManyBackends {
        /// How many came.
        got: usize,
        /// The bound.
        most: usize,
    },
}

impl InputError {
    /// The kind of trouble.
    pub fn category(&self) -> ErrorCategory {
        match self {
            Self::ClockBackwards { .. } => ErrorCategory::Clock,
            Self::DuplicateBackend(_) | Self::TooManyBackends { .. } => ErrorCategory::Input,
        }
    }
}

/// Why saved bytes could not be taken over. The right answer is to start from nothing and learn again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum RestoreError {
    /// Written by another version.
    #[error("saved state has version {found}, this law reads version {expected}: it starts without it")]
    Version {
        /// In the bytes.
        found: u32,
        /// Readable here.
        expected: u32,
    },
    /// Ends early, or has bytes left over.
    #[error("saved state is {got} bytes long, {expected} were expected: it starts without it")]
    Length {
        /// In hand.
        got: usize,
        /// Needed.
        expected: usize,
    },
    /// A value that no state can hold.
    #[error("saved state holds an impossible value at byte {at}: it starts without it")]
    Value {
        /// Offset of the value.
        at: usize,
    },
}

impl RestoreError {
    /// The kind of trouble.
    pub fn category(&self) -> ErrorCategory {
        ErrorCategory::Stored
    }
}
