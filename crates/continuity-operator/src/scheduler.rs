//! The one bounded queue between decisions and the API: every piece of work passes it, and nothing is dropped in silence.
//!
//! * One entry an object and aspect; the latest content wins and keeps the older one's place.
//! * Order: priority with aging. One level is worth 10 s of waiting, so work of priority 10 is served before any of
//!   priority 0 that came 100 s later. The key is static (`submitted + 10 s × priority`), so the order never changes.
//! * A token bucket an object keeps a flapping set at 12 writes a minute; failures rest by their kind.
//! * A budget of cost, a rate and a share of places for each namespace, and a throttle for a failure domain that fails.
//! * The same content for the same version of the same object is written once, whoever asks again.
//! * What fails by its own fault is put apart (`quarantine`); what does not fit is refused, counted, and comes again with
//!   the next look at everything, 5 s later.
//!
//! Pure: takes `now`, does no I/O. What may go in which mode of the API server is `mode`'s to say.

mod bucket;
mod dispatch;
mod domain;
mod meter;
mod quarantine;
mod snapshot;
mod waits;

pub use domain::Domain;
pub use snapshot::{Counters, DomainState, Quarantined, Snapshot, Waiting};

use crate::backoff;
use crate::decide::{Intent, Slot, Urgency, Write};
use crate::error::Category;
use bucket::Bucket;
use domain::Health;
use meter::{Meter, Rate};
use quarantine::Quarantine;
use std::collections::{BTreeMap, BTreeSet};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::time::Duration;
use waits::Waits;

/// Entries: 5,000 Services with two slots of theirs at once.
pub const ENTRIES_MAX: usize = 10_000;
/// Entries of one namespace, so that 10,000 policies in one leave room for all others.
pub const TENANT_ENTRIES_MAX: usize = ENTRIES_MAX / 2;
/// Waiting time that is worth one level of priority.
const AGING: Duration = Duration::from_secs(10);
/// Budget of cost. A write that nobody watches costs 1, a plan 1 and another for every 500 nodes that hear of it: 400 units
/// are at most 200,000 watch events a second, about what one API server sends out on four cores.
const BUDGET: Rate = Rate {
    per_second: 400,
    burst: 800,
};
/// Rate of one namespace: half of the budget, once it has used up a burst of a whole roll-out of 500 sets.
const TENANT: Rate = Rate {
    per_second: 200,
    burst: 1_000,
};
/// Places in flight. At 10 ms each they make 800 writes a second, twice the budget.
pub const FLIGHTS_MAX: usize = 8;
/// Places of one namespace.
const TENANT_FLIGHTS_MAX: usize = 6;
/// Refused slots whose age is remembered, so that they win a place in the end. 100,000 × 150 B are 15 MB.
const REFUSED_MAX: usize = 100_000;
/// A refused slot that is not offered again for so long wants nothing any more.
const REFUSED_LIFE: Duration = Duration::from_secs(60);
/// Time over which work that waited for the API server comes back, so that its return is no new storm.
const RELIEF: Duration = Duration::from_secs(1);

/// What became of an offer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Offer {
    /// It waits.
    Queued,
    /// It took the place of an older write of the same slot.
    Merged,
    /// The slot is as it should be, or this was written already; nothing waits.
    Settled,
    /// This content is poison and apart for now.
    Quarantined,
    /// There is no room; it comes again with the next look.
    Refused,
}

/// How much may go now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Gate {
    /// Places in flight.
    pub flights: usize,
    /// Lowest priority that may go; larger numbers wait.
    pub priority: u8,
}

impl Gate {
    /// Everything.
    pub const OPEN: Self = Self {
        flights: FLIGHTS_MAX,
        priority: 10,
    };
    /// Priorities that go while the API server is in trouble.
    pub const URGENT: u8 = 5;
}

#[derive(Debug)]
struct Entry {
    intent: Intent,
    /// First time this slot was offered since it was last written.
    submitted: Duration,
    rank: Duration,
    due: Duration,
    /// Whether it is in its lane.
    ready: bool,
}

/// What waits together: work of one namespace and failure domain, and whether it goes in trouble.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Lane {
    tenant: String,
    domain: Domain,
    deferrable: bool,
}

impl Lane {
    fn of(intent: &Intent) -> Self {
        Self {
            tenant: intent.slot.key.namespace.clone(),
            domain: intent.domain(),
            deferrable: intent.priority() > Gate::URGENT,
        }
    }
}

#[derive(Debug, Default)]
struct Slate {
    bucket: Bucket,
    failures: u32,
    /// Not before, after a failure.
    rest: Duration,
    /// Whether the failure was the API server's and not the item's.
    systemic: bool,
    /// Content that was written last, and the version it was decided on.
    done: Option<u64>,
}

