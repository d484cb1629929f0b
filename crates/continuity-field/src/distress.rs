//! Node distress: a drowning node says so, from its own signals alone.
//!
//! [`step`], once a second: stalls (PSI) and what runs out (memory, descriptors, conntrack, threads) in; a stage, the
//! reasons with their numbers, the missing signals and the foretold failures out.
//!
//! | stage | entered when, 7 of 10 seconds where it is a stall | left when |
//! | --- | --- | --- |
//! | strained | CPU some ≥ 50 %, memory or I/O some ≥ 10 %, a resource ≥ 90 % of its bound, or a failure foretold within [`crate::ttf::REACTION`] | stalls below 65 % of that, resources below 85 %, for 30 s |
//! | drowning | memory or I/O full ≥ 20 %, or a resource ≥ 97 %, or ≥ 90 % with its failure foretold | the same, to strained |
//!
//! CPU stall alone never makes a node drown (a saturated node is not a sick one: KEP-5394 leaves CPU out for the same
//! reason), nor does a foretold failure alone. A missing signal is said once and concludes nothing.
//!
//! Invariants: the stage is a function of this node's own signals, so distress cannot cascade; worse at once, better one
//! stage at a time after the dwell. What neighbours make of it is bounded in [`fear`].

mod fear;
mod reason;
#[cfg(test)]
mod tests;

use std::fmt;

use crate::ttf::{Floors, TimeToFailure};
use crate::{Gauge, Nanos};

pub(crate) use fear::{Fear, heed, shared};
pub use reason::Reason;

/// How a node says it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub enum Distress {
    /// Nothing to say, or nothing known.
    #[default]
    Well,
    /// Short of something: whoever has the choice may prefer others.
    Strained,
    /// About to fail or hardly moving.
    Drowning,
}

impl Distress {
    /// Name as it stands in status and metrics.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Well => "Well",
            Self::Strained => "Strained",
            Self::Drowning => "Drowning",
        }
    }
}

impl fmt::Display for Distress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Something of the node that runs out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Resource {
    /// Bytes of memory.
    Memory,
    /// Open files.
    Descriptors,
    /// Tracked connections.
    Conntrack,
    /// Threads.
    Threads,
}

impl Resource {
    /// Every one, in the order of [`NodeSample::levels`].
    pub const ALL: [Self; 4] = [Self::Memory, Self::Descriptors, Self::Conntrack, Self::Threads];

    /// Name for people.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Memory => "memory",
            Self::Descriptors => "descriptors",
            Self::Conntrack => "tracked connections",
            Self::Threads => "threads",
        }
    }
}

/// A signal that a node can lack.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Signal {
    /// Stall for the CPU.
    Cpu,
    /// Stall for memory.
    MemoryStall,
    /// Stall for I/O.
    Io,
    /// A level and its bound.
    Level(Resource),
}

impl Signal {
    /// Every one.
    pub const ALL: [Self; 7] = [
        Self::Cpu,
        Self::MemoryStall,
        Self::Io,
        Self::Level(Resource::Memory),
        Self::Level(Resource::Descriptors),
        Self::Level(Resource::Conntrack),
        Self::Level(Resource::Threads),
    ];

    /// Name for people.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Cpu => "CPU stall",
            Self::MemoryStall => "memory stall",
            Self::Io => "I/O stall",
            Self::Level(resource) => resource.name(),
        }
    }
}

/// Part of the time since the last sample in which tasks waited (PSI, Δtotal / Δt), permille.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct StallSample {
    /// At least one task waited.
    pub some_permille: u32,
    /// All waited; `None` where the kernel does not say.
    pub full_permille: Option<u32>,
}

/// The node at one moment; `None` = missing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct NodeSample {
    /// Stall for the CPU.
    pub cpu: Option<StallSample>,
    /// Stall for memory.
    pub memory_stall: Option<StallSample>,
    /// Stall for I/O.
    pub io: Option<StallSample>,
    /// What runs out, in the order of [`Resource::ALL`].
    pub levels: [Option<Gauge>; 4],
}

