//! What the node's own signals foretell: memory of local pods and resources of the node that run out, tasks that stall.
//!
//! A warning is raised when even the latest likely time of failure lies within the law's reaction window
//! (`continuity_field::ttf`), or when tasks wait for memory or I/O a fifth of the time; it ends when that has been false
//! for [`QUIET`]. It is said at once, and weighs a little against the backend through the plan, where every node reads the
//! same figure. It isolates nobody: a process that will fail does not fail yet. Stall for CPU is said and weighs nothing,
//! since a well used processor looks like that too (control §4.1).
//!
//! Pure: a sample and both clocks go in. A signal that is missing raises nothing; what was said of it ends after [`QUIET`],
//! and that it is missing is said by the capability report.

use std::collections::BTreeMap;
use std::fmt;

use continuity_field::Nanos;
use continuity_field::ttf::{Floors, REACTION, TimeToFailure};
use continuity_sensors::{Level, NodeSample, PodId, PodSample, Pressure, Reading, Resource};

/// A warning that was false for this long is over.
const QUIET: Nanos = Nanos::from_secs(30);

/// Part of the time that tasks wait, mean of 10 s, at which a stall for memory or I/O begins and ends; permille.
const STALLED: (u32, u32) = (200, 100);
/// The same for the CPU: only what leaves nobody any time is worth a word.
const STARVED: (u32, u32) = (900, 600);

/// What a process that runs out of memory weighs as a stall: at the edge of the reaction window, and at its end; permille.
const WEIGHT: (u32, u32) = (100, 600);

/// What it is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Subject {
    /// Memory of a pod against its own limit.
    PodMemory,
    /// A resource of the node.
    Node(Resource),
    /// Tasks that wait for memory.
    MemoryStall,
    /// Tasks that wait for I/O.
    IoStall,
    /// Tasks that wait for a processor.
    CpuStall,
}

impl Subject {
    /// As the report and the metrics name it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::PodMemory => "pod-memory",
            Self::Node(Resource::Memory) => "memory",
            Self::Node(Resource::Descriptors) => "descriptors",
            Self::Node(Resource::Conntrack) => "conntrack",
            Self::Node(Resource::Threads) => "threads",
            Self::MemoryStall => "memory-stall",
            Self::IoStall => "io-stall",
            Self::CpuStall => "cpu-stall",
        }
    }

    /// In a sentence.
    const fn noun(self) -> &'static str {
        match self {
            Self::PodMemory => "its memory",
            Self::Node(Resource::Memory) => "memory of the node",
            Self::Node(Resource::Descriptors) => "open files of the node",
            Self::Node(Resource::Conntrack) => "tracked connections of the node",
            Self::Node(Resource::Threads) => "threads of the node",
            Self::MemoryStall => "memory",
            Self::IoStall => "I/O",
            Self::CpuStall => "a processor",
        }
    }
}

/// One warning that stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Warning {
    /// What it is about.
    pub subject: Subject,
    /// When it was raised, milliseconds since the epoch.
    pub since_millis: i64,
    /// When the resource is used up if it goes on like this, milliseconds since the epoch; none for a stall.
    pub expected_millis: Option<i64>,
    /// What it weighs against the backend, permille of the time.
    pub stall_permille: u32,
    /// One sentence with figures.
    pub message: String,
}

/// What is foreseen at one moment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Forecast {
    /// Warnings about pods of this node, the heaviest of each.
    pub pods: BTreeMap<PodId, Warning>,
    /// Warnings about the node itself, by subject.
    pub node: Vec<Warning>,
    /// Something was read, so that silence means that nothing is foreseen.
    pub read: bool,
    /// Times until something is used up, by subject, whether it is near or not; the soonest of all pods.
    pub times: BTreeMap<Subject, Nanos>,
    /// Warnings raised so far; a rise calls for a report.
    pub raised: u64,
}

impl Forecast {
    /// The heaviest warning about the node that weighs on every backend there.
    #[must_use]
    pub fn burden(&self) -> Option<&Warning> {
        let heavy = self.node.iter().filter(|warning| warning.stall_permille > 0);
        heavy.max_by_key(|warning| warning.stall_permille)
    }
}

