//! Moving estimates of one set on one node: turnaround, throughput, demand, and the requests no counter shows.
//!
//! Overload is measured as min(s/s0, I/I_ref): latency *and* requests in flight must both be high. Latency alone sheds
//! for a slow dependency that needs no shedding and spirals; in-flight alone sheds for a burst.

use super::learn::Learned;
use super::level::LEVELS;
use super::sample::Period;

/// Turnaround, s; rates, 1/s; counts.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Estimate {
    /// s: for control, about one second of answers.
    pub fast: f64,
    /// sb: for the baseline and calm.
    pub slow: f64,
    /// X: ended per second.
    pub rate: f64,
    /// X1: the same, sooner.
    pub rate_fast: f64,
    /// o: connects per second by level.
    pub offered: [f64; LEVELS],
    /// o1: the same, sooner.
    pub offered_fast: [f64; LEVELS],
    /// Refused per second.
    pub shed: f64,
    /// Asked per second over the same memory.
    pub asked: f64,
    /// In flight, smoothed.
    pub in_flight: f64,
    /// In flight now, without those that are parked.
    pub live: f64,
    /// Z: abandoned by their clients, still worked on.
    pub zombies: f64,
    /// Requests so old that they say nothing about load.
    pub parked: f64,
    /// Answers seen, up to what warm-up needs.
    pub answers: f64,
    /// Periods seen, up to what warm-up needs.
    pub periods: u32,
}

/// What the estimates say beside the baseline; 1 is calm.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(super) struct Ratios {
    /// q: fast turnaround.
    pub fast: f64,
    /// qb: slow turnaround.
    pub slow: f64,
    /// In flight, now or of late, beside the proven.
    pub live: f64,
    /// q′: both latency and in-flight.
    pub overload: f64,
}

fn ewma(mean: &mut f64, gain: f64, value: f64) {
    *mean += gain.clamp(0.0, 1.0) * (value - *mean);
}

impl Estimate {
    /// One control period; `typical` is the baseline, s (0 = unknown).
    pub(super) fn observe(&mut self, period: &Period, typical: f64) {
        let weight = period.weight();
        let span = period.span.max(1e-3);
        let local = (period.ended > 0.0).then(|| period.waited / period.ended);
        let told = period
            .reported
            .map(|reported| reported.turnaround.as_secs_f64())
            .filter(|told| *told > 0.0);
        if let Some(value) = told.or(local) {
            self.turnaround(value, period.ended, told.is_some());
        }
        let ended = period.ended / span;
        ewma(&mut self.rate, 0.1 * weight, ended);
        ewma(&mut self.rate_fast, 0.4 * weight, ended);
        let means = self.offered.iter_mut().zip(&mut self.offered_fast);
        for ((slow, fast), asked) in means.zip(&period.offered) {
            ewma(slow, 0.1 * weight, asked / span);
            ewma(fast, 0.4 * weight, asked / span);
        }
        ewma(&mut self.shed, 0.3 * weight, period.shed() / span);
        ewma(&mut self.asked, 0.3 * weight, period.asked() / span);
        self.unseen(period, typical);
        ewma(&mut self.in_flight, 0.3 * weight, self.live);
        self.answers = (self.answers + period.answered()).min(1e6);
        self.periods = self.periods.saturating_add(1);
    }

    fn turnaround(&mut self, value: f64, ended: f64, told: bool) {
        if self.fast <= 0.0 {
            (self.fast, self.slow) = (value, value);
            return;
        }
        let fast = if told {
            1.0
        } else {
            1.0 - libm::pow(0.75, ended.min(4.0))
        };
        ewma(&mut self.fast, fast, value);
        ewma(&mut self.slow, 1.0 - libm::pow(0.98, ended.min(50.0)), value);
    }

    /// Zombies leave as the live ones do, and by time; parked requests grow only while others finish.
    fn unseen(&mut self, period: &Period, typical: f64) {
        self.parked = period.overdue.min(self.parked + period.ended);
        self.live = (period.in_flight - self.parked).max(0.0);
        self.zombies += period.aborted;
        let drained = if period.answered() > 0.0 {
            (period.answered() / self.live.max(1e-9)).min(1.0)
        } else {
            0.0
        };
        let aged = (period.span / (40.0 * typical).max(2.0)).min(1.0);
        self.zombies = (self.zombies * (1.0 - drained - aged)).max(0.0);
    }

    /// Beside what was learned.
    pub(super) fn ratios(&self, learned: &Learned) -> Ratios {
        let typical = learned.typical.max(1e-6);
        let proven = learned.proven.max(1e-6);
        let fast = self.fast / typical;
        let load = (self.rate_fast * self.fast).max(self.in_flight) / proven;
        Ratios {
            fast,
            slow: self.slow / typical,
            // A node with a request now and then has none at most ticks: what was there of late counts too.
            live: self.live.max(self.in_flight) / proven,
            overload: fast.min(load.max(1.0)),
        }
    }

    /// D: requests inside the service beyond twice what was proven harmless; 4 covers Poisson noise on small nodes.
    pub(super) fn debt(&self, learned: &Learned) -> f64 {
        self.live + self.zombies - (2.0 * learned.proven + 4.0)
    }

    /// Refused part of the connects of late.
    pub(super) fn shed_share(&self) -> f64 {
        if self.asked > 0.0 {
            self.shed / self.asked
        } else {
            0.0
        }
    }

    /// All connects per second.
    pub(super) fn demand(&self) -> f64 {
        self.offered.iter().sum()
    }
}
