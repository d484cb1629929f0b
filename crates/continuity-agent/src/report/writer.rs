//! Writes the report: makes the object if it is missing, applies its status, waits after a refusal by its kind.
//!
//! One write at a time, each with a time-out; what could not be written is replaced by what holds when the wait is over.
//! So an API server that was away for an hour gets one write from each node, and gets it within seconds of its return.

use std::sync::Arc;
use std::time::Duration;

use continuity_api::node::{BackendState, ContinuityNodeStatus};
use continuity_api::{AGENT_MANAGER, API_VERSION, Condition, ContinuityNode, Time};
use k8s_openapi::api::core::v1::Node;
use kube::api::{Patch, PatchParams};
use kube::{Api, Client};
use serde_json::{Value, json};
use tokio::sync::watch;
use tokio::time::{Instant, sleep, timeout};

use super::compose::compose;
use super::trigger::{Cause, Pace, Written, due};
use crate::cluster::backoff::{Backoff, Refusal};
use crate::health::Board;
use crate::identity::{Identity, Zone};
use crate::snapshot::{PlaneState, Snapshot};

/// A write that takes longer is given up; the next one carries newer figures anyway.
const TIMEOUT: Duration = Duration::from_secs(5);

/// Without a snapshot the report is looked at this often: the resync must come also from a node at rest.
const LOOK: Duration = Duration::from_secs(1);

/// The Node is read again this often, for a zone label that came late.
const NODE_REFRESH: Duration = Duration::from_secs(600);

/// The writer's state.
pub struct Writer {
    nodes: Api<Node>,
    objects: Api<ContinuityNode>,
    identity: Identity,
    zone: watch::Sender<Zone>,
    board: Arc<Board>,
    backoff: Backoff,
    exists: bool,
    node_read: Option<Instant>,
    sequence: i64,
    conditions: Vec<Condition>,
    written: Written,
    written_at: Option<Instant>,
    transition_at: Option<Instant>,
}

impl Writer {
    /// A writer for this node's object; the zone goes to whoever selects endpoints.
    #[must_use]
    pub fn new(client: &Client, identity: Identity, zone: watch::Sender<Zone>, board: Arc<Board>) -> Self {
        Self {
            nodes: Api::all(client.clone()),
            objects: Api::all(client.clone()),
            identity,
            zone,
            board,
            backoff: Backoff::default(),
            exists: false,
            node_read: None,
            sequence: 0,
            conditions: Vec::new(),
            written: Written::default(),
            written_at: None,
            transition_at: None,
        }
    }

    /// Follows the snapshots until their sender is gone.
    pub async fn run(mut self, mut snapshots: watch::Receiver<Arc<Snapshot>>) {
        loop {
            match timeout(LOOK, snapshots.changed()).await {
                Ok(Ok(())) | Err(_) => {}
                Ok(Err(_)) => return,
            }
            let snapshot = Arc::clone(&snapshots.borrow_and_update());
            match self.round(&snapshot).await {
                Ok(()) => self.backoff.succeeded(),
                Err(error) => {
                    let (refusal, asked) = Refusal::of_client(&error);
                    if refusal == Refusal::Missing {
                        self.exists = false;
                    }
                    let wait = self.backoff.failed(refusal, asked);
                    self.board.report_failed(refusal);
                    tracing::warn!(category = refusal.label(), wait_millis = millis(wait), %error, "report not written");
                    sleep(wait).await;
                }
            }
        }
    }

    async fn round(&mut self, snapshot: &Snapshot) -> Result<(), kube::Error> {
        self.read_node().await;
        if snapshot.plane.state == PlaneState::Opening {
            return Ok(());
        }
        let now = now();
        let foreseen = self.board.foreseen();
        let status = compose(
            snapshot,
            &self.board.sensed(),
            &foreseen,
            &self.identity,
            &self.conditions,
            self.sequence + 1,
            now,
        );
        self.written.age = age(self.written_at);
        self.written.transition_age = age(self.transition_at);
        let Some(cause) = due(&self.written, &status, &Pace::of(&snapshot.lanes)) else {
            return Ok(());
        };
        if !self.exists {
            self.make().await?;
        }
        let body = report(&self.identity.node, &status);
        let params = PatchParams::apply(AGENT_MANAGER).force();
        let patch = Patch::Apply(&body);
        bounded(self.objects.patch_status(&self.identity.node, &params, &patch)).await?;
        self.remember(status, cause);
        self.board.told(foreseen.raised);
        Ok(())
    }

