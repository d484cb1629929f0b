//! The API server away for a while: nothing lost, and soon caught up.

use crate::plane::{Plane, eventually};
use crate::watching::{CHECKOUT, counted, followed, plans, report, status_when, tell};
use continuity_api::node::Regime;
use continuity_api::set_name;
use std::time::{Duration, Instant};

#[tokio::test]
#[ignore = "needs the kubernetes binary of e2e/cluster (CONTINUITY_KUBERNETES)"]
async fn status_catches_up_within_ten_seconds_after_the_api_server_returns() {
    let mut plane = Plane::start("outage").await;
    let _operator = plane.operator("operator-a", &[]);
    let digest = counted(&plane).await;

    plane.stop_api();
    tokio::time::sleep(Duration::from_secs(30)).await;
    plane.start_api().await;
    let returned = Instant::now();
    tell(&plane, "node-1", 2, vec![report(&digest, Regime::Crisis)]).await;
    status_when(&plane, "the crisis", Duration::from_secs(60), |status| {
        status.regime == Regime::Crisis
    })
    .await;
    let took = returned.elapsed();
    assert!(took < Duration::from_secs(10), "{took:?}");
}

#[tokio::test]
#[ignore = "needs the kubernetes binary of e2e/cluster (CONTINUITY_KUBERNETES)"]
async fn a_port_renamed_while_the_operator_was_away_is_found_at_its_return() {
    let plane = Plane::start("away").await;
    let mut operator = plane.operator("operator-a", &[]);
    followed(&plane).await;
    operator.kill();
    plane
        .apply(&CHECKOUT.replace("{name: http, port: 80}", "{name: web, port: 80}"))
        .await;
    let _again = plane.operator("operator-a", &[]);
    let (old, new) = (set_name("checkout", "http"), set_name("checkout", "web"));
    let look = async || {
        let gone = plans(&plane).get_opt(&old).await.ok()?.is_none();
        (gone && plans(&plane).get_opt(&new).await.ok()?.is_some()).then_some(())
    };
    eventually("the plans follow the rename", Duration::from_secs(30), look).await;
}
