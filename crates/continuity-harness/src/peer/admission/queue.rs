//! CoDel in the server's own queue, in the form used for request queues (Folly, "Fail at scale"): if no request of the last
//! 100 ms waited less than 5 ms, requests that waited more than 10 ms are dropped. A peer that owns the server, which a
//! socket-level agent does not.

use crate::admission::{Admission, Decision, Offer};
use crate::policy::Truth;
use crate::scenario::Scenario;
use crate::span::MILLI;

const TARGET: u64 = 5 * MILLI;
const INTERVAL: u64 = 100 * MILLI;

/// One server's queue.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Codel {
    least: u64,
    ends: u64,
    overloaded: bool,
}

impl Codel {
    /// Whether a request that waited so long is served.
    pub(super) fn serves(&mut self, waited: u64, now: u64) -> bool {
        if now >= self.ends {
            self.overloaded = self.ends > 0 && self.least > TARGET;
            self.ends = now + INTERVAL;
            self.least = waited;
        }
        self.least = self.least.min(waited);
        !(self.overloaded && waited > 2 * TARGET)
    }
}

struct Queues(Vec<Codel>);

impl Admission for Queues {
    fn offer(&mut self, _: &Offer, _: &Truth<'_>) -> Decision {
        Decision::Admit(0)
    }

    fn serve(&mut self, backend: usize, waited: u64, now: u64) -> bool {
        self.0
            .get_mut(backend)
            .is_none_or(|queue| queue.serves(waited, now))
    }
}

pub(super) fn codel(scenario: &Scenario, _: u64) -> Box<dyn Admission> {
    let count = usize::try_from(scenario.backends.count).unwrap_or(0);
    Box::new(Queues(vec![Codel::default(); count]))
}
