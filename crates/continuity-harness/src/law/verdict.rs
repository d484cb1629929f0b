//! Verdicts shared through the plan, by the operator's rule, as late as the scenario says.
//!
//! An isolation is shared when at least two nodes and half of all keep a backend out by what they saw themselves. It ends
//! by a release as soon as two of those have let the backend return and none of them had to take it out again; else it
//! expires. A release is not renewed. Left out: writes that fail, and an operator that loses its memory.

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

/// Nodes that saw a backend fail, and what they saw since.
#[derive(Debug, Default)]
struct Witnesses {
    against: BTreeSet<usize>,
    returned: BTreeSet<usize>,
    again: BTreeSet<usize>,
}

impl Witnesses {
    fn hear(&mut self, node: usize, isolated: bool) {
        if isolated {
            if self.returned.remove(&node) {
                self.again.insert(node);
            }
            self.against.insert(node);
        } else if self.against.remove(&node) {
            self.again.remove(&node);
            self.returned.insert(node);
        }
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
            let known = self.witnesses.contains_key(&view.id);
            if isolated && !hearsay {
                self.witnesses.entry(view.id).or_default().hear(node, true);
            } else if known
                && !isolated
                && let Some(witnesses) = self.witnesses.get_mut(&view.id)
            {
                witnesses.hear(node, false);
            }
        }
        self.decide(now);
    }

    fn decide(&mut self, now: u64) {
        let before = self.shared.clone();
        self.shared.retain(|_, shared| shared.expires > now);
        for (&backend, witnesses) in &self.witnesses {
            let life = |kind| Shared {
                kind,
                expires: now + LIFE,
            };
            let agreed = |count: usize| count >= QUORUM && count * 2 >= self.nodes;
            let next = match self.shared.get(&backend) {
                Some(shared) if shared.kind == VerdictKind::Release => {
                    (witnesses.again.len() >= QUORUM).then(|| life(VerdictKind::Isolate))
                }
                Some(_) if witnesses.returned.len() >= QUORUM && witnesses.again.is_empty() => {
                    Some(life(VerdictKind::Release))
                }
                Some(shared) => (shared.expires - now <= RENEW && agreed(witnesses.against.len()))
                    .then(|| life(VerdictKind::Isolate)),
                None => agreed(witnesses.against.len()).then(|| life(VerdictKind::Isolate)),
            };
            if let Some(next) = next {
                self.shared.insert(backend, next);
            }
        }
        self.witnesses
            .retain(|backend, witnesses| !witnesses.against.is_empty() || self.shared.contains_key(backend));
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
