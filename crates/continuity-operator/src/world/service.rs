//! What the operator needs of a Service.

use continuity_api::name::port_label;
use continuity_api::target::{PortIdentity, Protocol};
use k8s_openapi::api::core::v1::{Service, ServicePort};
use std::collections::BTreeMap;

/// Whether connections to the Service pass a virtual IP that can be steered.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Reachability {
    /// It has a virtual IP.
    #[default]
    Virtual,
    /// Clients resolve the pods themselves and connect to them.
    Headless,
    /// A DNS alias.
    ExternalName,
}

/// A Service.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ServiceFacts {
    /// UID.
    pub uid: String,
    /// Labels.
    pub labels: BTreeMap<String, String>,
    /// Whether it can be steered.
    pub reachability: Reachability,
    /// Ports in the order of the spec.
    pub ports: Vec<PortFacts>,
}

/// A port of a Service.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PortFacts {
    /// Name, number, protocol and label.
    pub identity: PortIdentity,
}

impl PortFacts {
    /// Name as EndpointSlices use it: empty where the port has none.
    #[must_use]
    pub fn slice_name(&self) -> &str {
        self.identity.name.as_deref().unwrap_or_default()
    }

    /// Whether new connections to it, or UDP flows, can be steered; SCTP passes untouched.
    #[must_use]
    pub fn steerable(&self) -> bool {
        self.identity.protocol != Protocol::Sctp
    }
}

impl ServiceFacts {
    /// What is needed of `service`.
    #[must_use]
    pub fn of(service: &Service) -> Self {
        let spec = service.spec.as_ref();
        let external = spec.and_then(|spec| spec.type_.as_deref()) == Some("ExternalName");
        let headless = spec
            .and_then(|spec| spec.cluster_ip.as_deref())
            .is_none_or(|ip| ip == "None" || ip.is_empty());
        let reachability = match (external, headless) {
            (true, _) => Reachability::ExternalName,
            (false, true) => Reachability::Headless,
            (false, false) => Reachability::Virtual,
        };
        let ports = spec
            .and_then(|spec| spec.ports.as_ref())
            .into_iter()
            .flatten()
            .map(port)
            .collect();
        Self {
            uid: service.metadata.uid.clone().unwrap_or_default(),
            labels: service.metadata.labels.clone().unwrap_or_default(),
            reachability,
            ports,
        }
    }
}

fn port(port: &ServicePort) -> PortFacts {
    let protocol = match port.protocol.as_deref() {
        Some("UDP") => Protocol::Udp,
        Some("SCTP") => Protocol::Sctp,
        _ => Protocol::Tcp,
    };
    let name = port.name.clone().filter(|name| !name.is_empty());
    let label = port_label(name.as_deref(), port.port);
    PortFacts {
        identity: PortIdentity {
            name,
            number: port.port,
            protocol,
            label,
        },
    }
}
