//! What this node asks of the set, and what that costs: the figures behind the scale hint and the regime.
//!
//! Rates are exponential means. The trend comes from whole seconds in three windows, so that a step is no ramp.

use crate::baseline::Fleet;
use crate::histogram::{self, BUCKETS};
use crate::number::{to_u32, to_u64};
use crate::track::Track;
use crate::{BackendSample, NodeDemand, Samples};

/// Memory of the published rates, s.
const MEMORY: f64 = 5.0;
/// Memory of the offered rate that is published, s: a step must be seen at once.
const FAST: f64 = 2.0;
/// The trend compares three windows of so many seconds: a ramp rises from each to the next, a step only once.
const PART: usize = 6;
/// Memory of the quantiles and of the error share, s.
const WINDOW: f64 = 10.0;
/// A step explains the course better than a line when it leaves less of the squares by so many times the Poisson variance
/// of a second; the best of 17 steps explains 6 to 8 of them where there is only noise.
const STEPPED: f64 = 8.0;
/// A counter of one backend and step, cut where none can be.
const MOST: u64 = 1_000_000_000;
/// Answers before a p99 is said.
const TAIL_LEAST: f64 = 100.0;

/// A mean of a rate that starts at its first value.
#[derive(Debug, Clone, Copy, Default)]
struct Rate {
    value: f64,
    age: f64,
}

impl Rate {
    fn add(&mut self, count: f64, dt: f64, memory: f64) {
        self.age += dt;
        // While young it is the plain mean: a start from zero would look like a ramp.
        let gain = 1.0 - libm::exp(-dt / memory.min(self.age));
        let gain = if self.age <= dt {
            1.0
        } else {
            gain.max(dt / self.age.max(memory))
        };
        self.value += gain * (count / dt - self.value);
    }
}

/// Connections of the last whole seconds, a ring; the newest at `at`.
#[derive(Debug, Clone, Copy, Default)]
struct Course {
    seconds: [f64; 3 * PART],
    at: usize,
    filled: usize,
    gathered: f64,
    elapsed: f64,
    /// Growth a second, as of the latest whole second.
    trend: f64,
}

impl Course {
    fn add(&mut self, count: f64, dt: f64) {
        self.gathered += count;
        self.elapsed += dt;
        if self.elapsed < 1.0 {
            return;
        }
        self.at = (self.at + 1) % self.seconds.len();
        if let Some(second) = self.seconds.get_mut(self.at) {
            *second = self.gathered / self.elapsed;
        }
        self.filled = (self.filled + 1).min(self.seconds.len());
        self.gathered = 0.0;
        self.elapsed = 0.0;
        self.trend = self.grown();
    }

    fn window(&self, which: usize) -> f64 {
        let ring = self.seconds.len();
        let indices = (which * PART..(which + 1) * PART).map(|back| (self.at + ring - back) % ring);
        indices.filter_map(|index| self.seconds.get(index)).sum()
    }

    /// Growth a second that both halves of the course agree on, less one σ of its Poisson noise.
    fn grown(&self) -> f64 {
        if self.filled < self.seconds.len() {
            return 0.0;
        }
        let (new, middle, old) = (self.window(0), self.window(1), self.window(2));
        let scale = (PART * PART) as f64;
        let (late, early) = ((new - middle) / scale, (middle - old) / scale);
        if late * early <= 0.0 {
            return 0.0;
        }
        let noise = libm::sqrt(new + middle) / scale;
        let size = (late.abs().min(early.abs()) - noise).max(0.0);
        if size > 0.0 && self.stepped() {
            return 0.0;
        }
        size.copysign(late)
    }

    /// Whether one step tells the course better than a line does: a load that came at once, out of nothing for instance,
    /// looks like a ramp to windows while it passes through them.
    fn stepped(&self) -> bool {
        let ring = self.seconds.len();
        let n = ring as f64;
        let oldest_first = || (1..=ring).filter_map(|back| self.seconds.get((self.at + back) % ring));
        let total: f64 = self.seconds.iter().sum();
        let (mut moment, mut left, mut step) = (0.0, 0.0, 0.0_f64);
        for (at, second) in (1_u8..).zip(oldest_first()) {
            let k = f64::from(at);
            moment += (k - (n + 1.0) / 2.0) * second;
            left += second;
            if k < n {
                // Squares between two levels: k (n - k) / n · (difference of the means)².
                let gap = left / k - (total - left) / (n - k);
                step = step.max(k * (n - k) / n * gap * gap);
            }
        }
        let line = moment * moment * 12.0 / (n * (n * n - 1.0));
        step - line > STEPPED * total / n
    }
}

/// Memory of the demand of one set.
#[derive(Debug, Clone)]
pub(crate) struct Demand {
    offered: Rate,
    fast: Rate,
    course: Course,
    answered: Rate,
    failed: Rate,
    in_flight: f64,
    counts: [f64; BUCKETS],
    n: f64,
    /// 99th percentile as of the latest look, µs.
    tail: Option<f64>,
}

