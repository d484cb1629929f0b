//! What happens next: a few ordered lanes instead of one big heap.
//!
//! Events of a constant delay leave in the order they came, so each kind has a queue of its own, and only what has
//! varying delays pays for a heap. Invariant: events come out by (time, order of entry), on every machine.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};

use crate::choice::Report;
use crate::scenario::Step;

/// What happens.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Event {
    /// A request is due at a client.
    Arrival,
    /// The rogue wants one more.
    Rogue,
    /// Another Service on the same pods wants one more.
    Foreign,
    /// A client of a closed loop has thought.
    Thought(u32),
    /// What failed is tried again.
    Retry(u32),
    /// The agent of a node is back.
    Restart(u32),
    /// Nodes measure the memory of their pods.
    Memory,
    /// The replacement of a killed pod is ready.
    Reborn { backend: u32 },
    /// A request reaches its backend.
    Reach(u32),
    /// A worker of a backend is done with a request.
    Finish { backend: u32, request: u32 },
    /// The response leaves the backend's node.
    Leave { request: u32 },
    /// Something comes back to a node.
    Return(Back),
    /// A client's patience ends; the number tells whether the place holds the same request still.
    Patience { request: u32, generation: u32 },
    /// An agent's tick.
    Tick(u32),
    /// A fault starts, ends or turns.
    Fault,
    /// A step of the rolling update.
    Rollout { backend: u32, step: Step },
    /// A probe reaches a backend.
    Probe { node: u32, backend: u32 },
}

/// What comes back to a node.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Back {
    /// A response, with the report its first segment carries.
    Answer { request: u32, report: Option<Report> },
    /// A refusal or reset.
    Failure { request: u32, refused: bool },
    /// A SYN-ACK, with the report it carries.
    Greeting {
        node: u32,
        backend: u32,
        report: Option<Report>,
    },
    /// A probe's answer.
    Probe {
        node: u32,
        backend: u32,
        rif: u32,
        micros: u32,
    },
}

type Entry = (u64, u64, Event);

/// Future events.
#[derive(Debug, Default)]
pub(super) struct Agenda {
    order: u64,
    lanes: [VecDeque<Entry>; LANES],
    heap: BinaryHeap<Reverse<Late>>,
    /// Events taken so far.
    pub(super) taken: u64,
}

/// Lanes of constant delay.
#[derive(Debug, Clone, Copy)]
pub(super) enum Lane {
    /// The next arrival.
    Due = 0,
    /// On the way to a backend.
    Out = 1,
    /// On the way back.
    Back = 2,
    /// Patience of the clients.
    Patience = 3,
}

const LANES: usize = 4;

#[derive(Debug)]
struct Late(Entry);

impl PartialEq for Late {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for Late {}

impl PartialOrd for Late {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Late {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        (self.0.0, self.0.1).cmp(&(other.0.0, other.0.1))
    }
}

impl Agenda {
    /// Puts an event into the lane of its constant delay.
    pub(super) fn lane(&mut self, lane: Lane, at: u64, event: Event) {
        self.order += 1;
        let queue = &mut self.lanes[lane as usize];
        debug_assert!(queue.back().is_none_or(|last| last.0 <= at));
        queue.push_back((at, self.order, event));
    }

    /// Puts an event of any delay.
    pub(super) fn late(&mut self, at: u64, event: Event) {
        self.order += 1;
        self.heap.push(Reverse(Late((at, self.order, event))));
    }

    /// Takes the next event.
    pub(super) fn next(&mut self) -> Option<(u64, Event)> {
        let mut best = (u64::MAX, u64::MAX);
        let mut from = None;
        for (index, lane) in self.lanes.iter().enumerate() {
            if let Some(&(at, order, _)) = lane.front()
                && (at, order) < best
            {
                best = (at, order);
                from = Some(index);
            }
        }
        self.taken += 1;
        if let Some(Reverse(Late((at, order, event)))) = self.heap.peek()
            && (*at, *order) < best
        {
            let found = (*at, *event);
            self.heap.pop();
            return Some(found);
        }
        let (at, _, event) = self.lanes.get_mut(from?)?.pop_front()?;
        Some((at, event))
    }
}
