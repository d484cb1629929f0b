//! What a node can do: each feature, what it needs, whether that is met, and what stands in.

use std::fmt;

/// A feature that depends on the node.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum CapabilityId {
    /// A cgroup v2 hierarchy to attach to.
    CgroupV2,
    /// A cgroup that holds every pod of the node: the hierarchy's root, or the node's where nodes are containers.
    CgroupRoot,
    /// A bpf file system for the pins.
    Bpffs,
    /// `CAP_BPF`.
    CapBpf,
    /// `CAP_NET_ADMIN`.
    CapNetAdmin,
    /// `CAP_PERFMON`.
    CapPerfmon,
    /// `bpf_set_retval` in connect hooks (Linux 5.18).
    SetRetval,
    /// `cgroup/getpeername` hooks (Linux 5.8).
    Getpeername,
    /// `cgroup/sock_release` (Linux 5.9).
    SockRelease,
    /// UDP hooks `sendmsg` and `recvmsg`, and `cgroup/sock_release` (Linux 5.9).
    Datagram,
    /// `bpf_get_netns_cookie` in connect hooks (Linux 5.7): session affinity.
    NetnsCookie,
    /// `SO_NETNS_COOKIE` (Linux 5.14): the bind guard of node ports.
    BindGuard,
    /// `membarrier(2)`.
    Membarrier,
    /// No connect hook of somebody else.
    SoleConnectHook,
    /// No pins of another schema.
    Schema,
}

impl CapabilityId {
    /// Stable name for status and metrics.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::CgroupV2 => "CgroupV2",
            Self::CgroupRoot => "CgroupRoot",
            Self::Bpffs => "Bpffs",
            Self::CapBpf => "CapBpf",
            Self::CapNetAdmin => "CapNetAdmin",
            Self::CapPerfmon => "CapPerfmon",
            Self::SetRetval => "SetRetval",
            Self::Getpeername => "Getpeername",
            Self::SockRelease => "SockRelease",
            Self::Datagram => "Datagram",
            Self::NetnsCookie => "NetnsCookie",
            Self::BindGuard => "BindGuard",
            Self::Membarrier => "Membarrier",
            Self::SoleConnectHook => "SoleConnectHook",
            Self::Schema => "Schema",
        }
    }
}

impl fmt::Display for CapabilityId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// One feature on this node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Capability {
    /// Which.
    pub id: CapabilityId,
    /// What it needs, for a person.
    pub needs: &'static str,
    /// `None` if that could not be found out.
    pub met: Option<bool>,
    /// Whether the dataplane cannot work without it.
    pub required: bool,
    /// What was found.
    pub found: String,
    /// What stands in if it is not met.
    pub fallback: &'static str,
}

/// Every feature on this node.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CapabilityReport {
    /// In order of [`CapabilityId`].
    pub capabilities: Vec<Capability>,
}

impl CapabilityReport {
    /// One feature.
    #[must_use]
    pub fn get(&self, id: CapabilityId) -> Option<&Capability> {
        self.capabilities.iter().find(|capability| capability.id == id)
    }

    /// Whether a feature is known to be there.
    #[must_use]
    pub fn has(&self, id: CapabilityId) -> bool {
        self.get(id)
            .is_some_and(|capability| capability.met == Some(true))
    }

    /// Required features that are known to be missing.
    pub fn blocking(&self) -> impl Iterator<Item = &Capability> {
        self.capabilities
            .iter()
            .filter(|capability| capability.required && capability.met == Some(false))
    }
}
