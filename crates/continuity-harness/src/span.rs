//! Simulated time: nanoseconds since the start of a run, as plain `u64`.

/// One millisecond.
pub const MILLI: u64 = 1_000_000;
/// One second.
pub const SECOND: u64 = 1_000_000_000;

/// Nanoseconds of that many seconds; negative and NaN give 0.
#[must_use]
#[allow(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a float to integer cast saturates, which is what is wanted at both ends"
)]
pub fn nanos(seconds: f64) -> u64 {
    (seconds * 1e9 + 0.5) as u64
}

/// Seconds of that many nanoseconds.
#[must_use]
pub fn seconds(nanos: u64) -> f64 {
    nanos as f64 / 1e9
}

/// Whole µs, saturating at 71 minutes.
#[must_use]
pub fn micros(nanos: u64) -> u32 {
    u32::try_from(nanos / 1_000).unwrap_or(u32::MAX)
}
