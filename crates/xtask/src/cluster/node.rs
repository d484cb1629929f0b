//! A node: process 1 of its namespaces, containerd, kubelet and kube-proxy.
//!
//! The parts run in a cgroup each under the node's, in v2 only; in v1 hierarchies they stand at the node's root,
//! where the kubelet expects itself.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::{Value, json};

use super::layout::{self, CONTROL_V4, DNS_SERVICE, DNS_SERVICE_V6, Node, POD_CIDRS};
use super::mounts::HOME;
use super::{cgroup, kubeconfig, wait_for};
use crate::image::Image;
use crate::process::Run;
use crate::progress::Progress;
use crate::{Error, paths};

/// The pause image's name, in containerd's configuration and in its archive.
pub(super) const PAUSE: &str = "localhost/continuity-pause:dev";
/// Where containerd listens, as the node sees it.
const SOCKET: &str = "/run/containerd/containerd.sock";
const START: Duration = Duration::from_secs(60);
const POLL: Duration = Duration::from_millis(50);

/// The cgroup of one of the node's parts.
pub(super) fn part_cgroup(node: Node, part: &str) -> String {
    format!("{}/parts/{part}", node.name())
}

/// Writes what the node's parts read.
pub(super) fn configure(node: Node) -> Result<(), Error> {
    let dir = node.dir();
    let network = dir.join("network");
    fs::create_dir_all(&network).map_err(Error::file("create", &network))?;
    kubeconfig::write(&node.name(), &dir.join("kubelet.kubeconfig"))?;
    fs::copy(kubeconfig::path("proxy"), dir.join("proxy.kubeconfig"))
        .map_err(Error::file("copy", dir.join("proxy.kubeconfig")))?;
    put(&dir.join("kubelet.json"), &kubelet(node).to_string())?;
    put(&dir.join("proxy.json"), &proxy(node).to_string())?;
    put(
        &dir.join("containerd.toml"),
        &containerd(node, snapshotter(&dir)?),
    )?;
    put(&network.join("10-pods.conflist"), &plugins(node).to_string())?;
    put(&dir.join("resolv.conf"), &format!("nameserver {CONTROL_V4}\n"))
}

/// Makes the node's namespaces and starts containerd.
pub(super) fn start(node: Node) -> Result<(), Error> {
    let name = node.name();
    cgroup::create(&name)?;
    Run::new("/proc/self/exe")
        .args(["enter", "--detach", "--netns"])
        .arg(layout::netns_path(&node.netns()))
        .args([
            "--cgroup",
            &name,
            "--part",
            &part_cgroup(node, "init"),
            "--init",
            &name,
            "--dir",
        ])
        .arg(paths::cluster())
        .log(layout::log(&name))
        .run()?;
    wait_for(
        &format!("the namespaces of {name} (see {})", super::log_hint()),
        START,
        POLL,
        || {
            let program = inside(node, None).map_err(|error| error.to_string())?;
            let there = program.args(["--", "test", "-e", READY]).output();
            there.map(drop).map_err(|error| error.to_string())
        },
    )?;
    cgroup::delegate(&name)?;
    part(
        node,
        "containerd",
        &["--config", &home(node, "containerd.toml"), "--log-level", "warn"],
    )
}

/// Written by process 1 when the node's view is complete.
pub(super) const READY: &str = "/run/continuity.ready";

/// Starts kubelet and kube-proxy; the API server must know the node.
pub(super) fn join(node: Node) -> Result<(), Error> {
    let name = node.name();
    let addresses = format!("--node-ip={},{}", node.v4(), node.v6());
    part(
        node,
        "kubelet",
        &[
            "kubelet",
            &format!("--config={}", home(node, "kubelet.json")),
            &format!("--kubeconfig={}", home(node, "kubelet.kubeconfig")),
            &format!("--hostname-override={name}"),
            &addresses,
        ],
    )?;
    part(
        node,
        "kube-proxy",
        &["kube-proxy", &format!("--config={}", home(node, "proxy.json"))],
    )
}

/// Waits until containerd answers.
pub(super) fn wait_runtime(node: Node) -> Result<(), Error> {
    wait_for(
        &format!("containerd of {} (see {})", node.name(), super::log_hint()),
        START,
        POLL,
        || {
            ctr(node)
                .and_then(|run| run.args(["version"]).output())
                .map(drop)
                .map_err(|error| error.to_string())
        },
    )
}

