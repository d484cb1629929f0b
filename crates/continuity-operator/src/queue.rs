//! The bounded queue between decisions and the API: one entry a slot, the latest wins.
//!
//! A token bucket per slot keeps a flapping set at 12 writes a minute, and lets a transition through at once as long as
//! there is a token; figures leave two tokens for transitions and keep 5 s apart. A failed write waits by its kind of
//! failure. A slot that is being written takes no second write. Pure: takes `now`, does no I/O.

mod bucket;

use crate::backoff;
use crate::decide::{Intent, Slot, Urgency, Write};
use crate::error::Category;
use bucket::Bucket;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// Entries: 5,000 Services with two slots of theirs at once. Beyond it figures are refused, counted, and come again with
/// the next look; a transition takes the place of a figure.
pub const ENTRIES_MAX: usize = 10_000;

/// What became of an offer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Offer {
    /// It waits.
    Queued,
    /// It took the place of an older write of the same slot.
    Merged,
    /// The slot is as it should be; nothing waits.
    Settled,
    /// The queue is full.
    Dropped,
}

#[derive(Debug)]
struct Entry {
    intent: Intent,
    due: Duration,
}

#[derive(Debug, Default)]
struct Slate {
    bucket: Bucket,
    failures: u32,
    /// Not before, after a failure.
    rest: Duration,
}

/// The queue.
#[derive(Debug, Default)]
pub struct Queue {
    entries: BTreeMap<Slot, Entry>,
    order: BTreeSet<(Duration, Slot)>,
    slates: BTreeMap<Slot, Slate>,
    flying: BTreeMap<Slot, Write>,
}

impl Queue {
    /// Puts what belongs into a slot in line.
    pub fn offer(&mut self, intent: Intent, now: Duration) -> Offer {
        let slot = intent.slot.clone();
        let flying = self.flying.get(&slot);
        if intent.write == Write::Nothing || flying.is_some_and(|write| *write == intent.write) {
            self.remove(&slot);
            return Offer::Settled;
        }
        let before = self.remove(&slot);
        if self.entries.len() >= ENTRIES_MAX && !self.make_room(intent.urgency) {
            return Offer::Dropped;
        }
        let slate = self.slates.entry(slot.clone()).or_default();
        // A merge never postpones, or what changes all the time would never be written.
        let fresh = slate.bucket.due(intent.urgency, now);
        let due = before.map_or(fresh, |before| before.min(fresh)).max(slate.rest);
        self.order.insert((due, slot.clone()));
        self.entries.insert(slot, Entry { intent, due });
        if before.is_some() {
            Offer::Merged
        } else {
            Offer::Queued
        }
    }

    /// The next write that is due, if any. Its slot takes no other until `finish`.
    pub fn take(&mut self, now: Duration) -> Option<Intent> {
        let slot = self
            .order
            .iter()
            .take_while(|(due, _)| *due <= now)
            .map(|(_, slot)| slot)
            .find(|slot| !self.flying.contains_key(*slot))?
            .clone();
        let entry = self.entries.remove(&slot)?;
        self.order.remove(&(entry.due, slot.clone()));
        self.slates.entry(slot.clone()).or_default().bucket.spend(now);
        self.flying.insert(slot, entry.intent.write.clone());
        Some(entry.intent)
    }

    /// When the next write will be due.
    #[must_use]
    pub fn next_due(&self) -> Option<Duration> {
        self.order
            .iter()
            .find(|(_, slot)| !self.flying.contains_key(slot))
            .map(|(due, _)| *due)
    }

    /// Ends a write. A failed one comes again after its rest, unless something newer waits or a retry is pointless.
    pub fn finish(&mut self, intent: Intent, outcome: Result<(), Category>, now: Duration) {
        self.flying.remove(&intent.slot);
        let slate = self.slates.entry(intent.slot.clone()).or_default();
        match outcome {
            Ok(()) => slate.failures = 0,
            Err(category) => {
                slate.failures = slate.failures.saturating_add(1);
                match backoff::delay(category, slate.failures, &intent.slot) {
                    Some(delay) => {
                        slate.rest = now + delay;
                        self.again(intent, now);
                    }
                    None => slate.failures = 0,
                }
            }
        }
    }

    /// Drops everything that waits, as a replica that no longer leads does.
    pub fn clear(&mut self) {
        self.entries.clear();
        self.order.clear();
    }

    /// Forgets slots that have been quiet long enough to have a full bucket.
    pub fn sweep(&mut self, now: Duration) {
        let (entries, flying) = (&self.entries, &self.flying);
        self.slates.retain(|slot, slate| {
            entries.contains_key(slot)
                || flying.contains_key(slot)
                || slate.rest > now
                || !slate.bucket.full(now)
        });
    }

    /// Number of writes that wait.
    #[must_use]
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether no write waits or is on its way.
    #[must_use]
    pub fn is_idle(&self) -> bool {
        self.entries.is_empty() && self.flying.is_empty()
    }

    /// Whether no write waits.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Puts a failed write back with its rest, behind anything newer, and lets the newer one rest too.
    fn again(&mut self, intent: Intent, now: Duration) {
        let newer = self.entries.get(&intent.slot).map(|entry| entry.intent.clone());
        self.offer(newer.unwrap_or(intent), now);
    }

    /// Takes an entry out and says when it was due.
    fn remove(&mut self, slot: &Slot) -> Option<Duration> {
        let due = self.entries.remove(slot)?.due;
        self.order.remove(&(due, slot.clone()));
        Some(due)
    }

    fn make_room(&mut self, urgency: Urgency) -> bool {
        if urgency == Urgency::Figure {
            return false;
        }
        let figure = self
            .order
            .iter()
            .rev()
            .map(|(_, slot)| slot)
            .find(|slot| {
                self.entries
                    .get(*slot)
                    .is_some_and(|entry| entry.intent.urgency == Urgency::Figure)
            })
            .cloned();
        figure.is_some_and(|slot| self.remove(&slot).is_some())
    }
}

#[cfg(test)]
mod tests;
