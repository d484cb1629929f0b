//! Verdicts shared through the plan, by the operator's rule, as late as the scenario says.
//!
//! An isolation is shared when at least two nodes and half of all keep a backend out by what they saw themselves. It ends
//! by a release as soon as two of those have let the backend return; once a witness had to take it out again, only returns
//! that have stood for [`PROOF`] since then count. Else it expires. A release is not renewed. Left out: writes that fail,
//! and an operator that loses its memory.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use continuity_field::{BackendId, BackendState, BackendView, Evidence, Nanos, Verdict, VerdictKind};

use super::BOOT;
use crate::span::{MILLI, SECOND};

/// Life of a shared verdict.
const LIFE: u64 = 60 * SECOND;
/// Rest of its life at which an isolation is renewed.
const RENEW: u64 = 20 * SECOND;
/// Nodes that must agree.
const QUORUM: usize = 2;
/// One of so many nodes must have taken it out again before a release is taken back.
const RELAPSED: usize = 8;
/// Time that a return must stand after a relapse of anybody.
const PROOF: u64 = 2 * SECOND;
/// A relapse is forgotten after this long.
const FORGIVE: u64 = 60 * SECOND;

/// Nodes that saw a backend fail, and what they saw since.
#[derive(Debug, Default)]
struct Witnesses {
    /// Keep it out now by what they saw themselves.
    holds: BTreeSet<usize>,
    against: BTreeSet<usize>,
    returned: BTreeMap<usize, u64>,
    again: BTreeSet<usize>,
    relapsed: Option<u64>,
}

impl Witnesses {
    fn out(&mut self, node: usize, now: u64) {
        if self.returned.remove(&node).is_some() {
            self.again.insert(node);
            self.relapsed = Some(now);
        }
        self.against.insert(node);
        self.holds.insert(node);
    }

    fn follows(&mut self, node: usize) {
        self.holds.remove(&node);
        if self.returned.remove(&node).is_some() {
            self.against.insert(node);
        }
    }

    fn back(&mut self, node: usize, now: u64) {
        self.holds.remove(&node);
        if self.against.remove(&node) {
            self.returned.insert(node, now);
        }
    }

