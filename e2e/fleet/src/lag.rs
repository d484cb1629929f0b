//! From a change on the nodes to the status that people see: how long, and how often each set is written.

use continuity_api::EquivalenceSet;
use continuity_api::node::Regime;
use futures::StreamExt;
use kube::api::Api;
use kube::runtime::watcher::{self, Event, watcher};
use kube::{Client, ResourceExt};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use tokio::task::AbortHandle;

/// Namespace and name of a set.
pub(crate) type Name = (String, String);

/// Watches every set; dropping it ends the watch.
pub(crate) struct Lags {
    shared: Arc<Mutex<Shared>>,
    task: AbortHandle,
}

#[derive(Default)]
struct Shared {
    /// What is waited for, and since when.
    awaited: BTreeMap<Name, (Regime, Instant)>,
    taken: Vec<Duration>,
    missed: usize,
    patches: BTreeMap<Name, usize>,
    /// Nodes that each set's status counts.
    reporting: BTreeMap<Name, usize>,
}

impl Drop for Lags {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Lags {
    pub(crate) fn start(client: &Client) -> Self {
        let shared = Arc::new(Mutex::new(Shared::default()));
        let task = tokio::spawn(listen(Api::all(client.clone()), Arc::clone(&shared)));
        Self {
            shared,
            task: task.abort_handle(),
        }
    }

    /// A set is in this regime from now on; its status should say so soon. What was awaited before and has not come is
    /// missed.
    pub(crate) fn expect(&self, set: Name, regime: Regime) {
        let mut shared = self.locked();
        if shared.awaited.insert(set, (regime, Instant::now())).is_some() {
            shared.missed += 1;
        }
    }

    /// Lags since this was asked last, sorted, and how many changes were never seen. What is still awaited goes on being so.
    pub(crate) fn take(&self) -> (Vec<Duration>, usize) {
        let mut shared = self.locked();
        let mut taken = std::mem::take(&mut shared.taken);
        taken.sort_unstable();
        (taken, std::mem::take(&mut shared.missed))
    }

    /// Whether nothing is awaited.
    pub(crate) fn idle(&self) -> bool {
        self.locked().awaited.is_empty()
    }

    /// Gives up what is awaited, as missed.
    pub(crate) fn give_up(&self) {
        let mut shared = self.locked();
        shared.missed += shared.awaited.len();
        shared.awaited.clear();
    }

    /// Writes of the most written set since this was asked last.
    pub(crate) fn most_patched(&self) -> usize {
        let patches = std::mem::take(&mut self.locked().patches);
        patches.into_values().max().unwrap_or(0)
    }

    /// Reports that all statuses together count.
    pub(crate) fn reporting(&self) -> usize {
        self.locked().reporting.values().sum()
    }

    fn locked(&self) -> MutexGuard<'_, Shared> {
        self.shared.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

async fn listen(api: Api<EquivalenceSet>, shared: Arc<Mutex<Shared>>) {
    let mut events = watcher(api, watcher::Config::default()).boxed();
    while let Some(event) = events.next().await {
        let now = Instant::now();
        match event {
            Ok(Event::Apply(set)) => hear(&shared, &set, now, true),
            Ok(Event::InitApply(set)) => hear(&shared, &set, now, false),
            Ok(_) => {}
            // The watcher lists again by itself.
            Err(_) => tokio::time::sleep(Duration::from_millis(200)).await,
        }
    }
}

fn hear(shared: &Mutex<Shared>, set: &EquivalenceSet, now: Instant, patch: bool) {
    let Some(status) = &set.status else { return };
    let name = (set.namespace().unwrap_or_default(), set.name_any());
    let mut shared = shared.lock().unwrap_or_else(PoisonError::into_inner);
    if patch {
        *shared.patches.entry(name.clone()).or_default() += 1;
    }
    let reporting = usize::try_from(status.nodes.reporting).unwrap_or(0);
    shared.reporting.insert(name.clone(), reporting);
    let Some((regime, since)) = shared.awaited.get(&name).copied() else {
        return;
    };
    if regime == status.regime {
        shared.awaited.remove(&name);
        shared.taken.push(now.saturating_duration_since(since));
    }
}
