//! Random draws that are a function of a key.
//!
//! A draw depends on its key alone, never on how many draws came before it. Two systems that see the same request
//! therefore give it the same service time, whatever order they see requests in (common random numbers), which is
//! what lets a paired ratio be tight.

/// Mixes 64 bits (the finalizer of `SplitMix64`, Steele, Lea and Flood 2014).
#[must_use]
pub fn mix(mut x: u64) -> u64 {
    x = x.wrapping_add(0x9E37_79B9_7F4A_7C15);
    x = (x ^ (x >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    x = (x ^ (x >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    x ^ (x >> 31)
}

/// A key from bytes (FNV-1a, then [`mix`]).
#[must_use]
pub fn key(bytes: &[u8]) -> u64 {
    mix(bytes.iter().fold(0xCBF2_9CE4_8422_2325, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01B3)
    }))
}

/// A uniform draw in (0, 1), never 0 and never 1, from the upper 52 bits of the mixed key.
#[must_use]
pub fn uniform(key: u64) -> f64 {
    #[expect(clippy::cast_precision_loss, reason = "52 bits fit into the mantissa exactly")]
    let bits = (mix(key) >> 12) as f64;
    (bits + 0.5) / 4_503_599_627_370_496.0
}

/// A standard normal draw (Box-Muller).
#[must_use]
pub fn normal(key: u64) -> f64 {
    let radius = (-2.0 * uniform(key).ln()).sqrt();
    radius * (std::f64::consts::TAU * uniform(key ^ 0x5851_F42D_4C95_7F2D)).cos()
}

/// An exponential draw with mean 1.
#[must_use]
pub fn exponential(key: u64) -> f64 {
    -uniform(key).ln()
}

/// A log-normal draw with the given mean and shape; shape 0 gives the mean itself.
#[must_use]
pub fn log_normal(key: u64, mean: f64, sigma: f64) -> f64 {
    mean * (sigma * normal(key) - sigma * sigma / 2.0).exp()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn log_normal_has_the_asked_mean() {
        let n = 200_000_u32;
        let sum: f64 = (0..n).map(|i| log_normal(u64::from(i), 30.0, 0.5)).sum();
        assert!((sum / f64::from(n) - 30.0).abs() < 0.2);
    }

    #[test]
    fn a_draw_depends_on_its_key_alone() {
        assert_eq!(key(b"/7/42"), key(b"/7/42"));
        assert_ne!(key(b"/7/42"), key(b"/7/43"));
        assert!(uniform(0) > 0.0 && uniform(u64::MAX) < 1.0);
    }
}
