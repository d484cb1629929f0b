//! Every constant of the law for one set, with unit and range; three presets resolve what a policy does not name.
//!
//! A compiled policy carries integers; so does this. Out-of-range values are clamped where they are used, never trusted.

use crate::Nanos;

/// Preset of every constant that a policy does not name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Response {
    /// Acts later and on more evidence; for services whose answers vary widely.
    Gentle,
    /// The measured default.
    #[default]
    Balanced,
    /// Acts sooner; for services with narrow answers and many replicas.
    Strict,
}

/// How long an ordinary request of the service takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum WorkloadProfile {
    /// About 10 ms.
    Light,
    /// About 100 ms.
    #[default]
    Standard,
    /// About 5 s.
    Heavy,
    /// About 60 s.
    Extreme,
}

impl WorkloadProfile {
    /// What a request is taken to need while nothing was learned yet.
    pub const fn typical(self) -> Nanos {
        match self {
            Self::Light => Nanos::from_millis(10),
            Self::Standard => Nanos::from_millis(100),
            Self::Heavy => Nanos::from_secs(5),
            Self::Extreme => Nanos::from_secs(60),
        }
    }
}

/// Whether distance counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Topology {
    /// Prefer what the Service's own hints prefer.
    #[default]
    Follow,
    /// All backends alike.
    Ignore,
}

/// Isolation, drip and return.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct IsolationConfig {
    /// Off: pressure alone moves shares.
    pub enabled: bool,
    /// Most backends that may be isolated at once, permille of those in service, rounded down; 0 ..= 500, and never the last.
    pub max_isolated_permille: u32,
    /// Shortest isolation; doubles with each relapse (one level is forgiven per minute). 0.5 s ..= 300 s.
    pub hold: Nanos,
    /// Longest isolation between two tries.
    pub hold_most: Nanos,
    /// Trickle that tests isolated backends: parts per million of the fleet's connections. 100 ..= 10 000.
    pub drip_per_million: u32,
    /// Latency against the peers' median that counts as gray, thousandths. 2 000 ..= 64 000.
    pub latency_ratio_milli: u32,
    /// Ticks looked back on, 1 ..= 32.
    pub window_ticks: u32,
    /// Of those, ticks that must look gray, 1 ..= `window_ticks`.
    pub hits: u32,
    /// Share of failed requests (moving mean) that isolates, permille. 50 ..= 1 000.
    pub error_permille: u32,
    /// Failures in a row, with no good answer between, that isolate at once. 1 ..= 100.
    pub consecutive_failures: u32,
    /// A failed attempt weighs as much as an answer this late.
    pub error_as: Nanos,
}

/// How fast shares move.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct SlewConfig {
    /// Slots a backend may gain or lose per tick while shares are rebalanced. 1 ..= 64.
    pub rebalance_slots: u32,
    /// Ticks in which an isolated backend is emptied. 1 ..= 50.
    pub drain_ticks: u32,
    /// Share at which a released backend starts, permille of fair. 1 ..= 1 000.
    pub return_start_permille: u32,
    /// Time in which the share of a returning backend doubles.
    pub return_doubling: Nanos,
    /// Gain of the slow shares per second, permille; share ∝ 2^(−mean deviation in octaves). 0 ..= 100.
    pub slow_gain_permille: u32,
}

/// Regimes: thresholds on the pressure of the set, and dwell.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct RegimeConfig {
    /// Pressure that enters transition, thousandths.
    pub transition_milli: u32,
    /// Pressure that enters crisis, thousandths.
    pub crisis_milli: u32,
    /// Leaves below this share of the entry threshold's excess over 1, permille.
    pub exit_permille: u32,
    /// Shortest stay in transition.
    pub transition_dwell: Nanos,
    /// Shortest stay in crisis.
    pub crisis_dwell: Nanos,
    /// Shortest stay in recovery.
    pub recovery_dwell: Nanos,
    /// Share of failed requests of the whole set that means crisis, permille.
    pub crisis_error_permille: u32,
}

