//! The timelines of a set, a policy and a node: what happened, why, and what was done; across restarts of the operator.

use crate::plane::{Plane, eventually};
use crate::watching::{appear, counted, followed, isolated, name, policies, report, tell, well, write};
use continuity_api::node::{Regime, SetReport};
use continuity_api::timeline::TimelineEntry;
use continuity_api::{
    ContinuityNode, ContinuityNodeStatus, EquivalenceTimeline, EquivalenceTimelineSpec, events,
};
use kube::api::{Api, DeleteParams, Patch, PatchParams};
use serde_json::json;
use std::time::Duration;

fn timelines(plane: &Plane) -> Api<EquivalenceTimeline> {
    Api::namespaced(plane.client.clone(), "shop")
}

async fn timeline_with(plane: &Plane, what: &str) -> EquivalenceTimelineSpec {
    kept(&timelines(plane), &name(), what).await.spec
}

/// A timeline once it tells `what`.
async fn kept(api: &Api<EquivalenceTimeline>, name: &str, what: &str) -> EquivalenceTimeline {
    let look = async || {
        let found = api.get_opt(name).await.ok()??;
        (found.spec.entries.iter().any(|entry| entry.what == what)).then_some(found)
    };
    eventually(
        &format!("{what} in the timeline {name}"),
        Duration::from_secs(40),
        look,
    )
    .await
    .0
}

fn owner(timeline: &EquivalenceTimeline) -> (&str, &str) {
    let owners = timeline.metadata.owner_references.as_ref().unwrap();
    (&owners[0].kind, &owners[0].name)
}

/// A policy for one port, which beats the one for the whole Service.
const NARROW: &str = "
apiVersion: continuity.nity.io/v1alpha1
kind: ContinuityPolicy
metadata: {name: narrow, namespace: shop}
spec: {targetRefs: [{kind: Service, name: checkout, sectionName: http}]}
";

fn find<'a>(spec: &'a EquivalenceTimelineSpec, what: &str) -> &'a TimelineEntry {
    spec.entries.iter().find(|entry| entry.what == what).unwrap()
}

#[tokio::test]
#[ignore = "needs the kubernetes binary of e2e/cluster (CONTINUITY_KUBERNETES)"]
async fn every_transition_is_kept_with_cause_and_action_and_a_new_operator_goes_on_where_the_old_one_was_killed()
 {
    let plane = Plane::start("timeline").await;
    let mut first = plane.operator("operator-a", &[]);
    let digest = counted(&plane).await;
    let bad = SetReport {
        backends: vec![isolated()],
        ..report(&digest, Regime::Transition)
    };
    tell(&plane, "node-1", 2, vec![bad]).await;
    let before = timeline_with(&plane, events::BACKEND_ISOLATED).await;
    assert_eq!(before.entries[0].what, events::SET_FOLLOWED);
    let out = find(&before, events::BACKEND_ISOLATED);
    assert!(out.subject.starts_with("10.244.1.2:8080"), "{out:?}");
    assert!(
        out.cause.contains("512 ms") && out.action.contains("1 of 1 nodes"),
        "{out:?}"
    );
    let worse = find(&before, events::REGIME_WORSENED);
    assert!(worse.cause.contains("pressure 1.31, 100/s offered"), "{worse:?}");

    // Killed; what happens meanwhile is told by the next.
    first.kill();
    tell(&plane, "node-1", 3, vec![report(&digest, Regime::Laminar)]).await;
    let _second = plane.operator("operator-b", &[]);
    let after = timeline_with(&plane, events::BACKEND_RETURNED).await;
    assert_eq!(
        after.entries[..before.entries.len()],
        before.entries,
        "nothing was rewritten"
    );
    assert!(after.total > before.total);
    find(&after, events::REGIME_IMPROVED);

    let late = json!({"spec": {"total": before.total, "entries": []}});
    let refused = timelines(&plane)
        .patch(&name(), &PatchParams::default(), &Patch::Merge(&late))
        .await
        .expect_err("a timeline was cut");
    assert!(
        refused.to_string().contains("appended to and never rewritten"),
        "{refused}"
    );
    let stored = timelines(&plane).get(&name()).await.unwrap();
    assert_eq!(owner(&stored), ("EquivalenceSet", &*name()));
}

async fn runs(plane: &Plane, node: &str, sequence: i64, version: &str) {
    let nodes: Api<ContinuityNode> = Api::all(plane.client.clone());
    let status = ContinuityNodeStatus {
        agent_version: version.into(),
        ..well(sequence, Vec::new())
    };
    write(&nodes, node, status).await.unwrap();
}

#[tokio::test]
#[ignore = "needs the kubernetes binary of e2e/cluster (CONTINUITY_KUBERNETES)"]
async fn a_policy_and_a_node_have_a_past_too_and_a_new_operator_tells_what_the_killed_one_missed() {
    let plane = Plane::start("past").await;
    let mut first = plane.operator("operator-a", &[]);
    followed(&plane).await;
    let nodes: Api<ContinuityNode> = Api::all(plane.client.clone());
    appear(&nodes, "node-1").await;
    runs(&plane, "node-1", 1, "0.1.0").await;
    let home: Api<EquivalenceTimeline> = Api::namespaced(plane.client.clone(), "continuity-system");
    let node = kept(&home, "node.node-1", events::NODE_APPEARED).await;
    assert_eq!(owner(&node), ("ContinuityNode", "node-1"));
    let appeared = find(&node.spec, events::NODE_APPEARED);
    assert!(appeared.cause.contains("agent 0.1.0"), "{appeared:?}");

    let here = timelines(&plane);
    let policy = kept(&here, "policy.checkout", events::POLICY_ACCEPTED).await;
    assert_eq!(owner(&policy), ("ContinuityPolicy", "checkout"));
    plane.apply(NARROW).await;
    let policy = kept(&here, "policy.checkout", events::CONFLICT_LOST).await;
    let lost = find(&policy.spec, events::CONFLICT_LOST);
    assert!(lost.cause.contains("port http follows policy narrow"), "{lost:?}");

    // Killed; what happens meanwhile is told by the next.
    first.kill();
    let gone = DeleteParams::default();
    policies(&plane).delete("narrow", &gone).await.unwrap();
    runs(&plane, "node-1", 2, "0.2.0").await;
    let _second = plane.operator("operator-b", &[]);
    let after = kept(&here, "policy.checkout", events::CONFLICT_WON).await;
    let known = policy.spec.entries.len();
    assert_eq!(
        after.spec.entries[..known],
        policy.spec.entries,
        "nothing was rewritten"
    );
    let after = kept(&home, "node.node-1", events::AGENT_CHANGED).await;
    assert_eq!(
        find(&after.spec, events::AGENT_CHANGED).cause,
        "agent 0.1.0 → 0.2.0"
    );
    let appearances = after
        .spec
        .entries
        .iter()
        .filter(|entry| entry.what == events::NODE_APPEARED);
    assert_eq!(appearances.count(), 1);
}
