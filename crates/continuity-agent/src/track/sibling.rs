//! The two lanes of a dual-stack port tell one another what they found out: a pod is one process behind two addresses.
//!
//! The lane with little traffic would need many seconds to notice what the other has seen for long, and its tests of an
//! isolated backend would be a large part of its traffic. So lateness and silence, which are the process's, are passed on,
//! and so is the release: of what the other lane heard, and of what it found out by itself before this one, which had found
//! the same, saw the process answer in time again. A lane with little traffic would else speak of a trouble for minutes
//! after its end. What belongs to the address stays with it: a refused connect says nothing of the other family, and what
//! one lane alone found only its own test ends.

use continuity_field::{
    BackendId, BackendState, BackendView, Evidence, Nanos, Outcome, Verdict, VerdictKind,
};

use super::notes::is_late;
use super::{Instant, Track};
use crate::lane::LaneBackend;

/// A word holds until the next round, which says it again.
const EXPIRES: Nanos = Nanos::from_secs(1);

/// An answer older than this is no news: the shortest hold, after which a word of release may act.
const OF_LATE: Nanos = Nanos::from_secs(2);

/// Lets the two lanes of one set hear one another.
pub(crate) fn confer(one: &mut Track, other: &mut Track, now: Instant) {
    let (for_one, for_other) = (other.words_for(one, now), one.words_for(other, now));
    one.heard = for_one;
    other.heard = for_other;
    let (first, second) = (one.offered_milli(), other.offered_milli());
    let total = first.saturating_add(second);
    one.part = part(first, total);
    other.part = part(second, total);
}

/// A lane counts for at least a sixteenth of the set, in permille: a silent one must be able to test at all.
const LEAST_PART: u64 = 62;

/// Part of the set's connects in permille; all of them while there are none.
fn part(own: i64, total: i64) -> u64 {
    let permille = own.saturating_mul(1_000).checked_div(total).unwrap_or(1_000);
    u64::try_from(permille).unwrap_or(0).max(LEAST_PART)
}

impl Track {
    /// Both are lanes of one set.
    pub(crate) fn is_sibling(&self, other: &Self) -> bool {
        self.key.namespace == other.key.namespace && self.key.set == other.key.set
    }

    /// The fleet's offered rate as far as it concerns this family, thousandths a second; 0 = not known.
    pub(super) fn fleet_milli(&self) -> u64 {
        let fleet = self.lane.advice.offered_milli_per_second;
        if fleet == 0 {
            0
        } else {
            (fleet.saturating_mul(self.part) / 1_000).max(1)
        }
    }

    fn offered_milli(&self) -> i64 {
        self.flows.offered.rate.milli()
    }

    /// What this lane says to its sibling: whom it isolated itself for being late, and who is well of those that the
    /// sibling isolated by hearsay, or found late before this lane saw them cured.
    fn words_for(&self, sibling: &Self, now: Instant) -> Vec<Verdict> {
        let outcome = self.state.outcome();
        let words = sibling.lane.backends.iter().filter_map(|theirs| {
            let same = |ours: &&LaneBackend| ours.pod.is_some() && ours.pod == theirs.pod;
            let ours = self.lane.backends.iter().find(same)?;
            let note = self.notes.backends.get(&ours.id)?;
            let (kind, given) = match note.late_since {
                Some(since) => (VerdictKind::Isolate, Nanos(since)),
                None if self.answers(ours.id, now)
                    && well(outcome, ours.id)
                    && over(sibling.state.outcome(), theirs.id, note.cured_at) =>
                {
                    (VerdictKind::Release, Nanos(now.kernel))
                }
                None => return None,
            };
            Some(Verdict {
                backend: theirs.id,
                kind,
                given,
                expires: Nanos(now.kernel) + EXPIRES,
            })
        });
        words.collect()
    }

    /// Whether it answered here of late: a family that was not asked knows nothing of now.
    fn answers(&self, id: BackendId, now: Instant) -> bool {
        self.meters
            .get(&id)
            .is_some_and(|meter| meter.answered_within(OF_LATE.0, now.kernel))
    }
}

fn view(outcome: &Outcome, id: BackendId) -> Option<&BackendView> {
    outcome.backends.iter().find(|view| view.id == id)
}

/// Whether what it is isolated for no longer stands: the word of others alone, or a lateness that ended for this process
/// at `cured`.
fn over(outcome: &Outcome, id: BackendId, cured: Option<u64>) -> bool {
    let Some((view, isolation)) = view(outcome, id).and_then(|view| Some((view, view.isolation?))) else {
        return false;
    };
    matches!(isolation.evidence, Evidence::Shared { .. })
        || is_late(view) && cured.is_some_and(|cured| Nanos(cured) > isolation.since)
}

/// Whether it is in use and has shown how fast it answers.
fn well(outcome: &Outcome, id: BackendId) -> bool {
    view(outcome, id).is_some_and(|view| {
        matches!(view.state, BackendState::Normal | BackendState::Returning) && view.latency.is_some()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_fleets_rate_is_split_by_what_each_family_offers_here() {
        assert_eq!((part(450_000, 500_000), part(50_000, 500_000)), (900, 100));
        assert_eq!(part(0, 500_000), LEAST_PART, "a silent lane still tests");
        assert_eq!(part(0, 0), 1_000, "before any traffic nothing is known");
    }
}
