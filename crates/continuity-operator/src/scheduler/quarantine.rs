//! Poison items: work that fails by itself, again and again, while the API server is well.
//!
//! Three refusals in a row of the same content (a body that the schema does not take, a fault of ours) put it apart for
//! ten minutes, doubled with each failed probe up to an hour. Other content for the same object is other work and goes
//! through at once. Nothing is dropped: what is apart is shown, and tried again.

use crate::decide::{Intent, Slot};
use crate::error::Category;
use std::collections::BTreeMap;
use std::time::Duration;

/// Failures in a row that make an item poison.
const FAILURES: u32 = 3;
/// First time apart; long enough that 1,000 poison items make two requests a second together.
const FIRST: Duration = Duration::from_secs(600);
/// Longest time apart.
const LAST: Duration = Duration::from_secs(3_600);
/// Items apart. Beyond it, poison only backs off.
pub(super) const ITEMS_MAX: usize = 1_000;

/// An item apart.
#[derive(Clone, Debug)]
pub(super) struct Apart {
    pub(super) intent: Intent,
    pub(super) digest: u64,
    pub(super) category: Category,
    pub(super) since: Duration,
    pub(super) until: Duration,
    pub(super) terms: u32,
}

/// All items apart.
#[derive(Debug, Default)]
pub(super) struct Quarantine {
    items: BTreeMap<Slot, Apart>,
    /// How often a slot has been apart with the same content, for the length of the next term.
    terms: BTreeMap<Slot, (u64, u32)>,
}

impl Quarantine {
    /// Whether a failure of this kind is the item's own.
    pub(super) const fn own_fault(category: Category) -> bool {
        matches!(category, Category::Invalid | Category::Internal)
    }

    /// Puts an item apart after `failures` in a row, if that many make it poison and there is room.
    pub(super) fn admit(
        &mut self,
        intent: &Intent,
        digest: u64,
        (category, failures): (Category, u32),
        now: Duration,
    ) -> bool {
        let known = self.terms.get(&intent.slot).filter(|(seen, _)| *seen == digest);
        let terms = known.map_or(0, |(_, terms)| *terms);
        let poison = Self::own_fault(category) && (failures >= FAILURES || terms > 0);
        if !poison || self.items.len() >= ITEMS_MAX {
            return false;
        }
        let length = FIRST.saturating_mul(1_u32 << terms.min(8)).min(LAST);
        let apart = Apart {
            intent: intent.clone(),
            digest,
            category,
            since: now,
            until: now + length,
            terms: terms + 1,
        };
        self.terms.insert(intent.slot.clone(), (digest, terms + 1));
        self.items.insert(intent.slot.clone(), apart);
        true
    }

    /// Whether this content of the slot is apart. Other content sets the slot free.
    pub(super) fn holds(&mut self, slot: &Slot, digest: u64) -> bool {
        match self.items.get(slot) {
            Some(apart) if apart.digest == digest => true,
            Some(_) => {
                self.free(slot);
                false
            }
            None => false,
        }
    }

    /// Forgets a slot: it was written, or nothing is wanted of it any more.
    pub(super) fn free(&mut self, slot: &Slot) {
        self.items.remove(slot);
        self.terms.remove(slot);
    }

    /// An item whose time is up, for a probe.
    pub(super) fn due(&mut self, now: Duration) -> Option<Apart> {
        let slot = self
            .items
            .iter()
            .find(|(_, apart)| apart.until <= now)
            .map(|(slot, _)| slot.clone())?;
        self.items.remove(&slot)
    }

    pub(super) fn next_due(&self) -> Option<Duration> {
        self.items.values().map(|apart| apart.until).min()
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (&Slot, &Apart)> {
        self.items.iter()
    }

    pub(super) fn len(&self) -> usize {
        self.items.len()
    }

    pub(super) fn clear(&mut self) {
        self.items.clear();
        self.terms.clear();
    }
}
