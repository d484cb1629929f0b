//! Throttles on the rate of success: they refuse at random, more as less succeeds.
//!
//! SRE book, "Handling overload"; Envoy's admission control filter. A request that is refused locally counts as a
//! request in the first and not in the second, as published.

use std::collections::VecDeque;

use super::each;
use crate::admission::{Admission, Closed, Decision, Offer};
use crate::policy::{End, Truth};
use crate::random::Random;
use crate::scenario::Scenario;
use crate::span::SECOND;

/// P = max(0, (requests − K·accepted)/(requests + 1)).
pub(super) fn sre_refusal(requests: f64, accepted: f64, k: f64) -> f64 {
    ((requests - k * accepted) / (requests + 1.0)).max(0.0)
}

/// P = max(0, (n − s/threshold)/(n + 1))^(1/aggression).
pub(super) fn envoy_refusal(requests: f64, successes: f64, aggression: f64) -> f64 {
    let excess = (requests - successes / 0.95) / (requests + 1.0);
    libm::pow(excess.max(0.0), 1.0 / aggression)
}

/// Counts of the last so many seconds.
#[derive(Debug, Clone, Default)]
struct Window {
    seconds: VecDeque<(u64, u32, u32)>,
    sums: (u32, u32),
    length: u64,
}

impl Window {
    fn add(&mut self, now: u64, requests: u32, good: u32) {
        let second = now / SECOND;
        match self.seconds.back_mut() {
            Some((at, all, fine)) if *at == second => {
                *all += requests;
                *fine += good;
            }
            _ => self.seconds.push_back((second, requests, good)),
        }
        self.sums.0 += requests;
        self.sums.1 += good;
        while let Some(&(at, all, fine)) = self.seconds.front()
            && at + self.length <= second
        {
            self.sums.0 -= all;
            self.sums.1 -= fine;
            self.seconds.pop_front();
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Rule {
    Sre { most_permille: u32 },
    Envoy,
}

struct Throttle {
    nodes: Vec<Window>,
    rule: Rule,
    random: Random,
}

impl Admission for Throttle {
    fn offer(&mut self, offer: &Offer, _: &Truth<'_>) -> Decision {
        let Some(window) = self.nodes.get_mut(offer.node) else {
            return Decision::Admit(0);
        };
        window.add(offer.now, 0, 0);
        let (requests, good) = (f64::from(window.sums.0), f64::from(window.sums.1));
        let refusal = match self.rule {
            Rule::Sre { most_permille } => {
                sre_refusal(requests, good, 2.0).min(f64::from(most_permille) / 1e3)
            }
            Rule::Envoy => envoy_refusal(requests, good, 1.0).min(0.8),
        };
        if self.rule != Rule::Envoy {
            window.add(offer.now, 1, 0);
        }
        if self.random.uniform() < refusal {
            return Decision::Refuse;
        }
        Decision::Admit(0)
    }

    fn done(&mut self, closed: &Closed) {
        if let Some(window) = self.nodes.get_mut(closed.node) {
            let good = u32::from(closed.end == End::Answered);
            window.add(closed.now, u32::from(self.rule == Rule::Envoy), good);
        }
    }
}

fn build(scenario: &Scenario, seed: u64, rule: Rule, length: u64) -> Box<dyn Admission> {
    let window = |_| Window {
        length,
        ..Window::default()
    };
    Box::new(Throttle {
        nodes: each(scenario, window),
        rule,
        random: Random::new(seed, "throttle"),
    })
}

pub(super) fn sre(scenario: &Scenario, seed: u64) -> Box<dyn Admission> {
    build(scenario, seed, Rule::Sre { most_permille: 1_000 }, 120)
}

pub(super) fn sre_capped(scenario: &Scenario, seed: u64) -> Box<dyn Admission> {
    build(scenario, seed, Rule::Sre { most_permille: 900 }, 120)
}

pub(super) fn envoy(scenario: &Scenario, seed: u64) -> Box<dyn Admission> {
    build(scenario, seed, Rule::Envoy, 30)
}
