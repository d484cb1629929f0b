//! The binary circuit breaker, as in Hystrix: half of at least 20 requests in 10 s failed ⇒ refuses all for 5 s, then one
//! request decides.

use super::each;
use crate::admission::{Admission, Closed, Decision, Offer};
use crate::policy::{End, Truth};
use crate::scenario::Scenario;
use crate::span::SECOND;

/// Requests that may open it.
const VOLUME: u32 = 20;
/// Length of its memory, and of its sleep.
const WINDOW: u64 = 10 * SECOND;
const SLEEP: u64 = 5 * SECOND;

/// One node's breaker.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Breaker {
    seconds: [(u64, u32, u32); 10],
    /// Since when it is open.
    pub(super) open: Option<u64>,
    trial: bool,
}

impl Breaker {
    pub(super) fn admits(&mut self, now: u64) -> Option<bool> {
        match self.open {
            None => Some(false),
            Some(since) if now >= since + SLEEP && !self.trial => {
                self.trial = true;
                Some(true)
            }
            Some(_) => None,
        }
    }

    pub(super) fn ended(&mut self, trial: bool, good: bool, now: u64) {
        if trial {
            self.trial = false;
            self.seconds = Default::default();
            self.open = (!good).then_some(now);
            return;
        }
        let second = now / SECOND;
        let place = usize::try_from(second % 10).unwrap_or(0);
        if let Some(entry) = self.seconds.get_mut(place) {
            if entry.0 != second {
                *entry = (second, 0, 0);
            }
            entry.1 += 1;
            entry.2 += u32::from(!good);
        }
        let recent = self.seconds.iter().filter(|(at, ..)| at * SECOND + WINDOW > now);
        let (all, bad) = recent.fold((0, 0), |(all, bad), (_, n, f)| (all + n, bad + f));
        if self.open.is_none() && all >= VOLUME && 2 * bad >= all {
            self.open = Some(now);
        }
    }
}

struct Breakers(Vec<Breaker>);

impl Admission for Breakers {
    fn offer(&mut self, offer: &Offer, _: &Truth<'_>) -> Decision {
        match self.0.get_mut(offer.node).map(|node| node.admits(offer.now)) {
            Some(None) => Decision::Refuse,
            Some(Some(trial)) => Decision::Admit(u32::from(trial)),
            None => Decision::Admit(0),
        }
    }

    fn done(&mut self, closed: &Closed) {
        if let Some(node) = self.0.get_mut(closed.node) {
            node.ended(closed.ticket == 1, closed.end == End::Answered, closed.now);
        }
    }

    fn mode(&self, node: usize) -> u8 {
        self.0
            .get(node)
            .map_or(0, |node| 2 * u8::from(node.open.is_some()))
    }
}

pub(super) fn breaker(scenario: &Scenario, _: u64) -> Box<dyn Admission> {
    Box::new(Breakers(each(scenario, |_| Breaker::default())))
}
