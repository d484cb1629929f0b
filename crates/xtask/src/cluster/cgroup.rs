//! Cgroups of the cluster: one folder of the same name in every hierarchy, so that membership says what is ours.
//!
//! Every process of the cluster, the containers' included, lives under that folder in the v2 hierarchy; ending the
//! cluster is one write to `cgroup.kill` there, and no process is ever looked for by name. Works where v2 is alone
//! and where it stands beside v1 hierarchies; there the named `systemd` hierarchy needs the same folder, else each
//! kubelet takes the other nodes' pods for orphans and kills them.

use std::collections::BTreeSet;
use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use super::layout::CGROUP;
use crate::Error;

/// Where the kernel lists the mounts that this process sees.
const MOUNTINFO: &str = "/proc/self/mountinfo";
/// After a kill the last exit takes milliseconds; a process in uninterruptible sleep gets this long.
const EXIT_PATIENCE: Duration = Duration::from_secs(20);
/// Controllers that a kubelet wants where v2 is alone.
const CONTROLLERS: [&str; 6] = ["+cpuset", "+cpu", "+io", "+memory", "+pids", "+hugetlb"];

/// One mounted cgroup hierarchy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hierarchy {
    /// Where it is mounted.
    pub mount: PathBuf,
    /// `None` for v2; for v1 the mount option that selects it (`cpu,cpuacct` or `name=systemd`).
    pub v1: Option<String>,
}

/// Every hierarchy that is mounted here.
pub fn hierarchies() -> Result<Vec<Hierarchy>, Error> {
    let text = fs::read_to_string(MOUNTINFO).map_err(Error::file("read", MOUNTINFO))?;
    Ok(parse(&text))
}

/// Reads hierarchies out of a mountinfo; the first mount of each counts.
fn parse(text: &str) -> Vec<Hierarchy> {
    let mut seen = BTreeSet::new();
    let mut found = Vec::new();
    for line in text.lines() {
        let Some((before, after)) = line.split_once(" - ") else {
            continue;
        };
        let Some(mount) = before.split(' ').nth(4) else {
            continue;
        };
        let mut words = after.split(' ');
        let (kind, options) = (words.next(), words.nth(1).unwrap_or_default());
        let v1 = match kind {
            Some("cgroup2") => None,
            Some("cgroup") => Some(selector(options)),
            _ => continue,
        };
        if seen.insert(v1.clone()) {
            found.push(Hierarchy {
                mount: PathBuf::from(mount),
                v1,
            });
        }
    }
    found
}

/// The options of a v1 superblock that say which hierarchy it is.
fn selector(options: &str) -> String {
    let not_naming = ["rw", "ro", "xattr", "clone_children", "noprefix", "nsdelegate"];
    let naming = options.split(',').filter(|option| !not_naming.contains(option));
    naming
        .filter(|option| !option.starts_with("release_agent="))
        .collect::<Vec<_>>()
        .join(",")
}

/// Makes `path` (relative to the cluster's folder) in every hierarchy.
pub fn create(path: &str) -> Result<(), Error> {
    let all = hierarchies()?;
    let alone = all.len() == 1;
    for hierarchy in all {
        let mut dir = hierarchy.mount.clone();
        for part in Path::new(CGROUP).join(path).iter() {
            let parent = dir.clone();
            dir.push(part);
            fs::create_dir_all(&dir).map_err(Error::file("create", &dir))?;
            inherit(&hierarchy, alone, &parent, &dir)?;
        }
    }
    Ok(())
}

/// A v1 cpuset starts empty and takes no process before it is filled; v2 alone needs controllers handed down.
fn inherit(hierarchy: &Hierarchy, alone: bool, parent: &Path, dir: &Path) -> Result<(), Error> {
    match &hierarchy.v1 {
        Some(name) if name.split(',').any(|option| option == "cpuset") => {
            for file in ["cpuset.cpus", "cpuset.mems"] {
                let value = fs::read(parent.join(file)).map_err(Error::file("read", parent.join(file)))?;
                fs::write(dir.join(file), value).map_err(Error::file("write", dir.join(file)))?;
            }
        }
        None if alone => hand_down(parent),
        _ => {}
    }
    Ok(())
}

