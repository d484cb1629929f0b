//! What the agent keeps of a Service: the addresses and ports a client may connect to, nothing else.
//!
//! A Service object is 1–3 kB in memory with its metadata; the record is under 200 bytes, so that 10,000 Services stay
//! below 2 MB. Headless and ExternalName Services are kept as such, because a plan may name one and the report must then
//! say why nothing is steered.
//!
//! Addresses from outside (external and LoadBalancer IPs) are kept where a client inside the cluster would be led to the
//! Service's endpoints without leaving it. Left out: a LoadBalancer IP whose `ipMode` is Proxy, which packets must really
//! reach, and those of a Service with `loadBalancerSourceRanges`, which kube-proxy filters by.

use std::net::IpAddr;
use std::time::Duration;

use k8s_openapi::api::core::v1::{Service, ServiceSpec};

/// A Service port can be at most this often in one Service: the API server refuses more than 100 ports in practice, and
/// a record beyond that is cut, so that one object cannot grow the agent.
pub const MAX_PORTS: usize = 128;

/// External and LoadBalancer IPs of one Service; one has a handful.
const MAX_EXTERNALS: usize = 16;

/// `sessionAffinityConfig.clientIP.timeoutSeconds` where the API server did not fill it in.
const AFFINITY_SECONDS: u64 = 10_800;

/// Namespace and name, the key under which a Service, its slices and its plan meet.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ServiceKey {
    /// Namespace.
    pub namespace: Box<str>,
    /// Name of the Service.
    pub name: Box<str>,
}

impl ServiceKey {
    /// A key from borrowed parts.
    #[must_use]
    pub fn new(namespace: &str, name: &str) -> Self {
        Self {
            namespace: namespace.into(),
            name: name.into(),
        }
    }
}

impl std::fmt::Display for ServiceKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{}", self.namespace, self.name)
    }
}

/// Transport protocol of a port.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Transport {
    /// TCP: steered.
    Tcp,
    /// UDP: steered.
    Udp,
    /// SCTP: never steered.
    Sctp,
}

impl Transport {
    /// Protocol as the API spells it; absent means TCP, anything unknown is no protocol of ours.
    #[must_use]
    pub fn parse(text: Option<&str>) -> Option<Self> {
        match text {
            None | Some("TCP") => Some(Self::Tcp),
            Some("UDP") => Some(Self::Udp),
            Some("SCTP") => Some(Self::Sctp),
            Some(_) => None,
        }
    }
}

/// How a Service is reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exposure {
    /// It has cluster IPs.
    ClusterIp,
    /// `clusterIP: None`: clients connect to pods themselves, no VIP to hook.
    Headless,
    /// A DNS alias; there is nothing to connect to.
    ExternalName,
    /// The allocator has not given it an address yet.
    Pending,
}

/// One port of a Service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServicePort {
    /// Name; empty for the only, unnamed port. EndpointSlices are joined on it.
    pub name: Box<str>,
    /// The port clients connect to.
    pub number: u16,
    /// The port of the node's own addresses that leads there.
    pub node_port: Option<u16>,
    /// Transport.
    pub transport: Transport,
}

/// The compact form of a Service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServiceRecord {
    /// UID: a Service deleted and made again under the same name is another one.
    pub uid: Box<str>,
    /// How it is reached.
    pub exposure: Exposure,
    /// Cluster IPs, at most one a family.
    pub addresses: Box<[IpAddr]>,
    /// External and LoadBalancer IPs that clients inside the cluster may be steered from.
    pub externals: Box<[IpAddr]>,
    /// Ports.
    pub ports: Box<[ServicePort]>,
    /// `internalTrafficPolicy: Local`.
    pub local_only: bool,
    /// Time-out of `sessionAffinity: ClientIP`.
    pub affinity: Option<Duration>,
}

