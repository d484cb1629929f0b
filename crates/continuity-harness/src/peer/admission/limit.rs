//! Limits of requests in flight per node: the frame they share, and the ones with one rule each.
//!
//! AIMD and Vegas as in Netflix concurrency-limits, adaptive concurrency as in Envoy's gradient controller, all with
//! their published defaults.

use super::each;
use crate::admission::{Admission, Class, Closed, Decision, Offer};
use crate::policy::{End, Truth};
use crate::random::{Random, hash};
use crate::scenario::Scenario;
use crate::span::{MILLI, SECOND, seconds};

/// One finished request as a limit sees it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Sample {
    /// Round trip, s; a time-out counts as the client's patience.
    pub took: f64,
    /// In flight when it started, itself included.
    pub in_flight: u32,
    /// It was not answered.
    pub dropped: bool,
    /// Now, ns.
    pub now: u64,
}

/// A limit that learns from samples.
pub(super) trait Limit {
    /// Requests that may be in flight.
    fn limit(&self) -> f64;
    /// A request ended.
    fn sample(&mut self, sample: &Sample);
}

struct Node<L> {
    limit: L,
    in_flight: [u32; 2],
}

/// Admits while fewer than the limit are in flight; a partition may use what the other leaves.
pub(super) struct Limited<L> {
    nodes: Vec<Node<L>>,
    /// Part of the limit kept for the high classes; 0 = no partitions.
    reserved: f64,
}

impl<L: Limit> Limited<L> {
    pub(super) fn boxed(scenario: &Scenario, reserved: f64, limit: impl Fn(u32) -> L) -> Box<dyn Admission>
    where
        L: 'static,
    {
        let node = |node| Node {
            limit: limit(node),
            in_flight: [0; 2],
        };
        Box::new(Self {
            nodes: each(scenario, node),
            reserved,
        })
    }
}

fn partition(class: Class) -> usize {
    usize::from(class > Class::High)
}

impl<L: Limit> Admission for Limited<L> {
    fn offer(&mut self, offer: &Offer, _: &Truth<'_>) -> Decision {
        let Some(node) = self.nodes.get_mut(offer.node) else {
            return Decision::Admit(0);
        };
        let which = partition(offer.class);
        let limit = node.limit.limit();
        let all: u32 = node.in_flight.iter().sum();
        let part = if which == 0 {
            self.reserved
        } else {
            1.0 - self.reserved
        };
        let own = node.in_flight.get(which).copied().unwrap_or(0);
        let within = self.reserved > 0.0 && f64::from(own) < part * limit;
        if f64::from(all) >= limit && !within {
            return Decision::Refuse;
        }
        if let Some(own) = node.in_flight.get_mut(which) {
            *own += 1;
        }
        Decision::Admit(all + 1)
    }

    fn done(&mut self, closed: &Closed) {
        let Some(node) = self.nodes.get_mut(closed.node) else {
            return;
        };
        if let Some(own) = node.in_flight.get_mut(partition(closed.class)) {
            *own = own.saturating_sub(1);
        }
        node.limit.sample(&Sample {
            took: seconds(closed.now - closed.sent),
            in_flight: closed.ticket,
            dropped: closed.end != End::Answered,
            now: closed.now,
        });
    }
}

/// AIMD: one more while it is used, a tenth less on a time-out.
#[derive(Debug, Clone, Copy)]
pub(super) struct Aimd(f64);

impl Limit for Aimd {
    fn limit(&self) -> f64 {
        self.0
    }

    fn sample(&mut self, sample: &Sample) {
        if sample.dropped || sample.took > 5.0 {
            self.0 *= 0.9;
        } else if 2.0 * f64::from(sample.in_flight) >= self.0 {
            self.0 += 1.0;
        }
        self.0 = libm::floor(self.0.clamp(20.0, 200.0));
    }
}

pub(super) fn aimd(scenario: &Scenario, _: u64) -> Box<dyn Admission> {
    Limited::boxed(scenario, 0.0, |_| Aimd(20.0))
}

/// Vegas: keeps between α and β requests in the queue it infers from the smallest round trip.
#[derive(Debug, Clone)]
pub(super) struct Vegas {
    pub(super) limit: f64,
    pub(super) idle: f64,
    probe: f64,
    count: f64,
    random: Random,
}

