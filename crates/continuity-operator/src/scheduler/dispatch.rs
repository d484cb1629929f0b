//! In and out of the lanes: who is next, and when.

use super::{BUDGET, Entry, Flight, Gate, Lane, Scheduler, TENANT, TENANT_FLIGHTS_MAX, pace, rank, systemic};
use crate::decide::{Intent, Slot};
use crate::error::Category;
use std::time::Duration;

/// A slot that is being written waits for its landing, whatever the time.
const LANDING: Duration = Duration::MAX;

impl Scheduler {
    /// The next write that may go through `gate`, if any. Its slot takes no other until `finish`.
    pub fn take(&mut self, gate: Gate, now: Duration) -> Option<Intent> {
        self.promote(now);
        if self.flying.len() >= gate.flights {
            return None;
        }
        let lane = self
            .heads
            .iter()
            .map(|(_, lane)| lane)
            .find(|lane| self.open(lane, gate, now))?
            .clone();
        let slot = self.lanes.get(&lane)?.first()?.1.clone();
        let cost = self.entries.get(&slot)?.intent.cost;
        // Nothing cheaper overtakes, or what is dear would never be served.
        if self.budget.due(BUDGET, cost, now) > now {
            return None;
        }
        let entry = self.remove(&slot)?;
        self.budget.spend(BUDGET, cost, now);
        let tenant = self.tenants.entry(lane.tenant.clone()).or_default();
        tenant.flying += 1;
        tenant.meter.spend(TENANT, 1, now);
        self.domains.entry(lane.domain.clone()).or_default().flying += 1;
        self.slates.entry(slot.clone()).or_default().bucket.spend(now);
        self.waits.hear(now.saturating_sub(entry.due));
        self.counters.dispatched += 1;
        let write = entry.intent.write.clone();
        self.flying.insert(slot, Flight { write, lane });
        Some(entry.intent)
    }

    /// When the next write may go through `gate`, if time alone brings it; a landing brings others.
    #[must_use]
    pub fn next_due(&self, gate: Gate, now: Duration) -> Option<Duration> {
        let resting = self.resting.first().map(|(due, _)| *due);
        let resting = resting.filter(|due| *due != LANDING);
        let ready = self
            .heads
            .iter()
            .filter(|(_, lane)| self.places(lane, gate, now))
            .filter_map(|(_, lane)| {
                let (_, slot) = self.lanes.get(lane)?.first()?;
                let cost = self.entries.get(slot)?.intent.cost;
                let tenant = self.tenants.get(&lane.tenant);
                let rate = tenant.map_or(now, |tenant| tenant.meter.due(TENANT, 1, now));
                Some(rate.max(self.budget.due(BUDGET, cost, now)))
            })
            .min()
            .filter(|_| self.flying.len() < gate.flights);
        [resting, ready, self.quarantine.next_due()]
            .into_iter()
            .flatten()
            .min()
    }

    /// Whether the lane may send one now.
    fn open(&self, lane: &Lane, gate: Gate, now: Duration) -> bool {
        let rate = self
            .tenants
            .get(&lane.tenant)
            .is_none_or(|tenant| tenant.meter.due(TENANT, 1, now) <= now);
        rate && self.places(lane, gate, now)
    }

    /// Whether gate, namespace and failure domain leave the lane a place in flight.
    fn places(&self, lane: &Lane, gate: Gate, now: Duration) -> bool {
        let admitted = !lane.deferrable || gate.priority > Gate::URGENT;
        let tenant = self
            .tenants
            .get(&lane.tenant)
            .is_none_or(|tenant| tenant.flying < TENANT_FLIGHTS_MAX);
        let domain = self
            .domains
            .get(&lane.domain)
            .is_none_or(|health| health.flying == 0 || !health.throttled(now));
        admitted && tenant && domain
    }

    /// Moves what is due into its lane, and what was apart for long enough back in line.
    fn promote(&mut self, now: Duration) {
        while let Some(apart) = self.quarantine.due(now) {
            self.insert(apart.intent, None, now, now);
        }
        while let Some((due, slot)) = self.resting.first().cloned() {
            if due > now {
                return;
            }
            self.resting.remove(&(due, slot.clone()));
            let Some(entry) = self.entries.get_mut(&slot) else {
                continue;
            };
            entry.ready = true;
            let (rank, lane) = (entry.rank, Lane::of(&entry.intent));
            self.enter(lane, (rank, slot));
        }
    }

