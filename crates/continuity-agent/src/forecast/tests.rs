use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

use continuity_sensors::{Reader, Roots};

use super::*;
use crate::fixture::WALL;

const UID: &str = "0b7c1c5e-3c1f-4a0e-9a55-6a3a7c0a1d11";
const MIB: u64 = 1 << 20;
const LIMIT: u64 = 512 * MIB;

/// A made-up node with one pod below a directory of its own.
struct Node {
    root: PathBuf,
    first: bool,
}

impl Node {
    /// With limits in version 1's hierarchy or in the unified one.
    fn new(first: bool) -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let name = format!(
            "forecast-{}-{}",
            std::process::id(),
            COUNT.fetch_add(1, Ordering::Relaxed)
        );
        let node = Self {
            root: std::env::temp_dir().join(name),
            first,
        };
        if !first {
            node.put("cgroup/cgroup.controllers", "memory\n");
        }
        node.put("proc/meminfo", "MemTotal: 8000000 kB\nMemAvailable: 6000000 kB\n");
        node.stall(0, 0, 0);
        node.memory(100 * MIB);
        node
    }

    fn put(&self, path: &str, text: &str) {
        let path = self.root.join(path);
        fs::create_dir_all(path.parent().expect("a directory")).expect("made");
        fs::write(path, text).expect("written");
    }

    fn memory(&self, used: u64) {
        let (pod, usage, limit, stat) = if self.first {
            (
                "cgroup/memory/kubepods",
                "memory.usage_in_bytes",
                "memory.limit_in_bytes",
                "total_inactive_file 0\n",
            )
        } else {
            (
                "cgroup/kubepods",
                "memory.current",
                "memory.max",
                "inactive_file 0\n",
            )
        };
        let pod = format!("{pod}/pod{UID}");
        self.put(&format!("{pod}/{usage}"), &format!("{used}\n"));
        self.put(&format!("{pod}/{limit}"), &format!("{LIMIT}\n"));
        self.put(&format!("{pod}/memory.stat"), stat);
    }

    /// Means of 10 s in percent.
    fn stall(&self, cpu: u32, memory: u32, io: u32) {
        for (name, percent) in [("cpu", cpu), ("memory", memory), ("io", io)] {
            let line = format!("avg10={percent}.00 avg60=0.00 avg300=0.00 total=0");
            self.put(
                &format!("proc/pressure/{name}"),
                &format!("some {line}\nfull {line}\n"),
            );
        }
    }

    fn reader(&self) -> Reader {
        let mut reader = Reader::new(Roots {
            proc: self.root.join("proc"),
            cgroup: self.root.join("cgroup"),
        });
        reader.watch(&[pod()]);
        reader
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.root);
    }
}

fn pod() -> PodId {
    PodId::new(UID).expect("a uid")
}

/// One second of the sensors' thread.
fn second(reader: &mut Reader, forecaster: &mut Forecaster, second: u64) -> Forecast {
    let now = second * 1_000_000_000;
    let wall = WALL + i64::try_from(second).expect("a time") * 1_000;
    forecaster.observe(reader.read(now), Nanos(now + 1), wall)
}

/// A heap that grows by `leak` a second under the saw-tooth of a collector: when it is warned of, and when it is killed.
fn leak(first: bool, leak: u64) -> (Option<(u64, Warning)>, u64) {
    let node = Node::new(first);
    let (mut reader, mut forecaster) = (node.reader(), Forecaster::default());
    let mut warned = None;
    for at in 1..600 {
        let used = 100 * MIB + leak * at + at % 8 * 5 * MIB;
        if used >= LIMIT {
            return (warned, at);
        }
        node.memory(used);
        let forecast = second(&mut reader, &mut forecaster, at);
        if let Some(warning) = forecast.pods.get(&pod()) {
            warned.get_or_insert((at, warning.clone()));
        }
    }
    (warned, 600)
}

