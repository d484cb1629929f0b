//! What the maps shall hold, and what they hold.

use std::{fmt, net::SocketAddr, time::Duration};

use continuity_wire::ServiceKey;
use sha2::{Digest, Sha256};

use crate::{CapabilityId, CapabilityReport};

/// Who a set is, across restarts: the first 16 bytes of the SHA-256 of its identity.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SetId(pub [u8; 16]);

impl SetId {
    /// Id of a set from a text that no other set on the node has, such as `shop/checkout:http/TCP`.
    #[must_use]
    pub fn of(identity: &str) -> Self {
        let digest = Sha256::digest(identity.as_bytes());
        let mut id = [0; 16];
        for (to, from) in id.iter_mut().zip(digest.iter()) {
            *to = *from;
        }
        Self(id)
    }
}

impl fmt::Display for SetId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for SetId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Index of a set in the maps; stable while the set stays.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SetIndex(pub u32);

/// Index of a backend in the maps; stable while the backend stays in its set.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct BackendIndex(pub u32);

/// What the kernel does with connects to a set.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Mode {
    /// Connects pass through and are only counted; passive sockets of local backends are measured.
    #[default]
    Observe,
    /// Connects are steered.
    Enforce,
}

/// Transport protocol of a set.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Protocol {
    /// Connections are steered when they are made.
    #[default]
    Tcp,
    /// Connected sockets are steered when they connect, others with the first datagram of a flow.
    Udp,
}

impl Protocol {
    /// IP protocol number.
    #[must_use]
    pub const fn number(self) -> u8 {
        match self {
            Self::Tcp => continuity_wire::TCP,
            Self::Udp => continuity_wire::UDP,
        }
    }
}

/// What FALLBACK does with the choice.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Fallback {
    /// Leave it to kube-proxy.
    #[default]
    PassThrough,
    /// Share equally over the backends that were alive when the agent last said so.
    LastKnownAlive,
}

/// When the kernel stops trusting a silent agent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FailsafeTimes {
    /// Age of the heartbeat from which the field is frozen. Default 3 s.
    pub hold_after: Duration,
    /// Age of the heartbeat from which the choice falls back. Default 15 s; never less than `hold_after`.
    pub fallback_after: Duration,
}

impl Default for FailsafeTimes {
    fn default() -> Self {
        Self {
            hold_after: Duration::from_secs(3),
            fallback_after: Duration::from_secs(15),
        }
    }
}

/// A backend that shall be in a set.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct DesiredBackend {
    /// Pod address and target port.
    pub address: SocketAddr,
    /// Whether it runs on this node: its passive sockets are measured then.
    pub local: bool,
}

/// A set that shall be in the maps.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DesiredSet {
    /// Who it is.
    pub id: SetId,
    /// What to do with its connects.
    pub mode: Mode,
    /// Its transport.
    pub protocol: Protocol,
    /// Addresses that clients connect to: cluster IPs, external and LoadBalancer IPs, node ports.
    pub frontends: Vec<SocketAddr>,
    /// Node ports that no process in the node's own network namespace may bind; the unspecified address stands for a
    /// bind to every address.
    pub guards: Vec<SocketAddr>,
    /// Session affinity: time since a client's last connect for which it keeps its backend.
    pub affinity: Option<Duration>,
    /// Every backend that new connections may go to, isolated ones too.
    pub backends: Vec<DesiredBackend>,
    /// When to stop trusting the agent.
    pub failsafe: FailsafeTimes,
    /// What then.
    pub fallback: Fallback,
}

impl DesiredSet {
    /// Keys that lead to it, its guards last.
    pub(crate) fn keys(&self) -> impl Iterator<Item = ServiceKey> {
        let protocol = self.protocol.number();
        let frontends = self
            .frontends
            .iter()
            .map(move |address| ServiceKey::new(*address, protocol));
        let guards = self
            .guards
            .iter()
            .map(move |address| ServiceKey::guard(*address, protocol));
        frontends.chain(guards)
    }

    /// A feature of this node that it cannot be steered without.
    pub(crate) fn needs(&self, capabilities: &CapabilityReport) -> Option<CapabilityId> {
        let lacks = |id| {
            capabilities
                .get(id)
                .is_some_and(|capability| capability.met == Some(false))
        };
        let datagram = self.protocol == Protocol::Udp && lacks(CapabilityId::Datagram);
        let affinity = self.affinity.is_some() && lacks(CapabilityId::NetnsCookie);
        if datagram {
            Some(CapabilityId::Datagram)
        } else {
            affinity.then_some(CapabilityId::NetnsCookie)
        }
    }
}

