//! Faults of agents and control plane: killing, keeping away, rolling, stopping, and reading what was left.

use std::time::Duration;

use continuity_traffic::clock;
use nix::sys::signal::Signal;
use serde_json::Value;

use super::install::NAMESPACE;
use super::kernel::Maps;
use super::workload::{self, PAIR};
use super::{agent, share, status};
use crate::Error;
use crate::cluster::{Cluster, Node};
use crate::image::{self, Image};

/// How long the nodes are alone before the gray fault begins.
pub(super) const ALONE: Duration = Duration::from_secs(5);
/// How long status may take to catch up before it is given up.
const CATCH_UP: Duration = Duration::from_secs(30);
/// How long a roll-out of the agents may take.
const ROLL_OUT: Duration = Duration::from_secs(120);

/// What the kernel holds before a loss of agents.
pub(super) struct Before {
    /// Connects counted, over all nodes and sets.
    pub(super) connects: u64,
    /// Pinned links and maps with their inodes, over all nodes.
    pub(super) pins: Vec<String>,
}

impl Before {
    /// Looks at every node.
    pub(super) fn look(cluster: &Cluster) -> Result<Self, Error> {
        let (mut connects, mut pins) = (0, Vec::new());
        for node in cluster.nodes() {
            connects += Maps::of(cluster, node)?.connects();
            pins.extend(
                agent::lasting(cluster, node)?
                    .into_iter()
                    .map(|pin| format!("{} {pin}", node.name())),
            );
        }
        Ok(Self { connects, pins })
    }
}

/// SIGKILL to the agents of all nodes, or of one; returns the time. No agent to kill is an error: the fault would be none.
pub(super) fn kill_agents(node: Option<&str>) -> Result<u64, Error> {
    let processes = agent::processes("continuity-agent");
    let wanted: Vec<_> = processes
        .iter()
        .filter(|p| node.is_none_or(|node| p.node == node))
        .collect();
    if wanted.is_empty() {
        return Err(Error::Unknown {
            kind: "agent on node",
            name: node.unwrap_or("any").to_owned(),
            known: processes
                .iter()
                .map(|p| p.node.clone())
                .collect::<Vec<_>>()
                .join(", "),
        });
    }
    for process in wanted {
        process.signal(Signal::SIGKILL)?;
    }
    Ok(clock::now_ns())
}

/// Age of the heartbeat, s, when the kernel of a node went into `state`, which it is in now; `None` if it is in another.
pub(super) fn failsafe_age(cluster: &Cluster, node: Node, state: &str) -> Result<Option<f64>, Error> {
    let maps = Maps::of(cluster, node)?;
    let set = maps
        .set_at(workload::address(cluster, PAIR[0])?)
        .filter(|set| set.failsafe == state);
    Ok(set
        .and_then(|set| set.failsafe_since_ns.checked_sub(maps.heartbeat_ns))
        .map(share::seconds))
}

/// The agents' two builds, as image references.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Builds {
    /// What is installed.
    pub(super) usual: String,
    /// The same sources under another version.
    pub(super) next: String,
}

impl Builds {
    /// The agent's images among all.
    pub(super) fn among(images: &[Image]) -> Result<Self, Error> {
        let find = |tag: &str| {
            let name = format!("localhost/continuity-agent:{tag}");
            let known = || {
                images
                    .iter()
                    .map(|image| image.reference.as_str())
                    .collect::<Vec<_>>()
            };
            let missing = || Error::Unknown {
                kind: "image",
                name: name.clone(),
                known: known().join(", "),
            };
            known()
                .contains(&name.as_str())
                .then(|| name.clone())
                .ok_or_else(missing)
        };
        Ok(Self {
            usual: find(image::USUAL)?,
            next: find(image::NEXT)?,
        })
    }
}

/// Versions that the nodes' reports name, once `wanted` is true of each, or as they are when the patience is at its end.
pub(super) fn reported_versions(
    cluster: &Cluster,
    wanted: impl Fn(&str) -> bool,
) -> Result<Vec<String>, Error> {
    let read = || -> Result<Vec<String>, Error> {
        let list = cluster.json(["get", "continuitynodes", "-o", "json"])?;
        let items = list["items"].as_array().into_iter().flatten();
        let version = |item: &Value| {
            item["status"]["agentVersion"]
                .as_str()
                .unwrap_or("none")
                .to_owned()
        };
        Ok(items.map(version).collect())
    };
    let all_wanted = || match read() {
        Ok(versions) if !versions.is_empty() && versions.iter().all(|version| wanted(version)) => Ok(()),
        Ok(versions) => Err(format!("versions {versions:?}")),
        Err(error) => Err(error.to_string()),
    };
    match cluster.wait("the nodes to report the new version", CATCH_UP, all_wanted) {
        Ok(()) | Err(Error::Timeout { .. }) => read(),
        Err(error) => Err(error),
    }
}

/// Rolls the agents to an image, node by node.
pub(super) fn roll_agents(cluster: &Cluster, image: &str) -> Result<(), Error> {
    let container = format!("agent={image}");
    cluster.kubectl([
        "set",
        "image",
        "daemonset/continuity-agent",
        &container,
        "-n",
        NAMESPACE,
    ])?;
    let timeout = format!("--timeout={}s", ROLL_OUT.as_secs());
    cluster
        .kubectl([
            "rollout",
            "status",
            "daemonset/continuity-agent",
            "-n",
            NAMESPACE,
            &timeout,
        ])
        .map(drop)
}

/// Stops API server, controllers and scheduler, and every operator.
///
/// The operators' processes are stopped, not ended: kubelet, which lives on, would start new ones.
pub(super) fn stop(cluster: &Cluster) -> Result<(), Error> {
    cluster.stop_control_plane()?;
    agent::processes("continuity-operator")
        .iter()
        .try_for_each(|process| process.signal(Signal::SIGSTOP))
}

/// Starts them again.
pub(super) fn start(cluster: &Cluster) -> Result<(), Error> {
    for process in agent::processes("continuity-operator") {
        process.signal(Signal::SIGCONT)?;
    }
    cluster.start_control_plane()
}

/// Waits until the set's status lists these pods as isolated.
pub(super) fn status_names(cluster: &Cluster, victims: &[String]) -> Result<(), Error> {
    let all_named = || {
        let set = status::set(cluster, PAIR[0], "http").map_err(|error| error.to_string())?;
        let set = set.ok_or("no EquivalenceSet")?;
        let missing: Vec<_> = victims
            .iter()
            .filter(|pod| !status::isolates(&set, pod))
            .collect();
        if missing.is_empty() {
            Ok(())
        } else {
            Err(format!("status does not name {missing:?}"))
        }
    };
    match cluster.wait("status to name the sick backend", CATCH_UP, all_named) {
        // Too late is a goal that fell short, which the figure says; the demo goes on.
        Err(Error::Timeout { .. }) => Ok(()),
        other => other,
    }
}
