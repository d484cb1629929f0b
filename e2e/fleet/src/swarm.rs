//! All simulated nodes, and the writing of their reports.
//!
//! Nodes are looked at when something of theirs changes and when a report can be due, not every second as an agent looks at
//! itself: what is written, and when, is the same, and two processors can carry 10,000 of them.

use crate::error::Error;
use crate::node::{self, Lanes, Node};
use continuity_agent::report::trigger::Cause;
use continuity_agent::report::writer::{object, report};
use continuity_api::node::ContinuityNodeStatus;
use continuity_api::{AGENT_MANAGER, ContinuityNode};
use continuity_field::Regime;
use kube::Client;
use kube::api::{Api, Patch, PatchParams};
use std::collections::BTreeSet;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::Semaphore;
use tokio::task::AbortHandle;

/// Reports on their way at once.
const AT_ONCE: usize = 24;
/// How often the nodes that are due are looked up.
const LOOK: Duration = Duration::from_millis(10);
/// Time after which a refused report is tried again.
const RETRY: Duration = Duration::from_secs(1);

/// The fleet; dropping it stops it.
pub(crate) struct Swarm {
    shared: Arc<Shared>,
    task: AbortHandle,
}

/// What has been written so far.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Count {
    pub(crate) written: u64,
    pub(crate) failed: u64,
    pub(crate) bytes: u64,
}

struct Shared {
    objects: Api<ContinuityNode>,
    lanes: Lanes,
    nodes: Vec<Mutex<Node>>,
    due: Mutex<BTreeSet<(Instant, usize)>>,
    written: AtomicU64,
    failed: AtomicU64,
    bytes: AtomicU64,
}

impl Drop for Swarm {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Swarm {
    /// Starts `count` nodes, each of which reports `sets` of the lanes: nodes with the same sets are a group.
    pub(crate) fn start(client: &Client, lanes: &Lanes, count: usize, sets: usize) -> Self {
        let groups = groups(lanes.len(), sets);
        let node = |index: usize| {
            let first = index % groups * sets;
            Mutex::new(Node::new(index, first..(first + sets).min(lanes.len())))
        };
        let now = Instant::now();
        let shared = Arc::new(Shared {
            objects: Api::all(client.clone()),
            lanes: Arc::clone(lanes),
            nodes: (0..count).map(node).collect(),
            due: Mutex::default(),
            written: AtomicU64::new(0),
            failed: AtomicU64::new(0),
            bytes: AtomicU64::new(0),
        });
        for index in 0..count {
            shared.plan(index, now);
        }
        let task = tokio::spawn(drive(Arc::clone(&shared))).abort_handle();
        Self { shared, task }
    }

    /// Lets every node that carries a set see it in this regime from now on.
    pub(crate) fn turn(&self, lane: usize, sets: usize, regime: Regime) {
        let groups = groups(self.shared.lanes.len(), sets);
        let now = Instant::now();
        for index in (lane / sets..self.shared.nodes.len()).step_by(groups) {
            if let Some(node) = self.shared.nodes.get(index) {
                locked(node).turn(lane, regime);
                self.shared.plan(index, now);
            }
        }
    }

    /// Spreads the resyncs of the fleet evenly.
    pub(crate) fn rest(&self) {
        let count = u32::try_from(self.shared.nodes.len()).unwrap_or(u32::MAX);
        let resync = continuity_agent::report::trigger::RESYNC;
        let now = Instant::now();
        for (index, node) in self.shared.nodes.iter().enumerate() {
            let part = u32::try_from(index).unwrap_or(0);
            let rest = locked(node).rest(resync * part / count.max(1));
            self.shared.plan(index, now + rest);
        }
    }

    pub(crate) fn count(&self) -> Count {
        Count {
            written: self.shared.written.load(Ordering::Relaxed),
            failed: self.shared.failed.load(Ordering::Relaxed),
            bytes: self.shared.bytes.load(Ordering::Relaxed),
        }
    }
}

impl Shared {
    /// Looks at a node at `at`, and no longer when it was to be looked at before.
    fn plan(&self, index: usize, at: Instant) {
        if let Some(node) = self.nodes.get(index) {
            locked(node).next = Some(at);
            locked(&self.due).insert((at, index));
        }
    }
}

/// Number of groups of nodes that report the same sets.
pub(crate) fn groups(lanes: usize, sets: usize) -> usize {
    lanes.div_ceil(sets.max(1)).max(1)
}

async fn drive(shared: Arc<Shared>) {
    let places = Arc::new(Semaphore::new(AT_ONCE));
    loop {
        let Some(index) = next(&shared) else {
            tokio::time::sleep(LOOK).await;
            continue;
        };
        let Some((status, cause)) = look(&shared, index) else {
            continue;
        };
        let Ok(place) = Arc::clone(&places).acquire_owned().await else {
            return;
        };
        let shared = Arc::clone(&shared);
        tokio::spawn(async move {
            let outcome = write(&shared, index, &status).await;
            land(&shared, index, status, cause, outcome);
            drop(place);
        });
    }
}

fn next(shared: &Shared) -> Option<usize> {
    let mut due = locked(&shared.due);
    let first = due.first().copied().filter(|(at, _)| *at <= Instant::now())?;
    due.remove(&first);
    Some(first.1)
}

/// The report of a node that is due; one that is not comes again.
fn look(shared: &Shared, index: usize) -> Option<(ContinuityNodeStatus, Cause)> {
    let mut node = locked(shared.nodes.get(index)?);
    let planned = node.next.is_some_and(|next| next <= Instant::now());
    if !planned || node.flying {
        // Another look is planned, or its landing plans one.
        return None;
    }
    let report = node.due(&shared.lanes);
    node.flying = report.is_some();
    let again = node.again();
    drop(node);
    if report.is_none() {
        shared.plan(index, Instant::now() + again);
    }
    report
}

async fn write(shared: &Shared, index: usize, status: &ContinuityNodeStatus) -> Result<(), Error> {
    let parameters = PatchParams::apply(AGENT_MANAGER).force();
    let name = node::name(index);
    let making = shared
        .nodes
        .get(index)
        .map(locked)
        .filter(|node| !node.made)
        .map(|node| object(node.identity()));
    if let Some(body) = making {
        shared
            .objects
            .patch(&name, &parameters, &Patch::Apply(&body))
            .await?;
        if let Some(node) = shared.nodes.get(index) {
            locked(node).made = true;
        }
    }
    let body = report(&name, status);
    let length = serde_json::to_vec(&body)?.len();
    let patch = Patch::Apply(&body);
    shared.objects.patch_status(&name, &parameters, &patch).await?;
    shared
        .bytes
        .fetch_add(u64::try_from(length).unwrap_or(0), Ordering::Relaxed);
    Ok(())
}

fn land(
    shared: &Shared,
    index: usize,
    status: ContinuityNodeStatus,
    cause: Cause,
    outcome: Result<(), Error>,
) {
    let Some(node) = shared.nodes.get(index) else {
        return;
    };
    let mut node = locked(node);
    node.flying = false;
    let wait = if outcome.is_ok() {
        shared.written.fetch_add(1, Ordering::Relaxed);
        node.wrote(status, cause);
        node.again()
    } else {
        shared.failed.fetch_add(1, Ordering::Relaxed);
        RETRY
    };
    drop(node);
    shared.plan(index, Instant::now() + wait);
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
