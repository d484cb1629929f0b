//! What can end a command of this binary. The running agent has no errors of this kind after its start: it reports and
//! goes on.

use std::io;

/// An error that ends the process.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The node's name is not known.
    #[error("NODE_NAME is empty: set it from the downward API (fieldRef spec.nodeName) or pass --node-name")]
    NoNodeName,
    /// The runtime or a thread could not be started.
    #[error("could not start {what}: {source}")]
    Start {
        /// What.
        what: &'static str,
        /// Why.
        source: io::Error,
    },
    /// The node loop ended by itself.
    #[error(
        "the node loop ended unexpectedly; the kernel goes by its last field, then falls back to kube-proxy"
    )]
    LoopEnded,
    /// The dataplane refused.
    #[error(transparent)]
    Dataplane(#[from] continuity_dataplane::Error),
    /// A report could not be written as JSON.
    #[error("could not write the report: {0}")]
    Print(#[from] serde_json::Error),
    /// Standard output is gone.
    #[error("could not print: {0}")]
    Output(#[from] io::Error),
}

/// What an error calls for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Category {
    /// A person has to change the manifest.
    Configuration,
    /// The node or its kernel.
    Node,
    /// A fault of ours.
    Internal,
}

impl Error {
    /// What it calls for.
    #[must_use]
    pub const fn category(&self) -> Category {
        match self {
            Self::NoNodeName => Category::Configuration,
            Self::Start { .. } | Self::Dataplane(_) | Self::Output(_) => Category::Node,
            Self::LoopEnded | Self::Print(_) => Category::Internal,
        }
    }
}
