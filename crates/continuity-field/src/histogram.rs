//! The scale of the turnaround histogram and of the ages of unanswered requests, shared with the kernel programs.
//!
//! The kernel has no floats, so a quarter octave is cut linearly: bucket `4·e + m` holds durations from
//! `2^e·(1 + m/4)` µs up to the next bound. That is `lg(µs) >> 6` with the `lg` of the choice code, so one
//! function serves both.

use crate::Nanos;

/// Buckets of the turnaround histogram: 24 octaves of µs (1 µs … 16.8 s), four each; the last one also holds what is longer.
pub const BUCKETS: usize = 96;

/// Buckets of the ages of unanswered requests; the last one also holds what is older (≥ 4.2 s).
pub const AGE_BUCKETS: usize = 64;

/// Width of an age bucket is `2^AGE_SHIFT` ns = 67.1 ms.
pub const AGE_SHIFT: u32 = 26;

/// Log2 in Q8 with a linear mantissa, `lg` of the choice code: 0 for 0 and 1, 2548 for 1000, error ≤ 0.086 octave.
pub fn lg(value: u64) -> u32 {
    let value = value.max(1);
    let exponent = value.ilog2();
    let mantissa = if exponent >= 8 {
        value >> (exponent - 8)
    } else {
        value << (8 - exponent)
    };
    (exponent << 8) + u32::try_from(mantissa & 0xff).unwrap_or(0)
}

/// The buckets that counted something. Counts come sparse, so eight empty ones are passed at once.
pub(crate) fn counted(counts: &[u32; BUCKETS]) -> impl Iterator<Item = (usize, u32)> + '_ {
    let (eights, _) = counts.as_chunks::<8>();
    let filled = eights.iter().enumerate().filter(|(_, eight)| **eight != [0; 8]);
    filled.flat_map(|(at, eight)| {
        let buckets = eight.iter().enumerate().filter(|(_, count)| **count > 0);
        buckets.map(move |(within, count)| (8 * at + within, *count))
    })
}

/// Bucket of a turnaround of that many µs.
pub fn bucket(micros: u64) -> usize {
    usize::try_from(lg(micros) >> 6)
        .unwrap_or(BUCKETS)
        .min(BUCKETS - 1)
}

/// Lower bound of a bucket in µs.
pub fn lower_micros(bucket: usize) -> f64 {
    let bucket = bucket.min(BUCKETS);
    let octave = i32::try_from(bucket / 4).unwrap_or(0);
    libm::scalbn(1.0 + (bucket % 4) as f64 / 4.0, octave)
}

/// Geometric middle of a bucket in µs: what a sample in it is taken for.
pub fn middle_micros(bucket: usize) -> f64 {
    libm::sqrt(lower_micros(bucket) * lower_micros(bucket + 1))
}

/// Log2 of the geometric middle of a bucket, in octaves of µs.
pub fn level(bucket: usize) -> f64 {
    LEVELS.get(bucket.min(BUCKETS - 1)).copied().unwrap_or(0.0)
}

/// Levels of all buckets: read for every filled bucket of every backend and step.
const LEVELS: [f64; BUCKETS] = {
    // Means of log2(1 + m/4) and log2(1 + (m+1)/4).
    const MIDDLES: [f64; 4] = [0.160_964_047, 0.453_445_298, 0.696_158_711, 0.903_677_461];
    let mut levels = [0.0; BUCKETS];
    let mut bucket = 0;
    while bucket < BUCKETS {
        levels[bucket] = (bucket / 4) as f64 + MIDDLES[bucket % 4];
        bucket += 1;
    }
    levels
};

/// Age bucket at `now` of a request sent at `sent`, both on the kernel's monotonic clock: the difference of their windows
/// of `2^AGE_SHIFT` ns.
pub fn age_bucket(sent: Nanos, now: Nanos) -> usize {
    let windows = (now.0 >> AGE_SHIFT).saturating_sub(sent.0 >> AGE_SHIFT);
    usize::try_from(windows)
        .unwrap_or(AGE_BUCKETS)
        .min(AGE_BUCKETS - 1)
}

/// Least age of a request in an age bucket at `now`: `(bucket − 1)` windows and what has passed of the present one.
pub fn least_age(bucket: usize, now: Nanos) -> Nanos {
    let Some(full) = bucket.checked_sub(1) else {
        return Nanos::ZERO;
    };
    let passed = now.0 & ((1 << AGE_SHIFT) - 1);
    Nanos(((full as u64) << AGE_SHIFT) + passed)
}

/// Value in µs below which `permille` of the counted turnarounds lie, interpolated inside the bucket; `None` if nothing
/// was counted.
pub fn quantile_micros(counts: &[u32; BUCKETS], permille: u32) -> Option<f64> {
    let total: u64 = counts.iter().map(|&count| u64::from(count)).sum();
    if total == 0 {
        return None;
    }
    let rank = total as f64 * f64::from(permille.min(1_000)) / 1_000.0;
    let mut below = 0.0;
    for (bucket, &count) in counts.iter().enumerate() {
        let count = f64::from(count);
        if count > 0.0 && below + count >= rank {
            let (low, high) = (lower_micros(bucket), lower_micros(bucket + 1));
            return Some(low + (high - low) * ((rank - below) / count).clamp(0.0, 1.0));
        }
        below += count;
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_logarithm_has_the_golden_values_of_the_choice_code() {
        assert_eq!(
            [lg(1), lg(3), lg(1_000), lg(22_000), lg(65_535)],
            [0, 384, 2548, 3671, 4095]
        );
    }

    #[test]
    fn a_bucket_starts_where_its_lower_bound_says() {
        for index in 9..BUCKETS {
            let micros = crate::number::to_u64(lower_micros(index));
            assert_eq!(bucket(micros), index, "{micros} µs");
            assert_eq!(bucket(micros - 1), index - 1, "{micros} µs less one");
        }
    }

    #[test]
    fn an_age_bucket_never_claims_more_age_than_the_request_has() {
        for sent in [0_u64, 5, 1 << 26, (1 << 26) + 7, 123_456_789_000] {
            for age in [0_u64, 1, 60_000_000, 67_108_864, 200_000_000, 4_000_000_000] {
                let now = Nanos(sent + age);
                assert!(least_age(age_bucket(Nanos(sent), now), now).0 <= age);
            }
        }
    }

    #[test]
    fn the_level_of_a_bucket_is_the_logarithm_of_its_middle() {
        for bucket in 0..BUCKETS {
            assert!(
                (level(bucket) - libm::log2(middle_micros(bucket))).abs() < 1e-8,
                "{bucket}"
            );
        }
    }

    #[test]
    fn half_of_the_samples_lie_below_the_median() {
        let mut counts = [0; BUCKETS];
        counts[bucket(20_000)] = 50;
        counts[bucket(80_000)] = 50;
        let median = quantile_micros(&counts, 500).unwrap();
        assert!((20_000.0..=24_576.0).contains(&median), "{median}");
        assert_eq!(quantile_micros(&[0; BUCKETS], 500), None);
    }
}
