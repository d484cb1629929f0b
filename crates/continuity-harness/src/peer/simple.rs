//! Laws without memory of latency, and the oracles.

use crate::policy::{Done, Pick, Policy, Truth};
use crate::random::{Random, hash};
use crate::scenario::Scenario;

/// Own requests in flight, by node and backend.
#[derive(Debug)]
pub(super) struct Counts {
    backends: usize,
    counts: Vec<u32>,
}

impl Counts {
    pub(super) fn new(scenario: &Scenario) -> Self {
        let backends = usize::try_from(scenario.backends.count).unwrap_or(0);
        let nodes = usize::try_from(scenario.nodes).unwrap_or(0);
        Self {
            backends,
            counts: vec![0; nodes * backends],
        }
    }

    pub(super) fn of(&self, node: usize) -> &[u32] {
        self.counts
            .get(node * self.backends..(node + 1) * self.backends)
            .unwrap_or_default()
    }

    pub(super) fn start(&mut self, node: usize, backend: usize) {
        if let Some(count) = self.counts.get_mut(node * self.backends + backend) {
            *count += 1;
        }
    }

    pub(super) fn end(&mut self, node: usize, backend: usize) {
        if let Some(count) = self.counts.get_mut(node * self.backends + backend) {
            *count = count.saturating_sub(1);
        }
    }
}

/// Two different numbers below `count` (the same if there is only one).
pub(super) fn two(random: &mut Random, count: usize) -> (usize, usize) {
    let first = random.below(count);
    let second = random.below(count.saturating_sub(1).max(1));
    (
        first,
        if count > 1 && second >= first {
            second + 1
        } else {
            second
        },
    )
}

fn pick(backend: usize) -> Option<Pick> {
    Some(Pick { backend, tag: 0 })
}

struct Uniform {
    random: Random,
    serving: Vec<usize>,
    zones: usize,
}

impl Policy for Uniform {
    fn pick(&mut self, node: usize, _: u64, _: &Truth<'_>) -> Option<Pick> {
        if self.zones == 1 {
            return pick(*self.serving.get(self.random.below(self.serving.len()))?);
        }
        let own = |backend: &&usize| **backend % self.zones == node % self.zones;
        let which = self.random.below(self.serving.iter().filter(own).count());
        pick(*self.serving.iter().filter(own).nth(which)?)
    }

    fn done(&mut self, _: &Done) {}

    fn endpoint(&mut self, backend: usize, serving: bool, _: bool, _: u64) {
        self.serving.retain(|&known| known != backend);
        if serving {
            self.serving.push(backend);
        }
    }

    fn heeds_endpoints(&self) -> bool {
        true
    }

    fn heeds_zones(&self) -> bool {
        true
    }
}

pub(super) fn random(scenario: &Scenario, seed: u64) -> Box<dyn Policy> {
    let backends = usize::try_from(scenario.backends.count).unwrap_or(0);
    Box::new(Uniform {
        random: Random::new(seed, "random"),
        serving: (0..backends).collect(),
        zones: usize::try_from(scenario.zones).unwrap_or(1),
    })
}

struct Rotation {
    next: Vec<u64>,
    backends: u64,
}

impl Policy for Rotation {
    fn pick(&mut self, node: usize, _: u64, _: &Truth<'_>) -> Option<Pick> {
        let next = self.next.get_mut(node)?;
        *next += 1;
        pick(usize::try_from(*next % self.backends).unwrap_or(0))
    }

    fn done(&mut self, _: &Done) {}
}

pub(super) fn round_robin(scenario: &Scenario, seed: u64) -> Box<dyn Policy> {
    let start = |node| hash(seed, u64::from(node)) >> 1;
    let next = (0..scenario.nodes).map(start).collect();
    Box::new(Rotation {
        next,
        backends: u64::from(scenario.backends.count),
    })
}

struct Least {
    counts: Counts,
    random: Random,
    pair: bool,
    zones: usize,
}

impl Policy for Least {
    fn pick(&mut self, node: usize, _: u64, _: &Truth<'_>) -> Option<Pick> {
        let counts = self.counts.of(node);
        let backend = if self.pair {
            // Zone z holds the backends z, z + Z, z + 2Z, …
            let first = node % self.zones;
            let own = (counts.len() + self.zones - 1 - first) / self.zones;
            let (a, b) = two(&mut self.random, own);
            let (a, b) = (first + a * self.zones, first + b * self.zones);
            if counts.get(b)? < counts.get(a)? { b } else { a }
        } else {
            let least = *counts.iter().min()?;
            let ties = counts.iter().filter(|&&count| count == least).count();
            let which = self.random.below(ties);
            counts
                .iter()
                .enumerate()
                .filter(|&(_, &count)| count == least)
                .nth(which)?
                .0
        };
        self.counts.start(node, backend);
        pick(backend)
    }

    fn done(&mut self, done: &Done) {
        self.counts.end(done.node, done.backend);
    }

    fn heeds_zones(&self) -> bool {
        self.pair
    }
}

pub(super) fn least_connections(scenario: &Scenario, seed: u64) -> Box<dyn Policy> {
    Box::new(Least {
        counts: Counts::new(scenario),
        random: Random::new(seed, "least"),
        pair: false,
        zones: 1,
    })
}

pub(super) fn two_choices(scenario: &Scenario, seed: u64) -> Box<dyn Policy> {
    Box::new(Least {
        counts: Counts::new(scenario),
        random: Random::new(seed, "p2c"),
        pair: true,
        zones: usize::try_from(scenario.zones).unwrap_or(1),
    })
}

/// Expected time in the system of a backend, as somebody who sees its queue and speed would say.
pub(super) fn expected(truth: &Truth<'_>, backend: usize) -> f64 {
    let (Some(&in_flight), Some(&speed), Some(&delay)) = (
        truth.in_flight.get(backend),
        truth.speed.get(backend),
        truth.delay.get(backend),
    ) else {
        return f64::INFINITY;
    };
    if speed <= 0.0 {
        return f64::INFINITY;
    }
    let workers = f64::from(truth.workers);
    let ahead = (f64::from(in_flight) + 1.0 - workers).max(0.0);
    truth.service / speed * (1.0 + ahead / workers) + delay as f64
}

struct Oracle {
    random: Random,
    pair: bool,
}

impl Policy for Oracle {
    fn pick(&mut self, _: usize, _: u64, truth: &Truth<'_>) -> Option<Pick> {
        let count = truth.in_flight.len();
        if self.pair {
            let (a, b) = two(&mut self.random, count);
            return pick(if expected(truth, b) < expected(truth, a) {
                b
            } else {
                a
            });
        }
        let start = self.random.below(count);
        let mut best = (f64::INFINITY, start);
        for backend in (start..count).chain(0..start) {
            let time = expected(truth, backend);
            if time < best.0 {
                best = (time, backend);
            }
        }
        pick(best.1)
    }

    fn done(&mut self, _: &Done) {}
}

pub(super) fn oracle_pair(_: &Scenario, seed: u64) -> Box<dyn Policy> {
    Box::new(Oracle {
        random: Random::new(seed, "oracle"),
        pair: true,
    })
}

pub(super) fn oracle_best(_: &Scenario, seed: u64) -> Box<dyn Policy> {
    Box::new(Oracle {
        random: Random::new(seed, "oracle"),
        pair: false,
    })
}
