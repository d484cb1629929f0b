//! What a node sees of the file system: its own /proc, /sys, cgroups, bpffs, /run and state folders.
//!
//! Runs as process 1 of the node, in a mount namespace that nobody else shares: nothing done here reaches the
//! machine, and all of it is gone when the node's last process is.

use std::fs::{self, File};
use std::os::fd::AsRawFd as _;
use std::path::Path;

use nix::mount::{MntFlags, MsFlags, mount, umount2};
use nix::unistd::sethostname;

use super::cgroup::{self, Hierarchy};
use super::node::READY;
use crate::Error;

/// Where a node finds the cluster's folder, wherever the repository is.
pub(super) const HOME: &str = "/run/continuity";
/// Folders that kubelet, containerd and the network plugins use by constant.
const PRIVATE: [&str; 3] = ["/run", "/var/lib", "/var/log"];

/// Settings of the whole machine that a kubelet sets to these values, and where it reads and writes them.
const TUNABLES: [(&str, &str); 6] = [
    ("vm/overcommit_memory", "1"),
    ("vm/panic_on_oom", "0"),
    ("kernel/panic", "10"),
    ("kernel/panic_on_oops", "1"),
    ("kernel/keys/root_maxkeys", "1000000"),
    ("kernel/keys/root_maxbytes", "25000000"),
];

/// Makes the node's view.
pub(super) fn furnish(name: &str, dir: &Path) -> Result<(), Error> {
    sethostname(name).map_err(Error::system("name the host", name))?;
    change("/", None, "", MsFlags::MS_REC | MsFlags::MS_PRIVATE, "")?;
    // Read before /sys is replaced.
    let hierarchies = cgroup::hierarchies()?;
    settle_in(name, dir)?;
    let guarded = MsFlags::MS_NOSUID | MsFlags::MS_NODEV | MsFlags::MS_NOEXEC;
    change("/proc", Some("proc"), "proc", guarded, "")?;
    shield_machine()?;
    umount2("/sys", MntFlags::MNT_DETACH).map_err(Error::system("unmount", "/sys"))?;
    change("/sys", Some("sysfs"), "sysfs", guarded, "")?;
    change("/sys/fs/bpf", Some("bpf"), "bpf", guarded, "mode=700")?;
    mount_cgroups(&hierarchies, guarded)?;
    // A pod may ask to see mounts that appear later; the runtime insists on shared mounts for that.
    change("/", None, "", MsFlags::MS_REC | MsFlags::MS_SHARED, "")?;
    fs::write(READY, "").map_err(Error::file("write", READY))
}

/// The cluster's folder at [`HOME`], folders of the node's own where parts write by constant.
///
/// The folder is held open before it can be hidden (a repository may lie under /var/lib), mounted aside, and
/// moved to its place when that exists.
fn settle_in(name: &str, dir: &Path) -> Result<(), Error> {
    let held = File::open(dir).map_err(Error::file("open", dir))?;
    let by_descriptor = format!("/proc/self/fd/{}", held.as_raw_fd());
    change("/mnt", Some(&by_descriptor), "", MsFlags::MS_BIND, "")?;
    for path in PRIVATE {
        change(
            path,
            Some("tmpfs"),
            "tmpfs",
            MsFlags::MS_NOSUID | MsFlags::MS_NODEV,
            "mode=755",
        )?;
    }
    fs::create_dir_all(HOME).map_err(Error::file("create", HOME))?;
    change(HOME, Some("/mnt"), "", MsFlags::MS_MOVE, "")?;
    for state in ["kubelet", "containerd", "cni"] {
        let source = Path::new(HOME).join(name).join(state);
        let at = Path::new("/var/lib").join(state);
        for folder in [&source, &at] {
            fs::create_dir_all(folder).map_err(Error::file("create", folder))?;
        }
        change(
            &at.to_string_lossy(),
            Some(&source.to_string_lossy()),
            "",
            MsFlags::MS_BIND,
            "",
        )?;
    }
    Ok(())
}

/// Puts files in front of the machine's own settings: the kubelet finds what it wants and changes nothing.
fn shield_machine() -> Result<(), Error> {
    let shield = Path::new("/run/continuity-kernel");
    fs::create_dir_all(shield).map_err(Error::file("create", shield))?;
    for (key, value) in TUNABLES {
        let file = shield.join(key.replace('/', "."));
        fs::write(&file, format!("{value}\n")).map_err(Error::file("write", &file))?;
        let at = Path::new("/proc/sys").join(key);
        if at.exists() {
            change(
                &at.to_string_lossy(),
                Some(&file.to_string_lossy()),
                "",
                MsFlags::MS_BIND,
                "",
            )?;
        }
    }
    Ok(())
}

/// The cgroup tree with the node's own cgroup as its root (the namespace sees to that).
fn mount_cgroups(hierarchies: &[Hierarchy], flags: MsFlags) -> Result<(), Error> {
    let root = Path::new("/sys/fs/cgroup");
    if let [Hierarchy { v1: None, .. }] = hierarchies {
        return change("/sys/fs/cgroup", Some("cgroup2"), "cgroup2", flags, "");
    }
    change("/sys/fs/cgroup", Some("tmpfs"), "tmpfs", flags, "mode=755")?;
    for hierarchy in hierarchies {
        let at = hierarchy
            .mount
            .file_name()
            .map(|name| root.join(name))
            .unwrap_or_else(|| root.join("unified"));
        fs::create_dir_all(&at).map_err(Error::file("create", &at))?;
        let at = at.to_string_lossy();
        match &hierarchy.v1 {
            Some(which) => change(&at, Some("cgroup"), "cgroup", flags, which)?,
            None => change(&at, Some("cgroup2"), "cgroup2", flags, "")?,
        }
    }
    Ok(())
}

fn change(at: &str, source: Option<&str>, kind: &str, flags: MsFlags, data: &str) -> Result<(), Error> {
    let kind = (!kind.is_empty()).then_some(kind);
    let data = (!data.is_empty()).then_some(data);
    mount(source, at, kind, flags, data).map_err(Error::system("mount", at))
}
