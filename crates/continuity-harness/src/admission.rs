//! What the plant asks of a law of admission: it stands between a client and the choice of a backend.
//!
//! One object stands for all nodes of a run; `node` says which one acts, and an honest law uses nothing but that node's
//! own state. The plant calls [`Admission::offer`] for every attempt, retries included, before the balancing
//! [`Policy`](crate::policy::Policy) picks; a refusal ends the attempt at once with a refused connect. Every admitted
//! attempt comes back through [`Admission::done`] exactly once: when its client has the answer, or gives up.

pub use continuity_field::admission::Class;

use crate::choice::Report;
use crate::policy::{End, Truth};

/// An attempt that wants to connect.
#[derive(Debug, Clone, Copy)]
pub struct Offer {
    /// Whose node.
    pub node: usize,
    /// Which calling pod of the run; a pod lives on one node.
    pub caller: u32,
    /// Its class.
    pub class: Class,
    /// 0 for a first attempt, 1 for its first retry, …; the kernel does not know it, nor does an honest law use it.
    pub attempt: u32,
    /// Now, ns.
    pub now: u64,
}

/// What admission says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Decision {
    /// Go on; the number comes back in [`Closed::ticket`].
    Admit(u32),
    /// Refused at once.
    Refuse,
}

/// An admitted attempt that ended for its client.
#[derive(Debug, Clone, Copy)]
pub struct Closed {
    /// Whose node.
    pub node: usize,
    /// Which calling pod.
    pub caller: u32,
    /// Its class.
    pub class: Class,
    /// What [`Decision::Admit`] carried.
    pub ticket: u32,
    /// Where it went.
    pub backend: usize,
    /// When it left, ns.
    pub sent: u64,
    /// Now, ns.
    pub now: u64,
    /// How it ended; [`End::TimedOut`] means that the client gave up while the server works on.
    pub end: End,
    /// The in-band report in the answer.
    pub report: Option<Report>,
}

/// A law of admission under test.
pub trait Admission {
    /// An attempt wants to connect. `truth` is for oracles.
    fn offer(&mut self, offer: &Offer, truth: &Truth<'_>) -> Decision;

    /// An admitted attempt ended.
    fn done(&mut self, closed: &Closed) {
        let _ = closed;
    }

    /// The agent of `node` ticks. A dead agent does not: the plant stops calling this.
    fn tick(&mut self, node: usize, now: u64) {
        let _ = (node, now);
    }

    /// A worker of `backend` takes a request from the queue where it has waited `waited` ns; `false` drops it there
    /// (its client is refused). Only for laws that live in the server.
    fn serve(&mut self, backend: usize, waited: u64, now: u64) -> bool {
        let _ = (backend, waited, now);
        true
    }

    /// What `node` enforces now: 0 normal, 1 soft, 2 hard; changes of it are the transitions of the table.
    fn mode(&self, node: usize) -> u8 {
        let _ = node;
        0
    }
}