#[derive(Debug, Default)]
struct Tenant {
    waiting: usize,
    flying: usize,
    meter: Meter,
}

#[derive(Debug)]
struct Flight {
    write: Write,
    lane: Lane,
}

/// The scheduler.
#[derive(Debug, Default)]
pub struct Scheduler {
    entries: BTreeMap<Slot, Entry>,
    /// All entries by rank: the last one gives way when there is no room.
    ranks: BTreeSet<(Duration, Slot)>,
    /// Entries that are not due yet.
    resting: BTreeSet<(Duration, Slot)>,
    /// Entries that are due.
    lanes: BTreeMap<Lane, BTreeSet<(Duration, Slot)>>,
    /// First rank of every lane.
    heads: BTreeSet<(Duration, Lane)>,
    slates: BTreeMap<Slot, Slate>,
    flying: BTreeMap<Slot, Flight>,
    tenants: BTreeMap<String, Tenant>,
    domains: BTreeMap<Domain, Health>,
    budget: Meter,
    quarantine: Quarantine,
    /// Refused slots: when they were first offered, and when last.
    refused: BTreeMap<Slot, (Duration, Duration)>,
    waits: Waits,
    counters: Counters,
}

impl Scheduler {
    /// Puts what belongs into a slot in line.
    pub fn offer(&mut self, intent: Intent, now: Duration) -> Offer {
        let offer = self.admit(intent, now);
        let count = match offer {
            Offer::Queued => &mut self.counters.queued,
            Offer::Merged => &mut self.counters.merged,
            Offer::Settled => &mut self.counters.settled,
            Offer::Quarantined => &mut self.counters.quarantined,
            Offer::Refused => &mut self.counters.refused,
        };
        *count += 1;
        offer
    }

    fn admit(&mut self, intent: Intent, now: Duration) -> Offer {
        let slot = intent.slot.clone();
        if intent.write == Write::Nothing {
            self.quarantine.free(&slot);
            self.refused.remove(&slot);
            self.remove(&slot);
            return Offer::Settled;
        }
        let flying = self.flying.get(&slot);
        if flying.is_some_and(|flight| flight.write == intent.write) {
            self.remove(&slot);
            return Offer::Settled;
        }
        let digest = digest(&intent);
        if self
            .slates
            .get(&slot)
            .is_some_and(|slate| slate.done == Some(digest))
        {
            self.remove(&slot);
            self.counters.repeated += 1;
            return Offer::Settled;
        }
        if self.quarantine.holds(&slot, digest) {
            self.remove(&slot);
            return Offer::Quarantined;
        }
        let before = self.remove(&slot);
        if before.is_none() && !self.room_for(&intent, now) {
            return Offer::Refused;
        }
        let merged = before.is_some();
        let since = self.refused.remove(&slot).map_or(now, |(first, _)| first);
        self.insert(intent, before, since, now);
        if merged { Offer::Merged } else { Offer::Queued }
    }

    /// Ends a write. A failed one comes again after its rest, unless something newer waits or a retry is pointless.
    pub fn finish(&mut self, intent: Intent, outcome: Result<(), Category>, now: Duration) {
        self.land(&intent.slot, outcome, now);
        let digest = digest(&intent);
        let slate = self.slates.entry(intent.slot.clone()).or_default();
        let Err(category) = outcome else {
            slate.failures = 0;
            slate.systemic = false;
            slate.done = Some(digest);
            self.counters.written += 1;
            self.quarantine.free(&intent.slot);
            self.rouse(&intent.slot, now);
            return;
        };
        slate.done = None;
        slate.failures = slate.failures.saturating_add(1);
        slate.systemic = systemic(category);
        let Some(delay) = backoff::delay(category, slate.failures, &intent.slot) else {
            slate.failures = 0;
            self.counters.void += 1;
            self.rouse(&intent.slot, now);
            return;
        };
        slate.rest = now + delay;
        let failed = (category, slate.failures);
        if self.entries.contains_key(&intent.slot) {
            self.counters.retried += 1;
            self.rouse(&intent.slot, now);
        } else if self.quarantine.admit(&intent, digest, failed, now) {
            self.counters.poisoned += 1;
        } else {
            self.counters.retried += 1;
            // It had a place a moment ago; giving it back can exceed the bound by the places in flight only.
            self.insert(intent, None, now, now);
        }
    }

