//! The control plane: etcd, API server, controller manager, scheduler and CoreDNS as processes of one namespace.
//!
//! Each has a cgroup of its own, which is how it is found and ended. Leader election is off (there is one of each)
//! and etcd does not sync its file: the cluster is thrown away, and tests need the two cores.

use std::fs;
use std::net::{IpAddr, SocketAddr, TcpStream};
use std::time::Duration;

use super::layout::{self, CONTROL, CONTROL_V4, CONTROL_V6, POD_CIDRS, SERVICE_CIDRS};
use super::{cgroup, kubeconfig, wait_for};
use crate::process::Run;
use crate::{Error, paths};

/// A part may compile nothing and wait for nothing; this is many times what it takes on two busy cores.
const START: Duration = Duration::from_secs(60);
const POLL: Duration = Duration::from_millis(100);
const ETCD: &str = "http://127.0.0.1:2379";

/// One process of the control plane.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Part {
    /// The store.
    Etcd,
    /// The API server.
    Apiserver,
    /// The controllers, the HorizontalPodAutoscaler among them.
    ControllerManager,
    /// The scheduler.
    Scheduler,
    /// The name server.
    Coredns,
}

impl Part {
    /// Every part in the order in which they start.
    pub const ALL: [Self; 5] = [
        Self::Etcd,
        Self::Apiserver,
        Self::ControllerManager,
        Self::Scheduler,
        Self::Coredns,
    ];
    /// What is "the control plane" where it is stopped as a fault: all that decides, without store and names.
    pub const LOGIC: [Self; 3] = [Self::Apiserver, Self::ControllerManager, Self::Scheduler];

    /// Its name in logs, cgroups and on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Self::Etcd => "etcd",
            Self::Apiserver => "apiserver",
            Self::ControllerManager => "controller-manager",
            Self::Scheduler => "scheduler",
            Self::Coredns => "coredns",
        }
    }

    pub(super) fn cgroup(self) -> String {
        format!("control/{}", self.name())
    }

    /// Whether its process is there.
    pub fn runs(self) -> Result<bool, Error> {
        cgroup::populated(&self.cgroup())
    }

    /// Where it answers when it serves.
    fn serves(self) -> SocketAddr {
        let (ip, port) = match self {
            Self::Etcd => (IpAddr::from([127, 0, 0, 1]), 2379),
            Self::Apiserver => (IpAddr::V4(CONTROL_V4), layout::API_PORT),
            Self::ControllerManager => (IpAddr::from([127, 0, 0, 1]), 10257),
            Self::Scheduler => (IpAddr::from([127, 0, 0, 1]), 10259),
            Self::Coredns => (IpAddr::V4(CONTROL_V4), 53),
        };
        SocketAddr::new(ip, port)
    }
}

/// Writes what the parts read: kubeconfigs and the name server's configuration.
pub(super) fn configure() -> Result<(), Error> {
    for identity in ["controller-manager", "scheduler", "coredns", "proxy"] {
        kubeconfig::write(identity, &kubeconfig::path(identity))?;
    }
    kubeconfig::write("admin", &layout::admin_kubeconfig())?;
    let path = corefile_path();
    fs::write(&path, corefile()).map_err(Error::file("write", path))
}

/// Starts a part; it serves a little later.
pub(super) fn start(part: Part) -> Result<(), Error> {
    if part.runs()? {
        return Ok(());
    }
    let program = match part {
        Part::Coredns => vec![layout::bin().join("coredns").display().to_string()],
        _ => vec![layout::bin().join("kubernetes").display().to_string()],
    };
    enter()
        .args(["--detach", "--cgroup", "control", "--part", &part.cgroup(), "--"])
        .args(program)
        .args(arguments(part))
        .log(layout::log(part.name()))
        .start()
}

/// Waits until a part serves.
pub(super) fn wait_ready(part: Part) -> Result<(), Error> {
    wait_for(
        &format!("{} (see {})", part.name(), super::log_hint()),
        START,
        POLL,
        || {
            if !part.runs().map_err(|error| error.to_string())? {
                return Err("its process has ended".to_owned());
            }
            let dialled = super::in_netns(CONTROL, || TcpStream::connect_timeout(&part.serves(), START));
            dialled
                .and_then(|stream| stream)
                .map_err(|error| error.to_string())?;
            if part != Part::Apiserver {
                return Ok(());
            }
            let answer = kubectl().args(["get", "--raw", "/readyz"]).output();
            answer.map(drop).map_err(|error| error.to_string())
        },
    )
}

/// kubectl as the administrator, inside the control plane's namespace.
pub(super) fn kubectl() -> Run {
    let program = layout::bin().join("kubernetes");
    enter()
        .arg("--")
        .arg(program)
        .arg("kubectl")
        .arg("--kubeconfig")
        .arg(layout::admin_kubeconfig())
}

pub(super) fn enter() -> Run {
    Run::new("/proc/self/exe")
        .args(["enter", "--netns"])
        .arg(layout::netns_path(CONTROL))
}

fn arguments(part: Part) -> Vec<String> {
    match part {
        Part::Etcd => etcd(),
        Part::Apiserver => api_server(),
        Part::ControllerManager => controller_manager(),
        Part::Scheduler => scheduler(),
        Part::Coredns => vec!["-conf".to_owned(), corefile_path().display().to_string()],
    }
}

