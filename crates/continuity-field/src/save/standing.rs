//! Where a backend stood that did not simply carry, as a restart has to know it.

use super::code::stored;
use crate::track::{Phase, Track};
use crate::{BackendId, Nanos};

/// Nothing is planned further ahead: the longest hold and the longest wait for a test are 300 s each.
const AHEAD: Nanos = Nanos::from_secs(3_600);

/// What is kept of one backend.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Standing {
    id: BackendId,
    phase: Phase,
    relapses: u32,
    relapses_at: Nanos,
    drip_due: Nanos,
    tested: bool,
    verdict_given: Nanos,
    /// Level of its answers while it is isolated, log2 of µs: its tests are beside it. Who is in use answers anew.
    level: Option<f64>,
}

stored! {
    Standing { id, phase, relapses, relapses_at, drip_due, tested, verdict_given, level }
}

impl Standing {
    /// Bytes of the longest: id 8, phase 1 + since 8 + evidence 25 + level 4 + hold 8, relapses 4 + 8, test 8 + 1,
    /// verdict 8, level 9.
    pub(crate) const MOST: usize = 8 + 46 + 12 + 9 + 8 + 9;

    fn of(track: &Track) -> Option<Self> {
        let telling =
            matches!(track.phase, Phase::Isolated(_) | Phase::Returning { .. }) || track.relapses > 0;
        telling.then_some(Self {
            id: track.id,
            phase: track.phase,
            relapses: track.relapses,
            relapses_at: track.relapses_at,
            drip_due: track.drip_due,
            tested: track.tested,
            verdict_given: track.verdict_given,
            level: track.level.filter(|_| track.isolation().is_some()),
        })
    }

    /// Isolated first, then returning, then those that only relapsed.
    fn rank(&self) -> (u8, BackendId) {
        let phase = match self.phase {
            Phase::Isolated(_) => 0,
            Phase::Returning { .. } => 1,
            _ => 2,
        };
        (phase, self.id)
    }

    /// Its instants lie where a state of this boot can have put them.
    fn fits(&self, now: Nanos) -> bool {
        let (since, next) = match self.phase {
            Phase::Isolated(isolation) => (isolation.since, isolation.hold_until.max(self.drip_due)),
            Phase::Returning { since, .. } | Phase::Starting { since } => (since, since),
            Phase::Normal => (Nanos::ZERO, Nanos::ZERO),
        };
        since.max(self.relapses_at).max(self.verdict_given) <= now && next <= now + AHEAD
    }
}

/// Standings of the tracks, or those that no step has used yet; worst first, at most `most`.
pub(crate) fn gather(tracks: &[Track], remembered: &[Standing], most: usize) -> Vec<Standing> {
    if tracks.is_empty() {
        return remembered.to_vec();
    }
    let mut standings: Vec<Standing> = tracks.iter().filter_map(Standing::of).collect();
    standings.sort_unstable_by_key(Standing::rank);
    standings.truncate(most);
    standings
}

/// Puts the backends where they stood, at the first step after a restart. What lies in the future was saved on another
/// boot, whose clock says nothing here.
pub(crate) fn recall(tracks: &mut [Track], remembered: &mut Vec<Standing>, now: Nanos) {
    for standing in remembered.drain(..).filter(|standing| standing.fits(now)) {
        let Some(track) = tracks.iter_mut().find(|track| track.id == standing.id) else {
            continue;
        };
        track.phase = standing.phase;
        track.relapses = standing.relapses;
        track.relapses_at = standing.relapses_at;
        track.drip_due = standing.drip_due;
        track.tested = standing.tested;
        track.verdict_given = standing.verdict_given;
        if track.isolation().is_some() {
            track.level = standing.level;
        }
    }
}
