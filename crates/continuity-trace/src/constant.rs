//! Every constant of the law in a trace: a real set's come from its policy, and a record is worth nothing without them.
//!
//! Times are nanoseconds, all others as `continuity_field::SetConfig` documents them. Taken apart field by field, so that a
//! constant that is added to the law cannot be forgotten here.

use continuity_field::{
    AdmissionConfig, AdmissionMode, IsolationConfig, Nanos, Objectives, RegimeConfig, SetConfig, SlewConfig,
    Topology, WorkloadProfile,
};
use serde::{Deserialize, Serialize};

/// The constants of one set, as a trace writes them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Constants {
    seed: u64,
    /// What a request takes: 0 Light, 1 Standard, 2 Heavy, 3 Extreme.
    profile: u8,
    max_share_permille: u32,
    slow_start: u64,
    follow_topology: bool,
    #[serde(default)]
    locality_milli: u32,
    regret_overlay: bool,
    isolation: Isolation,
    /// Slots a tick, ticks of a drain, start of a return, its doubling, gain of the slow shares.
    slew: (u32, u32, u32, u64, u32),
    /// Transition, crisis, exit, three dwells, errors that mean crisis.
    regimes: (u32, u32, u32, u64, u64, u64, u32),
    /// Whether admission may act, survival, retry budget.
    admission: (bool, u32, u32),
    /// p99 (0 = none) and error budget.
    objectives: (u64, Option<u32>),
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Isolation {
    enabled: bool,
    max_isolated_permille: u32,
    hold: u64,
    hold_most: u64,
    drip_per_million: u32,
    latency_ratio_milli: u32,
    window_ticks: u32,
    hits: u32,
    error_permille: u32,
    consecutive_failures: u32,
    error_as: u64,
}

const PROFILES: [WorkloadProfile; 4] = [
    WorkloadProfile::Light,
    WorkloadProfile::Standard,
    WorkloadProfile::Heavy,
    WorkloadProfile::Extreme,
];

impl From<&SetConfig> for Constants {
    fn from(config: &SetConfig) -> Self {
        let SetConfig {
            seed,
            profile,
            max_share_permille,
            slow_start,
            topology,
            locality_milli,
            regret_overlay,
            isolation,
            slew,
            regimes,
            admission,
            objectives,
        } = *config;
        let place = PROFILES.iter().position(|known| *known == profile);
        Self {
            seed,
            profile: place.and_then(|place| u8::try_from(place).ok()).unwrap_or(1),
            max_share_permille,
            slow_start: slow_start.0,
            follow_topology: topology == Topology::Follow,
            locality_milli,
            regret_overlay,
            isolation: Isolation::of(&isolation),
            slew: slew_of(&slew),
            regimes: regimes_of(&regimes),
            admission: (
                admission.mode == AdmissionMode::Auto,
                admission.survival_permille,
                admission.retry_budget_permille,
            ),
            objectives: (
                objectives.latency_p99.map_or(0, |time| time.0),
                objectives.error_budget_per_million,
            ),
        }
    }
}

impl Constants {
    /// The constants as the law takes them. What is out of range the law clamps.
    #[must_use]
    pub fn config(&self) -> SetConfig {
        let (rebalance_slots, drain_ticks, return_start_permille, doubling, slow_gain_permille) = self.slew;
        let (transition, crisis, exit, transition_dwell, crisis_dwell, recovery_dwell, errors) = self.regimes;
        let (auto, survival_permille, retry_budget_permille) = self.admission;
        let (p99, error_budget_per_million) = self.objectives;
        SetConfig {
            seed: self.seed,
            profile: PROFILES
                .get(usize::from(self.profile))
                .copied()
                .unwrap_or_default(),
            max_share_permille: self.max_share_permille,
            slow_start: Nanos(self.slow_start),
            topology: if self.follow_topology {
                Topology::Follow
            } else {
                Topology::Ignore
            },
            locality_milli: self.locality_milli,
            regret_overlay: self.regret_overlay,
            isolation: self.isolation.config(),
            slew: SlewConfig {
                rebalance_slots,
                drain_ticks,
                return_start_permille,
                return_doubling: Nanos(doubling),
                slow_gain_permille,
            },
            regimes: RegimeConfig {
                transition_milli: transition,
                crisis_milli: crisis,
                exit_permille: exit,
                transition_dwell: Nanos(transition_dwell),
                crisis_dwell: Nanos(crisis_dwell),
                recovery_dwell: Nanos(recovery_dwell),
                crisis_error_permille: errors,
            },
            admission: AdmissionConfig {
                mode: if auto {
                    AdmissionMode::Auto
                } else {
                    AdmissionMode::Off
                },
                survival_permille,
                retry_budget_permille,
            },
            objectives: Objectives {
                latency_p99: (p99 > 0).then_some(Nanos(p99)),
                error_budget_per_million,
            },
        }
    }
}

impl Isolation {
    fn of(config: &IsolationConfig) -> Self {
        let IsolationConfig {
            enabled,
            max_isolated_permille,
            hold,
            hold_most,
            drip_per_million,
            latency_ratio_milli,
            window_ticks,
            hits,
            error_permille,
            consecutive_failures,
            error_as,
        } = *config;
        Self {
            enabled,
            max_isolated_permille,
            hold: hold.0,
            hold_most: hold_most.0,
            drip_per_million,
            latency_ratio_milli,
            window_ticks,
            hits,
            error_permille,
            consecutive_failures,
            error_as: error_as.0,
        }
    }

    const fn config(&self) -> IsolationConfig {
        IsolationConfig {
            enabled: self.enabled,
            max_isolated_permille: self.max_isolated_permille,
            hold: Nanos(self.hold),
            hold_most: Nanos(self.hold_most),
            drip_per_million: self.drip_per_million,
            latency_ratio_milli: self.latency_ratio_milli,
            window_ticks: self.window_ticks,
            hits: self.hits,
            error_permille: self.error_permille,
            consecutive_failures: self.consecutive_failures,
            error_as: Nanos(self.error_as),
        }
    }
}

const fn slew_of(slew: &SlewConfig) -> (u32, u32, u32, u64, u32) {
    let SlewConfig {
        rebalance_slots,
        drain_ticks,
        return_start_permille,
        return_doubling,
        slow_gain_permille,
    } = *slew;
    (
        rebalance_slots,
        drain_ticks,
        return_start_permille,
        return_doubling.0,
        slow_gain_permille,
    )
}

const fn regimes_of(regimes: &RegimeConfig) -> (u32, u32, u32, u64, u64, u64, u32) {
    let RegimeConfig {
        transition_milli,
        crisis_milli,
        exit_permille,
        transition_dwell,
        crisis_dwell,
        recovery_dwell,
        crisis_error_permille,
    } = *regimes;
    (
        transition_milli,
        crisis_milli,
        exit_permille,
        transition_dwell.0,
        crisis_dwell.0,
        recovery_dwell.0,
        crisis_error_permille,
    )
}

#[cfg(test)]
mod tests {
    use continuity_field::Response;

    use super::*;

    #[test]
    fn every_preset_comes_back_as_it_was() {
        for response in [Response::Gentle, Response::Balanced, Response::Strict] {
            for profile in PROFILES {
                let config = SetConfig {
                    seed: 7,
                    topology: Topology::Ignore,
                    locality_milli: 250,
                    ..SetConfig::preset(response, profile)
                };
                let text = serde_json::to_string(&Constants::from(&config)).unwrap();
                let back: Constants = serde_json::from_str(&text).unwrap();
                assert_eq!(back.config(), config);
            }
        }
    }
}
