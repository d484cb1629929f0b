//! A minute of flapping: the longest test, in a module that comes first, so that the others run beside it.

use crate::plane::Plane;
use crate::watching::{counted, name, report, sets, tell};
use continuity_api::node::Regime;
use futures::StreamExt;
use kube::api::{WatchEvent, WatchParams};
use std::time::{Duration, Instant};

#[tokio::test]
#[ignore = "needs the kubernetes binary of e2e/cluster (CONTINUITY_KUBERNETES)"]
async fn a_set_that_flaps_for_a_minute_is_patched_at_most_twelve_times() {
    let plane = Plane::start("flapping").await;
    let _operator = plane.operator("operator-a", &[]);
    let digest = counted(&plane).await;
    // The bucket is full again after half a minute without a write.
    tokio::time::sleep(Duration::from_secs(31)).await;

    let version = sets(&plane)
        .list(&Default::default())
        .await
        .unwrap()
        .metadata
        .resource_version
        .unwrap();
    let watching = sets(&plane);
    let counting = tokio::spawn(async move {
        let parameters = WatchParams::default().fields(&format!("metadata.name={}", name()));
        let mut stream = watching.watch(&parameters, &version).await.unwrap().boxed();
        let begun = Instant::now();
        let mut patches = 0;
        while let Ok(Some(event)) = tokio::time::timeout(
            Duration::from_secs(60).saturating_sub(begun.elapsed()),
            stream.next(),
        )
        .await
        {
            patches += usize::from(matches!(event, Ok(WatchEvent::Modified(_))));
        }
        patches
    });
    let begun = Instant::now();
    let mut sequence = 2;
    while begun.elapsed() < Duration::from_secs(60) {
        let regime = if sequence % 2 == 0 {
            Regime::Crisis
        } else {
            Regime::Laminar
        };
        tell(&plane, "node-1", sequence, vec![report(&digest, regime)]).await;
        sequence += 1;
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    let patches = counting.await.unwrap();
    assert!(sequence > 60, "the node flapped {sequence} times only");
    assert!((4..=12).contains(&patches), "{patches} patches");
}
