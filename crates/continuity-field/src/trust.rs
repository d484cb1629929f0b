//! How much the in-band reports of a backend may say (law-balancing §2.5, rules 9 and 10).
//!
//! `trust = 160 · clamp((f − 0.5)/0.4) · clamp((cov − 0.3)/0.15)`, each factor in 0 ..= 1: f is the share of reports that
//! differ from the one before, cov the share of expected reports that arrive (two an answer). A factor that is not known
//! yet counts as 1.

use crate::BackendSample;

/// Weight of fully trusted reports; 256 would leave nothing to own observation.
const FULL: f64 = 160.0;

/// A running mean with weight `max(n/(n+16), 1/(k+1))`.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
struct Mean {
    value: f64,
    updates: f64,
}

impl Mean {
    fn add(&mut self, value: f64, n: f64) {
        let weight = (n / (n + 16.0)).max(1.0 / (self.updates + 1.0));
        self.value += weight * (value - self.value);
        self.updates = (self.updates + 1.0).min(1e6);
    }

    fn known(&self) -> Option<f64> {
        (self.updates > 0.0).then_some(self.value)
    }
}

/// Reports of one backend over time.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub(crate) struct Trust {
    fresh: Mean,
    coverage: Mean,
    received: f64,
    renewed: f64,
    answered: f64,
    seconds: f64,
}

impl Trust {
    /// One step's reports; the means move once a second.
    pub(crate) fn observe(&mut self, sample: &BackendSample, dt: f64) {
        let Some(report) = sample.report else { return };
        self.received += f64::from(report.received);
        self.renewed += f64::from(report.renewed.min(report.received));
        self.answered += sample.answered.min(1_000_000) as f64;
        self.seconds += dt;
        if self.seconds < 1.0 {
            return;
        }
        if self.received >= 4.0 {
            self.fresh.add(self.renewed / self.received, self.received);
        }
        if self.answered >= 4.0 {
            self.coverage
                .add(self.received / (2.0 * self.answered), self.answered);
        }
        self.received = 0.0;
        self.renewed = 0.0;
        self.answered = 0.0;
        self.seconds = 0.0;
    }

    /// 0 ..= 256.
    pub(crate) fn weight(&self) -> u32 {
        let fresh = self
            .fresh
            .known()
            .map_or(1.0, |f| ((f - 0.5) / 0.4).clamp(0.0, 1.0));
        let coverage = self
            .coverage
            .known()
            .map_or(1.0, |c| ((c - 0.3) / 0.15).clamp(0.0, 1.0));
        crate::number::to_u32(FULL * fresh * coverage)
    }
}
