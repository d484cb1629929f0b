//! Envoy's weighted least request: an earliest-deadline schedule over `weight / (active + 1)^bias`, with the true
//! capacities as weights, which no deployment knows so well.

use super::simple::Counts;
use crate::policy::{Done, Pick, Policy, Truth};
use crate::random::Random;
use crate::scenario::Scenario;

/// Weight that Envoy gives a host with `active` requests.
pub(super) fn weight(capacity: f64, active: u32, bias: f64) -> f64 {
    capacity / libm::pow(f64::from(active) + 1.0, bias)
}

struct Weighted {
    counts: Counts,
    capacities: Vec<f64>,
    deadlines: Vec<f64>,
    times: Vec<f64>,
}

impl Policy for Weighted {
    fn pick(&mut self, node: usize, _: u64, _: &Truth<'_>) -> Option<Pick> {
        let backends = self.capacities.len();
        let deadlines = self.deadlines.get_mut(node * backends..(node + 1) * backends)?;
        let backend = (0..backends).min_by(|&a, &b| {
            let at = |index: usize| deadlines.get(index).copied().unwrap_or(f64::INFINITY);
            at(a).total_cmp(&at(b))
        })?;
        let active = self.counts.of(node).get(backend).copied().unwrap_or(0);
        let deadline = deadlines.get_mut(backend)?;
        let time = self.times.get_mut(node)?;
        *time = *deadline;
        *deadline = *time + 1.0 / weight(*self.capacities.get(backend)?, active, 1.0);
        self.counts.start(node, backend);
        Some(Pick { backend, tag: 0 })
    }

    fn done(&mut self, done: &Done) {
        self.counts.end(done.node, done.backend);
    }
}

pub(super) fn least_request(scenario: &Scenario, seed: u64) -> Box<dyn Policy> {
    let backends = usize::try_from(scenario.backends.count).unwrap_or(0);
    let nodes = usize::try_from(scenario.nodes).unwrap_or(0);
    let mut random = Random::new(seed, "weighted");
    Box::new(Weighted {
        counts: Counts::new(scenario),
        capacities: scenario
            .backends
            .speeds
            .iter()
            .copied()
            .cycle()
            .take(backends)
            .collect(),
        deadlines: (0..nodes * backends).map(|_| random.uniform()).collect(),
        times: vec![0.0; nodes],
    })
}
