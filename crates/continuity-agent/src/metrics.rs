//! The metrics page, made from the board when somebody asks: nothing is counted twice and the loop pays nothing.
//!
//! Cardinality: labels come from closed sets; per-set series exist for the lanes of this node alone and at most
//! [`MOST_SETS`] of them, busiest first.

use continuity_api::metrics as name;
use continuity_dataplane::Mode;
use continuity_field::admission::Level;
use continuity_sensors::{NodeSample, Resource, Signal};
use prometheus::core::Collector;
use prometheus::{
    Gauge, GaugeVec, Histogram, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGaugeVec, Opts,
    Registry, TextEncoder,
};

use crate::cluster::backoff::Refusal;
use crate::health::Board;
use crate::snapshot::{Snapshot, Worst};

/// Sets with series of their own: × 5 results are below 1,300 series a node.
const MOST_SETS: usize = 256;

/// The page in the text format.
///
/// # Errors
/// If a metric could not be made, which would be a fault of its name.
pub fn page(board: &Board) -> prometheus::Result<String> {
    let registry = Registry::new();
    let snapshot = board.snapshot();
    loop_metrics(&registry, board, &snapshot)?;
    report_metrics(&registry, board)?;
    plane_metrics(&registry, &snapshot)?;
    node_metrics(&registry, &board.sensed())?;
    forecast_metrics(&registry, board)?;
    admission_metrics(&registry, &snapshot)?;
    set_metrics(&registry, &snapshot)?;
    TextEncoder::new().encode_to_string(&registry.gather())
}

fn loop_metrics(registry: &Registry, board: &Board, snapshot: &Snapshot) -> prometheus::Result<()> {
    let tally = &snapshot.tally;
    let counters = [
        (name::AGENT_TICKS, "Rounds of the node loop", tally.ticks),
        (
            name::AGENT_PUBLISHES,
            "Fields published into the kernel",
            tally.publishes,
        ),
    ];
    for (name, help, value) in counters {
        let counter = IntCounter::new(name, help)?;
        counter.inc_by(value);
        add(registry, counter)?;
    }
    let drift = IntCounterVec::new(Opts::new(name::AGENT_DRIFT, "Places put right"), &["map"])?;
    for (map, count) in tally.drift.by_map() {
        drift.with_label_values(&[map]).inc_by(count);
    }
    add(registry, drift)?;
    board
        .rounds()
        .map_or(Ok(()), |rounds| add(registry, rounds.clone()))
}

/// Times of rounds; `None` could only come from a fault in the name.
#[must_use]
pub fn rounds() -> Option<Histogram> {
    // A round of 20 sets takes well under 1 ms; 100 ms is two thirds of a tick.
    let bounds = vec![0.000_5, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1];
    Histogram::with_opts(HistogramOpts::new(name::AGENT_TICK_SECONDS, "Time of one round").buckets(bounds))
        .ok()
}

/// Times from a reading to an action; `None` could only come from a fault in the name.
#[must_use]
pub fn actions() -> Option<HistogramVec> {
    // A field is in force some 0.1 ms after the read, a grace period of up to 50 ms may come in between; a report waits for
    // the API server, and at least 5 s after the one before.
    let bounds = vec![0.000_2, 0.000_5, 0.001, 0.005, 0.02, 0.1, 0.5, 2.0, 5.0, 10.0];
    let options = HistogramOpts::new(name::AGENT_SENSOR_TO_ACTION, "Time from a reading to the action");
    HistogramVec::new(options.buckets(bounds), &["action"]).ok()
}

fn forecast_metrics(registry: &Registry, board: &Board) -> prometheus::Result<()> {
    let left = GaugeVec::new(
        Opts::new(name::NODE_TIME_TO_FAILURE, "Time until it is used up"),
        &["resource"],
    )?;
    for (subject, time) in &board.foreseen().times {
        left.with_label_values(&[subject.name()]).set(time.as_secs_f64());
    }
    add(registry, left)?;
    board
        .actions()
        .map_or(Ok(()), |actions| add(registry, actions.clone()))
}

