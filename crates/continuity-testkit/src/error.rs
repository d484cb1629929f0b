//! What can go wrong with the kit itself.

use std::io;
use thiserror::Error;

/// What failed.
#[derive(Debug, Error)]
pub enum Error {
    /// No port of the loopback can be listened on.
    #[error("the proxy can not listen on the loopback: {0}; free a port")]
    Listen(#[from] io::Error),
}

impl Error {
    /// Kind of failure, as a label.
    #[must_use]
    pub const fn category(&self) -> &'static str {
        match self {
            Self::Listen(_) => "listen",
        }
    }
}
