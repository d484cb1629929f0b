//! What can go wrong with the kit itself.

use std::io;
use std::path::PathBuf;
use thiserror::Error;

/// What failed.
#[derive(Debug, Error)]
pub enum Error {
    /// No port of the loopback can be listened on.
    #[error("no port of the loopback is free: {0}; free one")]
    Listen(#[from] io::Error),
    /// The binary of the control plane is not there.
    #[error(
        "{0} is missing: build the cluster parts with `cargo xtask cluster up`, or set CONTINUITY_KUBERNETES"
    )]
    Missing(PathBuf),
    /// A file can not be written.
    #[error("can not write {path}: {source}")]
    File {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A program does not start.
    #[error("{program} does not start: {source}")]
    Spawn {
        /// The program.
        program: String,
        /// Why.
        source: io::Error,
    },
    /// A certificate can not be made.
    #[error("a certificate can not be made: {0}")]
    Certificate(#[from] rcgen::Error),
}

impl Error {
    /// Kind of failure, as a label.
    #[must_use]
    pub const fn category(&self) -> &'static str {
        match self {
            Self::Listen(_) => "listen",
            Self::Missing(_) => "missing",
            Self::File { .. } => "file",
            Self::Spawn { .. } => "spawn",
            Self::Certificate(_) => "certificate",
        }
    }
}
