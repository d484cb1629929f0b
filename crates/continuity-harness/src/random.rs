//! Seeded random numbers whose every bit is pinned here.
//!
//! Why not a library: a published digest of a run must survive an update of dependencies. xoshiro256++ seeded by
//! SplitMix64 (Blackman & Vigna, public domain), logarithm and cosine from a pinned maths library.

/// One stream.
#[derive(Debug, Clone)]
pub struct Random {
    state: [u64; 4],
    spare: Option<f64>,
}

fn mix(state: &mut u64) -> u64 {
    *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mut z = *state;
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// A hash of two numbers, for phases and per-node seeds.
#[must_use]
pub fn hash(a: u64, b: u64) -> u64 {
    let mut state = a ^ b.rotate_left(32);
    mix(&mut state);
    mix(&mut state)
}

impl Random {
    /// The stream `name` of a run's `seed`; streams of one seed are independent of each other.
    #[must_use]
    pub fn new(seed: u64, name: &str) -> Self {
        let mut state = name
            .bytes()
            .fold(seed, |state, byte| hash(state, u64::from(byte)));
        Self {
            state: [mix(&mut state), mix(&mut state), mix(&mut state), mix(&mut state)],
            spare: None,
        }
    }

    /// 64 random bits.
    pub fn bits(&mut self) -> u64 {
        let [a, b, c, d] = &mut self.state;
        let result = a.wrapping_add(*d).rotate_left(23).wrapping_add(*a);
        let t = *b << 17;
        *c ^= *a;
        *d ^= *b;
        *b ^= *c;
        *a ^= *d;
        *c ^= t;
        *d = d.rotate_left(45);
        result
    }

    /// Uniform in `[0, 1)`, 53 bits.
    pub fn uniform(&mut self) -> f64 {
        (self.bits() >> 11) as f64 / (1_u64 << 53) as f64
    }

    /// Uniform in `0..bound`; 0 if `bound` is 0. The bias of the multiply-shift is below 2^-32 here.
    pub fn below(&mut self, bound: usize) -> usize {
        let product = u128::from(self.bits()) * bound as u128;
        usize::try_from(product >> 64).unwrap_or(0)
    }

    /// Exponential with mean 1.
    pub fn exponential(&mut self) -> f64 {
        -libm::log(1.0 - self.uniform())
    }

    /// Standard normal (Box–Muller).
    pub fn normal(&mut self) -> f64 {
        if let Some(spare) = self.spare.take() {
            return spare;
        }
        let radius = libm::sqrt(2.0 * self.exponential());
        let (sine, cosine) = libm::sincos(self.uniform() * std::f64::consts::TAU);
        self.spare = Some(radius * sine);
        radius * cosine
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stream_is_the_same_on_every_machine() {
        let mut random = Random::new(11, "arrivals");
        let first: Vec<u64> = (0..3).map(|_| random.bits()).collect();
        assert_eq!(first, Random::new(11, "arrivals").clone_bits(3));
        assert_ne!(first, Random::new(11, "service").clone_bits(3));
    }

    #[test]
    fn means_are_where_they_belong() {
        let mut random = Random::new(1, "test");
        let draws = 100_000;
        let mean = |f: &mut dyn FnMut() -> f64| (0..draws).map(|_| f()).sum::<f64>() / f64::from(draws);
        let exponential = mean(&mut || random.exponential());
        assert!((exponential - 1.0).abs() < 0.02, "{exponential}");
        let mut random = Random::new(2, "test");
        let square = mean(&mut || random.normal().powi(2));
        assert!((square - 1.0).abs() < 0.02, "{square}");
        let mut random = Random::new(3, "test");
        let below = mean(&mut || random.below(10) as f64);
        assert!((below - 4.5).abs() < 0.05, "{below}");
    }

    impl Random {
        fn clone_bits(mut self, count: usize) -> Vec<u64> {
            (0..count).map(|_| self.bits()).collect()
        }
    }
}
