//! The network half against an API server that fails: what is known stays, nothing hammers, everything is made up for.
//!
//! The server is a plain HTTP server of this process that answers lists, watches and patches by script; the client is the
//! agent's own, over a real socket.
#![allow(
    clippy::expect_used,
    clippy::panic,
    reason = "a test that cannot set its stage has failed"
)]

mod pages;
mod server;

use std::sync::Arc;
use std::time::{Duration, Instant};

use continuity_agent::cluster::backoff::Refusal;
use continuity_agent::cluster::follow::{Happening, follow};
use continuity_agent::cluster::intake::Intake;
use continuity_agent::health::Board;
use continuity_agent::identity::{Identity, Zone};
use continuity_agent::mailbox::{Mailbox, Wake};
use continuity_agent::report::writer::Writer;
use continuity_agent::snapshot::{Plane, PlaneState, Snapshot};
use continuity_api::Time;
use futures::StreamExt;
use k8s_openapi::api::core::v1::Service;
use kube::Api;
use kube::runtime::watcher::Event;
use server::Server;
use tokio::sync::watch;
use tokio::time::{sleep, timeout};

/// Longest wait for something that must come; far above what it takes.
const PATIENCE: Duration = Duration::from_secs(10);

fn snapshot(sets: usize) -> Arc<Snapshot> {
    let plane = Plane {
        state: PlaneState::Attached,
        message: format!("{sets}"),
        ..Plane::default()
    };
    Arc::new(Snapshot {
        plane,
        adopted: true,
        ..Snapshot::default()
    })
}

struct Reporting {
    snapshots: watch::Sender<Arc<Snapshot>>,
    zone: watch::Receiver<Zone>,
    task: tokio::task::JoinHandle<()>,
}

fn report_to(server: &Server) -> Reporting {
    let (tell, zone) = watch::channel(Zone::default());
    let (snapshots, receiver) = watch::channel(snapshot(1));
    let identity = Identity::of("node-1", Time(jiff::Timestamp::UNIX_EPOCH));
    let writer = Writer::new(&server.client(), identity, tell, Arc::new(Board::default()));
    Reporting {
        snapshots,
        zone,
        task: tokio::spawn(writer.run(receiver)),
    }
}

async fn until(what: &str, mut holds: impl FnMut() -> bool) -> Duration {
    let begun = Instant::now();
    while !holds() {
        assert!(begun.elapsed() < PATIENCE, "{what} did not happen");
        sleep(Duration::from_millis(10)).await;
    }
    begun.elapsed()
}

#[tokio::test]
async fn lists_become_a_letter_to_the_loop() {
    let server = Server::start().await;
    let inbox = Arc::new(Mailbox::default());
    let (tell, zone) = watch::channel(Zone::Known(None));
    let intake = Intake::new(
        "node-1",
        Vec::new(),
        Arc::clone(&inbox),
        Arc::new(Board::default()),
    );
    let client = server.client();
    let task = tokio::spawn(async move { intake.run(&client, zone).await });
    let letter = Arc::clone(&inbox);
    let wake = tokio::task::spawn_blocking(move || letter.wait(Instant::now() + PATIENCE));
    let Wake::Letter(desired) = wake.await.expect("a reader") else {
        panic!("no letter")
    };
    let lane = desired.lanes.values().next().expect("a lane");
    assert_eq!(lane.frontends[0].to_string(), "10.96.0.7:80");
    assert_eq!(lane.backends[0].address.to_string(), "10.244.1.2:8080");
    assert!(
        server.asked("GET", "%21service.kubernetes.io%2Fheadless") > 0,
        "headless slices are left out at the server"
    );
    let about_callers = server.asked("GET", "/api/v1/pods") + server.asked("GET", "/api/v1/namespaces");
    assert_eq!(about_callers, 0, "who calls matters to admission only");
    drop(tell);
    task.abort();
}

#[tokio::test]
async fn where_a_plan_asks_for_admission_the_pods_of_this_node_become_its_callers() {
    let server = Server::start().await;
    server.gate();
    let inbox = Arc::new(Mailbox::default());
    let (tell, zone) = watch::channel(Zone::Known(None));
    let board = Arc::new(Board::default());
    let intake = Intake::new("node-1", Vec::new(), Arc::clone(&inbox), board);
    let client = server.client();
    let task = tokio::spawn(async move { intake.run(&client, zone).await });
    let begun = Instant::now();
    loop {
        let letter = Arc::clone(&inbox);
        let wake = tokio::task::spawn_blocking(move || letter.wait(begun + PATIENCE));
        let Wake::Letter(desired) = wake.await.expect("a reader") else {
            panic!("no caller in any letter")
        };
        let lane = desired.lanes.values().next().expect("a lane");
        let gate = lane.gate.as_ref().expect("admission");
        if let Some(caller) = gate.callers.first() {
            assert_eq!(&*caller.name, "shop/cart");
            break;
        }
    }
    assert!(server.asked("GET", "fieldSelector=spec.nodeName%3Dnode-1") > 0);
    drop(tell);
    task.abort();
}

