//! Finding the cgroups of pods: a bounded walk that goes below `kubepods` only.
//!
//! The kubelet may put its cgroups below a root of its own, and a test node several levels deep, so the first levels are
//! searched for a directory named `kubepods…`; inside it a pod is at most two levels down.

use std::collections::BTreeMap;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use crate::{Layout, PodId};

/// Levels above `kubepods`, and directories looked at in all: a node has some dozens of them outside `kubepods`, and 110
/// pods with their classes inside.
const MOST_LEVELS: usize = 4;
const MOST_DIRECTORIES: usize = 2_048;
/// Classes are one level, pods the next.
const POD_LEVELS: usize = 2;
/// Containers are one level below their pod; what they make themselves another. A pod has a dozen of both at most.
const CONTAINER_LEVELS: usize = 2;
const MOST_CONTAINERS: usize = 16;

/// For each wanted pod, its directory in each hierarchy: (hierarchy, directory).
pub(super) fn pods(layout: &Layout, wanted: &[PodId]) -> Vec<Vec<(PathBuf, PathBuf)>> {
    let mut found: Vec<Vec<(PathBuf, PathBuf)>> = wanted.iter().map(|_| Vec::new()).collect();
    for hierarchy in layout.hierarchies() {
        let mut budget = MOST_DIRECTORIES;
        for root in kubepods(hierarchy, &mut budget) {
            below(&root, POD_LEVELS, &mut budget, &mut |name, path| {
                let place = wanted.iter().position(|pod| pod.is_named(name));
                let Some(places) = place.and_then(|place| found.get_mut(place)) else {
                    return true;
                };
                places.push((hierarchy.to_owned(), path.to_owned()));
                false
            });
        }
    }
    found
}

/// For each wanted pod that is there, the ids of its cgroup and of those below it: a socket's cgroup is its container's.
pub(super) fn identities(unified: &Path, wanted: &[PodId]) -> BTreeMap<PodId, Vec<u64>> {
    let mut found: BTreeMap<PodId, Vec<u64>> = BTreeMap::new();
    let mut budget = MOST_DIRECTORIES;
    let mut places = Vec::new();
    for root in kubepods(unified, &mut budget) {
        below(&root, POD_LEVELS, &mut budget, &mut |name, path| {
            let pod = wanted.iter().find(|pod| pod.is_named(name));
            places.extend(pod.map(|pod| (*pod, path.to_owned())));
            pod.is_none()
        });
    }
    for (pod, place) in places {
        let ids = found.entry(pod).or_default();
        let mut take = |path: &Path| {
            let id = std::fs::metadata(path).map(|known| known.ino());
            ids.extend(id.ok().filter(|_| ids.len() < MOST_CONTAINERS));
        };
        take(&place);
        below(&place, CONTAINER_LEVELS, &mut budget, &mut |_, path| {
            take(path);
            true
        });
    }
    found
}

/// Directories named `kubepods…`.
fn kubepods(hierarchy: &Path, budget: &mut usize) -> Vec<PathBuf> {
    let mut roots = Vec::new();
    below(hierarchy, MOST_LEVELS, budget, &mut |name, path| {
        let root = name == "kubepods" || name == "kubepods.slice";
        if root {
            roots.push(path.to_owned());
        }
        !root
    });
    roots
}

/// Visits directories, nearest first; `enter` says whether to go inside.
fn below(root: &Path, levels: usize, budget: &mut usize, enter: &mut dyn FnMut(&str, &Path) -> bool) {
    let mut level = vec![root.to_owned()];
    for _ in 0..levels {
        let mut next = Vec::new();
        for directory in &level {
            for entry in std::fs::read_dir(directory).into_iter().flatten().flatten() {
                if !entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                    continue;
                }
                let Some(left) = budget.checked_sub(1) else { return };
                *budget = left;
                let path = entry.path();
                if entry.file_name().to_str().is_some_and(|name| enter(name, &path)) {
                    next.push(path);
                }
            }
        }
        level = next;
    }
}
