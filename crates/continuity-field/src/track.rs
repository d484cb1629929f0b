//! What is remembered about one backend, and keeping those memories in the order of the samples.
//!
//! A memory follows its backend by identity, never by index. A backend that leaves is forgotten; one that joins a
//! running set starts slowly; the first step of a set takes all as they are.

use crate::distress::Fear;
use crate::game::Player;
use crate::look::Look;
use crate::watch::Watch;
use crate::{BackendId, BackendSample, Distress, Evidence, InputError, Isolation, Nanos};

/// Where a backend stands, with what is needed to leave that place.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Phase {
    /// Full share.
    Normal,
    /// Joined at that instant.
    Starting { since: Nanos },
    /// Taken out.
    Isolated(Isolation),
    /// Let in again.
    Returning { since: Nanos, isolated: Nanos },
}

/// Memory of one backend. Levels are log2 of µs.
#[derive(Debug, Clone)]
pub(crate) struct Track {
    pub id: BackendId,
    pub phase: Phase,
    pub in_service: bool,
    /// Level of its answers, censored ages included; `None` before the first.
    pub level: Option<f64>,
    /// Answers of late, decaying by half per 5 s: how well `level` is known.
    pub known: f64,
    /// Looks and what they found.
    pub look: Look,
    /// Requests of late that failed, and all that ended; both decay by e per 10 s.
    pub failed: f64,
    pub ended: f64,
    /// Moving mean of the error share, gain as for the level.
    pub error: f64,
    /// Failures since the last good answer; and the same without clients that gave up and with refusals doubled.
    pub run: u32,
    pub run_weight: u32,
    pub last_failure: Option<Nanos>,
    /// Of the failures of this step, lost leases.
    pub lost: u32,
    /// Relapses of late; one is forgotten a minute.
    pub relapses: u32,
    pub relapses_at: Nanos,
    /// Next test connection, and whether one was seen to leave since the isolation.
    pub drip_due: Nanos,
    pub tested: bool,
    /// Extra tests after promising ones, and since when they are counted.
    pub extra: (u32, Nanos),
    /// It tests early whether what isolated it was a pause.
    pub scout: bool,
    /// Slots held now.
    pub slots: u32,
    /// Slow share exponent, octaves (law-balancing §2.6).
    pub lean: f64,
    /// In-band reports of this backend.
    pub trust: crate::trust::Trust,
    /// Latest pressure.
    pub pressure: crate::pressure::Pressure,
    /// Evidence against it in this step, and whether it is a single sign.
    pub evidence: Option<Evidence>,
    pub single: bool,
    /// It was said that it must stay in use; said once per spell.
    pub said_kept: bool,
    /// The latest verdict of others that was acted on.
    pub verdict_given: Nanos,
    /// Good answers of late, fading by e a second; and the latest verdict of others that they outweighed.
    pub good: f64,
    pub doubted: Nanos,
    /// What its node says, and what is made of it.
    pub distress: Distress,
    pub fear: Fear,
    /// Segments of late that were sent again, and all; both fade by e per 10 s.
    pub resent: f64,
    pub segments: f64,
    /// Memory of its pod, where it is told.
    pub watch: Option<Box<Watch>>,
    /// Its part in the game that the regret overlay plays.
    pub player: Player,
    /// What its failures are pardoned, 256ths.
    pub pardon: u32,
    /// Values that are shown at every step and seldom change.
    pub shown: Shown,
}

/// A value and what it was computed from: logarithms and powers are a good part of a step.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Kept<T> {
    from: Option<f64>,
    value: T,
}

impl<T: Copy> Kept<T> {
    pub(crate) fn of(&mut self, from: f64, compute: impl FnOnce(f64) -> T) -> T {
        if self.from != Some(from) {
            self.value = compute(from);
            self.from = Some(from);
        }
        self.value
    }
}

/// What is shown of a backend; no part of what is remembered.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Shown {
    pub latency: Kept<Nanos>,
    pub share: Kept<i32>,
}

