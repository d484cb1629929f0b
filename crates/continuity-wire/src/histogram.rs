//! Logarithmic scales of the kernel's histograms.
//!
//! A value of x µs with its leading one at bit e falls into octave e; the octave is cut linearly into 2^n parts by
//! the n bits below the leading one (the mantissa of `ct_lg` in `bpf/choice.h`). So bucket edges are
//! 2^e × (1 + k / 2^n), and no bucket is wider than 1/2^n of its lower edge. The last bucket also takes all that is
//! longer.

/// Buckets of the turnaround histogram: quarter octaves of µs, 0 µs .. 16.8 s; the last also takes what is longer.
pub const TURNAROUND_BUCKETS: usize = 96;

/// Buckets of the connect-time histogram: half octaves of µs, 0 µs .. 36 min; the last also takes longer.
pub const CONNECT_BUCKETS: usize = 62;

/// A histogram's scale.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Scale {
    parts_log2: u32,
    buckets: usize,
}

impl Scale {
    /// Of the turnaround histogram.
    pub const TURNAROUND: Self = Self {
        parts_log2: 2,
        buckets: TURNAROUND_BUCKETS,
    };
    /// Of the connect-time histogram.
    pub const CONNECT: Self = Self {
        parts_log2: 1,
        buckets: CONNECT_BUCKETS,
    };

    /// Bucket of a time in µs.
    #[must_use]
    pub fn bucket(self, micros: u64) -> usize {
        let value = micros.max(1);
        let octave = value.ilog2();
        let mantissa = if octave >= self.parts_log2 {
            (value >> (octave - self.parts_log2)) & ((1 << self.parts_log2) - 1)
        } else {
            (value << (self.parts_log2 - octave)) & ((1 << self.parts_log2) - 1)
        };
        let index = (u64::from(octave) << self.parts_log2) + mantissa;
        usize::try_from(index).unwrap_or(usize::MAX).min(self.buckets - 1)
    }

    /// Smallest time in µs that falls into a bucket, rounded up to a whole µs.
    #[must_use]
    pub fn lower_edge(self, bucket: usize) -> u64 {
        let bucket = u64::try_from(bucket.min(self.buckets - 1)).unwrap_or(0);
        let parts = 1u64 << self.parts_log2;
        let octave = bucket >> self.parts_log2;
        ((parts + (bucket & (parts - 1))) << octave).div_ceil(parts)
    }
}

#[cfg(test)]
mod tests {
    use super::Scale;

    #[test]
    fn a_time_lies_between_the_edges_of_its_bucket() {
        for scale in [Scale::TURNAROUND, Scale::CONNECT] {
            for micros in (1..5_000).chain((5_000..20_000_000).step_by(7_919)) {
                let bucket = scale.bucket(micros);
                assert!(
                    scale.lower_edge(bucket) <= micros,
                    "{micros} is below bucket {bucket}"
                );
                assert!(
                    bucket == scale.buckets - 1 || micros < scale.lower_edge(bucket + 1),
                    "{micros} is above bucket {bucket}"
                );
            }
        }
    }

    #[test]
    fn a_bucket_is_at_most_a_quarter_of_its_lower_edge_wide() {
        for bucket in 12..super::TURNAROUND_BUCKETS - 1 {
            let low = Scale::TURNAROUND.lower_edge(bucket);
            let high = Scale::TURNAROUND.lower_edge(bucket + 1);
            assert!((high - low) * 4 <= low, "bucket {bucket}: {low}..{high}");
        }
    }

    #[test]
    fn what_is_longer_than_the_scale_falls_into_the_last_bucket() {
        assert_eq!(Scale::TURNAROUND.bucket(u64::MAX), 95);
        assert_eq!(Scale::CONNECT.bucket(u64::MAX), 61);
        assert_eq!(Scale::TURNAROUND.bucket(0), 0);
    }
}
