//! A rate with a burst, in units of cost (GCRA): one number, no timer.

use std::time::Duration;

/// Units a second, and how many may go at once.
#[derive(Clone, Copy, Debug)]
pub(super) struct Rate {
    /// Units a second.
    pub(super) per_second: u32,
    /// Units at once.
    pub(super) burst: u32,
}

/// State: the moment at which the meter will be full again, as a virtual time.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Meter {
    full_at: Duration,
}

impl Rate {
    fn time(self, cost: u32) -> Duration {
        Duration::from_micros(u64::from(cost) * 1_000_000 / u64::from(self.per_second.max(1)))
    }
}

impl Meter {
    /// When `cost` may be spent. A cost beyond the burst waits for a full meter.
    pub(super) fn due(&self, rate: Rate, cost: u32, now: Duration) -> Duration {
        let slack = rate.time(rate.burst.saturating_sub(cost));
        self.full_at.saturating_sub(slack).max(now)
    }

    pub(super) fn spend(&mut self, rate: Rate, cost: u32, now: Duration) {
        self.full_at = self.full_at.max(now) + rate.time(cost);
    }

    pub(super) fn full(&self, now: Duration) -> bool {
        self.full_at <= now
    }
}