/// `ctr` on the node, in the namespace that the kubelet uses.
fn ctr(node: Node) -> Result<Run, Error> {
    let program = format!("{HOME}/bin/ctr");
    Ok(inside(node, None)?.args(["--", &program, "--address", SOCKET, "--namespace", "k8s.io"]))
}

/// Loads an image into every node that does not have it yet.
pub(super) fn load_image(image: &Image, progress: &Progress) -> Result<(), Error> {
    let step = progress.step(format!("loading {}", image.reference));
    for node in layout::nodes() {
        step.waiting(node.name());
        let stamp = node
            .dir()
            .join("images")
            .join(image.reference.replace(['/', ':'], "_"));
        if fs::read_to_string(&stamp).is_ok_and(|known| known == image.digest) {
            continue;
        }
        ctr(node)?
            .args(["images", "import", "--local", "-"])
            .input(&image.archive)?
            .output()?;
        let dir = node.dir().join("images");
        fs::create_dir_all(&dir).map_err(Error::file("create", &dir))?;
        put(&stamp, &image.digest)?;
    }
    step.done();
    Ok(())
}

/// Process 1 of the node.
fn init(node: Node) -> Result<i32, Error> {
    let members = cgroup::members(&part_cgroup(node, "init"))?;
    members.first().copied().ok_or(Error::NoCluster)
}

/// The start of a command line that runs in all namespaces of the node, in the cgroup of `part`.
pub(super) fn inside(node: Node, part: Option<&str>) -> Result<Run, Error> {
    let init = init(node)?.to_string();
    let group = part_cgroup(node, part.unwrap_or("visit"));
    Ok(Run::new("/proc/self/exe")
        .args([
            "enter",
            "--cgroup",
            &node.name(),
            "--part",
            &group,
            "--node",
            &init,
        ])
        .env(
            "PATH",
            format!("{HOME}/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"),
        ))
}

fn part(node: Node, name: &str, args: &[&str]) -> Result<(), Error> {
    let program = if name == "containerd" { name } else { "kubernetes" };
    inside(node, Some(name))?
        .args(["--detach", "--", &format!("{HOME}/bin/{program}")])
        .args(args)
        .log(layout::log(&format!("{}-{name}", node.name())))
        .start()
}

/// A file of the node as the node sees it.
fn home(node: Node, file: &str) -> String {
    format!("{HOME}/{}/{file}", node.name())
}

fn kubelet(node: Node) -> Value {
    let pki = |file: &str| format!("{HOME}/pki/{file}");
    json!({
        "apiVersion": "kubelet.config.k8s.io/v1beta1",
        "kind": "KubeletConfiguration",
        "authentication": {
            "anonymous": {"enabled": false},
            "webhook": {"enabled": true},
            "x509": {"clientCAFile": pki("ca.crt")},
        },
        "authorization": {"mode": "Webhook"},
        "tlsCertFile": pki(&format!("{}.crt", node.name())),
        "tlsPrivateKeyFile": pki(&format!("{}.key", node.name())),
        "clusterDNS": [DNS_SERVICE, DNS_SERVICE_V6],
        "clusterDomain": "cluster.local",
        "resolvConf": home(node, "resolv.conf"),
        "containerRuntimeEndpoint": format!("unix://{SOCKET}"),
        "volumePluginDir": home(node, "plugins"),
        "cgroupDriver": "cgroupfs",
        "failCgroupV1": false,
        "failSwapOn": false,
        "localStorageCapacityIsolation": false,
        "enforceNodeAllocatable": [],
        "makeIPTablesUtilChains": false,
        "evictionHard": {"memory.available": "50Mi", "nodefs.available": "1%", "imagefs.available": "1%"},
        "imageGCHighThresholdPercent": 100,
        "oomScoreAdj": 0,
        "serializeImagePulls": false,
        "maxPods": 100,
        "containerLogMaxSize": "5Mi",
    })
}

