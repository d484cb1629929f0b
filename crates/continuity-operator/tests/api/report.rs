//! Reports of nodes into the status of a set: soon, and seldom.

use crate::plane::{Plane, eventually};
use crate::watching::{CHECKOUT, followed, isolated, plan, policies, report, status_when, tell};
use continuity_api::node::{BackendReport, Regime, SetReport, WouldHave};
use continuity_api::policy::Mode;
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
async fn in_observe_a_backend_alone_on_its_node_is_named_beside_those_of_other_nodes() {
    let plane = Plane::start("lone").await;
    let _operator = plane.operator("operator-a", &[]);
    plane
        .apply(&CHECKOUT.replace("mode: Enforce", "mode: Observe"))
        .await;
    let digest = plan(&plane).await.spec.digest;
    let alone = |index: u8, millis: i64| SetReport {
        mode: Mode::Observe,
        backends: vec![BackendReport {
            address: format!("10.244.1.{index}:8080"),
            pod: format!("checkout-{index}"),
            node: format!("node-{index}"),
            median_micros: millis * 1_000,
            ..BackendReport::default()
        }],
        would_have: Some(WouldHave::default()),
        ..report(&digest, Regime::Laminar)
    };
    let say = async |index: u8, sequence: i64, millis: i64| {
        let node = format!("node-{index}");
        tell(&plane, &node, sequence, vec![alone(index, millis)]).await;
    };
    for index in 1..=3 {
        say(index, 1, 20).await;
    }
    let named = |status: &continuity_api::EquivalenceSetStatus| -> Vec<String> {
        let would = status.would_have.clone().unwrap_or_default();
        would.isolated
    };
    status_when(&plane, "three nodes", Duration::from_secs(20), |status| {
        status.nodes.reporting == 3 && named(status).is_empty()
    })
    .await;
    say(2, 2, 500).await;
    let late = |status: &continuity_api::EquivalenceSetStatus| named(status) == ["10.244.1.2:8080"];
    let (status, took) = status_when(&plane, "the late one", Duration::from_secs(20), late).await;
    assert!(took < Duration::from_secs(12), "{took:?}");
    let would = status.would_have.unwrap();
    assert!(
        would
            .message
            .contains("(checkout-2) answers in 500 ms, its peers on all nodes in 20 ms"),
        "{}",
        would.message
    );
    assert_eq!((would.nodes, status.isolated.len()), (1, 0), "nothing is done");
    say(2, 3, 22).await;
    let well = |status: &continuity_api::EquivalenceSetStatus| named(status).is_empty();
    status_when(&plane, "all alike again", Duration::from_secs(10), well).await;
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
