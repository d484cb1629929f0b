//! An API server in trouble, played by a proxy before the real one: writes stop, come back by themselves, and none is lost.

use crate::plane::{Plane, eventually};
use crate::watching::{counted, plan, policies, report, status_when, tell};
use continuity_api::node::Regime;
use continuity_testkit::{Fault, Rule};
use kube::api::{Patch, PatchParams};
use serde_json::json;
use std::time::{Duration, Instant};

/// What the gauge of the mode says, from the operator's own metrics.
async fn mode(address: &str) -> Option<String> {
    let curl = tokio::process::Command::new("curl")
        .args(["-s", "--max-time", "2", &format!("http://{address}/metrics")])
        .output()
        .await
        .ok()?;
    let text = String::from_utf8_lossy(&curl.stdout).into_owned();
    let line = text
        .lines()
        .find(|line| line.starts_with("continuity_operator_mode "))?;
    line.split(' ').nth(1).map(str::to_owned)
}

#[tokio::test]
#[ignore = "needs the kubernetes binary of e2e/cluster (CONTINUITY_KUBERNETES)"]
async fn a_storm_of_429_makes_it_read_only_and_afterwards_every_write_arrives_by_itself() {
    let plane = Plane::start("storm").await;
    let proxy = plane.proxy().await;
    let (_operator, address) = plane.operator_behind(&proxy, "operator-a", &[]);
    let digest = counted(&plane).await;
    // A busy machine can make the real API server slow for a moment.
    let normal = async || (mode(&address).await.as_deref() == Some("0")).then_some(());
    eventually("NORMAL", Duration::from_secs(60), normal).await;

    proxy.set(vec![
        // The Lease has a priority level of its own in a real API server too.
        Rule::path("/leases/", Fault::Delay(Duration::ZERO)),
        Rule::writes(Fault::Status(429)),
        Rule::path("/equivalenceplans", Fault::Status(429)),
    ]);
    let begun = Instant::now();
    let mut sequence = 2;
    let mut seen = false;
    while begun.elapsed() < Duration::from_secs(20) {
        // Work keeps coming: the set flaps, and the policy changes.
        let regime = if sequence % 2 == 0 {
            Regime::Crisis
        } else {
            Regime::Transition
        };
        tell(&plane, "node-1", sequence, vec![report(&digest, regime)]).await;
        let hold = json!({"spec": {"isolation": {"holdSeconds": sequence}}});
        policies(&plane)
            .patch("checkout", &PatchParams::default(), &Patch::Merge(&hold))
            .await
            .unwrap();
        sequence += 1;
        seen |= mode(&address).await.as_deref() == Some("2");
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
    assert!(seen, "it never became READ_ONLY");
    let exchanges = proxy.exchanges();
    let storm = exchanges.iter().filter(|exchange| exchange.status == 429).count();
    assert!(
        (5..=40).contains(&storm),
        "{storm} requests in 20 s: a storm must not be answered by one"
    );

    proxy.set(Vec::new());
    let ended = Instant::now();
    tell(&plane, "node-1", sequence, vec![report(&digest, Regime::Crisis)]).await;
    status_when(&plane, "the crisis", Duration::from_secs(30), |status| {
        status.regime == Regime::Crisis
    })
    .await;
    let wanted = sequence - 1;
    let look = async || {
        let hold = i64::from(plan(&plane).await.spec.stable.isolation.hold_millis);
        (hold == wanted * 1_000).then_some(())
    };
    eventually("the last policy in the plan", Duration::from_secs(30), look).await;
    assert!(ended.elapsed() < Duration::from_secs(10), "{:?}", ended.elapsed());
    eventually("NORMAL again", Duration::from_secs(60), normal).await;
}
