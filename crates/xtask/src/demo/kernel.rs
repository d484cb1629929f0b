//! What the pinned maps of a node say, read past the running agent.
//!
//! `continuity-agent inspect` opens the pins, writes nothing, and prints them as JSON. It is run on the node from the
//! outside, so it also answers while no agent runs, which is when HOLD and FALLBACK happen.

use serde::Deserialize;

use crate::Error;
use crate::cluster::{Cluster, Node};
use crate::image;

/// The maps of one node.
#[derive(Clone, Debug, Default, Deserialize, PartialEq)]
pub(super) struct Maps {
    /// The sets in them.
    pub(super) sets: Vec<Set>,
}

/// One set in the maps.
#[derive(Clone, Debug, Default, Deserialize, PartialEq)]
pub(super) struct Set {
    /// Namespace of the Service.
    pub(super) namespace: String,
    /// Name of the Service.
    pub(super) service: String,
    /// Name of the port.
    pub(super) port: String,
    /// Epoch of the field.
    pub(super) epoch: u64,
    /// Normal, Hold or Fallback, as the last connect saw it.
    pub(super) failsafe: String,
    /// When a connect last saw it change, `CLOCK_MONOTONIC`; 0 for never.
    pub(super) failsafe_since_ns: u64,
    /// Connects counted since the maps were made.
    pub(super) connects: u64,
    /// The backends.
    pub(super) backends: Vec<Backend>,
}

/// One backend in the maps.
#[derive(Clone, Debug, Default, Deserialize, PartialEq)]
pub(super) struct Backend {
    /// "ip:port", IPv6 in brackets.
    pub(super) address: String,
    /// Slots that name it, in millionths of the table.
    pub(super) share_ppm: u64,
    /// Connects that were given to it.
    pub(super) attempts: u64,
}

impl Maps {
    /// Reads the maps of a node.
    pub(super) fn of(cluster: &Cluster, node: Node) -> Result<Self, Error> {
        let program = image::binary_path("continuity-agent").into_os_string();
        let output = cluster.on_node(node, [program, "inspect".into()])?.output()?;
        serde_json::from_slice(&output.stdout).map_err(|source| Error::Json {
            what: "the answer of continuity-agent inspect".to_owned(),
            source,
        })
    }

    /// The sets of a Service's port; IPv4 and IPv6 may be one set or two.
    pub(super) fn sets_of(&self, service: &str, port: &str) -> impl Iterator<Item = &Set> {
        self.sets
            .iter()
            .filter(move |set| set.service == service && set.port == port)
    }

    /// The largest share, 0 to 1, that the table of a Service's port gives an address (without its port).
    pub(super) fn share(&self, service: &str, port: &str, address: &str) -> Option<f64> {
        let backends = self.sets_of(service, port).flat_map(|set| &set.backends);
        let mine = backends.filter(|backend| host(&backend.address) == address);
        mine.map(|backend| super::latency::fraction(usize::try_from(backend.share_ppm).unwrap_or(0)) / 1e6)
            .reduce(f64::max)
    }

    /// Connects counted over all sets.
    pub(super) fn connects(&self) -> u64 {
        self.sets.iter().map(|set| set.connects).sum()
    }
}

/// The address without its port.
fn host(address: &str) -> &str {
    address
        .rsplit_once(':')
        .map_or(address, |(host, _)| host)
        .trim_matches(['[', ']'])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_share_is_found_by_address() {
        let backend = |address: &str, share_ppm| Backend {
            address: address.into(),
            share_ppm,
            attempts: 0,
        };
        let backends = vec![backend("10.244.1.5:8080", 0), backend("10.244.2.5:8080", 250_000)];
        let set = Set {
            service: "checkout".into(),
            port: "http".into(),
            connects: 7,
            backends,
            ..Set::default()
        };
        let maps = Maps { sets: vec![set] };
        assert_eq!(maps.share("checkout", "http", "10.244.1.5"), Some(0.0));
        assert_eq!(maps.share("checkout", "http", "10.244.2.5"), Some(0.25));
        assert_eq!(maps.share("checkout", "admin", "10.244.2.5"), None);
        assert_eq!(maps.connects(), 7);
        assert_eq!(host("[fd00:10:244:1::5]:8080"), "fd00:10:244:1::5");
    }
}
