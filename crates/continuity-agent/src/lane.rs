//! What the node loop works on: one lane for each set and address family.
//!
//! An IPv4 socket cannot be steered to an IPv6 backend, so a dual-stack Service port has two slot tables, two law states
//! and one report. The key, the backends and every constant of a lane are plain values, so that two desired states can be
//! compared and the loop is told only of real changes.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use continuity_dataplane::{FailsafeTimes, Fallback, Mode, Protocol, SetId};
use continuity_field::{BackendId, Locality, SetConfig, VerdictKind};
use continuity_sensors::PodId;

use crate::cluster::service::ServiceKey;
use crate::gate::Gate;
use crate::recorder::Wish;
use crate::select::Grade;

/// Address family of a lane.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Family {
    /// IPv4.
    V4,
    /// IPv6.
    V6,
}

impl Family {
    /// Family of an address.
    #[must_use]
    pub const fn of(address: IpAddr) -> Self {
        match address {
            IpAddr::V4(_) => Self::V4,
            IpAddr::V6(_) => Self::V6,
        }
    }
}

/// Key of a lane.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LaneKey {
    /// Namespace of the Service.
    pub namespace: Box<str>,
    /// Name of the set, the plan's name.
    pub set: Box<str>,
    /// Address family.
    pub family: Family,
}

impl LaneKey {
    /// The id under which the dataplane keeps the lane.
    #[must_use]
    pub fn id(&self) -> SetId {
        let family = match self.family {
            Family::V4 => 4,
            Family::V6 => 6,
        };
        SetId::of(&format!("{}/{}/{family}", self.namespace, self.set))
    }
}

/// One backend of a lane.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LaneBackend {
    /// Stable number for the law.
    pub id: BackendId,
    /// Address and port.
    pub address: SocketAddr,
    /// Gets new connections.
    pub in_service: bool,
    /// Distance to this node.
    pub locality: Locality,
    /// Pod, for people.
    pub pod: Option<Box<str>>,
    /// Its uid, by which the sensors find it.
    pub uid: Option<PodId>,
    /// Node, for people.
    pub node: Option<Arc<str>>,
}

/// A verdict of the cluster; its expiry is of the cluster's clock and turned into the node's when the lane adopts it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SharedVerdict {
    /// About whom.
    pub backend: BackendId,
    /// What.
    pub kind: VerdictKind,
    /// When it expires, milliseconds since the epoch.
    pub expires_millis: i64,
}

/// Slow advice of the plan.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct SlowAdvice {
    /// Nodes that send to the set.
    pub active_nodes: u32,
    /// Offered rate of the fleet, thousandths a second.
    pub offered_milli_per_second: u64,
    /// Least time between two routine reports.
    pub report_spacing: Duration,
    /// Verdicts.
    pub verdicts: Box<[SharedVerdict]>,
    /// Backends whose own nodes foresee trouble, and how much that weighs, permille.
    pub distress: Box<[(BackendId, u32)]>,
}

impl SlowAdvice {
    /// What the cluster knows of a backend's own node, permille of the time that it stands still.
    #[must_use]
    pub fn stall(&self, backend: BackendId) -> Option<u32> {
        let mut known = self.distress.iter();
        known.find(|known| known.0 == backend).map(|known| known.1)
    }
}

/// Everything the loop needs to know of one lane.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lane {
    /// Service, for people.
    pub service: ServiceKey,
    /// Port label.
    pub port: Box<str>,
    /// Digest of the plan.
    pub digest: Box<str>,
    /// Generation of the plan, advice included.
    pub generation: i64,
    /// Transport.
    pub protocol: Protocol,
    /// Addresses that clients connect to.
    pub frontends: Box<[SocketAddr]>,
    /// Node ports that no process of the node may bind.
    pub guards: Box<[SocketAddr]>,
    /// Time for which a client keeps its backend.
    pub affinity: Option<Duration>,
    /// Backends, in address order.
    pub backends: Box<[LaneBackend]>,
    /// Ready ones, terminating ones, or none.
    pub grade: Grade,
    /// Steers or watches.
    pub mode: Mode,
    /// Constants of the law.
    pub law: SetConfig,
    /// When the kernel stops trusting a silent agent.
    pub failsafe: FailsafeTimes,
    /// What it does then.
    pub fallback: Fallback,
    /// Admission, where the policy asks for it.
    pub gate: Option<Gate>,
    /// Advice.
    pub advice: SlowAdvice,
    /// Somebody wants a record of what is decided.
    pub record: Option<Wish>,
}

/// The number of a backend: the same address and port give the same number on every node and after every restart, so that
/// verdicts and saved knowledge need no table.
#[must_use]
pub fn backend_id(address: SocketAddr) -> BackendId {
    let port = address.port();
    match address.ip() {
        IpAddr::V4(v4) => BackendId((u64::from(u32::from(v4)) << 16) | u64::from(port)),
        IpAddr::V6(v6) => {
            let wide = u128::from(v6) ^ (u128::from(port) << 64);
            // FNV-1a over the 16 bytes; the top bit keeps the two families apart. Among the 4,096 backends of one set
            // a clash has odds below 10⁻¹².
            let hash = wide
                .to_be_bytes()
                .iter()
                .fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
                    (hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3)
                });
            BackendId(hash | 1 << 63)
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::{Ipv4Addr, Ipv6Addr};

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn two_backends_of_one_family_have_two_numbers(a in any::<u32>(), b in any::<u32>(), p in any::<u16>(), q in any::<u16>()) {
            prop_assume!((a, p) != (b, q));
            let (one, other) = ((Ipv4Addr::from(a), p).into(), (Ipv4Addr::from(b), q).into());
            prop_assert_ne!(backend_id(one), backend_id(other));
        }

        #[test]
        fn the_families_never_meet(a in any::<u32>(), b in any::<u128>(), p in any::<u16>(), q in any::<u16>()) {
            let (one, other) = ((Ipv4Addr::from(a), p).into(), (Ipv6Addr::from(b), q).into());
            prop_assert_ne!(backend_id(one), backend_id(other));
        }
    }

    #[test]
    fn a_port_makes_another_v6_backend() {
        let of = |text: &str| backend_id(text.parse().expect("an address"));
        assert_ne!(of("[fd00::7]:80"), of("[fd00::7]:81"));
    }
}
