//! Now, as decisions take it: a monotonic clock for durations and the wall clock for what people read.

use continuity_api::Time;
use k8s_openapi::jiff::Timestamp;
use std::time::Duration;

/// One reading of both clocks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Moment {
    /// Time since the process started; never jumps.
    pub mono: Duration,
    /// Wall clock, in whole seconds, as Kubernetes stores it.
    pub wall: Timestamp,
}

impl Moment {
    /// A moment from both readings; the wall clock is cut to whole seconds, so that a stored time equals a computed one.
    #[must_use]
    pub fn new(mono: Duration, wall: Timestamp) -> Self {
        Self {
            mono,
            wall: Timestamp::from_second(wall.as_second()).unwrap_or(wall),
        }
    }

    /// The wall clock as Kubernetes writes it.
    #[must_use]
    pub const fn time(self) -> Time {
        Time(self.wall)
    }

    /// A time that a node's clock gave, never later than ours.
    #[must_use]
    pub fn past(self, reported: &Time) -> Time {
        Time(reported.0.min(self.wall))
    }
}
