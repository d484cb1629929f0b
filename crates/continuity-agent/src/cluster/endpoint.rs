//! What the agent keeps of an EndpointSlice: addresses, three condition bits, where they run and for whom they are meant.
//!
//! One endpoint is about 130 bytes with its pod's name and uid; the node and zone names, of which a cluster has few, are shared.
//! 50,000 endpoints stay near 6.5 MB, where the objects would be 50.
//!
//! Left out: FQDN slices (nothing to connect to) and host names.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::sync::Arc;

use continuity_sensors::PodId;
use k8s_openapi::api::discovery::v1::{Endpoint, EndpointSlice};

use super::service::{ServiceKey, Transport};

/// The label that ties a slice to its Service.
pub const SERVICE_LABEL: &str = "kubernetes.io/service-name";

/// The label on slices of headless Services; the watch leaves those out at the server.
pub const HEADLESS_LABEL: &str = "service.kubernetes.io/headless";

/// The API allows 1,000 endpoints and 100 ports a slice; more than that is not from an API server.
const MAX_SLICE_ENDPOINTS: usize = 1_000;
const MAX_SLICE_PORTS: usize = 100;

/// The API allows 8 hints of each kind.
const MAX_HINTS: usize = 8;

/// Names that many records share: nodes and zones.
///
/// Bounded by the cluster's nodes and zones; names that nothing uses any more go at [`Names::sweep`].
#[derive(Debug, Default)]
pub struct Names(BTreeSet<Arc<str>>);

impl Names {
    /// The shared copy of a name.
    pub fn shared(&mut self, name: &str) -> Arc<str> {
        if let Some(known) = self.0.get(name) {
            return Arc::clone(known);
        }
        let fresh: Arc<str> = name.into();
        self.0.insert(Arc::clone(&fresh));
        fresh
    }

    /// Forgets names that no record holds.
    pub fn sweep(&mut self) {
        self.0.retain(|name| Arc::strong_count(name) > 1);
    }
}

/// One endpoint of a slice.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EndpointRecord {
    /// Address; a slice endpoint's addresses are fungible and all consumers take the first.
    pub address: IpAddr,
    /// Takes new connections. With `publishNotReadyAddresses` the slice itself says true.
    pub ready: bool,
    /// Answers, ready or not.
    pub serving: bool,
    /// On its way out.
    pub terminating: bool,
    /// Node it runs on.
    pub node: Option<Arc<str>>,
    /// Zone it runs in.
    pub zone: Option<Arc<str>>,
    /// Pod behind it.
    pub pod: Option<Box<str>>,
    /// Its uid, by which its cgroup is found where it runs on this node.
    pub uid: Option<PodId>,
    /// `hints.forZones`.
    pub for_zones: Box<[Arc<str>]>,
    /// `hints.forNodes`.
    pub for_nodes: Box<[Arc<str>]>,
}

/// One port of a slice.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SlicePort {
    /// Name, the same as the Service port's.
    pub name: Box<str>,
    /// Port on the endpoint.
    pub number: u16,
    /// Transport.
    pub transport: Transport,
}

/// The compact form of an EndpointSlice.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SliceRecord {
    /// The Service it belongs to.
    pub service: ServiceKey,
    /// Ports that hold for every endpoint of the slice.
    pub ports: Box<[SlicePort]>,
    /// Endpoints.
    pub endpoints: Box<[EndpointRecord]>,
}

impl SliceRecord {
    /// The record of a slice; `None` when it belongs to no Service or carries names instead of addresses.
    #[must_use]
    pub fn compact(slice: &EndpointSlice, names: &mut Names) -> Option<Self> {
        if slice.address_type == "FQDN" {
            return None;
        }
        let namespace = slice.metadata.namespace.as_deref()?;
        let service = slice.metadata.labels.as_ref()?.get(SERVICE_LABEL)?;
        let ports = slice
            .ports
            .iter()
            .flatten()
            .take(MAX_SLICE_PORTS)
            .filter_map(|port| {
                Some(SlicePort {
                    name: port.name.as_deref().unwrap_or_default().into(),
                    number: u16::try_from(port.port?).ok()?,
                    transport: Transport::parse(port.protocol.as_deref())?,
                })
            });
        let endpoints = slice.endpoints.iter().flatten().take(MAX_SLICE_ENDPOINTS);
        Some(Self {
            service: ServiceKey::new(namespace, service),
            ports: ports.collect(),
            endpoints: endpoints
                .filter_map(|endpoint| compact_endpoint(endpoint, names))
                .collect(),
        })
    }
}

