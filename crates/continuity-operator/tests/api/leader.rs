//! Leadership: replaced within 15 s, and fenced.

use crate::audit::{Answered, plan_writes};
use crate::plane::{Plane, eventually};
use crate::watching::{CHECKOUT, name, plan, plans, policies, report, sets, tell};
use continuity_testkit::{Exchange, Fault, Rule};
use k8s_openapi::api::coordination::v1::Lease;
use kube::api::{Api, Patch, PatchParams};
use serde_json::json;
use std::time::Duration;

async fn leader_is(plane: &Plane, wanted: &str) -> Duration {
    let leases: Api<Lease> = Api::namespaced(plane.client.clone(), "continuity-system");
    let look = async || {
        let spec = leases.get_opt("continuity-operator").await.ok().flatten()?.spec?;
        (spec.holder_identity.as_deref() == Some(wanted)).then_some(())
    };
    eventually(&format!("{wanted} leads"), Duration::from_secs(30), look)
        .await
        .1
}

async fn set_mode(plane: &Plane, mode: &str) {
    let patch = json!({"spec": {"mode": mode}});
    policies(plane)
        .patch("checkout", &PatchParams::default(), &Patch::Merge(&patch))
        .await
        .unwrap();
}

async fn plan_has(plane: &Plane, mode: &str) -> i64 {
    let look = async || {
        let plan = plan(plane).await;
        (format!("{:?}", plan.spec.stable.mode) == mode).then_some(plan.spec.writer_epoch)
    };
    eventually(&format!("a plan with {mode}"), Duration::from_secs(20), look)
        .await
        .0
}

#[tokio::test]
#[ignore = "needs the kubernetes binary of e2e/cluster (CONTINUITY_KUBERNETES)"]
async fn a_killed_leader_is_replaced_within_fifteen_seconds() {
    let plane = Plane::start("killed").await;
    let mut first = plane.operator("operator-a", &[]);
    leader_is(&plane, "operator-a").await;
    let _second = plane.operator("operator-b", &[]);
    plane.apply(CHECKOUT).await;
    let before = plan_has(&plane, "Enforce").await;
    first.kill();
    let took = leader_is(&plane, "operator-b").await;
    assert!(took < Duration::from_secs(15), "{took:?}");
    set_mode(&plane, "Observe").await;
    assert!(plan_has(&plane, "Observe").await > before);
}

#[tokio::test]
#[ignore = "needs the kubernetes binary of e2e/cluster (CONTINUITY_KUBERNETES)"]
async fn a_stopped_leader_that_comes_back_writes_nothing_and_a_smaller_epoch_is_refused() {
    let plane = Plane::start("stopped").await;
    let first = plane.operator("operator-a", &[]);
    leader_is(&plane, "operator-a").await;
    let _second = plane.operator("operator-b", &[]);
    plane.apply(CHECKOUT).await;
    let before = plan_has(&plane, "Enforce").await;
    first.signal("STOP");
    assert!(leader_is(&plane, "operator-b").await < Duration::from_secs(15));
    set_mode(&plane, "Observe").await;
    let after = plan_has(&plane, "Observe").await;
    assert!(after > before);

    first.signal("CONT");
    set_mode(&plane, "Enforce").await;
    assert_eq!(
        plan_has(&plane, "Enforce").await,
        after,
        "written by the present leader"
    );
    tokio::time::sleep(Duration::from_secs(5)).await;
    leader_is(&plane, "operator-b").await;

    let late = json!({"spec": {"writerEpoch": before}});
    let refused = plans(&plane)
        .patch(
            &crate::watching::name(),
            &PatchParams::default(),
            &Patch::Merge(&late),
        )
        .await
        .expect_err("a smaller epoch was stored");
    assert!(
        refused.to_string().contains("the writer is no longer the leader"),
        "{refused}"
    );
}

