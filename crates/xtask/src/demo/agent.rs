//! The agents from outside: their processes, their pins, what they take of the machine.
//!
//! A process is ours to signal only if it is in the cluster's cgroup and its program is named; nothing else is looked at.

use std::fs;
use std::path::PathBuf;

use nix::sys::signal::{Signal, kill};
use nix::unistd::{Pid, SysconfVar, sysconf};

use super::latency::fraction;
use crate::Error;
use crate::cluster::{Cluster, Node, layout};

/// Where Continuity pins, as a node sees it.
pub(super) const PINS: &str = "/sys/fs/bpf/continuity";

/// A process of the cluster that runs a given program.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Process {
    pid: i32,
    /// `NODE_NAME` of its environment; empty where it has none.
    pub(super) node: String,
}

/// The processes of the cluster whose program is called `program`.
pub(super) fn processes(program: &str) -> Vec<Process> {
    let Ok(entries) = fs::read_dir("/proc") else {
        return Vec::new();
    };
    let pids = entries
        .flatten()
        .filter_map(|entry| entry.file_name().to_str()?.parse::<i32>().ok());
    pids.filter(|pid| is_ours(*pid, program))
        .map(|pid| Process {
            pid,
            node: variable(pid, "NODE_NAME"),
        })
        .collect()
}

fn proc_file(pid: i32, file: &str) -> PathBuf {
    PathBuf::from(format!("/proc/{pid}/{file}"))
}

fn is_ours(pid: i32, program: &str) -> bool {
    let read = |file| fs::read(proc_file(pid, file)).unwrap_or_default();
    let arguments = read("cmdline");
    let first = arguments.split(|byte| *byte == 0).next().unwrap_or_default();
    let name = first.rsplit(|byte| *byte == b'/').next().unwrap_or_default();
    name == program.as_bytes() && String::from_utf8_lossy(&read("cgroup")).contains(layout::CGROUP)
}

fn variable(pid: i32, name: &str) -> String {
    let environment = fs::read(proc_file(pid, "environ")).unwrap_or_default();
    let prefix = format!("{name}=");
    let found = environment
        .split(|byte| *byte == 0)
        .find_map(|entry| entry.strip_prefix(prefix.as_bytes()));
    found
        .map(|value| String::from_utf8_lossy(value).into_owned())
        .unwrap_or_default()
}

impl Process {
    /// Sends a signal.
    pub(super) fn signal(&self, signal: Signal) -> Result<(), Error> {
        kill(Pid::from_raw(self.pid), signal)
            .map_err(Error::system("signal", format!("process {}", self.pid)))
    }

    /// Resident memory, MB.
    pub(super) fn resident_mb(&self) -> Option<f64> {
        let status = fs::read_to_string(proc_file(self.pid, "status")).ok()?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
        let kib: f64 = line.trim().trim_end_matches("kB").trim().parse().ok()?;
        Some(kib * 1024.0 / 1e6)
    }

    /// CPU time used so far, s.
    pub(super) fn cpu_seconds(&self) -> Option<f64> {
        let stat = fs::read_to_string(proc_file(self.pid, "stat")).ok()?;
        // Fields are counted after the program's name, which may hold anything but ends with the last ')'.
        let fields: Vec<&str> = stat.rsplit_once(')')?.1.split_whitespace().collect();
        let ticks = |at: usize| fields.get(at)?.parse::<usize>().ok();
        let per_second = usize::try_from(sysconf(SysconfVar::CLK_TCK).ok()??).ok()?;
        Some(fraction(ticks(11)? + ticks(12)?) / fraction(per_second))
    }
}

/// Every pin of Continuity on a node, with its inode.
pub(super) fn pins(cluster: &Cluster, node: Node) -> Result<Vec<String>, Error> {
    let find = ["find", PINS, "-type", "f", "-printf", "%i %P\\n"];
    let output = cluster.on_node(node, find)?.any_output()?;
    let mut lines: Vec<String> = String::from_utf8_lossy(&output.stdout)
        .lines()
        .map(str::to_owned)
        .collect();
    lines.sort();
    Ok(lines)
}

/// The pinned links and maps: an equal list before and after means that they are the same ones. Programs are not among
/// them, since a new agent puts its own behind the links.
pub(super) fn lasting(cluster: &Cluster, node: Node) -> Result<Vec<String>, Error> {
    let mut pins = pins(cluster, node)?;
    pins.retain(|pin| ["/maps/", "/links/"].iter().any(|folder| pin.contains(folder)));
    Ok(pins)
}

/// What the agents took while they were watched.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Cost {
    /// The largest resident memory, MB.
    pub(super) resident_mb: f64,
    /// The largest CPU time of one agent, percent of a core.
    pub(super) cpu_percent: f64,
}

/// A watch over the agents' CPU time.
pub(super) struct Meter {
    begun_ns: u64,
    before: Vec<(Process, f64)>,
}

impl Meter {
    /// Begins.
    pub(super) fn start() -> Self {
        let before = processes("continuity-agent").into_iter().filter_map(|p| {
            let cpu = p.cpu_seconds()?;
            Some((p, cpu))
        });
        Self {
            begun_ns: continuity_traffic::clock::now_ns(),
            before: before.collect(),
        }
    }

    /// Ends; `None` if an agent came or went meanwhile, or there is none.
    pub(super) fn stop(&self) -> Option<Cost> {
        let wall = super::share::seconds(continuity_traffic::clock::now_ns() - self.begun_ns);
        let mut cost = Cost::default();
        for (process, before) in &self.before {
            cost.cpu_percent = cost
                .cpu_percent
                .max((process.cpu_seconds()? - before) / wall * 100.0);
            cost.resident_mb = cost.resident_mb.max(process.resident_mb()?);
        }
        (!self.before.is_empty()).then_some(cost)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_outside_of_the_cluster_is_never_ours() {
        let own = i32::try_from(std::process::id()).unwrap();
        let name = std::env::args().next().unwrap();
        assert!(!is_ours(own, name.rsplit('/').next().unwrap()));
        assert!(processes("no-such-program").is_empty());
    }

    #[test]
    fn memory_and_time_of_a_process_can_be_read() {
        let process = Process {
            pid: i32::try_from(std::process::id()).unwrap(),
            node: String::new(),
        };
        assert!(process.resident_mb().unwrap() > 0.5);
        assert!(process.cpu_seconds().is_some());
    }
}