    /// Puts an intent in line, in the place of what waited before for its slot, or of what was first offered at `since`.
    pub(super) fn insert(&mut self, intent: Intent, before: Option<Entry>, since: Duration, now: Duration) {
        let slot = intent.slot.clone();
        let slate = self.slates.entry(slot.clone()).or_default();
        let fresh = pace(slate, intent.urgency, now);
        let submitted = before.as_ref().map_or(since, |before| before.submitted);
        // A merge never postpones, or what changes all the time would never be written.
        let own = rank(&intent, submitted);
        let rank = before.as_ref().map_or(own, |before| before.rank.min(own));
        let due = before
            .filter(|before| before.due != LANDING)
            .map_or(fresh, |before| before.due.min(fresh))
            .max(slate.rest);
        let due = if self.flying.contains_key(&slot) {
            LANDING
        } else {
            due
        };
        let tenant = slot.key.namespace.clone();
        self.tenants.entry(tenant).or_default().waiting += 1;
        self.ranks.insert((rank, slot.clone()));
        self.resting.insert((due, slot.clone()));
        let entry = Entry {
            intent,
            submitted,
            rank,
            due,
            ready: false,
        };
        self.entries.insert(slot, entry);
    }

    /// Takes an entry out, wherever it is.
    pub(super) fn remove(&mut self, slot: &Slot) -> Option<Entry> {
        let entry = self.entries.remove(slot)?;
        self.ranks.remove(&(entry.rank, slot.clone()));
        if entry.ready {
            self.leave(&Lane::of(&entry.intent), &(entry.rank, slot.clone()));
        } else {
            self.resting.remove(&(entry.due, slot.clone()));
        }
        if let Some(tenant) = self.tenants.get_mut(&slot.key.namespace) {
            tenant.waiting = tenant.waiting.saturating_sub(1);
        }
        Some(entry)
    }

    /// What waits for a slot is due anew: its write has landed, or its rest has changed.
    pub(super) fn rouse(&mut self, slot: &Slot, now: Duration) {
        if let Some(entry) = self.remove(slot) {
            let before = Entry {
                due: LANDING,
                intent: entry.intent.clone(),
                ..entry
            };
            self.insert(entry.intent, Some(before), now, now);
        }
    }

    /// A write is no longer on its way.
    pub(super) fn land(&mut self, slot: &Slot, outcome: Result<(), Category>, now: Duration) {
        let Some(flight) = self.flying.remove(slot) else {
            return;
        };
        if let Some(tenant) = self.tenants.get_mut(&flight.lane.tenant) {
            tenant.flying = tenant.flying.saturating_sub(1);
        }
        let health = self.domains.entry(flight.lane.domain).or_default();
        health.flying = health.flying.saturating_sub(1);
        match outcome {
            Ok(()) => health.hear(false, now),
            // What is everyday, and what the whole API server does, says nothing about the domain.
            Err(category) if systemic(category) || everyday(category) => {}
            Err(_) => health.hear(true, now),
        }
    }

    fn enter(&mut self, lane: Lane, place: (Duration, Slot)) {
        let queue = self.lanes.entry(lane.clone()).or_default();
        if let Some((rank, _)) = queue.first() {
            self.heads.remove(&(*rank, lane.clone()));
        }
        queue.insert(place);
        if let Some((rank, _)) = queue.first() {
            self.heads.insert((*rank, lane));
        }
    }

    fn leave(&mut self, lane: &Lane, place: &(Duration, Slot)) {
        let Some(queue) = self.lanes.get_mut(lane) else {
            return;
        };
        if let Some((rank, _)) = queue.first() {
            self.heads.remove(&(*rank, lane.clone()));
        }
        queue.remove(place);
        match queue.first() {
            Some((rank, _)) => {
                self.heads.insert((*rank, lane.clone()));
            }
            None => {
                self.lanes.remove(lane);
            }
        }
    }
}

/// Kinds of failure that happen to sound work.
const fn everyday(category: Category) -> bool {
    matches!(
        category,
        Category::Conflict | Category::Gone | Category::Terminating | Category::NotLeading
    )
}
