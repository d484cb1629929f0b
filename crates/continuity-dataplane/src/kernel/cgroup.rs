//! Finds the cgroup v2 hierarchy in mountinfo, in its pure (`/sys/fs/cgroup`) or hybrid (`…/unified`) place, and judges
//! whether every pod of the node is below it.
//!
//! Where nodes are containers themselves the highest cgroup to be seen is the node's, not the hierarchy's root: that is
//! right, and what lies outside of it belongs to other nodes.

use std::{
    cmp::Reverse,
    fs, io,
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
};

use super::Options;
use crate::Error;

const MOUNTINFO: &str = "/proc/self/mountinfo";
const OWN: &str = "/proc/self/cgroup";

/// Levels below the cgroup found where the kubelet's may stand: `kubepods`, `kubelet/kubepods`, or one more under a
/// `cgroupRoot` of its configuration.
const DEPTH: usize = 3;

/// Inode of the hierarchy's real root; every other cgroup, and the root of a cgroup namespace, has another.
pub(super) const ROOT_INODE: u64 = 1;

/// A mount of the v2 hierarchy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Mount {
    /// Where.
    pub(super) path: PathBuf,
    /// The cgroup at its root, as the reader's cgroup namespace names it.
    root: String,
}

impl Mount {
    /// How far above the reader's cgroup namespace it reaches.
    fn above(&self) -> usize {
        self.root.split('/').filter(|part| *part == "..").count()
    }

    /// How far below the root of that namespace it starts.
    fn below(&self) -> usize {
        let parts = self.root.split('/');
        parts.filter(|part| !matches!(*part, "" | "..")).count()
    }
}

/// What is below the cgroup found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Reach {
    /// Everything: it is the hierarchy's root.
    Everything,
    /// The kubelet's cgroup for pods, which is here.
    Pods(PathBuf),
    /// The agent's own pod and what stands beside it.
    OwnPod,
    /// Nothing that is known to be a pod.
    Unknown(u64),
}

/// What is below a cgroup, which may be the one that [`root`] found.
pub(super) fn reach(path: &Path) -> Result<Reach, Error> {
    let inode = id(path)?;
    let own = fs::read_to_string(OWN).unwrap_or_default();
    let mounted = fs::read_to_string(MOUNTINFO).unwrap_or_default();
    let root = mounts(&mounted)
        .into_iter()
        .find(|mount| mount.path == path)
        .map(|mount| mount.root);
    Ok(judge(
        inode,
        pods_below(path, DEPTH),
        root.is_some_and(|root| holds_own_pod(&root, &own)),
    ))
}

fn judge(inode: u64, pods: Option<PathBuf>, own_pod: bool) -> Reach {
    match pods {
        _ if inode == ROOT_INODE => Reach::Everything,
        Some(pods) => Reach::Pods(pods),
        None if own_pod => Reach::OwnPod,
        None => Reach::Unknown(inode),
    }
}

/// The kubelet's cgroup for pods: `kubepods` or `kubepods.slice`, with a prefix where the kubelet has a slice of its own.
fn pods_below(path: &Path, depth: usize) -> Option<PathBuf> {
    let below = || {
        fs::read_dir(path)
            .into_iter()
            .flatten()
            .flatten()
            .filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()))
    };
    let named = below().find(|entry| {
        let name = entry.file_name();
        let name = name.to_string_lossy();
        let stem = name.strip_suffix(".slice").unwrap_or(&name);
        stem == "kubepods" || stem.ends_with("-kubepods")
    });
    match named {
        Some(entry) => Some(entry.path()),
        None if depth > 1 => below().find_map(|entry| pods_below(&entry.path(), depth - 1)),
        None => None,
    }
}

/// Whether the reader's container, its pod and the pod's parent are all below the root of a mount; `own` is
/// `/proc/self/cgroup`. In a cgroup namespace of its own the reader does not see where it stands: then it is the mount
/// that reaches above, and pods are found by name or not at all.
fn holds_own_pod(root: &str, own: &str) -> bool {
    let Some(own) = own.lines().find_map(|line| line.strip_prefix("0::")) else {
        return false;
    };
    let Some(below) = own.strip_prefix(root.trim_end_matches('/')) else {
        return false;
    };
    below.starts_with('/') && below.split('/').filter(|part| !part.is_empty()).count() >= 3
}

/// The cgroup to attach to.
pub(super) fn root(options: &Options) -> Result<PathBuf, Error> {
    match &options.cgroup {
        Some(path) => id(path).map(|_| path.clone()),
        None => find(Path::new(MOUNTINFO)),
    }
}