    fn remember(&mut self, status: ContinuityNodeStatus, cause: Cause) {
        let isolated = status.sets.iter().flat_map(|set| &set.backends);
        let isolated = isolated
            .filter(|backend| backend.state == BackendState::Isolated)
            .count();
        tracing::debug!(?cause, sequence = status.sequence, isolated, "report written");
        self.board.report_written();
        let at = Instant::now();
        self.written_at = Some(at);
        // The first report says little yet; what the first lists bring need not wait for the spacing.
        if cause == Cause::Transition {
            self.transition_at = Some(at);
        }
        self.sequence = status.sequence;
        self.conditions.clone_from(&status.conditions);
        self.written.status = Some(status);
    }

    /// Makes the object or brings its owner up to date; one apply serves both.
    async fn make(&mut self) -> Result<(), kube::Error> {
        let body = object(&self.identity);
        let params = PatchParams::apply(AGENT_MANAGER).force();
        let object = bounded(
            self.objects
                .patch(&self.identity.node, &params, &Patch::Apply(&body)),
        )
        .await?;
        self.identity.generation = object.metadata.generation;
        if let Some(status) = object.status {
            // Conditions of an earlier agent keep their times where nothing changed.
            self.conditions = status.conditions;
        }
        self.exists = true;
        Ok(())
    }

    /// Zone and uid of the Node. Not being allowed to read it costs both, nothing else.
    async fn read_node(&mut self) {
        if self.node_read.is_some_and(|at| at.elapsed() < NODE_REFRESH) {
            return;
        }
        match bounded(self.nodes.get(&self.identity.node)).await {
            Ok(node) => {
                let labels = node.metadata.labels.unwrap_or_default();
                let zone = labels.get(continuity_api::labels::ZONE).cloned();
                if node.metadata.uid != self.identity.node_uid {
                    self.identity.node_uid = node.metadata.uid;
                    self.exists = false;
                }
                self.identity.zone.clone_from(&zone);
                self.tell(Zone::Known(zone));
            }
            Err(error) => {
                let (refusal, _) = Refusal::of_client(&error);
                if refusal == Refusal::Unavailable {
                    // The write that follows meets the same and waits; try both again then.
                    return;
                }
                tracing::warn!(category = refusal.label(), %error, "own Node not readable: no zone, no owner reference");
                if *self.zone.borrow() == Zone::Unread {
                    self.tell(Zone::Known(None));
                }
            }
        }
        self.node_read = Some(Instant::now());
    }
}

impl Writer {
    fn tell(&self, zone: Zone) {
        self.zone.send_if_modified(|known| {
            let changed = *known != zone;
            *known = zone;
            changed
        });
    }
}

/// The body of an apply of the status.
#[must_use]
pub fn report(node: &str, status: &ContinuityNodeStatus) -> Value {
    json!({
        "apiVersion": API_VERSION, "kind": "ContinuityNode",
        "metadata": {"name": node}, "status": status,
    })
}

/// The object without its status. Without the Node's uid it has no owner and stays when the node goes.
#[must_use]
pub fn object(identity: &Identity) -> Value {
    let mut body = json!({
        "apiVersion": API_VERSION, "kind": "ContinuityNode",
        "metadata": {"name": identity.node}, "spec": {},
    });
    if let Some(uid) = &identity.node_uid {
        let owner = json!([{"apiVersion": "v1", "kind": "Node", "name": identity.node, "uid": uid}]);
        if let Some(metadata) = body.get_mut("metadata").and_then(Value::as_object_mut) {
            metadata.insert("ownerReferences".to_owned(), owner);
        }
    }
    body
}

async fn bounded<T>(call: impl Future<Output = Result<T, kube::Error>>) -> Result<T, kube::Error> {
    timeout(TIMEOUT, call)
        .await
        .unwrap_or_else(|elapsed| Err(kube::Error::Service(Box::new(elapsed))))
}

fn age(at: Option<Instant>) -> Duration {
    at.map_or(Duration::MAX, |at| at.elapsed())
}

fn now() -> Time {
    Time(jiff::Timestamp::from_second(jiff::Timestamp::now().as_second()).unwrap_or_default())
}

fn millis(wait: Duration) -> u64 {
    u64::try_from(wait.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_object_is_owned_by_its_node_when_the_uid_is_known() {
        let mut identity = Identity::of("node-1", now());
        assert!(object(&identity)["metadata"].get("ownerReferences").is_none());
        identity.node_uid = Some("u-1".to_owned());
        let body = object(&identity);
        assert_eq!(body["metadata"]["ownerReferences"][0]["uid"], "u-1");
        assert_eq!(body["spec"], json!({}));
    }
}
