//! How much of its share a backend should lose for what only its own node sees: memory that runs out, tasks that stall.
//!
//! Every node gets the same figures through the plan, the backend's own node too: if each weighed what it alone knows, the
//! nodes would all shun their own backends. What counts is the excess over the median of the set's backends, so that a
//! trouble of the whole fleet, or of a machine that carries all nodes, moves nothing; in steps of a tenth, so that a
//! wavering figure is no write.

use continuity_api::node::SetReport;
use continuity_api::plan::{DISTRESS_MAX, Distress};
use std::collections::BTreeMap;

/// Steps of the figure, permille.
const STEP: i32 = 100;

/// The backends in distress, worst first.
#[must_use]
pub fn of(reports: &[(&str, &SetReport)]) -> Vec<Distress> {
    let mut stalls: BTreeMap<&str, i32> = BTreeMap::new();
    for (node, report) in reports {
        for backend in &report.backends {
            let known = stalls.entry(&backend.address).or_default();
            // Nobody but its own node may speak of it.
            if backend.node == **node
                && let Some(warning) = &backend.warning
            {
                *known = (*known).max(warning.stall_permille.clamp(0, 1_000));
            }
        }
    }
    let mut sorted: Vec<i32> = stalls.values().copied().collect();
    sorted.sort_unstable();
    // The lower one of two: with two backends the other one is the measure.
    let middle = sorted.len().saturating_sub(1) / 2;
    let median = sorted.get(middle).copied().unwrap_or(0);
    let excess = |(address, stall): (&str, i32)| Distress {
        address: address.to_owned(),
        stall_permille: (stall - median) / STEP * STEP,
    };
    let mut distress: Vec<Distress> = stalls.into_iter().map(excess).collect();
    distress.retain(|one| one.stall_permille > 0);
    distress.sort_by_key(|one| std::cmp::Reverse(one.stall_permille));
    distress.truncate(DISTRESS_MAX);
    distress
}
