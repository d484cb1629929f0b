//! Writes timelines: one reader and writer for each object, at most every 5 s, the leader only.
//!
//! The main loop hands over each set and policy it has written, and nodes of which something changed, and goes on; nothing
//! waits for a timeline. Snapshots of an object are kept in order until they are written. Where there are too many, the
//! middle ones are left out: the next is then told from the last mark, so that nothing that lasts is lost. A write names the version that it was made from; a deposed
//! leader's is refused.

use super::{Mark, Subject, appended};
use crate::error::{Category, Error};
use crate::lease::Claim;
use crate::telemetry::Metrics;
use crate::world::Key;
use continuity_api::{API_VERSION, EquivalenceTimeline, OPERATOR_MANAGER};
use futures::stream::{FuturesUnordered, StreamExt};
use k8s_openapi::jiff::Timestamp;
use kube::api::{Api, Patch, PatchParams};
use kube::{Client, Resource};
use serde_json::json;
use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::{mpsc, watch};

/// Snapshots of one object that wait. At 12 status writes a minute they are two and a half minutes of a storm.
pub const SNAPSHOTS_MAX: usize = 32;
/// Objects handed over and not yet looked at.
const HANDED_MAX: usize = 1_024;
/// Objects with something to write, and marks that are remembered: of the largest cluster foreseen 10,000 sets (5,000 Services
/// with two ports each), 10,000 nodes and 5,000 policies.
const OBJECTS_MAX: usize = 25_000;
/// Least time between two writes of one timeline: 12 a minute, as of a status.
const SPACING: Duration = Duration::from_secs(5);
/// Pause of one timeline after a failed write.
const PAUSE: Duration = Duration::from_secs(10);
/// Pause of all of them then: where every write is refused, as by an older CRD or a missing right, 25,000 objects would be
/// tried every 10 s; so it is four a second.
const REST: Duration = Duration::from_secs(1);
/// Writes on their way at once; half of what the main loop takes for itself.
const FLIGHTS_MAX: usize = 4;
/// Longest wait for one read or write.
const DEADLINE: Duration = Duration::from_secs(5);
/// Longest sleep.
const TURN: Duration = Duration::from_secs(1);

/// An object as it was seen, and when.
type Snapshot = (Timestamp, Subject);

/// The way in.
#[derive(Clone, Debug)]
pub struct Keeper(mpsc::Sender<Snapshot>);

impl Keeper {
    /// Starts the task that writes, under the claims that it is shown.
    #[must_use]
    pub fn start(
        client: Client,
        home: &str,
        claimed: watch::Receiver<Option<Claim>>,
        metrics: Arc<Metrics>,
    ) -> Self {
        let (handed, incoming) = mpsc::channel(HANDED_MAX);
        let desk = Desk {
            client,
            home: home.to_owned(),
            claimed,
            metrics,
            waiting: BTreeMap::new(),
            marks: BTreeMap::new(),
            epoch: None,
            rests_until: None,
            failing: false,
        };
        tokio::spawn(desk.run(incoming));
        Self(handed)
    }

    /// Hands over what was just seen. Never waits: where the way is full, the next snapshot of the object tells both. Says
    /// whether there was room, for whoever has no next one.
    pub fn saw(&self, subject: Subject) -> bool {
        self.0.try_send((Timestamp::now(), subject)).is_ok()
    }
}

#[derive(Default)]
struct Waiting {
    snapshots: VecDeque<Snapshot>,
    due: Option<Instant>,
    flying: bool,
}

struct Desk {
    client: Client,
    /// Namespace of the installation, where the timelines of nodes are.
    home: String,
    claimed: watch::Receiver<Option<Claim>>,
    metrics: Arc<Metrics>,
    waiting: BTreeMap<Key, Waiting>,
    /// Marks as stored, so that figures that move cost nothing.
    marks: BTreeMap<Key, Mark>,
    epoch: Option<i64>,
    /// Nothing is sent before.
    rests_until: Option<Instant>,
    failing: bool,
}

struct Flown {
    key: Key,
    taken: usize,
    outcome: Result<Option<Mark>, Error>,
}

impl Desk {
    async fn run(mut self, mut incoming: mpsc::Receiver<Snapshot>) {
        let mut flights = FuturesUnordered::new();
        loop {
            let (mut handed, mut flown) = (None, None);
            tokio::select! {
                next = incoming.recv() => match next {
                    Some(snapshot) => handed = Some(snapshot),
                    None => return,
                },
                Some(landed) = flights.next(), if !flights.is_empty() => flown = Some(landed),
                () = tokio::time::sleep(TURN) => {}
            }
            // First whose turn it is, or the first snapshots of a new leadership would go with what it forgets.
            let claim = self.lead();
            handed.into_iter().for_each(|snapshot| self.take_in(snapshot));
            flown.into_iter().for_each(|flown| self.land(flown));
            let rests = self.rests_until.is_some_and(|until| until > Instant::now());
            while let Some((key, snapshots)) = claim
                .filter(|_| !rests && flights.len() < FLIGHTS_MAX)
                .and_then(|_| self.next())
            {
                let client = self.client.clone();
                flights.push(async move {
                    let taken = snapshots.len();
                    let work = write(&client, &key, &snapshots);
                    let outcome = tokio::time::timeout(DEADLINE, work)
                        .await
                        .unwrap_or(Err(Error::Slow(DEADLINE.as_secs())));
                    Flown { key, taken, outcome }
                });
            }
        }
    }

