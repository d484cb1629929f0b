//! What the cluster says about backends, on this node's clock, and the end of what it said.
//!
//! An isolation that this node holds on the word of others alone ends with that word: when the plan says release, or when
//! the verdict is gone or has expired. It then returns as slowly as after a test of its own, and the first late answer
//! takes it out again. What the node found out by itself only a good answer or a release ends.

use continuity_field::{BackendView, Evidence, Nanos, Outcome, Verdict, VerdictKind};

use super::Instant;
use super::resume::Resume;
use crate::lane::Lane;

/// A release acts in this round or is said again in the next.
const EXPIRES: Nanos = Nanos::from_secs(1);

/// The plan's verdicts on this node's clock. One that was known keeps the time it was given: it acts once.
pub(super) fn adopt(known: &[Verdict], lane: &Lane, now: Instant) -> Vec<Verdict> {
    let fresh = lane
        .advice
        .verdicts
        .iter()
        .filter(|verdict| verdict.expires_millis > now.wall_millis);
    fresh
        .map(|verdict| {
            let left = verdict.expires_millis.saturating_sub(now.wall_millis);
            let expires = Nanos(now.kernel) + Nanos::from_millis(u64::try_from(left).unwrap_or(0));
            let same = |old: &&Verdict| old.backend == verdict.backend && old.kind == verdict.kind;
            let given = known.iter().find(same).map_or(Nanos(now.kernel), |old| old.given);
            Verdict {
                backend: verdict.backend,
                kind: verdict.kind,
                given,
                expires,
            }
        })
        .collect()
}

/// Adds a release for every backend that is isolated on the word of others which nobody gives any more. It is given anew
/// each round, so that one that comes during the hold acts at its end. What the sibling said last holds until it says
/// otherwise, however long this round was in coming: a node that stood still for a second has heard nothing new.
pub(super) fn release_spent(
    verdicts: &mut Vec<Verdict>,
    heard: &[Verdict],
    outcome: &Outcome,
    resume: &Resume,
    now: Instant,
) {
    let now = Nanos(now.kernel);
    let spent = outcome
        .backends
        .iter()
        .filter(|view| is_hearsay(view) && !resume.inherited(view.id));
    let spent: Vec<Verdict> = spent
        .filter(|view| {
            let isolates =
                |verdict: &&Verdict| verdict.backend == view.id && verdict.kind == VerdictKind::Isolate;
            let told = verdicts
                .iter()
                .filter(isolates)
                .any(|verdict| verdict.expires > now);
            !told && !heard.iter().any(|verdict| isolates(&verdict))
        })
        .map(|view| Verdict {
            backend: view.id,
            kind: VerdictKind::Release,
            given: now,
            expires: now + EXPIRES,
        })
        .collect();
    verdicts.extend(spent);
}

fn is_hearsay(view: &BackendView) -> bool {
    view.isolation
        .is_some_and(|isolation| matches!(isolation.evidence, Evidence::Shared { .. }))
}
