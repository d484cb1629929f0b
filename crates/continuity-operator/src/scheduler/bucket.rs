//! Token bucket of one slot: 4 at once, one more every 7.5 s; so any minute sees at most 4 + 60 / 7.5 = 12 writes.

use crate::decide::Urgency;
use std::time::Duration;

/// Writes that can follow each other at once.
const BURST: u32 = 4;
/// Time in which one token comes back.
const REFILL: Duration = Duration::from_millis(7_500);
/// Tokens that figures leave for transitions.
const RESERVE: u32 = 2;
/// Least time between a write and figures after it.
const FIGURE_SPACING: Duration = Duration::from_secs(5);

/// State: the moment at which the bucket will be full again, as a virtual time (GCRA).
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Bucket {
    full_at: Duration,
    last: Option<Duration>,
}

impl Bucket {
    /// When a write of this urgency may go.
    pub(super) fn due(&self, urgency: Urgency, now: Duration) -> Duration {
        let tokens = match urgency {
            Urgency::Transition => 1,
            Urgency::Figure => 1 + RESERVE,
        };
        // With `tokens` in the bucket, at most BURST - tokens are missing, each worth one REFILL.
        let slack = REFILL.saturating_mul(BURST - tokens);
        let due = self.full_at.saturating_sub(slack).max(now);
        match (urgency, self.last) {
            (Urgency::Figure, Some(last)) => due.max(last + FIGURE_SPACING),
            _ => due,
        }
    }

    /// Takes a token.
    pub(super) fn spend(&mut self, now: Duration) {
        self.full_at = self.full_at.max(now) + REFILL;
        self.last = Some(now);
    }

    /// Whether all tokens are back.
    pub(super) fn full(&self, now: Duration) -> bool {
        self.full_at <= now
    }
}
