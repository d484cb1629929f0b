//! Command line and environment, checked before anything is opened.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};

use crate::version::VERSION;

/// The node agent of Continuity.
#[derive(Debug, Parser)]
#[command(
    name = "continuity-agent",
    version = VERSION,
    about = "Steers new connections of this node by measured pressure"
)]
pub struct Arguments {
    /// What to do; `run` if absent.
    #[command(subcommand)]
    pub command: Option<Command>,

    /// Where and how.
    #[command(flatten)]
    pub place: Place,

    /// The running agent.
    #[command(flatten)]
    pub running: Running,
}

/// Subcommands.
#[derive(Clone, Copy, Debug, Subcommand)]
pub enum Command {
    /// Run the agent (the default).
    Run,
    /// Remove every program, link, map and pin of Continuity from this node and print the proof as JSON.
    Uninstall,
    /// Print what this node can do, and what is done where it cannot.
    Probe {
        /// Form of the report.
        #[arg(long, value_enum, default_value_t = Format::Text)]
        format: Format,
    },
}

/// Form of a printed report or of the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// For people.
    Text,
    /// For programs.
    Json,
}

/// Where the node's file systems are.
#[derive(Clone, Debug, Args)]
pub struct Place {
    /// Mount point of bpffs.
    #[arg(long, global = true, env = "CONTINUITY_BPFFS", default_value = "/sys/fs/bpf")]
    pub bpffs: PathBuf,

    /// Root of cgroup v2 to attach to; found from mountinfo if absent.
    #[arg(long, global = true, env = "CONTINUITY_CGROUP_ROOT")]
    pub cgroup_root: Option<PathBuf>,

    /// Directory of the host's cgroup mounts, for the sensors; the container's own where it is not there.
    #[arg(
        long,
        global = true,
        env = "CONTINUITY_CGROUP_MOUNTS",
        default_value = "/host/sys/fs/cgroup"
    )]
    pub cgroup_mounts: PathBuf,

    /// Form of the log.
    #[arg(long, global = true, env = "CONTINUITY_LOG_FORMAT", value_enum, default_value_t = Format::Json)]
    pub log_format: Format,
}

/// What only the running agent needs.
#[derive(Clone, Debug, Args)]
pub struct Running {
    /// Name of this node (downward API `spec.nodeName`).
    #[arg(long, global = true, env = "NODE_NAME", default_value = "")]
    pub node_name: String,

    /// Address of this node (downward API `status.hostIP`); the health port binds to it.
    #[arg(long, global = true, env = "NODE_IP")]
    pub node_ip: Option<IpAddr>,

    /// Every address of this node, separated by commas (downward API `status.podIPs` of a pod in the host's network);
    /// node ports are steered at these.
    #[arg(long, global = true, env = "NODE_ADDRESSES", default_value = "")]
    pub node_addresses: String,

    /// Period of the node loop in milliseconds.
    #[arg(long, global = true, env = "CONTINUITY_TICK_MILLIS", default_value_t = 150,
          value_parser = clap::value_parser!(u64).range(100..=200))]
    pub tick_millis: u64,

    /// Port of /healthz, /readyz and /metrics.
    #[arg(long, global = true, env = "CONTINUITY_HEALTH_PORT", default_value_t = 9464)]
    pub health_port: u16,

    /// Address of that port; the node's address if absent, else 127.0.0.1.
    #[arg(long, global = true, env = "CONTINUITY_HEALTH_ADDRESS")]
    pub health_address: Option<IpAddr>,

    /// Address of /debug on the loopback, for the API server's port-forward; without it nothing is served.
    #[arg(long, global = true, env = "CONTINUITY_DEBUG_LISTEN")]
    pub debug_listen: Option<SocketAddr>,
}

impl Running {
    /// Addresses of this node, each once; what is no address is left out.
    #[must_use]
    pub fn addresses(&self) -> Vec<IpAddr> {
        let listed = self
            .node_addresses
            .split(',')
            .filter_map(|text| text.trim().parse().ok());
        let mut addresses: Vec<IpAddr> = listed.chain(self.node_ip).collect();
        addresses.sort_unstable();
        addresses.dedup();
        addresses
    }

    /// The address the health server binds to.
    #[must_use]
    pub fn bind_address(&self) -> IpAddr {
        self.health_address
            .or(self.node_ip)
            .unwrap_or(IpAddr::V4(Ipv4Addr::LOCALHOST))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_a_subcommand_it_runs_with_defaults() {
        let arguments = Arguments::try_parse_from(["continuity-agent"]).expect("defaults");
        assert!(arguments.command.is_none());
        assert_eq!(arguments.running.tick_millis, 150);
        assert_eq!(arguments.running.health_port, 9464);
    }

    #[test]
    fn a_tick_outside_its_range_is_refused_with_the_range() {
        let error =
            Arguments::try_parse_from(["continuity-agent", "--tick-millis", "20"]).expect_err("refused");
        assert!(error.to_string().contains("100..=200"), "{error}");
    }

    #[test]
    fn arguments_are_accepted_after_the_subcommand() {
        let line = [
            "continuity-agent",
            "probe",
            "--format",
            "json",
            "--bpffs",
            "/run/bpf",
        ];
        let arguments = Arguments::try_parse_from(line).expect("probe");
        assert!(matches!(
            arguments.command,
            Some(Command::Probe { format: Format::Json })
        ));
        assert_eq!(arguments.place.bpffs, PathBuf::from("/run/bpf"));
    }

    #[test]
    fn the_health_port_prefers_the_explicit_address_then_the_node() {
        let parse = |line: &[&str]| {
            Arguments::try_parse_from(line)
                .expect("arguments")
                .running
                .bind_address()
        };
        assert_eq!(parse(&["a", "--node-ip", "10.0.0.5"]).to_string(), "10.0.0.5");
        assert_eq!(
            parse(&["a", "--node-ip", "10.0.0.5", "--health-address", "::1"]).to_string(),
            "::1"
        );
    }
}
