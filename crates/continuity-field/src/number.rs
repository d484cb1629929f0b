//! The only place where a float becomes an integer: saturating, and zero for what is not a number.

/// Rounds to the nearest `u32`; below zero and NaN give 0, above the range gives `u32::MAX`.
#[allow(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "float to integer casts saturate and map NaN to 0, which is the contract of this function"
)]
pub(crate) fn to_u32(value: f64) -> u32 {
    (value + 0.5) as u32
}

/// Rounds to the nearest `u64`, saturating like [`to_u32`].
#[allow(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "float to integer casts saturate and map NaN to 0, which is the contract of this function"
)]
pub(crate) fn to_u64(value: f64) -> u64 {
    (value + 0.5) as u64
}

/// Rounds half up to an `i32`, saturating, NaN gives 0.
#[allow(
    clippy::cast_possible_truncation,
    reason = "float to integer casts saturate and map NaN to 0, which is the contract of this function"
)]
pub(crate) fn to_i32(value: f64) -> i32 {
    libm::floor(value + 0.5) as i32
}
