//! A real Kubernetes cluster on this machine: three nodes, each a set of namespaces with its own kubelet, containerd
//! and kube-proxy, and a control plane, all in network namespaces of their own.
//!
//! Invariant: everything the cluster makes is found by what it is in (a cgroup, a namespace, a folder), never by the
//! name of a program, so taking it down removes all of it and nothing else. One cluster a machine.

pub mod certificate;
pub mod cgroup;
pub mod command;
mod control;
pub mod enter;
mod kubeconfig;
pub mod layout;
mod lifecycle;
mod manifest;
mod mounts;
mod network;
mod node;
mod parts;
mod pause;
mod state;

use std::ffi::OsStr;
use std::fs::File;
use std::io;
use std::net::{SocketAddr, TcpStream};
use std::process::Output;
use std::thread;
use std::time::{Duration, Instant};

use nix::sched::{CloneFlags, setns};
use serde_json::Value;

pub use command::ClusterCommand;
pub use control::Part;
pub use layout::{CONTROL, Node};

use crate::image::Image;
use crate::process::Run;
use crate::progress::Progress;
use crate::{Error, interrupt, paths};

/// How often a condition is looked at while it is waited for.
const POLL: Duration = Duration::from_millis(250);

/// A cluster that is up.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Cluster {}

impl Cluster {
    /// Brings the cluster up, or attaches to the one that is; cleans up after a crash first.
    pub fn up(progress: &Progress) -> Result<Self, Error> {
        lifecycle::claim()?;
        lifecycle::up(progress)?;
        Ok(Self {})
    }

    /// Builds the parts that `up` starts; nothing to do where they are built.
    pub fn build(progress: &Progress) -> Result<(), Error> {
        parts::build(progress)
    }

    /// Takes the cluster down with everything it made; nothing to do is no error.
    pub fn down(progress: &Progress) -> Result<(), Error> {
        lifecycle::claim()?;
        lifecycle::down(progress)
    }

    /// Takes the cluster down when the task is interrupted, while the guard lives.
    pub fn down_on_interrupt(progress: &Progress) -> interrupt::Guard {
        let progress = progress.clone();
        interrupt::on_interrupt(move || {
            if let Err(error) = Self::down(&progress) {
                eprintln!("cannot take the cluster down: {error}");
            }
        })
    }

    /// The cluster that is up.
    pub fn attach() -> Result<Self, Error> {
        match state::State::load()? {
            Some(state) if state.ready => Ok(Self {}),
            _ => Err(Error::NoCluster),
        }
    }

    /// Every node.
    pub fn nodes(&self) -> Vec<Node> {
        layout::nodes().collect()
    }

    /// The node of this name.
    pub fn node(&self, name: &str) -> Result<Node, Error> {
        layout::node(name)
    }

    /// Runs kubectl as the administrator; anything but success is an error with its output.
    pub fn kubectl<S: AsRef<OsStr>>(&self, args: impl IntoIterator<Item = S>) -> Result<Output, Error> {
        control::kubectl().args(args).output()
    }

    /// Runs kubectl as the administrator and keeps whatever comes back, for calls that should be refused.
    pub fn kubectl_any<S: AsRef<OsStr>>(&self, args: impl IntoIterator<Item = S>) -> Result<Output, Error> {
        control::kubectl().args(args).any_output()
    }

    /// What kubectl prints as JSON; give `-o json` or `--raw`.
    pub fn json<S: AsRef<OsStr>>(&self, args: impl IntoIterator<Item = S>) -> Result<Value, Error> {
        let output = self.kubectl(args)?;
        serde_json::from_slice(&output.stdout).map_err(|source| Error::Json {
            what: "the answer of kubectl".to_owned(),
            source,
        })
    }

    /// Applies a manifest (YAML or JSON text) server-side as the administrator.
    pub fn apply(&self, manifest: &str) -> Result<(), Error> {
        manifest::apply(manifest)
    }

    /// Waits until `condition` gives a value; its error text is what was seen last.
    pub fn wait<T>(
        &self,
        what: &str,
        patience: Duration,
        condition: impl FnMut() -> Result<T, String>,
    ) -> Result<T, Error> {
        wait_for(what, patience, POLL, condition)
    }

    /// Runs a closure in a thread of its own inside a network namespace ([`CONTROL`] or [`Node::netns`]).
    pub fn in_netns<T: Send>(&self, netns: &str, work: impl FnOnce() -> T + Send) -> io::Result<T> {
        in_netns(netns, work)
    }

