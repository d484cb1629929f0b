//! DAGOR (WeChat, SoCC'18) moved to the caller's node: class × user levels, a cut-off found by ∓5 %/+1 % of what came.
//!
//! Overload is a mean turnaround 20 ms above that of the first 500 requests, in place of the queueing time a server would
//! measure; the upstream piggyback is left out. One window is a tick.

use super::each;
use crate::admission::{Admission, Class, Closed, Decision, Offer};
use crate::policy::Truth;
use crate::random::hash;
use crate::scenario::Scenario;
use crate::span::seconds;

/// User levels of a class.
const USERS: usize = 128;
/// All levels.
const ALL: usize = 5 * USERS;
/// Queueing that counts as overload, s.
const LATE: f64 = 0.020;
/// Requests that tell what calm is.
const FIRST: u32 = 500;

/// One node's levels.
#[derive(Debug, Clone)]
pub(super) struct Levels {
    came: Vec<u32>,
    /// Levels below this are admitted.
    pub(super) cut: usize,
    waited: f64,
    ended: u32,
    mean: f64,
    calm: f64,
    calm_n: u32,
    serial: u64,
}

impl Levels {
    pub(super) fn new() -> Self {
        Self {
            came: vec![0; ALL],
            cut: ALL,
            waited: 0.0,
            ended: 0,
            mean: 0.0,
            calm: 0.0,
            calm_n: 0,
            serial: 0,
        }
    }

    pub(super) fn came(&mut self, level: usize) -> bool {
        if let Some(count) = self.came.get_mut(level) {
            *count += 1;
        }
        level < self.cut
    }

    /// Ends a window: the cut-off that admits 5 % less, or 1 % more, than this one would have.
    pub(super) fn turn(&mut self, overloaded: bool) {
        let all: u32 = self.came.iter().sum();
        let admitted: u32 = self.came.iter().take(self.cut).sum();
        let wanted = if overloaded {
            0.95 * f64::from(admitted)
        } else {
            f64::from(admitted) + 0.01 * f64::from(all)
        };
        let mut sum = 0.0;
        let mut cut = 0;
        for (level, count) in self.came.iter().enumerate() {
            sum += f64::from(*count);
            if sum > wanted + 1e-9 {
                break;
            }
            cut = level + 1;
        }
        if all > 0 {
            self.cut = if overloaded {
                cut.min(self.cut.saturating_sub(1)).max(1)
            } else {
                cut.max((self.cut + 1).min(ALL))
            };
        }
        self.came.iter_mut().for_each(|count| *count = 0);
    }

    fn tick(&mut self) {
        if self.ended > 0 {
            let mean = self.waited / f64::from(self.ended);
            self.mean = if self.mean > 0.0 {
                self.mean + 0.3 * (mean - self.mean)
            } else {
                mean
            };
            if self.calm_n < FIRST {
                self.calm_n += self.ended;
                self.calm += f64::from(self.ended) / f64::from(self.calm_n) * (mean - self.calm);
            }
        }
        // A node that admitted nobody measures no queue, as an idle server would not.
        let overloaded = self.ended > 0 && self.mean > self.calm + LATE;
        (self.waited, self.ended) = (0.0, 0);
        self.turn(overloaded);
    }
}

struct Dagor(Vec<Levels>);

impl Admission for Dagor {
    fn offer(&mut self, offer: &Offer, _: &Truth<'_>) -> Decision {
        let Some(node) = self.0.get_mut(offer.node) else {
            return Decision::Admit(0);
        };
        node.serial += 1;
        // A request is a user's; users are spread evenly, as the hourly hash does.
        let user = hash(node.serial, offer.node as u64) % (USERS as u64);
        let class = Class::ALL
            .iter()
            .position(|class| *class == offer.class)
            .unwrap_or(0);
        let level = class * USERS + usize::try_from(user).unwrap_or(0);
        if node.came(level) {
            Decision::Admit(0)
        } else {
            Decision::Refuse
        }
    }

    fn done(&mut self, closed: &Closed) {
        if let Some(node) = self.0.get_mut(closed.node) {
            node.waited += seconds(closed.now - closed.sent);
            node.ended += 1;
        }
    }

    fn tick(&mut self, node: usize, _: u64) {
        if let Some(node) = self.0.get_mut(node) {
            node.tick();
        }
    }

    fn mode(&self, node: usize) -> u8 {
        self.0.get(node).map_or(0, |node| u8::from(node.cut < ALL))
    }
}

pub(super) fn dagor(scenario: &Scenario, _: u64) -> Box<dyn Admission> {
    Box::new(Dagor(each(scenario, |_| Levels::new())))
}
