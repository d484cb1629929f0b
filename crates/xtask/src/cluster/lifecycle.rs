//! Up and down.
//!
//! `up` begins with what `down` does, so whatever an earlier run left by a crash is gone first; the state file is
//! written before the first thing is made, and an interrupt on the way up takes everything down again.

use std::fs::{self, File, TryLockError};
use std::io::ErrorKind;
use std::sync::OnceLock;
use std::thread;
use std::time::Duration;

use nix::mount::{MntFlags, umount2};
use serde_json::Value;

use super::layout::{self, Node};
use super::state::State;
use super::{
    POLL, Part, certificate, cgroup, control, kept, manifest, network, node, parts, pause, wait_for,
};
use crate::progress::{Progress, Step};
use crate::{Error, interrupt, paths, preflight};

/// A node is Ready some seconds after its kubelet starts; on two busy cores later.
const NODES_READY: Duration = Duration::from_secs(90);

/// Held by the process that brought the cluster up or down, until it ends: a demo's cluster must not be taken from
/// under it by a second command.
static CLAIM: OnceLock<File> = OnceLock::new();

/// Makes this process the one that may change the cluster.
pub(super) fn claim() -> Result<(), Error> {
    if CLAIM.get().is_some() {
        return Ok(());
    }
    let path = paths::cluster().with_extension("lock");
    let dir = path.parent().unwrap_or(&path);
    fs::create_dir_all(dir).map_err(Error::file("create", dir))?;
    let file = File::create(&path).map_err(Error::file("create", &path))?;
    match file.try_lock() {
        Ok(()) => drop(CLAIM.set(file)),
        Err(TryLockError::WouldBlock) => return Err(Error::Busy),
        Err(TryLockError::Error(source)) => return Err(Error::file("lock", &path)(source)),
    }
    Ok(())
}

/// Brings the cluster up unless it is.
pub(super) fn up(progress: &Progress) -> Result<(), Error> {
    preflight::run(progress)?;
    parts::build(progress)?;
    if is_up()? {
        progress.note("  same    the cluster is up");
        return Ok(());
    }
    down(progress)?;
    let on_the_way = progress.clone();
    let guard = interrupt::on_interrupt(move || {
        // The interrupt ends this program either way; what could not be removed is said.
        if let Err(error) = down(&on_the_way) {
            eprintln!("error: {error}");
        }
    });
    let result = bring_up(progress);
    drop(guard);
    // Half a cluster is of no use to anybody; its logs are, and stay.
    result.inspect_err(|_| drop(down(progress)))
}

/// Whether a finished cluster is there with all its processes.
fn is_up() -> Result<bool, Error> {
    let ready = State::load().ok().flatten().is_some_and(|state| state.ready);
    if !ready {
        return Ok(false);
    }
    for node in layout::nodes() {
        for part in ["init", "containerd", "kubelet", "kube-proxy"] {
            if !cgroup::populated(&node::part_cgroup(node, part))? {
                return Ok(false);
            }
        }
    }
    Ok(Part::ALL
        .into_iter()
        .map(Part::runs)
        .collect::<Result<Vec<_>, _>>()?
        .into_iter()
        .all(|runs| runs))
}

fn bring_up(progress: &Progress) -> Result<(), Error> {
    let step = progress.step("starting the cluster");
    let mut state = prepare(&step)?;
    let image = pause::image()?;
    step.waiting("etcd, the API server and the nodes' containerd");
    thread::scope(|scope| {
        let nodes: Vec<_> = layout::nodes()
            .map(|node| scope.spawn(move || start_node(node)))
            .collect();
        control::start(Part::Etcd)?;
        control::wait_ready(Part::Etcd)?;
        control::start(Part::Apiserver)?;
        control::wait_ready(Part::Apiserver)?;
        wait_for("the API server to take objects", NODES_READY, POLL, || {
            manifest::apply(&manifest::foundation()).map_err(|error| error.to_string())
        })?;
        for part in [Part::ControllerManager, Part::Scheduler, Part::Coredns] {
            control::start(part)?;
        }
        nodes.into_iter().try_for_each(joined)
    })?;
    node::load_image(&image, progress)?;
    layout::nodes().try_for_each(node::join)?;
    step.waiting("the nodes to become Ready");
    wait_for("every node to become Ready", NODES_READY, POLL, nodes_ready)?;
    for part in [Part::ControllerManager, Part::Scheduler, Part::Coredns] {
        step.waiting(part.name());
        control::wait_ready(part)?;
    }
    step.waiting("the default service account");
    wait_for("the default service account", NODES_READY, POLL, || {
        let asked = control::kubectl()
            .args(["get", "serviceaccount", "default"])
            .output();
        asked.map(drop).map_err(|error| error.to_string())
    })?;
    state.ready = true;
    state.save()?;
    step.done();
    Ok(())
}

