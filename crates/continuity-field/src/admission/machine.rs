//! Normal, soft and hard: worse on evidence, better after a dwell, and never latched.
//!
//! | from | condition, once per period, first match | to |
//! | --- | --- | --- |
//! | normal | latency and in-flight ratio above entry for 6 answers, or the fuse refused while not calm | soft |
//! | soft | 3 s old, and at least 10 requests ended without an answer in periods where most did and q > 6 | hard |
//! | soft | ≤ 5 % refused, debt paid, calm, no retry storm (the last three waived after 60 s without refusals), for the dwell | normal |
//! | hard | 5 answers since the last bad period and 2 s without one, or 30 s old: probe, never latch | soft |
//!
//! Silence is no evidence of health: hard is left on answers or by time.

use super::config::Config;
use super::estimate::{Estimate, Ratios};
use super::learn::Learned;
use super::reason::Reason;
use super::sample::Period;
use crate::number::{to_u32, to_u64};
use crate::{Enforcement, Nanos, Regime};

/// Refused part that counts as refusing.
pub(super) const REFUSING: f64 = 0.05;
/// Answers that a period with a report counts for at least.
const TOLD: f64 = 2.0;
const HARD_AFTER: Nanos = Nanos::from_secs(3);
const HARD_ABORTS: f64 = 10.0;
const HARD_RATIO: f64 = 6.0;
const HARD_MOST: Nanos = Nanos::from_secs(30);
const HARD_ANSWERS: f64 = 5.0;
const HARD_QUIET: Nanos = Nanos::from_secs(2);
const WAIVED: Nanos = Nanos::from_secs(60);
const RELAPSE: Nanos = Nanos::from_secs(60);
const DWELL_MOST: Nanos = Nanos::from_secs(300);

/// The machine of one set on one node.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Machine {
    /// What is enforced.
    pub mode: Enforcement,
    /// Since when.
    pub since: Nanos,
    evidence: f64,
    dwell: Nanos,
    left: Option<Nanos>,
    better: Option<Nanos>,
    refused: Nanos,
    aborts: f64,
    answers: f64,
    bad: Nanos,
}

/// What one period shows.
pub(super) struct Signs<'a> {
    pub period: &'a Period,
    pub estimate: &'a Estimate,
    pub ratios: &'a Ratios,
    pub learned: &'a Learned,
    pub storm: bool,
    pub config: &'a Config,
    pub now: Nanos,
}

impl Machine {
    /// One period; the reason if the mode changed.
    pub(super) fn turn(&mut self, signs: &Signs<'_>) -> Option<Reason> {
        if signs.period.shed() > 0.0 {
            self.refused = signs.now;
        }
        match self.mode {
            Enforcement::Normal => self.entering(signs),
            Enforcement::Soft => self.drowning(signs).or_else(|| self.calming(signs)),
            Enforcement::Hard => self.reopening(signs),
        }
    }

    /// The regime that goes with what is enforced: laminar and transition only with normal, recovery only with soft.
    pub(super) const fn regime(&self, refusing: bool, owing: bool, strained: bool) -> Regime {
        match (self.mode, refusing || owing, strained) {
            (Enforcement::Hard, ..) | (Enforcement::Soft, true, _) => Regime::Crisis,
            (Enforcement::Soft, false, _) => Regime::Recovery,
            (Enforcement::Normal, _, true) => Regime::Transition,
            (Enforcement::Normal, _, false) => Regime::Laminar,
        }
    }

    fn go(&mut self, to: Enforcement, now: Nanos) {
        self.mode = to;
        self.since = now;
        self.evidence = 0.0;
        self.better = None;
        self.aborts = 0.0;
        self.answers = 0.0;
        self.bad = now;
    }