/// The highest cgroup v2 directory that is mounted here.
pub(super) fn find(mountinfo: &Path) -> Result<PathBuf, Error> {
    let missing = || Error::NoCgroup {
        mountinfo: mountinfo.to_owned(),
    };
    let text = fs::read_to_string(mountinfo).map_err(|_| missing())?;
    let best = mounts(&text).into_iter().filter_map(|mount| {
        let inode = id(&mount.path).ok()?;
        Some((
            (inode == ROOT_INODE, mount.above(), Reverse(mount.below())),
            mount.path,
        ))
    });
    best.max_by(|left, right| left.0.cmp(&right.0))
        .map(|(_, path)| path)
        .ok_or_else(missing)
}

/// Id of a cgroup: its inode number.
pub(super) fn id(path: &Path) -> Result<u64, Error> {
    let io = |source: io::Error| Error::Io {
        what: "cannot open cgroup",
        path: path.to_owned(),
        source,
    };
    let metadata = fs::metadata(path).map_err(io)?;
    if !path.join("cgroup.procs").exists() || path.join("tasks").exists() {
        return Err(io(io::Error::other("it is not a cgroup v2 directory")));
    }
    Ok(metadata.ino())
}

/// Every mount of type cgroup2. Fields of a line: id, parent, device, root, mount point, options, tags …, `-`, type, …
fn mounts(mountinfo: &str) -> Vec<Mount> {
    mountinfo
        .lines()
        .filter_map(|line| {
            let (left, right) = line.split_once(" - ")?;
            if right.split(' ').next()? != "cgroup2" {
                return None;
            }
            let mut fields = left.split(' ').skip(3);
            let (root, path) = (fields.next()?, fields.next()?);
            Some(Mount {
                path: PathBuf::from(unescape(path)),
                root: unescape(root),
            })
        })
        .collect()
}

/// mountinfo writes space, tab, newline and backslash as `\ooo`.
fn unescape(field: &str) -> String {
    let mut text = String::with_capacity(field.len());
    let mut rest = field;
    while let Some(at) = rest.find('\\') {
        let (before, escape) = rest.split_at(at);
        text.push_str(before);
        match escape
            .get(1..4)
            .and_then(|octal| u8::from_str_radix(octal, 8).ok())
        {
            Some(byte) => {
                text.push(char::from(byte));
                rest = escape.get(4..).unwrap_or("");
            }
            None => {
                text.push('\\');
                rest = escape.get(1..).unwrap_or("");
            }
        }
    }
    text + rest
}

#[cfg(test)]
mod tests {
    use std::{
        fs,
        path::{Path, PathBuf},
    };

    use super::{DEPTH, Mount, ROOT_INODE, Reach, find, holds_own_pod, judge, mounts, pods_below};

    fn only(line: &str) -> Mount {
        let found = mounts(line);
        assert_eq!(found.len(), 1, "{line}");
        found[0].clone()
    }

    #[test]
    fn the_hierarchy_is_found_in_a_pure_and_in_a_hybrid_layout() {
        let pure = "30 24 0:26 / /sys/fs/cgroup rw,nosuid shared:9 - cgroup2 cgroup2 rw,nsdelegate";
        assert_eq!(only(pure).path, PathBuf::from("/sys/fs/cgroup"));
        let hybrid = "31 24 0:27 / /sys/fs/cgroup ro shared:9 - tmpfs tmpfs ro\n\
                      32 31 0:28 / /sys/fs/cgroup/unified rw shared:10 - cgroup2 cgroup2 rw\n\
                      33 31 0:29 / /sys/fs/cgroup/cpu rw shared:11 - cgroup cgroup rw,cpu";
        assert_eq!(only(hybrid).path, PathBuf::from("/sys/fs/cgroup/unified"));
    }

    #[test]
    fn a_mount_from_above_the_namespace_is_told_apart_from_the_namespace_root() {
        let host = "9 8 0:26 /../../.. /host/sys/fs/cgroup rw - cgroup2 cgroup2 rw";
        assert_eq!(only(host).above(), 3);
        assert_eq!(
            only("9 8 0:26 / /sys/fs/cgroup ro - cgroup2 cgroup2 rw").above(),
            0
        );
    }

    #[test]
    fn a_mount_point_with_a_space_is_read_back() {
        assert_eq!(
            only("9 8 0:26 / /mnt/a\\040b rw - cgroup2 none rw").path,
            PathBuf::from("/mnt/a b")
        );
    }