fn etcd() -> Vec<String> {
    let data = paths::cluster().join("etcd").display().to_string();
    let peer = "http://127.0.0.1:2380";
    let flags = [
        ("data-dir", data.as_str()),
        ("listen-client-urls", ETCD),
        ("advertise-client-urls", ETCD),
        ("listen-peer-urls", peer),
        ("initial-advertise-peer-urls", peer),
        ("initial-cluster", "default=http://127.0.0.1:2380"),
        ("unsafe-no-fsync", "true"),
        ("log-level", "warn"),
    ];
    command("etcd", &flags)
}

fn api_server() -> Vec<String> {
    let file = |name: &str| layout::pki().join(name).display().to_string();
    let flags = [
        ("etcd-servers", ETCD.to_owned()),
        ("advertise-address", CONTROL_V4.to_string()),
        ("secure-port", layout::API_PORT.to_string()),
        ("client-ca-file", file("ca.crt")),
        ("tls-cert-file", file("apiserver.crt")),
        ("tls-private-key-file", file("apiserver.key")),
        ("kubelet-certificate-authority", file("ca.crt")),
        ("kubelet-client-certificate", file("apiserver-kubelet.crt")),
        ("kubelet-client-key", file("apiserver-kubelet.key")),
        ("kubelet-preferred-address-types", "InternalIP".to_owned()),
        (
            "service-account-issuer",
            "https://kubernetes.default.svc.cluster.local".to_owned(),
        ),
        ("service-account-key-file", file("service-accounts.pub")),
        ("service-account-signing-key-file", file("service-accounts.key")),
        ("service-cluster-ip-range", SERVICE_CIDRS.to_owned()),
        ("authorization-mode", "Node,RBAC".to_owned()),
        ("enable-admission-plugins", "NodeRestriction".to_owned()),
        ("allow-privileged", "true".to_owned()),
        // Aggregated APIs and webhooks are reached at their pods: no kube-proxy runs in this namespace.
        ("enable-aggregator-routing", "true".to_owned()),
        ("requestheader-client-ca-file", file("front-proxy-ca.crt")),
        ("requestheader-allowed-names", "front-proxy-client".to_owned()),
        ("requestheader-extra-headers-prefix", "X-Remote-Extra-".to_owned()),
        ("requestheader-group-headers", "X-Remote-Group".to_owned()),
        ("requestheader-username-headers", "X-Remote-User".to_owned()),
        ("proxy-client-cert-file", file("front-proxy.crt")),
        ("proxy-client-key-file", file("front-proxy.key")),
        ("profiling", "false".to_owned()),
    ];
    command("kube-apiserver", &flags)
}

fn controller_manager() -> Vec<String> {
    let config = kubeconfig::path("controller-manager").display().to_string();
    let file = |name: &str| layout::pki().join(name).display().to_string();
    let flags = [
        ("kubeconfig", config.clone()),
        ("authentication-kubeconfig", config.clone()),
        ("authorization-kubeconfig", config),
        ("service-account-private-key-file", file("service-accounts.key")),
        ("root-ca-file", file("ca.crt")),
        ("use-service-account-credentials", "true".to_owned()),
        ("cluster-cidr", POD_CIDRS.to_owned()),
        ("horizontal-pod-autoscaler-sync-period", "2s".to_owned()),
        ("leader-elect", "false".to_owned()),
        ("bind-address", "127.0.0.1".to_owned()),
        ("profiling", "false".to_owned()),
    ];
    command("kube-controller-manager", &flags)
}

fn scheduler() -> Vec<String> {
    let config = kubeconfig::path("scheduler").display().to_string();
    let flags = [
        ("kubeconfig", config.as_str()),
        ("authentication-kubeconfig", &config),
        ("authorization-kubeconfig", &config),
        ("leader-elect", "false"),
        ("bind-address", "127.0.0.1"),
        ("profiling", "false"),
    ];
    command("kube-scheduler", &flags)
}

fn command(name: &str, flags: &[(&str, impl AsRef<str>)]) -> Vec<String> {
    let flags = flags
        .iter()
        .map(|(flag, value)| format!("--{flag}={}", value.as_ref()));
    std::iter::once(name.to_owned()).chain(flags).collect()
}

fn corefile_path() -> std::path::PathBuf {
    paths::cluster().join("Corefile")
}

/// Nothing is forwarded: the cluster has no way out, and a name outside of it gets its answer at once.
fn corefile() -> String {
    let config = kubeconfig::path("coredns");
    format!(
        ".:53 {{\n\
         \tbind {CONTROL_V4} {CONTROL_V6}\n\
         \terrors\n\
         \tkubernetes cluster.local in-addr.arpa ip6.arpa {{\n\
         \t\tkubeconfig {}\n\
         \t\tpods insecure\n\
         \t\tttl 5\n\
         \t}}\n\
         \tcache 5\n\
         }}\n",
        config.display()
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_aggregation_layer_trusts_the_front_proxy_alone() {
        let flags = api_server();
        assert!(flags.contains(&"--requestheader-allowed-names=front-proxy-client".to_owned()));
        assert!(flags.iter().any(|flag| flag.ends_with("front-proxy-ca.crt")));
    }

    #[test]
    fn every_part_has_a_cgroup_of_its_own() {
        let mut groups = Part::ALL.map(Part::cgroup).to_vec();
        groups.dedup();
        assert_eq!(groups.len(), Part::ALL.len());
    }

    #[test]
    fn the_autoscaler_looks_every_two_seconds() {
        assert!(controller_manager().contains(&"--horizontal-pod-autoscaler-sync-period=2s".to_owned()));
    }
}
