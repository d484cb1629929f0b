//! The thread of the node loop: opens the dataplane, keeps time, hands letters in and snapshots out.
//!
//! It never gives up and never ends the process: a node that lacks something is probed again with growing waits, and says
//! meanwhile what it lacks. It needs no network; without letters it goes on with what it was told last.

use std::sync::Arc;
use std::time::{Duration, Instant};

use continuity_dataplane::{CapabilityReport, Dataplane};
use tokio::sync::watch;

use crate::desire::Desired;
use crate::health::{Action, Board};
use crate::mailbox::{Mailbox, Wake};
use crate::node::NodeLoop;
use crate::recorder::Sink;
use crate::snapshot::{Plane, PlaneState, Snapshot};

/// Waits between attempts to open the dataplane.
const RETRY_FIRST: Duration = Duration::from_secs(1);
const RETRY_LONGEST: Duration = Duration::from_secs(60);

/// The kernel is asked this often whether every hook is live.
const VERIFY_EVERY: Duration = Duration::from_secs(5);

/// The maps are compared with what should be in them this often: one read of every place.
const MEND_EVERY: Duration = Duration::from_secs(60);

/// A picture is made this often, and at once after a transition.
const SHOW_EVERY: Duration = Duration::from_secs(1);

/// A desired state that the kernel refused is tried again this often.
const ADOPT_AGAIN: Duration = Duration::from_secs(1);

/// Why the dataplane could not be opened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refused {
    /// Detached, or refused for its schema.
    pub state: PlaneState,
    /// What is missing and what to do.
    pub message: String,
    /// What the probe found.
    pub capabilities: CapabilityReport,
}

/// The thread's state.
pub struct Driver<D, F> {
    open: F,
    node: Option<NodeLoop<D>>,
    wish: Option<Arc<Desired>>,
    adopt_at: Option<Instant>,
    retry_at: Instant,
    retry_wait: Duration,
    verify_at: Instant,
    show_at: Instant,
    shown_transitions: u64,
    plane: Plane,
    inbox: Arc<Mailbox<Arc<Desired>>>,
    outbox: watch::Sender<Arc<Snapshot>>,
    board: Arc<Board>,
    tick: Duration,
    mend_at: Instant,
    sink: Option<Sink>,
}

impl<D: Dataplane, F: FnMut() -> Result<D, Refused>> Driver<D, F> {
    /// A driver that opens its dataplane with `open`.
    pub fn new(
        open: F,
        inbox: Arc<Mailbox<Arc<Desired>>>,
        outbox: watch::Sender<Arc<Snapshot>>,
        board: Arc<Board>,
        tick: Duration,
    ) -> Self {
        let now = Instant::now();
        Self {
            open,
            node: None,
            wish: None,
            adopt_at: None,
            retry_at: now,
            retry_wait: RETRY_FIRST,
            verify_at: now,
            show_at: now,
            shown_transitions: 0,
            plane: Plane::default(),
            inbox,
            outbox,
            board,
            tick,
            mend_at: now + MEND_EVERY,
            sink: None,
        }
    }

    /// Flight records go to `sink`.
    #[must_use]
    pub fn recording_to(mut self, sink: Sink) -> Self {
        self.sink = Some(sink);
        self
    }

    /// Runs until told to stop. Stopping keeps what was learnt and detaches nothing.
    pub fn run(mut self) {
        let mut next = Instant::now();
        loop {
            let now = Instant::now();
            self.open_if_due(now);
            match self.inbox.wait(next) {
                Wake::Letter(desired) => {
                    self.wish = Some(desired);
                    self.adopt();
                    // What was asked for and what came of it is told at once.
                    self.show_at = Instant::now();
                }
                Wake::Tick => {
                    self.round();
                    // A late round is not made up for: the deltas carry their own interval.
                    next = (next + self.tick).max(Instant::now());
                }
                Wake::Stop => break,
            }
            self.board.moved();
            self.verify_if_due();
            self.mend_if_due();
            self.show_if_due();
        }
        if let Some(node) = &mut self.node {
            node.park();
        }
    }

