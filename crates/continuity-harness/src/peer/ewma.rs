//! Peak EWMA over two random choices, as Finagle and Linkerd have it: the cost follows a slower answer at once, decays
//! toward a faster one, and toward 0 while nothing is heard; load = cost · (own requests in flight + 1).

use super::simple::{Counts, two};
use crate::policy::{Done, End, Pick, Policy, Truth};
use crate::random::Random;
use crate::scenario::Scenario;
use crate::span::{SECOND, seconds};

/// Decay time (Finagle's default), s.
const DECAY: f64 = 10.0;
/// What a backend without any history costs while it has a request in flight.
const UNKNOWN: f64 = 1e9;

/// Cost of one backend, s.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Cost {
    value: f64,
    stamp: u64,
}

impl Cost {
    pub(super) fn observe(&mut self, sample: f64, now: u64) {
        if sample > self.value {
            self.value = sample;
        } else {
            let weight = libm::exp(-seconds(now - self.stamp) / DECAY);
            self.value = self.value * weight + sample * (1.0 - weight);
        }
        self.stamp = now;
    }

    pub(super) fn load(&mut self, in_flight: u32, now: u64) -> f64 {
        self.observe(0.0, now);
        if self.value < 1e-12 && in_flight > 0 {
            return UNKNOWN + f64::from(in_flight);
        }
        self.value * f64::from(in_flight + 1)
    }
}

struct PeakEwma {
    counts: Counts,
    costs: Vec<Cost>,
    backends: usize,
    penalty: Option<u64>,
    random: Random,
}

impl Policy for PeakEwma {
    fn pick(&mut self, node: usize, now: u64, _: &Truth<'_>) -> Option<Pick> {
        let (a, b) = two(&mut self.random, self.backends);
        let mut load = |backend: usize| {
            let in_flight = self.counts.of(node).get(backend).copied().unwrap_or(0);
            let cost = self.costs.get_mut(node * self.backends + backend);
            cost.map_or(f64::INFINITY, |cost| cost.load(in_flight, now))
        };
        let backend = if load(b) < load(a) { b } else { a };
        self.counts.start(node, backend);
        Some(Pick { backend, tag: 0 })
    }

    fn done(&mut self, done: &Done) {
        self.counts.end(done.node, done.backend);
        let took = match self.penalty {
            Some(penalty) if done.end != End::Answered => penalty.max(done.now - done.sent),
            _ => done.now - done.sent,
        };
        if let Some(cost) = self.costs.get_mut(done.node * self.backends + done.backend) {
            cost.observe(seconds(took), done.now);
        }
    }
}

fn build(scenario: &Scenario, seed: u64, penalty: Option<u64>) -> Box<dyn Policy> {
    let backends = usize::try_from(scenario.backends.count).unwrap_or(0);
    let nodes = usize::try_from(scenario.nodes).unwrap_or(0);
    Box::new(PeakEwma {
        counts: Counts::new(scenario),
        costs: vec![Cost::default(); nodes * backends],
        backends,
        penalty,
        random: Random::new(seed, "ewma"),
    })
}

pub(super) fn plain(scenario: &Scenario, seed: u64) -> Box<dyn Policy> {
    build(scenario, seed, None)
}

pub(super) fn penalised(scenario: &Scenario, seed: u64) -> Box<dyn Policy> {
    build(scenario, seed, Some(5 * SECOND))
}
