//! Figures for people and for the report: rates and quantiles over the last seconds.
//!
//! Exponential means with a time constant of 5 s: an event counts 63 % after 5 s, and a Poisson rate r has a standard
//! deviation of √(r / 10 s). The law keeps its own figures; nothing here steers.

use continuity_field::histogram::{BUCKETS, quantile_micros};

/// Time constant of every mean, seconds.
const TIME_CONSTANT: f64 = 5.0;

/// A rate a second.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Rate(f64);

impl Rate {
    /// Takes `count` events over `seconds`.
    pub fn add(&mut self, count: u64, seconds: f64) {
        if seconds > 0.0 {
            let now = wide(count) / seconds;
            self.0 += (now - self.0) * (1.0 - (-seconds / TIME_CONSTANT).exp());
        }
    }

    /// Thousandths a second.
    #[must_use]
    pub fn milli(self) -> i64 {
        i64::try_from(whole(self.0 * 1_000.0)).unwrap_or(i64::MAX)
    }
}

/// From so many requests a second a backend's median means something, in thousandths: the law asks for three late ones
/// within three seconds before it calls a backend late.
const ENOUGH: i64 = 1_000;
/// Below so many it means nothing again; what lies between keeps a rate about the bound from flapping.
const TOO_FEW: i64 = 300;

/// Whether a backend is asked often enough for the median of its answers to mean something.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Asked {
    rate: Rate,
    enough: bool,
}

impl Asked {
    /// Takes `count` requests over `seconds`.
    pub fn add(&mut self, count: u64, seconds: f64) {
        self.rate.add(count, seconds);
        self.enough = self.rate.milli() >= if self.enough { TOO_FEW } else { ENOUGH };
    }

    /// It is.
    #[must_use]
    pub const fn enough(self) -> bool {
        self.enough
    }
}

/// Events counted and their rate.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Flow {
    /// Events since the start.
    pub total: u64,
    /// Their rate.
    pub rate: Rate,
}

impl Flow {
    /// Takes `count` events over `seconds`.
    pub fn add(&mut self, count: u64, seconds: f64) {
        self.total = self.total.saturating_add(count);
        self.rate.add(count, seconds);
    }
}

/// Whether an offered rate has moved so far from the one reported that the cluster should hear of it: by more than a tenth
/// and by more than three standard deviations of the figure itself. Both in thousandths a second.
#[must_use]
pub fn moved(reported: i64, now: i64) -> bool {
    let distance = now.abs_diff(reported);
    let larger = reported.max(now).max(0).unsigned_abs();
    // σ of a Poisson rate r over the effective window 2·τ = 10 s is √(r / 10 s); in thousandths √(r_milli × 100).
    let nine_variances = larger.saturating_mul(900);
    distance.saturating_mul(10) > reported.unsigned_abs()
        && distance.saturating_mul(distance) > nine_variances
}

/// Answer times of the last seconds.
#[derive(Clone, Debug)]
pub struct Answers([f32; BUCKETS]);

impl Default for Answers {
    fn default() -> Self {
        Self([0.0; BUCKETS])
    }
}

/// Fixed point of [`Answers::quantile`]: counts fade below one and still mean something.
const FRACTION: f32 = 256.0;

impl Answers {
    /// Lets `seconds` pass.
    pub fn fade(&mut self, seconds: f64) {
        let keep = (-seconds / TIME_CONSTANT).exp();
        #[allow(
            clippy::cast_possible_truncation,
            reason = "a factor between 0 and 1 fits any float"
        )]
        let keep = keep as f32;
        self.0.iter_mut().for_each(|count| *count *= keep);
    }

    /// Adds answers.
    pub fn add(&mut self, turnaround: &[u32; BUCKETS]) {
        for (sum, count) in self.0.iter_mut().zip(turnaround) {
            #[allow(
                clippy::cast_precision_loss,
                reason = "2^24 answers a tick are beyond any node"
            )]
            let count = *count as f32;
            *sum += count;
        }
    }

    /// Time in µs below which `permille` of the answers lie; 0 when nothing was answered.
    #[must_use]
    pub fn quantile(&self, permille: u32) -> i64 {
        let counts = self
            .0
            .map(|count| u32::try_from(whole(f64::from(count * FRACTION))).unwrap_or(u32::MAX));
        let micros = quantile_micros(&counts, permille).unwrap_or(0.0);
        i64::try_from(whole(micros)).unwrap_or(i64::MAX)
    }
}

/// Rounds to a whole number; what is negative or none gives 0.
#[allow(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "float to integer casts saturate and map NaN to 0, which is the contract here"
)]
fn whole(value: f64) -> u64 {
    (value + 0.5) as u64
}

#[allow(
    clippy::cast_precision_loss,
    reason = "2^53 events between two ticks cannot be"
)]
fn wide(value: u64) -> f64 {
    value as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_steady_stream_settles_on_its_rate() {
        let mut rate = Rate::default();
        for _ in 0..400 {
            rate.add(75, 0.15);
        }
        assert!((499_000..=501_000).contains(&rate.milli()), "{}", rate.milli());
    }

    #[test]
    fn a_rate_halves_in_three_and_a_half_seconds_of_silence() {
        let mut rate = Rate::default();
        for _ in 0..400 {
            rate.add(15, 0.15);
        }
        for _ in 0..23 {
            rate.add(0, 0.15);
        }
        assert!((48_000..=52_000).contains(&rate.milli()), "{}", rate.milli());
    }

    #[test]
    fn a_backend_is_asked_enough_from_one_a_second_and_until_it_is_far_below() {
        let mut asked = Asked::default();
        let mut for_seconds = |a_second: u64, seconds: u64| {
            for _ in 0..seconds {
                asked.add(a_second, 1.0);
            }
            asked.enough()
        };
        assert!(!for_seconds(0, 5));
        assert!(for_seconds(2, 10));
        assert!(for_seconds(0, 5), "nobody asks for a moment");
        assert!(!for_seconds(0, 20));
    }

    #[test]
    fn noise_of_a_poisson_stream_is_no_news_and_a_fifth_more_is() {
        // 500 a second: σ = 7.1, 3σ = 21; a tenth is 50.
        assert!(!moved(500_000, 540_000));
        assert!(moved(500_000, 600_000));
        assert!(moved(500_000, 400_000));
        // 2 a second: σ = 0.45; +20 % is noise, silence is just above 3σ.
        assert!(!moved(2_000, 2_400));
        assert!(!moved(0, 0));
        assert!(moved(0, 10_000));
    }

    #[test]
    fn quantiles_follow_the_last_seconds_and_forget_the_former() {
        let mut answers = Answers::default();
        assert_eq!(answers.quantile(500), 0);
        let mut slow = [0; BUCKETS];
        slow[continuity_field::histogram::bucket(500_000)] = 100;
        answers.add(&slow);
        assert!((400_000..600_000).contains(&answers.quantile(500)));
        answers.fade(60.0);
        let mut fast = [0; BUCKETS];
        fast[continuity_field::histogram::bucket(20_000)] = 100;
        answers.add(&fast);
        assert!((15_000..26_000).contains(&answers.quantile(990)));
    }
}