    fn open_if_due(&mut self, now: Instant) {
        if self.node.is_some() || now < self.retry_at {
            return;
        }
        match (self.open)() {
            Ok(plane) => {
                tracing::info!("dataplane open");
                self.plane = Plane {
                    state: PlaneState::Attached,
                    capabilities: plane.capabilities().clone(),
                    ..Plane::default()
                };
                self.node = Some(NodeLoop::new(plane).recording_to(self.sink.clone()));
                self.retry_wait = RETRY_FIRST;
                self.verify_at = now;
                self.adopt();
            }
            Err(refused) => {
                if self.plane.message != refused.message {
                    tracing::warn!(
                        message = refused.message,
                        "feature off, traffic through kube-proxy"
                    );
                }
                self.board.verified(false);
                self.plane = Plane {
                    state: refused.state,
                    message: refused.message,
                    capabilities: refused.capabilities,
                    ..Plane::default()
                };
                self.retry_at = now + self.retry_wait;
                self.retry_wait = (self.retry_wait * 2).min(RETRY_LONGEST);
            }
        }
        self.show_at = now;
    }

    /// Acts on the newest wish; one that the kernel refused is tried again.
    fn adopt(&mut self) {
        let (Some(node), Some(wish)) = (&mut self.node, &self.wish) else {
            return;
        };
        match node.adopt(Arc::clone(wish), wall_millis()) {
            Ok(()) => self.adopt_at = None,
            Err(error) => {
                tracing::warn!(%error, "desired state not taken over, trying again");
                self.adopt_at = Some(Instant::now() + ADOPT_AGAIN);
            }
        }
    }

    fn round(&mut self) {
        if self.adopt_at.is_some_and(|at| at <= Instant::now()) {
            self.adopt();
        }
        if let Some(node) = &mut self.node {
            let begun = Instant::now();
            node.place(self.board.cgroups());
            node.tick(wall_millis());
            self.board.took(begun.elapsed());
            for action in node.actions() {
                self.board.acted(Action::Field, Duration::from_nanos(action.0));
            }
        }
    }

    /// The maps are compared with what should be in them.
    fn mend_if_due(&mut self) {
        let now = Instant::now();
        let Some(node) = self.node.as_mut().filter(|_| now >= self.mend_at) else {
            return;
        };
        self.mend_at = now + MEND_EVERY;
        match node.mend() {
            Ok(drift) if drift.total() == 0 => {}
            Ok(drift) => tracing::error!(
                ?drift,
                "the maps were not as they should be and were put right: somebody else writes to them"
            ),
            Err(error) => tracing::warn!(%error, "maps not compared with what should be in them"),
        }
    }

    /// Readiness rests on the kernel's word. A hook that is gone is put back by opening again.
    fn verify_if_due(&mut self) {
        let now = Instant::now();
        let Some(node) = self.node.as_ref().filter(|_| now >= self.verify_at) else {
            return;
        };
        self.verify_at = now + VERIFY_EVERY;
        match node.plane().verify() {
            Ok(()) => self.board.verified(true),
            Err(error) => {
                tracing::error!(%error, "a hook is not live, opening again");
                self.board.verified(false);
                self.plane.state = PlaneState::Detached;
                self.plane.message = error.to_string();
                if let Some(mut lost) = self.node.take() {
                    lost.park();
                }
                self.retry_at = now + self.retry_wait;
                self.retry_wait = (self.retry_wait * 2).min(RETRY_LONGEST);
                self.show_at = now;
            }
        }
    }

    fn show_if_due(&mut self) {
        let now = Instant::now();
        let transitions = self.node.as_ref().map_or(0, NodeLoop::transitions);
        if now < self.show_at && transitions == self.shown_transitions {
            return;
        }
        self.show_at = now + SHOW_EVERY;
        self.shown_transitions = transitions;
        let snapshot = Arc::new(self.snapshot());
        self.board.show(Arc::clone(&snapshot));
        self.outbox.send_replace(snapshot);
    }

    fn snapshot(&self) -> Snapshot {
        let Some(node) = &self.node else {
            return Snapshot {
                plane: self.plane.clone(),
                ..Snapshot::default()
            };
        };
        Snapshot {
            plane: Plane {
                failsafe: node.failsafe(),
                ..self.plane.clone()
            },
            tally: node.tally(),
            lanes: node.tracks().map(crate::track::Track::shot).collect(),
            idle: node.desired().idle.clone(),
            adopted: node.adopted(),
        }
    }
}

fn wall_millis() -> i64 {
    jiff::Timestamp::now().as_millisecond()
}

#[cfg(test)]
mod tests;
