//! Latency of a group of attempts.
//!
//! Quantiles are by nearest rank over *all* attempts of the group. An attempt that failed counts with the client's
//! time-out, however fast it failed: a refusal after 1 ms served nobody in 1 ms, and counting it so would let a
//! backend that fails fast look good.

use serde::{Deserialize, Serialize};

use super::log::Attempt;

/// What a failed attempt counts as: the clients' time-out.
pub(super) const TIMEOUT_US: u32 = 2_000_000;

/// The smallest value that at least `ppm` millionths of `sorted` do not exceed; `None` of nothing.
pub(super) fn quantile(sorted: &[u32], ppm: usize) -> Option<u32> {
    let rank = (sorted.len() * ppm).div_ceil(1_000_000).max(1);
    sorted.get(rank - 1).copied()
}

/// A count as a number to divide by; counts here stay far below 2^53.
pub(super) fn fraction(count: usize) -> f64 {
    u32::try_from(count).map_or(f64::INFINITY, f64::from)
}

/// Attempts, failures, and quantiles of latency and connection set-up.
#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq, Serialize)]
pub(super) struct Summary {
    /// Attempts.
    pub(super) attempts: usize,
    /// Of them, failed.
    pub(super) failed: usize,
    /// Median latency, ms.
    pub p50_ms: f64,
    /// 99th percentile, ms.
    pub p99_ms: f64,
    /// 99.9th percentile, ms.
    pub p999_ms: f64,
    /// Median set-up of the connection, µs.
    pub connect_p50_us: f64,
}

impl Summary {
    /// The summary of these attempts.
    pub(super) fn of(attempts: &[Attempt]) -> Self {
        let mut total: Vec<u32> = attempts.iter().map(cost_us).collect();
        total.sort_unstable();
        let mut connect: Vec<u32> = attempts
            .iter()
            .filter(|a| !a.failed() && a.connect_us > 0)
            .map(|a| a.connect_us)
            .collect();
        connect.sort_unstable();
        let ms = |ppm| quantile(&total, ppm).map_or(0.0, |us| f64::from(us) / 1e3);
        Self {
            attempts: attempts.len(),
            failed: attempts.iter().filter(|a| a.failed()).count(),
            p50_ms: ms(500_000),
            p99_ms: ms(990_000),
            p999_ms: ms(999_000),
            connect_p50_us: quantile(&connect, 500_000).map_or(0.0, f64::from),
        }
    }

    /// Failed attempts in a million.
    pub(super) fn failed_ppm(&self) -> f64 {
        if self.attempts == 0 {
            0.0
        } else {
            fraction(self.failed) / fraction(self.attempts) * 1e6
        }
    }
}

/// What an attempt cost its user, µs.
pub(super) fn cost_us(attempt: &Attempt) -> u32 {
    if attempt.failed() {
        attempt.total_us.max(TIMEOUT_US)
    } else {
        attempt.total_us
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use continuity_traffic::record::Outcome;

    #[test]
    fn quantiles_are_by_nearest_rank() {
        let values: Vec<u32> = (1..=100).collect();
        assert_eq!(quantile(&values, 500_000), Some(50));
        assert_eq!(quantile(&values, 990_000), Some(99));
        assert_eq!(quantile(&values, 999_000), Some(100));
        assert_eq!(quantile(&values, 1_000_000), Some(100));
        assert_eq!(quantile(&[7], 10_000), Some(7));
        assert_eq!(quantile(&[], 500_000), None);
    }

    #[test]
    fn a_fast_failure_counts_as_the_whole_time_out() {
        let attempt = |total_us, outcome| Attempt {
            due_ns: 0,
            connect_us: 50,
            total_us,
            backend: None,
            stream: 0,
            outcome,
        };
        let mut attempts = vec![attempt(30_000, Outcome::Answered); 98];
        attempts.extend([attempt(100, Outcome::Reset); 2]);
        let summary = Summary::of(&attempts);
        assert_eq!((summary.attempts, summary.failed), (100, 2));
        assert!((summary.p50_ms - 30.0).abs() < 1e-9 && (summary.p99_ms - 2000.0).abs() < 1e-9);
        assert!((summary.failed_ppm() - 20_000.0).abs() < 1e-6);
    }
}
