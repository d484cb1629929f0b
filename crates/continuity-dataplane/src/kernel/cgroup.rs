//! Finds the cgroup v2 hierarchy in mountinfo, in its pure (`/sys/fs/cgroup`) or hybrid (`…/unified`) place.

use std::{
    fs, io,
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
};

use super::Options;
use crate::Error;

const MOUNTINFO: &str = "/proc/self/mountinfo";

/// Inode of the hierarchy's real root; every other cgroup, and the root of a cgroup namespace, has another.
pub(super) const ROOT_INODE: u64 = 1;

/// A mount of the v2 hierarchy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Mount {
    /// Where.
    pub(super) path: PathBuf,
    /// How far above the reader's cgroup namespace it reaches: the `..` in its root.
    above: usize,
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
        Some((inode == ROOT_INODE, mount.above, mount.path))
    });
    best.max_by(|left, right| (left.0, left.1).cmp(&(right.0, right.1)))
        .map(|(_, _, path)| path)
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
            let above = root.split('/').filter(|part| *part == "..").count();
            Some(Mount {
                path: PathBuf::from(unescape(path)),
                above,
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
    use std::path::PathBuf;

    use super::{Mount, mounts};

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
        assert_eq!(only(host).above, 3);
        assert_eq!(only("9 8 0:26 / /sys/fs/cgroup ro - cgroup2 cgroup2 rw").above, 0);
    }

    #[test]
    fn a_mount_point_with_a_space_is_read_back() {
        assert_eq!(
            only("9 8 0:26 / /mnt/a\\040b rw - cgroup2 none rw").path,
            PathBuf::from("/mnt/a b")
        );
    }

    #[test]
    fn a_machine_without_the_hierarchy_has_no_mount() {
        assert!(mounts("33 31 0:29 / /sys/fs/cgroup/cpu rw - cgroup cgroup rw,cpu").is_empty());
    }
}
