//! What the processes cost and what the API server was asked, over a stretch of time.

use crate::error::Error;
use crate::figures::{Cost, Stretch};
use crate::stage::Stage;
use crate::swarm::{Count, Swarm};
use std::collections::BTreeMap;
use std::time::Instant;

/// Ticks of the kernel's accounting in a second, which Linux fixes for programs.
const TICKS: f64 = 100.0;

/// What the operator writes, as its metric calls it.
const ASPECTS: [&str; 5] = ["set", "set_status", "plan", "policy_status", "timeline"];

/// Readings at the beginning of a stretch.
pub(crate) struct Meter {
    at: Instant,
    reading: Reading,
}

struct Reading {
    operator: f64,
    api_server: f64,
    etcd: f64,
    nodes: f64,
    reads: f64,
    writes: f64,
    events: f64,
    operator_writes: [f64; ASPECTS.len()],
    count: Count,
}

impl Reading {
    async fn take(stage: &Stage, swarm: &Swarm) -> Self {
        let api = stage.api_metrics().await;
        let operator = stage.operator_metrics().await;
        let verb = |verbs: &[&str]| {
            sum(&api, "apiserver_request_total{", |line| {
                verbs
                    .iter()
                    .any(|verb| line.contains(&format!("verb=\"{verb}\"")))
            })
        };
        Self {
            operator: stage.operator_id().map_or(0.0, seconds),
            api_server: stage.plane.api_id().map_or(0.0, seconds),
            etcd: seconds(stage.plane.etcd_id()),
            nodes: seconds(std::process::id()),
            reads: verb(&["GET", "LIST", "WATCH"]),
            writes: verb(&["POST", "PUT", "PATCH", "APPLY", "DELETE", "DELETECOLLECTION"]),
            events: sum(&api, "apiserver_watch_events_total{", |_| true),
            operator_writes: ASPECTS.map(|aspect| {
                sum(&operator, "continuity_operator_writes_total{", |line| {
                    line.contains(&format!("aspect=\"{aspect}\""))
                })
            }),
            count: swarm.count(),
        }
    }
}

impl Meter {
    pub(crate) async fn begin(stage: &Stage, swarm: &Swarm) -> Self {
        let reading = Reading::take(stage, swarm).await;
        Self {
            at: Instant::now(),
            reading,
        }
    }

    pub(crate) async fn end(self, stage: &Stage, swarm: &Swarm) -> Stretch {
        let seconds = self.at.elapsed().as_secs_f64();
        let (before, after) = (self.reading, Reading::take(stage, swarm).await);
        let rate = |before: f64, after: f64| (after - before) / seconds;
        let cost = |before: f64, after: f64, id: Option<u32>| Cost {
            cores: rate(before, after),
            rss_mib: id.map_or(0.0, resident),
        };
        let count = |part: fn(&Count) -> u64| rate(number(part(&before.count)), number(part(&after.count)));
        let written = before.operator_writes.iter().zip(after.operator_writes);
        let aspects = ASPECTS
            .into_iter()
            .zip(written.map(|(before, after)| rate(*before, after)));
        let aspects: BTreeMap<&'static str, f64> = aspects.collect();
        Stretch {
            seconds,
            operator: cost(before.operator, after.operator, stage.operator_id()),
            api_server: cost(before.api_server, after.api_server, stage.plane.api_id()),
            etcd: cost(before.etcd, after.etcd, Some(stage.plane.etcd_id())),
            nodes: cost(before.nodes, after.nodes, Some(std::process::id())),
            node_writes: count(|count| count.written),
            node_failures: count(|count| count.failed),
            node_bytes: count(|count| count.bytes),
            operator_writes: aspects.values().sum(),
            operator_aspects: aspects,
            api_reads: rate(before.reads, after.reads),
            api_writes: rate(before.writes, after.writes),
            watch_events: rate(before.events, after.events),
        }
    }
}

/// Reports are far below what a float holds exactly.
fn number(count: u64) -> f64 {
    u32::try_from(count).map_or(f64::INFINITY, f64::from)
}

/// Sum of the samples of a metric whose line `counts`.
pub(crate) fn sum(text: &str, start: &str, counts: impl Fn(&str) -> bool) -> f64 {
    text.lines()
        .filter(|line| line.starts_with(start) && counts(line))
        .filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok())
        .sum()
}

/// Processor time of a process so far, in seconds; 0 once it is gone.
pub(crate) fn seconds(id: u32) -> f64 {
    let text = std::fs::read_to_string(format!("/proc/{id}/stat")).unwrap_or_default();
    // The name in brackets may hold spaces; the fields after it do not.
    let fields = text.rsplit(')').next().unwrap_or_default().split_whitespace();
    let ticks: f64 = fields
        .skip(11)
        .take(2)
        .filter_map(|field| field.parse::<f64>().ok())
        .sum();
    ticks / TICKS
}

/// Resident memory of a process in MiB; 0 once it is gone.
pub(crate) fn resident(id: u32) -> f64 {
    line(id, "VmRSS:")
}

/// The most it ever had.
pub(crate) fn peak(id: u32) -> f64 {
    line(id, "VmHWM:")
}

fn line(id: u32, name: &str) -> f64 {
    let text = std::fs::read_to_string(format!("/proc/{id}/status")).unwrap_or_default();
    let found = text.lines().find_map(|line| line.strip_prefix(name));
    let kib = found.and_then(|rest| rest.split_whitespace().next()?.parse::<f64>().ok());
    kib.unwrap_or(0.0) / 1024.0
}

/// What the machine is, for whoever compares.
pub(crate) fn machine() -> Result<String, Error> {
    let read = |path: &str| {
        std::fs::read_to_string(path).map_err(|source| Error::File {
            path: path.into(),
            source,
        })
    };
    let kernel = read("/proc/sys/kernel/osrelease")?;
    let model = read("/proc/cpuinfo")?;
    let model = model.lines().find_map(|line| line.strip_prefix("model name"));
    let model = model.unwrap_or_default().trim_start_matches([' ', '\t', ':']);
    let memory = read("/proc/meminfo")?;
    let kib = memory.lines().find_map(|line| line.strip_prefix("MemTotal:"));
    let kib = kib.and_then(|rest| rest.split_whitespace().next()?.parse::<u64>().ok());
    let cores = std::thread::available_parallelism().map_or(0, std::num::NonZero::get);
    Ok(format!(
        "{cores} processors ({model}), {} GiB, Linux {}",
        kib.unwrap_or(0) / 1024 / 1024,
        kernel.trim()
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn samples_of_one_metric_are_added_and_others_left_out() {
        let text = "a_total{verb=\"GET\"} 3\na_total{verb=\"LIST\"} 4\na_total_x{} 9\n# a_total{} 1\n";
        assert!((sum(text, "a_total{", |line| line.contains("GET")) - 3.0).abs() < f64::EPSILON);
        assert!((sum(text, "a_total{", |_| true) - 7.0).abs() < f64::EPSILON);
    }

    #[test]
    fn this_process_has_memory_and_a_missing_one_has_none() {
        assert!(resident(std::process::id()) > 1.0);
        assert!(seconds(u32::MAX).abs() < f64::EPSILON);
    }
}