fn report_metrics(registry: &Registry, board: &Board) -> prometheus::Result<()> {
    let (written, failed, watches, refused) = board.counts();
    let reports = IntCounterVec::new(Opts::new(name::AGENT_REPORTS, "Reports by outcome"), &["outcome"])?;
    reports.with_label_values(&["written"]).inc_by(written);
    let errors = IntCounterVec::new(Opts::new(name::AGENT_ERRORS, "Errors by category"), &["category"])?;
    for ((refusal, failed), watches) in Refusal::ALL.iter().zip(failed).zip(watches) {
        reports.with_label_values(&[refusal.label()]).inc_by(failed);
        errors
            .with_label_values(&[refusal.label()])
            .inc_by(failed.saturating_add(watches));
    }
    errors
        .with_label_values(&["kernel"])
        .inc_by(board.snapshot().tally.errors);
    errors.with_label_values(&["no_room"]).inc_by(refused);
    add(registry, reports)?;
    add(registry, errors)
}

fn plane_metrics(registry: &Registry, snapshot: &Snapshot) -> prometheus::Result<()> {
    let met = IntGaugeVec::new(
        Opts::new(name::AGENT_CAPABILITY, "1 if the node has it"),
        &["name"],
    )?;
    for capability in &snapshot.plane.capabilities.capabilities {
        met.with_label_values(&[capability.id.name()])
            .set(i64::from(capability.met == Some(true)));
    }
    add(registry, met)?;
    let failsafe = Gauge::new(name::AGENT_FAILSAFE, "0 normal, 1 hold, 2 fallback")?;
    failsafe.set(match snapshot.plane.failsafe {
        Worst::Normal => 0.0,
        Worst::Hold => 1.0,
        Worst::Fallback => 2.0,
    });
    add(registry, failsafe)?;
    let sets = IntGaugeVec::new(
        Opts::new(name::AGENT_SETS, "Sets on this node by mode"),
        &["mode"],
    )?;
    for lane in &snapshot.lanes {
        let mode = if lane.lane.mode == Mode::Enforce {
            "enforce"
        } else {
            "observe"
        };
        sets.with_label_values(&[mode]).inc();
    }
    sets.with_label_values(&["idle"])
        .set(i64::try_from(snapshot.idle.len()).unwrap_or(i64::MAX));
    add(registry, sets)
}

/// The node as the sensors saw it. What is missing has no series: a zero would look like health.
fn node_metrics(registry: &Registry, node: &NodeSample) -> prometheus::Result<()> {
    let gauge = |name, help, labels: &[&str]| GaugeVec::new(Opts::new(name, help), labels);
    let stall = gauge(
        name::NODE_STALL,
        "Part of the time in which tasks waited",
        &["resource", "kind"],
    )?;
    for (resource, reading) in node.stalls() {
        let parts = reading
            .known()
            .map(|known| [("some", known.some_permille), ("full", known.full_permille)]);
        for (kind, permille) in parts.into_iter().flatten() {
            if let Some(permille) = permille {
                let part = f64::from(permille) / 1_000.0;
                stall.with_label_values(&[resource, kind]).set(part);
            }
        }
    }
    let used = gauge(name::NODE_RESOURCE_USED, "In use", &["resource"])?;
    let limit = gauge(name::NODE_RESOURCE_LIMIT, "Bound of the node", &["resource"])?;
    for resource in Resource::ALL {
        if let Some(level) = node.level(resource).known() {
            used.with_label_values(&[resource.name()]).set(wide(level.used));
            if let Some(bound) = level.limit {
                limit.with_label_values(&[resource.name()]).set(wide(bound));
            }
        }
    }
    let present = gauge(name::NODE_SIGNAL, "1 if it can be read", &["signal"])?;
    for signal in Signal::ALL {
        if let Some(missing) = node.lacks(signal) {
            let there = f64::from(u8::from(missing.is_none()));
            present.with_label_values(&[signal.name()]).set(there);
        }
    }
    add(registry, stall)?;
    add(registry, used)?;
    add(registry, limit)?;
    add(registry, present)?;
    pod_metrics(registry, node)
}

fn pod_metrics(registry: &Registry, node: &NodeSample) -> prometheus::Result<()> {
    let pods = IntGaugeVec::new(
        Opts::new(name::NODE_PODS, "Pods behind sets on the node"),
        &["state"],
    )?;
    let found = node
        .pods
        .iter()
        .filter(|pod| pod.memory.known().is_some())
        .count();
    let states = [
        ("watched", found),
        ("missing", node.pods.len() - found),
        ("left_out", node.pods_left_out),
    ];
    for (state, count) in states {
        pods.with_label_values(&[state])
            .set(i64::try_from(count).unwrap_or(i64::MAX));
    }
    add(registry, pods)?;
    let levels = node.pods.iter().filter_map(|pod| pod.memory.known()?.permille());
    if let Some(worst) = levels.max() {
        let gauge = Gauge::new(name::NODE_POD_MEMORY, "Memory of the pod nearest to its limit")?;
        gauge.set(f64::from(worst) / 1_000.0);
        add(registry, gauge)?;
    }
    Ok(())
}

