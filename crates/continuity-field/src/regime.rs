//! Posture of a set on a node, and how it moves: worse at once, better after a dwell and below a lower threshold.
//!
//! | from | condition (3 of 5 looks where it is a measurement) | to |
//! | --- | --- | --- |
//! | any but crisis | pressure > crisis, failed > bound, p99 beyond the objective, or refusals > 5 % | crisis |
//! | laminar | pressure > transition, or a backend isolated, suspect or returning | transition |
//! | transition | none of these, pressure below the exit, for the dwell | laminar |
//! | crisis | none of crisis' conditions, pressure below its exit, for the dwell | recovery |
//! | recovery | none of transition's, queue debt repaid, for the dwell | laminar |

use std::fmt;

use crate::{Nanos, RegimeConfig};

/// How the set is doing, as a posture: worse at once, better after a dwell.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub enum Regime {
    /// Everything flows.
    #[default]
    Laminar,
    /// Something is being corrected.
    Transition,
    /// The set as a whole does not carry what is asked of it.
    Crisis,
    /// The crisis is over; its debt is being repaid before everything opens.
    Recovery,
}

impl Regime {
    /// Name as it stands in status, metrics and events.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Laminar => "Laminar",
            Self::Transition => "Transition",
            Self::Crisis => "Crisis",
            Self::Recovery => "Recovery",
        }
    }
}

impl fmt::Display for Regime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// What the machine looks at, once a look.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Signals {
    /// Pressure of the set.
    pub pressure: f64,
    /// Share of failed requests of the set's backends in use.
    pub error: f64,
    /// p99 beyond the objective, with enough answers to say so.
    pub breached: bool,
    /// Share of refused connects.
    pub refused: f64,
    /// A backend is isolated, suspect or returning.
    pub correcting: bool,
    /// Work is still owed.
    pub in_debt: bool,
}

/// Share of refused connects that means crisis.
const REFUSED: f64 = 0.05;

/// A change of regime: from, to.
pub(crate) type Turn = (Regime, Regime);

/// The machine of one set.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Machine {
    pub regime: Regime,
    pub since: Nanos,
    /// Since when the way to better has been open.
    better_since: Option<Nanos>,
    /// One bit a look: conditions of transition by measurement, and of crisis.
    strained: u32,
    critical: u32,
}

crate::save::code::stored! {
    Machine { regime, since, better_since, strained, critical }
}

impl Machine {
    /// One look; returns the change, if there is one.
    pub(crate) fn look(&mut self, signals: &Signals, config: &RegimeConfig, now: Nanos) -> Option<Turn> {
        let enter = f64::from(config.transition_milli.max(1_001)) / 1_000.0;
        let crisis = (f64::from(config.crisis_milli) / 1_000.0).max(enter);
        let failed = f64::from(config.crisis_error_permille.clamp(1, 1_000)) / 1_000.0;
        let keep = f64::from(config.exit_permille.min(1_000)) / 1_000.0;
        let bad = signals.pressure > crisis
            || signals.error > failed
            || signals.breached
            || signals.refused > REFUSED;
        self.critical = self.critical << 1 | u32::from(bad);
        self.strained = self.strained << 1 | u32::from(signals.pressure > enter);
        let critical = (self.critical & 0x1f).count_ones() >= 3;
        let strained = (self.strained & 0x1f).count_ones() >= 3 || signals.correcting;
        let below = |threshold: f64| signals.pressure < 1.0 + (threshold - 1.0) * keep;
        let (worse, better, dwell, to) = match self.regime {
            Regime::Laminar if critical => (Some(Regime::Crisis), false, Nanos::ZERO, Regime::Laminar),
            Regime::Laminar if strained => (Some(Regime::Transition), false, Nanos::ZERO, Regime::Laminar),
            Regime::Laminar => (None, false, Nanos::ZERO, Regime::Laminar),
            Regime::Transition => {
                let open = !strained && below(enter);
                (
                    critical.then_some(Regime::Crisis),
                    open,
                    config.transition_dwell,
                    Regime::Laminar,
                )
            }
            Regime::Crisis => (
                None,
                !critical && below(crisis),
                config.crisis_dwell,
                Regime::Recovery,
            ),
            Regime::Recovery => {
                // A debt that is not repaid within three dwells is none: long jobs wait too.
                let most = Nanos(config.recovery_dwell.0.saturating_mul(3));
                let owing = signals.in_debt && now.since(self.since) < most;
                let open = !strained && below(enter) && !owing;
                (
                    critical.then_some(Regime::Crisis),
                    open,
                    config.recovery_dwell,
                    Regime::Laminar,
                )
            }
        };
        if let Some(to) = worse {
            return Some(self.go(to, now));
        }
        if !better {
            self.better_since = None;
            return None;
        }
        let since = *self.better_since.get_or_insert(now);
        (now.since(since) >= dwell).then(|| self.go(to, now))
    }

