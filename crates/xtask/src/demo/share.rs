//! The sick backends' share of new connections over time, and what follows from it: when the fault was detected,
//! and when the backend had its share again.
//!
//! A failed attempt names no backend. While faults are on, it counts as one on the sick backend: for both systems
//! alike, and so that the share can be overstated but never understated.

use super::latency::fraction;
use super::log::{Attempt, Backend};

const SECOND: u64 = 1_000_000_000;
/// Detection: the share over this long lies below a quarter of fair. 250 attempts at 500/s, 50 of them expected.
const DETECT_NS: u64 = SECOND / 2;
/// Return: the share over this long is at least 80 % of fair. 1,000 attempts, 200 expected ± 13.
const RETURN_NS: u64 = 2 * SECOND;
/// Distance between the windows that are looked at.
const STEP_NS: u64 = SECOND / 20;
/// A gain of share is looked for over this long.
const GAIN_NS: u64 = 2 * SECOND;
/// How far above fair a share must lie to be called a gain, in standard deviations of a fair draw.
const GAIN_SIGMA: f64 = 4.0;

/// Attempts of one stream in the order of their due times, each marked as the sick backends' or not.
#[derive(Clone, Debug)]
pub(super) struct Shares {
    marks: Vec<(u64, bool)>,
    fair: f64,
}

impl Shares {
    /// From attempts in the order of their due times; `fair` is the sick backends' share when all is well.
    pub(super) fn new(attempts: &[Attempt], sick: &[Backend], fair: f64) -> Self {
        let bad = |a: &Attempt| a.backend.map_or(a.failed(), |b| sick.contains(&b));
        Self {
            marks: attempts.iter().map(|a| (a.due_ns, bad(a))).collect(),
            fair,
        }
    }

    fn slice(&self, from_ns: u64, to_ns: u64) -> &[(u64, bool)] {
        let at = |ns: u64| self.marks.partition_point(|(due, _)| *due < ns);
        self.marks.get(at(from_ns)..at(to_ns)).unwrap_or_default()
    }

    /// Attempts and the sick backends' part of them.
    pub(super) fn count(&self, from_ns: u64, to_ns: u64) -> (usize, usize) {
        let slice = self.slice(from_ns, to_ns);
        (slice.len(), slice.iter().filter(|(_, bad)| *bad).count())
    }

    /// Attempts, and those on the sick backends that were due while they were sick.
    pub(super) fn count_where(&self, from_ns: u64, to_ns: u64, sick: impl Fn(u64) -> bool) -> (usize, usize) {
        let slice = self.slice(from_ns, to_ns);
        let bad = slice.iter().filter(|(due, bad)| *bad && sick(*due));
        (slice.len(), bad.count())
    }

    /// The share over a window; `None` where nothing was due.
    pub(super) fn over(&self, from_ns: u64, to_ns: u64) -> Option<f64> {
        let (all, bad) = self.count(from_ns, to_ns);
        (all > 0).then(|| fraction(bad) / fraction(all))
    }

    /// Starts of windows in `[from, to]`.
    fn starts(from_ns: u64, to_ns: u64) -> impl Iterator<Item = u64> {
        std::iter::successors(Some(from_ns), |at| at.checked_add(STEP_NS)).take_while(move |at| *at <= to_ns)
    }

    /// Seconds from `from_ns` to the first window below a quarter of fair that ends by `to_ns`.
    pub(super) fn detected(&self, from_ns: u64, to_ns: u64) -> Option<f64> {
        let low = |at: &u64| {
            self.over(*at, *at + DETECT_NS)
                .is_some_and(|share| share < self.fair / 4.0)
        };
        Self::starts(from_ns, to_ns.saturating_sub(DETECT_NS))
            .find(low)
            .map(|at| seconds(at - from_ns))
    }

    /// Seconds from `from_ns` to the first window with at least 80 % of fair that ends by `to_ns`.
    pub(super) fn returned(&self, from_ns: u64, to_ns: u64) -> Option<f64> {
        let back = |at: &u64| {
            self.over(*at, *at + RETURN_NS)
                .is_some_and(|share| share >= self.fair * 0.8)
        };
        Self::starts(from_ns, to_ns.saturating_sub(RETURN_NS))
            .find(back)
            .map(|at| seconds(at - from_ns))
    }

