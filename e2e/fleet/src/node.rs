//! One simulated node: what it reports about is made up, what it says and when is the agent's own code.

use continuity_agent::forecast::Forecast;
use continuity_agent::identity::Identity;
use continuity_agent::lane::{Lane, LaneKey};
use continuity_agent::report::compose::compose;
use continuity_agent::report::trigger::{Cause, FLOOR, Pace, RESYNC, TRANSITION_SPACING, Written, due};
use continuity_agent::snapshot::{BackendShot, LaneShot, Plane, PlaneState, RateShot, Snapshot, TotalShot};
use continuity_api::node::ContinuityNodeStatus;
use continuity_api::{Condition, Time};
use continuity_field::{BackendState, Enforcement, NodeDemand, Regime};
use continuity_sensors::NodeSample;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Connections a second that clients of a node open to each of its sets, in thousandths.
const OFFERED: i64 = 20_000;
/// Least time between two looks of a node.
const AGAIN: Duration = Duration::from_millis(10);

/// Lanes of the whole cluster, as a real agent derived them.
pub(crate) type Lanes = Arc<Vec<(LaneKey, Arc<Lane>)>>;

/// How one set looks from a node.
#[derive(Clone, Debug)]
struct Mood {
    lane: usize,
    regime: Regime,
    since: Time,
}

/// A node.
pub(crate) struct Node {
    identity: Identity,
    moods: Vec<Mood>,
    sequence: i64,
    conditions: Vec<Condition>,
    written: Written,
    written_at: Option<Instant>,
    transition_at: Option<Instant>,
    /// Whether its object is there.
    pub(crate) made: bool,
    /// Whether a report is on its way: an agent writes one at a time.
    pub(crate) flying: bool,
    /// When it is looked at next.
    pub(crate) next: Option<Instant>,
    /// Changes so far, and how many of them the last composed report has.
    changes: u64,
    composed: u64,
}

impl Node {
    /// A node that reports these lanes.
    pub(crate) fn new(index: usize, lanes: impl Iterator<Item = usize>) -> Self {
        let now = now();
        let mood = |lane| Mood {
            lane,
            regime: Regime::Laminar,
            since: now.clone(),
        };
        Self {
            identity: Identity {
                zone: Some(format!("zone-{}", index % 3)),
                ..Identity::of(&name(index), now.clone())
            },
            moods: lanes.map(mood).collect(),
            sequence: 0,
            conditions: Vec::new(),
            written: Written::default(),
            written_at: None,
            transition_at: None,
            made: false,
            flying: false,
            next: None,
            changes: 0,
            composed: 0,
        }
    }

    pub(crate) fn identity(&self) -> &Identity {
        &self.identity
    }

    /// A set is in this regime from now on.
    pub(crate) fn turn(&mut self, lane: usize, regime: Regime) {
        self.changes += 1;
        for mood in self.moods.iter_mut().filter(|mood| mood.lane == lane) {
            mood.regime = regime;
            mood.since = now();
        }
    }

    /// The report that is due now, if one is.
    pub(crate) fn due(&mut self, lanes: &Lanes) -> Option<(ContinuityNodeStatus, Cause)> {
        let snapshot = self.snapshot(lanes);
        let status = compose(
            &snapshot,
            &NodeSample::default(),
            &Forecast::default(),
            &self.identity,
            &self.conditions,
            self.sequence + 1,
            now(),
        );
        let age = |at: Option<Instant>| at.map_or(Duration::MAX, |at| at.elapsed());
        self.written.age = age(self.written_at);
        self.written.transition_age = age(self.transition_at);
        let cause = due(&self.written, &status, &Pace::of(&snapshot.lanes))?;
        self.composed = self.changes;
        Some((status, cause))
    }

    /// A report has been written.
    pub(crate) fn wrote(&mut self, status: ContinuityNodeStatus, cause: Cause) {
        let now = Instant::now();
        self.written_at = Some(now);
        if cause == Cause::Transition {
            self.transition_at = Some(now);
        }
        self.sequence = status.sequence;
        self.conditions.clone_from(&status.conditions);
        self.written.status = Some(status);
    }

