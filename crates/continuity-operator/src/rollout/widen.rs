//! Which nodes run a candidate, stage by stage.

use super::NodeView;
use continuity_api::plan::Candidate;
use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};

/// Most nodes that a plan names one by one, and most domains: the bounds of the schema. Beyond them the next stage is all.
const NODES_MAX: usize = 256;
const DOMAINS_MAX: usize = 64;

/// Whether the candidate names the node.
pub(super) fn names(candidate: &Candidate, node: &NodeView) -> bool {
    candidate.nodes.contains(&node.name) || (!node.zone.is_empty() && candidate.domains.contains(&node.zone))
}

/// The first nodes: of the failure domain with the most sound nodes that carry traffic of the set, the busiest.
pub(super) fn canaries(nodes: &[NodeView], most: usize) -> Option<(String, Vec<String>)> {
    let mut zones: BTreeMap<&str, Vec<&NodeView>> = BTreeMap::new();
    for node in nodes.iter().filter(|node| node.sound) {
        zones.entry(&node.zone).or_default().push(node);
    }
    let busy = |nodes: &[&NodeView]| nodes.iter().filter(|node| node.figures.offered > 0).count();
    let (zone, mut members) = zones
        .into_iter()
        .min_by_key(|(zone, members)| (Reverse(busy(members)), Reverse(members.len()), *zone))?;
    members.sort_by_key(|node| (Reverse(node.figures.offered), node.name.clone()));
    let mut chosen: Vec<String> = members.iter().take(most).map(|node| node.name.clone()).collect();
    chosen.sort();
    Some((zone.to_owned(), chosen))
}

/// The next, wider stage; none where it would be every node.
pub(super) fn next(nodes: &[NodeView], present: &Candidate, home: &str) -> Option<Candidate> {
    let zones: BTreeSet<&str> = nodes
        .iter()
        .map(|node| &*node.zone)
        .filter(|zone| !zone.is_empty())
        .collect();
    let homeless = nodes.iter().filter(|node| node.zone.is_empty());
    let homeless: Vec<&str> = homeless.map(|node| &*node.name).collect();
    let mut domains = present.domains.clone();
    let first = domains.is_empty() && zones.contains(home);
    if first {
        domains.push(home.to_owned());
    } else {
        let grow = domains.len().max(1);
        let more: Vec<&str> = zones
            .iter()
            .copied()
            .filter(|zone| !domains.iter().any(|known| known == zone))
            .take(grow)
            .collect();
        domains.extend(more.into_iter().map(str::to_owned));
    }
    domains.sort();
    let listed = present.nodes.iter().filter(|name| homeless.contains(&&***name));
    let listed: Vec<String> = listed.cloned().collect();
    // While the canaries' zone is filled, nodes without a zone wait: one failure domain at a time.
    let wanted = if first {
        0
    } else {
        (listed.len() * 2).max(homeless.len().div_ceil(10))
    };
    let mut wider: Vec<String> = listed;
    for name in &homeless {
        if wider.len() < wanted && !wider.iter().any(|known| known == name) {
            wider.push((*name).to_owned());
        }
    }
    wider.sort();
    let candidate = Candidate {
        policy: present.policy.clone(),
        nodes: wider,
        domains,
    };
    let every = nodes.iter().all(|node| names(&candidate, node));
    let bounded = candidate.nodes.len() <= NODES_MAX && candidate.domains.len() <= DOMAINS_MAX;
    (!every && bounded).then_some(candidate)
}