    /// The largest share over any window, and the largest that a fair draw would show.
    pub(super) fn peak(&self, from_ns: u64, to_ns: u64) -> (f64, f64) {
        let mut peak = (0.0_f64, self.fair);
        for at in Self::starts(from_ns, to_ns.saturating_sub(GAIN_NS)) {
            let (all, bad) = self.count(at, at + GAIN_NS);
            if all > 0 && fraction(bad) / fraction(all) > peak.0 {
                let sigma = (self.fair * (1.0 - self.fair) / fraction(all)).sqrt();
                peak = (fraction(bad) / fraction(all), self.fair + GAIN_SIGMA * sigma);
            }
        }
        peak
    }

    /// Share per bin, for a picture: (start of the bin, share).
    pub(super) fn series(&self, from_ns: u64, to_ns: u64, bin_ns: u64) -> Vec<(u64, f64)> {
        let bins = std::iter::successors(Some(from_ns), |at| at.checked_add(bin_ns.max(1)));
        bins.take_while(|at| *at < to_ns)
            .filter_map(|at| Some((at, self.over(at, at + bin_ns)?)))
            .collect()
    }
}

/// Nanoseconds as seconds.
pub(super) fn seconds(ns: u64) -> f64 {
    std::time::Duration::from_nanos(ns).as_secs_f64()
}

#[cfg(test)]
mod tests {
    use super::*;
    use continuity_traffic::record::Outcome;

    /// 500/s over five backends in turn; from `sick_s` to `well_s` backend 0 gets one attempt in a thousand.
    fn log(sick_s: f64, well_s: f64) -> Vec<Attempt> {
        (0..15_000_u64)
            .map(|i| {
                let due_ns = i * SECOND / 500;
                let out = (sick_s..well_s).contains(&seconds(due_ns));
                let backend = match i % 5 {
                    0 if out && i % 1000 != 0 => 1,
                    n => u16::try_from(n).unwrap(),
                };
                let outcome = Outcome::Answered;
                Attempt {
                    due_ns,
                    connect_us: 1,
                    total_us: 1,
                    backend: Some(backend),
                    stream: 0,
                    outcome,
                }
            })
            .collect()
    }

    #[test]
    fn detection_and_return_are_found_where_they_are() {
        let shares = Shares::new(&log(6.2, 14.0), &[0], 0.2);
        let detected = shares.detected(5 * SECOND, 10 * SECOND).unwrap();
        assert!((0.8..1.3).contains(&detected), "{detected}");
        let returned = shares.returned(10 * SECOND, 30 * SECOND).unwrap();
        assert!((2.5..4.1).contains(&returned), "{returned}");
        let late = shares.over(7 * SECOND, 13 * SECOND).unwrap();
        assert!(late < 0.002, "{late}");
    }

    #[test]
    fn what_a_backend_gets_while_it_is_well_is_no_share_of_the_sick() {
        let shares = Shares::new(&log(100.0, 100.0), &[0], 0.2);
        let turns = |at: u64| (at / (3 * SECOND)).is_multiple_of(2);
        let (all, bad) = shares.count_where(0, 12 * SECOND, turns);
        assert_eq!(
            (all, bad),
            (6_000, 600),
            "half of the time, a fifth of the attempts"
        );
        assert_eq!(
            shares.count_where(0, 12 * SECOND, |_| true),
            shares.count(0, 12 * SECOND)
        );
    }

    #[test]
    fn a_fault_that_nobody_detects_has_no_time_of_detection() {
        let shares = Shares::new(&log(100.0, 100.0), &[0], 0.2);
        assert_eq!(shares.detected(5 * SECOND, 25 * SECOND), None);
        assert_eq!(shares.returned(5 * SECOND, 25 * SECOND), Some(0.0));
        let (peak, bound) = shares.peak(5 * SECOND, 25 * SECOND);
        assert!(peak <= bound, "{peak} {bound}");
    }

    #[test]
    fn a_failed_attempt_counts_against_the_sick_backend() {
        let mut attempts = log(100.0, 100.0);
        for attempt in attempts.iter_mut().filter(|a| a.backend == Some(0)) {
            (attempt.backend, attempt.outcome) = (None, Outcome::Refused);
        }
        let shares = Shares::new(&attempts, &[0], 0.2);
        assert!((shares.over(0, 30 * SECOND).unwrap() - 0.2).abs() < 1e-3);
    }

    #[test]
    fn a_backend_that_draws_more_than_fair_is_caught() {
        let mut attempts = log(100.0, 100.0);
        for attempt in attempts.iter_mut().filter(|a| a.backend == Some(1)) {
            attempt.backend = Some(0);
        }
        let (peak, bound) = Shares::new(&attempts, &[0], 0.2).peak(0, 30 * SECOND);
        assert!(peak > 0.39 && peak > bound, "{peak} {bound}");
    }
}
