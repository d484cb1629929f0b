//! The metrics page, made from the board when somebody asks: nothing is counted twice and the loop pays nothing.
//!
//! Cardinality: labels come from closed sets; per-set series exist for the lanes of this node alone and at most
//! [`MOST_SETS`] of them, busiest first.

use continuity_api::metrics as name;
use continuity_dataplane::Mode;
use prometheus::core::Collector;
use prometheus::{
    Gauge, Histogram, HistogramOpts, IntCounter, IntCounterVec, IntGaugeVec, Opts, Registry, TextEncoder,
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
}
