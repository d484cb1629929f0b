//! The kernel's words of one caller and set: what the agent writes, and what connect keeps.

use crate::Nanos;
use crate::admission::conforms;

/// Cells a caller may be ahead of its pace.
const BURST: u64 = 4;
/// A connect this soon after a failure may be its retry.
const RETRY_WITHIN: Nanos = Nanos::from_secs(1);
/// Failures that wait for their retry; more are forgotten, which only makes the index smaller.
const MOST_OWED: u32 = 1_024;

/// What the agent writes; 16 bytes.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct CallerWords {
    /// Pace of the caller's share, ns; 0 = not limited.
    pub interval: u64,
    /// Pace of its retries, ns; 0 = not limited.
    pub retry_interval: u64,
}

/// What connect keeps; 48 bytes. Counters only grow.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct CallerLive {
    /// Next time of the share, ns.
    pub at: u64,
    /// Next time of a retry, ns.
    pub retry_at: u64,
    /// Latest failure, ns.
    pub failed_at: u64,
    /// Connects that asked.
    pub offered: u64,
    /// Of those, taken for retries.
    pub retries: u64,
    /// Failures that no connect has followed yet.
    pub owed: u32,
    /// Always 0.
    pub reserved: u32,
}

impl CallerLive {
    /// An attempt was refused, or ended without an answer.
    pub fn failed(&mut self, now: Nanos) {
        self.owed = (self.owed + 1).min(MOST_OWED);
        self.failed_at = now.0;
    }

    /// Counts a connect; whether it is above what the caller may.
    pub fn exceeds(&mut self, words: &CallerWords, now: Nanos) -> bool {
        self.offered = self.offered.wrapping_add(1);
        if now.since(Nanos(self.failed_at)) > RETRY_WITHIN {
            self.owed = 0;
        }
        let retry = self.owed > 0;
        if retry {
            self.owed -= 1;
            self.retries = self.retries.wrapping_add(1);
        }
        let beyond = |at: &mut u64, interval: u64| {
            interval > 0 && !conforms(at, interval, interval.saturating_mul(BURST), now)
        };
        (retry && beyond(&mut self.retry_at, words.retry_interval)) || beyond(&mut self.at, words.interval)
    }
}
