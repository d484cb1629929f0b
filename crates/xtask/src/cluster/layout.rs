//! Names, addresses and folders of the cluster. Everything else asks here, nothing spells a name twice.
//!
//! All addresses live in network namespaces of the cluster's own, so none can collide with the machine's.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::{Path, PathBuf};

use crate::{Error, paths};

/// Namespace of the control plane, which also holds the fabric bridge.
pub const CONTROL: &str = "continuity-control";
/// Cgroup, in every hierarchy, under which every process of the cluster lives.
pub const CGROUP: &str = "continuity-cluster";
/// Address of the control plane and of the fabric bridge.
pub const CONTROL_V4: Ipv4Addr = Ipv4Addr::new(172, 30, 0, 1);
/// The same in IPv6.
pub const CONTROL_V6: Ipv6Addr = Ipv6Addr::new(0xfd00, 0x172, 0x30, 0, 0, 0, 0, 1);
/// Port of the API server.
pub const API_PORT: u16 = 6443;
/// Addresses of Services, IPv4 first.
pub const SERVICE_CIDRS: &str = "10.96.0.0/16,fd00:10:96::/112";
/// Addresses of pods, IPv4 first.
pub const POD_CIDRS: &str = "10.244.0.0/16,fd00:10:244::/48";
/// First address of [`SERVICE_CIDRS`]: the API server as pods see it.
pub const API_SERVICE: Ipv4Addr = Ipv4Addr::new(10, 96, 0, 1);
/// The cluster's name server as pods see it.
pub const DNS_SERVICE: Ipv4Addr = Ipv4Addr::new(10, 96, 0, 10);
/// The same in IPv6.
pub const DNS_SERVICE_V6: Ipv6Addr = Ipv6Addr::new(0xfd00, 0x10, 0x96, 0, 0, 0, 0, 0xa);
/// How many nodes the cluster has.
pub const NODES: u8 = 3;

/// One node: a set of namespaces with its own kubelet, containerd and kube-proxy.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Node {
    number: u8,
}

/// Every node.
pub fn nodes() -> impl Iterator<Item = Node> {
    (1..=NODES).map(|number| Node { number })
}

/// The node of this name.
pub fn node(name: &str) -> Result<Node, Error> {
    nodes()
        .find(|node| node.name() == name)
        .ok_or_else(|| Error::Unknown {
            kind: "node",
            name: name.to_owned(),
            known: nodes().map(Node::name).collect::<Vec<_>>().join(", "),
        })
}

impl Node {
    /// `node-1`, `node-2`, …
    pub fn name(self) -> String {
        format!("node-{}", self.number)
    }

    /// Name of its network namespace.
    pub fn netns(self) -> String {
        format!("continuity-{}", self.name())
    }

    /// Its failure domain: a zone of its own, so that roll-outs and topology have something to tell apart.
    pub fn zone(self) -> String {
        format!("zone-{}", self.number)
    }

    /// Its address on the fabric.
    pub fn v4(self) -> Ipv4Addr {
        let [a, b, c, _] = CONTROL_V4.octets();
        Ipv4Addr::new(a, b, c, 10 + self.number)
    }

    /// Its IPv6 address on the fabric.
    pub fn v6(self) -> Ipv6Addr {
        let [a, b, c, ..] = CONTROL_V6.segments();
        Ipv6Addr::new(a, b, c, 0, 0, 0, 0, 0x10 + u16::from(self.number))
    }

    /// Its pods' IPv4 range.
    pub fn pods_v4(self) -> String {
        format!("10.244.{}.0/24", self.number)
    }

    /// Its pods' IPv6 range.
    pub fn pods_v6(self) -> String {
        format!("fd00:10:244:{}::/64", self.number)
    }

    /// Its end of the veth pair on the fabric bridge.
    pub fn fabric_port(self) -> String {
        format!("to-{}", self.name())
    }

    /// Its folder.
    pub fn dir(self) -> PathBuf {
        paths::cluster().join(self.name())
    }
}

/// Where the API server listens; reachable from inside the cluster's namespaces.
pub fn api_server() -> SocketAddr {
    SocketAddr::new(IpAddr::V4(CONTROL_V4), API_PORT)
}

/// Where a named network namespace is mounted.
pub fn netns_path(name: &str) -> PathBuf {
    Path::new("/run/netns").join(name)
}

/// All network namespaces, the control plane's first.
pub fn netns_names() -> Vec<String> {
    std::iter::once(CONTROL.to_owned())
        .chain(nodes().map(Node::netns))
        .collect()
}

/// Log file of a part.
pub fn log(part: &str) -> PathBuf {
    paths::cluster().join("log").join(format!("{part}.log"))
}

/// Folder of keys, certificates and kubeconfigs.
pub fn pki() -> PathBuf {
    paths::cluster().join("pki")
}

/// The administrator's kubeconfig.
pub fn admin_kubeconfig() -> PathBuf {
    paths::cluster().join("admin.kubeconfig")
}

/// Folder of the built parts.
pub fn bin() -> PathBuf {
    paths::cluster().join("bin")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_node_has_addresses_of_its_own() {
        let all: Vec<_> = nodes().collect();
        assert_eq!(all.len(), 3);
        assert_eq!(all[1].name(), "node-2");
        assert_eq!(all[1].v4().to_string(), "172.30.0.12");
        assert_eq!(all[1].v6().to_string(), "fd00:172:30::12");
        assert_eq!(all[1].pods_v4(), "10.244.2.0/24");
    }

    #[test]
    fn an_unknown_node_is_answered_with_the_known_ones() {
        let error = node("node-9").unwrap_err().to_string();
        assert!(error.contains("node-1, node-2, node-3"), "{error}");
    }

    #[test]
    fn names_of_interfaces_fit_the_kernel() {
        // IFNAMSIZ is 16 with the terminating zero.
        assert!(nodes().all(|node| node.fabric_port().len() < 16));
    }
}
