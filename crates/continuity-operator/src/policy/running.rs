//! How many nodes run every plan of a policy.
//!
//! Counted from the reports of its sets, not from all nodes: 5,000 policies × 10,000 nodes would be 50 million looks, and a
//! policy whose sets 40 nodes report needs 40.

use super::Current;
use crate::moment::Moment;
use crate::world::{Key, NodeFacts, World};
use std::collections::BTreeMap;

/// Nodes that count now and run every plan of `asked`; a plan that is not the present one is run by nobody.
pub(super) fn count(world: &World, asked: &[(Key, Option<Current<'_>>)], now: Moment) -> usize {
    let Some(wanted) = wanted(asked) else { return 0 };
    if wanted.iter().any(|(_, current)| current.only.is_some()) {
        // A few roll-outs at once, bounded, are worth a look at every node.
        let runs_all = |(name, facts): &(&String, &NodeFacts)| {
            wanted.iter().all(|(key, current)| {
                current.includes(world, name) && runs(world, name, facts, key, current.digest)
            })
        };
        return world.fresh_nodes(now).filter(runs_all).count();
    }
    let mut heard: BTreeMap<&str, (usize, bool)> = BTreeMap::new();
    for (key, current) in &wanted {
        for (node, report) in world.reports.get(*key).into_iter().flatten() {
            let good = report.plan_digest == current.digest && report.refusal.is_empty();
            let known = heard.entry(node).or_default();
            *known = (known.0 + usize::from(good), known.1 || !good);
        }
    }
    // A node whose report had to leave sets out runs what it does not name.
    let mut silent = world.census(now).truncated;
    let mut running = 0;
    for (node, (good, bad)) in heard {
        let Some(facts) = world.nodes.get(node).filter(|facts| facts.fresh(now)) else {
            continue;
        };
        silent -= usize::from(facts.truncated);
        running += usize::from(!bad && (facts.truncated || good == wanted.len()));
    }
    if wanted.is_empty() {
        world.census(now).fresh
    } else {
        running + silent
    }
}

/// The plans that are asked for, unless nobody can run one of them.
fn wanted<'a, 'w>(asked: &'a [(Key, Option<Current<'w>>)]) -> Option<Vec<(&'a Key, &'a Current<'w>)>> {
    let present = |(key, current): &'a (Key, Option<Current<'w>>)| {
        let current = current.as_ref().filter(|current| !current.nobody)?;
        Some((key, current))
    };
    asked.iter().map(present).collect()
}

/// Whether a node runs a plan: it says so, or it had to leave the set out of its report.
fn runs(world: &World, node: &str, facts: &NodeFacts, set: &Key, digest: &str) -> bool {
    match world.reports.get(set).and_then(|reports| reports.get(node)) {
        Some(report) => report.plan_digest == digest && report.refusal.is_empty(),
        None => facts.truncated,
    }
}
