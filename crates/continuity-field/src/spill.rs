//! When the backends in use drown, isolated ones carry again at a fixed price.
//!
//! Isolation assumes that the others can carry the load. If their median answer takes more than 8 × the calm level while
//! somebody is isolated, the isolated ones get slots and the fixed score `lg(12 · calm)`: they are chosen exactly where
//! everybody else is worse than that. It ends below 2 × calm (law-balancing §2.6).

use crate::evidence::micros;
use crate::histogram::lg;
use crate::{Nanos, Reason};

const ENTER: f64 = 8.0;
const LEAVE: f64 = 2.0;
const PRICE: u64 = 12;
/// A calm level below this says nothing about drowning: 8 × 0.5 ms is no distress.
const LEAST_CALM: Nanos = Nanos::from_millis(5);

/// Whether isolated backends carry, and at what score (Q8 log2 of µs).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Spill {
    pub price: Option<i32>,
}

impl Spill {
    pub(crate) fn look(
        &mut self,
        isolated: bool,
        median: Option<f64>,
        calm: Option<f64>,
        reasons: &mut Vec<Reason>,
    ) {
        let (Some(median), Some(calm)) = (median.map(micros), calm.map(micros)) else {
            return;
        };
        let calm = calm.max(LEAST_CALM);
        let ratio = median.0 as f64 / calm.0 as f64;
        match self.price {
            None if isolated && ratio > ENTER => {
                self.price = i32::try_from(lg(calm.as_micros().saturating_mul(PRICE))).ok();
                reasons.push(Reason::Spilled { median, calm });
            }
            Some(_) if !isolated || ratio < LEAVE => {
                self.price = None;
                reasons.push(Reason::SpillEnded { median });
            }
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Level of so many ms.
    fn level(millis: f64) -> f64 {
        libm::log2(1e3 * millis)
    }

    fn look(spill: &mut Spill, isolated: bool, median: f64, calm: f64) -> Vec<&'static str> {
        let mut reasons = Vec::new();
        spill.look(isolated, Some(level(median)), Some(level(calm)), &mut reasons);
        reasons.iter().map(Reason::name).collect()
    }

    #[test]
    fn the_isolated_carry_from_eight_times_calm_until_below_twice() {
        let mut spill = Spill::default();
        assert!(look(&mut spill, true, 159.0, 20.0).is_empty(), "below 8 × calm");
        assert!(
            look(&mut spill, false, 400.0, 20.0).is_empty(),
            "nobody is isolated"
        );
        assert_eq!(spill.price, None);
        assert_eq!(look(&mut spill, true, 161.0, 20.0), ["Spilled"]);
        // Twelve times calm: they are chosen where everybody else is worse than 240 ms.
        let price = spill.price.unwrap();
        assert!(
            (price - i32::try_from(lg(240_000)).unwrap()).abs() <= 1,
            "{price}"
        );
        assert!(look(&mut spill, true, 161.0, 20.0).is_empty(), "said once");
        assert!(look(&mut spill, true, 41.0, 20.0).is_empty(), "still twice calm");
        assert_eq!(look(&mut spill, true, 39.0, 20.0), ["SpillEnded"]);
        assert_eq!(spill.price, None);
    }

    #[test]
    fn exactly_eight_times_calm_is_no_distress_and_exactly_twice_still_is() {
        // Powers of two, so that nothing is rounded.
        let (calm, mut spill) = (13.0, Spill::default());
        let mut at = |median: f64| {
            let mut reasons = Vec::new();
            spill.look(true, Some(median), Some(calm), &mut reasons);
            reasons.len()
        };
        assert_eq!(at(calm + 3.0), 0);
        assert_eq!(at(calm + 3.01), 1);
        assert_eq!(at(calm + 1.0), 0);
        assert_eq!(at(calm + 0.99), 1);
    }

    #[test]
    fn it_ends_with_the_last_isolation() {
        let mut spill = Spill::default();
        assert_eq!(look(&mut spill, true, 400.0, 20.0), ["Spilled"]);
        assert_eq!(look(&mut spill, false, 400.0, 20.0), ["SpillEnded"]);
    }

    #[test]
    fn a_service_that_answers_in_less_than_five_milliseconds_drowns_at_forty() {
        let mut spill = Spill::default();
        assert!(look(&mut spill, true, 39.0, 0.5).is_empty());
        assert_eq!(look(&mut spill, true, 41.0, 0.5), ["Spilled"]);
    }

    #[test]
    fn without_a_median_or_a_calm_level_nothing_changes() {
        let mut spill = Spill::default();
        assert_eq!(look(&mut spill, true, 400.0, 20.0), ["Spilled"]);
        let (before, mut reasons) = (spill, Vec::new());
        spill.look(false, None, Some(level(20.0)), &mut reasons);
        spill.look(false, Some(level(20.0)), None, &mut reasons);
        assert!(reasons.is_empty() && spill == before);
    }
}
