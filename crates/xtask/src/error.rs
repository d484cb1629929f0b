//! The one error type of the developer tool.
//!
//! Every variant carries what a person needs to act: the command and the end of its output, the file, or what was
//! waited for and the last answer. Exit status 2 means "the machine lacks something and nothing was changed",
//! 1 is every other failure.

use std::io;
use std::path::{Path, PathBuf};
use std::process::{ExitCode, ExitStatus};
use std::time::Duration;

/// What can go wrong in a task.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A file could not be read, written, created or removed.
    #[error("cannot {action} {}: {source}", path.display())]
    File {
        /// What was tried, as a verb.
        action: &'static str,
        /// The file or folder.
        path: PathBuf,
        /// What the kernel answered.
        source: io::Error,
    },
    /// A system call failed.
    #[error("cannot {action} {subject}: {source}")]
    System {
        /// What was tried, as a verb.
        action: &'static str,
        /// What it was tried on.
        subject: String,
        /// What the kernel answered.
        source: nix::Error,
    },
    /// A program could not be started.
    #[error("cannot start {program}: {source}")]
    Spawn {
        /// The program as it was called.
        program: String,
        /// What the kernel answered.
        source: io::Error,
    },
    /// A program ran and failed.
    #[error("`{command}` failed ({status})\n{tail}")]
    Failed {
        /// The command line.
        command: String,
        /// How it ended.
        status: ExitStatus,
        /// The last lines it wrote.
        tail: String,
    },
    /// Something did not happen in time.
    #[error("waited {} s for {what}; the last answer was: {last}", waited.as_secs())]
    Timeout {
        /// What was waited for.
        what: String,
        /// For how long.
        waited: Duration,
        /// What was seen last.
        last: String,
    },
    /// The machine lacks something that only its owner can provide.
    #[error("this machine lacks what the task needs; nothing was changed:\n{}", missing.join("\n"))]
    Missing {
        /// One line each: what, and the command that provides it.
        missing: Vec<String>,
    },
    /// A file or an answer is not the JSON it should be.
    #[error("{what} is not the JSON it should be: {source}")]
    Json {
        /// Which document.
        what: String,
        /// Where it broke.
        source: serde_json::Error,
    },
    /// A pod of the workload could not be talked to.
    #[error("cannot talk to pod {pod}: {source}")]
    Pod {
        /// Which pod.
        pod: String,
        /// What the kernel answered.
        source: io::Error,
    },
    /// A certificate could not be made.
    #[error("cannot make the certificate of {subject}: {source}")]
    Certificate {
        /// Whose certificate.
        subject: String,
        /// What the generator said.
        source: rcgen::Error,
    },
    /// A command needs a cluster and none is up.
    #[error("no cluster is up; start one with `cargo xtask cluster up`")]
    NoCluster,
    /// Another process has brought the cluster up or is taking it down.
    #[error(
        "another task works with the cluster (a demo, a test, up or down); wait for it, or end it with Ctrl-C"
    )]
    Busy,
    /// The name of a node or part that the cluster does not have.
    #[error("the cluster has no {kind} called {name:?}; it has {known}")]
    Unknown {
        /// Node or part.
        kind: &'static str,
        /// What was asked for.
        name: String,
        /// What there is.
        known: String,
    },
    /// A check or a test ran to its end and found something.
    #[error("{summary}")]
    Findings {
        /// What was found, one line each.
        summary: String,
    },
}

impl Error {
    /// A bounded label of what kind of failure this is.
    pub fn category(&self) -> &'static str {
        match self {
            Self::File { .. } | Self::System { .. } | Self::Pod { .. } => "system",
            Self::Spawn { .. } | Self::Failed { .. } => "command",
            Self::Timeout { .. } => "timeout",
            Self::Missing { .. } => "missing",
            Self::Json { .. } | Self::Certificate { .. } => "data",
            Self::NoCluster | Self::Busy | Self::Unknown { .. } => "usage",
            Self::Findings { .. } => "findings",
        }
    }

    /// The exit status a task ends with: 2 where the machine lacks something, else 1.
    pub fn exit_code(&self) -> ExitCode {
        match self {
            Self::Missing { .. } => ExitCode::from(2),
            _ => ExitCode::FAILURE,
        }
    }

    /// For `map_err`: a failed file operation.
    pub fn file(action: &'static str, path: impl AsRef<Path>) -> impl FnOnce(io::Error) -> Self {
        let path = path.as_ref().to_owned();
        move |source| Self::File { action, path, source }
    }

    /// For `map_err`: a failed system call.
    pub fn system(action: &'static str, subject: impl Into<String>) -> impl FnOnce(nix::Error) -> Self {
        let subject = subject.into();
        move |source| Self::System {
            action,
            subject,
            source,
        }
    }
}