    /// The API server is back: what rested because of it goes soon, spread over a second.
    pub fn relieve(&mut self, now: Duration) {
        let slots: Vec<Slot> = self.resting.iter().map(|(_, slot)| slot.clone()).collect();
        for slot in slots {
            let Some(slate) = self.slates.get_mut(&slot).filter(|slate| slate.systemic) else {
                continue;
            };
            let mut hash = DefaultHasher::new();
            slot.hash(&mut hash);
            let spread = u32::try_from(hash.finish() % 1_000).unwrap_or(0);
            slate.rest = slate.rest.min(now + RELIEF * spread / 1_000);
            self.rouse(&slot, now);
        }
    }

    /// Drops everything that waits, as a replica that no longer leads does: the new leader decides anew.
    pub fn clear(&mut self) {
        self.entries.clear();
        self.ranks.clear();
        self.resting.clear();
        self.lanes.clear();
        self.heads.clear();
        self.quarantine.clear();
        self.refused.clear();
        for slate in self.slates.values_mut() {
            slate.done = None;
        }
        for tenant in self.tenants.values_mut() {
            tenant.waiting = 0;
        }
    }

    /// Forgets what has been quiet for long enough.
    pub fn sweep(&mut self, now: Duration) {
        let (entries, flying) = (&self.entries, &self.flying);
        self.slates.retain(|slot, slate| {
            entries.contains_key(slot)
                || flying.contains_key(slot)
                || slate.rest > now
                || !slate.bucket.full(now)
        });
        self.tenants
            .retain(|_, tenant| tenant.waiting > 0 || tenant.flying > 0 || !tenant.meter.full(now));
        self.domains.retain(|_, health| !health.forgettable(now));
        self.refused
            .retain(|_, (_, last)| now.saturating_sub(*last) <= REFUSED_LIFE);
    }

    /// Number of writes that wait.
    #[must_use]
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether no write waits or is on its way. Items apart do not count: they would be tried for ever.
    #[must_use]
    pub fn is_idle(&self) -> bool {
        self.entries.is_empty() && self.flying.is_empty()
    }

    /// Whether no write waits.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Writes on their way.
    #[must_use]
    pub fn flying(&self) -> usize {
        self.flying.len()
    }

    /// What happened so far.
    #[must_use]
    pub const fn counters(&self) -> Counters {
        self.counters
    }

    /// Whether there is room, made by the last in line if need be.
    fn room_for(&mut self, intent: &Intent, now: Duration) -> bool {
        let tenant = &intent.slot.key.namespace;
        let held = self.tenants.get(tenant).map_or(0, |tenant| tenant.waiting);
        let crowded = held >= TENANT_ENTRIES_MAX;
        if self.entries.len() < ENTRIES_MAX && !crowded {
            return true;
        }
        let first = self.refused.get(&intent.slot).map_or(now, |(first, _)| *first);
        let rank = rank(intent, first);
        let mut last = self.ranks.iter().rev();
        let last = if crowded {
            last.find(|(_, slot)| slot.key.namespace == *tenant)
        } else {
            last.next()
        };
        self.counters.refused_by_quota += u64::from(crowded);
        match last.cloned() {
            Some((worst, slot)) if worst > rank => {
                let gone = self.remove(&slot);
                self.remember(slot, gone.map_or(now, |gone| gone.submitted), now);
                self.counters.refused += 1;
                true
            }
            _ => {
                self.remember(intent.slot.clone(), first, now);
                false
            }
        }
    }

    /// Remembers how long a refused slot has waited: without that, the least urgent would start anew with every look.
    fn remember(&mut self, slot: Slot, first: Duration, now: Duration) {
        if self.refused.len() < REFUSED_MAX || self.refused.contains_key(&slot) {
            self.refused.insert(slot, (first, now));
        }
    }
}

/// Whether a failure says something about the API server and nothing about the item.
const fn systemic(category: Category) -> bool {
    matches!(
        category,
        Category::Unavailable | Category::Timeout | Category::Throttled | Category::Unauthorized
    )
}

/// Place in the order.
fn rank(intent: &Intent, submitted: Duration) -> Duration {
    submitted + AGING * u32::from(intent.priority())
}

/// Idempotency key: what is written where, and the version of the object that was decided on.
fn digest(intent: &Intent) -> u64 {
    let mut hash = DefaultHasher::new();
    intent.slot.hash(&mut hash);
    intent.observed.hash(&mut hash);
    intent.write.content().hash(&mut hash);
    hash.finish()
}

/// Urgency is kept apart from priority: it decides about the pace of one object, priority about the order between them.
fn pace(slate: &Slate, urgency: Urgency, now: Duration) -> Duration {
    slate.bucket.due(urgency, now)
}

#[cfg(test)]
mod tests;
