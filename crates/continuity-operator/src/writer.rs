//! Writes one intent to the API, as the leader and with a deadline.
//!
//! Server-side apply throughout: the operator owns all of its own kinds and nothing but `status` of a policy, so force is
//! safe. Everything it writes carries the writer epoch of its leadership, and the CRDs refuse one that is smaller than the
//! stored one: what a deposed leader had on its way bounces off. The answer of the server goes back into the picture at once; without it the next look, before the watch catches
//! up, would write and tell everything twice.

use crate::decide::{Aspect, Intent, Slot, Write};
use crate::error::Error;
use crate::lease::Claim;
use crate::world::Change;
use continuity_api::{
    API_VERSION, Condition, ContinuityNode, ContinuityPolicyStatus, EquivalencePlan, EquivalencePlanSpec,
    EquivalenceSet, EquivalenceSetSpec, EquivalenceSetStatus, OPERATOR_MANAGER, Time, conditions, labels,
    reasons,
};
use k8s_openapi::jiff::Timestamp;
use kube::api::{Api, DeleteParams, ListParams, Patch, PatchParams, Preconditions};
use kube::core::NamespaceResourceScope;
use kube::runtime::events::{Event, Recorder};
use kube::runtime::watcher;
use kube::{Client, Resource};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use std::fmt::Debug;
use std::time::{Duration, Instant};

/// Longest wait for one write. Past it the connection is most likely dead, and the slot must be free again.
const DEADLINE: Duration = Duration::from_secs(5);

/// A kind of ours in a namespace.
trait Ours:
    Resource<DynamicType = (), Scope = NamespaceResourceScope> + Clone + Debug + DeserializeOwned
{
}

impl<K> Ours for K where
    K: Resource<DynamicType = (), Scope = NamespaceResourceScope> + Clone + Debug + DeserializeOwned
{
}

/// What is needed to write.
#[derive(Clone)]
pub struct Writer {
    client: Client,
    recorder: Recorder,
}

impl Writer {
    /// A writer.
    #[must_use]
    pub const fn new(client: Client, recorder: Recorder) -> Self {
        Self { client, recorder }
    }

    /// Writes `intent` under `claim` and tells its notices.
    ///
    /// # Errors
    /// If the claim has run out, or the API server refuses or is slow.
    pub async fn write(&self, intent: &Intent, claim: &Claim) -> Result<Option<Change>, Error> {
        // Checked as late as possible: a process that was stopped between decision and write must not write.
        if !claim.holds(Instant::now()) {
            return Err(Error::NotLeading);
        }
        let change = tokio::time::timeout(DEADLINE, self.send(intent, claim))
            .await
            .map_err(|_| Error::Slow(DEADLINE.as_secs()))??;
        if let Some(change) = &change {
            self.tell(intent, change).await;
        }
        Ok(change)
    }

    /// Asks the API server for next to nothing, to learn how it is.
    ///
    /// # Errors
    /// If it refuses or is slow.
    pub async fn probe(&self) -> Result<(), Error> {
        let api: Api<EquivalencePlan> = Api::all(self.client.clone());
        let least = ListParams::default().limit(1);
        tokio::time::timeout(DEADLINE, api.list_metadata(&least))
            .await
            .map_err(|_| Error::Slow(DEADLINE.as_secs()))??;
        Ok(())
    }

    async fn send(&self, intent: &Intent, claim: &Claim) -> Result<Option<Change>, Error> {
        let Slot { aspect, key } = &intent.slot;
        match (&intent.write, aspect) {
            (Write::Nothing, _) => Ok(None),
            (Write::Set { spec, service_uid }, _) => {
                let spec = EquivalenceSetSpec {
                    writer_epoch: Some(claim.epoch),
                    ..spec.as_ref().clone()
                };
                let metadata = owned(&intent.slot, &spec.service.name, &spec.port.label, service_uid);
                let stored = self.apply(&intent.slot, metadata, &spec).await?;
                Ok(Some(Change::Set(watcher::Event::Apply(stored))))
            }
            (Write::Plan { spec, service_uid }, _) => {
                let spec = EquivalencePlanSpec {
                    writer_epoch: claim.epoch,
                    ..spec.as_ref().clone()
                };
                let metadata = owned(&intent.slot, &spec.service.name, &spec.port.label, service_uid);
                let stored = self.apply(&intent.slot, metadata, &spec).await?;
                Ok(Some(Change::Plan(watcher::Event::Apply(stored))))
            }
            (Write::SetStatus(status), _) => {
                let status = EquivalenceSetStatus {
                    writer_epoch: Some(claim.epoch),
                    ..status.as_ref().clone()
                };
                let stored = self.apply_status(&intent.slot, &status).await?;
                Ok(Some(Change::Set(watcher::Event::Apply(stored))))
            }
            (Write::PolicyStatus(status), _) => {
                let status = ContinuityPolicyStatus {
                    writer_epoch: Some(claim.epoch),
                    ..status.as_ref().clone()
                };
                let stored = self.apply_status(&intent.slot, &status).await?;
                Ok(Some(Change::Policy(watcher::Event::Apply(stored))))
            }
            (Write::NodeTrust { believed, why }, _) => {
                let body = trust_body(&key.name, *believed, why);
                let api: Api<ContinuityNode> = Api::all(self.client.clone());
                let stored = api
                    .patch_status(&key.name, &as_operator(), &Patch::Apply(&body))
                    .await?;
                Ok(Some(Change::Node(watcher::Event::Apply(stored))))
            }
            (Write::Delete { uid, version }, Aspect::Plan) => {
                let known = (uid.clone(), version.clone());
                self.delete::<EquivalencePlan>(&intent.slot, known).await
            }
            (Write::Delete { uid, version }, _) => {
                let known = (uid.clone(), version.clone());
                self.delete::<EquivalenceSet>(&intent.slot, known).await
            }
        }
    }

