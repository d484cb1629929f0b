//! What the pinned maps of a node say, read past the running agent.
//!
//! `continuity-inspect` opens the pins, writes nothing, and prints them as JSON. It shares no code with the agent but the
//! layout of the maps, and it also answers while no agent runs, which is when HOLD and FALLBACK happen.

use std::net::SocketAddr;

use serde::Deserialize;

use crate::Error;
use crate::cluster::{Cluster, Node};
use crate::image;

/// Where the pins of the present schema are, as a node sees it.
const PINS: &str = "/sys/fs/bpf/continuity/v4";

/// The maps of one node.
#[derive(Clone, Debug, Default, Deserialize, PartialEq)]
pub(super) struct Maps {
    /// The agent's last sign of life, `CLOCK_MONOTONIC`.
    pub(super) heartbeat_ns: u64,
    /// The sets in them.
    sets: Vec<Set>,
}

/// One set in the maps.
#[derive(Clone, Debug, Default, Deserialize, PartialEq)]
pub(super) struct Set {
    frontends: Vec<SocketAddr>,
    /// Normal, Hold or Fallback, as the last connect saw it.
    pub(super) failsafe: String,
    /// When a connect last saw it change, `CLOCK_MONOTONIC`; 0 for never.
    pub(super) failsafe_since_ns: u64,
    steered: u64,
    passed_fallback: u64,
    /// Connects refused because there is no backend.
    #[serde(default)]
    refused_empty: u64,
    backends: Vec<Backend>,
}

/// One backend in the maps.
#[derive(Clone, Debug, Deserialize, PartialEq)]
struct Backend {
    address: SocketAddr,
    share_ppm: u32,
}

impl Maps {
    /// Reads the maps of a node.
    pub(super) fn of(cluster: &Cluster, node: Node) -> Result<Self, Error> {
        let program = image::binary_path("continuity-inspect").into_os_string();
        let output = cluster
            .on_node(node, [program, "maps".into(), PINS.into()])?
            .output()?;
        serde_json::from_slice(&output.stdout).map_err(|source| Error::Json {
            what: "the answer of continuity-inspect".to_owned(),
            source,
        })
    }

    /// The set that clients reach at this address.
    pub(super) fn set_at(&self, frontend: SocketAddr) -> Option<&Set> {
        self.sets.iter().find(|set| set.frontends.contains(&frontend))
    }

    /// Connects counted over all sets.
    pub(super) fn connects(&self) -> u64 {
        self.sets
            .iter()
            .map(|set| set.steered + set.passed_fallback)
            .sum()
    }
}

impl Set {
    /// Connects that the kernel decided: steered, or refused for want of a backend.
    pub(super) const fn decided(&self) -> u64 {
        self.steered + self.refused_empty
    }

    /// Addresses of the backends of one family, sorted.
    pub(super) fn addresses(&self, v6: bool) -> Vec<std::net::IpAddr> {
        let all = self.backends.iter().map(|backend| backend.address.ip());
        let mut found: Vec<_> = all.filter(|address| address.is_ipv6() == v6).collect();
        found.sort_unstable();
        found
    }

    /// The share, 0 to 1, that the table gives a pod.
    pub(super) fn share(&self, pod: std::net::IpAddr) -> Option<f64> {
        let backend = self.backends.iter().find(|backend| backend.address.ip() == pod)?;
        Some(f64::from(backend.share_ppm) / 1e6)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_answer_of_the_inspector_is_understood() {
        let text = r#"{"heartbeat_ns":7,"sets":[{"frontends":["10.96.1.1:80","[fd00:10:96::1]:80"],"enforced":true,
            "epoch":3,"failsafe":"Hold","failsafe_since_ns":9,"steered":5,"steered_in_hold":1,"passed_fallback":2,
            "backends":[{"address":"10.244.1.5:8080","share_ppm":0},{"address":"10.244.2.5:8080","share_ppm":250000}]}]}"#;
        let maps: Maps = serde_json::from_str(text).unwrap();
        let set = maps.set_at("10.96.1.1:80".parse().unwrap()).unwrap();
        assert_eq!(set.share("10.244.2.5".parse().unwrap()), Some(0.25));
        assert_eq!(set.share("10.244.9.9".parse().unwrap()), None);
        assert!(maps.set_at("10.96.1.1:81".parse().unwrap()).is_none());
        assert_eq!((maps.connects(), set.failsafe.as_str()), (7, "Hold"));
    }
}
