//! What can go wrong while results are written.

use std::path::PathBuf;

/// Why a result was not written.
#[derive(Debug, thiserror::Error)]
pub enum OutputError {
    /// The file system refused.
    #[error("{path}: {source}", path = path.display())]
    Write {
        /// Which file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// A figure could not be put into JSON.
    #[error("results as JSON: {0}")]
    Json(#[from] serde_json::Error),
    /// A picture could not be drawn.
    #[error("plot {path}: {reason}", path = path.display())]
    Plot {
        /// Which file.
        path: PathBuf,
        /// What the drawing library said.
        reason: String,
    },
}

impl OutputError {
    /// All of them are the machine's doing, not the input's.
    #[must_use]
    pub fn category(&self) -> crate::scenario::ErrorCategory {
        crate::scenario::ErrorCategory::Io
    }
}
