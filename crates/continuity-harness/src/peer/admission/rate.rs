//! Token buckets: right only while the rate is right.

use super::each;
use crate::admission::{Admission, Decision, Offer};
use crate::policy::Truth;
use crate::scenario::Scenario;
use crate::span::seconds;

/// What a bucket holds, a choice: 100 ms of its rate, and never less than five connects.
const BURST: f64 = 0.1;
const LEAST: f64 = 5.0;

/// One node's bucket.
#[derive(Debug, Clone, Copy)]
pub(super) struct Bucket {
    rate: f64,
    tokens: f64,
    at: u64,
}

impl Bucket {
    pub(super) fn new(rate: f64) -> Self {
        Self {
            rate,
            tokens: (BURST * rate).max(LEAST),
            at: 0,
        }
    }

    pub(super) fn take(&mut self, now: u64) -> bool {
        let filled = self.tokens + self.rate * seconds(now - self.at);
        self.tokens = filled.min((BURST * self.rate).max(LEAST));
        self.at = now;
        if self.tokens < 1.0 {
            return false;
        }
        self.tokens -= 1.0;
        true
    }
}

struct Static(Vec<Bucket>);

impl Admission for Static {
    fn offer(&mut self, offer: &Offer, _: &Truth<'_>) -> Decision {
        let bucket = self.0.get_mut(offer.node);
        if bucket.is_none_or(|bucket| bucket.take(offer.now)) {
            Decision::Admit(0)
        } else {
            Decision::Refuse
        }
    }
}

fn build(scenario: &Scenario, factor: f64) -> Box<dyn Admission> {
    let rate = factor * scenario.capacity() / f64::from(scenario.nodes);
    Box::new(Static(each(scenario, |_| Bucket::new(rate))))
}

pub(super) fn tight(scenario: &Scenario, _: u64) -> Box<dyn Admission> {
    build(scenario, 0.9)
}

pub(super) fn stale(scenario: &Scenario, _: u64) -> Box<dyn Admission> {
    build(scenario, 1.5)
}

struct Nobody;

impl Admission for Nobody {
    fn offer(&mut self, _: &Offer, _: &Truth<'_>) -> Decision {
        Decision::Admit(0)
    }
}

pub(super) fn none(_: &Scenario, _: u64) -> Box<dyn Admission> {
    Box::new(Nobody)
}
