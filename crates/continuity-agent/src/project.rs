//! From an outcome of the law to a field of the dataplane, and whether it is worth publishing.
//!
//! A table with nobody in it means "refuse" to the kernel. So it is only ever built when the Service has no endpoint: a law
//! that could not decide, or backends that did not fit the maps, give an equal share or no publish at all, never a
//! refusal.

use continuity_dataplane::{BackendIndex, BackendWords, ChoiceWords, Drip, Field};
use continuity_field::{BackendId, BackendView, Nanos, Outcome, SLOTS};

/// Medians drift with every answer; a sixteenth of an octave (4 %) changes no choice that a slot would not change first.
const DRIFT: u32 = 16;

/// The drip that is armed: which backend, due when. The same pair is armed once: the kernel may have taken it already.
pub type Armed = Option<(BackendId, Nanos)>;

/// A field with the drip it arms.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Projection {
    /// The field.
    pub field: Field,
    /// The drip that is armed from then on.
    pub armed: Armed,
}

/// Builds the field. `indices` are the kernel's, in the order of the samples; `None` for a backend that is not in the maps.
///
/// `None` when the Service has endpoints but none of them is in the maps.
#[must_use]
pub fn project(
    outcome: &Outcome,
    indices: &[Option<BackendIndex>],
    empty: bool,
    armed: Armed,
) -> Option<Projection> {
    if empty {
        return Some(Projection {
            field: Field {
                drip: Drip::Off,
                ..Field::equal(&[])
            },
            armed: None,
        });
    }
    let at = |slot: u16| indices.get(usize::from(slot)).copied().flatten();
    let mut slots = [None; SLOTS];
    for (to, slot) in slots.iter_mut().zip(outcome.slots) {
        *to = at(slot);
    }
    if slots.iter().all(Option::is_none) {
        let known: Vec<BackendIndex> = indices.iter().copied().flatten().collect();
        slots = if known.is_empty() {
            return None;
        } else {
            Field::equal(&known).slots
        };
    }
    let (drip, armed) = drip(outcome, indices, armed);
    let words = &outcome.words;
    let choice = ChoiceWords {
        wm: words.wm,
        lm: words.lm,
        ownm: words.ownm,
        mem_on: words.mem_on,
        reports: false,
        width: u8::try_from(words.width).unwrap_or(u8::MAX),
    };
    let backends = outcome
        .backends
        .iter()
        .zip(indices)
        .filter_map(|(view, index)| Some(backend(view, (*index)?)))
        .collect();
    Some(Projection {
        field: Field {
            slots,
            choice,
            backends,
            drip,
        },
        armed,
    })
}

/// Whether the kernel would choose otherwise by `next` than by `last`.
#[must_use]
pub fn differs(last: &Field, next: &Field) -> bool {
    let drifted = |before: i32, after: i32| before.abs_diff(after) > DRIFT;
    let (before, after) = (&last.choice, &next.choice);
    last.slots != next.slots
        || last.backends != next.backends
        || next.drip != Drip::Keep
        || before.mem_on != after.mem_on
        || before.reports != after.reports
        || before.width != after.width
        || drifted(before.wm, after.wm)
        || drifted(before.lm, after.lm)
        || drifted(before.ownm, after.ownm)
}

fn drip(outcome: &Outcome, indices: &[Option<BackendIndex>], armed: Armed) -> (Drip, Armed) {
    let due = outcome.drip.and_then(|drip| {
        let at = usize::from(drip.backend);
        let index = indices.get(at).copied().flatten()?;
        let id = outcome.backends.get(at)?.id;
        Some((index, (id, drip.due)))
    });
    match due {
        None if armed.is_none() => (Drip::Keep, None),
        None => (Drip::Off, None),
        Some((_, wish)) if armed == Some(wish) => (Drip::Keep, armed),
        Some((backend, wish)) => (
            Drip::Arm {
                backend,
                at: wish.1.0,
            },
            Some(wish),
        ),
    }
}

fn backend(view: &BackendView, backend: BackendIndex) -> BackendWords {
    let choice = &view.choice;
    let fixed = choice
        .fixed
        .map_or(0, |price| u16::try_from(price.max(1)).unwrap_or(u16::MAX));
    BackendWords {
        backend,
        shl: i16::try_from(choice.shl).unwrap_or(if choice.shl < 0 { i16::MIN } else { i16::MAX }),
        trust: u16::try_from(choice.trust.min(256)).unwrap_or(256),
        fixed,
        off: choice.off,
        pardon: u8::try_from(choice.pardon).unwrap_or(u8::MAX),
    }
}

#[cfg(test)]
mod tests {
    use continuity_field::{BackendState, OFF};

    use super::*;

    fn outcome(slots: &[u16]) -> Outcome {
        let mut outcome = Outcome::default();
        for (to, from) in outcome.slots.iter_mut().zip(slots.iter().cycle()) {
            *to = *from;
        }
        outcome
    }

    fn view(id: u64) -> BackendView {
        BackendView {
            id: BackendId(id),
            state: BackendState::Isolated,
            isolation: None,
            share_ppm: 0,
            slots: 0,
            pressure_milli: 1_000,
            latency: None,
            error_permille: 0,
            choice: continuity_field::BackendChoice::default(),
        }
    }

    #[test]
    fn no_endpoint_refuses_and_nothing_else_does() {
        let none = project(&outcome(&[OFF]), &[], true, None).expect("a field");
        assert!(none.field.slots.iter().all(Option::is_none));
        let undecided = project(&outcome(&[OFF]), &[Some(BackendIndex(7))], false, None).expect("a field");
        assert!(
            undecided
                .field
                .slots
                .iter()
                .all(|slot| *slot == Some(BackendIndex(7)))
        );
        assert!(project(&outcome(&[0]), &[None], false, None).is_none());
    }

    #[test]
    fn a_drip_is_armed_once() {
        let mut outcome = outcome(&[0]);
        outcome.backends = vec![view(1), view(2)];
        let due = Nanos::from_secs(9);
        outcome.drip = Some(continuity_field::Drip {
            backend: 1,
            every: Nanos::from_secs(4),
            due,
        });
        let indices = [Some(BackendIndex(10)), Some(BackendIndex(11))];
        let first = project(&outcome, &indices, false, None).expect("a field");
        assert_eq!(
            first.field.drip,
            Drip::Arm {
                backend: BackendIndex(11),
                at: due.0
            }
        );
        let second = project(&outcome, &indices, false, first.armed).expect("a field");
        assert_eq!(second.field.drip, Drip::Keep);
        assert!(!differs(&first.field, &second.field));
        outcome.drip = None;
        let third = project(&outcome, &indices, false, second.armed).expect("a field");
        assert_eq!((third.field.drip, third.armed), (Drip::Off, None));
    }

    #[test]
    fn a_small_drift_of_the_medians_is_not_published() {
        let base = project(&outcome(&[0]), &[Some(BackendIndex(0))], false, None)
            .expect("a field")
            .field;
        let with = |lm: i32| Field {
            choice: ChoiceWords { lm, ..base.choice },
            ..base.clone()
        };
        assert!(!differs(&base, &with(10)));
        assert!(differs(&base, &with(40)));
    }
}
