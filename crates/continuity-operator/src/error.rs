//! Errors, and the closed set of categories that labels, back-off and conditions use.

use std::io;
use std::net::SocketAddr;
use thiserror::Error;

/// What the CRDs say to a writer whose epoch has passed.
const FENCED: &str = "the writer is no longer the leader";

/// What the API server says to whoever makes something in a namespace that is being deleted.
const TERMINATING: &str = "because it is being terminated";

/// What failed.
#[derive(Debug, Error)]
pub enum Error {
    /// No way to the API server could be found.
    #[error("no cluster to talk to: {0}; run in a pod, or give --kubeconfig")]
    NoCluster(#[source] kube::config::InferConfigError),
    /// The kubeconfig can not be used.
    #[error("the kubeconfig can not be used: {0}")]
    Kubeconfig(#[from] kube::config::KubeconfigError),
    /// A request to the API server failed.
    #[error("the API server refused or did not answer: {0}")]
    Api(#[from] kube::Error),
    /// A request to the API server took too long.
    #[error("the API server did not answer in {0} s")]
    Slow(u64),
    /// This replica does not lead, or no longer.
    #[error("this replica does not lead; nothing was written")]
    NotLeading,
    /// An address can not be listened on.
    #[error("can not listen on {address}: {source}; choose another address")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// Why.
        source: io::Error,
    },
    /// A value does not serialise: a fault of ours.
    #[error("a value does not serialise: {0}")]
    Serialise(#[from] serde_json::Error),
    /// A metric can not be registered: a fault of ours.
    #[error("a metric can not be registered: {0}")]
    Metric(#[from] prometheus::Error),
    /// A certificate can not be made.
    #[error("the serving certificate can not be made: {0}")]
    Certificate(#[from] rcgen::Error),
    /// TLS can not be set up.
    #[error("TLS can not be set up: {0}")]
    Tls(#[from] rustls::Error),
    /// The client verifier can not be set up.
    #[error("client certificates can not be verified: {0}")]
    Verifier(#[from] rustls::server::VerifierBuilderError),
    /// A PEM text holds no usable item.
    #[error("PEM of {what} can not be used: {source}")]
    Pem {
        /// Which text.
        what: &'static str,
        /// Why.
        source: rustls::pki_types::pem::Error,
    },
    /// The cluster has no request-header CA: the aggregation layer is off.
    #[error(
        "ConfigMap kube-system/extension-apiserver-authentication has no requestheader-client-ca-file: \
         enable the aggregation layer of the API server, or drop --external-metrics"
    )]
    NoFrontProxy,
    /// The Secret with the serving certificate has not the keys it needs.
    #[error("Secret {0} lacks tls.crt, tls.key or ca.crt; delete it, and it is made again")]
    BadSecret(String),
}

/// Closed set of kinds of failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Category {
    /// 401.
    Unauthorized,
    /// 403.
    Forbidden,
    /// 404 or 410: the object, or its version, is gone.
    Gone,
    /// 403, because the namespace is being deleted: nothing new can be made there.
    Terminating,
    /// 409.
    Conflict,
    /// 422 or 400: the server will not take this body.
    Invalid,
    /// 429.
    Throttled,
    /// 5xx, no connection.
    Unavailable,
    /// No answer in time.
    Timeout,
    /// This replica does not lead.
    NotLeading,
    /// A fault of ours or of the installation.
    Internal,
}

impl Category {
    /// Every category.
    pub const ALL: [Self; 11] = [
        Self::Unauthorized,
        Self::Forbidden,
        Self::Gone,
        Self::Terminating,
        Self::Conflict,
        Self::Invalid,
        Self::Throttled,
        Self::Unavailable,
        Self::Timeout,
        Self::NotLeading,
        Self::Internal,
    ];

    /// As a metric label.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Unauthorized => "unauthorized",
            Self::Forbidden => "forbidden",
            Self::Gone => "gone",
            Self::Terminating => "terminating",
            Self::Conflict => "conflict",
            Self::Invalid => "invalid",
            Self::Throttled => "throttled",
            Self::Unavailable => "unavailable",
            Self::Timeout => "timeout",
            Self::NotLeading => "not_leading",
            Self::Internal => "internal",
        }
    }

    /// What a person can do about it, for the log.
    #[must_use]
    pub const fn remedy(self) -> &'static str {
        match self {
            Self::Unauthorized => {
                "the token is refused: a pod gets a new one by itself within minutes; if this stays, restart the pod, and see \
                 that its ServiceAccount exists"
            }
            Self::Forbidden => {
                "a right is missing: apply the role and its binding again (config/rbac), and see that no admission policy \
                 of the cluster is in the way"
            }
            Self::Gone => "none is needed: what was meant is gone, and the present list replaces the old one",
            Self::Terminating => {
                "none is needed while the namespace goes; if it stays, see which finalizer holds it: \
                 kubectl get namespace NAME -o yaml"
            }
            Self::Conflict => "none is needed: it is decided again from the newer version",
            Self::Invalid => {
                "the API server does not take this content: apply the CRDs of this version (crds/), and report it if it stays"
            }
            Self::Throttled => {
                "the API server asks to wait; if this stays, see its load and the FlowSchema of Continuity"
            }
            Self::Unavailable | Self::Timeout => "see the API server and the way to it; what waits is kept",
            Self::NotLeading => "none is needed: another replica leads and decides anew",
            Self::Internal => "a fault of Continuity or of its installation: report it with this line",
        }
    }

    /// Category of an HTTP status of the API server.
    #[must_use]
    pub const fn of_code(code: u16) -> Self {
        match code {
            401 => Self::Unauthorized,
            403 => Self::Forbidden,
            404 | 410 => Self::Gone,
            409 => Self::Conflict,
            400 | 413 | 415 | 422 => Self::Invalid,
            429 => Self::Throttled,
            408 | 504 => Self::Timeout,
            _ => Self::Unavailable,
        }
    }
}

impl Error {
    /// Kind of failure.
    #[must_use]
    pub fn category(&self) -> Category {
        match self {
            // The CRDs' transition rule: a newer leader has written this object.
            Self::Api(kube::Error::Api(status)) if status.message.contains(FENCED) => Category::NotLeading,
            Self::Api(kube::Error::Api(status)) if status.message.contains(TERMINATING) => {
                Category::Terminating
            }
            Self::Api(kube::Error::Api(status)) => Category::of_code(status.code),
            Self::Api(kube::Error::SerdeError(_) | kube::Error::BuildRequest(_)) => Category::Internal,
            Self::Api(kube::Error::Auth(_)) => Category::Unauthorized,
            Self::Api(_) => Category::Unavailable,
            Self::Slow(_) => Category::Timeout,
            Self::NotLeading => Category::NotLeading,
            Self::NoCluster(_)
            | Self::Kubeconfig(_)
            | Self::Listen { .. }
            | Self::Serialise(_)
            | Self::Metric(_)
            | Self::Certificate(_)
            | Self::Tls(_)
            | Self::Verifier(_)
            | Self::Pem { .. }
            | Self::NoFrontProxy
            | Self::BadSecret(_) => Category::Internal,
        }
    }
}
