//! Taking over from an agent that died in the middle of an incident.
//!
//! An isolated backend gives no evidence, and the page with what the law learnt may be unreadable, of another version, or
//! up to 10 s old. So the truth about who is isolated is what the kernel enforces: the new agent reads it from the pinned
//! records, tells its own law in the form of a verdict about those it does not already hold, and lets the old field stand
//! until the law holds them all. Meanwhile people are told what they were told last.

use std::collections::BTreeSet;

use continuity_dataplane::{Mode, SetCounters};
use continuity_field::{BackendId, Nanos, Outcome, Verdict, VerdictKind};

use super::Instant;
use crate::lane::Lane;

/// Rounds for which the old field stands: one to read, one to isolate, two to drain, as `drain_ticks` has it, and one more.
const ROUNDS: u32 = 5;

/// A verdict acts in the next round or not at all.
const EXPIRES: Nanos = Nanos::from_secs(2);

/// How far the take-over is.
#[derive(Debug)]
pub(super) enum Resume {
    /// The maps held the set; its records were not read yet.
    Unread,
    /// The old field stands for this many rounds more.
    Waiting {
        rounds: u32,
        verdicts: Vec<Verdict>,
        backends: BTreeSet<BackendId>,
    },
    /// Nothing is left to take over; the backends that an earlier agent had isolated are kept for the report.
    Over(BTreeSet<BackendId>),
}

impl Resume {
    /// A set that is new to the maps.
    pub(super) const fn none() -> Self {
        Self::Over(BTreeSet::new())
    }

    /// The old field no longer fits: it may not stand.
    pub(super) fn hurry(&mut self) {
        *self = Self::none();
    }

    /// The old field stands for now.
    pub(super) const fn waits(&self) -> bool {
        matches!(self, Self::Waiting { .. })
    }

    /// Whether an earlier agent had isolated it.
    pub(super) fn inherited(&self, backend: BackendId) -> bool {
        match self {
            Self::Unread => false,
            Self::Waiting { backends, .. } | Self::Over(backends) => backends.contains(&backend),
        }
    }

    /// What the law is told on top of the plan's verdicts.
    pub(super) fn verdicts(&self) -> &[Verdict] {
        match self {
            Self::Waiting { verdicts, .. } => verdicts,
            Self::Unread | Self::Over(_) => &[],
        }
    }

    /// One more round: reads the records in the first, counts down in the others.
    pub(super) fn round(&mut self, counters: &SetCounters, lane: &Lane, now: Instant) {
        match self {
            Self::Unread => *self = Self::from_records(counters, lane, now),
            Self::Waiting { rounds, backends, .. } if *rounds == 0 => {
                *self = Self::Over(std::mem::take(backends))
            }
            Self::Waiting { rounds, .. } => *rounds -= 1,
            Self::Over(_) => {}
        }
    }

    /// Ends early when the law holds whom the old agent had isolated, and their slots are gone.
    pub(super) fn settle(&mut self, outcome: &Outcome) {
        let Self::Waiting { rounds, backends, .. } = self else {
            return;
        };
        // In the round of the reading the verdicts are not heeded yet: the law knew by itself, and why.
        let knew = *rounds == ROUNDS;
        let held = |id: &BackendId| {
            let view = outcome.backends.iter().find(|view| view.id == *id);
            view.is_none_or(|view| view.isolation.is_some() && view.slots == 0)
        };
        if backends.iter().all(held) {
            let inherited = std::mem::take(backends);
            *self = Self::Over(if knew { BTreeSet::new() } else { inherited });
        }
    }

    fn from_records(counters: &SetCounters, lane: &Lane, now: Instant) -> Self {
        let isolated = counters
            .backends
            .iter()
            .filter(|known| known.record.words.off != 0);
        let backends: BTreeSet<BackendId> = isolated
            .filter_map(|known| {
                lane.backends
                    .iter()
                    .find(|backend| backend.address == known.backend.address)
            })
            .map(|backend| backend.id)
            .collect();
        if backends.is_empty() || lane.mode == Mode::Observe {
            return Self::none();
        }
        // The law heeds what was said after it first saw the backend, which is now.
        let given = Nanos(now.kernel) + Nanos(1);
        let verdict = |backend: &BackendId| Verdict {
            backend: *backend,
            kind: VerdictKind::Isolate,
            given,
            expires: given + EXPIRES,
        };
        Self::Waiting {
            rounds: ROUNDS,
            verdicts: backends.iter().map(verdict).collect(),
            backends,
        }
    }
}