    fn go(&mut self, to: Regime, now: Nanos) -> Turn {
        let from = self.regime;
        self.regime = to;
        self.since = now;
        self.better_since = None;
        (from, to)
    }
}

/// What the kernel is asked to enforce.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub enum Enforcement {
    /// Everybody is admitted.
    #[default]
    Normal,
    /// The limiter sheds the lowest classes.
    Soft,
    /// Only the top class and the survival trickle.
    Hard,
}

impl Enforcement {
    /// Name as it stands in status, metrics and events.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Normal => "Normal",
            Self::Soft => "Soft",
            Self::Hard => "Hard",
        }
    }
}

impl fmt::Display for Enforcement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

#[cfg(test)]
mod table;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::SetConfig;

    const TICK: u64 = 200;

    /// Looks at the same signals for that long; returns where it ends.
    fn stay(machine: &mut Machine, signals: Signals, from: u64, millis: u64) -> Regime {
        let config = SetConfig::default().regimes;
        for at in (from..from + millis).step_by(200) {
            machine.look(&signals, &config, Nanos::from_millis(at));
        }
        machine.regime
    }

    fn pressure(pressure: f64) -> Signals {
        Signals {
            pressure,
            ..Signals::default()
        }
    }

    /// regime × what is seen → regime after 2 looks, 3 looks, 1.8 s, and 30 s.
    #[test]
    fn the_table_of_regime_and_state() {
        use Regime::{Crisis, Laminar, Recovery, Transition};
        let calm = pressure(1.0);
        let strained = pressure(1.5);
        let critical = pressure(2.5);
        let correcting = Signals {
            correcting: true,
            ..calm
        };
        let failing = Signals { error: 0.2, ..calm };
        let breached = Signals {
            breached: true,
            ..calm
        };
        let refusing = Signals { refused: 0.1, ..calm };
        let owing = Signals {
            in_debt: true,
            ..calm
        };
        let table = [
            (Laminar, calm, [Laminar, Laminar, Laminar, Laminar]),
            (Laminar, strained, [Laminar, Transition, Transition, Transition]),
            (
                Laminar,
                correcting,
                [Transition, Transition, Transition, Transition],
            ),
            (Laminar, critical, [Laminar, Crisis, Crisis, Crisis]),
            (Laminar, failing, [Laminar, Crisis, Crisis, Crisis]),
            (Laminar, breached, [Laminar, Crisis, Crisis, Crisis]),
            (Laminar, refusing, [Laminar, Crisis, Crisis, Crisis]),
            (Transition, calm, [Transition, Transition, Transition, Laminar]),
            (
                Transition,
                strained,
                [Transition, Transition, Transition, Transition],
            ),
            (
                Transition,
                correcting,
                [Transition, Transition, Transition, Transition],
            ),
            (Transition, critical, [Transition, Crisis, Crisis, Crisis]),
            (Crisis, calm, [Crisis, Crisis, Crisis, Recovery]),
            (Crisis, critical, [Crisis, Crisis, Crisis, Crisis]),
            (Recovery, calm, [Recovery, Recovery, Recovery, Laminar]),
            (Recovery, owing, [Recovery, Recovery, Recovery, Recovery]),
            (Recovery, critical, [Recovery, Crisis, Crisis, Crisis]),
        ];
        for (start, signals, expected) in table {
            for (looks, expected) in [2, 3, 9, 149].into_iter().zip(expected) {
                let mut machine = Machine {
                    regime: start,
                    ..Machine::default()
                };
                assert_eq!(
                    stay(&mut machine, signals, 0, looks * TICK),
                    expected,
                    "{start} {signals:?} {looks} looks"
                );
            }
        }
    }

    #[test]
    fn a_debt_holds_recovery_for_three_dwells_and_no_longer() {
        let owing = Signals {
            in_debt: true,
            ..pressure(1.0)
        };
        for (seconds, expected) in [(59, Regime::Recovery), (81, Regime::Laminar)] {
            let mut machine = Machine {
                regime: Regime::Recovery,
                ..Machine::default()
            };
            assert_eq!(
                stay(&mut machine, owing, 0, seconds * 1_000),
                expected,
                "{seconds} s"
            );
        }
    }

    #[test]
    fn pressure_around_the_threshold_does_not_flap() {
        let config = SetConfig::default().regimes;
        let mut machine = Machine::default();
        let mut changes = 0;
        for look in 0..100_u64 {
            let signals = pressure(if look % 2 == 0 { 1.4 } else { 1.2 });
            changes += u32::from(
                machine
                    .look(&signals, &config, Nanos::from_millis(200 * look))
                    .is_some(),
            );
        }
        assert!(changes <= 2, "{changes}");
    }
}
