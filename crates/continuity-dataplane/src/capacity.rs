//! How large the maps are.
//!
//! Kernel memory at the defaults, s shards: services 8,192 × 88 B = 0.7 MiB; sets with their banks 1 MiB; backends with
//! their records 1 MiB; learned 4 MiB; client traffic 8,192 × s KiB = 8 s MiB; server traffic s MiB; set traffic s / 4
//! MiB; sockets 8,192 × 512 B = 4 MiB; admission 1,024 × 576 B and s / 4 MiB of counters; callers 4,096 × (88 + 64) B =
//! 0.6 MiB; flows 16,384 × 136 B = 2.1 MiB; affinity 16,384 × 96 B = 1.5 MiB. With 2 CPUs (s = 2) 35 MiB, with 8 or
//! more (s = 8) 92 MiB. User space maps only what is in use.

use std::{fs, num::NonZeroU32};

use continuity_wire::WAYS;

/// Sets on a node: 512 Services of two ports each.
pub const SETS: u32 = 1_024;

/// Backends on a node, over all sets: eight a set on average.
pub const BACKENDS: u32 = 8_192;

/// Service addresses: a cluster IP, two external IPs, the node's port on two addresses and three guards of it, for
/// every set.
pub const SERVICES: u32 = SETS * 8;

/// Ways there and back of UDP sockets without a connection: 8,192 sockets at once. The one that sent longest ago is
/// forgotten, and chooses again.
pub const FLOWS: u32 = 1 << 14;

/// Clients with session affinity: 110 pods with 148 sets each. The one that connected longest ago is forgotten.
pub const AFFINITY: u32 = 1 << 14;

/// Local backend addresses: 250 pods (four times kubelet's default limit is rare) with four ports each.
pub const ENDPOINTS: u32 = 1_000;

/// Sockets that are measured at once, of clients and of backends: 110 pods with 500 connections each. Buckets of seven,
/// 2^13 of them. Beyond it sockets are steered but not measured, and counted as such.
pub const SOCKETS: u32 = 7 << 13;

/// Shards of the counters: beyond eight, memory grows faster than contention falls.
pub const MAX_SHARDS: u32 = 8;

/// Where the kernel says which CPUs can exist.
const POSSIBLE_CPUS: &str = "/sys/devices/system/cpu/possible";

/// Sizes of the maps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Capacities {
    /// Sets.
    pub sets: u32,
    /// Backends over all sets.
    pub backends: u32,
    /// Service addresses.
    pub services: u32,
    /// Local backend addresses.
    pub endpoints: u32,
    /// Sockets measured at once; made up to a power of two of buckets of seven.
    pub sockets: u32,
    /// Counter shards, a power of two.
    pub shards: u32,
}

impl Default for Capacities {
    fn default() -> Self {
        Self {
            sets: SETS,
            backends: BACKENDS,
            services: SERVICES,
            endpoints: ENDPOINTS,
            sockets: SOCKETS,
            shards: 1,
        }
    }
}

impl Capacities {
    /// The defaults, with a shard per possible CPU up to [`MAX_SHARDS`].
    #[must_use]
    pub fn of_this_node() -> Self {
        let cpus = fs::read_to_string(POSSIBLE_CPUS)
            .ok()
            .and_then(|list| possible(&list))
            .map_or(1, NonZeroU32::get);
        Self {
            shards: cpus.next_power_of_two().min(MAX_SHARDS),
            ..Self::default()
        }
    }
}

impl Capacities {
    /// Buckets of the socket table: a power of two, at least two.
    pub(crate) fn buckets(self) -> u32 {
        (self.sockets / WAYS).max(2).next_power_of_two()
    }
}

/// Number of CPU ids in a list such as `0-3,8-11`: one more than the largest.
fn possible(list: &str) -> Option<NonZeroU32> {
    let last = list.trim().split([',', '-']).next_back()?;
    NonZeroU32::new(last.parse::<u32>().ok()?.checked_add(1)?)
}

#[cfg(test)]
mod tests {
    use super::possible;

    #[test]
    fn the_list_of_possible_cpus_is_read_up_to_its_largest_id() {
        for (list, cpus) in [("0\n", 1), ("0-1\n", 2), ("0-3,8-11\n", 12)] {
            assert_eq!(possible(list).map(std::num::NonZeroU32::get), Some(cpus));
        }
        assert_eq!(possible(""), None);
        assert_eq!(possible("none"), None);
    }
}
