//! One clock for every pod and the driver.
//!
//! All nodes of the cluster are namespaces of one kernel, and none of them has a time namespace, so
//! `CLOCK_MONOTONIC` is the same counter everywhere: times of different pods compare without any correction.

use nix::time::{ClockId, clock_gettime};

/// Nanoseconds of `CLOCK_MONOTONIC`; 0 if the kernel refuses to say, which Linux never does for this clock.
#[must_use]
pub fn now_ns() -> u64 {
    clock_gettime(ClockId::CLOCK_MONOTONIC).map_or(0, |t| {
        let seconds = u64::try_from(t.tv_sec()).unwrap_or(0);
        seconds * 1_000_000_000 + u64::try_from(t.tv_nsec()).unwrap_or(0)
    })
}
