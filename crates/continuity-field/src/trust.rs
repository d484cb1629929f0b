//! How much the in-band reports of a backend may say (law-balancing §2.5, rules 9, 10 and 12).
//!
//! `trust = 160 · clamp((f − 0.5)/0.4) · clamp((cov − 0.3)/0.15) · clamp((β + s − 0.04)/0.08)`, each factor in 0 ..= 1: f is
//! the share of reports that differ from the one before, cov the share of expected reports that arrive (two an answer), β
//! the slope of realised on predicted turnaround over about a minute, s its standard error. The published ramp is that of
//! s = 0.1; who has seen more is surer that reports predict nothing, and who has seen less doubts longer. A factor that is
//! not known yet counts as 1. Who says one thing and does another is not heard for 30 s.

use crate::{BackendSample, Nanos, Regression};

/// Weight of fully trusted reports; 256 would leave nothing to own observation.
const FULL: f64 = 160.0;
/// Factor between said and seen that unmasks a liar, and the slack in µs (the round trip is seen, not said).
const LIE: f64 = 2.5;
const SLACK: (f64, f64) = (10_000.0, 11_000.0);
/// Pairs before that is judged.
const PAIRS: f64 = 4.0;
const UNHEARD: Nanos = Nanos::from_secs(30);
/// Shorter, for a report that claims to be well while a request starves.
const DOUBTED: Nanos = Nanos::from_secs(20);

/// Slope up to which reports predict nothing worth following, and the scatter of one answer about it, octaves. A slope is
/// believed to be that small from one standard error on.
const USELESS: f64 = 0.04;
const SCATTER: f64 = 1.0;

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
    /// Pairs, and the means of said and seen over them, µs.
    pairs: f64,
    said: f64,
    seen: f64,
    unheard_until: Nanos,
    /// Slope factor of the set, 0 ..= 1.
    slope: Option<f64>,
    heard: bool,
}

crate::save::code::stored! {
    Mean { value, updates }
    Trust { fresh, coverage, received, renewed, answered, seconds, pairs, said, seen, unheard_until, slope, heard }
    Slope { n, sx, sy, sxx, sxy }
}

impl Trust {
    /// One step's reports; the means move once a second. `slope` is the set's.
    pub(crate) fn observe(&mut self, sample: &BackendSample, slope: f64, dt: f64, now: Nanos) {
        let Some(report) = sample.report else { return };
        self.heard = true;
        self.slope = Some(slope);
        self.pair(report.paired, report.said, report.seen, now);
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
                .add(self.received / (2.0 * self.answered), self.received);
        }
        if self.received >= 4.0 || self.answered >= 4.0 {
            self.received = 0.0;
            self.renewed = 0.0;
            self.answered = 0.0;
        }
        self.seconds = 0.0;
    }

    fn pair(&mut self, n: u32, said: u32, seen: u32, now: Nanos) {
        if n == 0 {
            return;
        }
        let n = f64::from(n);
        let mean = |sum: u32| libm::exp2((f64::from(sum) / n / 256.0).min(40.0));
        self.pairs = (self.pairs + n).min(1e9);
        let gain = (1.0 / self.pairs).max(1.0 - libm::pow(0.875, n));
        self.said += gain * (mean(said) - self.said);
        self.seen += gain * (mean(seen) - self.seen);
        let over = self.said > LIE * self.seen + SLACK.0;
        let under = self.seen > LIE * self.said + SLACK.1;
        if self.pairs >= PAIRS && (over || under) {
            self.unheard_until = now + UNHEARD;
            (self.pairs, self.said, self.seen) = (0.0, 0.0, 0.0);
        }
    }

    /// A request starves while a newer report claims to be well: `oldest` its age, `peers` their median, both µs.
    pub(crate) fn doubt(&mut self, sample: &BackendSample, oldest: Nanos, peers: f64, now: Nanos) {
        let Some(report) = sample.report else { return };
        let said = libm::exp2((f64::from(report.level) / 256.0).clamp(0.0, 40.0));
        let age = oldest.as_micros() as f64;
        let well = said < 4.0 * peers;
        if report.age < oldest && well && age > 4.0 * peers && age > 5.0 * said + 50_000.0 {
            self.unheard_until = self.unheard_until.max(now + DOUBTED);
        }
    }

    /// 0 ..= 256.
    pub(crate) fn weight(&self, now: Nanos) -> u32 {
        if !self.heard || now < self.unheard_until {
            return 0;
        }
        let fresh = self
            .fresh
            .known()
            .map_or(1.0, |f| ((f - 0.5) / 0.4).clamp(0.0, 1.0));
        let coverage = self
            .coverage
            .known()
            .map_or(1.0, |c| ((c - 0.3) / 0.15).clamp(0.0, 1.0));
        crate::number::to_u32(FULL * fresh * coverage * self.slope.unwrap_or(1.0))
    }
}

/// Slope of realised on predicted turnaround, decayed by 0.98 a second; prior 0.3 worth 100 samples of variance 0.25.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub(crate) struct Slope {
    n: f64,
    sx: f64,
    sy: f64,
    sxx: f64,
    sxy: f64,
}

impl Slope {
    pub(crate) fn observe(&mut self, sums: &Regression, dt: f64) {
        let keep = libm::pow(0.98, dt);
        let fold = |kept: &mut f64, new: f64| *kept = *kept * keep + new;
        fold(&mut self.n, sums.n.min(1_000_000) as f64);
        fold(&mut self.sx, sums.sx as f64 / 256.0);
        fold(&mut self.sy, sums.sy as f64 / 256.0);
        fold(&mut self.sxx, sums.sxx as f64 / 65_536.0);
        fold(&mut self.sxy, sums.sxy as f64 / 65_536.0);
    }

    /// Factor of trust, 0 ..= 1.
    pub(crate) fn factor(&self) -> f64 {
        let n = self.n.max(1.0);
        let xx = (self.sxx - self.sx * self.sx / n).max(0.0);
        let xy = self.sxy - self.sx * self.sy / n;
        let beta = (xy + 7.5) / (xx + 25.0);
        let error = SCATTER / libm::sqrt(xx + 25.0);
        ((beta + error - USELESS) / 0.08).clamp(0.0, 1.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The factor after `n` answers, predicted half an octave above or below, that came out by `slope` of it.
    fn factor(n: u32, slope: f64) -> f64 {
        let half = f64::from(n) / 2.0;
        let sums = Slope {
            n: f64::from(n),
            sxx: 2.0 * half * 0.25,
            sxy: 2.0 * half * 0.25 * slope,
            ..Slope::default()
        };
        sums.factor()
    }

    #[test]
    fn reports_that_predict_nothing_lose_their_say_when_that_is_sure_and_not_before() {
        for (n, slope, least, most) in [
            (0, 0.0, 1.0, 1.0),
            (200, 0.0, 0.99, 1.0),
            (4_000, 0.0, 0.0, 0.05),
            (4_000, -0.1, 0.0, 0.0),
            (200, -0.3, 0.0, 0.0),
            (4_000, 0.2, 1.0, 1.0),
        ] {
            let found = factor(n, slope);
            assert!(
                (least..=most).contains(&found),
                "{n} answers, slope {slope}: {found}"
            );
        }
    }
}