impl Vegas {
    pub(super) fn new(seed: u64) -> Self {
        let mut random = Random::new(seed, "vegas");
        Self {
            limit: 20.0,
            idle: 0.0,
            probe: 0.5 + 0.5 * random.uniform(),
            count: 0.0,
            random,
        }
    }
}

impl Limit for Vegas {
    fn limit(&self) -> f64 {
        self.limit
    }

    fn sample(&mut self, sample: &Sample) {
        self.count += 1.0;
        if self.probe * 30.0 * self.limit <= self.count {
            self.probe = 0.5 + 0.5 * self.random.uniform();
            self.count = 0.0;
            self.idle = sample.took;
            return;
        }
        if self.idle <= 0.0 || sample.took < self.idle {
            self.idle = sample.took;
            return;
        }
        let step = libm::floor(libm::log10(self.limit)).max(1.0);
        let queue = libm::ceil(self.limit * (1.0 - self.idle / sample.took));
        if sample.dropped {
            self.limit -= step;
        } else if 2.0 * f64::from(sample.in_flight) < self.limit {
            return;
        } else if queue <= step {
            self.limit += 6.0 * step;
        } else if queue < 3.0 * step {
            self.limit += step;
        } else if queue > 6.0 * step {
            self.limit -= step;
        }
        self.limit = self.limit.clamp(1.0, 1_000.0);
    }
}

pub(super) fn vegas(scenario: &Scenario, seed: u64) -> Box<dyn Admission> {
    Limited::boxed(scenario, 0.0, |node| Vegas::new(hash(seed, u64::from(node))))
}

/// Envoy's gradient controller: median of 100 ms against the smallest median, which it measures by throttling to 3.
#[derive(Debug, Clone)]
pub(super) struct Adaptive {
    limit: f64,
    before: f64,
    least: f64,
    window: Vec<f64>,
    ends: u64,
    /// When it measures next; `None` while it does.
    next: Option<u64>,
    low: u32,
    random: Random,
}

impl Adaptive {
    /// Samples of one measurement.
    const MEASURED: usize = 50;

    fn new(seed: u64) -> Self {
        Self {
            limit: 3.0,
            before: 3.0,
            least: 0.0,
            window: Vec::new(),
            ends: 0,
            next: None,
            low: 0,
            random: Random::new(seed, "adaptive"),
        }
    }

    /// The limit after a window: gradient with 25 % tolerance, head-room √L.
    pub(super) fn next(limit: f64, least: f64, median: f64) -> f64 {
        let gradient = (least * 1.25 / median.max(1e-9)).clamp(0.5, 2.0);
        let limit = gradient * limit;
        libm::floor((limit + libm::sqrt(limit)).clamp(3.0, 1_000.0))
    }

    fn median(&mut self) -> f64 {
        self.window.sort_unstable_by(f64::total_cmp);
        let median = self.window.get(self.window.len() / 2).copied().unwrap_or(0.0);
        self.window.clear();
        median
    }

    fn measure(&mut self, now: u64) {
        self.before = self.limit;
        self.limit = 3.0;
        self.next = None;
        self.low = 0;
        self.window.clear();
        self.ends = now;
    }
}

impl Limit for Adaptive {
    fn limit(&self) -> f64 {
        self.limit
    }

    fn sample(&mut self, sample: &Sample) {
        self.window.push(sample.took);
        let Some(next) = self.next else {
            if self.window.len() >= Self::MEASURED {
                self.least = self.median();
                self.limit = self.before;
                let minute = 60.0 * (1.0 + 0.15 * self.random.uniform());
                self.next = Some(sample.now + crate::span::nanos(minute));
                self.ends = sample.now + 100 * MILLI;
            }
            return;
        };
        if sample.now < self.ends {
            return;
        }
        self.ends = sample.now + 100 * MILLI;
        let median = self.median();
        self.limit = Self::next(self.limit, self.least, median);
        self.low = if self.limit <= 3.0 { self.low + 1 } else { 0 };
        if sample.now >= next || self.low >= 5 {
            self.measure(sample.now);
        }
    }
}

pub(super) fn adaptive(scenario: &Scenario, seed: u64) -> Box<dyn Admission> {
    Limited::boxed(scenario, 0.0, |node| {
        Adaptive::new(hash(seed, u64::from(node) ^ SECOND))
    })
}
