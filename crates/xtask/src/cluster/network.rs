//! The cluster's network: one namespace for the control plane with the fabric bridge in it, one for each node.
//!
//! Nothing is made in the machine's own network namespace: both ends of every veth pair are born inside. Pods are
//! reached by routes between nodes; there is no overlay, no masquerading and no default route out.

use std::fmt::Write as _;
use std::fs;

use super::layout::{CONTROL, CONTROL_V4, CONTROL_V6, Node, netns_names, netns_path, nodes};
use crate::Error;
use crate::process::Run;

/// Kernel settings of a node's namespace: it routes for its pods.
const NODE_SYSCTLS: [(&str, &str); 4] = [
    ("net/ipv4/ip_forward", "1"),
    ("net/ipv6/conf/all/forwarding", "1"),
    ("net/ipv4/conf/all/rp_filter", "0"),
    ("net/ipv4/conf/default/rp_filter", "0"),
];

/// Makes namespaces, links, addresses and routes.
pub(super) fn create() -> Result<(), Error> {
    for name in netns_names() {
        Run::new("ip").args(["netns", "add", &name]).run()?;
    }
    batch(CONTROL, &control_commands())?;
    for node in nodes() {
        batch(&node.netns(), &node_commands(node))?;
        for (key, value) in NODE_SYSCTLS {
            sysctl(&node.netns(), key, value)?;
        }
    }
    Ok(())
}

/// Removes the namespaces, and with them all that is in them.
pub(super) fn remove() -> Result<(), Error> {
    for name in remaining() {
        Run::new("ip").args(["netns", "delete", &name]).run()?;
    }
    Ok(())
}

/// Namespaces of the cluster that exist.
pub(super) fn remaining() -> Vec<String> {
    netns_names()
        .into_iter()
        .filter(|name| netns_path(name).exists())
        .collect()
}

fn control_commands() -> String {
    let mut text = format!(
        "link set lo up\n\
         link add fabric type bridge\n\
         address add {CONTROL_V4}/24 dev fabric\n\
         address add {CONTROL_V6}/64 dev fabric nodad\n\
         link set fabric up\n"
    );
    for node in nodes() {
        let (port, netns) = (node.fabric_port(), node.netns());
        let _ = writeln!(text, "link add {port} type veth peer name eth0 netns {netns}");
        let _ = writeln!(text, "link set {port} master fabric up");
        text.push_str(&pod_routes(node));
    }
    text
}

fn node_commands(node: Node) -> String {
    let (v4, v6) = (node.v4(), node.v6());
    let mut text = format!(
        "link set lo up\n\
         address add {v4}/24 dev eth0\n\
         address add {v6}/64 dev eth0 nodad\n\
         link set eth0 up\n\
         route add default via {CONTROL_V4}\n\
         route add default via {CONTROL_V6}\n"
    );
    nodes()
        .filter(|other| *other != node)
        .for_each(|other| text.push_str(&pod_routes(other)));
    text
}

fn pod_routes(node: Node) -> String {
    let (v4, v6, pods_v4, pods_v6) = (node.v4(), node.v6(), node.pods_v4(), node.pods_v6());
    format!("route add {pods_v4} via {v4}\nroute add {pods_v6} via {v6}\n")
}

fn batch(netns: &str, commands: &str) -> Result<(), Error> {
    // `-batch -` would need a pipe; a file also shows afterwards what was done.
    let path = crate::paths::cluster().join(format!("{netns}.links"));
    fs::write(&path, commands).map_err(Error::file("write", &path))?;
    Run::new("ip").args(["-netns", netns, "-batch"]).arg(&path).run()
}

fn sysctl(netns: &str, key: &str, value: &str) -> Result<(), Error> {
    let net = netns_path(netns);
    let script = format!("echo {value} > /proc/sys/{key}");
    Run::new("nsenter")
        .arg(format!("--net={}", net.display()))
        .args(["sh", "-c", &script])
        .run()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_node_routes_to_the_pods_of_the_others_only() {
        let node = nodes().next().unwrap();
        let commands = node_commands(node);
        assert!(!commands.contains("10.244.1.0/24"));
        assert!(commands.contains("route add 10.244.2.0/24 via 172.30.0.12"));
        assert!(commands.contains("route add fd00:10:244:3::/64 via fd00:172:30::13"));
    }

    #[test]
    fn the_control_plane_reaches_every_pod() {
        let commands = control_commands();
        assert!(nodes().all(|node| commands.contains(&node.pods_v4()) && commands.contains(&node.pods_v6())));
    }
}
