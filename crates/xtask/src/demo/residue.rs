//! What is in the kernel, before the installation and after its removal.
//!
//! The proof that nothing was left does not ask the program that did the removing. It lists every BPF program and map of
//! the machine by id. A name that the installation brought must be gone again: other software may load programs while
//! the demo runs, and those are not ours to count. A link holds its program, so without programs there are no links.

use std::collections::BTreeMap;
use std::thread;
use std::time::{Duration, Instant};

use serde::Deserialize;

use super::agent;
use crate::Error;
use crate::cluster::Cluster;
use crate::image;
use crate::process::Run;

/// The kernel frees programs and maps after a grace period.
const PATIENCE: Duration = Duration::from_secs(5);

/// One object, as the inspector prints it.
#[derive(Deserialize)]
struct Object {
    kind: String,
    id: u32,
    name: String,
}

/// Programs and maps, by id.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Residue {
    objects: BTreeMap<(String, u32), String>,
}

impl Residue {
    /// What is there now. Programs that container runtimes attach to containers are left out.
    pub(super) fn now() -> Result<Self, Error> {
        let output = Run::new(image::binary_path("continuity-inspect"))
            .arg("objects")
            .output()?;
        let objects: Vec<Object> = serde_json::from_slice(&output.stdout).map_err(|source| Error::Json {
            what: "the answer of continuity-inspect".to_owned(),
            source,
        })?;
        Ok(Self {
            objects: objects.into_iter().map(|o| ((o.kind, o.id), o.name)).collect(),
        })
    }

    /// What is here and not in `before`.
    pub(super) fn since(&self, before: &Self) -> Self {
        let fresh = self
            .objects
            .iter()
            .filter(|(key, _)| !before.objects.contains_key(key));
        Self {
            objects: fresh.map(|(key, name)| (key.clone(), name.clone())).collect(),
        }
    }

    /// The objects of `self` that are of the same kind and name as one of `brought`.
    fn named_like(&self, brought: &Self) -> Vec<String> {
        let like = |kind: &str, name: &str| brought.objects.iter().any(|((k, _), n)| k == kind && n == name);
        let found = self.objects.iter().filter(|((kind, _), name)| like(kind, name));
        found
            .map(|((kind, id), name)| format!("{kind} {id} {name}"))
            .collect()
    }

    /// Number of programs and of maps.
    pub(super) fn counts(&self) -> (usize, usize) {
        let of = |kind| self.objects.keys().filter(|(k, _)| k == kind).count();
        (of("program"), of("map"))
    }
}

/// Everything of what the installation `brought` that is still there, one line each; empty is the proof.
pub(super) fn left(cluster: &Cluster, before: &Residue, brought: &Residue) -> Result<Vec<String>, Error> {
    let mut lines = Vec::new();
    for node in cluster.nodes() {
        lines.extend(
            agent::pins(cluster, node)?
                .into_iter()
                .map(|pin| format!("{}: pin {pin}", node.name())),
        );
        if cluster
            .on_node(node, ["test", "-e", agent::PINS])?
            .any_output()?
            .status
            .success()
        {
            lines.push(format!("{}: folder {}", node.name(), agent::PINS));
        }
    }
    let begun = Instant::now();
    loop {
        let there = Residue::now()?.since(before).named_like(brought);
        if there.is_empty() || begun.elapsed() > PATIENCE {
            lines.extend(there);
            return Ok(lines);
        }
        thread::sleep(Duration::from_millis(100));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn residue(objects: &[(&str, u32, &str)]) -> Residue {
        Residue {
            objects: objects
                .iter()
                .map(|(kind, id, name)| (((*kind).to_owned(), *id), (*name).to_owned()))
                .collect(),
        }
    }

    #[test]
    fn what_stays_is_found_under_a_new_id_too_and_strangers_are_not() {
        let before = residue(&[("program", 1, "sd_devices")]);
        let during = residue(&[
            ("program", 1, "sd_devices"),
            ("program", 7, "connect4"),
            ("map", 9, "slots"),
        ]);
        let brought = during.since(&before);
        assert_eq!(brought.counts(), (1, 1));
        let after = residue(&[
            ("program", 1, "sd_devices"),
            ("program", 30, "connect4"),
            ("program", 31, "other"),
        ]);
        assert_eq!(after.since(&before).named_like(&brought), ["program 30 connect4"]);
    }
}
