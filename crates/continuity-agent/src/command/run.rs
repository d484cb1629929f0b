//! The running agent: the loop on its thread, the network on a single-threaded runtime.
//!
//! SIGTERM ends both and detaches nothing: links, maps and counters stay pinned for the next agent. The process ends by
//! itself only if its manifest is wrong or the loop's thread died; a missing capability, API server or permission never
//! ends it.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use continuity_api::Time;
use continuity_dataplane::Dataplane;
use continuity_sensors::{Reader, Roots};
use kube::{Client, Config};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::{oneshot, watch};

use crate::arguments::Running;
use crate::cluster::backoff::{Backoff, Refusal};
use crate::cluster::intake::Intake;
use crate::debug;
use crate::driver::{Driver, Refused};
use crate::error::Error;
use crate::health::{Board, serve};
use crate::identity::{Identity, Zone};
use crate::mailbox::Mailbox;
use crate::recorder;
use crate::report::writer::Writer;
use crate::sense;
use crate::snapshot::Snapshot;

/// A connect to an API server that is gone must not outlast the back-off of the next try.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);

/// Bookmarks come every minute; a watch that is silent for longer is dead.
const READ_TIMEOUT: Duration = Duration::from_secs(100);

/// Stack of a thread: the deepest frames of the loop hold a few samples of 1 kB.
const STACK: usize = 512 * 1024;

/// Runs until SIGTERM or SIGINT.
///
/// # Errors
/// If the arguments are wrong or a thread cannot be started.
pub fn run<D, F>(running: &Running, sensors: Roots, open: F) -> Result<(), Error>
where
    D: Dataplane + 'static,
    F: FnMut() -> Result<D, Refused> + Send + 'static,
{
    if running.node_name.is_empty() {
        return Err(Error::NoNodeName);
    }
    let board = Arc::new(Board::default());
    let inbox = Arc::new(Mailbox::default());
    let (outbox, snapshots) = watch::channel(Arc::new(Snapshot::default()));
    let (ended, end) = oneshot::channel();
    let (sink, lines) = std::sync::mpsc::sync_channel(recorder::LINES);
    let driver = Driver::new(
        open,
        Arc::clone(&inbox),
        outbox,
        Arc::clone(&board),
        Duration::from_millis(running.tick_millis),
    )
    .recording_to(sink);
    let loop_thread = spawn("node-loop", move || {
        driver.run();
        // Also sent by the drop of `ended` if the loop panics.
        let _ = ended.send(());
    })?;
    // Ends by itself when the board is gone, which is when the process ends; nothing waits for it.
    let watched = Arc::downgrade(&board);
    spawn("sensors", move || sense::run(Reader::new(sensors), &watched))?;
    // Ends with the loop, which holds the sender.
    spawn("recorder", move || recorder::write(&lines, &mut io::stdout()))?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|source| Error::Start {
            what: "the runtime",
            source,
        })?;
    let outcome = runtime.block_on(network(running, &inbox, &board, snapshots, end));
    inbox.stop();
    let joined = loop_thread.join().map_err(|_| Error::LoopEnded);
    outcome.and(joined)
}

fn spawn(name: &'static str, work: impl FnOnce() + Send + 'static) -> Result<JoinHandle<()>, Error> {
    thread::Builder::new()
        .name(name.to_owned())
        .stack_size(STACK)
        .spawn(work)
        .map_err(|source| Error::Start { what: name, source })
}

/// The network half, until a signal or the end of the loop.
async fn network(
    running: &Running,
    inbox: &Arc<Mailbox<Arc<crate::desire::Desired>>>,
    board: &Arc<Board>,
    snapshots: watch::Receiver<Arc<Snapshot>>,
    end: oneshot::Receiver<()>,
) -> Result<(), Error> {
    let start = |source| Error::Start {
        what: "the signal handler",
        source,
    };
    let mut terminate = signal(SignalKind::terminate()).map_err(start)?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(start)?;
    let address = SocketAddr::new(running.bind_address(), running.health_port);
    tokio::spawn(serve(Arc::clone(board), address));
    tracing::info!(
        node = running.node_name,
        tick_millis = running.tick_millis,
        "agent started"
    );
    tokio::select! {
        () = cluster(running, inbox, board, snapshots) => Ok(()),
        _ = end => Err(Error::LoopEnded),
        _ = terminate.recv() => Ok(()),
        _ = interrupt.recv() => Ok(()),
    }
    .inspect(|()| tracing::info!("agent stops; programs, maps and counters stay in force"))
}

/// Follows the cluster and reports to it, for the life of the process.
async fn cluster(
    running: &Running,
    inbox: &Arc<Mailbox<Arc<crate::desire::Desired>>>,
    board: &Arc<Board>,
    snapshots: watch::Receiver<Arc<Snapshot>>,
) {
    let node = &running.node_name;
    let started = Time(jiff::Timestamp::from_second(jiff::Timestamp::now().as_second()).unwrap_or_default());
    let client = client(board).await;
    if let Some(address) = running.debug_listen {
        let pages = debug::serve(client.clone(), address, Arc::clone(board), snapshots.clone());
        tokio::spawn(pages);
    }
    let (tell, zone) = watch::channel(Zone::default());
    let writer = Writer::new(&client, Identity::of(node, started), tell, Arc::clone(board));
    tokio::spawn(writer.run(snapshots));
    Intake::new(node, running.addresses(), Arc::clone(inbox), Arc::clone(board))
        .run(&client, zone)
        .await;
}

/// A client, as soon as its token and CA can be read.
async fn client(board: &Board) -> Client {
    let mut backoff = Backoff::default();
    loop {
        let error = match configured().await {
            Ok(client) => return client,
            Err(error) => error,
        };
        let (refusal, _) = Refusal::of_client(&error);
        let wait = backoff.failed(refusal, None);
        board.report_failed(refusal);
        tracing::warn!(%error, "no way to the API server yet; the last field stays in force");
        tokio::time::sleep(wait).await;
    }
}

async fn configured() -> Result<Client, kube::Error> {
    let mut config = Config::infer().await.map_err(kube::Error::InferConfig)?;
    config.connect_timeout = Some(CONNECT_TIMEOUT);
    config.read_timeout = Some(READ_TIMEOUT);
    config.reset_reader_on_write = true;
    // Waits are ours, by the kind of refusal; two policies on top of each other would add up.
    config.default_retry = false;
    Client::try_from(config)
}
