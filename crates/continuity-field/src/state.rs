//! What a set remembers between steps.

use crate::alarm::Alarm;
use crate::baseline::{Baseline, Fleet};
use crate::demand::Demand;
use crate::regime::Machine;
use crate::save::Standing;
use crate::slot::Scratch;
use crate::spill::Spill;
use crate::track::Track;
use crate::trust::Slope;
use crate::{BackendId, Nanos, OFF, Outcome};

/// Everything the law keeps of one set. `Default` is "nothing known".
#[derive(Debug, Clone)]
pub struct SetState {
    pub(crate) last: Nanos,
    pub(crate) started: bool,
    pub(crate) look_began: Nanos,
    pub(crate) looks: u64,
    pub(crate) tracks: Vec<Track>,
    /// Where backends stood before a restart, until the first step.
    pub(crate) remembered: Vec<Standing>,
    pub(crate) baseline: Baseline,
    pub(crate) fleet: Fleet,
    pub(crate) demand: Demand,
    pub(crate) machine: Machine,
    pub(crate) spill: Spill,
    pub(crate) alarm: Alarm,
    pub(crate) slope: Slope,
    /// Pressure of the set beside its calm level, mean of 2 s.
    pub(crate) pressure: f64,
    pub(crate) outcome: Outcome,
    /// Owners of the slots by identity, for when indices move.
    pub(crate) owners: Vec<Option<BackendId>>,
    // Working memory, kept so that a step allocates nothing.
    pub(crate) levels: Vec<f64>,
    pub(crate) shares: Vec<f64>,
    pub(crate) ints: Vec<i32>,
    pub(crate) scratch: Scratch,
    pub(crate) joined: Vec<BackendId>,
    pub(crate) left: Vec<BackendId>,
}

impl Default for SetState {
    fn default() -> Self {
        Self {
            last: Nanos::ZERO,
            started: false,
            look_began: Nanos::ZERO,
            looks: 0,
            tracks: Vec::new(),
            remembered: Vec::new(),
            baseline: Baseline::default(),
            fleet: Fleet::default(),
            demand: Demand::default(),
            machine: Machine::default(),
            spill: Spill::default(),
            alarm: Alarm::default(),
            slope: Slope::default(),
            pressure: 1.0,
            outcome: Outcome::default(),
            owners: Vec::new(),
            levels: Vec::new(),
            shares: Vec::new(),
            ints: Vec::new(),
            scratch: Scratch::default(),
            joined: Vec::new(),
            left: Vec::new(),
        }
    }
}

impl SetState {
    /// Most backends of one set: an index must fit a slot, and a Service beyond four thousand endpoints is split by its
    /// owners long before.
    pub const MOST_BACKENDS: usize = 4_096;

    /// The outcome of the last step.
    pub fn outcome(&self) -> &Outcome {
        &self.outcome
    }

    /// Sorts the levels of the backends in use.
    pub(crate) fn rank(&mut self) {
        self.levels.clear();
        let known = self
            .tracks
            .iter()
            .filter(|track| track.in_use())
            .filter_map(|track| track.level);
        self.levels.extend(known);
        self.levels.sort_unstable_by(f64::total_cmp);
    }

    /// Slots keep their owners when the samples come in another order; those of backends that left become free.
    pub(crate) fn reindex(&mut self) {
        self.owners.clear();
        let views = &self.outcome.backends;
        let owners = self
            .outcome
            .slots
            .iter()
            .map(|slot| views.get(usize::from(*slot)).map(|view| view.id));
        self.owners.extend(owners);
        for (slot, owner) in self.outcome.slots.iter_mut().zip(&self.owners) {
            let index = owner.and_then(|owner| self.tracks.iter().position(|track| track.id == owner));
            *slot = index.and_then(|index| u16::try_from(index).ok()).unwrap_or(OFF);
        }
    }
}
