//! The main loop: takes changes in, decides, hands writes out, and ends cleanly.
//!
//! One task owns the picture, the queue and the memory, so nothing is locked. A pass looks at what is marked, at most ten
//! times a second, and every 5 s at everything, a part each second: what time alone changes (silence, holds, expiry) is found then.

mod turn;

use crate::args::Args;
use crate::debug;
use crate::error::Error;
use crate::external;
use crate::lease::Keeper;
use crate::published::Hints;
use crate::scaler;
use crate::scheduler::Snapshot;
use crate::serve::{self, Health};
use crate::telemetry::Metrics;
use crate::timeline;
use crate::warden::{self, Seat};
use crate::watch;
use crate::writer::Writer;
use continuity_debug::{Page, Pages};
use kube::Client;
use kube::runtime::events::{Recorder, Reporter};
use std::sync::Arc;
use std::time::Duration;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::{mpsc, watch as signalling};
use turn::{Pilot, Wiring};

/// Longest time for writes that wait when the replica is told to stop. The pod's grace period is 20 s.
const DRAIN: Duration = Duration::from_secs(5);

/// Runs the operator until it is told to stop.
///
/// # Errors
/// If there is no cluster, or an address can not be listened on.
pub async fn run(args: Args) -> Result<(), Error> {
    // Another provider can not have been chosen before; if it was, it is as good.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let metrics = Arc::new(Metrics::new()?);
    let health = Arc::new(Health::default());
    let hints = Arc::new(Hints::default());
    let client = watch::client(&args).await?;
    // The Lease must not stand in line behind other requests.
    let lease_client = watch::client(&args).await?;

    let (stop, stopped) = signalling::channel(false);
    let (release, released) = signalling::channel(false);
    let (claims, claimed) = signalling::channel(None);
    let (epochs, highest) = signalling::channel(None);
    let (changes, incoming) = mpsc::channel(watch::CHANGES_MAX);

    let mut watches = watch::start(&client, &args.pod_namespace, &changes, &metrics);
    let keeper = Keeper::new(lease_client, &args.pod_namespace, &args.pod_name);
    let keeping = tokio::spawn(keeper.run(claims, highest, released));
    let (alive, counted) = (Arc::clone(&health), Arc::clone(&metrics));
    let mut serving = tokio::spawn(serve::run(args.listen, alive, counted, stopped.clone()));
    autoscalers(&client, &args, &hints, &metrics, &stopped);

    let (board, shown) = signalling::channel(None::<Arc<Snapshot>>);
    if let Some(address) = args.debug_listen {
        let pages = pages(shown, Arc::clone(&hints));
        let server = debug::Server::new(client.clone(), &args.pod_namespace, address, pages);
        tokio::spawn(debugging(server, stopped.clone()));
    }
    let reporter = reporter(&args);
    let (home, counted) = (&args.pod_namespace, Arc::clone(&metrics));
    let timelines = timeline::Keeper::start(client.clone(), home, claimed.clone(), counted);
    let writer = Writer::new(client.clone(), Recorder::new(client, reporter));
    let wiring = Wiring {
        board,
        claimed,
        timelines,
        epochs,
        metrics,
        health: Arc::clone(&health),
        hints,
    };
    let mut pilot = Pilot::new(writer, wiring, incoming);

    let ended = tokio::select! {
        () = pilot.run() => Ok(()),
        signal = told_to_stop() => signal,
        served = &mut serving => served.unwrap_or(Ok(())),
    };
    health.drain();
    watches.abort_all();
    pilot.drain(DRAIN).await;
    release.send_replace(true);
    let _ = tokio::time::timeout(DRAIN, keeping).await;
    stop.send_replace(true);
    ended
}

/// Serves the hints to whoever scales, as far as the arguments ask for it.
fn autoscalers(
    client: &Client,
    args: &Args,
    hints: &Arc<Hints>,
    metrics: &Arc<Metrics>,
    stopped: &signalling::Receiver<bool>,
) {
    let seat = |service: &str, address| Seat {
        client: client.clone(),
        namespace: args.pod_namespace.clone(),
        service: service.to_owned(),
        address,
    };
    if args.external_metrics {
        let server = external::Server {
            seat: seat(&args.external_metrics_service, args.external_metrics_listen),
            hints: Arc::clone(hints),
            metrics: Arc::clone(metrics),
        };
        let stop = stopped.clone();
        tokio::spawn(async move { warden::tend(&server, stop).await });
    }
    if args.keda {
        let server = scaler::Server {
            seat: seat(&args.keda_service, args.keda_listen),
            keda: args.keda_namespace.clone(),
            hints: Arc::clone(hints),
            metrics: Arc::clone(metrics),
        };
        let stop = stopped.clone();
        tokio::spawn(async move { warden::tend(&server, stop).await });
    }
}

/// Under whose name Events are written.
fn reporter(args: &Args) -> Reporter {
    Reporter {
        controller: "continuity-operator".into(),
        instance: Some(args.pod_name.clone()),
    }
}

/// What /debug shows.
fn pages(shown: signalling::Receiver<Option<Arc<Snapshot>>>, published: Arc<Hints>) -> Pages {
    let scheduler: Page = Arc::new(move || {
        let shown = shown.borrow();
        shown.as_ref().and_then(|one| serde_json::to_value(&**one).ok())
    });
    let hints: Page = Arc::new(move || Some(published.shown()));
    Pages::from([("hints", hints), ("scheduler", scheduler)])
}

/// Serves /debug; that it can not is no reason to stop.
async fn debugging(server: debug::Server, stop: signalling::Receiver<bool>) {
    if let Err(error) = server.run(stop).await {
        tracing::error!(%error, "/debug is not served");
    }
}

async fn told_to_stop() -> Result<(), Error> {
    let (Ok(mut terminate), Ok(mut interrupt)) =
        (signal(SignalKind::terminate()), signal(SignalKind::interrupt()))
    else {
        // Without handlers the default action ends the process, which the Lease survives.
        return std::future::pending().await;
    };
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    Ok(())
}