    /// The claim, if there is one; what was kept under another one is forgotten, for its holder knows better.
    fn lead(&mut self) -> Option<Claim> {
        let claim = *self.claimed.borrow();
        let claim = claim.filter(|claim| claim.holds(Instant::now()));
        let epoch = claim.map(|claim| claim.epoch);
        if epoch != self.epoch {
            self.epoch = epoch;
            self.marks.clear();
            self.waiting.retain(|_, waiting| waiting.flying);
        }
        claim
    }

    fn take_in(&mut self, (at, subject): Snapshot) {
        let key = subject.key(&self.home);
        let stored = self.marks.get(&key);
        let last = self
            .waiting
            .get(&key)
            .and_then(|waiting| waiting.snapshots.back())
            .map(|(_, subject)| subject.mark(stored));
        let known = last.as_ref().or(stored);
        let room = self.waiting.len() < OBJECTS_MAX || self.waiting.contains_key(&key);
        if known == Some(&subject.mark(known)) || !room {
            return;
        }
        let waiting = self.waiting.entry(key).or_default();
        if waiting.snapshots.len() >= SNAPSHOTS_MAX {
            waiting.snapshots.pop_back();
        }
        waiting.snapshots.push_back((at, subject));
    }

    fn next(&mut self) -> Option<(Key, Vec<Snapshot>)> {
        let now = Instant::now();
        let (key, waiting) = self.waiting.iter_mut().find(|(_, waiting)| {
            !waiting.flying && !waiting.snapshots.is_empty() && waiting.due.is_none_or(|due| due <= now)
        })?;
        waiting.flying = true;
        Some((key.clone(), waiting.snapshots.iter().cloned().collect()))
    }

    fn land(&mut self, flown: Flown) {
        let Flown { key, taken, outcome } = flown;
        let category = outcome.as_ref().err().map(Error::category);
        let label = category.map_or("written", Category::as_str);
        self.metrics.writes.with_label_values(&["timeline", label]).inc();
        self.say(&key, outcome.as_ref().err());
        let Some(waiting) = self.waiting.get_mut(&key) else {
            return;
        };
        waiting.flying = false;
        match outcome {
            Ok(mark) => {
                waiting.snapshots.drain(..taken.min(waiting.snapshots.len()));
                waiting.due = Some(Instant::now() + SPACING);
                // Marks of objects that went are not told from the others; without any, an object costs one read again.
                if self.marks.len() >= OBJECTS_MAX {
                    self.marks.clear();
                }
                if let Some(mark) = mark {
                    self.marks.insert(key.clone(), mark);
                }
            }
            // The object is gone, and its timeline with it.
            Err(_) if category == Some(Category::Gone) => waiting.snapshots.clear(),
            Err(_) => {
                waiting.due = Some(Instant::now() + PAUSE);
                self.rests_until = Some(Instant::now() + REST);
            }
        }
        let now = Instant::now();
        self.waiting.retain(|_, waiting| {
            waiting.flying || !waiting.snapshots.is_empty() || waiting.due.is_some_and(|due| due > now)
        });
    }

    /// The start and the end of trouble, not every second of it.
    fn say(&mut self, key: &Key, error: Option<&Error>) {
        let was = std::mem::replace(&mut self.failing, error.is_some());
        match error {
            Some(error) if !was => tracing::warn!(object = %key, %error, "a timeline was not written"),
            None if was => tracing::info!("timelines are written again"),
            _ => {}
        }
    }
}

/// Reads the timeline, appends what the snapshots tell, and writes it if they tell anything.
async fn write(client: &Client, key: &Key, snapshots: &[Snapshot]) -> Result<Option<Mark>, Error> {
    let api: Api<EquivalenceTimeline> = Api::namespaced(client.clone(), &key.namespace);
    let stored = api.get_opt(&key.name).await?;
    let mut spec = stored.as_ref().map(|stored| stored.spec.clone());
    let mut changed = false;
    for (at, subject) in snapshots {
        if let Some(longer) = appended(spec.as_ref(), subject, *at) {
            (spec, changed) = (Some(longer), true);
        }
    }
    let (Some(spec), Some((_, subject))) = (spec, snapshots.last()) else {
        return Ok(None);
    };
    if changed {
        let version = stored.and_then(|stored| stored.metadata.resource_version);
        let body = json!({
            "apiVersion": API_VERSION,
            "kind": EquivalenceTimeline::kind(&()),
            "metadata": subject.metadata(key, version),
            "spec": serde_json::to_value(&spec)?,
        });
        let parameters = PatchParams::apply(OPERATOR_MANAGER).force();
        api.patch(&key.name, &parameters, &Patch::Apply(&body)).await?;
    }
    Ok(Mark::of(&spec))
}
