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
