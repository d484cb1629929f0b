//! A stream's way of using connections.
//!
//! New connections: every due request is a task of its own. Kept connections: each has a bounded queue and sends in
//! order, so a request behind a slow one waits, and its wait is counted, as it would be in a connection pool.

use super::{Log, attempt};
use crate::control::Connections;
use std::sync::Arc;
use tokio::runtime::Handle;
use tokio::sync::mpsc;

/// Requests that may wait on one kept connection: 2 s of time-out at 32/s. More are recorded as not sent.
const WAITING: usize = 64;

/// Where the due requests of one stream go.
pub(super) enum Flow {
    PerRequest,
    KeptAlive(Vec<mpsc::Sender<attempt::Due>>),
}

impl Flow {
    pub(super) fn new(log: &Arc<Log>, connections: Connections) -> Self {
        match connections {
            Connections::PerRequest => Self::PerRequest,
            Connections::KeptAlive { count } => {
                Self::KeptAlive((0..count.max(1)).map(|_| connection(log.clone())).collect())
            }
        }
    }

    /// Sends a request that is due, or records that it was not sent. Never waits.
    pub(super) fn send(&self, handle: &Handle, log: &Arc<Log>, due: attempt::Due) {
        if !log.begin() {
            return log.skip(due);
        }
        match self {
            Self::PerRequest => {
                let log = log.clone();
                handle.spawn(async move { attempt::run(&log, due, &mut None, false).await });
            }
            Self::KeptAlive(queues) => {
                let turn = usize::try_from(due.id).unwrap_or(0) % queues.len();
                if queues.get(turn).is_none_or(|queue| queue.try_send(due).is_err()) {
                    log.end(due.record(
                        0,
                        0,
                        0,
                        crate::record::NO_BACKEND,
                        crate::record::Outcome::NotSent,
                    ));
                }
            }
        }
    }
}

/// One kept connection; it ends when the stream that feeds it does.
fn connection(log: Arc<Log>) -> mpsc::Sender<attempt::Due> {
    let (sender, mut queue) = mpsc::channel(WAITING);
    tokio::spawn(async move {
        let mut kept = None;
        while let Some(due) = queue.recv().await {
            attempt::run(&log, due, &mut kept, true).await;
        }
    });
    sender
}
