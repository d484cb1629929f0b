//! The law under test: on every node the kernel's choice, run natively, under the agent's step.
//!
//! `Kernel` plays what the hooks and the dataplane do (records, counters, ages of what waits); an [`Agent`] turns one
//! tick's samples into words and slots, exactly as the node loop does. Two agents exist: [`field`], the product's own
//! `continuity_field::step`, and [`reference`], the agent of the published specification, kept to tell a fault of the
//! plant from a fault of the law.

pub mod field;
mod kernel;
pub mod reference;

#[cfg(test)]
mod tests;

pub use kernel::Kernel;

use crate::choice::{Report, kms};
use crate::policy::{Done, End, Pick, Policy, Truth};
use crate::random::hash;
use crate::scenario::Scenario;
use crate::span::{SECOND, micros};

/// Kernel clocks do not start at 0: everything about time must work from any origin.
pub const BOOT: u64 = 1_000 * SECOND;

/// What every agent of a run knows from the plan.
#[derive(Debug, Clone, Copy)]
pub struct Plan {
    /// Nodes that send.
    pub nodes: u32,
    /// Requests of all nodes, thousandths a second.
    pub milli_per_second: u64,
}

/// The part of a node that ticks.
pub trait Agent {
    /// Whether a client that gave up counts as a failure of the backend in the choice.
    const BLAMES_TIMEOUTS: bool;

    /// One tick: read the kernel's counters, write its words.
    fn tick(&mut self, kernel: &mut Kernel, plan: &Plan, now: u64);

    /// Backends isolated now.
    fn isolated(&self) -> usize;
}

struct Node<A> {
    kernel: Kernel,
    agent: A,
}

/// All nodes of a run.
pub struct Law<A> {
    nodes: Vec<Node<A>>,
    plan: Plan,
}

impl<A: Agent> Law<A> {
    /// One agent a node, made by `agent` from the node's seed and the number of backends.
    pub fn new(scenario: &Scenario, seed: u64, agent: impl Fn(u64, usize) -> A) -> Self {
        let backends = usize::try_from(scenario.backends.count).unwrap_or(0);
        let node = |node: u32| {
            let own = hash(seed, u64::from(node));
            let cursor = u32::try_from(own >> 32).unwrap_or(0);
            Node {
                kernel: Kernel::new(backends, cursor),
                agent: agent(own, backends),
            }
        };
        let plan = Plan {
            nodes: scenario.nodes,
            milli_per_second: crate::span::nanos(scenario.rate() / 1e6),
        };
        Self {
            nodes: (0..scenario.nodes).map(node).collect(),
            plan,
        }
    }
}

impl<A: Agent> Policy for Law<A> {
    fn pick(&mut self, node: usize, now: u64, _: &Truth<'_>) -> Option<Pick> {
        let kernel = &mut self.nodes.get_mut(node)?.kernel;
        let now = now + BOOT;
        let backend = kernel.chooser.pick(kms(now))?;
        let tag = kernel.chooser.prediction(backend, kms(now));
        kernel.start(backend, now);
        Some(Pick { backend, tag })
    }

    fn connected(&mut self, node: usize, backend: usize, report: Option<&Report>, now: u64) {
        if let Some(node) = self.nodes.get_mut(node) {
            node.kernel.connected(backend);
            if let Some(report) = report {
                node.kernel.chooser.report(backend, report, kms(now + BOOT));
            }
        }
    }

    fn done(&mut self, done: &Done) {
        let Some(Node { kernel, .. }) = self.nodes.get_mut(done.node) else {
            return;
        };
        if !kernel.same_pod(done.backend, done.sent + BOOT) {
            return;
        }
        let now = kms(done.now + BOOT);
        kernel.end(done.backend, done.sent + BOOT, done.now + BOOT, done.end);
        match done.end {
            End::Answered => {}
            End::TimedOut if !A::BLAMES_TIMEOUTS => return kernel.chooser.abandon(done.backend),
            End::TimedOut | End::Refused | End::Reset => return kernel.chooser.failure(done.backend, now),
        }
        let took = micros(done.now - done.sent);
        kernel.chooser.answer(done.backend, took, done.tag, now);
        if let Some(report) = &done.report {
            kernel.chooser.report(done.backend, report, now);
            kernel.chooser.pair(done.backend, report.l, took);
        }
    }

    fn tick(&mut self, node: usize, now: u64) {
        if let Some(Node { kernel, agent }) = self.nodes.get_mut(node) {
            agent.tick(kernel, &self.plan, now + BOOT);
        }
    }

    fn endpoint(&mut self, backend: usize, serving: bool, fresh: bool, now: u64) {
        for Node { kernel, agent } in &mut self.nodes {
            kernel.endpoint(backend, serving, fresh, now + BOOT);
            agent.tick(kernel, &self.plan, now + BOOT);
        }
    }

    fn heeds_endpoints(&self) -> bool {
        true
    }

    fn isolated(&self, node: usize) -> usize {
        self.nodes.get(node).map_or(0, |node| node.agent.isolated())
    }

    fn hears_connects(&self) -> bool {
        true
    }
}