/// Where v2 is alone, hands controllers down to the children of `path`, which must hold no process itself.
pub fn delegate(path: &str) -> Result<(), Error> {
    if hierarchies()?.len() == 1 {
        hand_down(&unified(path)?);
    }
    Ok(())
}

/// Controllers that [`create`] will enable for everybody below the machine's root, because they are not yet.
pub fn enabled_at_root() -> Result<Vec<String>, Error> {
    let all = hierarchies()?;
    let [Hierarchy { mount, v1: None }] = all.as_slice() else {
        return Ok(Vec::new());
    };
    let read =
        |file: &str| fs::read_to_string(mount.join(file)).map_err(Error::file("read", mount.join(file)));
    Ok(not_yet(
        &read("cgroup.controllers")?,
        &read("cgroup.subtree_control")?,
    ))
}

fn not_yet(available: &str, enabled: &str) -> Vec<String> {
    let wanted = CONTROLLERS
        .iter()
        .map(|controller| controller.trim_start_matches('+'));
    let has = |list: &str, name: &str| list.split_whitespace().any(|word| word == name);
    wanted
        .filter(|name| has(available, name) && !has(enabled, name))
        .map(str::to_owned)
        .collect()
}

/// Takes back what was enabled at the machine's root.
pub fn disable_at_root(controllers: &[String]) -> Result<(), Error> {
    if let (Some(root), false) = (unified("")?.parent(), controllers.is_empty()) {
        let file = root.join("cgroup.subtree_control");
        for name in controllers {
            // Somebody else may use it by now; then it has to stay.
            let _ = fs::write(&file, format!("-{name}"));
        }
    }
    Ok(())
}

/// Enables what can be enabled for the children; a controller that was not handed to us is simply not there.
fn hand_down(parent: &Path) {
    for controller in CONTROLLERS {
        let _ = fs::write(parent.join("cgroup.subtree_control"), controller);
    }
}

/// Moves the calling process into `path` in every hierarchy, or in those of v1 only.
pub fn join(path: &str, v1_only: bool) -> Result<(), Error> {
    for hierarchy in hierarchies()? {
        if v1_only && hierarchy.v1.is_none() {
            continue;
        }
        let file = hierarchy.mount.join(CGROUP).join(path).join("cgroup.procs");
        fs::write(&file, "0").map_err(Error::file("join", &file))?;
    }
    Ok(())
}

/// Moves the calling process into `path` in v2 alone, which is made if it is not there.
pub fn join_part(path: &str) -> Result<(), Error> {
    let dir = unified(path)?;
    fs::create_dir_all(&dir).map_err(Error::file("create", &dir))?;
    let file = dir.join("cgroup.procs");
    fs::write(&file, "0").map_err(Error::file("join", &file))
}

/// The v2 folder of `path`.
pub fn unified(path: &str) -> Result<PathBuf, Error> {
    let v2 = hierarchies()?
        .into_iter()
        .find(|hierarchy| hierarchy.v1.is_none());
    let v2 = v2.ok_or_else(|| Error::Missing {
        missing: vec!["cgroup v2: mount it (`mount -t cgroup2 none /sys/fs/cgroup/unified`)".to_owned()],
    })?;
    Ok(v2.mount.join(CGROUP).join(path))
}

/// Processes directly in the v2 cgroup `path`; none if there is no such cgroup.
pub fn members(path: &str) -> Result<Vec<i32>, Error> {
    let text = fs::read_to_string(unified(path)?.join("cgroup.procs")).unwrap_or_default();
    Ok(text.lines().filter_map(|line| line.parse().ok()).collect())
}

/// Whether any process is left under the v2 cgroup `path`.
pub fn populated(path: &str) -> Result<bool, Error> {
    let events = fs::read_to_string(unified(path)?.join("cgroup.events")).unwrap_or_default();
    Ok(events.lines().any(|line| line == "populated 1"))
}

