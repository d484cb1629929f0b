//! The complete form of a state: a restored one goes on bit for bit as the saved one would have.
//!
//! Sized by its backends (see [`SetState::save_whole`]); for records, replays and stores without a page's limit. What was
//! said in the latest step (reasons, a refused input) is not part of it: it was said.

use super::code::{Reader, Stored, stored, stored_names};
use crate::baseline::{Baseline, Fleet};
use crate::regime::Machine;
use crate::spill::Spill;
use crate::track::{Phase, Shown, Track};
use crate::{
    BackendChoice, BackendState, BackendView, ChoiceWords, Distress, Drip, Game, Limit, NodeDemand, Outcome,
    RestoreError, SetState, Warning,
};

/// First word of the form, so that one form is never taken for the other, and its version.
const MARK: u32 = u32::from_le_bytes(*b"CFWS");
const VERSION: u32 = 2;

stored_names! {
    BackendState [Normal, Starting, Suspect, Isolated, Returning, Out]
    Distress [Well, Strained, Drowning]
}

stored! {
    ChoiceWords { wm, lm, ownm, reports, mem_on, width }
    BackendChoice { off, shl, trust, fixed, pardon }
    Drip { backend, every, due }
    Limit { in_flight, survival_permille }
    BackendView {
        id, state, isolation, share_ppm, slots, pressure_milli, latency, error_permille, choice
    }
    NodeDemand {
        offered_milli_per_second, shed_milli_per_second, answered_milli_per_second, trend_milli_per_second2,
        in_flight_milli, turnaround_micros, calm_micros, p99_micros, error_permille, in_service, carrying_milli,
        dependency_limited
    }
    Warning { backend, told }
    Game { conductance_milli, gap_milli, regret_milli }
    Spill { price }
    Fleet { counts, n, sum, squares }
    Track {
        id, phase, in_service, level, known, look, failed, ended, error, run, run_weight, last_failure, lost, relapses,
        relapses_at, drip_due, tested, extra, scout, slots, lean, trust, pressure, evidence, single, said_kept, verdict_given,
        good, doubted, distress, fear, resent, segments, watch, player, pardon, shown
    }
}

/// Computed again when it is shown.
impl Stored for Shown {
    fn put(&self, _: &mut Vec<u8>) {}

    fn take(_: &mut Reader<'_>) -> Result<Self, RestoreError> {
        Ok(Self::default())
    }
}

impl Stored for Phase {
    fn put(&self, out: &mut Vec<u8>) {
        match *self {
            Self::Normal => 0_u8.put(out),
            Self::Starting { since } => {
                1_u8.put(out);
                since.put(out);
            }
            Self::Isolated(isolation) => {
                2_u8.put(out);
                isolation.put(out);
            }
            Self::Returning { since, isolated } => {
                3_u8.put(out);
                (since, isolated).put(out);
            }
        }
    }

    fn take(from: &mut Reader<'_>) -> Result<Self, RestoreError> {
        Ok(match u8::take(from)? {
            0 => Self::Normal,
            1 => Self::Starting {
                since: Stored::take(from)?,
            },
            2 => Self::Isolated(Stored::take(from)?),
            3 => {
                let (since, isolated) = Stored::take(from)?;
                Self::Returning { since, isolated }
            }
            _ => return Err(from.refuse()),
        })
    }
}

impl Stored for Outcome {
    fn put(&self, out: &mut Vec<u8>) {
        let Self {
            slots,
            changed,
            words,
            backends,
            drip,
            regime,
            regime_since,
            enforcement,
            limit,
            pressure_milli,
            reasons: _,
            warnings,
            game,
            demand,
            problem: _,
        } = self;
        (*slots).put(out);
        (*changed, (*words, *drip)).put(out);
        backends.put(out);
        ((*regime, *regime_since), (*enforcement, *limit)).put(out);
        (*pressure_milli, *demand).put(out);
        warnings.put(out);
        game.put(out);
    }

    fn take(from: &mut Reader<'_>) -> Result<Self, RestoreError> {
        let slots = Stored::take(from)?;
        let (changed, (words, drip)) = Stored::take(from)?;
        let backends = Stored::take(from)?;
        let ((regime, regime_since), (enforcement, limit)) = Stored::take(from)?;
        let (pressure_milli, demand) = Stored::take(from)?;
        let warnings = Stored::take(from)?;
        let game = Stored::take(from)?;
        Ok(Self {
            slots,
            changed,
            words,
            backends,
            drip,
            regime,
            regime_since,
            enforcement,
            limit,
            pressure_milli,
            reasons: Vec::new(),
            warnings,
            game,
            demand,
            problem: None,
        })
    }
}

impl SetState {
    /// Appends everything the law knows of the set, versioned, to `bytes`: about 4 KiB and 1 KiB a backend (8 MiB at most).
    pub fn save_whole(&self, bytes: &mut Vec<u8>) {
        (MARK, VERSION).put(bytes);
        ((self.last, self.started), (self.look_began, self.looks)).put(bytes);
        self.tracks.put(bytes);
        self.remembered.put(bytes);
        self.baseline.put(bytes);
        self.fleet.put(bytes);
        self.demand.put(bytes);
        self.machine.put(bytes);
        self.spill.put(bytes);
        self.alarm.put(bytes);
        (self.slope, self.pressure).put(bytes);
        self.outcome.put(bytes);
    }

    /// The state that was saved whole. It holds instants of the kernel's clock: on another boot, [`Self::restore`] is right.
    pub fn restore_whole(bytes: &[u8]) -> Result<Self, RestoreError> {
        let mut reader = Reader::new(bytes);
        let from = &mut reader;
        let (mark, found) = <(u32, u32)>::take(from)?;
        if mark != MARK {
            return Err(RestoreError::Value { at: 0 });
        }
        if found != VERSION {
            return Err(RestoreError::Version {
                found,
                expected: VERSION,
            });
        }
        let ((last, started), (look_began, looks)) = Stored::take(from)?;
        let tracks: Vec<Track> = Stored::take(from)?;
        let state = Self {
            last,
            started,
            look_began,
            looks,
            remembered: Stored::take(from)?,
            baseline: Baseline::take(from)?,
            fleet: Fleet::take(from)?,
            demand: Stored::take(from)?,
            machine: Machine::take(from)?,
            spill: Stored::take(from)?,
            alarm: Stored::take(from)?,
            slope: Stored::take(from)?,
            pressure: Stored::take(from)?,
            outcome: Stored::take(from)?,
            tracks,
            ..Self::default()
        };
        let misplaced = reader.refuse();
        reader.end()?;
        if state.is_consistent() {
            Ok(state)
        } else {
            Err(misplaced)
        }
    }

    /// Every slot has an owner that exists, every backend exists once and has its view, shares are parts of a whole.
    fn is_consistent(&self) -> bool {
        let mut ids: Vec<_> = self.tracks.iter().map(|track| track.id).collect();
        ids.sort_unstable();
        let unique = ids.windows(2).all(|pair| pair.first() != pair.get(1));
        let views = &self.outcome.backends;
        let paired = views.len() == self.tracks.len()
            && views
                .iter()
                .zip(&self.tracks)
                .all(|(view, track)| view.id == track.id);
        let owned = self
            .outcome
            .slots
            .iter()
            .all(|slot| *slot == crate::OFF || usize::from(*slot) < self.tracks.len());
        let game = self.outcome.game;
        let played = game.conductance_milli <= 1_000 && game.gap_milli <= 1_000;
        unique && paired && owned && played
    }
}