fn compact_endpoint(endpoint: &Endpoint, names: &mut Names) -> Option<EndpointRecord> {
    let address = endpoint.addresses.first()?.parse().ok()?;
    let conditions = endpoint.conditions.clone().unwrap_or_default();
    let hints = endpoint.hints.clone().unwrap_or_default();
    let pod = endpoint
        .target_ref
        .as_ref()
        .filter(|target| target.kind.as_deref() == Some("Pod"));
    // An absent condition means ready and serving, as kube-proxy reads it.
    let ready = conditions.ready.unwrap_or(true);
    Some(EndpointRecord {
        address,
        ready,
        serving: conditions.serving.unwrap_or(ready),
        terminating: conditions.terminating.unwrap_or(false),
        node: endpoint.node_name.as_deref().map(|name| names.shared(name)),
        zone: endpoint.zone.as_deref().map(|name| names.shared(name)),
        pod: pod.and_then(|target| target.name.as_deref()).map(Into::into),
        uid: pod.and_then(|target| PodId::new(target.uid.as_deref()?)),
        for_zones: hints
            .for_zones
            .iter()
            .flatten()
            .take(MAX_HINTS)
            .map(|zone| names.shared(&zone.name))
            .collect(),
        for_nodes: hints
            .for_nodes
            .iter()
            .flatten()
            .take(MAX_HINTS)
            .map(|node| names.shared(&node.name))
            .collect(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn slice(text: serde_json::Value) -> EndpointSlice {
        serde_json::from_value(text).expect("a slice")
    }

    #[test]
    fn an_absent_condition_means_ready_and_serving() {
        let object = slice(serde_json::json!({
            "metadata": {"namespace": "shop", "name": "s", "labels": {SERVICE_LABEL: "checkout"}},
            "addressType": "IPv4",
            "ports": [{"name": "http", "port": 8080}],
            "endpoints": [
                {"addresses": ["10.244.1.2"], "nodeName": "node-1", "zone": "a",
                 "targetRef": {"kind": "Pod", "name": "checkout-1", "uid": "0b7c1c5e-3c1f-4a0e-9a55-6a3a7c0a1d11"}},
                {"addresses": ["10.244.2.2"], "conditions": {"ready": false, "serving": true, "terminating": true}},
                {"addresses": ["not an address"]},
            ],
        }));
        let mut names = Names::default();
        let record = SliceRecord::compact(&object, &mut names).expect("a record");
        assert_eq!(record.endpoints.len(), 2);
        let first = &record.endpoints[0];
        assert!(first.ready && first.serving && !first.terminating);
        assert_eq!(first.pod.as_deref(), Some("checkout-1"));
        assert_eq!(first.uid, PodId::new("0b7c1c5e-3c1f-4a0e-9a55-6a3a7c0a1d11"));
        let second = &record.endpoints[1];
        assert!(!second.ready && second.serving && second.terminating);
        assert_eq!(record.ports[0].transport, Transport::Tcp);
    }

    #[test]
    fn slices_without_a_service_or_with_names_are_left_out() {
        let mut names = Names::default();
        let orphan = slice(serde_json::json!({
            "metadata": {"namespace": "a", "name": "s"}, "addressType": "IPv4", "endpoints": []}));
        assert!(SliceRecord::compact(&orphan, &mut names).is_none());
        let named = slice(serde_json::json!({
            "metadata": {"namespace": "a", "name": "s", "labels": {SERVICE_LABEL: "b"}},
            "addressType": "FQDN", "endpoints": [{"addresses": ["a.example"]}]}));
        assert!(SliceRecord::compact(&named, &mut names).is_none());
    }

    #[test]
    fn names_are_shared_and_swept() {
        let mut names = Names::default();
        let held = names.shared("node-1");
        assert!(Arc::ptr_eq(&held, &names.shared("node-1")));
        names.shared("node-2");
        names.sweep();
        assert_eq!(names.0.len(), 1);
    }
}
