//! Time to failure: when a resource that only grows will be used up.
//!
//! A heap that is collected rises and falls; its *floor* rises only if something leaks. So the least use of every
//! [`BUCKET`] is kept for [`BUCKETS`] of them, or of every tooth that is shorter and high enough to be one, and the slope of
//! these floors is the median of all pairs (Theil–Sen: robust against a third of outliers). What is left lies above the
//! highest recent use, because the peak fails first. The 10th and 90th percentile of the pairs' slopes give an interval; a
//! warning needs four fifths of the pairs to rise and even the *latest* end of the interval to lie inside the reaction
//! window (control §4.2: the origin rule, a smoothed derivative, warns 35 % of the time of a saw-tooth without a leak).
//!
//! A growth that begins is judged by the latest [`LEAST`] floors alone where each is above the one before and the first
//! above all that were earlier: what was flat and lower does not speak against it, and ten floors in no order look like
//! that once in 30 240.
//!
//! Pure: the caller hands in use, bound and `now`. It warns; it never sheds or isolates by itself.

use std::fmt;

use crate::Nanos;
use crate::number::to_u64;

/// Time over which the least use is taken: longer than the period of an ordinary collection (8 s).
pub const BUCKET: Nanos = Nanos::from_secs(15);
/// Floors kept: two and a half minutes.
pub const BUCKETS: usize = 10;
/// Time in which a warning can still be acted on: a new pod needs 27 s on average and 55 s at worst.
pub const REACTION: Nanos = Nanos::from_secs(180);
/// Floors before anything is said: ten pairs.
const LEAST: usize = 5;
/// Pairs of [`BUCKETS`] floors.
const PAIRS: usize = BUCKETS * (BUCKETS - 1) / 2;
/// Share of the pairs that must rise.
const RISING: f64 = 0.8;
/// A tooth is at least this part of the bound high, and this long; smaller ones are noise.
const TOOTH: f64 = 0.05;
const TOOTH_LEAST: Nanos = Nanos::from_secs(5);
/// Part of the bound by which a floor lies below the latest ones when memory was given back.
const GIVEN_BACK: f64 = 0.1;
/// No time is said beyond a day.
const FAR: f64 = 86_400.0;
/// What is beyond half a petabyte is cut: no resource is as large.
const MOST: u64 = 1 << 49;

/// When a resource fails if it goes on like this.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TimeToFailure {
    /// By the steepest tenth of the slopes.
    pub soonest: Nanos,
    /// By their median.
    pub likely: Nanos,
    /// By the flattest tenth.
    pub latest: Nanos,
    /// Growth of the floor, units a second.
    pub per_second: u64,
    /// Even the latest end lies inside [`REACTION`]: warn.
    pub near: bool,
}

impl fmt::Display for TimeToFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            soonest,
            likely,
            latest,
            ..
        } = self;
        write!(f, "will be used up in {soonest} to {latest}, likely {likely}")
    }
}

crate::save::code::stored! {
    TimeToFailure { soonest, likely, latest, per_second, near }
    Floors { floors, count, began, least, peak, peak_before, last, collected }
}

/// Floors of one resource of one process or node.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Floors {
    /// Least use of each whole bucket and when, oldest first.
    floors: [(f64, f64); BUCKETS],
    count: usize,
    began: Option<Nanos>,
    /// Least use of the bucket under way, and when; its highest use, and that of the bucket before.
    least: (f64, f64),
    peak: f64,
    peak_before: f64,
    /// The latest sample: a fall from it by a tooth is a collection.
    last: f64,
    /// A collection lies in the bucket under way.
    collected: bool,
}

impl Floors {
    /// One sample: `used` of `bound` units (bytes, descriptors, entries). About one a second is right; more does no harm.
    /// `None` while too little is known or the floor does not rise. `None` too once
    /// memory was given back. A clock that goes back, a bound of 0 (none known) and a gap of more than two buckets start anew.
    pub fn observe(&mut self, used: u64, bound: u64, now: Nanos) -> Option<TimeToFailure> {
        let (used, bound) = (used.min(MOST), bound.min(MOST));
        let (value, at) = (used as f64, now.as_secs_f64());
        let began = *self.began.get_or_insert(now);
        if now < began || now.since(began) > Nanos(2 * BUCKET.0) || bound == 0 {
            *self = Self {
                began: Some(now),
                least: (at, value),
                peak: value,
                last: value,
                ..Self::default()
            };
            return None;
        }
        if now == began {
            (self.least, self.peak) = ((at, value), value);
        }
        let rises = value > self.last;
        let tooth = self.collected && rises && now.since(began) >= TOOTH_LEAST;
        if tooth || now.since(began) >= BUCKET {
            self.close(bound as f64);
            self.began = Some(now);
            self.collected = false;
            (self.least, self.peak) = ((at, value), value);
        }
        self.collected |= self.peak - value > TOOTH * bound as f64;
        self.last = value;
        if value < self.least.1 {
            self.least = (at, value);
        }
        self.peak = self.peak.max(value);
        if self.given_back(bound as f64) {
            return None;
        }
        self.foretell(bound as f64)
    }

