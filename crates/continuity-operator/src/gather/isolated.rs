//! Backends that nodes keep out of rotation, over all nodes.

use super::{COUNTS_FROM, Facts, count, sentence, weights};
use crate::moment::Moment;
use continuity_api::Time;
use continuity_api::node::{BackendReport, BackendState};
use continuity_api::policy::Mode;
use continuity_api::set::{ISOLATED_MAX, IsolatedBackend};
use std::collections::{BTreeMap, BTreeSet};

/// What was gathered.
pub(super) struct Isolated {
    /// At most 16, the most agreed upon first.
    pub(super) backends: Vec<IsolatedBackend>,
    /// Backends out of rotation on nodes with at least 5 % of offered traffic.
    pub(super) counting: usize,
    /// Whether some were left out.
    pub(super) truncated: bool,
}

#[derive(Default)]
struct Tally<'a> {
    first: Option<(&'a BackendReport, Option<&'a Time>)>,
    nodes: usize,
    weight: i128,
    keep_alive: i64,
}

pub(super) fn gather(facts: &Facts<'_>, now: Moment) -> Isolated {
    let (weight, total) = weights(facts.reports);
    let mut tallies: BTreeMap<&str, Tally<'_>> = BTreeMap::new();
    // A node that only observes isolates nobody: what it would have done is told elsewhere.
    for (_, report) in facts
        .reports
        .iter()
        .filter(|(_, report)| report.mode == Mode::Enforce)
    {
        for backend in report
            .backends
            .iter()
            .filter(|backend| backend.state == BackendState::Isolated)
        {
            let tally = tallies.entry(&backend.address).or_default();
            tally.nodes += 1;
            tally.weight += weight(report);
            tally.keep_alive = tally.keep_alive.saturating_add(backend.keep_alive);
            let earlier = match tally.first {
                None => true,
                Some((_, first)) => backend.since.as_ref().map(|since| since.0) < first.map(|since| since.0),
            };
            if earlier {
                tally.first = Some((backend, backend.since.as_ref()));
            }
        }
    }
    // A dual-stack pod has two addresses and is one backend.
    let counting: BTreeSet<&str> = tallies
        .values()
        .filter(|tally| tally.weight > 0 && tally.weight * COUNTS_FROM >= total)
        .filter_map(|tally| tally.first)
        .map(|(backend, _)| {
            if backend.pod.is_empty() {
                &*backend.address
            } else {
                &*backend.pod
            }
        })
        .collect();
    let counting = counting.len();
    let truncated = tallies.len() > ISOLATED_MAX;
    let mut order: Vec<_> = tallies.into_iter().collect();
    order.sort_by_key(|(address, tally)| (std::cmp::Reverse(tally.nodes), *address));
    let backends = order
        .into_iter()
        .take(ISOLATED_MAX)
        .filter_map(|(_, tally)| entry(facts, &tally, now))
        .collect();
    Isolated {
        backends,
        counting,
        truncated,
    }
}

fn entry(facts: &Facts<'_>, tally: &Tally<'_>, now: Moment) -> Option<IsolatedBackend> {
    let (backend, since) = tally.first?;
    let known = facts
        .previous
        .isolated
        .iter()
        .find(|known| known.address == backend.address);
    Some(IsolatedBackend {
        address: backend.address.clone(),
        pod: backend.pod.clone(),
        node: backend.node.clone(),
        // The figures of the first sentence stay: they are why it was isolated, and moving ones would be written for ever.
        reason: known.map_or_else(|| sentence(&backend.reason), |known| known.reason.clone()),
        since: known
            .and_then(|known| known.since.clone())
            .or_else(|| since.map(|since| now.past(since))),
        agreeing_nodes: count(tally.nodes),
        reporting_nodes: count(facts.reports.len()),
        keep_alive: tally.keep_alive,
    })
}
