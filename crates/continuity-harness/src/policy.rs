//! What the plant asks of a law under test. One object stands for all nodes of a run; `node` says which one acts, and
//! an honest law uses nothing but that node's own state.

use crate::choice::Report;

/// How a request ended for its client.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// First payload came back.
    Answered,
    /// The connect was refused.
    Refused,
    /// Reset before any payload.
    Reset,
    /// The client gave up.
    TimedOut,
    /// Admission refused the connect.
    Denied,
}

/// A request that ended.
#[derive(Debug, Clone, Copy)]
pub struct Done {
    /// Whose.
    pub node: usize,
    /// Where it went.
    pub backend: usize,
    /// When it left, ns.
    pub sent: u64,
    /// When it ended, ns.
    pub now: u64,
    /// How.
    pub end: End,
    /// What [`Policy::pick`] wanted to remember.
    pub tag: i32,
    /// The report in the response.
    pub report: Option<Report>,
}

/// Where a request goes.
#[derive(Debug, Clone, Copy)]
pub struct Pick {
    /// The backend.
    pub backend: usize,
    /// Comes back in [`Done`].
    pub tag: i32,
}

/// What only an oracle may look at: the plant as it is this very moment.
#[derive(Debug, Clone, Copy)]
pub struct Truth<'a> {
    /// Requests that wait or are served, by backend, those under way to it included.
    pub in_flight: &'a [u32],
    /// Speed, by backend; 0 if it does not serve properly.
    pub speed: &'a [f64],
    /// Time an answer is delayed beyond service, ns.
    pub delay: &'a [u64],
    /// Workers of each backend.
    pub workers: u32,
    /// Mean service time at speed 1, ns.
    pub service: f64,
}

/// A law under test.
pub trait Policy {
    /// A request is due at `node`. `None` refuses it.
    fn pick(&mut self, node: usize, now: u64, truth: &Truth<'_>) -> Option<Pick>;

    /// A request ended.
    fn done(&mut self, done: &Done);

    /// A connect was accepted; the SYN-ACK may carry a report. Only called if [`Policy::hears_connects`].
    fn connected(&mut self, node: usize, backend: usize, report: Option<&Report>, now: u64) {
        let _ = (node, backend, report, now);
    }

    /// Whether [`Policy::connected`] matters.
    fn hears_connects(&self) -> bool {
        false
    }

    /// A request leaves on a connection that is there already. `None`: the law does not see such requests, and does
    /// not hear of their end.
    fn again(&mut self, node: usize, backend: usize, now: u64) -> Option<i32> {
        let _ = (node, backend, now);
        None
    }

    /// The agent of `node` is back after a death, with what it had pinned.
    fn restarted(&mut self, node: usize, now: u64) {
        let _ = (node, now);
    }

    /// Whether [`Policy::tick`] is an agent's, which may die; the client's own balancer does not.
    fn has_agent(&self) -> bool {
        false
    }

    /// The node of `backend` measured its memory: MiB in use, MiB of the limit. True: it will run out, in time to act.
    fn memory(&mut self, backend: usize, used: f64, limit: f64, now: u64) -> bool {
        let _ = (backend, used, limit, now);
        false
    }

    /// The agent of `node` ticks.
    fn tick(&mut self, node: usize, now: u64) {
        let _ = (node, now);
    }

    /// Backends that `node` wants to probe now.
    fn probes(&mut self, node: usize, now: u64, out: &mut Vec<usize>) {
        let _ = (node, now, out);
    }

    /// A probe came back.
    fn probed(&mut self, probe: &Probe) {
        let _ = probe;
    }

    /// The endpoints changed: every agent hears that `backend` serves, or no longer does; `fresh`: it is another pod.
    fn endpoint(&mut self, backend: usize, serving: bool, fresh: bool, now: u64) {
        let _ = (backend, serving, fresh, now);
    }

    /// Whether [`Policy::endpoint`] is heeded; a row that does not is left out of scenarios with a rolling update.
    fn heeds_endpoints(&self) -> bool {
        false
    }

    /// Whether the row keeps to the zone of each node; one that does not is left out of scenarios with zones.
    fn heeds_zones(&self) -> bool {
        false
    }

    /// Backends that `node` has isolated now; for the count of transitions.
    fn isolated(&self, node: usize) -> usize {
        let _ = node;
        0
    }
}

/// What a probe found.
#[derive(Debug, Clone, Copy)]
pub struct Probe {
    /// Who asked.
    pub node: usize,
    /// Who answered.
    pub backend: usize,
    /// Its requests in flight.
    pub rif: u32,
    /// Its latency at that number, µs.
    pub micros: u32,
    /// Now, ns.
    pub now: u64,
}
