//! What Enforce would have done, over all nodes, while a set is only observed.

use super::isolated::identity;
use super::{Facts, count, sentence};
use crate::outlier::Outlier;
use continuity_api::node::{Regime, WouldHave};
use continuity_api::set::WouldHaveStatus;
use std::collections::BTreeSet;

/// Addresses the schema takes.
const ADDRESSES_MAX: usize = 16;

pub(super) fn gather(facts: &Facts<'_>) -> WouldHaveStatus {
    let told = || {
        let reports = facts.reports.iter();
        reports.filter_map(|(node, report)| Some((*node, report.would_have.as_ref()?)))
    };
    let acting = || told().filter(|(_, would)| !would.isolated.is_empty() || would.regime != Regime::Laminar);
    let mut isolated = by_pod(facts, acting().flat_map(|(_, would)| &would.isolated).collect());
    isolated.extend(facts.outliers.iter().map(|outlier| &outlier.address));
    let worst: Option<&WouldHave> = acting()
        .map(|(_, would)| would)
        .max_by_key(|would| (would.regime, would.isolated.len()));
    let mut nodes: BTreeSet<&str> = acting().map(|(node, _)| node).collect();
    nodes.extend(facts.outliers.iter().map(|outlier| &*outlier.node));
    let said = worst.map(|would| would.message.clone()).into_iter();
    let said: Vec<String> = said.chain(compared(facts.outliers)).collect();
    let message = match said.as_slice() {
        [] if told().next().is_some() => "Enforce would have changed nothing".to_owned(),
        said => sentence(&said.join("; ")),
    };
    // With a backend out of rotation the law is in Transition at least.
    let corrects = facts.outliers.first().map(|_| Regime::Transition);
    let regime = worst.map(|would| would.regime).max(corrects).unwrap_or_default();
    // The sentence of a lasting situation stays, or its moving figures would be written for ever.
    let before = facts.previous.would_have.as_ref();
    let same = |before: &&WouldHaveStatus| {
        let listed = isolated.iter().copied().take(ADDRESSES_MAX);
        before.isolated.iter().eq(listed)
            && regime == before.regime
            && !before.message.is_empty()
            && !said.is_empty()
    };
    WouldHaveStatus {
        regime,
        message: before
            .filter(same)
            .map_or(message, |before| before.message.clone()),
        isolated: isolated.into_iter().take(ADDRESSES_MAX).cloned().collect(),
        nodes: count(nodes.len()),
    }
}

/// What is said of those that only a comparison over all nodes shows.
fn compared(outliers: &[Outlier]) -> Option<String> {
    match outliers {
        [] => None,
        [one] => Some(format!("taken {} out of rotation: {one}", one.address)),
        [worst, ..] => {
            let count = outliers.len();
            Some(format!("taken {count} backends out of rotation: {worst}"))
        }
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
