//! When requests are due: a Poisson process whose rate is a polyline in time.
//!
//! Arrivals depend on seed and rate alone, so two streams with the same seed are due at the same instants. With
//! cumulative rate Λ(t) = ∫λ, the n-th arrival is the t that solves Λ(t) = E₁ + … + Eₙ for exponential Eᵢ of mean 1
//! (time change of a unit Poisson process); on a segment with linear λ that is one quadratic equation.

use crate::draw;
use serde::{Deserialize, Serialize};

/// A corner of the polyline. Before the first corner and after the last the rate is theirs.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Serialize)]
pub struct Knot {
    /// Milliseconds after the start.
    pub at_ms: u64,
    /// Requests a second, finite and not negative.
    pub per_second: f64,
}

/// The arrivals of one stream, in nanoseconds after its start.
#[derive(Clone, Debug)]
pub struct Arrivals {
    knots: Vec<Knot>,
    seed: u64,
    drawn: u64,
    now: f64,
}

impl Arrivals {
    /// Arrivals for a seed; corners that go back in time are put in order.
    #[must_use]
    pub fn new(seed: u64, mut knots: Vec<Knot>) -> Self {
        knots.retain(|k| k.per_second.is_finite() && k.per_second >= 0.0);
        knots.sort_by_key(|k| k.at_ms);
        Self {
            knots,
            seed: draw::mix(seed),
            drawn: 0,
            now: 0.0,
        }
    }

    /// Rate now, its slope, and where the segment ends (seconds).
    fn segment(&self) -> (f64, f64, f64) {
        let seconds = |k: &Knot| std::time::Duration::from_millis(k.at_ms).as_secs_f64();
        let after = self.knots.partition_point(|k| seconds(k) <= self.now);
        let before = after.checked_sub(1).and_then(|i| self.knots.get(i));
        match (before, self.knots.get(after)) {
            (Some(a), Some(b)) => {
                let slope = (b.per_second - a.per_second) / (seconds(b) - seconds(a));
                (a.per_second + slope * (self.now - seconds(a)), slope, seconds(b))
            }
            (None, Some(b)) => (b.per_second, 0.0, seconds(b)),
            (Some(a), None) => (a.per_second, 0.0, f64::INFINITY),
            (None, None) => (0.0, 0.0, f64::INFINITY),
        }
    }
}

/// Smallest t ≥ 0 with `rate·t + slope·t²/2 = work`, if the line ever gathers that much.
fn crossing(rate: f64, slope: f64, work: f64) -> Option<f64> {
    let root = rate * rate + 2.0 * slope * work;
    if root < 0.0 {
        return None;
    }
    // The form that does not cancel for a small slope.
    let below = rate + root.sqrt();
    (below > 0.0).then(|| 2.0 * work / below)
}

impl Iterator for Arrivals {
    type Item = u64;

    fn next(&mut self) -> Option<u64> {
        let mut work = draw::exponential(self.seed.wrapping_add(self.drawn));
        self.drawn += 1;
        loop {
            let (rate, slope, end) = self.segment();
            match crossing(rate, slope, work) {
                Some(step) if self.now + step <= end => {
                    self.now += step;
                    return Some(nanos(self.now));
                }
                _ if end.is_infinite() => return None,
                _ => {
                    let span = end - self.now;
                    work = (work - span * (rate + slope * span / 2.0)).max(0.0);
                    self.now = end;
                }
            }
        }
    }
}

fn nanos(seconds: f64) -> u64 {
    std::time::Duration::try_from_secs_f64(seconds)
        .ok()
        .and_then(|d| u64::try_from(d.as_nanos()).ok())
        .unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn knot(at_ms: u64, per_second: f64) -> Knot {
        Knot { at_ms, per_second }
    }

    #[test]
    fn same_seed_gives_the_same_arrivals() {
        let times = |seed| {
            Arrivals::new(seed, vec![knot(0, 167.0)])
                .take(1000)
                .collect::<Vec<_>>()
        };
        assert_eq!(times(5), times(5));
        assert_ne!(times(5), times(6));
    }

    #[test]
    fn a_constant_rate_is_kept() {
        let last = Arrivals::new(1, vec![knot(0, 500.0)]).nth(49_999).unwrap();
        let seconds = std::time::Duration::from_nanos(last).as_secs_f64();
        assert!((seconds - 100.0).abs() < 2.0, "{seconds}");
    }

    #[test]
    fn a_ramp_gathers_the_area_under_it() {
        // 100/s for 10 s, up to 200/s over 10 s, then 200/s: 1000 + 1500 + 2000 in 30 s.
        let knots = vec![knot(0, 100.0), knot(10_000, 100.0), knot(20_000, 200.0)];
        let times: Vec<u64> = Arrivals::new(3, knots)
            .take_while(|t| *t < 30_000_000_000)
            .collect();
        assert!((4300..4700).contains(&times.len()), "{}", times.len());
        assert!(times.is_sorted());
    }

    #[test]
    fn no_rate_means_no_arrival() {
        assert_eq!(Arrivals::new(3, vec![]).next(), None);
        assert_eq!(Arrivals::new(3, vec![knot(0, 0.0)]).next(), None);
        let stops = Arrivals::new(3, vec![knot(0, 100.0), knot(1000, 100.0), knot(1001, 0.0)]);
        assert!((60..150).contains(&stops.count()));
    }
}