/// Whether admission may act.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum AdmissionMode {
    /// Never refuses.
    Off,
    /// Refuses what cannot be served.
    #[default]
    Auto,
}

/// Admission.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct AdmissionConfig {
    /// Whether it may act.
    pub mode: AdmissionMode,
    /// Share of the lowest class that survives in the worst case, permille.
    pub survival_permille: u32,
    /// Retries allowed, permille of fresh requests.
    pub retry_budget_permille: u32,
}

/// What the owner of the service wants to hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Objectives {
    /// 99th percentile of turnaround.
    pub latency_p99: Option<Nanos>,
    /// Failed requests, parts per million.
    pub error_budget_per_million: Option<u32>,
}

/// All constants of one set on one node.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct SetConfig {
    /// Hash of node and set: rotates ties so that nodes do not round the same way.
    pub seed: u64,
    /// What a request takes.
    pub profile: WorkloadProfile,
    /// Largest share of one backend, permille (not below the fair share).
    pub max_share_permille: u32,
    /// Time in which a new backend grows from a tenth to its full share.
    pub slow_start: Nanos,
    /// Distance.
    pub topology: Topology,
    /// With [`Topology::Follow`], how much less a farther backend gets: weight `1 / (1 + λ · distance)`, distance 0 on this
    /// node, 1 in this zone, 2 elsewhere; λ in thousandths, 0 ..= 1 000. 0: distance moves no share.
    pub locality_milli: u32,
    /// Opt-in regret overlay.
    pub regret_overlay: bool,
    /// Isolation.
    pub isolation: IsolationConfig,
    /// Slew.
    pub slew: SlewConfig,
    /// Regimes.
    pub regimes: RegimeConfig,
    /// Admission.
    pub admission: AdmissionConfig,
    /// Objectives.
    pub objectives: Objectives,
}

impl SetConfig {
    /// The constants of a preset, for a service of that profile.
    pub const fn preset(response: Response, profile: WorkloadProfile) -> Self {
        let (ratio, hits, consecutive, error, hold) = match response {
            Response::Gentle => (16_000, 4, 6, 700, Nanos::from_secs(4)),
            Response::Balanced => (8_000, 3, 3, 500, Nanos::from_secs(2)),
            Response::Strict => (4_000, 2, 2, 300, Nanos::from_secs(1)),
        };
        Self {
            seed: 0,
            profile,
            max_share_permille: 800,
            slow_start: Nanos::from_secs(30),
            topology: Topology::Follow,
            locality_milli: 0,
            regret_overlay: false,
            isolation: IsolationConfig {
                enabled: true,
                max_isolated_permille: 500,
                hold,
                hold_most: Nanos::from_secs(300),
                drip_per_million: 500,
                latency_ratio_milli: ratio,
                window_ticks: 5,
                hits,
                error_permille: error,
                consecutive_failures: consecutive,
                error_as: Nanos::from_secs(5),
            },
            slew: SlewConfig {
                rebalance_slots: 1,
                drain_ticks: 2,
                return_start_permille: 20,
                return_doubling: Nanos::from_secs(1),
                slow_gain_permille: 20,
            },
            regimes: RegimeConfig {
                transition_milli: 1_300,
                crisis_milli: 2_000,
                exit_permille: 650,
                transition_dwell: Nanos::from_secs(2),
                crisis_dwell: Nanos::from_secs(10),
                recovery_dwell: Nanos::from_secs(20),
                crisis_error_permille: 100,
            },
            admission: AdmissionConfig {
                mode: AdmissionMode::Auto,
                survival_permille: 10,
                retry_budget_permille: 200,
            },
            objectives: Objectives {
                latency_p99: None,
                error_budget_per_million: None,
            },
        }
    }
}

impl Default for SetConfig {
    fn default() -> Self {
        Self::preset(Response::Balanced, WorkloadProfile::Standard)
    }
}