/// Follows one signal.
#[derive(Clone, Debug, Default)]
struct Case {
    floors: Floors,
    standing: Option<Standing>,
}

#[derive(Clone, Debug)]
struct Standing {
    warning: Warning,
    /// When it was last true.
    held: Nanos,
}

/// Follows all signals of a node.
#[derive(Clone, Debug, Default)]
pub struct Forecaster {
    pods: BTreeMap<(PodId, Subject), Case>,
    node: BTreeMap<Subject, Case>,
    raised: u64,
}

/// Both clocks.
#[derive(Clone, Copy, Debug)]
struct Clock {
    now: Nanos,
    wall_millis: i64,
}

impl Forecaster {
    /// Takes a sample of `now` (a clock that does not go back; the wall clock is for people) and says what is foreseen.
    pub fn observe(&mut self, sample: &NodeSample, now: Nanos, wall_millis: i64) -> Forecast {
        let clock = Clock { now, wall_millis };
        let mut times = BTreeMap::new();
        self.pods
            .retain(|(id, _), _| sample.pods.iter().any(|pod| pod.id == *id));
        for pod in &sample.pods {
            self.pod(pod, clock, &mut times);
        }
        for resource in Resource::ALL {
            let case = self.node.entry(Subject::Node(resource)).or_default();
            let level = sample.level(resource);
            self.raised += case.level(Subject::Node(resource), level, clock, &mut times);
        }
        let stalls = [
            (Subject::MemoryStall, &sample.memory_stall, STALLED),
            (Subject::IoStall, &sample.io, STALLED),
            (Subject::CpuStall, &sample.cpu, STARVED),
        ];
        for (subject, pressure, bounds) in stalls {
            let case = self.node.entry(subject).or_default();
            self.raised += case.stall(subject, pressure, bounds, clock);
        }
        self.forecast(sample, times)
    }

    fn pod(&mut self, pod: &PodSample, clock: Clock, times: &mut BTreeMap<Subject, Nanos>) {
        let memory = self.pods.entry((pod.id, Subject::PodMemory)).or_default();
        self.raised += memory.level(Subject::PodMemory, &pod.memory, clock, times);
        let stalls = [
            (Subject::MemoryStall, &pod.memory_stall),
            (Subject::IoStall, &pod.io_stall),
        ];
        for (subject, pressure) in stalls {
            let case = self.pods.entry((pod.id, subject)).or_default();
            self.raised += case.stall(subject, pressure, STALLED, clock);
        }
    }

    fn forecast(&self, sample: &NodeSample, times: BTreeMap<Subject, Nanos>) -> Forecast {
        let warning = |case: &Case| case.standing.as_ref().map(|standing| standing.warning.clone());
        let mut pods: BTreeMap<PodId, Warning> = BTreeMap::new();
        for ((id, _), case) in &self.pods {
            if let Some(fresh) = warning(case) {
                let heavier = |known: &Warning| known.stall_permille >= fresh.stall_permille;
                if !pods.get(id).is_some_and(heavier) {
                    pods.insert(*id, fresh);
                }
            }
        }
        Forecast {
            pods,
            node: self.node.values().filter_map(warning).collect(),
            read: sample.memory.known().is_some() || sample.cpu.known().is_some(),
            times,
            raised: self.raised,
        }
    }
}

impl Case {
    /// A level against its bound; 1 if a warning was raised.
    fn level(
        &mut self,
        subject: Subject,
        reading: &Reading<Level>,
        clock: Clock,
        times: &mut BTreeMap<Subject, Nanos>,
    ) -> u64 {
        let Some(level) = reading.known() else {
            return self.settle(clock, None);
        };
        let told = self
            .floors
            .observe(level.used, level.limit.unwrap_or(0), clock.now);
        if let Some(told) = told {
            let soonest = times.entry(subject).or_insert(told.likely);
            *soonest = (*soonest).min(told.likely);
        }
        let near = told.filter(|told| told.near);
        self.settle(clock, near.map(|told| failing(subject, *level, &told, clock)))
    }

