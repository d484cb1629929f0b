//! What happened to a set, a policy or a node, as entries of its EquivalenceTimeline: each transition with its reason, its
//! figures and what was done.
//!
//! Told from the mark that is stored with the entries and the object as it is now. So the same transition is never
//! told twice, and one that fell between two leaders is told by the next. `keeper` writes; this part is pure.

mod backlog;
mod entry;
mod keeper;
mod node;
mod policy;
mod subject;

pub use backlog::{Backlog, Topic};
pub use keeper::{Keeper, SNAPSHOTS_MAX};
pub use subject::{Mark, Subject};

use crate::gather::sentence;
use continuity_api::timeline::{
    AGE_MAX_SECONDS, ENTRIES_BYTES_MAX, ENTRIES_MAX, MARK_ADDRESSES_MAX, MARK_WARNED_MAX, TimelineEntry,
    TimelineMark,
};
use continuity_api::{EquivalenceSet, EquivalenceTimelineSpec, Time};
use k8s_openapi::jiff::{SignedDuration, Timestamp};

/// Longest subject the schema takes.
const SUBJECT_MAX: usize = 128;

/// What the next transition of `set` is told from.
#[must_use]
pub fn mark(set: &EquivalenceSet) -> TimelineMark {
    let status = set.status.clone().unwrap_or_default();
    TimelineMark {
        regime: status.regime,
        admission: status.admission,
        // Before the first status nobody has counted.
        served: set.status.is_none() || status.backends.ready > 0,
        isolated: status
            .isolated
            .iter()
            .take(MARK_ADDRESSES_MAX)
            .map(|backend| backend.address.clone())
            .collect(),
        warned: status
            .warnings
            .iter()
            .take(MARK_WARNED_MAX)
            .map(|warning| warning.address.clone())
            .collect(),
        truncated: status.truncated,
        desired_replicas: status.scale_hint.as_ref().map_or(0, |hint| hint.desired_replicas),
        policy: Some(set.spec.policy.clone()),
        mode: set.spec.mode,
    }
}

/// The timeline after `subject` was seen at `now`; none if nothing happened since the mark.
#[must_use]
pub fn appended(
    stored: Option<&EquivalenceTimelineSpec>,
    subject: &Subject,
    now: Timestamp,
) -> Option<EquivalenceTimelineSpec> {
    let before = stored.and_then(Mark::of);
    let after = subject.mark(before.as_ref());
    if before.as_ref() == Some(&after) {
        return None;
    }
    let told = subject.told(before.as_ref(), now);
    let total = stored.map_or(0, |stored| stored.total);
    let last = told.last().or(stored.and_then(|stored| stored.entries.last()));
    let (last, last_time) = last.map_or((String::new(), None), |entry| {
        (entry.what.clone(), Some(entry.at.clone()))
    });
    let known = stored.map(|stored| stored.entries.clone()).unwrap_or_default();
    let mut longer = EquivalenceTimelineSpec {
        total: total.saturating_add(i64::try_from(told.len()).unwrap_or(i64::MAX)),
        last,
        last_time,
        entries: bounded(known.into_iter().chain(told).collect(), now),
        ..subject.blank()
    };
    after.store(&mut longer);
    Some(longer)
}

/// One entry within the bounds of the schema: when it began, or else when it was seen.
fn written(
    (since, now): (Option<&Time>, Timestamp),
    what: &str,
    subject: &str,
    cause: &str,
    action: &str,
) -> TimelineEntry {
    TimelineEntry {
        at: seen(since, now),
        what: what.to_owned(),
        subject: subject.chars().take(SUBJECT_MAX).collect(),
        cause: sentence(cause),
        action: sentence(action),
    }
}

/// The youngest entries within every bound.
fn bounded(mut entries: Vec<TimelineEntry>, now: Timestamp) -> Vec<TimelineEntry> {
    let eldest = now - SignedDuration::from_secs(AGE_MAX_SECONDS);
    entries.retain(|entry| entry.at.0 >= eldest);
    let mut room = ENTRIES_BYTES_MAX;
    let kept = entries
        .iter()
        .rev()
        .take(ENTRIES_MAX)
        .take_while(|entry| {
            let size = serde_json::to_vec(entry).map_or(usize::MAX, |bytes| bytes.len().saturating_add(1));
            let fits = size <= room;
            room = room.saturating_sub(size);
            fits
        })
        .count();
    entries.drain(..entries.len().saturating_sub(kept));
    entries
}

/// Time as the API keeps it, in whole seconds, never in the future of `now`.
fn seen(at: Option<&Time>, now: Timestamp) -> Time {
    let at = at.map_or(now, |at| at.0.min(now));
    Time(Timestamp::from_second(at.as_second()).unwrap_or(at))
}

#[cfg(test)]
mod tests;