    /// The floor of the bucket under way lies far below each of the latest: memory was given back, as by a restart. What grew
    /// before is over, and nothing foretold of it stands.
    fn given_back(&self, bound: f64) -> bool {
        let known = self.floors.get(self.count.saturating_sub(LEAST)..self.count);
        let below = |(_, floor): &(f64, f64)| self.least.1 + GIVEN_BACK * bound < *floor;
        known.is_some_and(|known| !known.is_empty() && known.iter().all(below))
    }

    /// Keeps the floor of the bucket under way, unless it is half of one process and half of the next.
    fn close(&mut self, bound: f64) {
        self.peak_before = self.peak;
        if self.given_back(bound) {
            self.count = 0;
            return;
        }
        if self.count == BUCKETS {
            self.floors.rotate_left(1);
            self.count -= 1;
        }
        if let Some(place) = self.floors.get_mut(self.count) {
            *place = self.least;
            self.count += 1;
        }
    }

    fn foretell(&self, bound: f64) -> Option<TimeToFailure> {
        let floors = self
            .floors
            .get(..self.count)
            .filter(|floors| floors.len() >= LEAST)?;
        // Few floors are believed only in perfect order: a fifth of ten pairs may be wrong by chance once in nine.
        let enough = Some(floors).filter(|floors| floors.len() > LEAST + 1);
        let floors = latest(floors).or(enough)?;
        let mut slopes = [0.0; PAIRS];
        let mut pairs = 0;
        for (index, (since, low)) in floors.iter().enumerate() {
            for (until, high) in floors.iter().skip(index + 1) {
                if let Some(place) = slopes.get_mut(pairs) {
                    *place = (high - low) / (until - since).max(1e-3);
                    pairs += 1;
                }
            }
        }
        let slopes = slopes.get_mut(..pairs)?;
        slopes.sort_unstable_by(f64::total_cmp);
        let rising = slopes.iter().filter(|slope| **slope > 0.0).count() as f64 / pairs as f64;
        let slope = |permille: usize| slopes.get((pairs - 1) * permille / 1_000).copied().unwrap_or(0.0);
        let median = slope(500);
        if rising < RISING || median <= 0.0 {
            return None;
        }
        let left = (bound - self.peak.max(self.peak_before)).max(0.0);
        let time = |slope: f64| {
            let seconds = if slope > 0.0 { left / slope } else { FAR };
            Nanos(to_u64(seconds.min(FAR) * 1e9))
        };
        let latest = time(slope(100));
        Some(TimeToFailure {
            soonest: time(slope(900)),
            likely: time(median),
            latest,
            per_second: to_u64(median),
            near: latest < REACTION,
        })
    }
}

