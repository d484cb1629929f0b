//! A policy for every namespace that the suite makes, and the agents' counters of its Services while they exist.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::cluster::Cluster;

/// How often namespaces are listed: the suite needs longer to make a namespace's first Service.
const LOOK: Duration = Duration::from_millis(200);
/// How often the agents' counters are read: a Service of the suite lives for seconds.
const COUNT: Duration = Duration::from_secs(1);
/// The suite marks its namespaces with this label.
const LABEL: &str = "e2e-framework";
const AGENTS: &str = "/api/v1/namespaces/continuity-system/pods";
const PORT: u16 = 9464;

/// Connections of one Service port on one node, by result.
type Counts = BTreeMap<(String, String), u64>;

/// What was seen.
#[derive(Clone, Debug, Default)]
pub(super) struct Followed {
    /// Namespaces that got a policy.
    pub(super) namespaces: BTreeSet<String>,
    /// Policies that were refused, with the reason.
    pub(super) refused: Vec<String>,
    /// Connections accepted by backends of the suite's Services.
    pub(super) accepted: u64,
    /// Connections that we decided.
    pub(super) steered: u64,
}

/// The thread that follows the suite.
#[derive(Debug)]
pub(super) struct Follower {
    stop: mpsc::Sender<()>,
    thread: thread::JoinHandle<Followed>,
}

impl Follower {
    pub(super) fn start(cluster: &Cluster) -> Self {
        let (stop, stopped) = mpsc::channel();
        let cluster = cluster.clone();
        let thread = thread::spawn(move || follow(&cluster, &stopped));
        Self { stop, thread }
    }

    pub(super) fn stop(self) -> Followed {
        drop(self.stop);
        self.thread
            .join()
            .unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    }
}

fn follow(cluster: &Cluster, stopped: &mpsc::Receiver<()>) -> Followed {
    let mut followed = Followed::default();
    let mut counts = Counts::new();
    let mut counted = Instant::now();
    while let Err(RecvTimeoutError::Timeout) = stopped.recv_timeout(LOOK) {
        // A look that failed is made again; what the API server refuses for good is said at the end.
        for namespace in namespaces(cluster) {
            if followed.namespaces.contains(&namespace) {
                continue;
            }
            match cluster.apply(&policy(&namespace)) {
                Ok(()) => drop(followed.namespaces.insert(namespace)),
                Err(error) => followed.refused.push(format!("{namespace}: {error}")),
            }
        }
        if counted.elapsed() >= COUNT {
            counted = Instant::now();
            count(cluster, &mut counts);
        }
    }
    let total = |result: &str| {
        counts
            .iter()
            .filter(|((_, of), _)| of == result)
            .map(|(_, n)| n)
            .sum()
    };
    followed.accepted = total("accepted");
    followed.steered = total("steered");
    followed
}

fn namespaces(cluster: &Cluster) -> Vec<String> {
    let listed = cluster.json(["get", "namespaces", "-l", LABEL, "-o", "json"]);
    let listed = listed.unwrap_or_default();
    let items = listed["items"].as_array().into_iter().flatten();
    items
        .filter(|item| item["metadata"]["deletionTimestamp"].is_null())
        .filter_map(|item| item["metadata"]["name"].as_str().map(str::to_owned))
        .collect()
}

/// Every Service of the namespace, whatever its labels.
fn policy(namespace: &str) -> String {
    format!(
        "apiVersion: continuity.nity.io/v1alpha1\nkind: ContinuityPolicy\nmetadata: {{name: all, namespace: {namespace}}}\n\
         spec:\n  mode: Enforce\n  targetSelector:\n    matchExpressions:\n    - {{key: no-policy, operator: DoesNotExist}}\n"
    )
}

/// Keeps the newest totals of each agent; they vanish with the Service.
fn count(cluster: &Cluster, counts: &mut Counts) {
    let Ok(pods) = cluster.json(["get", "--raw", AGENTS]) else {
        return;
    };
    for pod in pods["items"].as_array().into_iter().flatten() {
        let Some(name) = agent(pod) else { continue };
        let path = format!("{AGENTS}/{name}:{PORT}/proxy/metrics");
        let Ok(page) = cluster.kubectl(["get", "--raw", &path]) else {
            continue;
        };
        for (series, result, value) in connections(&String::from_utf8_lossy(&page.stdout)) {
            let known = counts.entry((format!("{name} {series}"), result)).or_default();
            *known = value.max(*known);
        }
    }
}

fn agent(pod: &Value) -> Option<&str> {
    let name = pod["metadata"]["name"].as_str()?;
    name.starts_with("continuity-agent").then_some(name)
}

/// Series, result and value of the connection counters on a page of metrics.
fn connections(page: &str) -> Vec<(String, String, u64)> {
    let lines = page
        .lines()
        .filter_map(|line| line.strip_prefix("continuity_agent_connections_total{"));
    lines
        .filter_map(|line| {
            let (labels, value) = line.split_once("} ")?;
            let result = labels.split("result=\"").nth(1)?.split('"').next()?;
            let series = labels.replace(&format!("result=\"{result}\""), "");
            Some((series, result.to_owned(), value.trim().parse().ok()?))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counters_are_read_by_service_and_result() {
        let page = "# HELP x y\n\
                    continuity_agent_connections_total{namespace=\"a\",port=\"http\",result=\"steered\",service=\"s\"} 12\n\
                    continuity_agent_connections_total{namespace=\"a\",port=\"http\",result=\"accepted\",service=\"s\"} 13\n\
                    continuity_agent_sets 1\n";
        let read = connections(page);
        assert_eq!(read.len(), 2);
        assert_eq!(read[0].0, read[1].0);
        assert_eq!((read[0].1.as_str(), read[0].2, read[1].2), ("steered", 12, 13));
    }
}
