//! The level: requests in flight that the marginal class may have on this node, and what the others get from it.
//!
//! L moves multiplicatively to the overload θ with a pull to the node's trusted share: skewed nodes keep their part, and
//! a node gains nothing by asking for more. Reserves are trunk reservation: T nested by class on the total in flight.

use super::config::Config;
use super::estimate::{Estimate, Ratios};
use super::learn::Learned;
use super::level::LEVELS;
use super::sample::Period;

/// m: multiple of the level, by level.
const MULTIPLE: [f64; LEVELS] = [2.5, 2.0, 1.0, 0.75, 0.5, 0.3];
/// h: head-room in requests, by level.
const HEADROOM: [f64; LEVELS] = [5.0, 4.0, 0.0, 0.0, 0.0, 0.0];
/// Most that the head-room grows while reserved levels are refused.
const HEAD_MOST: f64 = 4.0;
/// Part of θ at which Little's law sets the level.
const JUMP: f64 = 0.8;

/// L and u of one set on one node.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Limiter {
    /// L, requests.
    pub level: f64,
    /// u: factor of the head-room, 0 ..= 4.
    pub head: f64,
}

impl Default for Limiter {
    fn default() -> Self {
        Self {
            level: 0.0,
            head: 1.0,
        }
    }
}

impl Limiter {
    /// Start of soft.
    pub(super) fn enter(estimate: &Estimate, learned: &Learned, config: &Config) -> Self {
        let little = JUMP * config.target() * learned.typical * estimate.rate_fast;
        let level = (config.share() * learned.trusted).max(little);
        Self {
            level: level.min(learned.cap(config)),
            head: 1.0,
        }
    }

    /// Start of soft after hard: slowly upward from the proven.
    pub(super) fn reopen(learned: &Learned) -> Self {
        Self {
            level: learned.proven,
            head: 0.5,
        }
    }

    /// One period in soft.
    pub(super) fn regulate(
        &mut self,
        estimate: &Estimate,
        ratios: &Ratios,
        learned: &Learned,
        period: &Period,
        config: &Config,
    ) {
        if period.ended <= 0.0 && period.reported.is_none() {
            return;
        }
        let target = config.target();
        // A report speaks for the answers of all nodes.
        let evidence = if period.reported.is_some() {
            1.0
        } else {
            (period.ended / 4.0).clamp(0.25, 1.0)
        };
        let gain = period.weight() * config.gain() * evidence;
        let limited = period.shed() > 0.0 || period.most + 1.0 >= self.level / 2.0;
        let factor = (target / ratios.overload.max(1e-9)).clamp(0.5, 1.6);
        if factor < 1.0 || limited {
            self.level *= 1.0 + gain * (factor - 1.0);
        }
        if ratios.fast < JUMP * target && limited {
            let little = JUMP * target * learned.typical * estimate.rate_fast;
            self.level = self.level.max(little);
        }
        let goal = config.share() * learned.trusted;
        self.level += config.pull() * period.weight() * evidence * (goal - self.level);
        let cap = learned.cap(config);
        self.level = self.level.clamp((learned.proven / 2.0).min(cap), cap);
        self.headroom(ratios, gain, period.shed_reserved() > 0.0, target);
    }

    /// u shrinks when reserved levels alone cause the overload, grows while they are refused and latency is fine.
    fn headroom(&mut self, ratios: &Ratios, gain: f64, refused: bool, target: f64) {
        let bound = if refused { HEAD_MOST } else { self.head.max(1.0) };
        let eager = if refused && ratios.overload < 1.5 * target {
            4.0
        } else {
            0.5
        };
        self.head += eager * gain * (1.5 * target / ratios.overload.max(1e-9) - 1.0);
        self.head = self.head.clamp(0.0, bound);
        if self.head > 1.0 {
            self.head = (self.head * 0.99).max(1.0);
        }
    }

    /// T by level in soft, requests; never increasing.
    pub(super) fn thresholds(&self) -> [f64; LEVELS] {
        let mut thresholds = [0.0; LEVELS];
        let parts = MULTIPLE.iter().zip(&HEADROOM);
        for (threshold, (multiple, headroom)) in thresholds.iter_mut().zip(parts) {
            *threshold = multiple * self.level + headroom * self.head;
        }
        thresholds
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn learned() -> Learned {
        Learned {
            typical: 0.022,
            proven: 0.8,
            trusted: 0.8,
            peak: 6.0,
            ..Learned::default()
        }
    }

    fn estimate() -> Estimate {
        Estimate {
            rate_fast: 72.7,
            rate: 72.7,
            ..Estimate::default()
        }
    }

    fn period() -> Period {
        Period {
            span: 0.2,
            steps: 1,
            ended: 14.0,
            ..Period::default()
        }
    }

    #[test]
    fn soft_starts_at_five_times_the_trusted_share() {
        let limiter = Limiter::enter(&estimate(), &learned(), &Config::default());
        assert!((limiter.level - 4.0).abs() < 1e-12, "{limiter:?}");
        let little = 0.8 * 2.8 * 0.022 * 72.7;
        assert!((little - 3.58_f64).abs() < 0.005);
    }

    #[test]
    fn overload_lowers_the_level_and_the_share_pulls_it_back() {
        let mut limiter = Limiter {
            level: 4.0,
            head: 1.0,
        };
        let ratios = Ratios {
            fast: 4.2,
            slow: 4.2,
            live: 4.2,
            overload: 4.2,
        };
        limiter.regulate(&estimate(), &ratios, &learned(), &period(), &Config::default());
        assert!((limiter.level - 3.8464).abs() < 1e-9, "{limiter:?}");
    }

    #[test]
    fn reserved_levels_keep_headroom_beyond_the_level() {
        let limiter = Limiter {
            level: 3.8464,
            head: 1.0,
        };
        let [critical, high, normal, ..] = limiter.thresholds();
        assert!((high - 11.6928).abs() < 1e-9);
        assert!((critical - 14.616).abs() < 1e-9);
        assert!((normal - 3.8464).abs() < 1e-12);
    }

    #[test]
    fn headroom_beyond_one_is_only_for_refused_reserved_levels() {
        let fine = Ratios {
            fast: 2.0,
            slow: 2.0,
            live: 2.0,
            overload: 2.0,
        };
        let mut limiter = Limiter {
            level: 4.0,
            head: 1.0,
        };
        for _ in 0..50 {
            limiter.headroom(&fine, 0.12, false, 2.8);
        }
        assert_eq!(limiter.head, 1.0);
        for _ in 0..50 {
            limiter.headroom(&fine, 0.12, true, 2.8);
        }
        assert!(limiter.head > 3.9, "{limiter:?}");
        let drowned = Ratios {
            overload: 8.0,
            ..fine
        };
        for _ in 0..400 {
            limiter.headroom(&drowned, 0.12, true, 2.8);
        }
        assert_eq!(limiter.head, 0.0);
    }
}