/// The latest floors, where they rise without exception above all earlier ones.
fn latest(floors: &[(f64, f64)]) -> Option<&[(f64, f64)]> {
    let (earlier, late) = floors.split_at_checked(floors.len().checked_sub(LEAST)?)?;
    let (_, first) = late.first()?;
    let above = earlier.iter().all(|(_, floor)| floor <= first);
    (above && late.is_sorted_by(|(_, low), (_, high)| low < high)).then_some(late)
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: f64 = 1_048_576.0;
    const BOUND: f64 = 4_096.0 * MIB;

    /// A heap that is collected whenever it has grown by 600 MiB ± 20 %, about every `period` s, above a live set that
    /// starts at 1 GiB and leaks; one sample a second. When it warned first, and when it failed; s.
    fn heap(leak: f64, period: f64, seed: u64, seconds: u64) -> (Option<u64>, Option<u64>, u64) {
        let (mut floors, mut warned, mut warnings) = (Floors::default(), None, 0);
        let (mut live, mut garbage, mut limit) = (1_024.0, 0.0, 600.0);
        let mut chance = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
        for second in 0..seconds {
            live += leak;
            garbage += 600.0 / period;
            if garbage >= limit {
                garbage = 0.0;
                chance ^= chance << 13;
                chance ^= chance >> 7;
                chance ^= chance << 17;
                limit = 600.0 * (0.8 + 0.4 * (chance % 1_000) as f64 / 1_000.0);
            }
            let used = (live + garbage) * MIB;
            if used >= BOUND {
                return (warned, Some(second), warnings);
            }
            let told = floors.observe(to_u64(used), to_u64(BOUND), Nanos::from_secs(50 + second));
            if told.is_some_and(|told| told.near) {
                warned = warned.or(Some(second));
                warnings += 1;
            }
        }
        (warned, None, warnings)
    }

    #[test]
    fn a_saw_tooth_without_a_leak_never_warns() {
        for period in [4.0, 8.0, 12.0, 30.0, 60.0] {
            for seed in 1..=20 {
                let (warned, _, warnings) = heap(0.0, period, seed, 3_600);
                assert_eq!((warned, warnings), (None, 0), "period {period} s, seed {seed}");
            }
        }
    }

    #[test]
    fn a_leak_is_told_at_least_45_seconds_before_it_kills() {
        for leak in [1.0, 2.0, 5.0, 10.0] {
            for seed in 1..=20 {
                let (warned, failed, _) = heap(leak, 8.0, seed, 4_000);
                let (warned, failed) = (warned.unwrap(), failed.unwrap());
                assert!(
                    warned + 45 <= failed,
                    "{leak} MiB/s, seed {seed}: {warned} s, {failed} s"
                );
                assert!(
                    failed - warned <= 400,
                    "{leak} MiB/s, seed {seed}: {warned} s, {failed} s"
                );
            }
        }
    }

    /// A tooth of 200 MiB every 7 s under a limit of 512, and a leak of 2 MiB/s from the second minute on: 81 s are left.
    #[test]
    fn a_leak_that_begins_is_told_by_the_floors_of_a_few_teeth() {
        let mut floors = Floors::default();
        // Its pod is killed at 141 s, and its successor leaks from the start.
        for (life, from) in [(0..141_u64, 60.0), (141..222, 141.0)] {
            let mut warned = None;
            for second in life {
                let leak = 2.0 * (second as f64 - from).max(0.0);
                let used = (150.0 + 200.0 / 7.0 * (second % 7) as f64 + leak) * MIB;
                let told = floors.observe(to_u64(used), to_u64(512.0 * MIB), Nanos::from_secs(50 + second));
                // What was said of the one before stands until its successor has a floor.
                if told.is_some_and(|told| told.near) && second as f64 > from + 10.0 {
                    warned = warned.or(Some(second as f64));
                }
            }
            let warned = warned.unwrap() - from;
            assert!((1.0..=50.0).contains(&warned), "{warned} s after {from} s");
        }
    }

    #[test]
    fn floors_in_no_order_never_warn() {
        let mut floors = Floors::default();
        let mut chance = 0x9E37_79B9_7F4A_7C15_u64;
        for second in 0..200_000_u64 {
            chance ^= chance << 13;
            chance ^= chance >> 7;
            chance ^= chance << 17;
            let noise = (chance % 1_000) as f64 / 1_000.0;
            let tooth = (second % 7) as f64 / 7.0;
            let used = (100.0 + 100.0 * noise + 200.0 * tooth) * MIB;
            let told = floors.observe(to_u64(used), to_u64(512.0 * MIB), Nanos::from_secs(50 + second));
            assert!(!told.is_some_and(|told| told.near), "{second} s");
        }
    }

    #[test]
    fn a_steady_leak_is_foretold_to_the_second() {
        let mut floors = Floors::default();
        let mut told = None;
        for second in 0..200 {
            told = floors.observe(1_000 + 10 * second, 10_000, Nanos::from_secs(second + 1));
        }
        let told = told.unwrap();
        assert_eq!(told.per_second, 10);
        assert_eq!((told.soonest, told.latest), (told.likely, told.likely));
        assert!(
            (700..=702).contains(&(told.likely.as_millis() / 1_000)),
            "{told:?}"
        );
        assert!(!told.near);
    }

    #[test]
    fn what_was_foretold_falls_with_the_sample_that_shows_a_restart() {
        let (mut floors, mut told) = (Floors::default(), None);
        let at = |second: u64| Nanos::from_secs(50 + second);
        for second in 0..100 {
            told = floors.observe(100 + 5 * second, 700, at(second));
        }
        assert!(told.is_some_and(|told| told.near), "{told:?}");
        // Less than a tenth of the bound below the latest floors is a collection; more is another process.
        let mut collected = floors.clone();
        let told = collected.observe(240, 700, at(100));
        assert!(told.is_some_and(|told| told.near), "{told:?}");
        assert_eq!(floors.observe(20, 700, at(100)), None);
        // The new process leaks too, and is judged by its own floors alone.
        let mut told = None;
        for second in 101..190 {
            let before = told.replace(floors.observe(20 + 5 * (second - 100), 700, at(second)));
            assert!(second > 175 || before.flatten().is_none(), "{second}: {before:?}");
        }
        let told = told.flatten();
        assert!(
            told.is_some_and(|told| told.near && told.per_second == 5),
            "{told:?}"
        );
    }

    #[test]
    fn what_cannot_be_gives_no_time() {
        let mut floors = Floors::default();
        for (second, used, bound) in [
            (5, 1, 0),
            (3, u64::MAX, 1),
            (900, 0, u64::MAX),
            (901, u64::MAX, 1),
        ] {
            assert_eq!(floors.observe(used, bound, Nanos::from_secs(second)), None);
        }
    }
}
