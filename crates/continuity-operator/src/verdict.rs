//! Verdicts about backends that the plan shares between nodes: isolate, then release.
//!
//! An isolation is shared when at least two nodes, and at least half of those that report the set, keep a backend out by
//! what they saw themselves; a node that only followed a verdict is no witness for it. It ends by a release as soon as two
//! of its witnesses have tested the backend and let it return; else it expires. Two are enough in a fleet of any size:
//! there the others would each wait for a test of their own, and tests are a budget of the fleet. Once a witness had to
//! take it out again, good news must be younger than that and have stood for [`PROOF`]: a backend that flaps looks well
//! at every other test. An old relapse stops nothing: its node may test again only minutes later. A release is not renewed. While it stands, an isolation that nobody has tested since is no
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
use std::time::Duration;

/// Life of a shared verdict. A node that hears no more falls back on itself within a minute.
const LIFE: SignedDuration = SignedDuration::from_secs(60);
/// Rest of its life at which an isolation is renewed: 3 writes in 2 minutes, far below the 12 a minute of a set.
const RENEW: SignedDuration = SignedDuration::from_secs(20);
/// Nodes that must agree before a verdict is shared: one alone may have a bad path.
const QUORUM: usize = 2;
/// Part of the nodes that must have taken it out again before a release is taken back, one of so many: in a large fleet two
/// have bad luck soon, and each node protects itself meanwhile.
const RELAPSED: usize = 8;
/// Time that a return must stand after a relapse of anybody: the shortest hold, so a turn of a flapping backend.
const PROOF: Duration = Duration::from_secs(2);
/// A relapse is forgotten after this long, as on the nodes.
const FORGIVE: Duration = Duration::from_secs(60);
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
    /// Of those that did, the ones that let it return, and since when.
    returned: BTreeMap<String, Duration>,
    /// Let it return and took it out again, since the verdict last changed.
    again: BTreeSet<String>,
    /// When one of them did, last.
    relapsed: Option<Duration>,
}

impl Witnesses {
    /// Takes in that a node keeps the backend out by what it saw itself.
    fn out(&mut self, node: &str, now: Duration) {
        if self.returned.remove(node).is_some() {
            self.again.insert(node.to_owned());
            self.relapsed = Some(now);
        }
        self.blame(node);
    }

    /// Takes in that a node follows a verdict again: it saw the backend fail once, but nothing new.
    fn follows(&mut self, node: &str) {
        if self.returned.remove(node).is_some() {
            self.blame(node);
        }
    }

    fn blame(&mut self, node: &str) {
        if self.against.len() < WITNESSES_MAX {
            self.against.insert(node.to_owned());
        }
    }

    /// Takes in that a node that kept the backend out lets it return.
    fn back(&mut self, node: &str, now: Duration) {
        if self.against.remove(node) && self.returned.len() < WITNESSES_MAX {
            self.returned.insert(node.to_owned(), now);
        }
    }

    /// Witnesses whose good news counts.
    fn proven(&self, now: Duration) -> usize {
        let relapsed = self
            .relapsed
            .filter(|relapsed| now.saturating_sub(*relapsed) < FORGIVE);
        let stands = |since: &&Duration| {
            relapsed.is_none_or(|relapsed| now.saturating_sub(relapsed.max(**since)) >= PROOF)
        };
        self.returned.values().filter(stands).count()
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
    listen(memory, reports, &votes, now.mono);
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
    let next: Vec<SharedVerdict> = known.into_iter().filter_map(one).take(VERDICTS_MAX).collect();
    for verdict in &next {
        let before = shared.iter().find(|before| before.address == verdict.address);
        if before.is_none_or(|before| before.action != verdict.action)
            && let Some(witnesses) = memory.backends.get_mut(&verdict.address)
        {
            witnesses.again.clear();
        }
    }
    next
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
    let proven = witnesses.map_or(0, |witnesses| witnesses.proven(now.mono));
    match before.map(|before| before.action) {
        Some(VerdictAction::Release) => {
            let again = witnesses.map_or(0, |witnesses| witnesses.again.len());
            if again >= QUORUM && again * RELAPSED >= reporting {
                Some(verdict(VerdictAction::Isolate, again))
            } else {
                before.cloned()
            }
        }
        Some(VerdictAction::Isolate) if proven >= QUORUM => Some(verdict(VerdictAction::Release, proven)),
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

fn listen(
    memory: &mut Memory,
    reports: &[(&str, &SetReport)],
    votes: &BTreeMap<&str, BTreeSet<&str>>,
    now: Duration,
) {
    for (address, nodes) in votes.iter().take(VERDICTS_MAX) {
        let witnesses = memory.backends.entry((*address).to_owned()).or_default();
        for node in nodes {
            witnesses.out(node, now);
        }
    }
    for (address, witnesses) in &mut memory.backends {
        for (node, report) in reports {
            match said(report, address) {
                Some(BackendState::Isolated)
                    if !votes.get(address.as_str()).is_some_and(|out| out.contains(node)) =>
                {
                    witnesses.follows(node);
                }
                Some(BackendState::Isolated) | None => {}
                Some(_) => witnesses.back(node, now),
            }
        }
    }
}

/// What the node says of the backend. One that it does not list may have been left out, or be gone.
fn said(report: &SetReport, address: &str) -> Option<BackendState> {
    let known = report.backends.iter().find(|backend| backend.address == address);
    known.map(|backend| backend.state)
}

#[cfg(test)]
mod tests;
