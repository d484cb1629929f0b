//! The ground that a test stands on: cgroup, namespaces, bpffs, and a dataplane over them.
//!
//! All of it belongs to the test and is gone afterwards, also when it panics: the mount and network namespaces end
//! with the thread, the cgroup is removed on drop.

use std::{
    fs,
    net::{Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, TcpStream},
    path::{Path, PathBuf},
    process,
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU32, Ordering},
    },
    time::{Duration, Instant},
};

use continuity_dataplane::{
    BackendCounters, Capacities, Completeness, Dataplane as _, Desired, DesiredBackend, DesiredSet,
    FailsafeTimes, Fallback, Field, KernelDataplane, Mode, Options, Protocol, SetId, uninstall,
    wire::SCHEMA_VERSION,
};
use nix::{
    mount::{MsFlags, mount},
    sched::{CloneFlags, unshare},
};

/// A process is in one cgroup, so tests take turns.
static TURN: Mutex<()> = Mutex::new(());

/// Tells the grounds of one process apart.
static NUMBER: AtomicU32 = AtomicU32::new(0);

/// Services live here; nothing routes to it.
pub(crate) const VIP4: Ipv4Addr = Ipv4Addr::new(198, 51, 100, 10);
pub(crate) const VIP6: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 0x10);

/// A test's own cgroup, namespaces and pins.
pub(crate) struct Ground {
    pub(crate) options: Options,
    cgroup: PathBuf,
    home: PathBuf,
    scratch: PathBuf,
    _turn: MutexGuard<'static, ()>,
}

impl Ground {
    pub(crate) fn new() -> Self {
        let turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
        assert!(
            nix::unistd::geteuid().is_root(),
            "the kernel tests need root: run them with sudo"
        );
        let root = v2_root();
        let name = format!(
            "continuity-test-{}-{}",
            process::id(),
            NUMBER.fetch_add(1, Ordering::Relaxed)
        );
        let cgroup = root.join(&name);
        let scratch = std::env::temp_dir().join(&name);
        let options = Options {
            cgroup: Some(cgroup.clone()),
            pins: scratch.join("continuity"),
            capacities: Capacities {
                sets: 16,
                backends: 256,
                services: 64,
                endpoints: 64,
                sockets: 4_096,
                ..Capacities::of_this_node()
            },
            ..Options::default()
        };
        let home = root.join(own_cgroup().trim_start_matches('/'));
        let ground = Self {
            options,
            cgroup,
            home,
            scratch,
            _turn: turn,
        };
        ground.prepare();
        ground
    }

    fn prepare(&self) {
        fs::create_dir(&self.cgroup).expect("make a child cgroup");
        fs::write(self.cgroup.join("cgroup.procs"), process::id().to_string())
            .expect("move into the child cgroup");
        unshare(CloneFlags::CLONE_NEWNET | CloneFlags::CLONE_NEWNS).expect("unshare network and mounts");
        let none = None::<&str>;
        mount(none, "/", none, MsFlags::MS_REC | MsFlags::MS_PRIVATE, none).expect("keep mounts private");
        fs::create_dir_all(&self.scratch).expect("make a mount point");
        mount(Some("bpf"), &self.scratch, Some("bpf"), MsFlags::empty(), none).expect("mount a bpffs");
        raise_loopback();
    }

    pub(crate) fn open(&self) -> KernelDataplane {
        let mut plane = KernelDataplane::open_or_load(&self.options).expect("open the dataplane");
        plane.heartbeat();
        plane
    }

    /// Moves the process out of the test's cgroup, where no program runs, or back into it.
    #[allow(dead_code, reason = "the cost bench, which shares this file, uses it")]
    pub(crate) fn stand_outside(&self, outside: bool) {
        let cgroup = if outside { &self.home } else { &self.cgroup };
        fs::write(cgroup.join("cgroup.procs"), process::id().to_string()).expect("move between cgroups");
    }

    /// Id of the test's cgroup, by which callers are known.
    #[allow(dead_code, reason = "the cost bench, which shares this file, has no callers")]
    pub(crate) fn cgroup_id(&self) -> u64 {
        use std::os::unix::fs::MetadataExt as _;
        fs::metadata(&self.cgroup).expect("the cgroup").ino()
    }

    /// Plays a crash: the count in flight of a set is too large by so many.
    #[allow(dead_code, reason = "the cost bench, which shares this file, has no crash")]
    pub(crate) fn leak(&self, plane: &KernelDataplane, id: &SetId, by: i32) {
        let index = plane.set(id).expect("the set").index.0;
        let pinned = aya::maps::MapData::from_pin(self.map("admissions")).expect("the pinned map");
        let map = aya::maps::Map::Array(pinned);
        let mut words: aya::maps::Array<_, [u32; 48]> = map.try_into().expect("an array");
        let mut value = words.get(&index, 0).expect("read");
        value[2] = value[2].wrapping_add_signed(by);
        words.set(index, value, 0).expect("write");
    }

    /// Directory of the maps, programs or links.
    pub(crate) fn pins(&self, of: &str) -> PathBuf {
        self.options.pins.join(format!("v{SCHEMA_VERSION}/{of}"))
    }

    /// Pin of a map.
    pub(crate) fn map(&self, name: &str) -> PathBuf {
        self.pins("maps").join(name)
    }

    /// Pin of a program.
    pub(crate) fn program(&self, name: &str) -> PathBuf {
        self.pins("programs").join(name)
    }

