//! Backends that nodes keep out of rotation, over all nodes: one entry a pod, since a dual-stack pod is one process behind
//! two addresses.

use super::{COUNTS_FROM, Facts, count, sentence, weights};
use crate::moment::Moment;
use continuity_api::Time;
use continuity_api::node::{BackendReport, BackendState};
use continuity_api::policy::Mode;
use continuity_api::set::{ALSO_MAX, ISOLATED_MAX, IsolatedBackend};
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
    addresses: BTreeSet<&'a str>,
    nodes: usize,
    weight: i128,
    keep_alive: i64,
}

/// What a backend is known by: its pod, or where there is none its address.
pub(crate) fn identity(backend: &BackendReport) -> &str {
    if backend.pod.is_empty() {
        &backend.address
    } else {
        &backend.pod
    }
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
        let mut heard = BTreeSet::new();
        let isolated = report.backends.iter();
        for backend in isolated.filter(|backend| backend.state == BackendState::Isolated) {
            let tally = tallies.entry(identity(backend)).or_default();
            // A node that keeps out both addresses of a pod is one node.
            if heard.insert(identity(backend)) {
                tally.nodes += 1;
                tally.weight += weight(report);
            }
            tally.take(backend);
        }
    }
    let counts = |tally: &&Tally<'_>| tally.weight > 0 && tally.weight * COUNTS_FROM >= total;
    let counting = tallies.values().filter(counts).count();
    let truncated = tallies.len() > ISOLATED_MAX;
    let mut order: Vec<_> = tallies.into_iter().collect();
    order.sort_by_key(|(name, tally)| (std::cmp::Reverse(tally.nodes), *name));
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

impl<'a> Tally<'a> {
    fn take(&mut self, backend: &'a BackendReport) {
        self.addresses.insert(&backend.address);
        self.keep_alive = self.keep_alive.saturating_add(backend.keep_alive);
        let earlier = match self.first {
            None => true,
            Some((_, first)) => backend.since.as_ref().map(|since| since.0) < first.map(|since| since.0),
        };
        if earlier {
            self.first = Some((backend, backend.since.as_ref()));
        }
    }
}

fn entry(facts: &Facts<'_>, tally: &Tally<'_>, now: Moment) -> Option<IsolatedBackend> {
    let (backend, since) = tally.first?;
    let same = |known: &&IsolatedBackend| {
        known.address == backend.address || (!backend.pod.is_empty() && known.pod == backend.pod)
    };
    let known = facts.previous.isolated.iter().find(same);
    let address = known.map_or(&backend.address, |known| &known.address);
    let others = tally.addresses.iter().filter(|other| *other != address);
    Some(IsolatedBackend {
        address: address.clone(),
        also: others.take(ALSO_MAX).map(|other| (*other).to_owned()).collect(),
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
