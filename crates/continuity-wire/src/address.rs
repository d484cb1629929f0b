//! Keys of the two hash maps: a service's address, and a local backend's own address.

use core::net::{IpAddr, Ipv6Addr, SocketAddr};

use bytemuck::{Pod, Zeroable};

/// IP protocol number of TCP.
pub const TCP: u8 = 6;

/// IP protocol number of UDP.
pub const UDP: u8 = 17;

/// An address a client connects to, or that a local backend listens on.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Pod, Zeroable)]
pub struct ServiceKey {
    /// Network order; IPv4 as `::ffff:a.b.c.d`.
    pub address: [u8; 16],
    /// Network order.
    pub port: [u8; 2],
    /// IP protocol number.
    pub protocol: u8,
    /// 0: who connects there is steered. 1: who binds it in the node's own network namespace is refused.
    pub guard: u8,
}

impl ServiceKey {
    /// Key of a socket address.
    #[must_use]
    pub fn new(address: SocketAddr, protocol: u8) -> Self {
        Self {
            address: mapped(address.ip()),
            port: address.port().to_be_bytes(),
            protocol,
            guard: 0,
        }
    }

    /// Key of an address that nobody in the node's own network namespace may bind; the unspecified address stands for
    /// a bind to every address.
    #[must_use]
    pub fn guard(address: SocketAddr, protocol: u8) -> Self {
        Self {
            guard: 1,
            ..Self::new(address, protocol)
        }
    }

    /// The socket address, IPv4 unmapped.
    #[must_use]
    pub fn socket_address(&self) -> SocketAddr {
        unmapped(self.address, self.port)
    }
}

/// 16 bytes in network order, IPv4 in its mapped form.
#[must_use]
pub(crate) fn mapped(address: IpAddr) -> [u8; 16] {
    match address {
        IpAddr::V4(v4) => v4.to_ipv6_mapped().octets(),
        IpAddr::V6(v6) => v6.octets(),
    }
}

/// The socket address of such bytes and a port in network order, IPv4 unmapped.
#[must_use]
pub(crate) fn unmapped(address: [u8; 16], port: [u8; 2]) -> SocketAddr {
    SocketAddr::new(Ipv6Addr::from(address).to_canonical(), u16::from_be_bytes(port))
}

/// What a service address stands for.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Pod, Zeroable)]
pub struct ServiceValue {
    /// Index of the set.
    pub set: u32,
    /// [`crate::Set::generation`] that the entry was written for; another one means the entry is stale.
    pub generation: u32,
}

/// Where a local backend's passive sockets are counted.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Pod, Zeroable)]
pub struct Endpoint {
    /// Index into `server_traffic`.
    pub endpoint: u32,
    /// Changes when the index is given away again.
    pub generation: u32,
}

const _: () = {
    use core::mem::{offset_of, size_of};
    assert!(size_of::<ServiceKey>() == 20);
    assert!(offset_of!(ServiceKey, port) == 16);
    assert!(offset_of!(ServiceKey, protocol) == 18);
    assert!(offset_of!(ServiceKey, guard) == 19);
    assert!(size_of::<ServiceValue>() == 8);
    assert!(size_of::<Endpoint>() == 8);
};