#[tokio::test]
#[ignore = "needs the kubernetes binary of e2e/cluster (CONTINUITY_KUBERNETES)"]
async fn a_leader_that_is_told_to_stop_gives_the_lease_back_and_the_epoch_survives_its_deletion() {
    let plane = Plane::start("drained").await;
    let mut first = plane.operator("operator-a", &[]);
    leader_is(&plane, "operator-a").await;
    plane.apply(CHECKOUT).await;
    let before = plan_has(&plane, "Enforce").await;
    first.signal("TERM");
    assert!(
        first.ended_within(Duration::from_secs(15)),
        "SIGTERM does not end it"
    );
    leader_is(&plane, "").await;

    let leases: Api<Lease> = Api::namespaced(plane.client.clone(), "continuity-system");
    leases
        .delete("continuity-operator", &Default::default())
        .await
        .unwrap();
    let _second = plane.operator("operator-b", &[]);
    leader_is(&plane, "operator-b").await;
    set_mode(&plane, "Observe").await;
    assert!(plan_has(&plane, "Observe").await > before);
}

#[tokio::test]
#[ignore = "needs the kubernetes binary of e2e/cluster (CONTINUITY_KUBERNETES)"]
async fn a_deposed_leader_s_late_writes_are_refused_by_the_api_server() {
    let plane = Plane::alone("deposed").await;
    let proxy = plane.proxy().await;
    let (first, _) = plane.operator_behind(&proxy, "operator-a", &[]);
    leader_is(&plane, "operator-a").await;
    let _second = plane.operator("operator-b", &[]);
    plane.apply(CHECKOUT).await;
    let before = plan_has(&plane, "Enforce").await;

    // Its next writes leave it and stay under way while it is stopped and another leads.
    proxy.set(vec![Rule {
        path: "continuity.nity.io".into(),
        ..Rule::writes(Fault::Hold)
    }]);
    set_mode(&plane, "Observe").await;
    tokio::time::sleep(Duration::from_secs(3)).await;
    first.signal("STOP");
    assert!(leader_is(&plane, "operator-b").await < Duration::from_secs(15));
    let after = plan_has(&plane, "Observe").await;
    assert!(after > before);
    let status = async || {
        let set = sets(&plane).get_opt(&name()).await.ok()??;
        (set.status?.writer_epoch? == after).then_some(())
    };
    // A set's status is written by the new leader once a node reports.
    tell(
        &plane,
        "node-1",
        1,
        vec![report("x", continuity_api::node::Regime::Crisis)],
    )
    .await;
    eventually("the new leader's status", Duration::from_secs(20), status).await;

    proxy.release();
    let look = async || {
        let refused = proxy.exchanges().into_iter().filter(|exchange| exchange.genuine);
        let late: Vec<_> = refused
            .filter(|exchange| exchange.refusal.contains("the writer is no longer the leader"))
            .collect();
        let plan = |exchange: &Exchange| exchange.path.contains("/equivalenceplans/");
        late.iter().any(plan).then_some(late)
    };
    let (late, _) = eventually("a late write is refused", Duration::from_secs(10), look).await;
    assert!(late.iter().all(|exchange| exchange.status == 422), "{late:?}");
    // The API server writes its log a moment after its answer.
    let look = async || {
        let of_the_deposed = |write: &Answered| write.epoch == before && !write.accepted();
        let refused: Vec<_> = plan_writes(&plane).into_iter().filter(of_the_deposed).collect();
        (!refused.is_empty()).then_some(refused)
    };
    let (refused, _) = eventually("the refusal in the audit log", Duration::from_secs(10), look).await;
    assert!(
        refused
            .iter()
            .all(|write| write.code == 422 && write.message.contains("no longer the leader")),
        "{refused:?}"
    );

    first.signal("CONT");
    tokio::time::sleep(Duration::from_secs(3)).await;
    let resumed = plan_writes(&plane);
    let last = resumed.iter().rfind(|write| write.accepted());
    assert_eq!(
        last.map(|write| write.epoch),
        Some(after),
        "resumed, it wrote nothing"
    );
    assert_eq!(
        plan(&plane).await.spec.writer_epoch,
        after,
        "the present leader's plan stands"
    );
}
