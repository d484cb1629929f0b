//! Prequal (Wydrowski et al., NSDI 2024) in its asynchronous mode: a pool of probe answers, hot and cold by requests in
//! flight, the fastest cold one wins (HCL). Constants are those of the paper.

use std::collections::VecDeque;

use super::simple::two;
use crate::policy::{Done, End, Pick, Policy, Probe, Truth};
use crate::random::Random;
use crate::scenario::Scenario;
use crate::span::{MILLI, SECOND};

/// Probe answers kept.
const POOL: usize = 16;
/// Probes sent for each request.
const PROBES: f64 = 3.0;
/// Answers removed for each request: by turns the oldest and the worst.
const REMOVE: f64 = 1.0;
/// Slack of the reuse budget.
const DELTA: f64 = 1.0;
/// Share of recent answers below which a backend is cold.
const COLD: f64 = 0.84;
/// An answer lives this long.
const LIFE: u64 = SECOND;
/// A probe is sent at least this often.
const IDLE: u64 = 100 * MILLI;
/// Recent in-flight figures kept for the quantile.
const RECENT: usize = 128;

/// How often an answer may be used: `max(1, (1 + δ) / ((1 − m/n) · r_probe − r_remove))`, read literally where the
/// denominator is not positive (a pool as large as the set): once. Unlimited use there herds and doubles p99 in S0.
pub(super) fn reuse(pool: usize, backends: usize, probes: f64, remove: f64, delta: f64) -> f64 {
    let rest = (1.0 - pool as f64 / backends as f64) * probes - remove;
    if rest > 0.0 {
        ((1.0 + delta) / rest).max(1.0)
    } else {
        1.0
    }
}

/// Value below which that share of the sorted values lies.
pub(super) fn quantile(values: &mut [u32], share: f64) -> u32 {
    values.sort_unstable();
    let rank = (share * values.len().saturating_sub(1) as f64).floor();
    let index = usize::try_from(crate::span::nanos(rank / 1e9)).unwrap_or(0);
    values.get(index).copied().unwrap_or(u32::MAX)
}

#[derive(Debug, Clone, Copy)]
struct Entry {
    backend: usize,
    rif: u32,
    micros: u32,
    at: u64,
    uses: f64,
}

#[derive(Default)]
struct Node {
    pool: Vec<Entry>,
    recent: VecDeque<u32>,
    oldest_next: bool,
    wanted: f64,
    probed: u64,
}

struct Prequal {
    nodes: Vec<Node>,
    backends: usize,
    reuse: f64,
    /// Backends to avoid after a failure, until when; the published law has no such thing.
    avoid: Option<Vec<u64>>,
    random: Random,
}

/// A failing backend is avoided this long in the row with a penalty.
const PENALTY: u64 = 5 * SECOND;

impl Node {
    fn hot(&self) -> u32 {
        let mut recent: Vec<u32> = self.recent.iter().copied().collect();
        quantile(&mut recent, COLD)
    }

    /// Cold before hot; among cold the fastest, among hot the one with the fewest in flight.
    fn best(&self, threshold: u32) -> Option<usize> {
        let key = |entry: &Entry| {
            if entry.rif > threshold {
                (1, entry.rif)
            } else {
                (0, entry.micros)
            }
        };
        (0..self.pool.len()).min_by_key(|&index| self.pool.get(index).map(key))
    }

    fn worst(&self, threshold: u32) -> Option<usize> {
        let key = |entry: &Entry| {
            if entry.rif > threshold {
                (1, entry.rif)
            } else {
                (0, entry.micros)
            }
        };
        (0..self.pool.len()).max_by_key(|&index| self.pool.get(index).map(key))
    }

    fn remove(&mut self, threshold: u32) {
        self.oldest_next = !self.oldest_next;
        let index = if self.oldest_next {
            (0..self.pool.len()).min_by_key(|&index| self.pool.get(index).map(|entry| entry.at))
        } else {
            self.worst(threshold)
        };
        if let Some(index) = index {
            self.pool.swap_remove(index);
        }
    }
}

impl Prequal {
    fn avoided(&self, node: usize, backend: usize, now: u64) -> bool {
        let until = self
            .avoid
            .as_ref()
            .and_then(|avoid| avoid.get(node * self.backends + backend));
        until.is_some_and(|&until| now < until)
    }