/// Folders, state, keys, configuration, network.
fn prepare(step: &Step) -> Result<State, Error> {
    step.waiting("keys, network, configuration");
    for dir in [layout::pki(), paths::cluster().join("log"), layout::bin()] {
        fs::create_dir_all(&dir).map_err(Error::file("create", &dir))?;
    }
    clear_logs()?;
    let state = State::begin()?;
    state.save()?;
    certificate::write(&layout::pki())?;
    control::configure()?;
    cgroup::create("control")?;
    network::create()?;
    for node in layout::nodes() {
        node::configure(node)?;
    }
    Ok(state)
}

fn start_node(node: Node) -> Result<(), Error> {
    node::start(node)?;
    node::wait_runtime(node)
}

fn joined(handle: thread::ScopedJoinHandle<'_, Result<(), Error>>) -> Result<(), Error> {
    // A panic there is a defect of ours and goes on here.
    handle
        .join()
        .unwrap_or_else(|panic| std::panic::resume_unwind(panic))
}

fn nodes_ready() -> Result<(), String> {
    let output = control::kubectl()
        .args(["get", "nodes", "-o", "json"])
        .output()
        .map_err(|error| error.to_string())?;
    let list: Value = serde_json::from_slice(&output.stdout).map_err(|error| error.to_string())?;
    let ready = count_ready(&list);
    let wanted = usize::from(layout::NODES);
    if ready == wanted {
        Ok(())
    } else {
        Err(format!("{ready} of {wanted} nodes are Ready"))
    }
}

fn count_ready(list: &Value) -> usize {
    let is_ready = |node: &&Value| {
        let conditions = node["status"]["conditions"].as_array();
        conditions.is_some_and(|all| {
            all.iter()
                .any(|one| one["type"] == "Ready" && one["status"] == "True")
        })
    };
    list["items"]
        .as_array()
        .map_or(0, |items| items.iter().filter(is_ready).count())
}

/// Ends and removes everything the cluster made; nothing to do is no error.
pub(super) fn down(progress: &Progress) -> Result<(), Error> {
    interrupt::settle();
    let state = State::load().ok().flatten();
    if state.is_none() && cgroup::remaining()?.is_empty() && network::remaining().is_empty() {
        return clear_folder();
    }
    let step = progress.step("taking the cluster down");
    step.waiting("its processes to end");
    cgroup::end()?;
    step.waiting("namespaces and files to go");
    network::remove()?;
    if let Some(state) = state {
        cgroup::disable_at_root(&state.controllers)?;
        if state.netns_mount {
            remove_netns_mount()?;
        }
    }
    clear_folder()?;
    State::clear()?;
    step.done();
    Ok(())
}

/// `ip netns add` makes /run/netns a mount point; ours goes unless somebody else has a namespace there by now.
fn remove_netns_mount() -> Result<(), Error> {
    let path = "/run/netns";
    if fs::read_dir(path).is_ok_and(|mut entries| entries.next().is_none()) {
        match umount2(path, MntFlags::MNT_DETACH) {
            Ok(()) | Err(nix::Error::EINVAL) => {}
            Err(source) => {
                return Err(Error::System {
                    action: "unmount",
                    subject: path.to_owned(),
                    source,
                });
            }
        }
        let _ = fs::remove_dir(path);
    }
    Ok(())
}

/// Removes the cluster's files except what was built and the logs, which are of use after a failure.
fn clear_folder() -> Result<(), Error> {
    let dir = paths::cluster();
    let entries = match fs::read_dir(&dir) {
        Ok(entries) => entries,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(Error::file("read", &dir)(error)),
    };
    for entry in entries.flatten().filter(|entry| !kept(&entry.file_name())) {
        let path = entry.path();
        let is_dir = entry.file_type().is_ok_and(|kind| kind.is_dir());
        let removed = if is_dir {
            fs::remove_dir_all(&path)
        } else {
            fs::remove_file(&path)
        };
        removed.map_err(Error::file("remove", &path))?;
    }
    Ok(())
}

/// Logs of the cluster before; those of builds are kept, they say how the programs came to be.
fn clear_logs() -> Result<(), Error> {
    let dir = paths::cluster().join("log");
    for entry in fs::read_dir(&dir).map_err(Error::file("read", &dir))?.flatten() {
        if !entry.file_name().to_string_lossy().starts_with("build-") {
            fs::remove_file(entry.path()).map_err(Error::file("remove", entry.path()))?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn only_ready_nodes_count() {
        let node = |status| json!({"status": {"conditions": [{"type": "Ready", "status": status}]}});
        let list = json!({"items": [node("True"), node("False"), node("Unknown"), {"metadata": {}}]});
        assert_eq!(count_ready(&list), 1);
    }
}