    fn entering(&mut self, signs: &Signs<'_>) -> Option<Reason> {
        let Signs { ratios, config, .. } = signs;
        let high = ratios.fast > config.enter() && ratios.live > config.enter();
        // A report speaks for the answers of all nodes.
        let told = if signs.period.reported.is_some() {
            TOLD
        } else {
            0.0
        };
        self.evidence = if high {
            self.evidence + signs.period.ended.max(told)
        } else {
            0.0
        };
        let shown = self.evidence >= f64::from(config.evidence.clamp(1, 1_000));
        let fused = signs.period.shed() > 0.0 && ratios.fast > config.calm();
        if !shown && !fused {
            return None;
        }
        let answers = self.evidence;
        let relapsed = self.left.is_some_and(|left| signs.now.since(left) < RELAPSE);
        let longest = Nanos(self.dwell.0.saturating_mul(2)).min(DWELL_MOST);
        self.dwell = if relapsed {
            longest.max(config.dwell)
        } else {
            config.dwell
        };
        self.go(Enforcement::Soft, signs.now);
        let latency_milli = to_u32(1e3 * ratios.fast);
        Some(if shown {
            Reason::Overloaded {
                latency_milli,
                in_flight_milli: to_u32(1e3 * ratios.live),
                answers: to_u32(answers),
            }
        } else {
            Reason::Fused {
                refused: to_u32(signs.period.shed()),
                latency_milli,
            }
        })
    }

    /// Soft to hard.
    fn drowning(&mut self, signs: &Signs<'_>) -> Option<Reason> {
        let period = signs.period;
        if period.ended > 2.0 * period.aborted {
            self.aborts = 0.0;
        } else if 2.0 * period.aborted > period.ended && signs.ratios.fast > HARD_RATIO {
            self.aborts += period.aborted;
        }
        if self.aborts < HARD_ABORTS || signs.now.since(self.since) < HARD_AFTER {
            return None;
        }
        let aborted = to_u32(self.aborts);
        self.go(Enforcement::Hard, signs.now);
        Some(Reason::Drowning {
            aborted,
            latency_milli: to_u32(1e3 * signs.ratios.fast),
        })
    }

    /// Soft to normal.
    fn calming(&mut self, signs: &Signs<'_>) -> Option<Reason> {
        let waived = signs.now.since(self.refused) >= WAIVED;
        let paid = signs.estimate.debt(signs.learned) <= 0.0;
        let calm = signs.ratios.slow <= signs.config.calm();
        let better = signs.estimate.shed_share() <= REFUSING && (waived || (paid && calm && !signs.storm));
        if !better {
            self.better = None;
            return None;
        }
        let since = *self.better.get_or_insert(signs.now);
        if signs.now.since(since) < self.dwell {
            return None;
        }
        let after = signs.now.since(self.since);
        self.left = Some(signs.now);
        self.go(Enforcement::Normal, signs.now);
        Some(Reason::Calmed {
            after,
            calm_for: signs.now.since(since),
        })
    }

    fn reopening(&mut self, signs: &Signs<'_>) -> Option<Reason> {
        let period = signs.period;
        let crowded = signs.estimate.live > 2.0 * signs.learned.proven + 4.0;
        if crowded || (period.aborted > 0.0 && 2.0 * period.aborted > period.ended) {
            self.answers = 0.0;
            self.bad = signs.now;
        } else {
            self.answers += period.answered();
        }
        let healed = self.answers >= HARD_ANSWERS && signs.now.since(self.bad) >= HARD_QUIET;
        let old = signs.now.since(self.since) >= HARD_MOST;
        if !healed && !old {
            return None;
        }
        let (answers, after) = (to_u64(self.answers), signs.now.since(self.since));
        self.go(Enforcement::Soft, signs.now);
        Some(if healed {
            Reason::Answering { answers, after }
        } else {
            Reason::Probing { after }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Mode × refusing more than 5 % × debt owed × slow or fused, as the specification lists them.
    #[test]
    fn the_truth_table_of_mode_and_regime() {
        use Enforcement::{Hard, Normal, Soft};
        use Regime::{Crisis, Laminar, Recovery, Transition};
        let table = [
            // refusing, owing, strained: in normal, soft, hard
            ((false, false, false), [Laminar, Recovery, Crisis]),
            ((false, false, true), [Transition, Recovery, Crisis]),
            ((false, true, false), [Laminar, Crisis, Crisis]),
            ((false, true, true), [Transition, Crisis, Crisis]),
            ((true, false, false), [Laminar, Crisis, Crisis]),
            ((true, false, true), [Transition, Crisis, Crisis]),
            ((true, true, false), [Laminar, Crisis, Crisis]),
            ((true, true, true), [Transition, Crisis, Crisis]),
        ];
        for ((refusing, owing, strained), row) in table {
            for (mode, expected) in [Normal, Soft, Hard].into_iter().zip(row) {
                let machine = Machine {
                    mode,
                    ..Machine::default()
                };
                let found = machine.regime(refusing, owing, strained);
                assert_eq!(found, expected, "{mode}, {refusing} {owing} {strained}");
            }
        }
    }
}
