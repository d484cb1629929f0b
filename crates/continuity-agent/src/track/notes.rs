//! What people are told about a lane: since when each backend stands where it stands, and the sentence that explains it.
//!
//! Sentences come from the law's reasons; the names of backends, which the law does not know, are put in front here.

use std::collections::BTreeMap;

use continuity_field::{BackendId, BackendState, BackendView, Evidence, Outcome, Reason, Regime, Verdict};

use super::Instant;
use super::resume::Resume;
use crate::lane::{Lane, LaneBackend};
use crate::memory::{Memory, Remembered};

/// Refusal of a lane that the maps have no room for.
pub(super) const NOT_IN_THE_MAPS: &str = "the node's maps have no room for this set; kube-proxy serves it";

/// Refusal of a lane none of whose backends fitted.
pub(super) const NO_BACKEND_IN_THE_MAPS: &str =
    "the node's maps have no room for its backends; kube-proxy serves it";

/// Why a backend is isolated that an earlier agent had isolated.
const INHERITED: &str = "was isolated before the agent restarted; the next test decides";

/// Why a backend is isolated that is late over the pod's other address.
const SIBLING: &str = "was found sick over the pod's other address";

/// A law that starts anew needs five looks of 200 ms before it can call a posture anything but laminar; half as long again
/// for rounds that come late.
const FIRST_LOOKS: u64 = 1_500_000_000;

/// Longest sentence in a report, the bound of the API field.
const SENTENCE: usize = 256;

/// One backend's note.
#[derive(Clone, Debug)]
pub(super) struct Note {
    pub(super) state: BackendState,
    pub(super) since_millis: i64,
    pub(super) reason: String,
    /// Since when this lane by itself finds the process late or silent, on the kernel's clock.
    pub(super) late_since: Option<u64>,
    /// When it came back from such an isolation, on the kernel's clock.
    pub(super) cured_at: Option<u64>,
}

/// On whose word a backend may be isolated, other than that of other nodes.
#[derive(Clone, Copy, Debug)]
pub(super) struct Hearsay<'a> {
    pub(super) resume: &'a Resume,
    pub(super) heard: &'a [Verdict],
}

impl Hearsay<'_> {
    /// Why a backend is isolated, in words; `known` is what was said before.
    fn why(self, id: BackendId, evidence: &Evidence, known: &str) -> String {
        let sibling = || self.heard.iter().any(|verdict| verdict.backend == id);
        match evidence {
            Evidence::Shared { .. } if self.resume.inherited(id) && !known.is_empty() => known.to_owned(),
            Evidence::Shared { .. } if self.resume.inherited(id) => INHERITED.to_owned(),
            Evidence::Shared { .. } if sibling() => SIBLING.to_owned(),
            _ => evidence.to_string(),
        }
    }
}

/// The notes of a lane.
#[derive(Debug, Default)]
pub(super) struct Notes {
    pub(super) backends: BTreeMap<BackendId, Note>,
    pub(super) regime: Regime,
    pub(super) regime_since_millis: i64,
    pub(super) reason: String,
    /// Raised with every transition that a report should tell at once.
    pub(super) transitions: u64,
    /// Until then, on the kernel's clock, the recalled regime stands.
    recalled_until: u64,
}

impl Notes {
    /// What an earlier agent told people; what lies in the future of this clock begins now.
    pub(super) fn recall(memory: Memory, now: Instant) -> Self {
        let past = |millis: i64| millis.min(now.wall_millis);
        let note = |backend: Remembered| {
            let note = Note {
                state: backend.state,
                since_millis: past(backend.since_millis),
                reason: cut(backend.reason),
                late_since: backend.late_since,
                cured_at: None,
            };
            (backend.id, note)
        };
        Self {
            backends: memory.backends.into_iter().map(note).collect(),
            regime: memory.regime,
            regime_since_millis: past(memory.since_millis),
            reason: cut(memory.reason),
            transitions: 0,
            recalled_until: now.kernel.saturating_add(FIRST_LOOKS),
        }
    }

    /// What the next agent should know.
    pub(super) fn memory(&self) -> Memory {
        let remembered = |(id, note): (&BackendId, &Note)| Remembered {
            id: *id,
            state: note.state,
            since_millis: note.since_millis,
            late_since: note.late_since,
            reason: note.reason.clone(),
        };
        Memory {
            regime: self.regime,
            since_millis: self.regime_since_millis,
            reason: self.reason.clone(),
            backends: self.backends.iter().map(remembered).collect(),
        }
    }

