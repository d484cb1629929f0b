//! A bound nobody can build: one exact counter for all nodes, work of clients that gave up included, told the workers.

use crate::admission::{Admission, Class, Decision, Offer};
use crate::policy::Truth;
use crate::scenario::Scenario;

/// Requests inside per worker, as published; the reserves by class are a choice.
const INSIDE: f64 = 2.6;

struct Central;

impl Admission for Central {
    fn offer(&mut self, offer: &Offer, truth: &Truth<'_>) -> Decision {
        let inside: u32 = truth.in_flight.iter().sum();
        let backends = truth.in_flight.len() as f64;
        let reserve = match offer.class {
            Class::Critical | Class::High => 1.3,
            Class::Normal => 1.0,
            Class::Low => 0.85,
            Class::Bulk => 0.7,
        };
        if f64::from(inside) < reserve * INSIDE * f64::from(truth.workers) * backends {
            Decision::Admit(0)
        } else {
            Decision::Refuse
        }
    }
}

pub(super) fn central(_: &Scenario, _: u64) -> Box<dyn Admission> {
    Box::new(Central)
}
