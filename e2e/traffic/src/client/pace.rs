//! The pacer: a thread that does nothing but wake up when a request is due.
//!
//! A thread of its own, since the timers of an async runtime tick in whole milliseconds and wait behind whatever the
//! runtime is doing; the kernel's timer is good to some 60 µs. Streams with the same seed are due at the same instant;
//! who goes first alternates from request to request, so that neither stream always finds the path warmed by the other.

use super::flow::Flow;
use super::{Log, attempt};
use crate::clock;
use crate::control::Stream;
use crate::schedule::Arrivals;
use std::sync::Arc;
use std::time::Duration;
use tokio::runtime::Handle;

/// Longest single sleep, so that a stop is noticed.
const SLEEP: Duration = Duration::from_millis(50);

struct Lane {
    stream: Stream,
    flow: Flow,
    arrivals: Arrivals,
    due_ns: u64,
    id: u32,
    rank: u32,
}

impl Lane {
    /// Moves to the next arrival; false when there is none.
    fn advance(&mut self, at_ns: u64) -> bool {
        self.id = self.id.wrapping_add(1);
        self.arrivals.next().is_some_and(|after| {
            self.due_ns = at_ns.saturating_add(after);
            true
        })
    }

    /// Order among lanes: by time, and among equals by turns.
    fn turn(&self) -> (u64, u32) {
        (self.due_ns, self.rank ^ (self.id & 1))
    }

    fn due(&self) -> attempt::Due {
        attempt::Due {
            intended_ns: self.due_ns,
            id: self.id,
            stream: self.stream.id,
            seed: self.stream.seed,
            target: self.stream.target,
            timeout: Duration::from_millis(self.stream.timeout_ms.into()),
        }
    }
}

/// Starts the streams; they run until another run is wanted.
pub(super) fn start(log: &Arc<Log>, streams: Vec<Stream>, at_ns: u64, run: u64) {
    let handle = Handle::current();
    let lanes = (0_u32..).zip(streams).map(|(rank, stream)| Lane {
        flow: Flow::new(log, stream.connections),
        arrivals: Arrivals::new(stream.seed, stream.rate.clone()),
        due_ns: 0,
        id: 0,
        rank,
        stream,
    });
    let mut lanes: Vec<Lane> = lanes.collect();
    lanes.retain_mut(|lane| lane.advance(at_ns));
    let log = log.clone();
    std::thread::spawn(move || pace(&handle, &log, lanes, at_ns, run));
}

fn pace(handle: &Handle, log: &Arc<Log>, mut lanes: Vec<Lane>, at_ns: u64, run: u64) {
    while log.wants(run) {
        let Some(next) = (0..lanes.len()).min_by_key(|i| lanes[*i].turn()) else {
            return;
        };
        let lane = &mut lanes[next];
        let wait = Duration::from_nanos(lane.due_ns.saturating_sub(clock::now_ns()));
        if !wait.is_zero() {
            std::thread::sleep(wait.min(SLEEP));
            if wait > SLEEP {
                continue;
            }
        }
        lane.flow.send(handle, log, lane.due());
        if !lane.advance(at_ns) {
            lanes.swap_remove(next);
        }
    }
}
