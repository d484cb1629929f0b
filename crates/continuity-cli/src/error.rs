//! What can go wrong between the command line and the API server, each with the way out.

use std::fmt;

/// What was being done at the API server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Action {
    /// `get`, `list`, `create`, `delete`, `read the log of`.
    pub verb: &'static str,
    /// Kind or resource, and the name if there is one.
    pub object: String,
}

impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.verb, self.object)
    }
}

/// Everything that ends a command early.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The kubeconfig is missing or broken.
    #[error("no usable kubeconfig: {0}. Set KUBECONFIG or pass --kubeconfig FILE")]
    Kubeconfig(#[from] kube::config::KubeconfigError),
    /// Neither a kubeconfig nor a pod's account was found.
    #[error("no cluster is configured: {0}. Set KUBECONFIG or pass --kubeconfig FILE")]
    Configuration(#[from] kube::config::InferConfigError),
    /// The configuration does not make a client.
    #[error("the kubeconfig does not make a client: {0}")]
    Client(#[source] kube::Error),
    /// The API server answered with a refusal, or not at all.
    #[error("could not {action}: {}", advice(.source))]
    Api {
        /// What was tried.
        action: Action,
        /// The answer.
        source: Box<kube::Error>,
    },
    /// The API server has no such kind.
    #[error("the cluster does not serve {0}. Install Continuity first: kubectl apply -k config/default")]
    NotInstalled(&'static str),
    /// The target on the command line cannot be read.
    #[error("`{0}` is none of svc/NAME, policy/NAME, node/NAME and the name of an EquivalenceSet")]
    Target(String),
    /// No set belongs to the Service, or there is no such set.
    #[error("{0}")]
    NoSet(crate::explain::Absence),
    /// There is no such object.
    #[error("{0}")]
    Unknown(String),
    /// The question was not answered with yes.
    #[error("nothing was changed: the question was not answered with `yes`")]
    Declined,
    /// Nothing names the image that cleans the nodes.
    #[error(
        "there is no DaemonSet continuity-agent in namespace {0}, so nothing says with which image to clean the nodes. \
         If Continuity was removed by hand, pass the image that was installed: --agent-image IMAGE. If it was never \
         installed, there is nothing to do"
    )]
    Image(String),
    /// A node could not be cleaned, so the rest of the installation was left in place.
    #[error("{0}")]
    Unclean(crate::uninstall::Leftover),
    /// The wait for something ended.
    #[error("{what} did not happen within {seconds} s. {remedy}")]
    Timeout {
        /// What was waited for.
        what: String,
        /// How long.
        seconds: u64,
        /// What to do.
        remedy: &'static str,
    },
    /// The shipped manifest or a CRD file does not parse.
    #[error("{file} does not parse: {source}")]
    Manifest {
        /// Which file.
        file: String,
        /// Where.
        source: serde_yaml_ng::Error,
    },
    /// The file of a snapshot can not be used.
    #[error("{0}")]
    Snapshot(String),
    /// The record cannot be made as ordered.
    #[error("{0}")]
    Record(String),
    /// No page of the operator can be had.
    #[error("{0}")]
    Debug(String),
    /// The answer cannot be written as JSON.
    #[error("the answer cannot be written as JSON: {0}")]
    Json(#[from] serde_json::Error),
    /// The answer cannot be written as YAML.
    #[error("the answer cannot be written as YAML: {0}")]
    Yaml(#[from] serde_yaml_ng::Error),
    /// A file or the terminal failed.
    #[error("{what}: {source}")]
    File {
        /// Which.
        what: String,
        /// How.
        source: std::io::Error,
    },
}

/// Kinds of failure, each with its exit code.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Category {
    /// The answer is bad.
    Bad,
    /// Wrong usage, or the named object does not exist.
    Usage,
    /// The API server could not be asked.
    Unreachable,
}

impl Category {
    /// The process's exit code.
    #[must_use]
    pub fn code(self) -> u8 {
        match self {
            Self::Bad => 1,
            Self::Usage => 2,
            Self::Unreachable => 3,
        }
    }
}

impl Error {
    /// Wraps an answer of the API server.
    pub fn api(verb: &'static str, object: impl Into<String>) -> impl FnOnce(kube::Error) -> Self {
        let action = Action {
            verb,
            object: object.into(),
        };
        move |source| Self::Api {
            action,
            source: Box::new(source),
        }
    }

    /// The kind of failure.
    #[must_use]
    pub fn category(&self) -> Category {
        match self {
            Self::Target(_)
            | Self::NoSet(_)
            | Self::Unknown(_)
            | Self::NotInstalled(_)
            | Self::Image(_)
            | Self::Snapshot(_)
            | Self::Record(_)
            | Self::Debug(_)
            | Self::Declined => Category::Usage,
            Self::Unclean(_)
            | Self::Timeout { .. }
            | Self::Manifest { .. }
            | Self::Json(_)
            | Self::Yaml(_)
            | Self::File { .. } => Category::Bad,
            Self::Kubeconfig(_) | Self::Configuration(_) | Self::Client(_) | Self::Api { .. } => {
                Category::Unreachable
            }
        }
    }
}

/// The API server's own sentence, with what to do about it.
fn advice(source: &kube::Error) -> String {
    match source {
        kube::Error::Api(status) if status.code == 401 => {
            format!(
                "{}. The credentials of this context are not accepted; log in again",
                status.message
            )
        }
        kube::Error::Api(status) if status.code == 403 => {
            format!(
                "{}. Ask an administrator for that right, or use another --context",
                status.message
            )
        }
        kube::Error::Api(status) => status.message.clone(),
        other => format!(
            "{}. Is the API server of this context up and reachable?",
            root(other)
        ),
    }
}

/// The innermost cause: "connection refused" helps, "service error" does not.
fn root(error: &dyn std::error::Error) -> String {
    let mut cause = error;
    while let Some(inner) = cause.source() {
        cause = inner;
    }
    cause.to_string()
}
