//! What ends a run of the bench.

use std::path::PathBuf;

/// What failed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    /// The control plane does not start.
    #[error(transparent)]
    Kit(#[from] continuity_testkit::Error),
    /// The API server refused or did not answer.
    #[error("the API server refused or did not answer: {0}")]
    Api(#[from] kube::Error),
    /// The kubeconfig can not be used.
    #[error("the kubeconfig can not be used: {0}")]
    Kubeconfig(#[from] kube::config::KubeconfigError),
    /// A file can not be read or written.
    #[error("can not use {path}: {source}")]
    File {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// A value is not JSON.
    #[error("a value is not JSON: {0}")]
    Json(#[from] serde_json::Error),
    /// A task of ours ended by a panic.
    #[error("a task of the bench ended: {0}")]
    Task(#[from] tokio::task::JoinError),
    /// Something did not happen in its time.
    #[error("not within {seconds} s: {what}; logs are in {logs}")]
    Late {
        /// What.
        what: String,
        /// Its time.
        seconds: u64,
        /// Where to look.
        logs: PathBuf,
    },
    /// A picture can not be drawn.
    #[error("can not draw {path}: {reason}")]
    Plot {
        /// Where it was to go.
        path: PathBuf,
        /// Why.
        reason: String,
    },
    /// The figures fall short of what is promised.
    #[error("{0} goals are missed; see target/bench/cluster.md")]
    Missed(usize),
}
