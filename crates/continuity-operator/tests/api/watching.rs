//! What the tests look at: a followed Service, its set, its plan, and nodes that the tests play.

use crate::plane::{Plane, eventually};
use continuity_api::node::{BackendReport, BackendState, Regime, SetReport};
use continuity_api::policy::Mode;
use continuity_api::{
    AGENT_MANAGER, API_VERSION, Condition, ContinuityNode, ContinuityNodeStatus, ContinuityPolicy,
    EquivalencePlan, EquivalenceSet, EquivalenceSetStatus, Time, conditions, set_name,
};
use k8s_openapi::jiff::Timestamp;
use kube::api::{Api, Patch, PatchParams};
use serde_json::json;
use std::time::Duration;

/// A Service with two ports, five backends, and a policy for all of it.
pub(crate) const CHECKOUT: &str = "
apiVersion: v1
kind: Service
metadata: {name: checkout, namespace: shop}
spec: {selector: {app: checkout}, ports: [{name: http, port: 80}, {name: admin, port: 81}]}
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {name: checkout-a, namespace: shop, labels: {kubernetes.io/service-name: checkout}}
addressType: IPv4
ports: [{name: http, port: 8080, protocol: TCP}, {name: admin, port: 8081, protocol: TCP}]
endpoints:
- {addresses: [10.244.1.1], conditions: {ready: true}}
- {addresses: [10.244.1.2], conditions: {ready: true}}
- {addresses: [10.244.1.3], conditions: {ready: true}}
- {addresses: [10.244.1.4], conditions: {ready: true}}
- {addresses: [10.244.1.5], conditions: {ready: false}}
---
apiVersion: continuity.nity.io/v1alpha1
kind: ContinuityPolicy
metadata: {name: checkout, namespace: shop}
spec: {targetRefs: [{kind: Service, name: checkout}], mode: Enforce}
";

pub(crate) fn name() -> String {
    set_name("checkout", "http")
}

pub(crate) fn sets(plane: &Plane) -> Api<EquivalenceSet> {
    Api::namespaced(plane.client.clone(), "shop")
}

pub(crate) fn plans(plane: &Plane) -> Api<EquivalencePlan> {
    Api::namespaced(plane.client.clone(), "shop")
}

pub(crate) fn policies(plane: &Plane) -> Api<ContinuityPolicy> {
    Api::namespaced(plane.client.clone(), "shop")
}

/// The plan of port http, once it is there.
pub(crate) async fn plan(plane: &Plane) -> EquivalencePlan {
    let look = async || plans(plane).get_opt(&name()).await.ok().flatten();
    eventually("a plan for checkout http", Duration::from_secs(20), look)
        .await
        .0
}

/// Has checkout followed: the digest of its plan.
pub(crate) async fn followed(plane: &Plane) -> String {
    plane.apply(CHECKOUT).await;
    plan(plane).await.spec.digest
}

/// Has checkout followed, and one node tell of it: the digest of its plan.
pub(crate) async fn told(plane: &Plane) -> String {
    let digest = followed(plane).await;
    tell(plane, "node-1", 1, vec![report(&digest, Regime::Laminar)]).await;
    digest
}

/// The same, once the status counts that node.
pub(crate) async fn counted(plane: &Plane) -> String {
    let digest = told(plane).await;
    let patience = Duration::from_secs(20);
    status_when(plane, "one node", patience, |status| status.nodes.reporting == 1).await;
    digest
}

/// The status of the set of port http once it is as `wanted`, and how long that took.
pub(crate) async fn status_when(
    plane: &Plane,
    what: &str,
    patience: Duration,
    wanted: impl Fn(&EquivalenceSetStatus) -> bool,
) -> (EquivalenceSetStatus, Duration) {
    let look = async || {
        let set = sets(plane).get_opt(&name()).await.ok().flatten()?;
        set.status.filter(|status| wanted(status))
    };
    eventually(what, patience, look).await
}

/// A report of port http.
pub(crate) fn report(digest: &str, regime: Regime) -> SetReport {
    SetReport {
        namespace: "shop".into(),
        set: name(),
        service: "checkout".into(),
        port: "http".into(),
        plan_digest: digest.into(),
        mode: Mode::Enforce,
        regime,
        since: Some(Time(Timestamp::now())),
        offered_milli_per_second: 100_000,
        steered_milli_per_second: 98_000,
        accepted_milli_per_second: 100_000,
        pressure_milli: if regime == Regime::Laminar { 1_000 } else { 1_310 },
        ..SetReport::default()
    }
}

/// A backend that a node keeps out.
pub(crate) fn isolated() -> BackendReport {
    BackendReport {
        address: "10.244.1.2:8080".into(),
        state: BackendState::Isolated,
        reason: "answers in 512 ms, its peers in 21 ms".into(),
        since: Some(Time(Timestamp::now())),
        ..BackendReport::default()
    }
}

/// Writes a node's report as its agent does: the object, then its status by server-side apply.
pub(crate) async fn tell(plane: &Plane, node: &str, sequence: i64, sets: Vec<SetReport>) {
    let api: Api<ContinuityNode> = Api::all(plane.client.clone());
    if sequence == 1 {
        appear(&api, node).await;
    }
    write(&api, node, well(sequence, sets)).await.unwrap();
}

/// Makes a node's object as its agent does.
pub(crate) async fn appear(nodes: &Api<ContinuityNode>, node: &str) {
    let object =
        json!({"apiVersion": API_VERSION, "kind": "ContinuityNode", "metadata": {"name": node}, "spec": {}});
    let parameters = PatchParams::apply(AGENT_MANAGER).force();
    nodes
        .patch(node, &parameters, &Patch::Apply(&object))
        .await
        .unwrap();
}

/// What a node says with which nothing is wrong.
pub(crate) fn well(sequence: i64, sets: Vec<SetReport>) -> ContinuityNodeStatus {
    let ready = Condition {
        type_: conditions::READY.into(),
        status: conditions::TRUE.into(),
        reason: "Attached".into(),
        message: String::new(),
        observed_generation: Some(1),
        last_transition_time: Time(Timestamp::UNIX_EPOCH),
    };
    ContinuityNodeStatus {
        conditions: vec![ready],
        sequence,
        sets,
        ..ContinuityNodeStatus::default()
    }
}

/// Writes a node's status as its agent does.
pub(crate) async fn write(
    nodes: &Api<ContinuityNode>,
    node: &str,
    status: ContinuityNodeStatus,
) -> Result<ContinuityNode, kube::Error> {
    let body = json!({
        "apiVersion": API_VERSION, "kind": "ContinuityNode", "metadata": {"name": node},
        "status": serde_json::to_value(status).unwrap(),
    });
    let parameters = PatchParams::apply(AGENT_MANAGER).force();
    nodes.patch_status(node, &parameters, &Patch::Apply(&body)).await
}