    fn choose(&mut self, node: usize, now: u64) -> Option<usize> {
        let threshold = self.nodes.get(node)?.hot();
        let avoid: Vec<bool> = (0..self.backends)
            .map(|backend| self.avoided(node, backend, now))
            .collect();
        let own = self.nodes.get_mut(node)?;
        own.pool
            .retain(|entry| now - entry.at < LIFE && !avoid.get(entry.backend).copied().unwrap_or(false));
        let chosen = if own.pool.len() < 2 {
            None
        } else {
            own.best(threshold)
        };
        let backend = match chosen {
            Some(index) => {
                let entry = own.pool.get_mut(index)?;
                let backend = entry.backend;
                entry.rif += 1;
                entry.uses -= 1.0;
                if entry.uses < 0.5 {
                    own.pool.swap_remove(index);
                }
                backend
            }
            None => {
                let (a, b) = two(&mut self.random, self.backends);
                if avoid.get(a).copied().unwrap_or(false) {
                    b
                } else {
                    a
                }
            }
        };
        if own.pool.len() > 2 {
            own.remove(threshold);
        }
        Some(backend)
    }
}

impl Policy for Prequal {
    fn pick(&mut self, node: usize, now: u64, _: &Truth<'_>) -> Option<Pick> {
        let backend = self.choose(node, now)?;
        if let Some(own) = self.nodes.get_mut(node) {
            own.wanted += PROBES;
        }
        Some(Pick { backend, tag: 0 })
    }

    fn done(&mut self, done: &Done) {
        if done.end != End::Answered
            && let Some(avoid) = &mut self.avoid
            && let Some(until) = avoid.get_mut(done.node * self.backends + done.backend)
        {
            *until = done.now + PENALTY;
        }
    }

    fn probes(&mut self, node: usize, now: u64, out: &mut Vec<usize>) {
        let Some(own) = self.nodes.get_mut(node) else {
            return;
        };
        if now - own.probed > IDLE {
            own.wanted = own.wanted.max(1.0);
        }
        while own.wanted >= 1.0 && out.len() < self.backends {
            own.wanted -= 1.0;
            own.probed = now;
            let backend = self.random.below(self.backends);
            if !out.contains(&backend) {
                out.push(backend);
            } else {
                own.wanted += 1.0;
            }
        }
        own.wanted = own.wanted.min(PROBES);
    }

    fn probed(&mut self, probe: &Probe) {
        let floor = self.reuse.floor();
        let uses = floor + f64::from(u8::from(self.random.uniform() < self.reuse - floor));
        let Some(own) = self.nodes.get_mut(probe.node) else {
            return;
        };
        own.recent.push_back(probe.rif);
        if own.recent.len() > RECENT {
            own.recent.pop_front();
        }
        if own.pool.len() >= POOL
            && let Some(oldest) =
                (0..own.pool.len()).min_by_key(|&index| own.pool.get(index).map(|entry| entry.at))
        {
            own.pool.swap_remove(oldest);
        }
        let Probe {
            backend,
            rif,
            micros,
            now,
            ..
        } = *probe;
        own.pool.push(Entry {
            backend,
            rif,
            micros,
            at: now,
            uses,
        });
    }
}

fn build(scenario: &Scenario, seed: u64, penalty: bool) -> Box<dyn Policy> {
    let backends = usize::try_from(scenario.backends.count).unwrap_or(0);
    let nodes = usize::try_from(scenario.nodes).unwrap_or(0);
    Box::new(Prequal {
        nodes: (0..nodes).map(|_| Node::default()).collect(),
        backends,
        reuse: reuse(POOL, backends, PROBES, REMOVE, DELTA),
        avoid: penalty.then(|| vec![0; nodes * backends]),
        random: Random::new(seed, "prequal"),
    })
}

pub(super) fn plain(scenario: &Scenario, seed: u64) -> Box<dyn Policy> {
    build(scenario, seed, false)
}

pub(super) fn penalised(scenario: &Scenario, seed: u64) -> Box<dyn Policy> {
    build(scenario, seed, true)
}