    /// Pin of a link.
    pub(crate) fn link(&self, name: &str) -> PathBuf {
        self.pins("links").join(name)
    }
}

impl Drop for Ground {
    fn drop(&mut self) {
        let _ = uninstall(&self.options);
        let _ = nix::mount::umount2(&self.scratch, nix::mount::MntFlags::MNT_DETACH);
        let _ = fs::remove_dir(&self.scratch);
        let _ = fs::write(self.home.join("cgroup.procs"), process::id().to_string());
        for entry in fs::read_dir(&self.cgroup).into_iter().flatten().flatten() {
            let _ = fs::remove_dir(entry.path());
        }
        let _ = fs::remove_dir(&self.cgroup);
    }
}

fn v2_root() -> PathBuf {
    let mounts = fs::read_to_string("/proc/self/mounts").expect("read mounts");
    let line = mounts
        .lines()
        .find(|line| line.split(' ').nth(2) == Some("cgroup2"))
        .expect("a cgroup v2 mount");
    PathBuf::from(line.split(' ').nth(1).expect("a mount point"))
}

fn own_cgroup() -> String {
    let text = fs::read_to_string("/proc/self/cgroup").expect("read own cgroup");
    text.lines()
        .find_map(|line| line.strip_prefix("0::"))
        .expect("a v2 cgroup")
        .to_owned()
}

fn raise_loopback() {
    let up = process::Command::new("ip")
        .args(["link", "set", "lo", "up"])
        .status()
        .expect("run ip");
    assert!(up.success(), "raise the loopback device");
    // A default route to nowhere, so that a connect to a VIP that is not rewritten gets past the routing table and
    // its SYN vanishes: the far end of the pair drops what is not for it.
    for command in [
        ["link", "add", "void", "type", "veth", "peer", "name", "abyss"].as_slice(),
        ["link", "set", "void", "up"].as_slice(),
        ["link", "set", "abyss", "up"].as_slice(),
        ["addr", "add", "192.0.2.1/24", "dev", "void"].as_slice(),
        [
            "neigh",
            "add",
            "192.0.2.254",
            "lladdr",
            "02:00:00:00:00:fe",
            "dev",
            "void",
        ]
        .as_slice(),
        ["route", "add", "default", "via", "192.0.2.254"].as_slice(),
    ] {
        assert!(
            process::Command::new("ip")
                .args(command)
                .status()
                .expect("run ip")
                .success(),
            "{command:?}"
        );
    }
}

/// Waits until a condition holds; the kernel finishes a close on its own time.
pub(crate) fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(5);
    while !holds() {
        assert!(Instant::now() < deadline, "not within 5 s: {what}");
        std::thread::sleep(Duration::from_millis(2));
    }
}

/// A listener on a loopback address of its own, so that backends differ by address as pods do.
pub(crate) fn listen(last: u8) -> TcpListener {
    TcpListener::bind((Ipv4Addr::new(127, 0, 1, last), 0)).expect("listen")
}

pub(crate) fn id(name: &str) -> SetId {
    SetId::of(name)
}

/// A set in Enforce with these frontends and backends; every backend is local.
pub(crate) fn set(name: &str, frontends: &[SocketAddr], backends: &[SocketAddr]) -> DesiredSet {
    DesiredSet {
        id: id(name),
        mode: Mode::Enforce,
        protocol: Protocol::Tcp,
        frontends: frontends.to_vec(),
        guards: Vec::new(),
        affinity: None,
        backends: backends
            .iter()
            .map(|address| DesiredBackend {
                address: *address,
                local: true,
            })
            .collect(),
        failsafe: FailsafeTimes::default(),
        fallback: Fallback::PassThrough,
    }
}

pub(crate) fn vip(port: u16) -> SocketAddr {
    SocketAddr::from((VIP4, port))
}

/// Reconciles and publishes equal shares.
pub(crate) fn serve(plane: &mut KernelDataplane, sets: Vec<DesiredSet>) {
    let desired = Desired { sets };
    let report = plane
        .reconcile(&desired, Completeness::Complete)
        .expect("reconcile");
    assert_eq!(report.rejected, Vec::new());
    for set in &desired.sets {
        equal(plane, &set.id);
    }
}

pub(crate) fn equal(plane: &mut KernelDataplane, id: &SetId) {
    let backends: Vec<_> = plane
        .set(id)
        .expect("the set")
        .backends
        .iter()
        .map(|backend| backend.index)
        .collect();
    plane.publish(id, &Field::equal(&backends)).expect("publish");
}

/// Counters of one backend.
pub(crate) fn counters(plane: &mut KernelDataplane, id: &SetId, address: SocketAddr) -> BackendCounters {
    let counters = plane.read(id).expect("read");
    counters
        .backends
        .into_iter()
        .find(|backend| backend.backend.address == address)
        .expect("the backend")
}

/// Connects with a bound, so that a connect that was passed through to the VIP fails soon.
pub(crate) fn connect(to: SocketAddr) -> std::io::Result<TcpStream> {
    TcpStream::connect_timeout(&to, Duration::from_millis(300))
}

/// Names in a directory of pins.
pub(crate) fn pins(directory: &Path) -> Vec<String> {
    let mut names: Vec<String> = fs::read_dir(directory)
        .into_iter()
        .flatten()
        .flatten()
        .map(|entry| entry.file_name().to_string_lossy().into_owned())
        .collect();
    names.sort();
    names
}
