//! Verdicts about backends that the plan shares between nodes: isolate, then release.
//!
//! An isolation is shared when at least two nodes, and at least half of those that report the set, keep a backend out by
//! what they saw themselves; a node that only followed a verdict is no witness for it. It ends by a release as soon as two
//! of its witnesses have tested the backend and let it return, and none of those had to take it out again; else it
//! expires. Two are enough in a fleet of any size: there the others would each wait for a test of their own, and tests
//! are a budget of the fleet. A release is not renewed. While it stands, an isolation that nobody has tested since is no
//! news, so only nodes that let the backend in and took it out again can vote.
//!
//! Seen by the order of reports, never by the clocks of nodes. What is remembered is lost with the leader; then a shared
//! isolation that its witnesses no longer hold expires.

use crate::moment::Moment;
use continuity_api::Time;
use continuity_api::node::{BackendState, SetReport};
use continuity_api::plan::{SharedVerdict, VERDICTS_MAX, VerdictAction};
use continuity_api::policy::Mode;
use k8s_openapi::jiff::SignedDuration;
use std::collections::{BTreeMap, BTreeSet};

/// Life of a shared verdict. A node that hears no more falls back on itself within a minute.
const LIFE: SignedDuration = SignedDuration::from_secs(60);
/// Rest of its life at which an isolation is renewed: 3 writes in 2 minutes, far below the 12 a minute of a set.
const RENEW: SignedDuration = SignedDuration::from_secs(20);
/// Nodes that must agree before a verdict is shared: one alone may have a bad path.
const QUORUM: usize = 2;
/// Witnesses remembered for one backend. Two decide; 64 names of 253 bytes × 64 backends stay under 1 MB a set.
const WITNESSES_MAX: usize = 64;

/// What is remembered of a set between passes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Memory {
    backends: BTreeMap<String, Witnesses>,
}

/// Nodes that saw a backend fail, and what they saw since.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Witnesses {
    /// Isolated it by their own evidence, and still do.
    against: BTreeSet<String>,
    /// Of those that did, the ones that let it return.
    returned: BTreeSet<String>,
    /// Let it return and took it out again.
    again: BTreeSet<String>,
}

impl Witnesses {
    /// Takes in what one node says about the backend now.
    fn hear(&mut self, node: &str, isolated: bool) {
        if isolated {
            if self.returned.remove(node) {
                self.again.insert(node.to_owned());
            }
            if self.against.len() < WITNESSES_MAX {
                self.against.insert(node.to_owned());
            }
        } else if self.against.remove(node) && self.returned.len() < WITNESSES_MAX {
            self.again.remove(node);
            self.returned.insert(node.to_owned());
        }
    }

    fn released(&self) -> bool {
        self.returned.len() >= QUORUM && self.again.is_empty()
    }
}

/// The verdicts that the plan should share, from the fresh reports of the set and what it shares already.
pub fn decide(
    memory: &mut Memory,
    reports: &[(&str, &SetReport)],
    stored: &[SharedVerdict],
    now: Moment,
) -> Vec<SharedVerdict> {
    let votes = votes(reports);
    listen(memory, reports, &votes);
    let shared: Vec<&SharedVerdict> = stored
        .iter()
        .filter(|verdict| verdict.expires.0 > now.wall)
        .collect();
    memory.backends.retain(|address, _| {
        let told = shared.iter().any(|verdict| verdict.address == *address);
        told || votes.contains_key(address.as_str())
    });
    let known: BTreeSet<&str> = votes
        .keys()
        .copied()
        .chain(shared.iter().map(|verdict| verdict.address.as_str()))
        .collect();
    let one = |address: &str| {
        let before = shared.iter().find(|verdict| verdict.address == address);
        let count = votes.get(address).map_or(0, BTreeSet::len);
        let witnesses = memory.backends.get(address);
        judge(address, before.copied(), count, witnesses, reports.len(), now)
    };
    known.into_iter().filter_map(one).take(VERDICTS_MAX).collect()
}

/// Whether two lists ask the same of nodes, whatever their ends.
#[must_use]
pub fn same(left: &[SharedVerdict], right: &[SharedVerdict]) -> bool {
    let asked = |verdicts: &[SharedVerdict]| -> Vec<(String, VerdictAction)> {
        let one = |verdict: &SharedVerdict| (verdict.address.clone(), verdict.action);
        verdicts.iter().map(one).collect()
    };
    asked(left) == asked(right)
}

fn judge(
    address: &str,
    before: Option<&SharedVerdict>,
    votes: usize,
    witnesses: Option<&Witnesses>,
    reporting: usize,
    now: Moment,
) -> Option<SharedVerdict> {
    let verdict = |action, agreeing: usize| SharedVerdict {
        address: address.to_owned(),
        action,
        agreeing_nodes: i32::try_from(agreeing.max(1)).unwrap_or(i32::MAX),
        expires: Time(now.wall.saturating_add(LIFE).unwrap_or(now.wall)),
    };
    let agreed = |count: usize| count >= QUORUM && count * 2 >= reporting;
    match before.map(|before| before.action) {
        Some(VerdictAction::Release) => {
            let again = witnesses.map_or(0, |witnesses| witnesses.again.len());
            if again >= QUORUM {
                Some(verdict(VerdictAction::Isolate, again))
            } else {
                before.cloned()
            }
        }
        Some(VerdictAction::Isolate) if witnesses.is_some_and(Witnesses::released) => {
            let returned = witnesses.map_or(0, |witnesses| witnesses.returned.len());
            Some(verdict(VerdictAction::Release, returned))
        }
        Some(VerdictAction::Isolate) => {
            let ending = before.is_some_and(|before| before.expires.0.duration_since(now.wall) <= RENEW);
            // One that has lost its majority is left to expire: taking it back would cost a write and say nothing.
            if ending && agreed(votes) {
                Some(verdict(VerdictAction::Isolate, votes))
            } else {
                before.cloned()
            }
        }
        None => agreed(votes).then(|| verdict(VerdictAction::Isolate, votes)),
    }
}

/// Nodes that keep each backend out by what they saw themselves. Nodes that only observe isolate nobody.
fn votes<'a>(reports: &[(&'a str, &'a SetReport)]) -> BTreeMap<&'a str, BTreeSet<&'a str>> {
    let mut votes: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for (node, report) in reports.iter().filter(|(_, report)| report.mode == Mode::Enforce) {
        for backend in &report.backends {
            if backend.state == BackendState::Isolated && !backend.hearsay {
                votes.entry(&backend.address).or_default().insert(*node);
            }
        }
    }
    votes
}

fn listen(memory: &mut Memory, reports: &[(&str, &SetReport)], votes: &BTreeMap<&str, BTreeSet<&str>>) {
    for (address, nodes) in votes.iter().take(VERDICTS_MAX) {
        let witnesses = memory.backends.entry((*address).to_owned()).or_default();
        for node in nodes {
            witnesses.hear(node, true);
        }
    }
    for (address, witnesses) in &mut memory.backends {
        let back = |node: &&String| {
            let report = reports.iter().find(|(name, _)| name == *node);
            report.is_some_and(|(_, report)| carries(report, address))
        };
        let back: Vec<String> = witnesses.against.iter().filter(back).cloned().collect();
        for node in back {
            witnesses.hear(&node, false);
        }
    }
}

/// Whether the node says that the backend is in use. A backend that it does not list may have been left out, or be gone.
fn carries(report: &SetReport, address: &str) -> bool {
    report
        .backends
        .iter()
        .any(|backend| backend.address == address && backend.state != BackendState::Isolated)
}

#[cfg(test)]
mod tests;