impl Default for Demand {
    fn default() -> Self {
        Self {
            offered: Rate::default(),
            fast: Rate::default(),
            course: Course::default(),
            answered: Rate::default(),
            failed: Rate::default(),
            in_flight: 0.0,
            counts: [0.0; BUCKETS],
            n: 0.0,
            tail: None,
        }
    }
}

crate::save::code::stored! {
    Rate { value, age }
    Course { seconds, at, filled, gathered, elapsed, trend }
    Demand { offered, fast, course, answered, failed, in_flight, counts, n, tail }
}

impl Demand {
    /// One step's counters.
    pub(crate) fn observe(&mut self, tracks: &[Track], samples: &Samples<'_>, dt: f64) {
        let (mut attempts, mut answered, mut failed, mut waiting) = (0, 0, 0, 0_u64);
        for (track, sample) in tracks.iter().zip(samples.backends) {
            attempts += sample.attempts.min(MOST);
            answered += sample.answered.min(MOST);
            failed += failures(sample).min(MOST);
            waiting += u64::from(track.look.crowd).min(MOST);
        }
        let (attempts, waiting) = (attempts as f64, waiting as f64);
        self.offered.add(attempts, dt, MEMORY);
        self.fast.add(attempts, dt, FAST);
        self.course.add(attempts, dt);
        self.answered.add(answered as f64, dt, MEMORY);
        self.failed.add(failed as f64, dt, MEMORY);
        self.in_flight += (1.0 - libm::exp(-dt / MEMORY)) * (waiting - self.in_flight);
    }

    /// One look's answers.
    pub(crate) fn look(&mut self, fleet: &Fleet, dt: f64) {
        let keep = libm::exp(-dt / WINDOW);
        self.n = self.n * keep + fleet.n;
        for (kept, new) in self.counts.iter_mut().zip(&fleet.counts) {
            *kept = *kept * keep + new;
        }
        self.tail = self.quantile();
    }

    /// Offered connections a second.
    pub(crate) fn rate(&self) -> f64 {
        self.offered.value
    }

    /// More requests wait than twice what the present answers would keep in flight while calm (Little's law), and one a
    /// backend: work of the crisis is still owed.
    pub(crate) fn in_debt(&self, calm: Option<f64>, backends: usize) -> bool {
        let Some(calm) = calm else { return false };
        let due = self.answered.value * libm::exp2(calm.clamp(0.0, 40.0)) / 1e6;
        self.in_flight > 2.0 * due + backends as f64
    }

    /// Failed share of what ended.
    pub(crate) fn error(&self) -> f64 {
        let ended = self.answered.value + self.failed.value;
        if ended > 0.0 {
            self.failed.value / ended
        } else {
            0.0
        }
    }

    /// 99th percentile of turnaround of all answers of late, µs; `None` below 100 answers.
    pub(crate) fn p99(&self) -> Option<f64> {
        self.tail
    }

    fn quantile(&self) -> Option<f64> {
        if self.n < TAIL_LEAST {
            return None;
        }
        let mut left = self.n * 0.01;
        for (bucket, count) in self.counts.iter().enumerate().rev() {
            if *count > 0.0 && left <= *count {
                let (low, high) = (
                    histogram::lower_micros(bucket),
                    histogram::lower_micros(bucket + 1),
                );
                return Some(high - (high - low) * (left / count));
            }
            left -= count;
        }
        None
    }

    /// The figures for the status.
    pub(crate) fn publish(
        &self,
        tracks: &[Track],
        samples: &[BackendSample],
        level: Option<f64>,
        calm: Option<f64>,
    ) -> NodeDemand {
        let micros = |level: Option<f64>| level.map_or(0, |level| to_u64(libm::exp2(level.clamp(0.0, 40.0))));
        let carrying: f64 = tracks
            .iter()
            .zip(samples)
            .filter(|(track, _)| track.in_use())
            .map(|(_, sample)| crate::share::capacity(sample))
            .sum();
        // Requests on kept-alive connections are work too; a fifth more than connects is no noise.
        let ended = self.answered.value + self.failed.value;
        let offered = if ended > 1.2 * self.offered.value {
            ended
        } else {
            self.fast.value
        };
        NodeDemand {
            offered_milli_per_second: to_u64(1e3 * offered),
            shed_milli_per_second: 0,
            answered_milli_per_second: to_u64(1e3 * self.answered.value),
            trend_milli_per_second2: i64::from(crate::number::to_i32(1e3 * self.course.trend)),
            in_flight_milli: to_u64(1e3 * self.in_flight),
            turnaround_micros: micros(level),
            calm_micros: micros(calm),
            p99_micros: to_u64(self.p99().unwrap_or(0.0)),
            error_permille: to_u32(1e3 * self.error()),
            in_service: u32::try_from(tracks.iter().filter(|track| track.in_service).count())
                .unwrap_or(u32::MAX),
            carrying_milli: to_u32(1e3 * carrying),
            dependency_limited: false,
        }
    }
}

fn failures(sample: &BackendSample) -> u64 {
    let parts = [
        sample.refused,
        sample.timed_out,
        sample.reset_before_data,
        sample.abandoned,
        u64::from(sample.leases.lost),
    ];
    parts.iter().fold(0, |sum, part| sum.saturating_add(*part))
}

#[cfg(test)]
mod tests;
