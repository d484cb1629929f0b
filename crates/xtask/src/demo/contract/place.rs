//! The addresses at which a Service is reached.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};

use serde_json::Value;

use crate::Error;
use crate::cluster::{Cluster, Node};
use crate::demo::workload::NAMESPACE;

/// Which address of a Service.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Address {
    /// The cluster IP of a family.
    Cluster { v6: bool, port: u16 },
    /// The IPv4 cluster IP, from an IPv6 socket.
    Mapped { port: u16 },
    /// The first external IP, port 80.
    External,
    /// The address that a load balancer gave it, port 80.
    LoadBalancer,
    /// Its node port for port 80, at the asking node.
    NodePort,
}

/// What the API server says of the Services.
pub(super) struct Places {
    services: BTreeMap<String, Value>,
}

/// No load balancer runs here: what it would write, for the steered one and its twin (RFC 5737, TEST-NET-2).
const GIVEN: [&str; 2] = ["198.51.100.1", "198.51.100.2"];

impl Places {
    /// Gives both Services an address of a load balancer, and reads all of the workload's.
    pub(super) fn prepare(cluster: &Cluster, service: &str, twin: &str) -> Result<Self, Error> {
        for (name, ip) in [service.to_owned(), format!("{service}{twin}")].iter().zip(GIVEN) {
            let status = format!(r#"{{"status":{{"loadBalancer":{{"ingress":[{{"ip":"{ip}"}}]}}}}}}"#);
            cluster.kubectl([
                "patch",
                "service",
                name,
                "-n",
                NAMESPACE,
                "--subresource=status",
                "--type=merge",
                "-p",
                &status,
            ])?;
        }
        let list = cluster.json(["get", "services", "-n", NAMESPACE, "-o", "json"])?;
        let items = list["items"].as_array().into_iter().flatten();
        let named =
            items.filter_map(|item| Some((item["metadata"]["name"].as_str()?.to_owned(), item.clone())));
        Ok(Self {
            services: named.collect(),
        })
    }

    fn find(&self, service: &str, what: Address, node: Node) -> Option<SocketAddr> {
        let object = self.services.get(service)?;
        let ip = |value: &Value| value.as_str()?.parse::<IpAddr>().ok();
        let cluster = |v6: bool| {
            let all = object["spec"]["clusterIPs"].as_array()?;
            all.iter().filter_map(ip).find(|found| found.is_ipv6() == v6)
        };
        Some(match what {
            Address::Cluster { v6, port } => SocketAddr::new(cluster(v6)?, port),
            Address::Mapped { port } => match cluster(false)? {
                IpAddr::V4(four) => SocketAddr::new(four.to_ipv6_mapped().into(), port),
                IpAddr::V6(_) => return None,
            },
            Address::External => SocketAddr::new(ip(&object["spec"]["externalIPs"][0])?, 80),
            Address::LoadBalancer => {
                SocketAddr::new(ip(&object["status"]["loadBalancer"]["ingress"][0]["ip"])?, 80)
            }
            Address::NodePort => {
                let mut ports = object["spec"]["ports"].as_array()?.iter();
                let port = ports.find(|port| port["port"] == 80)?["nodePort"].as_u64()?;
                SocketAddr::new(node.v4().into(), u16::try_from(port).ok()?)
            }
        })
    }

    /// Where a client on this node reaches the Service.
    pub(super) fn of(&self, service: &str, what: Address, node: Node) -> Result<SocketAddr, Error> {
        self.find(service, what, node).ok_or_else(|| Error::Unknown {
            kind: "address of Service",
            name: format!("{service} {what:?}"),
            known: self.services.keys().cloned().collect::<Vec<_>>().join(", "),
        })
    }
}

/// The address as it stands in the maps: an IPv4-mapped one is an IPv4 address.
pub(super) fn unmapped(address: SocketAddr) -> SocketAddr {
    SocketAddr::new(address.ip().to_canonical(), address.port())
}
