//! What can be wrong with a scenario, said so that its author can mend it.

use super::names;

/// What kind of trouble an error is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ErrorCategory {
    /// The file must be changed.
    Input,
    /// The machine did not let us read it.
    Io,
}

/// Why a scenario cannot run.
#[derive(Debug, thiserror::Error)]
pub enum ScenarioError {
    /// Neither shipped nor a file.
    #[error("no scenario {0:?}: give a path, or one of {list}", list = names().join(" "))]
    Unknown(String),
    /// The file cannot be read.
    #[error("{path}: {source}")]
    Read {
        /// Which file.
        path: String,
        /// Why.
        source: std::io::Error,
    },
    /// Not YAML, or not of this schema; the message names line and field.
    #[error("scenario file: {0} (`continuity-harness schema` prints what is allowed)")]
    Syntax(serde_yaml_ng::Error),
    /// Another format version.
    #[error("scenario format version {found}, this program reads version {expected}")]
    Version {
        /// In the file.
        found: u32,
        /// Ours.
        expected: u32,
    },
    /// A number out of its range.
    #[error("{field} is {value}, must be from {least} to {most}")]
    Range {
        /// Path of the field.
        field: &'static str,
        /// What the file says.
        value: f64,
        /// Lower bound.
        least: f64,
        /// Upper bound.
        most: f64,
    },
}

impl ScenarioError {
    /// The kind of trouble.
    #[must_use]
    pub fn category(&self) -> ErrorCategory {
        match self {
            Self::Read { .. } => ErrorCategory::Io,
            _ => ErrorCategory::Input,
        }
    }
}
