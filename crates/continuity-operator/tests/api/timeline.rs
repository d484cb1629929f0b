//! The timeline of a set: what happened, why, and what was done; across restarts of the operator.

use crate::plane::{Plane, eventually};
use crate::watching::{counted, isolated, name, report, tell};
use continuity_api::node::{Regime, SetReport};
use continuity_api::timeline::TimelineEntry;
use continuity_api::{EquivalenceTimeline, EquivalenceTimelineSpec, events};
use kube::api::{Api, Patch, PatchParams};
use serde_json::json;
use std::time::Duration;

fn timelines(plane: &Plane) -> Api<EquivalenceTimeline> {
    Api::namespaced(plane.client.clone(), "shop")
}

async fn timeline_with(plane: &Plane, what: &str) -> EquivalenceTimelineSpec {
    let look = async || {
        let spec = timelines(plane).get_opt(&name()).await.ok()??.spec;
        (spec.entries.iter().any(|entry| entry.what == what)).then_some(spec)
    };
    eventually(&format!("{what} in the timeline"), Duration::from_secs(40), look)
        .await
        .0
}

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
    let owner = timelines(&plane)
        .get(&name())
        .await
        .unwrap()
        .metadata
        .owner_references
        .unwrap();
    assert_eq!(
        (owner[0].kind.as_str(), owner[0].name.clone()),
        ("EquivalenceSet", name())
    );
}