/// Everything that shall be in the maps.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Desired {
    /// The sets, each id once.
    pub sets: Vec<DesiredSet>,
}

/// Whether the desired state is all there is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Completeness {
    /// Lists are still coming in: add and change, remove nothing.
    Partial,
    /// Every list was complete at least once: what is not named is removed.
    Complete,
}

/// Why something desired is not in the maps.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Rejection {
    /// The node's maps hold no further set.
    #[error(
        "set {id}: {capacity} sets are in use or resting, none is free; its connects stay with kube-proxy"
    )]
    SetsFull {
        /// The set.
        id: SetId,
        /// Size of the map.
        capacity: u32,
    },
    /// The node's maps hold no further backend.
    #[error(
        "backend {address} of set {id}: {capacity} backends are in use or resting, none is free; it gets no steered connects"
    )]
    BackendsFull {
        /// The set.
        id: SetId,
        /// The backend.
        address: SocketAddr,
        /// Size of the map.
        capacity: u32,
    },
    /// The node's maps hold no further local backend.
    #[error(
        "backend {address}: {capacity} local addresses are measured, none is free; it is not measured on its own node"
    )]
    EndpointsFull {
        /// The backend.
        address: SocketAddr,
        /// Size of the map.
        capacity: u32,
    },
    /// The node's maps hold no further service address.
    #[error(
        "address {address} of set {id}: {capacity} service addresses are in use; its connects stay with kube-proxy"
    )]
    FrontendsFull {
        /// The set.
        id: SetId,
        /// The address.
        address: SocketAddr,
        /// Size of the map.
        capacity: u32,
    },
    /// The node lacks what the set needs.
    #[error("set {id}: this node does not offer {capability}; its traffic stays with kube-proxy")]
    Unsupported {
        /// The set.
        id: SetId,
        /// What is missing.
        capability: CapabilityId,
    },
    /// Two sets claim one address.
    #[error("address {address} of set {id} belongs to set {owner}; the first one keeps it")]
    FrontendTaken {
        /// The set that lost.
        id: SetId,
        /// The address.
        address: SocketAddr,
        /// The set that has it.
        owner: SetId,
    },
}

/// What a reconcile changed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Reconciled {
    /// Sets that are new.
    pub sets_added: Vec<SetId>,
    /// Sets that are gone.
    pub sets_removed: Vec<SetId>,
    /// Sets whose backends changed; each needs a new field at once.
    pub sets_changed: Vec<SetId>,
    /// What did not fit.
    pub rejected: Vec<Rejection>,
}

/// A backend as it is in the maps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BackendView {
    /// Its index.
    pub index: BackendIndex,
    /// Tells two owners of one index apart.
    pub generation: u32,
    /// Pod address and target port.
    pub address: SocketAddr,
    /// Whether it runs on this node.
    pub local: bool,
}

/// A set as it is in the maps.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SetView {
    /// Who it is.
    pub id: SetId,
    /// Its index.
    pub index: SetIndex,
    /// What happens to its connects.
    pub mode: Mode,
    /// Its transport.
    pub protocol: Protocol,
    /// Backends in index order.
    pub backends: Vec<BackendView>,
    /// Addresses that clients connect to.
    pub frontends: Vec<SocketAddr>,
}

/// Places of the maps that were not as they should be, by map.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Mended {
    /// Sets.
    pub sets: u64,
    /// Backends.
    pub backends: u64,
    /// Own addresses of local backends.
    pub endpoints: u64,
    /// Service addresses.
    pub services: u64,
}

impl Mended {
    /// By the map's name.
    #[must_use]
    pub const fn by_map(&self) -> [(&'static str, u64); 4] {
        [
            ("sets", self.sets),
            ("backends", self.backends),
            ("endpoints", self.endpoints),
            ("services", self.services),
        ]
    }

    /// All of them.
    #[must_use]
    pub const fn total(&self) -> u64 {
        self.sets + self.backends + self.endpoints + self.services
    }

    /// Adds what another comparison found.
    pub const fn add(&mut self, other: &Self) {
        self.sets += other.sets;
        self.backends += other.backends;
        self.endpoints += other.endpoints;
        self.services += other.services;
    }
}

#[cfg(test)]
mod tests {
    use super::SetId;

    #[test]
    fn an_id_depends_on_the_identity_alone() {
        assert_eq!(
            SetId::of("shop/checkout:http/TCP"),
            SetId::of("shop/checkout:http/TCP")
        );
        assert_ne!(
            SetId::of("shop/checkout:http/TCP"),
            SetId::of("shop/checkout:https/TCP")
        );
        assert_eq!(SetId([0xab; 16]).to_string(), "ab".repeat(16));
    }
}
