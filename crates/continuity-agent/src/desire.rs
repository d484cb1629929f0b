//! From what the cluster says to what this node should do: plans + Services + slices → lanes. Pure.
//!
//! A plan that cannot be carried out here gives an [`Idle`] with the reason instead of a lane, so that the report can say
//! why nothing is steered; kube-proxy then serves that port as it always did.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;

use continuity_dataplane::Protocol;
use continuity_field::{Locality, SetConfig, SetState, Topology};

use crate::cluster::endpoint::{EndpointRecord, SliceRecord};
use crate::cluster::inventory::{Inventory, ObjectKey};
use crate::cluster::plan::PlanRecord;
use crate::cluster::service::{Exposure, ServicePort, ServiceRecord, Transport};
use crate::lane::{Family, Lane, LaneBackend, LaneKey, backend_id};
use crate::select::{Scope, Selection, Vantage, select};

/// What the node should do.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Desired {
    /// Lanes by key.
    pub lanes: BTreeMap<LaneKey, Arc<Lane>>,
    /// Plans that have no lane here.
    pub idle: Vec<Idle>,
}

/// A plan that is not carried out on this node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Idle {
    /// Namespace of the plan.
    pub namespace: Box<str>,
    /// Name of the plan and set.
    pub set: Box<str>,
    /// Name of the Service.
    pub service: Box<str>,
    /// Port label.
    pub port: Box<str>,
    /// Generation of the plan.
    pub generation: i64,
    /// Why.
    pub cause: Cause,
}

/// Why a plan is not carried out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cause {
    /// There is no such Service, or another one of that name.
    ServiceGone,
    /// The Service has no such port.
    PortGone,
    /// SCTP is left to kube-proxy.
    Transport,
    /// Headless: clients connect to pods themselves.
    Headless,
    /// ExternalName: a DNS alias.
    ExternalName,
    /// No address was allocated yet.
    Pending,
    /// More backends than a set may have.
    TooManyBackends,
}

impl Cause {
    /// The sentence for a person.
    #[must_use]
    pub const fn sentence(self) -> &'static str {
        match self {
            Self::ServiceGone => "the Service is gone or was made again; waiting for a plan for the new one",
            Self::PortGone => "the Service has no such port any more",
            Self::Transport => "SCTP is not steered; kube-proxy serves it",
            Self::Headless => {
                "a headless Service has no address to steer at; its clients pick pods themselves"
            }
            Self::ExternalName => "an ExternalName Service is a DNS alias; nothing passes this node",
            Self::Pending => "the Service has no cluster IP yet",
            Self::TooManyBackends => "the Service port has more than 4096 backends; kube-proxy serves it",
        }
    }
}

/// Derives the lanes of a node from everything known. `Inventory::complete` must hold.
#[must_use]
pub fn desire(inventory: &Inventory, vantage: Vantage<'_>) -> Desired {
    let slices = inventory.planned_slices();
    let mut desired = Desired::default();
    for (key, plan) in inventory.plans.iter() {
        let known = slices.get(&plan.service).map_or(&[][..], Vec::as_slice);
        let service = inventory.services.get(&plan.service);
        match lanes(key, plan, service, known, (inventory, vantage)) {
            Ok(lanes) => desired.lanes.extend(lanes),
            Err(cause) => {
                desired.idle.push(idle(key, plan, cause));
            }
        }
    }
    desired
}

fn idle(key: &ObjectKey, plan: &PlanRecord, cause: Cause) -> Idle {
    Idle {
        namespace: key.0.clone(),
        set: key.1.clone(),
        service: plan.service.name.clone(),
        port: plan.label.clone(),
        generation: plan.generation,
        cause,
    }
}

fn lanes(
    key: &ObjectKey,
    plan: &PlanRecord,
    service: Option<&ServiceRecord>,
    slices: &[&SliceRecord],
    (inventory, vantage): (&Inventory, Vantage<'_>),
) -> Result<Vec<(LaneKey, Arc<Lane>)>, Cause> {
    if plan.transport == Transport::Sctp {
        return Err(Cause::Transport);
    }
    let service = service
        .filter(|service| service.uid == plan.service_uid)
        .ok_or(Cause::ServiceGone)?;
    match service.exposure {
        Exposure::ClusterIp => {}
        Exposure::Headless => return Err(Cause::Headless),
        Exposure::ExternalName => return Err(Cause::ExternalName),
        Exposure::Pending => return Err(Cause::Pending),
    }
    let port = service.port(plan.port, plan.transport).ok_or(Cause::PortGone)?;
    let policy = plan.policy_for(vantage);
    // A datagram is no connect that could be refused.
    let refusable = plan.transport == Transport::Tcp;
    let gate = policy.gate.as_ref().filter(|_| refusable);
    let gate = gate.map(|gate| inventory.gate(gate, &key.0));
    let mut built = Vec::with_capacity(service.addresses.len());
    for family in [Family::V4, Family::V6] {
        let reach = Reach::of(service, port, family, vantage);
        if reach.frontends.is_empty() {
            continue;
        }
        let key = LaneKey {
            namespace: key.0.clone(),
            set: key.1.clone(),
            family,
        };
        let known = known(slices, port, family);
        let mut lane = lane(&key, plan, service, reach, &known, vantage)?;
        lane.gate.clone_from(&gate);
        built.push((key, Arc::new(lane)));
    }
    Ok(built)
}

/// Where a Service port is reached from inside the cluster, in one address family.
struct Reach {
    frontends: Box<[SocketAddr]>,
    guards: Box<[SocketAddr]>,
}

impl Reach {
    /// Cluster IPs; and external and LoadBalancer IPs and node ports, which clients inside the cluster reach with the
    /// endpoints of the whole cluster whatever the external traffic policy says (`KUBE-EXT` of kube-proxy). With
    /// `internalTrafficPolicy: Local` the two have different endpoints, and those from outside stay with kube-proxy.
    fn of(service: &ServiceRecord, port: &ServicePort, family: Family, vantage: Vantage<'_>) -> Self {
        let here = |address: &&IpAddr| Family::of(**address) == family;
        let at = |address: &IpAddr| SocketAddr::new(*address, port.number);
        let mut frontends: Vec<SocketAddr> = service.addresses.iter().filter(here).map(at).collect();
        let mut guards = Vec::new();
        if !frontends.is_empty() && !service.local_only {
            frontends.extend(service.externals.iter().filter(here).map(at));
            let nodes = port.node_port.into_iter().flat_map(|number| {
                let own = vantage.addresses.iter().filter(here);
                own.map(move |address| SocketAddr::new(*address, number))
            });
            guards.extend(nodes);
            frontends.extend_from_slice(&guards);
        }
        if let Some(first) = guards.first() {
            let any = match family {
                Family::V4 => IpAddr::from(Ipv4Addr::UNSPECIFIED),
                Family::V6 => IpAddr::from(Ipv6Addr::UNSPECIFIED),
            };
            guards.push(SocketAddr::new(any, first.port()));
        }
        Self {
            frontends: frontends.into_boxed_slice(),
            guards: guards.into_boxed_slice(),
        }
    }
}

/// Rotates ties so that the nodes of a cluster do not all round towards the same backend.
fn seed(key: &LaneKey, node: &str) -> u64 {
    let id = key.id().0;
    node.bytes().chain(id).fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
    })
}