    /// Whether anything was ever noted.
    pub(super) const fn any(&self) -> bool {
        self.regime_since_millis != 0
    }

    /// Takes note of an outcome.
    pub(super) fn take(&mut self, outcome: &Outcome, lane: &Lane, hearsay: &Hearsay<'_>, now: Instant) {
        if self.regime_since_millis == 0 {
            self.regime_since_millis = now.wall_millis;
        }
        self.backends
            .retain(|id, _| outcome.backends.iter().any(|view| view.id == *id));
        for (view, backend) in outcome.backends.iter().zip(&lane.backends) {
            let fresh = Note {
                state: view.state,
                since_millis: now.wall_millis,
                reason: String::new(),
                late_since: None,
                cured_at: None,
            };
            let note = self.backends.entry(view.id).or_insert(fresh);
            if standing(note.state) != standing(view.state) {
                note.since_millis = now.wall_millis;
                note.reason.clear();
                note.cured_at = note.late_since.map(|_| now.kernel);
                note.late_since = is_late(view).then_some(now.kernel);
                self.transitions += 1;
            }
            note.state = view.state;
            if let Some(isolation) = &view.isolation {
                let why = hearsay.why(view.id, &isolation.evidence, &note.reason);
                self.reason = cut(format!("{} {why}", name(backend)));
                note.reason = cut(why);
            }
        }
        for reason in &outcome.reasons {
            self.remember(reason, lane);
        }
        if outcome.regime != self.regime && now.kernel >= self.recalled_until {
            self.regime = outcome.regime;
            self.regime_since_millis = now.wall_millis;
            self.transitions += 1;
        }
        if self.regime == Regime::Laminar && !self.any_isolated() {
            self.reason.clear();
        }
    }

    fn remember(&mut self, reason: &Reason, lane: &Lane) {
        let about = reason
            .backend()
            .and_then(|id| lane.backends.iter().find(|backend| backend.id == id));
        match (reason, about) {
            // Every rebalance would wipe out the sentence that matters.
            (Reason::Rebalanced { .. } | Reason::Joined { .. } | Reason::Left { .. }, _) => {}
            (_, Some(backend)) => {
                if let Some(note) = self.backends.get_mut(&backend.id) {
                    note.reason = cut(reason.to_string());
                }
                self.reason = cut(format!("{} {reason}", name(backend)));
            }
            (Reason::RegimeChanged { .. }, None) if self.any_isolated() => {}
            (_, None) => self.reason = cut(reason.to_string()),
        }
    }

    fn any_isolated(&self) -> bool {
        self.backends
            .values()
            .any(|note| note.state == BackendState::Isolated)
    }
}

/// What a report tells apart; the law's finer states come and go too often.
const fn standing(state: BackendState) -> u8 {
    match state {
        BackendState::Normal | BackendState::Suspect => 0,
        BackendState::Starting | BackendState::Returning => 1,
        BackendState::Isolated => 2,
        BackendState::Out => 3,
    }
}

/// Isolated here on evidence that is the process's and not the address's.
pub(super) fn is_late(view: &BackendView) -> bool {
    view.isolation.is_some_and(|isolation| {
        matches!(
            isolation.evidence,
            Evidence::Latency { .. } | Evidence::Silence { .. }
        )
    })
}

/// A backend as people know it.
fn name(backend: &LaneBackend) -> String {
    let address = backend.address;
    match (backend.pod.as_deref(), backend.node.as_deref()) {
        (Some(pod), Some(node)) => format!("{address} ({pod}, {node})"),
        (Some(pod), None) => format!("{address} ({pod})"),
        (None, _) => address.to_string(),
    }
}

/// Cuts at a character, not through one; the bound counts characters.
fn cut(sentence: String) -> String {
    match sentence.char_indices().nth(SENTENCE) {
        None => sentence,
        Some((at, _)) => sentence.get(..at).unwrap_or_default().to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_sentence_is_cut_at_a_character() {
        let long = "→".repeat(400);
        assert_eq!(cut(long).chars().count(), SENTENCE);
        assert_eq!(cut("short".to_owned()), "short");
    }
}
