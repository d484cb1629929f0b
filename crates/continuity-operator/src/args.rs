//! Arguments and environment of the binary.

use clap::Parser;
use std::net::SocketAddr;
use std::path::PathBuf;

/// Binds policies to Services, plans, gathers what nodes report, and hints.
#[derive(Clone, Debug, Parser)]
#[command(name = "continuity-operator", version)]
pub struct Args {
    /// Name of this replica, unique among replicas: the holder's name in the Lease.
    #[arg(long, env = "POD_NAME", default_value = "continuity-operator-local")]
    pub pod_name: String,
    /// Namespace of the installation: where the Lease and the serving certificate live.
    #[arg(long, env = "POD_NAMESPACE", default_value = "continuity-system")]
    pub pod_namespace: String,
    /// Address of /healthz, /readyz and /metrics.
    #[arg(long, env = "CONTINUITY_LISTEN", default_value = "0.0.0.0:8080")]
    pub listen: SocketAddr,
    /// Serve external.metrics.k8s.io, so that a HorizontalPodAutoscaler can follow the hint with nothing else installed.
    /// Does nothing while the APIService belongs to somebody else, and says so.
    #[arg(long, env = "CONTINUITY_EXTERNAL_METRICS")]
    pub external_metrics: bool,
    /// Address of external.metrics.k8s.io.
    #[arg(
        long,
        env = "CONTINUITY_EXTERNAL_METRICS_LISTEN",
        default_value = "0.0.0.0:6443"
    )]
    pub external_metrics_listen: SocketAddr,
    /// Service that the APIService names for it; its DNS names stand in the serving certificate.
    #[arg(
        long,
        env = "CONTINUITY_EXTERNAL_METRICS_SERVICE",
        default_value = "continuity-external-metrics"
    )]
    pub external_metrics_service: String,
    /// Serve KEDA's external scaler protocol, so that a ScaledObject can follow the hint.
    #[arg(long, env = "CONTINUITY_KEDA")]
    pub keda: bool,
    /// Address of the external scaler.
    #[arg(long, env = "CONTINUITY_KEDA_LISTEN", default_value = "0.0.0.0:9443")]
    pub keda_listen: SocketAddr,
    /// Service that a ScaledObject's scalerAddress names; its DNS names stand in the serving certificate.
    #[arg(long, env = "CONTINUITY_KEDA_SERVICE", default_value = "continuity-scaler")]
    pub keda_service: String,
    /// Namespace of KEDA: what KEDA shows to the external scaler is put into a Secret there.
    #[arg(long, env = "CONTINUITY_KEDA_NAMESPACE", default_value = "keda")]
    pub keda_namespace: String,
    /// Address of /debug. On the loopback it is plain HTTP, for the API server's port-forward; elsewhere it is TLS, for the API
    /// server's proxy to the pod. Without it nothing is served.
    #[arg(long, env = "CONTINUITY_DEBUG_LISTEN")]
    pub debug_listen: Option<SocketAddr>,
    /// Kubeconfig file; without it the ServiceAccount of the pod, else the usual files.
    #[arg(long, env = "CONTINUITY_KUBECONFIG")]
    pub kubeconfig: Option<PathBuf>,
    /// What is logged: error, warn, info, debug, or a filter such as continuity_operator=debug,kube=warn.
    #[arg(
        long,
        env = "CONTINUITY_LOG",
        default_value = "info,kube_client::client::builder=off"
    )]
    pub log: String,
    /// Log lines for people instead of JSON.
    #[arg(long, env = "CONTINUITY_LOG_TEXT")]
    pub log_text: bool,
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_arguments_are_consistent() {
        Args::command().debug_assert();
    }
}
