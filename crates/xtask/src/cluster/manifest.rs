//! What the cluster puts into its own API: nodes with their pod ranges and zones, the name server's Service.

use std::fs;

use serde_json::{Value, json};

use super::control;
use super::layout::{CONTROL_V4, CONTROL_V6, DNS_SERVICE, DNS_SERVICE_V6, Node, nodes};
use crate::{Error, paths};

/// Applies a manifest as the administrator.
pub(super) fn apply(text: &str) -> Result<(), Error> {
    let path = paths::cluster().join(format!("apply-{}.yaml", std::process::id()));
    fs::write(&path, text).map_err(Error::file("write", &path))?;
    let applied = control::kubectl()
        .args(["apply", "--server-side", "--force-conflicts", "-f"])
        .arg(&path)
        .output();
    // Left where it is when it was refused: the error names it.
    applied.and_then(|_| fs::remove_file(&path).map_err(Error::file("remove", &path)))
}

/// Everything that must be there before nodes join.
pub(super) fn foundation() -> String {
    let mut items: Vec<Value> = nodes().map(node).collect();
    items.extend(names());
    json!({"apiVersion": "v1", "kind": "List", "items": items}).to_string()
}

/// The kubelet takes a node over that is there; what it may not set itself is set here.
fn node(node: Node) -> Value {
    json!({
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {
            "name": node.name(),
            "labels": {
                "kubernetes.io/hostname": node.name(),
                "topology.kubernetes.io/region": "local",
                "topology.kubernetes.io/zone": node.zone(),
            },
        },
        "spec": {"podCIDR": node.pods_v4(), "podCIDRs": [node.pods_v4(), node.pods_v6()]},
    })
}

/// CoreDNS runs beside the control plane; a Service without selector and slices of our own lead to it.
fn names() -> Vec<Value> {
    let labels = |name: &str| {
        json!({"name": name, "namespace": "kube-system", "labels": {
            "kubernetes.io/service-name": "kube-dns",
            "endpointslice.kubernetes.io/managed-by": "continuity-cluster",
        }})
    };
    let slice = |name: &str, family: &str, address: String| {
        json!({
            "apiVersion": "discovery.k8s.io/v1",
            "kind": "EndpointSlice",
            "metadata": labels(name),
            "addressType": family,
            "endpoints": [{"addresses": [address], "conditions": {"ready": true}}],
            "ports": [
                {"name": "dns", "port": 53, "protocol": "UDP"},
                {"name": "dns-tcp", "port": 53, "protocol": "TCP"},
            ],
        })
    };
    vec![
        json!({
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": {"name": "kube-dns", "namespace": "kube-system", "labels": {"k8s-app": "kube-dns"}},
            "spec": {
                "clusterIP": DNS_SERVICE,
                "clusterIPs": [DNS_SERVICE, DNS_SERVICE_V6],
                "ipFamilyPolicy": "RequireDualStack",
                "ipFamilies": ["IPv4", "IPv6"],
                "ports": [
                    {"name": "dns", "port": 53, "protocol": "UDP"},
                    {"name": "dns-tcp", "port": 53, "protocol": "TCP"},
                ],
            },
        }),
        slice("kube-dns-v4", "IPv4", CONTROL_V4.to_string()),
        slice("kube-dns-v6", "IPv6", CONTROL_V6.to_string()),
        json!({
            "apiVersion": "rbac.authorization.k8s.io/v1",
            "kind": "ClusterRole",
            "metadata": {"name": "system:coredns"},
            "rules": [
                {"apiGroups": [""], "resources": ["services", "pods", "namespaces"], "verbs": ["list", "watch"]},
                {"apiGroups": ["discovery.k8s.io"], "resources": ["endpointslices"], "verbs": ["list", "watch"]},
            ],
        }),
        json!({
            "apiVersion": "rbac.authorization.k8s.io/v1",
            "kind": "ClusterRoleBinding",
            "metadata": {"name": "system:coredns"},
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "system:coredns"},
            "subjects": [{"kind": "User", "apiGroup": "rbac.authorization.k8s.io", "name": "system:coredns"}],
        }),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_node_is_known_with_its_zone_and_both_pod_ranges() {
        let list: Value = serde_json::from_str(&foundation()).unwrap();
        let node = &list["items"][1];
        assert_eq!(
            node["metadata"]["labels"]["topology.kubernetes.io/zone"],
            "zone-2"
        );
        assert_eq!(node["spec"]["podCIDRs"][1], "fd00:10:244:2::/64");
    }
}
