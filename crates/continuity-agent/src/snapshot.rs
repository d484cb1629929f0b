//! What the node loop tells the network side: a bounded picture that replaces the former one.
//!
//! Nothing here is a queue. A reader that was away for a minute finds the present state, with the times at which it began.

use std::sync::Arc;

use continuity_api::Time;
use continuity_dataplane::wire::AdmissionTraffic;
use continuity_dataplane::{CapabilityReport, Failsafe, Mended};
use continuity_field::admission::{LEVELS, Posture};
use continuity_field::{BackendState, Enforcement, NodeDemand, Regime};

use crate::desire::Idle;
use crate::lane::{Lane, LaneKey};

/// State of the kernel side.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Plane {
    /// What holds.
    pub state: PlaneState,
    /// Why it is not attached, and what to do.
    pub message: String,
    /// What the node can do.
    pub capabilities: CapabilityReport,
    /// What the kernel makes of the heartbeat, as its last connects saw it; the worst of all sets.
    pub failsafe: Worst,
}

/// Failsafe in rising order of concern.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Worst {
    /// Fresh.
    #[default]
    Normal,
    /// Frozen.
    Hold,
    /// Passed through.
    Fallback,
}

impl From<Failsafe> for Worst {
    fn from(failsafe: Failsafe) -> Self {
        match failsafe {
            Failsafe::Normal => Self::Normal,
            Failsafe::Hold => Self::Hold,
            Failsafe::Fallback => Self::Fallback,
        }
    }
}

/// What holds of the kernel side.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum PlaneState {
    /// It was not opened yet.
    #[default]
    Opening,
    /// Programs are attached and verified.
    Attached,
    /// The node lacks something, or the kernel refused; traffic is kube-proxy's.
    Detached,
    /// Pins of another schema are there; nothing was touched.
    Refused,
}

/// Counters of the loop since the start of the agent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Ticks.
    pub ticks: u64,
    /// Fields published.
    pub publishes: u64,
    /// Failed calls into the dataplane.
    pub errors: u64,
    /// Places of the maps that a comparison put right.
    pub drift: Mended,
}

/// One backend.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BackendShot {
    /// Index into the lane's backends.
    pub index: usize,
    /// Where it stands.
    pub state: BackendState,
    /// Since when.
    pub since: Time,
    /// Why, one sentence; empty while nothing is to be said.
    pub reason: String,
    /// Isolated on the word of other nodes alone.
    pub hearsay: bool,
    /// Share of new connections, parts per million.
    pub share_ppm: u32,
    /// Latency estimate, µs; 0 = not known, or in Observe too few requests of late for it to mean something.
    pub latency_micros: i64,
    /// Connections established now.
    pub open: u64,
}

/// Rates of a lane, thousandths a second.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RateShot {
    /// Connects that clients of this node began.
    pub offered: i64,
    /// Of those, steered.
    pub steered: i64,
    /// Connections that backends on this node accepted.
    pub accepted: i64,
    /// Connects refused by us.
    pub refused: i64,
    /// Failed connects.
    pub failed: i64,
}

/// The same as counts since the lane was taken up.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TotalShot {
    /// Connects that clients of this node began.
    pub offered: u64,
    /// Of those, steered.
    pub steered: u64,
    /// Connections that backends on this node accepted.
    pub accepted: u64,
    /// Connects refused by us.
    pub refused: u64,
    /// Failed connects.
    pub failed: u64,
}

/// Admission of a lane.
#[derive(Clone, Debug, PartialEq)]
pub struct GateShot {
    /// Since when it enforces what it enforces.
    pub since: Time,
    /// Why it last changed, one sentence; empty before the first change.
    pub reason: String,
    /// Figures of the law.
    pub posture: Posture,
    /// Part of each level's connects that may come, permille.
    pub gates_permille: [u32; LEVELS],
    /// Counters of the kernel; `None` in Observe.
    pub traffic: Option<AdmissionTraffic>,
}

/// One lane.
#[derive(Clone, Debug, PartialEq)]
pub struct LaneShot {
    /// Key.
    pub key: LaneKey,
    /// What it should be.
    pub lane: Arc<Lane>,
    /// Epoch of its newest field.
    pub epoch: u64,
    /// Posture.
    pub regime: Regime,
    /// Since when.
    pub since: Time,
    /// Why, one sentence.
    pub reason: String,
    /// What the kernel is asked to enforce.
    pub enforcement: Enforcement,
    /// Admission, where the policy asks for it.
    pub gate: Option<GateShot>,
    /// Pressure, thousandths.
    pub pressure_milli: u32,
    /// Rates.
    pub rates: RateShot,
    /// Counts.
    pub totals: TotalShot,
    /// Median answer, µs.
    pub p50_micros: i64,
    /// 99th percentile, µs.
    pub p99_micros: i64,
    /// For the scale hint.
    pub demand: NodeDemand,
    /// Backends.
    pub backends: Vec<BackendShot>,
    /// Why it is not in force, if it is not.
    pub refusal: String,
}

/// Everything.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Snapshot {
    /// Kernel side.
    pub plane: Plane,
    /// Counters.
    pub tally: Tally,
    /// Lanes in key order.
    pub lanes: Vec<LaneShot>,
    /// Plans without a lane.
    pub idle: Vec<Idle>,
    /// The loop has acted on a complete desired state.
    pub adopted: bool,
}