    async fn apply<K: Ours>(&self, slot: &Slot, metadata: Value, spec: &impl Serialize) -> Result<K, Error> {
        let body = object::<K>(metadata, "spec", serde_json::to_value(spec)?);
        let api: Api<K> = Api::namespaced(self.client.clone(), &slot.key.namespace);
        let stored = api
            .patch(&slot.key.name, &as_operator(), &Patch::Apply(&body))
            .await?;
        Ok(stored)
    }

    async fn apply_status<K: Ours>(&self, slot: &Slot, status: &impl Serialize) -> Result<K, Error> {
        let metadata = json!({ "name": slot.key.name });
        let body = object::<K>(metadata, "status", serde_json::to_value(status)?);
        let api: Api<K> = Api::namespaced(self.client.clone(), &slot.key.namespace);
        let stored = api
            .patch_status(&slot.key.name, &as_operator(), &Patch::Apply(&body))
            .await?;
        Ok(stored)
    }

    async fn delete<K: Ours>(
        &self,
        slot: &Slot,
        (uid, resource_version): (Option<String>, Option<String>),
    ) -> Result<Option<Change>, Error> {
        let api: Api<K> = Api::namespaced(self.client.clone(), &slot.key.namespace);
        let preconditions = Some(Preconditions {
            uid,
            resource_version,
        });
        let parameters = DeleteParams {
            preconditions,
            ..DeleteParams::default()
        };
        api.delete(&slot.key.name, &parameters).await?;
        Ok(None)
    }

    /// Events are a courtesy: one that can not be written is logged and forgotten.
    async fn tell(&self, intent: &Intent, change: &Change) {
        let object = match change {
            Change::Set(watcher::Event::Apply(set)) => set.object_ref(&()),
            Change::Policy(watcher::Event::Apply(policy)) => policy.object_ref(&()),
            Change::Node(watcher::Event::Apply(node)) => node.object_ref(&()),
            _ => return,
        };
        for notice in &intent.notices {
            let event = Event {
                type_: notice.kind(),
                reason: notice.reason.to_owned(),
                note: Some(notice.note.chars().take(1_000).collect()),
                action: notice.action.clone(),
                secondary: None,
            };
            match tokio::time::timeout(DEADLINE, self.recorder.publish(&event, &object)).await {
                Ok(Ok(())) => {}
                Ok(Err(error)) => {
                    tracing::warn!(object = %intent.slot.key, %error, "an Event was not written")
                }
                Err(_) => tracing::warn!(object = %intent.slot.key, "an Event was not written in time"),
            }
        }
    }
}

/// Our own name; force, because nobody else writes what we write.
fn as_operator() -> PatchParams {
    PatchParams::apply(OPERATOR_MANAGER).force()
}

/// An object, or a part of one, as it is applied.
fn object<K: Resource<DynamicType = ()>>(metadata: Value, part: &str, value: Value) -> Value {
    json!({
        "apiVersion": API_VERSION,
        "kind": K::kind(&()),
        "metadata": metadata,
        part: value,
    })
}

/// Metadata of what the operator makes for a port of a Service, and that Service owns.
fn owned(slot: &Slot, service: &str, port: &str, service_uid: &str) -> Value {
    json!({
        "name": slot.key.name,
        "namespace": slot.key.namespace,
        "labels": {
            labels::SERVICE: service,
            labels::PORT: port,
            labels::MANAGED_BY: labels::MANAGED_BY_OPERATOR,
            labels::PART_OF: labels::PART_OF_CONTINUITY,
        },
        "ownerReferences": [{
            "apiVersion": "v1",
            "kind": "Service",
            "name": service,
            "uid": service_uid,
            "controller": true,
            // A Service must not wait for us when it is deleted.
            "blockOwnerDeletion": false,
        }],
    })
}

/// The one condition of a node that is ours; all else of its status is the agent's.
fn trust_body(node: &str, believed: bool, why: &str) -> Value {
    let (status, reason) = if believed {
        (conditions::TRUE, reasons::BELIEVED)
    } else {
        (conditions::FALSE, reasons::DOUBTED)
    };
    let condition = Condition {
        type_: conditions::TRUSTED.to_owned(),
        status: status.to_owned(),
        reason: reason.to_owned(),
        message: why.to_owned(),
        observed_generation: None,
        last_transition_time: Time(Timestamp::now()),
    };
    object::<ContinuityNode>(
        json!({ "name": node }),
        "status",
        json!({ "conditions": [condition] }),
    )
}
