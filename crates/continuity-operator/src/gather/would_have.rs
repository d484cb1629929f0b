//! What Enforce would have done, over all nodes, while a set is only observed.

use super::isolated::identity;
use super::{Facts, count, sentence};
use continuity_api::node::{Regime, WouldHave};
use continuity_api::set::WouldHaveStatus;
use std::collections::BTreeSet;

/// Addresses the schema takes.
const ADDRESSES_MAX: usize = 16;

pub(super) fn gather(facts: &Facts<'_>) -> WouldHaveStatus {
    let told = || {
        facts
            .reports
            .iter()
            .filter_map(|(_, report)| report.would_have.as_ref())
    };
    let acting = || told().filter(|would| !would.isolated.is_empty() || would.regime != Regime::Laminar);
    let isolated = by_pod(facts, acting().flat_map(|would| &would.isolated).collect());
    let worst: Option<&WouldHave> = acting().max_by_key(|would| (would.regime, would.isolated.len()));
    let nodes = acting().count();
    let message = match worst {
        Some(would) => sentence(&would.message),
        None if told().next().is_some() => "Enforce would have changed nothing".to_owned(),
        None => String::new(),
    };
    // The sentence of a lasting situation stays, or its moving figures would be written for ever.
    let before = facts.previous.would_have.as_ref();
    let same = |before: &&WouldHaveStatus| {
        before
            .isolated
            .iter()
            .eq(isolated.iter().copied().take(ADDRESSES_MAX))
            && worst.is_none_or(|worst| worst.regime == before.regime)
            && !before.message.is_empty()
            && worst.is_some()
    };
    WouldHaveStatus {
        regime: worst.map(|would| would.regime).unwrap_or_default(),
        message: before
            .filter(same)
            .map_or(message, |before| before.message.clone()),
        isolated: isolated.into_iter().take(ADDRESSES_MAX).cloned().collect(),
        nodes: count(nodes),
    }
}

/// One address a pod: nodes may have met it over different families.
fn by_pod<'a>(facts: &Facts<'a>, addresses: BTreeSet<&'a String>) -> BTreeSet<&'a String> {
    let backends = facts.reports.iter().flat_map(|(_, report)| &report.backends);
    let mut named = BTreeSet::new();
    let mut first = |address: &'a String| {
        let known = backends.clone().find(|backend| backend.address == *address);
        named.insert(known.map_or(address.as_str(), identity))
    };
    addresses.into_iter().filter(|address| first(address)).collect()
}