impl ServiceRecord {
    /// The record of an object; `None` when it lacks the metadata that every stored object has.
    #[must_use]
    pub fn compact(service: &Service) -> Option<(ServiceKey, Self)> {
        let key = ServiceKey::new(
            service.metadata.namespace.as_deref()?,
            service.metadata.name.as_deref()?,
        );
        let spec = service.spec.as_ref()?;
        let addresses = addresses(spec.cluster_ips.as_deref(), spec.cluster_ip.as_deref());
        let ports = spec
            .ports
            .iter()
            .flatten()
            .take(MAX_PORTS)
            .filter_map(|port| {
                Some(ServicePort {
                    name: port.name.as_deref().unwrap_or_default().into(),
                    number: u16::try_from(port.port).ok()?,
                    node_port: port
                        .node_port
                        .and_then(|number| u16::try_from(number).ok())
                        .filter(|number| *number > 0),
                    transport: Transport::parse(port.protocol.as_deref())?,
                })
            })
            .collect();
        let headless = spec.cluster_ip.as_deref() == Some("None");
        let exposure = match spec.type_.as_deref() {
            Some("ExternalName") => Exposure::ExternalName,
            _ if headless => Exposure::Headless,
            _ if addresses.is_empty() => Exposure::Pending,
            _ => Exposure::ClusterIp,
        };
        let record = Self {
            uid: service.metadata.uid.as_deref().unwrap_or_default().into(),
            exposure,
            addresses,
            externals: externals(service),
            ports,
            local_only: spec.internal_traffic_policy.as_deref() == Some("Local"),
            affinity: affinity(spec),
        };
        Some((key, record))
    }

    /// The port of this number and protocol.
    #[must_use]
    pub fn port(&self, number: u16, transport: Transport) -> Option<&ServicePort> {
        self.ports
            .iter()
            .find(|port| port.number == number && port.transport == transport)
    }
}

/// External IPs, and LoadBalancer IPs that stand for the Service itself.
fn externals(service: &Service) -> Box<[IpAddr]> {
    let spec = service.spec.as_ref();
    let filtered = spec
        .and_then(|spec| spec.load_balancer_source_ranges.as_ref())
        .is_some_and(|ranges| !ranges.is_empty());
    let balancers = service
        .status
        .iter()
        .filter_map(|status| status.load_balancer.as_ref()?.ingress.as_ref())
        .flatten()
        .filter(|ingress| !filtered && ingress.ip_mode.as_deref() != Some("Proxy"))
        .filter_map(|ingress| ingress.ip.as_deref());
    let named = spec
        .into_iter()
        .flat_map(|spec| spec.external_ips.iter().flatten())
        .map(String::as_str);
    let mut found: Vec<IpAddr> = named
        .chain(balancers)
        .filter_map(|text| text.parse().ok())
        .take(MAX_EXTERNALS)
        .collect();
    found.sort_unstable();
    found.dedup();
    found.into_boxed_slice()
}

fn affinity(spec: &ServiceSpec) -> Option<Duration> {
    if spec.session_affinity.as_deref() != Some("ClientIP") {
        return None;
    }
    let seconds = spec
        .session_affinity_config
        .as_ref()
        .and_then(|config| config.client_ip.as_ref()?.timeout_seconds)
        .and_then(|seconds| u64::try_from(seconds).ok());
    Some(Duration::from_secs(seconds.unwrap_or(AFFINITY_SECONDS)))
}

