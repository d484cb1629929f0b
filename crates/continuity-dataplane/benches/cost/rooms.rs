//! Three network namespaces as on a node: a client's pod, the node, a server's pod, joined by veth pairs. The node
//! forwards, and carries the rules that kube-proxy would write.
//!
//! Each namespace belongs to a thread and ends with it.

use std::{
    fs,
    io::Write as _,
    net::{Ipv4Addr, TcpListener},
    process::{Command, Stdio},
    sync::mpsc::{Receiver, Sender, channel},
    thread,
};

use nix::sched::{CloneFlags, unshare};

type Task = Box<dyn FnOnce() + Send>;

/// A thread in a network namespace of its own.
struct Room {
    tasks: Sender<Task>,
    path: String,
}

impl Room {
    fn new() -> Self {
        let (tasks, inbox): (Sender<Task>, Receiver<Task>) = channel();
        let (said, heard) = channel();
        thread::spawn(move || {
            unshare(CloneFlags::CLONE_NEWNET).expect("a network namespace");
            let path = format!(
                "/proc/{}/task/{}/ns/net",
                std::process::id(),
                nix::unistd::gettid()
            );
            said.send(path).expect("somebody waits");
            inbox.into_iter().for_each(|task| task());
        });
        let path = heard.recv().expect("the room's path");
        Self { tasks, path }
    }

    fn run<T: Send + 'static>(&self, task: impl FnOnce() -> T + Send + 'static) -> T {
        let (said, heard) = channel();
        let task = Box::new(move || said.send(task()).expect("somebody waits"));
        self.tasks.send(task).expect("the room is open");
        heard.recv().expect("the task ended")
    }
}

/// What the caller's namespace can reach.
pub(crate) struct Rooms {
    node: Room,
    server: Room,
}

/// Where kube-proxy's rules lead to the backends.
pub(crate) const RULED_VIP: Ipv4Addr = Ipv4Addr::new(10, 96, 7, 2);

/// Addresses of the server's pod.
pub(crate) fn address(last: u8) -> Ipv4Addr {
    Ipv4Addr::new(10, 2, 0, last)
}

impl Rooms {
    /// Joins the caller's namespace to a node and a server.
    pub(crate) fn new() -> Self {
        let (node, server) = (Room::new(), Room::new());
        ip("link set lo up");
        ip(&format!(
            "link add pod type veth peer name left netns {}",
            node.path
        ));
        ip("addr add 10.1.0.2/24 dev pod");
        ip("link set pod up");
        let path = server.path.clone();
        node.run(move || {
            ip("link set lo up");
            ip(&format!("link add right type veth peer name pod netns {path}"));
            for (device, address) in [("left", "10.1.0.1/24"), ("right", "10.2.0.1/24")] {
                ip(&format!("addr add {address} dev {device}"));
                ip(&format!("link set {device} up"));
            }
            fs::write("/proc/sys/net/ipv4/ip_forward", "1").expect("forward");
        });
        server.run(|| {
            ip("link set lo up");
            (10..20).for_each(|last| ip(&format!("addr add {}/24 dev pod", address(last))));
            ip("link set pod up");
            ip("route add default via 10.2.0.1");
        });
        ip("route replace default via 10.1.0.1");
        Self { node, server }
    }

    /// A listener in the server's pod, in the cgroup that the process stands in now.
    pub(crate) fn listen(&self, last: u8) -> TcpListener {
        self.server.run(move || {
            let listener = TcpListener::bind((address(last), 0)).expect("listen");
            listener.set_nonblocking(true).expect("accept without waiting");
            listener
        })
    }

    /// Puts kube-proxy's rules into the node: [`RULED_VIP`] leads to these backends.
    pub(crate) fn rule(&self, backends: &[TcpListener]) {
        let targets: Vec<String> = backends
            .iter()
            .enumerate()
            .map(|(number, backend)| {
                let address = backend.local_addr().expect("an address");
                format!("{number} : {} . {}", address.ip(), address.port())
            })
            .collect();
        let rules = include_str!("kube-proxy.nft")
            .replace("VIP", &RULED_VIP.to_string())
            .replace("COUNT", &targets.len().to_string())
            .replace("TARGETS", &targets.join(", "));
        self.node.run(move || {
            let mut nft = Command::new("nft")
                .args(["-f", "-"])
                .stdin(Stdio::piped())
                .spawn()
                .expect("run nft");
            nft.stdin
                .take()
                .expect("its input")
                .write_all(rules.as_bytes())
                .expect("write the rules");
            assert!(nft.wait().expect("nft ends").success(), "{rules}");
        });
    }
}

fn ip(arguments: &str) {
    let status = Command::new("ip")
        .args(arguments.split(' '))
        .status()
        .expect("run ip");
    assert!(status.success(), "ip {arguments}");
}
