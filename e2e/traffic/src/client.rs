//! The client of the workload: an open loop.
//!
//! Requests are due at times fixed in advance by rate and seed. A slow answer delays nothing that comes after it,
//! and latency is counted from the due time, so that a stall of the system shows in every request it held up
//! instead of in one (coordinated omission, Tene). Every due request leaves exactly one record.

mod attempt;
mod flow;
mod pace;
mod probe;

use crate::control::{CONTROL_PORT, ClientRequest, ClientState, FETCH_RECORDS, STREAMS};
use crate::record::{NO_BACKEND, Outcome, Record, Ring};
use crate::{clock, line};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Records kept: 2^19 × 32 B = 16 MiB, 13 minutes at 668/s. The driver reads every second.
const RECORDS: usize = 1 << 19;
/// Attempts under way at once; at 2 s each that is 2,048/s of nothing but time-outs. Sockets are below the usual
/// limit of a container (2^20).
const OUTSTANDING: u64 = 4096;
/// Backend names remembered; a roll-out of the workload makes five.
const BACKENDS: usize = 1024;

/// What all parts of the client share.
pub(crate) struct Log {
    node: String,
    ring: Mutex<Ring>,
    backends: Mutex<Vec<String>>,
    outstanding: AtomicU64,
    /// Number of the `Start` in force; a pacer of an older number ends.
    run: AtomicU64,
}

/// A poisoned lock still holds whole records, since every push is one call.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Log {
    /// Takes a place for an attempt, if one is free.
    pub(crate) fn begin(&self) -> bool {
        self.outstanding
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |n| {
                (n < OUTSTANDING).then_some(n + 1)
            })
            .is_ok()
    }

    /// Gives the place back and keeps the record.
    pub(crate) fn end(&self, record: Record) {
        self.outstanding.fetch_sub(1, Ordering::Relaxed);
        lock(&self.ring).push(record);
    }

    /// Records a request that was due and not sent.
    pub(crate) fn skip(&self, due: attempt::Due) {
        let late_us = attempt::micros(due.intended_ns, clock::now_ns());
        let record = due.record(late_us, 0, late_us, NO_BACKEND, Outcome::NotSent);
        lock(&self.ring).push(record);
    }

    /// Index of a backend's name.
    pub(crate) fn backend(&self, name: &str) -> u16 {
        let mut names = lock(&self.backends);
        let found = names.iter().position(|n| n == name).or_else(|| {
            (names.len() < BACKENDS).then(|| {
                names.push(name.to_owned());
                names.len() - 1
            })
        });
        found.and_then(|i| u16::try_from(i).ok()).unwrap_or(NO_BACKEND)
    }

    /// Whether the run of this number is still wanted.
    pub(crate) fn wants(&self, run: u64) -> bool {
        self.run.load(Ordering::Acquire) == run
    }

    fn state(&self, from: Option<u64>) -> (ClientState, Vec<u8>) {
        let (next, missed, records) = {
            let ring = lock(&self.ring);
            from.map_or((ring.next(), 0, Vec::new()), |from| {
                let (missed, records) = ring.read(from, FETCH_RECORDS);
                (from + missed + records.len() as u64, missed, records)
            })
        };
        let state = ClientState {
            node: self.node.clone(),
            now_ns: clock::now_ns(),
            next,
            records: records.len(),
            missed,
            outstanding: self.outstanding.load(Ordering::Relaxed),
            backends: lock(&self.backends).clone(),
            peers: Vec::new(),
        };
        (state, records.iter().flat_map(Record::encode).collect())
    }
}

struct Client {
    log: Arc<Log>,
}

impl line::Answer for Client {
    type Request = ClientRequest;
    type State = ClientState;

    async fn answer(&self, request: ClientRequest) -> (ClientState, Vec<u8>) {
        match request {
            ClientRequest::Start { mut streams, at_ns } => {
                streams.truncate(STREAMS);
                let run = self.log.run.fetch_add(1, Ordering::AcqRel) + 1;
                pace::start(&self.log, streams, at_ns, run);
                self.log.state(None)
            }
            ClientRequest::Stop => {
                self.log.run.fetch_add(1, Ordering::AcqRel);
                self.log.state(None)
            }
            ClientRequest::Fetch { from } => self.log.state(Some(from)),
            ClientRequest::Probe {
                target,
                transport,
                count,
            } => {
                let peers = probe::run(target, transport, count).await;
                let (state, records) = self.log.state(None);
                (ClientState { peers, ..state }, records)
            }
            ClientRequest::State => self.log.state(None),
        }
    }
}

/// Answers its control port until killed; it sends what it is told to.
///
/// # Errors
/// The control port cannot be bound.
pub async fn run(node: String) -> std::io::Result<()> {
    let log = Arc::new(Log {
        node,
        ring: Mutex::new(Ring::new(RECORDS)),
        backends: Mutex::new(Vec::new()),
        outstanding: AtomicU64::new(0),
        run: AtomicU64::new(0),
    });
    line::serve(CONTROL_PORT, Arc::new(Client { log })).await
}
