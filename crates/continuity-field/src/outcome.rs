//! What a step decides: the slots, the words for the kernel's choice, and a view of every backend for people.

use crate::ttf::TimeToFailure;
use crate::{BackendId, Enforcement, Evidence, InputError, Nanos, NodeDemand, Reason, Regime};

/// Entries of the slot table.
pub const SLOTS: usize = 64;

/// A slot without a backend; only when no backend is in service.
pub const OFF: u16 = u16::MAX;

/// Words of the set for the kernel's choice (law-balancing §2.4), Q8 log2 of µs unless said.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ChoiceWords {
    /// Median of the reported levels.
    pub wm: i32,
    /// Median of the levels of own answers.
    pub lm: i32,
    /// `lg(16 · mean own in-flight + 16)`, in Q8 log2 of Q4.
    pub ownm: i32,
    /// At least half of the backends in use report, so that `wm` is a median of peers: reports may be used at all.
    pub reports: bool,
    /// The memory may be used as second candidate.
    pub mem_on: bool,
    /// Octaves about `lm` in which the level of own answers is noise, 1/64, 0 ..= 255.
    pub width: u32,
}

/// Words of one backend for the kernel's choice.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct BackendChoice {
    /// Never chosen by slot or memory.
    pub off: bool,
    /// `log2(own slots / fair slots)`, Q8.
    pub shl: i32,
    /// Weight of its reports, 0 ..= 256.
    pub trust: u32,
    /// Fixed score of an isolated backend that must carry (spill), Q8 log2 of µs.
    pub fixed: Option<i32>,
    /// Part of a failure that says nothing about this backend, because its peers fail as well: 256ths, 0 ..= 255.
    pub pardon: u32,
}

/// One real connection for the isolated backend, then again after `every`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Drip {
    /// Index into the samples.
    pub backend: u16,
    /// Time between two test connections of this node; also until the first one.
    pub every: Nanos,
    /// When the next one is due, on the clock of the step.
    pub due: Nanos,
}

/// Where a backend stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub enum BackendState {
    /// In use with its full share.
    #[default]
    Normal,
    /// New: its share grows.
    Starting,
    /// Evidence against it, not enough to act, or it must stay.
    Suspect,
    /// Taken out.
    Isolated,
    /// Released: its share doubles until it is full.
    Returning,
    /// Not in service.
    Out,
}

impl BackendState {
    /// Name as it stands in status and metrics.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Normal => "Normal",
            Self::Starting => "Starting",
            Self::Suspect => "Suspect",
            Self::Isolated => "Isolated",
            Self::Returning => "Returning",
            Self::Out => "Out",
        }
    }
}

/// An isolation that holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Isolation {
    /// Since when.
    pub since: Nanos,
    /// Why.
    pub evidence: Evidence,
    /// How often it relapsed of late.
    pub level: u32,
    /// No test before.
    pub hold_until: Nanos,
}

impl Isolation {
    /// It was late or silent, and did not fail.
    pub(crate) fn is_slow(&self) -> bool {
        matches!(self.evidence, Evidence::Latency { .. } | Evidence::Silence { .. })
    }
}

/// One backend, for people and metrics; same index as in the samples.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BackendView {
    /// Which.
    pub id: BackendId,
    /// Where it stands.
    pub state: BackendState,
    /// The isolation, if it is isolated.
    pub isolation: Option<Isolation>,
    /// Share of this node's new connections, parts per million; for an isolated one what the drip gives.
    pub share_ppm: u32,
    /// Slots.
    pub slots: u32,
    /// Pressure, thousandths; 1000 = like its peers.
    pub pressure_milli: u32,
    /// Latency estimate, censored ages included; `None` while nothing is known.
    pub latency: Option<Nanos>,
    /// Failed requests, moving mean, permille.
    pub error_permille: u32,
    /// Words for the kernel.
    pub choice: BackendChoice,
}

/// What admission may use, for the kernel's words; `None` fields mean "no limit".
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Limit {
    /// Requests in flight that this node may have.
    pub in_flight: Option<u32>,
    /// What the lowest class keeps, permille of the offered rate.
    pub survival_permille: u32,
}

/// A backend whose pod will run out of memory within the reaction window even at the latest; stands until it is averted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Warning {
    /// Which.
    pub backend: BackendId,
    /// When.
    pub told: TimeToFailure,
}

/// How the split of traffic stands as a game between connections, each of which wants the fastest backend; measured at
/// every look whether the overlay is on or not. Costs are turnarounds beside the median of the backends in use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Game {
    /// Σ share / pressure, thousandths: 1000 = everything flows through backends without pressure.
    pub conductance_milli: u32,
    /// Relative gap to the Wardrop equilibrium, where all backends in use cost the same: (mean cost − least cost) / mean
    /// cost, thousandths; 0 = equilibrium.
    pub gap_milli: u32,
    /// External regret of about the last minute: what the best single backend would have saved a connection, thousandths of the
    /// median turnaround, at the costs that were seen.
    pub regret_milli: u32,
}

impl Default for Game {
    fn default() -> Self {
        Self {
            conductance_milli: 1_000,
            gap_milli: 0,
            regret_milli: 0,
        }
    }
}

/// Everything a step decided.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outcome {
    /// Backend index of each slot, or [`OFF`].
    pub slots: [u16; SLOTS],
    /// Slots or a backend's `off` changed, or the same backends now stand at other indices: publish.
    pub changed: bool,
    /// Words of the set.
    pub words: ChoiceWords,
    /// Every backend of the samples, in their order.
    pub backends: Vec<BackendView>,
    /// Test connections.
    pub drip: Option<Drip>,
    /// Posture.
    pub regime: Regime,
    /// Since when.
    pub regime_since: Nanos,
    /// What the kernel is asked to enforce.
    pub enforcement: Enforcement,
    /// Admission.
    pub limit: Limit,
    /// Pressure of the set, thousandths.
    pub pressure_milli: u32,
    /// What changed in this step and why; bounded by a constant number per backend.
    pub reasons: Vec<Reason>,
    /// Failures foretold, at most one a backend.
    pub warnings: Vec<Warning>,
    /// The split as a game.
    pub game: Game,
    /// This node's figures for the scale hint.
    pub demand: NodeDemand,
    /// Why the input was refused; everything else is then the last good decision.
    pub problem: Option<InputError>,
}

impl Default for Outcome {
    fn default() -> Self {
        Self {
            slots: [OFF; SLOTS],
            changed: false,
            words: ChoiceWords::default(),
            backends: Vec::new(),
            drip: None,
            regime: Regime::Laminar,
            regime_since: Nanos::ZERO,
            enforcement: Enforcement::Normal,
            limit: Limit::default(),
            pressure_milli: 1_000,
            reasons: Vec::new(),
            warnings: Vec::new(),
            game: Game::default(),
            demand: NodeDemand::default(),
            problem: None,
        }
    }
}
