//! Trust in a node as people see it: a condition of its object and an Event, when it is lost and when it comes back.

use crate::plane::{Plane, eventually};
use crate::watching::{followed, report, status_when, tell};
use continuity_api::node::Regime;
use continuity_api::{Condition, ContinuityNode, conditions, events, reasons};
use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::api::events::v1::Event;
use kube::api::{Api, ListParams, Patch, PatchParams};
use serde_json::json;
use std::time::Duration;

const PATIENCE: Duration = Duration::from_secs(90);

const AGENT: &str = "
apiVersion: v1
kind: ServiceAccount
metadata: {name: default, namespace: continuity-system}
---
apiVersion: v1
kind: Pod
metadata: {name: agent-3, namespace: continuity-system, labels: {app.kubernetes.io/name: continuity-agent}}
spec: {nodeName: node-3, containers: [{name: agent, image: agent}]}
";

/// Plays kubelet: whether the agent's pod is ready.
async fn ready(plane: &Plane, ready: bool) {
    let pods: Api<Pod> = Api::namespaced(plane.client.clone(), "continuity-system");
    let status = if ready { "True" } else { "False" };
    let patch = json!({"status": {"conditions": [{"type": "Ready", "status": status}]}});
    pods.patch_status("agent-3", &PatchParams::default(), &Patch::Strategic(&patch))
        .await
        .unwrap();
}

async fn trusted(plane: &Plane, node: &str) -> Option<Condition> {
    let nodes: Api<ContinuityNode> = Api::all(plane.client.clone());
    let conditions = nodes.get(node).await.ok()?.status?.conditions;
    conditions
        .into_iter()
        .find(|condition| condition.type_ == conditions::TRUSTED)
}

async fn told(plane: &Plane, reason: &str) -> Option<Event> {
    let events: Api<Event> = Api::all(plane.client.clone());
    let list = events.list(&ListParams::default()).await.ok()?;
    list.items
        .into_iter()
        .find(|event| event.reason.as_deref() == Some(reason))
}

#[tokio::test]
#[ignore = "needs the kubernetes binary of e2e/cluster (CONTINUITY_KUBERNETES)"]
async fn a_node_whose_agent_is_not_ready_stops_counting_says_so_and_comes_back() {
    let plane = Plane::alone("trust").await;
    plane
        .apply("{apiVersion: v1, kind: Node, metadata: {name: node-3}}")
        .await;
    plane.apply(AGENT).await;
    ready(&plane, false).await;
    let _operator = plane.operator("operator-a", &[]);
    let digest = followed(&plane).await;
    // Two nodes: nobody can vouch for either, so what the operator sees itself decides.
    for node in ["node-1", "node-3"] {
        tell(&plane, node, 1, vec![report(&digest, Regime::Laminar)]).await;
    }
    let doubted = async || {
        let condition = trusted(&plane, "node-3").await?;
        (condition.status == conditions::FALSE).then_some(condition)
    };
    let (condition, _) = eventually("the node says that it is doubted", PATIENCE, doubted).await;
    assert_eq!(condition.reason, reasons::DOUBTED);
    assert!(
        condition.message.contains("its agent's pod is not ready"),
        "{}",
        condition.message
    );
    let event = async || told(&plane, events::NODE_DISTRUSTED).await;
    let (event, _) = eventually("an Event", PATIENCE, event).await;
    assert_eq!(event.type_.as_deref(), Some("Warning"));
    assert_eq!(
        event.regarding.and_then(|about| about.name).as_deref(),
        Some("node-3")
    );
    status_when(&plane, "one node counts", PATIENCE, |status| {
        status.nodes.reporting == 1
    })
    .await;
    assert_eq!(
        trusted(&plane, "node-1").await,
        None,
        "nothing is written to nodes that were never doubted"
    );

    // The agent's own report leaves the condition alone, which is not its own.
    tell(&plane, "node-3", 2, vec![report(&digest, Regime::Laminar)]).await;
    assert!(doubted().await.is_some());
    ready(&plane, true).await;
    let believed = async || {
        let condition = trusted(&plane, "node-3").await?;
        (condition.status == conditions::TRUE).then_some(())
    };
    eventually("the node says that it is believed", PATIENCE, believed).await;
    let event = async || told(&plane, events::NODE_TRUSTED).await;
    eventually("an Event that it is", PATIENCE, event).await;
    status_when(&plane, "both nodes count", PATIENCE, |status| {
        status.nodes.reporting == 2
    })
    .await;
}
