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
    /// Address of /debug, on the loopback: callers come by the API server's port-forward. Without it nothing is served.
    #[arg(long, env = "CONTINUITY_DEBUG_LISTEN", value_parser = loopback)]
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

/// An address that only the pod itself reaches.
fn loopback(text: &str) -> Result<SocketAddr, String> {
    let address: SocketAddr = text
        .parse()
        .map_err(|error| format!("{error}; write it as 127.0.0.1:8081"))?;
    if address.ip().is_loopback() {
        Ok(address)
    } else {
        Err("is not on the loopback; /debug is reached by port-forward only, write 127.0.0.1:8081".to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn debug_pages_are_never_served_to_the_network() {
        assert!(loopback("0.0.0.0:8081").is_err());
        assert!(loopback("10.244.0.9:8081").is_err());
        assert!(loopback("8081").is_err());
        assert!(loopback("127.0.0.1:8081").is_ok() && loopback("[::1]:8081").is_ok());
    }

    #[test]
    fn the_arguments_are_consistent() {
        Args::command().debug_assert();
    }
}
