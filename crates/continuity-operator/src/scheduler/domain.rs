//! Failure domains of work, and the throttle of one that fails.
//!
//! Work fails together with what it depends on: a zone for a step of a roll-out, a kind of object for any other write (a
//! revoked role, a webhook that is down). A domain in which more than 30 % of the work fails gets one place in flight
//! instead of its share, until fewer than 15 % fail; all others go on. The rate is smoothed over about five outcomes and
//! fades with a half-life of 30 s, so that a domain without work is not held back by its past.

use crate::decide::Aspect;
use serde::Serialize;
use std::time::Duration;

/// Failed part that throttles, in permille.
const BAD: u32 = 300;
/// Failed part below which it ends, in permille.
const GOOD: u32 = 150;
/// Outcomes before a rate means something.
const SAMPLES_MIN: u32 = 5;
/// Weight of an outcome, in permille.
const WEIGHT: u32 = 200;
/// Time in which the rate halves without work.
const HALF_LIFE: Duration = Duration::from_secs(30);

/// What work fails together with.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
pub enum Domain {
    /// A kind of object.
    Kind(Aspect),
    /// A zone that a roll-out widens to.
    Zone(String),
}

/// Outcomes of a domain.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Health {
    failed_permille: u32,
    samples: u32,
    heard: Duration,
    throttled: bool,
    /// Work on its way.
    pub(super) flying: usize,
}

impl Health {
    pub(super) fn hear(&mut self, failed: bool, now: Duration) {
        let outcome = if failed { 1_000 } else { 0 };
        self.failed_permille = (self.faded(now) * (1_000 - WEIGHT) + outcome * WEIGHT) / 1_000;
        self.samples = self.samples.saturating_add(1);
        self.heard = now;
        if self.samples >= SAMPLES_MIN && self.failed_permille > BAD {
            self.throttled = true;
        } else if self.failed_permille < GOOD {
            self.throttled = false;
        }
    }

    /// Failed part now, in permille.
    pub(super) fn faded(&self, now: Duration) -> u32 {
        let halvings = now.saturating_sub(self.heard).as_secs() / HALF_LIFE.as_secs();
        self.failed_permille >> halvings.min(16)
    }

    pub(super) fn throttled(&self, now: Duration) -> bool {
        self.throttled && self.faded(now) >= GOOD
    }

    pub(super) fn forgettable(&self, now: Duration) -> bool {
        self.flying == 0 && self.faded(now) == 0
    }
}