    /// Nodes whose good news counts.
    fn proven(&self, now: u64) -> usize {
        let relapsed = self.relapsed.filter(|relapsed| now - relapsed < FORGIVE);
        let stands = |since: &&u64| relapsed.is_none_or(|relapsed| now - relapsed.max(**since) >= PROOF);
        self.returned.values().filter(stands).count()
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Shared {
    kind: VerdictKind,
    expires: u64,
}

/// The operator's side, and what is on its way to the nodes.
#[derive(Debug)]
pub(super) struct Board {
    late: u64,
    nodes: usize,
    witnesses: BTreeMap<BackendId, Witnesses>,
    shared: BTreeMap<BackendId, Shared>,
    under_way: VecDeque<(u64, Vec<(BackendId, Shared)>)>,
    heard: Vec<Verdict>,
}

impl Board {
    pub(super) fn new(late_millis: u64, nodes: u32) -> Self {
        Self {
            late: late_millis * MILLI,
            nodes: usize::try_from(nodes).unwrap_or(1),
            witnesses: BTreeMap::new(),
            shared: BTreeMap::new(),
            under_way: VecDeque::new(),
            heard: Vec::new(),
        }
    }

    /// What `node` says about its backends at `now` (ns since the start).
    pub(super) fn report(&mut self, node: usize, views: &[BackendView], now: u64) {
        for view in views {
            let isolated = view.state == BackendState::Isolated;
            let hearsay = view
                .isolation
                .is_some_and(|isolation| matches!(isolation.evidence, Evidence::Shared { .. }));
            if isolated && !hearsay {
                self.witnesses.entry(view.id).or_default().out(node, now);
            } else if let Some(witnesses) = self.witnesses.get_mut(&view.id) {
                if isolated {
                    witnesses.follows(node);
                } else {
                    witnesses.back(node, now);
                }
            }
        }
        self.decide(now);
    }

    fn decide(&mut self, now: u64) {
        let before = self.shared.clone();
        self.shared.retain(|_, shared| shared.expires > now);
        for (&backend, witnesses) in &mut self.witnesses {
            let life = |kind| Shared {
                kind,
                expires: now + LIFE,
            };
            let agreed = |count: usize| count >= QUORUM && count * 2 >= self.nodes;
            let next = match self.shared.get(&backend) {
                Some(shared) if shared.kind == VerdictKind::Release => (witnesses.again.len() >= QUORUM
                    && witnesses.again.len() * RELAPSED >= self.nodes)
                    .then(|| life(VerdictKind::Isolate)),
                Some(_) if witnesses.proven(now) >= QUORUM => Some(life(VerdictKind::Release)),
                Some(shared) => (shared.expires - now <= RENEW && agreed(witnesses.holds.len()))
                    .then(|| life(VerdictKind::Isolate)),
                None => agreed(witnesses.holds.len()).then(|| life(VerdictKind::Isolate)),
            };
            if let Some(next) = next {
                let old = self.shared.insert(backend, next);
                if old.is_none_or(|old| old.kind != next.kind) {
                    witnesses.again.clear();
                }
            }
        }
        self.witnesses
            .retain(|backend, witnesses| !witnesses.holds.is_empty() || self.shared.contains_key(backend));
        if before != self.shared {
            let list = self.shared.iter().map(|(&backend, &shared)| (backend, shared));
            self.under_way.push_back((now + self.late, list.collect()));
        }
    }

    /// What the plan says to a node at `now`; one that was known keeps the time it was given.
    pub(super) fn plan(&mut self, now: u64) -> &[Verdict] {
        while self.under_way.front().is_some_and(|(at, _)| *at <= now) {
            let Some((_, list)) = self.under_way.pop_front() else {
                break;
            };
            let known = std::mem::take(&mut self.heard);
            let adopt = |(backend, shared): (BackendId, Shared)| {
                let same = |old: &&Verdict| old.backend == backend && old.kind == shared.kind;
                Verdict {
                    backend,
                    kind: shared.kind,
                    given: known.iter().find(same).map_or(Nanos(now + BOOT), |old| old.given),
                    expires: Nanos(shared.expires + BOOT),
                }
            };
            self.heard = list.into_iter().map(adopt).collect();
        }
        &self.heard
    }
}

/// What a node is told that holds `views` out on the word of others which nobody gives any more: the release that the
/// product's agent adds.
pub(super) fn release_spent(verdicts: &mut Vec<Verdict>, views: &[BackendView], now: Nanos) {
    let hearsay = views.iter().filter(|view| {
        view.isolation
            .is_some_and(|isolation| matches!(isolation.evidence, Evidence::Shared { .. }))
    });
    for view in hearsay {
        let told = verdicts.iter().any(|verdict| {
            verdict.backend == view.id && verdict.kind == VerdictKind::Isolate && verdict.expires > now
        });
        if !told {
            verdicts.push(Verdict {
                backend: view.id,
                kind: VerdictKind::Release,
                given: now,
                expires: now + Nanos::from_secs(1),
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use continuity_field::{BackendChoice, Isolation};

    fn view(state: BackendState, evidence: Evidence) -> BackendView {
        let isolation = (state == BackendState::Isolated).then_some(Isolation {
            since: Nanos(BOOT),
            evidence,
            level: 0,
            hold_until: Nanos(BOOT),
        });
        BackendView {
            id: BackendId(7),
            state,
            isolation,
            share_ppm: 0,
            slots: 0,
            pressure_milli: 1_000,
            latency: None,
            error_permille: 0,
            choice: BackendChoice::default(),
        }
    }

    #[test]
    fn half_of_the_nodes_isolate_for_all_and_two_good_tests_release() {
        let seen = Evidence::Consecutive { failures: 3 };
        let mut board = Board::new(2_000, 4);
        board.report(0, &[view(BackendState::Isolated, seen)], SECOND);
        assert!(board.plan(9 * SECOND).is_empty(), "one node is no quorum");
        board.report(1, &[view(BackendState::Isolated, seen)], 10 * SECOND);
        assert!(board.plan(11 * SECOND).is_empty(), "not yet written and read");
        assert_eq!(board.plan(12 * SECOND)[0].kind, VerdictKind::Isolate);
        let hearsay = Evidence::Shared { expires: Nanos(BOOT) };
        board.report(2, &[view(BackendState::Isolated, hearsay)], 13 * SECOND);
        board.report(0, &[view(BackendState::Returning, seen)], 14 * SECOND);
        assert_eq!(board.plan(20 * SECOND)[0].kind, VerdictKind::Isolate);
        board.report(1, &[view(BackendState::Normal, seen)], 21 * SECOND);
        let released = board.plan(23 * SECOND)[0];
        assert_eq!(
            (released.kind, released.given),
            (VerdictKind::Release, Nanos(23 * SECOND + BOOT))
        );
        board.report(0, &[view(BackendState::Normal, seen)], 90 * SECOND);
        assert!(board.plan(100 * SECOND).is_empty(), "it expired");
    }
}
