//! What `GET /debug/scheduler` shows: the heap, the counters, what is apart, and who is throttled.

use super::{ENTRIES_MAX, Scheduler};
use crate::mode::Mode;
use serde::Serialize;
use std::collections::BTreeMap;
use std::time::Duration;

/// Entries, tenants and items apart that are named one by one.
const NAMED_MAX: usize = 64;

/// What happened since the process started. Every offer ends in exactly one of the first six.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Counters {
    /// Offers that wait or waited.
    pub queued: u64,
    /// Offers that took the place of an older write of the same object.
    pub merged: u64,
    /// Offers of what is as it should be.
    pub settled: u64,
    /// Offers of what has been written already: same object, same version, same content.
    pub repeated: u64,
    /// Offers of content that is quarantined.
    pub quarantined: u64,
    /// Offers, and waiting work that made room for more urgent work, that were refused and come again with the next look.
    pub refused: u64,
    /// Of those, refused because their namespace has its share.
    pub refused_by_quota: u64,
    /// Work handed out.
    pub dispatched: u64,
    /// Work that was written.
    pub written: u64,
    /// Work that failed and was tried again later.
    pub retried: u64,
    /// Work that was void at the API server: its object is gone, or another leads.
    pub void: u64,
    /// Times an item was put apart as poison.
    pub poisoned: u64,
}

/// One waiting write.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Waiting {
    /// What of which object.
    pub aspect: &'static str,
    /// Namespace and name.
    pub object: String,
    /// 0 (first) to 10 (last).
    pub priority: u8,
    /// Cost in units of the budget.
    pub cost: u32,
    /// Age in milliseconds.
    pub age_millis: u64,
    /// Time until it may go, in milliseconds; 0 means now.
    pub rests_millis: u64,
    /// Failures in a row.
    pub failures: u32,
}

/// One item apart.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Quarantined {
    /// What of which object.
    pub aspect: &'static str,
    /// Namespace and name.
    pub object: String,
    /// Kind of its failure.
    pub category: &'static str,
    /// Time apart so far, in seconds.
    pub seconds: u64,
    /// Time until it is tried again, in seconds.
    pub retry_seconds: u64,
    /// How often it has been put apart.
    pub terms: u32,
}

/// One failure domain.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct DomainState {
    /// Kind of object, or zone.
    pub domain: String,
    /// Failed part, in permille.
    pub failed_permille: u32,
    /// Whether it is held to one write at a time.
    pub throttled: bool,
    /// Work on its way.
    pub flying: usize,
}

/// The scheduler at one moment.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Snapshot {
    /// NORMAL, DEGRADED, READ_ONLY or DRAINING.
    pub mode: &'static str,
    /// Largest number of waiting writes.
    pub capacity: usize,
    /// Waiting writes.
    pub waiting: usize,
    /// Of those, ready to go.
    pub ready: usize,
    /// On their way.
    pub flying: usize,
    /// Age of the oldest waiting write, in milliseconds.
    pub oldest_millis: u64,
    /// 99th percentile of the time between ready and on its way, over the last 1,024 writes, in milliseconds.
    pub dispatch_p99_millis: u64,
    /// Counters.
    pub counters: Counters,
    /// Waiting writes by namespace, the 64 largest.
    pub tenants: BTreeMap<String, usize>,
    /// Failure domains.
    pub domains: Vec<DomainState>,
    /// The first 64 in order of dispatch.
    pub heap: Vec<Waiting>,
    /// Items apart, at most 64 named.
    pub quarantine: Vec<Quarantined>,
    /// Number of items apart.
    pub quarantined: usize,
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

impl Scheduler {
    /// The scheduler as it is now.
    #[must_use]
    pub fn snapshot(&self, mode: Mode, now: Duration) -> Snapshot {
        let mut tenants: Vec<(&String, usize)> = self
            .tenants
            .iter()
            .map(|(name, tenant)| (name, tenant.waiting))
            .filter(|(_, waiting)| *waiting > 0)
            .collect();
        tenants.sort_by_key(|(name, waiting)| (std::cmp::Reverse(*waiting), *name));
        let oldest = self.entries.values().map(|entry| entry.submitted).min();
        Snapshot {
            mode: mode.as_str(),
            capacity: ENTRIES_MAX,
            waiting: self.entries.len(),
            ready: self.lanes.values().map(std::collections::BTreeSet::len).sum(),
            flying: self.flying.len(),
            oldest_millis: oldest.map_or(0, |oldest| millis(now.saturating_sub(oldest))),
            dispatch_p99_millis: millis(self.waits.percentile_99()),
            counters: self.counters,
            tenants: tenants
                .into_iter()
                .take(NAMED_MAX)
                .map(|(name, waiting)| (name.clone(), waiting))
                .collect(),
            domains: self.domain_states(now),
            heap: self.heap(now),
            quarantine: self.quarantined(now),
            quarantined: self.quarantine.len(),
        }
    }

    fn domain_states(&self, now: Duration) -> Vec<DomainState> {
        let state = |(domain, health): (&super::Domain, &super::domain::Health)| DomainState {
            domain: match domain {
                super::Domain::Kind(aspect) => aspect.as_str().to_owned(),
                super::Domain::Zone(zone) => format!("zone {zone}"),
            },
            failed_permille: health.faded(now),
            throttled: health.throttled(now),
            flying: health.flying,
        };
        self.domains.iter().take(NAMED_MAX).map(state).collect()
    }

    fn heap(&self, now: Duration) -> Vec<Waiting> {
        let waiting = |(_, slot): &(Duration, crate::decide::Slot)| {
            let entry = self.entries.get(slot)?;
            Some(Waiting {
                aspect: slot.aspect.as_str(),
                object: slot.key.to_string(),
                priority: entry.intent.priority(),
                cost: entry.intent.cost,
                age_millis: millis(now.saturating_sub(entry.submitted)),
                rests_millis: millis(entry.due.saturating_sub(now)),
                failures: self.slates.get(slot).map_or(0, |slate| slate.failures),
            })
        };
        self.ranks.iter().take(NAMED_MAX).filter_map(waiting).collect()
    }

    fn quarantined(&self, now: Duration) -> Vec<Quarantined> {
        let item = |(slot, apart): (&crate::decide::Slot, &super::quarantine::Apart)| Quarantined {
            aspect: slot.aspect.as_str(),
            object: slot.key.to_string(),
            category: apart.category.as_str(),
            seconds: now.saturating_sub(apart.since).as_secs(),
            retry_seconds: apart.until.saturating_sub(now).as_secs(),
            terms: apart.terms,
        };
        self.quarantine.iter().take(NAMED_MAX).map(item).collect()
    }
}
