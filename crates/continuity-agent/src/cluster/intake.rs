//! The watches as one stream of changes into the inventory, and a letter to the loop when the desired state changed.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use continuity_api::{EquivalencePlan, labels};
use futures::FutureExt as _;
use futures::stream::{Stream, StreamExt, select_all};
use k8s_openapi::api::core::v1::{Namespace, Pod, Service};
use k8s_openapi::api::discovery::v1::EndpointSlice;
use kube::core::{DeserializeGuard, PartialObjectMeta};
use kube::runtime::watcher::Event;
use kube::{Api, Client, ResourceExt};
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until};

use super::follow::{Happening, follow, follow_fields};
use super::inventory::{Inventory, ObjectKey};
use super::plan::PlanRecord;
use crate::desire::{Desired, desire};
use crate::health::Board;
use crate::identity::Zone;
use crate::mailbox::Mailbox;
use crate::select::Vantage;

/// Changes that come together are acted on together; far below a tick.
const SETTLE: Duration = Duration::from_millis(20);

/// The first letter waits this long for the node's zone: without it hints would be ignored for a moment after each restart.
const ZONE_PATIENCE: Duration = Duration::from_secs(3);

/// A change of one watch.
#[allow(
    clippy::large_enum_variant,
    reason = "one at a time lives, between a stream and the inventory"
)]
enum Change {
    Plan(Happening<DeserializeGuard<EquivalencePlan>>),
    Service(Happening<Service>),
    Slice(Happening<EndpointSlice>),
    Pod(Happening<PartialObjectMeta<Pod>>),
    Namespace(Happening<PartialObjectMeta<Namespace>>),
}

/// Everything the API server says, without an end. Pods and namespaces are watched from when a plan first asks for admission.
fn changes(
    client: &Client,
    node: &str,
    gated: &watch::Receiver<bool>,
) -> impl Stream<Item = Change> + Send + use<> {
    let not_headless = format!("{},!{}", labels::SERVICE_NAME, labels::HEADLESS);
    let plans = follow(
        Api::<DeserializeGuard<EquivalencePlan>>::all(client.clone()),
        None,
    );
    let services = follow(Api::<Service>::all(client.clone()), None);
    let slices = follow(Api::<EndpointSlice>::all(client.clone()), Some(&not_headless));
    let here = format!("spec.nodeName={node}");
    let pods = follow_fields(Api::<PartialObjectMeta<Pod>>::all(client.clone()), &here);
    let pods = once_true(gated.clone(), pods);
    let namespaces = follow(Api::<PartialObjectMeta<Namespace>>::all(client.clone()), None);
    let namespaces = once_true(gated.clone(), namespaces);
    select_all([
        plans.map(Change::Plan).boxed(),
        services.map(Change::Service).boxed(),
        slices.map(Change::Slice).boxed(),
        pods.map(Change::Pod).boxed(),
        namespaces.map(Change::Namespace).boxed(),
    ])
}

/// A stream that is first asked when this became true.
fn once_true<T>(mut wanted: watch::Receiver<bool>, stream: impl Stream<Item = T>) -> impl Stream<Item = T> {
    let begun = async move {
        // Only a sender that is gone ends the wait otherwise, and then nobody listens either.
        let _ = wanted.wait_for(|wanted| *wanted).await;
        stream
    };
    begun.flatten_stream()
}

/// Follows the cluster and posts what the loop should do.
pub struct Intake {
    inventory: Inventory,
    gated: watch::Sender<bool>,
    node: String,
    addresses: Vec<IpAddr>,
    posted: Option<Arc<Desired>>,
    inbox: Arc<Mailbox<Arc<Desired>>>,
    board: Arc<Board>,
}

