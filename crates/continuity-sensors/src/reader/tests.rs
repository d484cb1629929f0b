use std::fs;
use std::sync::atomic::{AtomicU32, Ordering};

use super::*;
use crate::{Category, Resource, Signal};

const UID: &str = "0b7c1c5e-3c1f-4a0e-9a55-6a3a7c0a1d11";
const SECOND: u64 = 1_000_000_000;

/// A made-up node below a directory of its own, removed with it.
struct Node(PathBuf);

impl Node {
    fn new() -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let name = format!(
            "continuity-sensors-{}-{}",
            std::process::id(),
            COUNT.fetch_add(1, Ordering::Relaxed)
        );
        let node = Self(std::env::temp_dir().join(name));
        node.put("proc/pressure/cpu", &pressure(1_000));
        node.put("proc/pressure/memory", &pressure(0));
        node.put("proc/pressure/io", &pressure(0));
        node.put("proc/meminfo", "MemTotal: 1000 kB\nMemAvailable: 600 kB\n");
        node.put("proc/sys/fs/file-nr", "2990\t0\t10000\n");
        node.put("proc/sys/fs/nr_open", "1048576\n");
        node.put("proc/sys/net/netfilter/nf_conntrack_count", "90\n");
        node.put("proc/sys/net/netfilter/nf_conntrack_max", "100\n");
        node.put("proc/loadavg", "1.0 1.0 1.0 3/668 9\n");
        node.put("proc/sys/kernel/threads-max", "1000\n");
        node
    }

    fn put(&self, path: &str, text: &str) {
        let path = self.0.join(path);
        fs::create_dir_all(path.parent().expect("a directory")).expect("made");
        fs::write(path, text).expect("written");
    }

    fn remove(&self, path: &str) {
        let path = self.0.join(path);
        if path.is_dir() {
            fs::remove_dir_all(path).expect("removed");
        } else {
            fs::remove_file(path).expect("removed");
        }
    }

    fn reader(&self) -> Reader {
        Reader::new(Roots {
            proc: self.0.join("proc"),
            cgroup: self.0.join("cgroup"),
        })
    }

    /// A pod of the unified hierarchy with one container.
    fn pod(&self, directory: &str, container_used: u64) {
        self.put("cgroup/cgroup.controllers", "cpu memory pids\n");
        let container = format!("{directory}/cri-1");
        for (place, used, limit) in [
            (directory, 200 + container_used, "max"),
            (&*container, container_used, "1000"),
        ] {
            self.put(&format!("{place}/memory.current"), &format!("{used}\n"));
            self.put(&format!("{place}/memory.max"), &format!("{limit}\n"));
            self.put(&format!("{place}/memory.stat"), "inactive_file 100\n");
        }
        self.put(
            &format!("{directory}/cpu.stat"),
            "usage_usec 5\nthrottled_usec 2\n",
        );
        self.put(&format!("{directory}/cpu.max"), "max 100000\n");
        self.put(&format!("{directory}/pids.current"), "12\n");
        self.put(&format!("{directory}/pids.max"), "max\n");
        for name in ["cpu", "memory", "io"] {
            self.put(&format!("{directory}/{name}.pressure"), &pressure(7));
        }
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn pressure(total: u64) -> String {
    format!(
        "some avg10=0.00 avg60=0.00 avg300=0.00 total={total}\n\
         full avg10=0.00 avg60=0.00 avg300=0.00 total=0\n"
    )
}

fn pod() -> PodId {
    PodId::new(UID).expect("a uid")
}

#[test]
fn a_whole_node_is_read_at_once() {
    let node = Node::new();
    let mut reader = node.reader();
    let sample = reader.read(SECOND);
    assert_eq!(
        sample.memory.known().map(|level| (level.used, level.permille())),
        Some((400 * 1_024, Some(400)))
    );
    let full: Vec<_> = Resource::ALL
        .iter()
        .map(|resource| sample.level(*resource).known().and_then(|level| level.permille()))
        .collect();
    assert_eq!(full, [Some(400), Some(299), Some(900), Some(668)]);
    assert_eq!(sample.descriptors_per_process.known(), Some(&1_048_576));
}

#[test]
fn stall_is_the_part_of_the_time_between_two_reads() {
    let node = Node::new();
    let mut reader = node.reader();
    assert_eq!(
        reader.read(SECOND).cpu.known().expect("a stall").some_permille,
        None
    );
    node.put("proc/pressure/cpu", &pressure(1_000 + 300_000));
    let early = reader.read(SECOND + SECOND / 2);
    assert_eq!(
        early.cpu.known().expect("a stall").some.total_micros,
        1_000,
        "not yet due"
    );
    let second = reader.read(2 * SECOND).cpu.known().expect("a stall");
    assert_eq!(second.some_permille, Some(300));
}

#[test]
fn a_file_that_is_not_there_is_missing_and_never_nothing() {
    let node = Node::new();
    node.remove("proc/pressure");
    node.remove("proc/sys/net");
    let mut reader = node.reader();
    let sample = reader.read(SECOND);
    let error = sample.cpu.missing().expect("missing");
    assert_eq!(error.category(), Category::Absent);
    assert!(error.to_string().contains("pressure/cpu is not there"), "{error}");
    assert!(matches!(sample.lacks(Signal::Conntrack), Some(Some(_))));
    assert!(matches!(sample.lacks(Signal::Memory), Some(None)));
    assert!(matches!(sample.lacks(Signal::Cgroups), Some(Some(_))));
    assert_eq!(NodeSample::default().lacks(Signal::Memory), None);
}

#[test]
fn a_signal_that_goes_is_no_longer_known() {
    let node = Node::new();
    let mut reader = node.reader();
    assert!(reader.read(SECOND).memory.known().is_some());
    node.put("proc/meminfo", "MemTotal: 1000 kB\n");
    let error = reader.read(9 * SECOND).memory.missing().expect("missing").clone();
    assert_eq!(error.category(), Category::Malformed);
}

#[test]
fn a_pod_is_found_under_either_driver_and_its_worst_container_counts() {
    let systemd = format!(
        "cgroup/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod{}.slice",
        UID.replace('-', "_")
    );
    for directory in [
        format!("cgroup/kubepods/burstable/pod{UID}"),
        format!("cgroup/kubepods/pod{UID}"),
        format!("cgroup/continuity/node-1/kubepods/besteffort/pod{UID}"),
        systemd,
    ] {
        let node = Node::new();
        node.pod(&directory, 900);
        let mut reader = node.reader();
        reader.watch(&[pod()]);
        let sample = &reader.read(SECOND).pods[0];
        let memory = sample
            .memory
            .known()
            .unwrap_or_else(|| panic!("{directory} {sample:?}"));
        assert_eq!(
            (memory.used, memory.limit),
            (800, Some(1_000)),
            "the container's limit"
        );
        assert_eq!(sample.processes.known().map(|level| level.used), Some(12));
        assert_eq!(sample.cpu.known().map(|cpu| cpu.throttled_micros), Some(2));
        assert!(sample.cpu_stall.known().is_some());
    }
}

#[test]
fn the_cgroups_of_a_caller_are_its_pods_and_those_of_its_containers() {
    use std::collections::BTreeSet;
    use std::os::unix::fs::MetadataExt as _;

    let node = Node::new();
    let directory = format!("cgroup/kubepods/burstable/pod{UID}");
    node.pod(&directory, 900);
    node.pod(
        "cgroup/kubepods/burstable/pod11111111-3c1f-4a0e-9a55-6a3a7c0a1d11",
        900,
    );
    node.put(&format!("{directory}/cri-2/init.scope/cgroup.procs"), "");
    let mut reader = node.reader();
    reader.read(SECOND);
    let known = reader.cgroups(&[pod()]);
    let inode = |path: &str| fs::metadata(node.0.join(path)).expect("there").ino();
    let expected: BTreeSet<u64> = ["", "/cri-1", "/cri-2", "/cri-2/init.scope"]
        .iter()
        .map(|below| inode(&format!("{directory}{below}")))
        .collect();
    assert_eq!(known.len(), 1, "nobody asked for the other pod");
    assert_eq!(known[&pod()].iter().copied().collect::<BTreeSet<_>>(), expected);
    assert!(reader.cgroups(&[]).is_empty());
    node.remove(&directory);
    assert!(reader.cgroups(&[pod()]).is_empty());
}

#[test]
fn limits_in_version_1_are_read_beside_pressure_in_version_2() {
    let node = Node::new();
    node.put("cgroup/unified/cgroup.controllers", "\n");
    let inside = format!("kubepods/burstable/pod{UID}");
    let put = |file: &str, text: &str| {
        let (controller, name) = file.split_once('/').expect("a controller");
        node.put(&format!("cgroup/{controller}/{inside}/{name}"), text);
    };
    put("memory/memory.usage_in_bytes", "1500\n");
    put("memory/memory.limit_in_bytes", "2000\n");
    put("memory/memory.stat", "total_inactive_file 500\n");
    put("cpu/cpu.stat", "throttled_time 3000\n");
    put("cpu/cpu.cfs_quota_us", "50000\n");
    put("cpu/cpu.cfs_period_us", "100000\n");
    put("cpuacct/cpuacct.usage", "7000\n");
    put("pids/pids.current", "3\n");
    put("pids/pids.max", "max\n");
    put("unified/memory.pressure", &pressure(9));
    let mut reader = node.reader();
    reader.watch(&[pod()]);
    let sample = &reader.read(SECOND).pods[0];
    assert_eq!(
        sample.memory.known().map(|level| level.permille()),
        Some(Some(500))
    );
    let cpu = sample.cpu.known().expect("CPU time");
    assert_eq!(
        (cpu.used_micros, cpu.throttled_micros, cpu.quota_milli),
        (7, 3, Some(500))
    );
    assert!(sample.memory_stall.known().is_some());
    assert!(
        sample.cpu_stall.missing().is_some(),
        "no file of it in this hierarchy"
    );
}

#[test]
fn a_pod_that_is_gone_is_missing_and_found_again_when_it_is_back() {
    let node = Node::new();
    let directory = format!("cgroup/kubepods/pod{UID}");
    node.pod(&directory, 300);
    let mut reader = node.reader();
    reader.watch(&[pod()]);
    assert!(reader.read(SECOND).pods[0].memory.known().is_some());
    node.remove(&directory);
    let gone = reader.read(20 * SECOND).pods[0].memory.missing().cloned();
    assert!(
        gone.is_some_and(|error| error.to_string().contains(UID)),
        "it says which pod"
    );
    node.pod(&directory, 400);
    assert!(reader.read(40 * SECOND).pods[0].memory.known().is_some());
}

#[test]
fn more_pods_than_the_bound_are_counted_and_left_out() {
    let node = Node::new();
    node.put("cgroup/cgroup.controllers", "memory\n");
    let mut reader = node.reader();
    let pods: Vec<PodId> = (0..70)
        .filter_map(|n| PodId::new(&format!("00000000-0000-0000-0000-{n:012}")))
        .collect();
    reader.watch(&pods);
    let sample = reader.read(SECOND);
    assert_eq!((sample.pods.len(), sample.pods_left_out), (64, 6));
}

#[test]
fn a_file_without_end_is_not_read_to_its_end() {
    let node = Node::new();
    node.put("proc/meminfo", &"x".repeat(1 << 20));
    let mut reader = node.reader();
    let error = reader.read(SECOND).memory.missing().expect("missing").clone();
    assert!(error.to_string().contains("longer than 16384 bytes"), "{error}");
}

#[test]
fn the_node_that_runs_this_test_has_memory_and_threads() {
    let mut reader = Reader::new(Roots::default());
    let sample = reader.read(SECOND);
    let memory = sample.memory.known().expect("a Linux node has meminfo");
    assert!(memory.used > 0 && memory.used < memory.limit.expect("a total"));
    assert!(sample.threads.known().is_some_and(|level| level.used > 0));
}