    /// A directory that looks like a cgroup, with these below it.
    fn tree(name: &str, below: &[&str]) -> PathBuf {
        let root = std::env::temp_dir().join(format!("continuity-{name}-{}", std::process::id()));
        let _ = fs::remove_dir_all(&root);
        for directory in below {
            fs::create_dir_all(root.join(directory)).unwrap();
        }
        fs::create_dir_all(&root).unwrap();
        fs::write(root.join("cgroup.procs"), "").unwrap();
        root
    }

    fn pods_in(name: &str, below: &[&str]) -> Option<String> {
        let root = tree(name, below);
        let found = pods_below(&root, DEPTH).map(|path| path.strip_prefix(&root).unwrap().to_owned());
        fs::remove_dir_all(&root).unwrap();
        found.map(|path| path.display().to_string())
    }

    #[test]
    fn the_pods_are_found_below_a_nodes_own_root_whatever_driver_and_prefix_the_kubelet_has() {
        for (name, below, expected) in [
            (
                "cgroupfs",
                &["system", "kubepods/burstable"][..],
                Some("kubepods"),
            ),
            (
                "systemd",
                &["system.slice", "kubepods.slice"],
                Some("kubepods.slice"),
            ),
            (
                "kind",
                &["init.scope", "kubelet.slice/kubelet-kubepods.slice"],
                Some("kubelet.slice/kubelet-kubepods.slice"),
            ),
            ("kind-cgroupfs", &["kubelet/kubepods"], Some("kubelet/kubepods")),
            ("configured", &["a/b/kubepods"], Some("a/b/kubepods")),
            ("too-deep", &["a/b/c/kubepods"], None),
            ("none", &["system.slice", "user.slice/mykubepodsless"], None),
        ] {
            assert_eq!(pods_in(name, below).as_deref(), expected, "{name}");
        }
    }

    #[test]
    fn the_agents_own_pod_counts_only_with_what_stands_beside_it() {
        let own = "1:cpu:/x\n0::/node-1/pods/pod-a/agent\n";
        assert!(holds_own_pod("/node-1", own));
        assert!(holds_own_pod("/", own));
        assert!(!holds_own_pod("/node-1/pods/pod-a", own), "its own pod alone");
        assert!(!holds_own_pod("/node-1/pods/pod-a/agent", own), "itself alone");
        assert!(!holds_own_pod("/node-11", own));
        assert!(!holds_own_pod("/", "0::/\n"), "a cgroup namespace of its own");
        assert!(!holds_own_pod("/", "1:cpu:/x\n"), "no v2 hierarchy");
    }

    #[test]
    fn only_a_cgroup_without_known_pods_below_falls_short() {
        let pods = || Some(PathBuf::from("/c/kubepods"));
        assert_eq!(judge(ROOT_INODE, None, false), Reach::Everything);
        assert_eq!(judge(7, pods(), false), Reach::Pods("/c/kubepods".into()));
        assert_eq!(judge(7, None, true), Reach::OwnPod);
        assert_eq!(judge(7, None, false), Reach::Unknown(7));
    }

    #[test]
    fn of_several_mounts_the_one_that_reaches_highest_is_taken_also_inside_a_node_that_is_a_container() {
        let (own, node) = (tree("own", &[]), tree("node", &["kubepods"]));
        let table = format!(
            "41 40 0:29 /node/kubepods/pod-a/agent {} ro - cgroup2 cgroup2 rw\n\
             42 40 0:29 /../../.. {} rw - cgroup2 cgroup2 rw\n\
             43 40 0:30 /node {}/cpu rw - cgroup cgroup rw,cpu\n",
            own.display(),
            node.display(),
            node.display()
        );
        let mountinfo = own.join("mountinfo");
        fs::write(&mountinfo, table).unwrap();
        assert_eq!(find(&mountinfo).unwrap(), node);
        let shared = format!(
            "41 40 0:29 /node {} rw - cgroup2 cgroup2 rw\n\
             42 40 0:29 /node/kubepods/pod-a/agent {} ro - cgroup2 cgroup2 rw\n",
            node.display(),
            own.display()
        );
        fs::write(&mountinfo, shared).unwrap();
        assert_eq!(find(&mountinfo).unwrap(), node, "in the host's cgroup namespace");
        assert!(find(Path::new("/nonexistent")).is_err());
        fs::remove_dir_all(own).unwrap();
        fs::remove_dir_all(node).unwrap();
    }

    #[test]
    fn a_machine_without_the_hierarchy_has_no_mount() {
        assert!(mounts("33 31 0:29 / /sys/fs/cgroup/cpu rw - cgroup cgroup rw,cpu").is_empty());
    }
}