#[test]
fn a_leaking_pod_is_warned_of_at_least_45_seconds_before_it_is_killed_in_either_version() {
    for first in [true, false] {
        for rate in [MIB, 2 * MIB] {
            let (warned, killed) = leak(first, rate);
            let (at, warning) = warned.expect("a warning");
            assert!(
                at + 45 <= killed,
                "{rate}: warned at {at} s, killed at {killed} s"
            );
            assert_eq!(warning.since_millis, WALL + i64::try_from(at).unwrap() * 1_000);
            let expected = warning.expected_millis.expect("a time") / 1_000 - WALL / 1_000;
            assert!(
                expected.abs_diff(i64::try_from(killed).unwrap()) <= 45,
                "{expected} for {killed}"
            );
            assert!((100..=600).contains(&warning.stall_permille), "{warning:?}");
            assert!(
                warning.message.contains("of 512 MiB are used up in about"),
                "{}",
                warning.message
            );
        }
    }
}

#[test]
fn a_saw_tooth_without_a_leak_is_never_warned_of() {
    let (warned, killed) = leak(false, 0);
    assert_eq!((warned, killed), (None, 600));
}

#[test]
fn a_warning_ends_half_a_minute_after_the_leak_does() {
    let node = Node::new(false);
    let (mut reader, mut forecaster) = (node.reader(), Forecaster::default());
    let mut used = 100 * MIB;
    let mut at = 0;
    while forecaster.raised == 0 {
        at += 1;
        used += 2 * MIB;
        node.memory(used);
        second(&mut reader, &mut forecaster, at);
        assert!(at < 200, "no warning");
    }
    // The process is started anew: its memory is small again, and its floors with it.
    let over = (1..300).find(|more| {
        node.memory(20 * MIB);
        second(&mut reader, &mut forecaster, at + more).pods.is_empty()
    });
    let over = over.expect("an end");
    assert!((30..=120).contains(&over), "{over} s");
}

#[test]
fn a_node_that_stands_still_says_so_and_the_processor_alone_weighs_nothing() {
    let node = Node::new(false);
    let (mut reader, mut forecaster) = (node.reader(), Forecaster::default());
    let calm = second(&mut reader, &mut forecaster, 1);
    assert!(calm.read && calm.node.is_empty() && calm.burden().is_none());
    node.stall(95, 0, 0);
    let busy = second(&mut reader, &mut forecaster, 2);
    assert_eq!(busy.node[0].subject, Subject::CpuStall);
    assert_eq!((busy.burden(), busy.raised), (None, 1));
    node.stall(95, 40, 0);
    let stalled = second(&mut reader, &mut forecaster, 3);
    let burden = stalled.burden().expect("a burden");
    assert_eq!(
        (burden.subject, burden.stall_permille),
        (Subject::MemoryStall, 400)
    );
    assert!(
        burden.message.contains("40 % of the last 10 s for memory"),
        "{}",
        burden.message
    );
    // Between the two bounds it lasts; below the lower one it ends half a minute later.
    node.stall(0, 15, 0);
    assert!(second(&mut reader, &mut forecaster, 60).burden().is_some());
    node.stall(0, 5, 0);
    assert!(second(&mut reader, &mut forecaster, 61).burden().is_some());
    assert!(second(&mut reader, &mut forecaster, 91).burden().is_none());
}

#[test]
fn signals_that_are_missing_raise_nothing_and_are_survived() {
    let nowhere = Path::new("/nowhere");
    let mut reader = Reader::new(Roots {
        proc: nowhere.into(),
        cgroup: nowhere.into(),
    });
    reader.watch(&[pod()]);
    let mut forecaster = Forecaster::default();
    for at in 1..200 {
        let forecast = second(&mut reader, &mut forecaster, at);
        assert!(!forecast.read && forecast.pods.is_empty() && forecast.node.is_empty());
    }
    let node = Node::new(false);
    let mut reader = node.reader();
    for at in 200..300 {
        node.memory((at - 150) * 3 * MIB);
        second(&mut reader, &mut forecaster, at);
    }
    assert_eq!(forecaster.raised, 1);
    // The pod's files go: what was said ends, nothing new is said.
    let _ = fs::remove_dir_all(node.root.join("cgroup"));
    let last = (300..360)
        .map(|at| second(&mut reader, &mut forecaster, at))
        .last();
    assert!(last.expect("a forecast").pods.is_empty());
}
