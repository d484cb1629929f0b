//! The gate and the trickle: which part of each class may come at all, and what survives whatever happens.
//!
//! Reservation in flight cannot separate five classes where a node owns three slots; the gate does, from measured demand.
//! It never limits the sum (slack above one), the threshold does. The trickle keeps every class alive.

use super::config::Config;
use super::estimate::Estimate;
use super::level::{LEVELS, Level};

/// Part of the completions kept free between neighbouring classes, so that the lower one does not live on noise.
const MARGIN: f64 = 0.15;
/// The gate opens below this part of θ, four times as fast as the overload falls.
const OPENS: f64 = 0.65;

/// Part of each level's connects that may come, 0 ..= 1.
///
/// `overload` is q′. Demand that fell by half is believed at once: a surge that ended must not leave refusals behind.
pub(super) fn gates(estimate: &Estimate, overload: f64, config: &Config) -> [f64; LEVELS] {
    let opening = 1.0 + 4.0 * (OPENS - overload / config.target()).max(0.0);
    let mut left = config.slack() * opening * estimate.rate.max(0.8 * estimate.rate_fast);
    let mut gates = [1.0; LEVELS];
    for (level, gate) in Level::ALL.into_iter().zip(&mut gates) {
        let index = level.index();
        let slow = estimate.offered.get(index).copied().unwrap_or(0.0);
        let fast = estimate.offered_fast.get(index).copied().unwrap_or(0.0);
        let demand = if fast < slow / 2.0 { fast } else { slow };
        if !level.reserved() {
            *gate = if demand > 0.0 {
                (left / demand).clamp(0.0, 1.0)
            } else if left > 0.0 {
                1.0
            } else {
                0.0
            };
        }
        let margin = if !level.reserved() && demand > 0.0 {
            MARGIN * estimate.rate
        } else {
            0.0
        };
        left = (left - demand - margin).max(0.0);
    }
    gates
}

/// Time between two survivors of each level, s; 0 = none. `period` is the control period, s.
pub(super) fn trickles(estimate: &Estimate, period: f64, config: &Config) -> [f64; LEVELS] {
    let longest = 50.0 * period;
    let mut trickles = [0.0; LEVELS];
    for (level, trickle) in Level::ALL.into_iter().zip(&mut trickles) {
        if level == Level::Excess {
            continue;
        }
        let demand = estimate.offered.get(level.index()).copied().unwrap_or(0.0);
        let rate = (config.survival() * demand).min(config.survival() / 2.0 * estimate.rate);
        *trickle = if rate * longest > 1.0 { 1.0 / rate } else { longest };
    }
    trickles
}

#[cfg(test)]
mod tests {
    use super::*;

    fn estimate() -> Estimate {
        let offered = [7.0, 22.0, 58.0, 36.0, 0.0, 0.0];
        Estimate {
            rate: 72.7,
            rate_fast: 72.7,
            offered,
            offered_fast: offered,
            ..Estimate::default()
        }
    }

    #[test]
    fn the_gate_gives_each_class_what_the_higher_ones_leave() {
        let gates = gates(&estimate(), 2.8, &Config::default());
        assert_eq!(gates, [1.0, 1.0, 1.0, 0.0, 0.0, 0.0]);
    }

    #[test]
    fn the_gate_opens_as_the_overload_falls() {
        let busy = gates(&estimate(), 2.8, &Config::default());
        let easing = gates(&estimate(), 1.2, &Config::default());
        let index = 3;
        assert!(easing[index] > busy[index], "{easing:?}");
    }

    #[test]
    fn a_surge_that_ended_leaves_no_refusals_behind() {
        let mut estimate = estimate();
        estimate.offered = [7.0, 22.0, 300.0, 0.0, 0.0, 0.0];
        estimate.offered_fast = [7.0, 22.0, 30.0, 0.0, 0.0, 0.0];
        assert_eq!(gates(&estimate, 2.8, &Config::default())[2], 1.0);
    }

    #[test]
    fn a_class_survives_at_a_hundredth_of_its_demand_but_takes_little() {
        let mut estimate = estimate();
        estimate.offered = [100.0, 1.0, 0.0, 10.0, 100.0, 100.0];
        let trickles = trickles(&estimate, 0.2, &Config::default());
        assert!((trickles[0] - 2.751).abs() < 1e-3, "{trickles:?}");
        assert_eq!(trickles[1..4], [10.0, 10.0, 10.0]);
        assert_eq!(trickles[5], 0.0);
    }
}