#[allow(
    clippy::cast_precision_loss,
    reason = "2^53 bytes of memory are beyond any node"
)]
fn wide(value: u64) -> f64 {
    value as f64
}

/// Refusals of all sets; a class that nobody was refused in has no series.
fn admission_metrics(registry: &Registry, snapshot: &Snapshot) -> prometheus::Result<()> {
    let refusals = IntCounterVec::new(
        Opts::new(name::AGENT_ADMISSION_REFUSALS, "Connects that admission refused"),
        &["class", "reason"],
    )?;
    let gates = snapshot
        .lanes
        .iter()
        .filter_map(|lane| lane.gate.as_ref()?.traffic);
    for traffic in gates {
        for (reason, counts) in [("full", traffic.full), ("thinned", traffic.thinned)] {
            for (level, count) in Level::ALL.into_iter().zip(counts).filter(|(_, count)| *count > 0) {
                let class = level.to_string();
                refusals.with_label_values(&[&*class, reason]).inc_by(count);
            }
        }
    }
    add(registry, refusals)
}

fn set_metrics(registry: &Registry, snapshot: &Snapshot) -> prometheus::Result<()> {
    let labels = ["namespace", "service", "port", "result"];
    let totals = IntCounterVec::new(
        Opts::new(name::AGENT_CONNECTIONS, "New connections by result"),
        &labels,
    )?;
    let mut lanes: Vec<_> = snapshot.lanes.iter().collect();
    lanes.sort_by_key(|lane| std::cmp::Reverse(lane.rates.offered));
    for lane in lanes.into_iter().take(MOST_SETS) {
        let service = &lane.lane.service;
        let results = [
            ("offered", lane.totals.offered),
            ("steered", lane.totals.steered),
            ("accepted", lane.totals.accepted),
            ("refused", lane.totals.refused),
            ("failed", lane.totals.failed),
        ];
        for (result, total) in results {
            // Both families of a set add up under one name.
            let values = [&*service.namespace, &*service.name, &*lane.lane.port, result];
            totals.with_label_values(&values).inc_by(total);
        }
    }
    add(registry, totals)
}

fn add(registry: &Registry, collector: impl Collector + 'static) -> prometheus::Result<()> {
    registry.register(Box::new(collector))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::snapshot::Tally;

    #[test]
    fn the_page_carries_the_loops_counters_under_their_official_names() {
        let board = Board::default();
        let tally = Tally {
            ticks: 7,
            publishes: 3,
            ..Tally::default()
        };
        board.show(Arc::new(Snapshot {
            tally,
            ..Snapshot::default()
        }));
        board.report_written();
        board.watch_failed(Refusal::Expired);
        let page = page(&board).expect("a page");
        assert!(page.contains("continuity_agent_ticks_total 7"), "{page}");
        assert!(
            page.contains("continuity_agent_reports_total{outcome=\"written\"} 1"),
            "{page}"
        );
        assert!(
            page.contains("continuity_agent_errors_total{category=\"expired\"} 1"),
            "{page}"
        );
    }

    #[test]
    fn a_signal_that_is_missing_has_no_series_but_says_so() {
        let nowhere = continuity_sensors::Roots {
            proc: "/nowhere".into(),
            cgroup: "/nowhere".into(),
        };
        let board = Board::default();
        board.sense(Arc::new(continuity_sensors::Reader::new(nowhere).read(0).clone()));
        let text = page(&board).expect("a page");
        assert!(
            text.contains("continuity_node_signal_present{signal=\"PressureStall\"} 0"),
            "{text}"
        );
        assert!(!text.contains("continuity_node_stall_ratio{"), "{text}");
        assert!(!text.contains("continuity_node_resource_used{"), "{text}");
        let here = continuity_sensors::Roots::default();
        board.sense(Arc::new(continuity_sensors::Reader::new(here).read(0).clone()));
        let text = page(&board).expect("a page");
        assert!(
            text.contains("continuity_node_resource_used{resource=\"memory_bytes\"}"),
            "{text}"
        );
    }
}