/// What a step found.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Report {
    /// How the node is.
    pub stage: Distress,
    /// Since when.
    pub since: Nanos,
    /// What changed in this step and why.
    pub reasons: Vec<Reason>,
    /// Signals that are missing now.
    pub missing: Vec<Signal>,
    /// Resources that fail within the reaction window even at the latest.
    pub warnings: Vec<(Resource, TimeToFailure)>,
}

/// Stalls that strain and drown, permille: CPU some; memory and I/O some; memory and I/O full.
const CPU_SOME: u32 = 500;
const WAIT_SOME: u32 = 100;
const WAIT_FULL: u32 = 200;
/// Parts of a bound that strain and drown, permille.
const SHORT: u64 = 900;
const OUT: u64 = 970;
/// Part of a stall's threshold, and of a bound, below which a stage is left, permille.
const LEAVE: u64 = 650;
const AMPLE: u64 = 850;
/// Looks that a stall must hold, of how many.
const HITS: u32 = 7;
const WINDOW: u32 = 10;
/// Calm before a stage is left.
const DWELL: Nanos = Nanos::from_secs(30);

/// What is remembered of the node. `Default` is "nothing known".
#[derive(Debug, Clone, Default)]
pub struct State {
    floors: [Floors; 4],
    last: Nanos,
    /// One bit a step, newest lowest: strained and drowned by CPU, by memory, by I/O.
    strained: [u32; 3],
    drowned: [u32; 3],
    /// Since when nothing holds the stage.
    calm_since: Option<Nanos>,
    lacking: u8,
    warned: u8,
    report: Report,
}

impl State {
    /// What the last step found.
    pub fn report(&self) -> &Report {
        &self.report
    }
}

/// What one step's signals say.
#[derive(Debug, Clone, Copy, Default)]
struct Seen {
    stage: Distress,
    /// Something is above the lower threshold at which a stage is left.
    near: Distress,
    /// What decided `stage`.
    why: Option<Reason>,
}

impl Seen {
    fn note(&mut self, stage: Distress, near: Distress, why: Reason) {
        self.near = self.near.max(near);
        if stage > self.stage {
            self.stage = stage;
            self.why = Some(why);
        }
    }
}

/// One step of a node's distress; once a second is right, more often makes the windows shorter. A clock that goes back
/// changes nothing.
pub fn step<'a>(state: &'a mut State, sample: &NodeSample, now: Nanos) -> &'a Report {
    state.report.reasons.clear();
    if now < state.last {
        return &state.report;
    }
    state.last = now;
    missing(state, sample);
    let mut seen = Seen::default();
    stalls(state, sample, &mut seen);
    levels(state, sample, &mut seen, now);
    turn(state, &seen, now);
    &state.report
}

fn missing(state: &mut State, sample: &NodeSample) {
    state.report.missing.clear();
    let stalls = [sample.cpu, sample.memory_stall, sample.io].map(|stall| stall.is_some());
    let levels = sample.levels.map(|level| level.is_some());
    let known = stalls.into_iter().chain(levels);
    for (bit, (signal, known)) in Signal::ALL.into_iter().zip(known).enumerate() {
        let mask = 1 << bit;
        if known {
            state.lacking &= !mask;
            continue;
        }
        state.report.missing.push(signal);
        if state.lacking & mask == 0 {
            state.lacking |= mask;
            state.report.reasons.push(Reason::Missing { signal });
        }
    }
}