impl Track {
    pub(crate) fn new(id: BackendId, phase: Phase, now: Nanos) -> Self {
        Self {
            id,
            phase,
            in_service: true,
            level: None,
            known: 0.0,
            // What was sent before the backend was first seen says nothing about it now.
            look: Look::since(now),
            failed: 0.0,
            ended: 0.0,
            error: 0.0,
            run: 0,
            run_weight: 0,
            last_failure: None,
            lost: 0,
            relapses: 0,
            relapses_at: now,
            drip_due: now,
            tested: false,
            extra: (0, now),
            scout: false,
            slots: 0,
            lean: 0.0,
            trust: crate::trust::Trust::default(),
            pressure: crate::pressure::Pressure::default(),
            evidence: None,
            single: false,
            said_kept: false,
            verdict_given: now,
            good: 0.0,
            doubted: Nanos::ZERO,
            distress: Distress::Well,
            fear: Fear::default(),
            resent: 0.0,
            segments: 0.0,
            watch: None,
            player: Player::default(),
            pardon: 0,
            shown: Shown::default(),
        }
    }

    pub(crate) fn isolation(&self) -> Option<Isolation> {
        match self.phase {
            Phase::Isolated(isolation) => Some(isolation),
            _ => None,
        }
    }

    /// A word of about every line of it.
    pub(crate) fn fetch(&self) -> u32 {
        let parts = [
            self.look.hits,
            self.look.crowd,
            self.run,
            self.slots,
            self.relapses,
            self.pardon,
        ];
        let levels = [
            self.look.n,
            self.look.peers_answered,
            self.lean,
            self.pressure.scar,
            self.segments,
            self.good,
        ];
        let sum = parts.iter().fold(0_u32, |sum, part| sum.wrapping_add(*part));
        levels
            .iter()
            .fold(sum, |sum, level| sum ^ u32::from(*level > 0.0))
    }

    /// Gets new connections by slot.
    pub(crate) fn in_use(&self) -> bool {
        self.in_service && self.isolation().is_none()
    }
}

/// What changed in the membership.
#[derive(Debug, Default)]
pub(crate) struct Change {
    /// Indices differ from the last step's: the table must be published again.
    pub moved: bool,
}

/// Brings `tracks` into the order of `samples`; calls `joined` and `left` for each arrival and departure.
///
/// Costs one comparison a backend while nothing changes; allocates only when the membership does.
pub(crate) fn align(
    tracks: &mut Vec<Track>,
    samples: &[BackendSample],
    now: Nanos,
    mut joined: impl FnMut(BackendId),
    mut left: impl FnMut(BackendId),
) -> Result<Change, InputError> {
    let same = tracks.len() == samples.len()
        && tracks
            .iter()
            .zip(samples)
            .all(|(track, sample)| track.id == sample.id);
    if same {
        return Ok(Change::default());
    }
    let mut order: Vec<BackendId> = samples.iter().map(|sample| sample.id).collect();
    order.sort_unstable();
    if let Some(twice) = order.windows(2).find(|pair| pair[0] == pair[1]) {
        return Err(InputError::DuplicateBackend(twice[0]));
    }
    let first = tracks.is_empty();
    let mut old: Vec<Option<Track>> = std::mem::take(tracks).into_iter().map(Some).collect();
    old.sort_unstable_by_key(|track| track.as_ref().map(|track| track.id));
    for sample in samples {
        let found = old.binary_search_by_key(&Some(sample.id), |track| track.as_ref().map(|track| track.id));
        let kept = found.ok().and_then(|at| old.get(at).cloned().flatten());
        tracks.push(kept.unwrap_or_else(|| {
            if first {
                return Track::new(sample.id, Phase::Normal, now);
            }
            joined(sample.id);
            Track::new(sample.id, Phase::Starting { since: now }, now)
        }));
    }
    for track in old.iter().flatten() {
        if order.binary_search(&track.id).is_err() {
            left(track.id);
        }
    }
    Ok(Change { moved: true })
}