/// Parses the cluster IPs; an object of an old client has only the single field.
fn addresses(list: Option<&[String]>, single: Option<&str>) -> Box<[IpAddr]> {
    let from_list = list
        .into_iter()
        .flatten()
        .filter_map(|text| text.parse().ok())
        .take(2);
    let parsed: Box<[IpAddr]> = from_list.collect();
    if parsed.is_empty() {
        single.and_then(|text| text.parse().ok()).into_iter().collect()
    } else {
        parsed
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn service(text: serde_json::Value) -> Service {
        serde_json::from_value(text).expect("a service")
    }

    #[test]
    fn keeps_both_families_of_a_dual_stack_service() {
        let object = service(serde_json::json!({
            "metadata": {"namespace": "shop", "name": "checkout", "uid": "u1"},
            "spec": {"clusterIP": "10.96.0.7", "clusterIPs": ["10.96.0.7", "fd00:10:96::7"],
                     "ports": [{"name": "http", "port": 80, "protocol": "TCP"}, {"name": "dns", "port": 53, "protocol": "UDP"}]},
        }));
        let (key, record) = ServiceRecord::compact(&object).expect("a record");
        assert_eq!(key, ServiceKey::new("shop", "checkout"));
        assert_eq!(record.exposure, Exposure::ClusterIp);
        assert_eq!(record.addresses.len(), 2);
        assert_eq!(record.port(53, Transport::Udp).map(|p| &*p.name), Some("dns"));
        assert!(record.port(53, Transport::Tcp).is_none());
    }

    #[test]
    fn tells_headless_external_and_pending_services_apart() {
        let cases = [
            (
                serde_json::json!({"clusterIP": "None", "clusterIPs": ["None"]}),
                Exposure::Headless,
            ),
            (
                serde_json::json!({"type": "ExternalName", "externalName": "db.example"}),
                Exposure::ExternalName,
            ),
            (serde_json::json!({"ports": [{"port": 80}]}), Exposure::Pending),
            (serde_json::json!({"clusterIP": "10.96.0.9"}), Exposure::ClusterIp),
        ];
        for (spec, expected) in cases {
            let object =
                service(serde_json::json!({"metadata": {"namespace": "a", "name": "b"}, "spec": spec}));
            assert_eq!(
                ServiceRecord::compact(&object).expect("a record").1.exposure,
                expected
            );
        }
    }

    #[test]
    fn reads_local_traffic_policy_and_affinity() {
        let object = service(serde_json::json!({
            "metadata": {"namespace": "a", "name": "b"},
            "spec": {"clusterIP": "10.96.0.9", "internalTrafficPolicy": "Local", "sessionAffinity": "ClientIP"},
        }));
        let (_, record) = ServiceRecord::compact(&object).expect("a record");
        assert!(record.local_only);
        assert_eq!(record.affinity, Some(Duration::from_secs(10_800)));
    }

    #[test]
    fn keeps_addresses_from_outside_that_stand_for_the_service_itself() {
        let object = |spec: serde_json::Value| {
            let object = service(serde_json::json!({
                "metadata": {"namespace": "a", "name": "b"}, "spec": spec,
                "status": {"loadBalancer": {"ingress": [
                    {"ip": "203.0.113.9", "ipMode": "VIP"}, {"ip": "203.0.113.8", "ipMode": "Proxy"}, {"hostname": "lb.example"}]}},
            }));
            ServiceRecord::compact(&object).expect("a record").1
        };
        let record = object(serde_json::json!({
            "clusterIP": "10.96.0.9", "externalIPs": ["192.0.2.7", "no address"],
            "sessionAffinity": "ClientIP", "sessionAffinityConfig": {"clientIP": {"timeoutSeconds": 60}},
            "ports": [{"port": 80, "nodePort": 30080}, {"port": 81, "name": "x", "nodePort": 0}]}));
        let externals: Vec<String> = record.externals.iter().map(IpAddr::to_string).collect();
        assert_eq!(externals, ["192.0.2.7", "203.0.113.9"]);
        let node_ports: Vec<_> = record.ports.iter().map(|port| port.node_port).collect();
        assert_eq!(node_ports, [Some(30_080), None]);
        assert_eq!(record.affinity, Some(Duration::from_secs(60)));
        let guarded = object(serde_json::json!({
            "clusterIP": "10.96.0.9", "loadBalancerSourceRanges": ["192.0.2.0/24"]}));
        assert!(guarded.externals.is_empty(), "kube-proxy filters by source");
    }
}
