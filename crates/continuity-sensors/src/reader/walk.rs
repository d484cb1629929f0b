//! Finding the cgroups of pods: a bounded walk that goes below `kubepods` only.
//!
//! The kubelet may put its cgroups below a root of its own, and a test node several levels deep, so the first levels are
//! searched for a directory named `kubepods…`; inside it a pod is at most two levels down.

use std::path::{Path, PathBuf};

use crate::{Layout, PodId};

/// Levels above `kubepods`, and directories looked at in all: a node has some dozens of them outside `kubepods`, and 110
/// pods with their classes inside.
const MOST_LEVELS: usize = 4;
const MOST_DIRECTORIES: usize = 2_048;
/// Classes are one level, pods the next.
const POD_LEVELS: usize = 2;

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
