//! Why a signal is missing.

use std::io;
use std::path::PathBuf;

use crate::PodId;

/// What kind of trouble it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Category {
    /// The kernel or the mounts do not offer it.
    Absent,
    /// It is there and may not be read.
    Denied,
    /// It is not what the kernel documents.
    Malformed,
}

/// Why a signal is missing.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SensorError {
    /// The file is not there.
    #[error("{path} is not there: the kernel lacks it, it is switched off, or it is not mounted")]
    Absent {
        /// Which.
        path: PathBuf,
    },
    /// It could not be read.
    #[error("{path} cannot be read: {kind}")]
    Unreadable {
        /// Which.
        path: PathBuf,
        /// Why.
        kind: io::ErrorKind,
    },
    /// It is longer than anything the kernel writes there.
    #[error("{path} is longer than {most} bytes")]
    TooLong {
        /// Which.
        path: PathBuf,
        /// The bound.
        most: usize,
    },
    /// A field is missing or not a number.
    #[error("{path} holds no {field}")]
    Malformed {
        /// Which.
        path: PathBuf,
        /// Which field.
        field: &'static str,
    },
    /// No cgroup hierarchy is mounted where it was looked for.
    #[error("no cgroup hierarchy below {path}")]
    NoHierarchy {
        /// Where.
        path: PathBuf,
    },
    /// The pod's cgroup was not found.
    #[error("no cgroup of pod {pod} below {path}")]
    NoPod {
        /// Which pod.
        pod: PodId,
        /// Where.
        path: PathBuf,
    },
}

impl SensorError {
    /// What kind of trouble it is.
    #[must_use]
    pub const fn category(&self) -> Category {
        match self {
            Self::Absent { .. } | Self::NoHierarchy { .. } | Self::NoPod { .. } => Category::Absent,
            Self::Unreadable { .. } => Category::Denied,
            Self::TooLong { .. } | Self::Malformed { .. } => Category::Malformed,
        }
    }
}
