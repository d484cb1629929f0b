//! Gradient2 of Netflix concurrency-limits: long against short round trip, 20 ≤ limit ≤ 200, smoothing 0.2, queue 4,
//! tolerance 1.5, long window 600; inside a window of 1 s and at least ten samples, as its authors advise (sample by
//! sample it drifts to 200 under answers that vary this much).

use super::limit::{Limit, Limited, Sample};
use crate::admission::Admission;
use crate::scenario::Scenario;
use crate::span::SECOND;

/// Windows of the long mean, and those of its warm-up.
const LONG: f64 = 600.0;
const WARM: u32 = 10;
/// Round trips that a window must hold.
const LEAST: u32 = 10;

/// One node's limit.
#[derive(Debug, Clone, Copy)]
pub(super) struct Gradient2 {
    pub(super) limit: f64,
    long: f64,
    count: u32,
    window: (u64, f64, u32, u32),
}

impl Gradient2 {
    pub(super) const fn new() -> Self {
        Self {
            limit: 20.0,
            long: 0.0,
            count: 0,
            window: (0, 0.0, 0, 0),
        }
    }

    /// The limit after a sample with `ratio` = long over short.
    pub(super) fn next(limit: f64, ratio: f64) -> f64 {
        let gradient = (1.5 * ratio).clamp(0.5, 1.0);
        (0.8 * limit + 0.2 * (gradient * limit + 4.0)).clamp(20.0, 200.0)
    }
}

impl Limit for Gradient2 {
    fn limit(&self) -> f64 {
        libm::floor(self.limit)
    }

    fn sample(&mut self, sample: &Sample) {
        let (began, sum, count, most) = self.window;
        let (sum, count, most) = (sum + sample.took, count + 1, most.max(sample.in_flight));
        if sample.now < began + SECOND || count < LEAST {
            self.window = (began, sum, count, most);
            return;
        }
        self.window = (sample.now, 0.0, 0, 0);
        let short = (sum / f64::from(count)).max(1e-6);
        if self.count < WARM {
            self.count += 1;
            self.long += (short - self.long) / f64::from(self.count);
        } else {
            self.long += 2.0 / (LONG + 1.0) * (short - self.long);
        }
        let ratio = self.long / short;
        if ratio > 2.0 {
            self.long *= 0.95;
        }
        if 2.0 * f64::from(most) >= self.limit {
            self.limit = Self::next(self.limit, ratio);
        }
    }
}

pub(super) fn plain(scenario: &Scenario, _: u64) -> Box<dyn Admission> {
    Limited::boxed(scenario, 0.0, |_| Gradient2::new())
}

/// The published partitioned limiter; the part is a choice: twice what the high classes ask in the scenarios.
pub(super) fn partitioned(scenario: &Scenario, _: u64) -> Box<dyn Admission> {
    Limited::boxed(scenario, 0.4, |_| Gradient2::new())
}