fn stalls(state: &mut State, sample: &NodeSample, seen: &mut Seen) {
    let sources = [
        (Signal::Cpu, sample.cpu, CPU_SOME, None),
        (
            Signal::MemoryStall,
            sample.memory_stall,
            WAIT_SOME,
            Some(WAIT_FULL),
        ),
        (Signal::Io, sample.io, WAIT_SOME, Some(WAIT_FULL)),
    ];
    let bits = state.strained.iter_mut().zip(&mut state.drowned);
    for ((signal, stall, some, full), (strained, drowned)) in sources.into_iter().zip(bits) {
        let found = stall.unwrap_or_default();
        let most = found.full_permille.unwrap_or(0);
        *strained = *strained << 1 | u32::from(found.some_permille >= some);
        *drowned = *drowned << 1 | u32::from(full.is_some_and(|full| most >= full));
        let held = |bits: u32| (bits & ((1 << WINDOW) - 1)).count_ones() >= HITS;
        let above = |value: u32, bound: u32| u64::from(value) * 1_000 >= u64::from(bound) * LEAVE;
        let near = match full {
            Some(full) if above(most, full) => Distress::Drowning,
            _ if above(found.some_permille, some) => Distress::Strained,
            _ => Distress::Well,
        };
        let stage = match (held(*drowned), held(*strained)) {
            (true, _) => Distress::Drowning,
            (false, true) => Distress::Strained,
            (false, false) => Distress::Well,
        };
        let permille = if stage == Distress::Drowning {
            most
        } else {
            found.some_permille
        };
        let why = Reason::Stalled {
            stage,
            signal,
            permille: permille.min(1_000),
        };
        seen.note(stage, near, why);
    }
}

fn levels(state: &mut State, sample: &NodeSample, seen: &mut Seen, now: Nanos) {
    state.report.warnings.clear();
    let sources = Resource::ALL
        .into_iter()
        .zip(sample.levels)
        .zip(&mut state.floors);
    for (bit, ((resource, level), floors)) in sources.enumerate() {
        let Some(level) = level.filter(|level| level.bound > 0) else {
            state.warned &= !(1 << bit);
            continue;
        };
        let told = floors
            .observe(level.used, level.bound, now)
            .filter(|told| told.near);
        let wide = u128::from(level.used) * 1_000 / u128::from(level.bound);
        let permille = u64::try_from(wide).unwrap_or(u64::MAX).min(1_000);
        let mask = 1 << bit;
        if let Some(told) = told {
            state.report.warnings.push((resource, told));
            if state.warned & mask == 0 {
                state.warned |= mask;
                state.report.reasons.push(Reason::Foretold { resource, told });
            }
        } else if state.warned & mask != 0 {
            state.warned &= !mask;
            state.report.reasons.push(Reason::Averted { resource });
        }
        let stage = match (permille, told.is_some()) {
            (OUT.., _) | (SHORT.., true) => Distress::Drowning,
            (SHORT.., false) | (_, true) => Distress::Strained,
            _ => Distress::Well,
        };
        let near = if permille >= AMPLE {
            Distress::Strained
        } else {
            stage
        };
        let why = match told {
            Some(told) if permille < SHORT => Reason::Foretold { resource, told },
            _ => Reason::Short {
                stage,
                resource,
                permille: u32::try_from(permille).unwrap_or(1_000),
            },
        };
        seen.note(stage, near.max(stage), why);
    }
}

/// Worse at once; better one stage at a time, after the dwell.
fn turn(state: &mut State, seen: &Seen, now: Nanos) {
    let from = state.report.stage;
    if seen.stage > from {
        state.report.stage = seen.stage;
        state.report.since = now;
        state.calm_since = None;
        let why = seen.why.filter(|why| !state.report.reasons.contains(why));
        state.report.reasons.extend(why);
        return;
    }
    if from == Distress::Well {
        return;
    }
    if seen.stage.max(seen.near) >= from {
        state.calm_since = None;
        return;
    }
    let since = *state.calm_since.get_or_insert(now);
    if now.since(since) < DWELL {
        return;
    }
    let to = match from {
        Distress::Drowning => Distress::Strained,
        Distress::Strained | Distress::Well => Distress::Well,
    };
    state.calm_since = None;
    state.report.stage = to;
    state.report.since = now;
    state.report.reasons.push(Reason::Eased { from, to });
}
