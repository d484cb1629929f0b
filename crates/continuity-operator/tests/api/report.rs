//! Reports of nodes into the status of a set: soon, and seldom.

use crate::plane::{Plane, eventually};
use crate::watching::{CHECKOUT, followed, isolated, plan, policies, report, status_when, tell};
use continuity_api::node::{Regime, SetReport};
use continuity_api::{conditions, events};
use k8s_openapi::api::events::v1::Event;
use kube::api::Api;
use std::time::Duration;

#[tokio::test]
#[ignore = "needs the kubernetes binary of e2e/cluster (CONTINUITY_KUBERNETES)"]
async fn an_isolation_is_in_the_status_within_two_seconds_and_told_by_an_event() {
    let plane = Plane::start("isolation").await;
    let _operator = plane.operator("operator-a", &[]);
    let digest = followed(&plane).await;
    for node in ["node-1", "node-2"] {
        tell(&plane, node, 1, vec![report(&digest, Regime::Laminar)]).await;
    }
    let calm = status_when(&plane, "two nodes", Duration::from_secs(20), |status| {
        status.nodes.reporting == 2
    })
    .await
    .0;
    assert_eq!(
        (calm.regime, calm.backends.summary.as_str()),
        (Regime::Laminar, "4/5")
    );

    let bad = || SetReport {
        backends: vec![isolated()],
        ..report(&digest, Regime::Transition)
    };
    for node in ["node-1", "node-2"] {
        tell(&plane, node, 2, vec![bad()]).await;
    }
    let seen = |status: &continuity_api::EquivalenceSetStatus| {
        status.regime == Regime::Transition
            && status
                .isolated
                .first()
                .is_some_and(|backend| backend.agreeing_nodes == 2)
    };
    let (status, took) = status_when(&plane, "the isolation", Duration::from_secs(10), seen).await;
    assert!(took < Duration::from_secs(2), "{took:?}");
    assert_eq!(
        (status.backends.isolated, status.reach.summary.as_str()),
        (1, "98%")
    );
    assert_eq!(
        status.conditions[0].status,
        conditions::TRUE,
        "Ready is not health"
    );

    let told: Api<Event> = Api::namespaced(plane.client.clone(), "shop");
    let look = async || {
        let found = told.list(&Default::default()).await.ok()?;
        found
            .items
            .into_iter()
            .find(|event| event.reason.as_deref() == Some(events::BACKEND_ISOLATED))
    };
    let (event, _) = eventually("an Event", Duration::from_secs(10), look).await;
    assert!(event.note.unwrap().contains("512 ms"));
    let verdicts = async || plan(&plane).await.spec.advice.verdicts.first().cloned();
    let (verdict, _) = eventually("a shared verdict", Duration::from_secs(10), verdicts).await;
    assert_eq!(
        (verdict.address.as_str(), verdict.agreeing_nodes),
        ("10.244.1.2:8080", 2)
    );
}

#[tokio::test]
#[ignore = "needs the kubernetes binary of e2e/cluster (CONTINUITY_KUBERNETES)"]
async fn a_policy_is_ready_when_every_node_runs_its_plan() {
    let plane = Plane::start("programmed").await;
    let _operator = plane.operator("operator-a", &[]);
    let only_http = CHECKOUT.replace(
        "name: checkout}], mode",
        "name: checkout, sectionName: http}], mode",
    );
    plane.apply(&only_http).await;
    let digest = plan(&plane).await.spec.digest;
    tell(&plane, "node-1", 1, vec![report(&digest, Regime::Crisis)]).await;
    tell(&plane, "node-2", 1, vec![report("another", Regime::Laminar)]).await;
    let programmed = async |wanted: &'static str| {
        let look = async || {
            let status = policies(&plane).get("checkout").await.ok()?.status?;
            (status.programmed == wanted).then_some(status)
        };
        eventually(wanted, Duration::from_secs(20), look).await.0
    };
    let ready = |status: &continuity_api::ContinuityPolicyStatus| {
        let found = status
            .conditions
            .iter()
            .find(|condition| condition.type_ == conditions::READY);
        found.map(|condition| condition.status.clone()).unwrap()
    };
    assert_eq!(ready(&programmed("1/2").await), conditions::FALSE);
    tell(&plane, "node-2", 2, vec![report(&digest, Regime::Laminar)]).await;
    assert_eq!(
        ready(&programmed("2/2").await),
        conditions::TRUE,
        "a crisis on node-1 does not matter"
    );
}