impl Intake {
    /// An intake for the loop behind `inbox`, of a node with these addresses.
    #[must_use]
    pub fn new(
        node: &str,
        addresses: Vec<IpAddr>,
        inbox: Arc<Mailbox<Arc<Desired>>>,
        board: Arc<Board>,
    ) -> Self {
        Self {
            inventory: Inventory::default(),
            gated: watch::Sender::new(false),
            node: node.to_owned(),
            addresses,
            posted: None,
            inbox,
            board,
        }
    }

    /// Runs for the life of the process.
    pub async fn run(mut self, client: &Client, mut zone: watch::Receiver<Zone>) {
        let mut changes = changes(client, &self.node, &self.gated.subscribe());
        let patience = Instant::now() + ZONE_PATIENCE;
        let mut settle: Option<Instant> = None;
        loop {
            let deadline = settle.unwrap_or_else(Instant::now);
            tokio::select! {
                change = changes.next() => {
                    let Some(change) = change else { return };
                    if self.take(change) {
                        settle = settle.or_else(|| Some(Instant::now() + SETTLE));
                    }
                }
                Ok(()) = zone.changed() => settle = Some(Instant::now() + SETTLE),
                () = sleep_until(deadline), if settle.is_some() => {
                    let known = zone.borrow().clone();
                    let early = known == Zone::Unread && self.posted.is_none() && Instant::now() < patience;
                    settle = early.then_some(patience);
                    if !early {
                        self.post(known.name());
                    }
                }
            }
        }
    }

    /// Takes a change; true if the desired state may be another one.
    fn take(&mut self, change: Change) -> bool {
        let changed = match change {
            Change::Plan(Happening::Event(event)) => self.inventory.plan(map(event, read_plan)),
            Change::Service(Happening::Event(event)) => self.inventory.service(&event),
            Change::Slice(Happening::Event(event)) => self.inventory.slice(&event),
            Change::Pod(Happening::Event(event)) => self.inventory.pod(event),
            Change::Namespace(Happening::Event(event)) => self.inventory.namespace(event),
            Change::Plan(Happening::Trouble(refusal))
            | Change::Service(Happening::Trouble(refusal))
            | Change::Slice(Happening::Trouble(refusal))
            | Change::Pod(Happening::Trouble(refusal))
            | Change::Namespace(Happening::Trouble(refusal)) => {
                self.board.watch_failed(refusal);
                false
            }
        };
        self.board.refused_records(self.inventory.refused());
        if changed && self.inventory.gated() {
            self.gated
                .send_if_modified(|gated| !std::mem::replace(gated, true));
        }
        changed
    }

    fn post(&mut self, zone: Option<&str>) {
        if !self.inventory.complete() {
            return;
        }
        let desired = desire(
            &self.inventory,
            Vantage {
                node: &self.node,
                zone,
                addresses: &self.addresses,
            },
        );
        if self.posted.as_deref() == Some(&desired) {
            return;
        }
        let desired = Arc::new(desired);
        self.posted = Some(Arc::clone(&desired));
        self.inbox.post(desired);
    }
}

/// A plan by its key; unreadable ones keep their key, so that a delete is still understood.
fn read_plan(guarded: DeserializeGuard<EquivalencePlan>) -> (ObjectKey, Option<PlanRecord>) {
    let key = (
        guarded.namespace().unwrap_or_default().into(),
        guarded.name_any().into(),
    );
    match guarded.0 {
        Ok(plan) => (key, PlanRecord::compact(&plan).map(|(_, record)| record)),
        Err(error) => {
            tracing::warn!(
                namespace = &*key.0,
                plan = &*key.1,
                error = error.error,
                "plan not readable, last one kept"
            );
            (key, None)
        }
    }
}

fn map<K, T>(event: Event<K>, read: impl FnOnce(K) -> T) -> Event<T> {
    match event {
        Event::Apply(object) => Event::Apply(read(object)),
        Event::Delete(object) => Event::Delete(read(object)),
        Event::InitApply(object) => Event::InitApply(read(object)),
        Event::Init => Event::Init,
        Event::InitDone => Event::InitDone,
    }
}