#[tokio::test]
async fn no_refusal_makes_a_watch_hammer() {
    let refusals = [
        (401, Refusal::Unauthorized),
        (403, Refusal::Forbidden),
        (404, Refusal::Missing),
        (410, Refusal::Expired),
        (429, Refusal::Throttled),
        (500, Refusal::Unavailable),
        (503, Refusal::Unavailable),
    ];
    let watches = refusals.map(|(code, kind)| refused_watch(code, kind));
    futures::future::join_all(watches).await;
}

/// A watch of 1.5 s against a server that answers with one code.
async fn refused_watch(code: u16, kind: Refusal) {
    let server = Server::start().await;
    server.fail_with(Some(code));
    let mut happenings = follow(Api::<Service>::all(server.client()), None).boxed();
    let mut troubles = Vec::new();
    let watching = async {
        while let Some(happening) = happenings.next().await {
            if let Happening::Trouble(refusal) = happening {
                troubles.push(refusal);
            }
        }
    };
    let _ = timeout(Duration::from_millis(1_500), watching).await;
    assert!(
        troubles.iter().all(|refusal| *refusal == kind),
        "{code}: {troubles:?}"
    );
    let requests = server.asked("GET", "/api/v1/services");
    // Doubling from 100 ms, halved at most by the jitter: 50 + 100 + 200 + 400 + 800 ms.
    assert!(
        (1..=6).contains(&requests),
        "{code}: {requests} requests in 1.5 s"
    );
}

#[tokio::test]
async fn a_watch_that_expired_lists_again_and_the_server_that_returned_is_heard() {
    let server = Server::start().await;
    server.expire_next_watch();
    let mut happenings = follow(Api::<Service>::all(server.client()), None).boxed();
    let mut seen = Vec::new();
    while seen.iter().filter(|name| **name == "done").count() < 2 {
        let happening = timeout(PATIENCE, happenings.next())
            .await
            .expect("in time")
            .expect("endless");
        seen.push(match happening {
            Happening::Event(Event::Init) => "init",
            Happening::Event(Event::InitApply(_)) => "object",
            Happening::Event(Event::InitDone) => "done",
            Happening::Event(_) => "change",
            Happening::Trouble(Refusal::Expired) => "expired",
            Happening::Trouble(_) => "trouble",
        });
    }
    assert_eq!(
        seen,
        ["init", "object", "done", "expired", "init", "object", "done"]
    );
}

#[tokio::test]
async fn the_report_makes_its_object_and_learns_the_zone() {
    let server = Server::start().await;
    let reporting = report_to(&server);
    until("the report", || server.status().is_some()).await;
    assert_eq!(*reporting.zone.borrow(), Zone::Known(Some("zone-a".to_owned())));
    let made = server.made().expect("the object");
    assert_eq!(made["metadata"]["ownerReferences"][0]["uid"], "node-uid");
    let status = server.status().expect("a status");
    assert_eq!(
        (status["sequence"].as_i64(), status["zone"].as_str()),
        (Some(1), Some("zone-a"))
    );
    reporting.task.abort();
}

#[tokio::test]
async fn after_an_outage_the_newest_report_comes_within_ten_seconds() {
    let server = Server::start().await;
    server.fail_with(Some(503));
    let reporting = report_to(&server);
    sleep(Duration::from_millis(1_500)).await;
    let during = server.asked("", "/");
    assert!(during <= 12, "{during} requests in 1.5 s of outage");
    reporting.snapshots.send_replace(snapshot(2));
    server.fail_with(None);
    let took = until("the report", || server.status().is_some()).await;
    assert!(took < Duration::from_secs(5), "{took:?}");
    assert_eq!(
        server.status().expect("a status")["dataplane"]["message"],
        "2",
        "what holds now, not what held then"
    );
    reporting.task.abort();
}

#[tokio::test]
async fn an_object_that_somebody_deleted_is_made_again() {
    let server = Server::start().await;
    let reporting = report_to(&server);
    until("the first report", || server.status().is_some()).await;
    server.delete_object();
    // A change of standing is due after a second.
    let mut other = Snapshot::clone(&snapshot(3));
    other.plane.state = PlaneState::Detached;
    reporting.snapshots.send_replace(Arc::new(other));
    until("the second object", || {
        server.made().is_some()
            && server
                .status()
                .is_some_and(|status| status["dataplane"]["message"] == "3")
    })
    .await;
    reporting.task.abort();
}
