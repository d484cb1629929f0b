//! What a test wants to know of the kernel, read past the code under test.
//!
//! Two questions: which BPF programs and maps does this machine have, and what do the pinned maps of one node say. Of the
//! product it shares the layout of the maps and nothing else, and it writes nothing. It is a program of its own so that
//! the driver needs no BPF library.

pub mod maps;
pub mod objects;

/// What can go wrong.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The kernel does not list its objects: that takes root.
    #[error("cannot list the {kind}s of this machine (root is needed): {source}")]
    List {
        /// Program or map.
        kind: &'static str,
        /// What the kernel answered.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// A pinned map could not be opened or read.
    #[error("cannot read {}: {source}", path.display())]
    Map {
        /// The pin.
        path: std::path::PathBuf,
        /// What the kernel answered.
        source: aya::maps::MapError,
    },
    /// The answer could not be written.
    #[error("cannot write the answer: {0}")]
    Write(#[from] serde_json::Error),
}