/// Endpoints of one port and family over all slices, with the port each answers on.
fn known<'a>(
    slices: &[&'a SliceRecord],
    port: &ServicePort,
    family: Family,
) -> Vec<(&'a EndpointRecord, u16)> {
    let mut found = Vec::new();
    for slice in slices {
        let Some(target) = slice
            .ports
            .iter()
            .find(|target| target.name == port.name && target.transport == port.transport)
        else {
            continue;
        };
        let endpoints = slice
            .endpoints
            .iter()
            .filter(|endpoint| Family::of(endpoint.address) == family);
        found.extend(endpoints.map(|endpoint| (endpoint, target.number)));
    }
    found
}

fn lane(
    key: &LaneKey,
    plan: &PlanRecord,
    service: &ServiceRecord,
    reach: Reach,
    known: &[(&EndpointRecord, u16)],
    vantage: Vantage<'_>,
) -> Result<Lane, Cause> {
    let policy = plan.policy_for(vantage);
    let follow_hints = policy.law.topology == Topology::Follow;
    let scope = Scope {
        local_only: service.local_only,
        follow_hints,
    };
    let law = SetConfig {
        seed: seed(key, vantage.node),
        ..policy.law
    };
    let selection = select(known, scope, vantage);
    let backends = backends(&selection, known, vantage);
    if backends.len() > SetState::MOST_BACKENDS {
        return Err(Cause::TooManyBackends);
    }
    Ok(Lane {
        service: plan.service.clone(),
        port: plan.label.clone(),
        digest: plan.digest.clone(),
        generation: plan.generation,
        protocol: match plan.transport {
            Transport::Udp => Protocol::Udp,
            Transport::Tcp | Transport::Sctp => Protocol::Tcp,
        },
        frontends: reach.frontends,
        guards: reach.guards,
        affinity: service.affinity,
        backends,
        grade: selection.grade,
        mode: policy.mode,
        law,
        failsafe: policy.failsafe,
        fallback: policy.fallback,
        gate: None,
        advice: plan.advice.clone(),
        record: plan.record.clone().filter(|wish| wish.names(vantage.node)),
    })
}

/// The selected endpoints, and out of service those that are leaving or not ready: their connections still run and count.
fn backends(
    selection: &Selection<'_>,
    known: &[(&EndpointRecord, u16)],
    vantage: Vantage<'_>,
) -> Box<[LaneBackend]> {
    let mut backends: Vec<LaneBackend> = selection
        .endpoints
        .iter()
        .map(|(endpoint, port)| backend(endpoint, *port, true, vantage))
        .collect();
    let resting = known.iter().filter(|(endpoint, _)| !endpoint.ready);
    backends.extend(resting.map(|(endpoint, port)| backend(endpoint, *port, false, vantage)));
    // In service first among equals, so that the double of a selected endpoint is the one that goes.
    backends.sort_by_key(|backend| (backend.address, !backend.in_service));
    backends.dedup_by_key(|backend| backend.address);
    backends.into_boxed_slice()
}

fn backend(endpoint: &EndpointRecord, port: u16, in_service: bool, vantage: Vantage<'_>) -> LaneBackend {
    let locality = if endpoint.node.as_deref() == Some(vantage.node) {
        Locality::Node
    } else if endpoint.zone.is_some() && endpoint.zone.as_deref() == vantage.zone {
        Locality::Zone
    } else {
        Locality::Elsewhere
    };
    let address = SocketAddr::new(endpoint.address, port);
    LaneBackend {
        id: backend_id(address),
        address,
        in_service,
        locality,
        pod: endpoint.pod.clone(),
        uid: endpoint.uid,
        node: endpoint.node.clone(),
    }
}

#[cfg(test)]
mod tests;