    /// Lets the node believe that it has been at rest for `age`, so that the resyncs of a fleet are spread as they are
    /// in one that has run for a while; gives when its next is due.
    pub(crate) fn rest(&mut self, age: Duration) -> Duration {
        let before = |at: Instant| at.checked_sub(age).unwrap_or(at);
        self.written_at = self.written_at.map(before);
        self.transition_at = self.transition_at.map(before);
        RESYNC.saturating_sub(age)
    }

    /// Time after which the node looks again if nothing happens: as soon as it may tell what it could not tell yet, else
    /// for its resync.
    pub(crate) fn again(&self) -> Duration {
        let age = self.written_at.map_or(Duration::MAX, |at| at.elapsed());
        let told = self.transition_at.map_or(Duration::MAX, |at| at.elapsed());
        if self.changes > self.composed {
            let spacing = TRANSITION_SPACING.saturating_sub(told);
            spacing.max(FLOOR.saturating_sub(age)).max(AGAIN)
        } else {
            RESYNC.saturating_sub(age).max(AGAIN)
        }
    }

    fn snapshot(&self, lanes: &Lanes) -> Snapshot {
        let shot = |mood: &Mood| {
            let (key, lane) = lanes.get(mood.lane)?;
            Some(shot(key, lane, mood))
        };
        Snapshot {
            plane: Plane {
                state: PlaneState::Attached,
                ..Plane::default()
            },
            lanes: self.moods.iter().filter_map(shot).collect(),
            adopted: true,
            ..Snapshot::default()
        }
    }
}

pub(crate) fn name(index: usize) -> String {
    format!("node-{index:05}")
}

fn shot(key: &LaneKey, lane: &Arc<Lane>, mood: &Mood) -> LaneShot {
    let calm = mood.regime == Regime::Laminar;
    let count = lane.backends.len();
    let share = 1_000_000 / u32::try_from(count.max(1)).unwrap_or(u32::MAX);
    let backend = |index| backend(index, !calm && index == 0, share, mood);
    let offered = u64::try_from(OFFERED).unwrap_or(0);
    LaneShot {
        gate: None,
        key: key.clone(),
        lane: Arc::clone(lane),
        epoch: 1,
        regime: mood.regime,
        since: mood.since.clone(),
        reason: if calm {
            String::new()
        } else {
            "1 of 20 backends answers in 512 ms".to_owned()
        },
        enforcement: Enforcement::Normal,
        pressure_milli: if calm { 1_000 } else { 1_310 },
        rates: RateShot {
            offered: OFFERED,
            steered: OFFERED,
            accepted: OFFERED,
            ..RateShot::default()
        },
        totals: TotalShot::default(),
        p50_micros: 21_000,
        p99_micros: 74_000,
        demand: NodeDemand {
            offered_milli_per_second: offered,
            answered_milli_per_second: offered,
            turnaround_micros: 21_000,
            calm_micros: 21_000,
            in_service: u32::try_from(count).unwrap_or(0),
            carrying_milli: u32::try_from(count * 1_000).unwrap_or(0),
            ..NodeDemand::default()
        },
        backends: (0..count).map(backend).collect(),
        refusal: String::new(),
    }
}

fn backend(index: usize, out: bool, share: u32, mood: &Mood) -> BackendShot {
    let (state, reason) = if out {
        (BackendState::Isolated, "answers in 512 ms, its peers in 21 ms")
    } else {
        (BackendState::Normal, "")
    };
    BackendShot {
        index,
        state,
        since: mood.since.clone(),
        reason: reason.to_owned(),
        hearsay: false,
        share_ppm: if out { 0 } else { share },
        latency_micros: if out { 512_000 } else { 21_000 },
        open: 4,
    }
}

/// The wall clock in whole seconds, as Kubernetes stores it.
fn now() -> Time {
    Time(jiff::Timestamp::from_second(jiff::Timestamp::now().as_second()).unwrap_or_default())
}