fn proxy(node: Node) -> Value {
    json!({
        "apiVersion": "kubeproxy.config.k8s.io/v1alpha1",
        "kind": "KubeProxyConfiguration",
        "mode": "nftables",
        "clusterCIDR": POD_CIDRS,
        "hostnameOverride": node.name(),
        "clientConnection": {"kubeconfig": home(node, "proxy.kubeconfig")},
        // These limits belong to the whole machine and cannot be written from a network namespace.
        "conntrack": {"maxPerCore": 0, "min": 0, "tcpEstablishedTimeout": "0s", "tcpCloseWaitTimeout": "0s"},
        "oomScoreAdj": 0,
    })
}

/// Point-to-point links instead of a bridge: every packet between pods is routed, so kube-proxy's translation is
/// undone on the way back without the br_netfilter module.
fn plugins(node: Node) -> Value {
    json!({
        "cniVersion": "1.0.0",
        "name": "pods",
        "plugins": [{
            "type": "ptp",
            "ipMasq": false,
            "ipam": {
                "type": "host-local",
                "ranges": [[{"subnet": node.pods_v4()}], [{"subnet": node.pods_v6()}]],
                "routes": [{"dst": "0.0.0.0/0"}, {"dst": "::/0"}],
            },
        }],
    })
}

fn containerd(node: Node, snapshotter: &str) -> String {
    let network = home(node, "network");
    format!(
        "version = 3\n\
         root = '/var/lib/containerd'\n\
         state = '/run/containerd'\n\
         disabled_plugins = ['io.containerd.nri.v1.nri', 'io.containerd.tracing.processor.v1.otlp']\n\
         [grpc]\n\
         address = '{SOCKET}'\n\
         # The default is outside of what is private to the node.\n\
         [plugins.'io.containerd.internal.v1.opt']\n\
         path = '/var/lib/containerd/opt'\n\
         [plugins.'io.containerd.cri.v1.images']\n\
         snapshotter = '{snapshotter}'\n\
         [plugins.'io.containerd.cri.v1.images'.pinned_images]\n\
         sandbox = '{PAUSE}'\n\
         [plugins.'io.containerd.cri.v1.runtime']\n\
         # Where CAP_SYS_RESOURCE is missing, every sandbox would die of the attempt.\n\
         restrict_oom_score_adj = true\n\
         [plugins.'io.containerd.cri.v1.runtime'.containerd.runtimes.runc]\n\
         runtime_type = 'io.containerd.runc.v2'\n\
         [plugins.'io.containerd.cri.v1.runtime'.containerd.runtimes.runc.options]\n\
         BinaryName = 'runc'\n\
         SystemdCgroup = false\n\
         [plugins.'io.containerd.cri.v1.runtime'.cni]\n\
         bin_dirs = ['{HOME}/bin']\n\
         conf_dir = '{network}'\n"
    )
}

/// An overlay cannot lie on an overlay, which is what a CI job in a container has under its feet.
fn snapshotter(dir: &Path) -> Result<&'static str, Error> {
    let stat = nix::sys::statfs::statfs(dir);
    let stat = stat.map_err(Error::system(
        "ask for the file system of",
        dir.display().to_string(),
    ))?;
    Ok(
        if stat.filesystem_type() == nix::sys::statfs::OVERLAYFS_SUPER_MAGIC {
            "native"
        } else {
            "overlayfs"
        },
    )
}

fn put(path: &PathBuf, text: &str) -> Result<(), Error> {
    fs::write(path, text).map_err(Error::file("write", path))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn first() -> Node {
        layout::nodes().next().unwrap()
    }

    #[test]
    fn pods_get_an_address_of_each_family() {
        let ranges = &plugins(first())["plugins"][0]["ipam"]["ranges"];
        assert_eq!(ranges[0][0]["subnet"], "10.244.1.0/24");
        assert_eq!(ranges[1][0]["subnet"], "fd00:10:244:1::/64");
    }

    #[test]
    fn the_kubelet_answers_only_whom_the_api_server_vouches_for() {
        let config = kubelet(first());
        assert_eq!(config["authentication"]["anonymous"]["enabled"], false);
        assert_eq!(config["authorization"]["mode"], "Webhook");
    }

    #[test]
    fn the_sandbox_image_needs_no_registry() {
        assert!(containerd(first(), "overlayfs").contains("sandbox = 'localhost/continuity-pause:dev'"));
    }
}
