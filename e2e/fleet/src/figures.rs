//! What a run found, as cluster.json holds it, and what is promised.

use serde::Serialize;
use std::collections::BTreeMap;
use std::time::Duration;

/// Everything of a bench.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Figures {
    pub(crate) runs: Vec<Run>,
    pub(crate) goals: Vec<Goal>,
}

/// One size.
#[derive(Clone, Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Run {
    pub(crate) machine: String,
    pub(crate) nodes: usize,
    pub(crate) services: usize,
    pub(crate) endpoints: usize,
    pub(crate) sets_per_node: usize,
    /// Mean bytes of a report.
    pub(crate) report_bytes: f64,
    /// From the policies to a set and a plan for every Service, seconds.
    pub(crate) plan_seconds: f64,
    /// Until every node had reported and every status counted it, seconds.
    pub(crate) report_seconds: f64,
    /// Start of an operator on the full cluster until it was ready, seconds.
    pub(crate) cold_start_seconds: f64,
    /// The most memory it took for that, MiB.
    pub(crate) cold_start_peak_mib: f64,
    pub(crate) quiet: Stretch,
    pub(crate) changes: Stretch,
    pub(crate) change_lag: Lag,
    pub(crate) storm: Stretch,
    pub(crate) storm_lag: Lag,
    pub(crate) flapping: usize,
    /// Writes a minute of the most written set in the storm.
    pub(crate) storm_patches: f64,
    pub(crate) watchers: Vec<Watchers>,
}

/// What happened over a stretch; rates are a second.
#[derive(Clone, Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Stretch {
    pub(crate) seconds: f64,
    pub(crate) operator: Cost,
    pub(crate) api_server: Cost,
    pub(crate) etcd: Cost,
    pub(crate) nodes: Cost,
    pub(crate) node_writes: f64,
    pub(crate) node_failures: f64,
    pub(crate) node_bytes: f64,
    pub(crate) operator_writes: f64,
    /// The same by what is written.
    pub(crate) operator_aspects: BTreeMap<&'static str, f64>,
    pub(crate) api_reads: f64,
    pub(crate) api_writes: f64,
    pub(crate) watch_events: f64,
}

/// A process.
#[derive(Clone, Copy, Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Cost {
    pub(crate) cores: f64,
    pub(crate) rss_mib: f64,
}

/// From a change on the nodes to the status.
#[derive(Clone, Copy, Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Lag {
    pub(crate) changes: usize,
    pub(crate) missed: usize,
    pub(crate) p50_seconds: f64,
    pub(crate) p99_seconds: f64,
}

impl Lag {
    /// From sorted lags.
    pub(crate) fn of(lags: &[Duration], missed: usize) -> Self {
        // The nearest rank, so that a p99 of few is their largest.
        let at = |permille: usize| {
            let rank = (lags.len() * permille).div_ceil(1_000).max(1) - 1;
            lags.get(rank).map_or(0.0, Duration::as_secs_f64)
        };
        Self {
            changes: lags.len() + missed,
            missed,
            p50_seconds: at(500),
            p99_seconds: at(990),
        }
    }
}

/// Full network halves of agents.
#[derive(Clone, Copy, Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Watchers {
    pub(crate) watchers: usize,
    /// Until each had everything, seconds.
    pub(crate) sync_seconds: f64,
    /// Memory of the API server, MiB.
    pub(crate) api_server_mib: f64,
    /// Memory of one network half, MiB.
    pub(crate) half_mib: f64,
    /// Processor time of the API server for one changed plan that all of them hear of, milliseconds.
    pub(crate) plan_millis: f64,
    /// Time until the last of them had the last of a hundred changed plans, seconds.
    pub(crate) plan_seconds: f64,
}

/// What is promised, and whether it was kept.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Goal {
    pub(crate) nodes: usize,
    pub(crate) what: &'static str,
    pub(crate) wanted: f64,
    pub(crate) found: f64,
    pub(crate) kept: bool,
}

impl Figures {
    pub(crate) fn of(runs: &[Run]) -> Self {
        Self {
            runs: runs.to_vec(),
            goals: runs.iter().flat_map(goals).collect(),
        }
    }

    pub(crate) fn missed(&self) -> Vec<&Goal> {
        self.goals.iter().filter(|goal| !goal.kept).collect()
    }
}

fn goals(run: &Run) -> [Goal; 6] {
    let most = |what, wanted: f64, found: f64| Goal {
        nodes: run.nodes,
        what,
        wanted,
        found,
        kept: found <= wanted,
    };
    let nodes = u32::try_from(run.nodes).map_or(f64::INFINITY, f64::from);
    // A stretch holds few resyncs of a small fleet: one more than the mean is no excess.
    let steady = nodes / 300.0 + 1.0 / run.quiet.seconds.max(1.0);
    let lost = |lag: &Lag| u32::try_from(lag.missed).map_or(f64::INFINITY, f64::from);
    [
        most(
            "status p99 after 10 s of quiet, s",
            2.0,
            run.change_lag.p99_seconds,
        ),
        most("status p99 in a storm, s", 7.0, run.storm_lag.p99_seconds),
        most(
            "changes whose status never came",
            0.0,
            lost(&run.change_lag) + lost(&run.storm_lag),
        ),
        most(
            "writes of nodes at rest, a second (nodes / 300 s)",
            steady,
            run.quiet.node_writes,
        ),
        most("writes a minute of the most written set", 12.0, run.storm_patches),
        most(
            "operator's writes at rest, a second",
            1.0,
            run.quiet.operator_writes,
        ),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_of_the_nearest_rank() {
        let lags: Vec<Duration> = (1..=100).map(Duration::from_secs).collect();
        let lag = Lag::of(&lags, 1);
        assert!((lag.p50_seconds - 50.0).abs() < 1e-9 && (lag.p99_seconds - 99.0).abs() < 1e-9);
        assert_eq!((lag.changes, lag.missed), (101, 1));
        assert!(Lag::of(&[], 0).p99_seconds.abs() < 1e-9);
    }
}