    /// Connects from inside a network namespace; the stream stays usable outside of it.
    pub fn dial(&self, netns: &str, address: SocketAddr, patience: Duration) -> io::Result<TcpStream> {
        in_netns(netns, || TcpStream::connect_timeout(&address, patience))?
    }

    /// A program to be run in the control plane's network namespace, with `KUBECONFIG` set to the administrator's.
    pub fn on_control<S: AsRef<OsStr>>(&self, program: impl IntoIterator<Item = S>) -> Run {
        control::enter()
            .env("KUBECONFIG", layout::admin_kubeconfig())
            .arg("--")
            .args(program)
    }

    /// A program to be run in all namespaces of a node, as its root (`ctr`, `nft`, `kill`, …).
    pub fn on_node<S: AsRef<OsStr>>(
        &self,
        node: Node,
        program: impl IntoIterator<Item = S>,
    ) -> Result<Run, Error> {
        Ok(node::inside(node, None)?.arg("--").args(program))
    }

    /// Ends one part of the control plane at once.
    pub fn stop(&self, part: Part) -> Result<(), Error> {
        cgroup::kill(&part.cgroup())
    }

    /// Starts one part of the control plane again and waits until it serves.
    pub fn start(&self, part: Part) -> Result<(), Error> {
        control::start(part)?;
        control::wait_ready(part)
    }

    /// Ends API server, controller manager and scheduler (etcd and CoreDNS stay).
    pub fn stop_control_plane(&self) -> Result<(), Error> {
        Part::LOGIC.into_iter().try_for_each(|part| self.stop(part))
    }

    /// Starts API server, controller manager and scheduler again and waits until the API server serves.
    pub fn start_control_plane(&self) -> Result<(), Error> {
        Part::LOGIC.into_iter().try_for_each(|part| self.start(part))
    }

    /// Stops a node's kubelet without ending it, as a hung one would be; pods run on.
    pub fn pause_kubelet(&self, node: Node) -> Result<(), Error> {
        cgroup::freeze(&node::part_cgroup(node, "kubelet"), true)
    }

    /// Lets a paused kubelet go on.
    pub fn resume_kubelet(&self, node: Node) -> Result<(), Error> {
        cgroup::freeze(&node::part_cgroup(node, "kubelet"), false)
    }

    /// Loads images into every node's containerd; an image that is there with the same content is left alone.
    pub fn load_images(&self, images: &[Image], progress: &Progress) -> Result<(), Error> {
        images
            .iter()
            .try_for_each(|image| node::load_image(image, progress))
    }
}

/// See [`Cluster::wait`].
fn wait_for<T>(
    what: &str,
    patience: Duration,
    poll: Duration,
    mut condition: impl FnMut() -> Result<T, String>,
) -> Result<T, Error> {
    let begun = Instant::now();
    loop {
        interrupt::settle();
        match condition() {
            Ok(value) => return Ok(value),
            Err(last) if begun.elapsed() > patience => {
                return Err(Error::Timeout {
                    what: what.to_owned(),
                    waited: patience,
                    last,
                });
            }
            Err(_) => thread::sleep(poll),
        }
    }
}

fn in_netns<T: Send>(netns: &str, work: impl FnOnce() -> T + Send) -> io::Result<T> {
    let file = File::open(layout::netns_path(netns))?;
    let enter_and_work = || setns(file, CloneFlags::CLONE_NEWNET).map(|()| work());
    let result = thread::scope(|scope| scope.spawn(enter_and_work).join());
    // A panic inside is the caller's own and goes on.
    result
        .unwrap_or_else(|panic| std::panic::resume_unwind(panic))
        .map_err(io::Error::from)
}

/// Files that the cluster keeps between runs: built parts, images. All else in its folder is made anew.
fn kept(name: &OsStr) -> bool {
    ["bin", "build", "log"].iter().any(|keep| name == *keep)
}

/// The log files, as a hint for people.
fn log_hint() -> String {
    format!("{}/log/*.log", paths::cluster().display())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waiting_gives_up_with_the_last_answer() {
        let mut calls = 0;
        let result: Result<(), _> =
            wait_for("rain", Duration::from_millis(5), Duration::from_millis(1), || {
                calls += 1;
                Err(format!("dry {calls}"))
            });
        let text = result.unwrap_err().to_string();
        assert!(text.contains("rain") && text.contains("dry"), "{text}");
    }

    #[test]
    fn a_namespace_that_is_not_there_is_an_error() {
        assert!(in_netns("continuity-no-such", || ()).is_err());
    }
}
