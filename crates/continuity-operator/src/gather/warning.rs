//! Backends of which their own nodes foresee trouble, one entry a pod.
//!
//! Only the node that a backend runs on sees its memory and its stalls, so one report is all the evidence there is; it is
//! told and costs the backend a part of its share (`distress`), never its place.

use super::isolated::identity;
use super::{Facts, sentence};
use crate::moment::Moment;
use continuity_api::Time;
use continuity_api::node::{BackendReport, Warning};
use continuity_api::set::{BackendWarning, WARNINGS_MAX};
use std::collections::BTreeMap;

/// An expected time that moves by less than this stays as it is stored: a trend wavers, and every move would be a write.
const STEP_SECONDS: i64 = 15;

/// The warnings by address, those expected first if there is no room for all, and whether some were left out.
pub(super) fn gather(facts: &Facts<'_>, now: Moment) -> (Vec<BackendWarning>, bool) {
    let mut warned: BTreeMap<&str, (&BackendReport, &Warning)> = BTreeMap::new();
    for (node, report) in facts.reports {
        // Nobody but its own node may speak of it.
        let own = report.backends.iter().filter(|backend| backend.node == **node);
        for backend in own {
            if let Some(warning) = &backend.warning {
                warned.entry(identity(backend)).or_insert((backend, warning));
            }
        }
    }
    let truncated = warned.len() > WARNINGS_MAX;
    let mut all: Vec<BackendWarning> = warned
        .into_values()
        .map(|(backend, warning)| entry(facts, backend, warning, now))
        .collect();
    all.sort_by(|one, other| {
        let rank = |warning: &BackendWarning| {
            let expected = warning.expected.as_ref().map(|time| time.0);
            (expected.is_none(), expected)
        };
        (rank(one), &one.pod, &one.address).cmp(&(rank(other), &other.pod, &other.address))
    });
    all.truncate(WARNINGS_MAX);
    // By what does not move, so that equal situations are equal bytes.
    all.sort_by(|one, other| one.address.cmp(&other.address));
    (all, truncated)
}

fn entry(facts: &Facts<'_>, backend: &BackendReport, warning: &Warning, now: Moment) -> BackendWarning {
    let same = |known: &&BackendWarning| {
        let pod = !backend.pod.is_empty() && known.pod == backend.pod;
        (pod || known.address == backend.address) && known.resource == warning.resource
    };
    let known = facts.previous.warnings.iter().find(same);
    let since = warning.since.as_ref().map(|since| now.past(since));
    BackendWarning {
        address: known.map_or(&backend.address, |known| &known.address).clone(),
        pod: backend.pod.clone(),
        node: backend.node.clone(),
        resource: warning.resource.clone(),
        // Figures move with every sample; the first ones are why it was told.
        message: known.map_or_else(|| sentence(&warning.message), |known| known.message.clone()),
        since: known.and_then(|known| known.since.clone()).or(since),
        expected: expected(known, warning),
    }
}

/// The expected time, as stored while it has not moved by what a person would notice.
fn expected(known: Option<&BackendWarning>, warning: &Warning) -> Option<Time> {
    let fresh = warning.expected.as_ref()?;
    let stored = known.and_then(|known| known.expected.as_ref());
    let near = |stored: &&Time| stored.0.duration_since(fresh.0).as_secs().abs() < STEP_SECONDS;
    Some(stored.filter(near).unwrap_or(fresh).clone())
}

#[cfg(test)]
mod tests;