    /// A stall; 1 if a warning was raised.
    fn stall(
        &mut self,
        subject: Subject,
        reading: &Reading<Pressure>,
        (begins, ends): (u32, u32),
        clock: Clock,
    ) -> u64 {
        let Some(pressure) = reading.known() else {
            return self.settle(clock, None);
        };
        // Hundredths of a percent to permille. For I/O one task that waits is ordinary; that all do is not.
        let mean = match (subject, pressure.full) {
            (Subject::IoStall, Some(full)) => full.avg10 / 10,
            _ => pressure.some.avg10 / 10,
        };
        let bound = if self.standing.is_some() { ends } else { begins };
        let stalled = mean >= bound;
        self.settle(clock, stalled.then(|| standing_still(subject, mean, clock)))
    }

    /// Takes what is true now; 1 if that is new.
    fn settle(&mut self, clock: Clock, fresh: Option<Warning>) -> u64 {
        match (&mut self.standing, fresh) {
            (Some(standing), Some(fresh)) => {
                standing.held = clock.now;
                standing.warning = Warning {
                    since_millis: standing.warning.since_millis,
                    ..fresh
                };
                0
            }
            (None, Some(warning)) => {
                self.standing = Some(Standing {
                    warning,
                    held: clock.now,
                });
                1
            }
            (standing, None) => {
                let over = |standing: &Standing| clock.now.since(standing.held) >= QUIET;
                if standing.as_ref().is_some_and(over) {
                    *standing = None;
                }
                0
            }
        }
    }
}

fn failing(subject: Subject, level: Level, told: &TimeToFailure, clock: Clock) -> Warning {
    let left = told.latest.as_millis().min(REACTION.as_millis());
    let (least, most) = WEIGHT;
    let gone = 1_000 - left * 1_000 / REACTION.as_millis().max(1);
    let weight = u64::from(least) + u64::from(most - least) * gone / 1_000;
    // Files, connections and threads that run out are the node's trouble; a connection cannot be better off elsewhere
    // before it fails, but memory is shared by every pod of the node.
    let weighs = matches!(subject, Subject::PodMemory | Subject::Node(Resource::Memory));
    let until = i64::try_from(told.likely.as_millis()).unwrap_or(i64::MAX);
    let unit = |value| Amount(subject, value);
    let bound = level.limit.unwrap_or(0);
    Warning {
        subject,
        since_millis: clock.wall_millis,
        expected_millis: Some(clock.wall_millis.saturating_add(until)),
        stall_permille: if weighs {
            u32::try_from(weight).unwrap_or(most)
        } else {
            0
        },
        message: format!(
            "{} grows by {} a second; at this rate {} of {} are used up in about {} ({} to {})",
            subject.noun(),
            unit(told.per_second),
            unit(bound.saturating_sub(level.used)),
            unit(bound),
            seconds(told.likely),
            seconds(told.soonest),
            seconds(told.latest),
        ),
    }
}

fn standing_still(subject: Subject, permille: u32, clock: Clock) -> Warning {
    Warning {
        subject,
        since_millis: clock.wall_millis,
        expected_millis: None,
        stall_permille: if subject == Subject::CpuStall {
            0
        } else {
            permille.min(1_000)
        },
        message: format!(
            "its tasks waited {} % of the last 10 s for {}",
            permille / 10,
            subject.noun()
        ),
    }
}

fn seconds(time: Nanos) -> String {
    format!("{} s", time.as_millis() / 1_000)
}

/// An amount of a resource, bytes with their unit.
struct Amount(Subject, u64);

impl fmt::Display for Amount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(subject, value) = *self;
        let bytes = matches!(subject, Subject::PodMemory | Subject::Node(Resource::Memory));
        match value {
            _ if !bytes => write!(f, "{value}"),
            0..1_048_576 => write!(f, "{} KiB", value / 1_024),
            _ => write!(f, "{} MiB", value / 1_048_576),
        }
    }
}

#[cfg(test)]
mod tests;
