//! `/debug/*` of this node: its lanes, what the law makes of them, what it decided last, and its meters.
//!
//! On the loopback alone and off unless asked for: the way to it is the API server's port-forward, so no port of the node is
//! opened for it, and another process of the host learns nothing without a token that the API server reviews
//! (`continuity-debug`). Pages are made from the picture that the loop shows anyway; nobody who looks holds the loop up.
//!
//! Left out: single picks of the kernel, and what a flight record (`recorder`) is for.

mod diary;
mod page;

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use continuity_debug::{Page, Pages, router};
use kube::Client;
use serde_json::json;
use tokio::sync::watch;

use crate::health::Board;
use crate::snapshot::Snapshot;
use diary::Diary;

/// A port in use is tried again this often; the agent works without it.
const BIND_RETRY: Duration = Duration::from_secs(5);

/// Serves until the process ends, and keeps the diary meanwhile.
pub async fn serve(
    client: Client,
    address: SocketAddr,
    board: Arc<Board>,
    snapshots: watch::Receiver<Arc<Snapshot>>,
) {
    if !address.ip().is_loopback() {
        tracing::error!(
            %address,
            "/debug is not served: CONTINUITY_DEBUG_LISTEN must be an address of the loopback, such as 127.0.0.1:9465, which the \
             API server's port-forward reaches; no port of the node is opened for it"
        );
        return;
    }
    let diary = Arc::new(Mutex::new(Diary::default()));
    tokio::spawn(keep(snapshots, Arc::clone(&diary)));
    let router = router(client, pages(&board, &diary));
    loop {
        match tokio::net::TcpListener::bind(address).await {
            Ok(listener) => {
                tracing::info!(%address, "/debug is served");
                if let Err(error) = axum::serve(listener, router.clone()).await {
                    tracing::warn!(%error, "/debug closed");
                }
            }
            Err(error) => tracing::warn!(%address, %error, "/debug: port not to be had, trying again"),
        }
        tokio::time::sleep(BIND_RETRY).await;
    }
}

/// Writes down what changes from picture to picture, until the loop is gone.
async fn keep(mut snapshots: watch::Receiver<Arc<Snapshot>>, diary: Arc<Mutex<Diary>>) {
    while snapshots.changed().await.is_ok() {
        let snapshot = Arc::clone(&snapshots.borrow_and_update());
        diary
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .see(&snapshot);
    }
}

fn pages(board: &Arc<Board>, diary: &Arc<Mutex<Diary>>) -> Pages {
    let (shown, sensed, diary) = (Arc::clone(board), Arc::clone(board), Arc::clone(diary));
    let lanes: Page = Arc::new(move || Some(page::lanes(&shown.snapshot())));
    let node: Page = Arc::new(move || Some(page::node(&sensed.snapshot(), &sensed.foreseen())));
    let decisions: Page = Arc::new(move || {
        let diary = diary.lock().unwrap_or_else(PoisonError::into_inner);
        Some(json!({ "decisions": diary.entries(), "fallenOff": diary.fallen_off() }))
    });
    Pages::from([("decisions", decisions), ("lanes", lanes), ("node", node)])
}