/// Stops or continues every process under the v2 cgroup `path`.
pub fn freeze(path: &str, frozen: bool) -> Result<(), Error> {
    let file = unified(path)?.join("cgroup.freeze");
    fs::write(&file, if frozen { "1" } else { "0" }).map_err(Error::file("write", &file))
}

/// Ends every process under the v2 cgroup `path` and waits until none is left.
pub fn kill(path: &str) -> Result<(), Error> {
    let file = unified(path)?.join("cgroup.kill");
    match fs::write(&file, "1") {
        Ok(()) => {}
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(Error::file("write", &file)(error)),
    }
    let begun = Instant::now();
    while populated(path)? {
        if begun.elapsed() > EXIT_PATIENCE {
            let last = format!("processes {:?}", members(path)?);
            let what = format!("the processes of cgroup {path:?} to end");
            return Err(Error::Timeout {
                what,
                waited: EXIT_PATIENCE,
                last,
            });
        }
        thread::sleep(Duration::from_millis(10));
    }
    Ok(())
}

/// Ends every process of the cluster and removes its folders from every hierarchy.
///
/// A process that was just being started may join after the kill, hence both in a loop; a v1 cgroup stays busy for
/// a moment after its last process is gone.
pub fn end() -> Result<(), Error> {
    let begun = Instant::now();
    loop {
        kill("")?;
        match hierarchies()?
            .iter()
            .try_for_each(|hierarchy| remove(&hierarchy.mount.join(CGROUP)))
        {
            Err(_) if begun.elapsed() < EXIT_PATIENCE => thread::sleep(Duration::from_millis(20)),
            result => return result,
        }
    }
}

/// Cgroups of the cluster that exist, for the check that none is left.
pub fn remaining() -> Result<Vec<PathBuf>, Error> {
    let folders = hierarchies()?
        .into_iter()
        .map(|hierarchy| hierarchy.mount.join(CGROUP));
    Ok(folders.filter(|folder| folder.exists()).collect())
}

fn remove(dir: &Path) -> Result<(), Error> {
    let Ok(entries) = fs::read_dir(dir) else {
        return Ok(());
    };
    for entry in entries.flatten() {
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            remove(&entry.path())?;
        }
    }
    match fs::remove_dir(dir) {
        Err(error) if error.kind() != ErrorKind::NotFound => Err(Error::file("remove", dir)(error)),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HYBRID: &str = "\
30 24 0:26 / /sys/fs/cgroup rw,relatime - tmpfs tmpfs rw,mode=755
31 30 0:27 / /sys/fs/cgroup/cpu rw,relatime shared:9 - cgroup cgroup rw,cpu,cpuacct
32 30 0:28 / /sys/fs/cgroup/systemd rw,relatime - cgroup cgroup rw,xattr,name=systemd
33 30 0:29 / /sys/fs/cgroup/unified rw,relatime - cgroup2 cgroup2 rw
34 30 0:27 / /sys/fs/cgroup/cpuacct rw,relatime - cgroup cgroup rw,cpu,cpuacct
";

    #[test]
    fn a_hybrid_machine_has_v1_hierarchies_and_v2() {
        let found = parse(HYBRID);
        let expected = [
            ("/sys/fs/cgroup/cpu", Some("cpu,cpuacct")),
            ("/sys/fs/cgroup/systemd", Some("name=systemd")),
            ("/sys/fs/cgroup/unified", None),
        ];
        let expected = expected.map(|(mount, v1)| Hierarchy {
            mount: mount.into(),
            v1: v1.map(str::to_owned),
        });
        assert_eq!(found, expected);
    }

    #[test]
    fn only_what_was_not_enabled_before_is_taken_back() {
        let not_yet = not_yet("cpuset cpu io memory pids rdma", "cpu memory pids");
        assert_eq!(not_yet, ["cpuset", "io"]);
    }

    #[test]
    fn a_pure_machine_has_v2_alone() {
        let text = "30 24 0:26 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw,nsdelegate\n";
        assert_eq!(
            parse(text),
            [Hierarchy {
                mount: "/sys/fs/cgroup".into(),
                v1: None
            }]
        );
    }
}
