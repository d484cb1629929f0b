//! The law under test: on every node the kernel's choice, run natively, under the agent's step.
//!
//! `Kernel` plays what the hooks and the dataplane do (records, counters, ages of what waits); an [`Agent`] turns one
//! tick's samples into words and slots, exactly as the node loop does. Two agents exist: [`field`], the product's own
//! `continuity_field::step`, and [`reference`], the agent of the published specification, kept to tell a fault of the
//! plant from a fault of the law.

pub mod field;
mod kernel;
pub mod reference;
mod verdict;

#[cfg(test)]
mod tests;

pub use kernel::Kernel;

use continuity_field::ttf::Floors;
use continuity_field::{BackendView, Nanos, Verdict};
use verdict::Board;

use crate::choice::{Report, kms};
use crate::policy::{Done, End, Pick, Policy, Truth};
use crate::random::{Random, hash};
use crate::scenario::{self, Scenario};
use crate::span::{SECOND, micros};

/// Kernel clocks do not start at 0: everything about time must work from any origin.
pub const BOOT: u64 = 1_000 * SECOND;
/// Age of the heartbeat from which the choice passes through to the VIP; before, from 3 s on, late flips are ignored,
/// and a dead agent flips nothing.
const FALLBACK: u64 = 15 * SECOND;
/// The tag of a connection that passed through: the law does not see it.
const UNSEEN: i32 = i32::MIN;

/// What every agent of a run knows from the plan.
#[derive(Debug, Clone)]
pub struct Plan {
    /// Nodes that send.
    pub nodes: u32,
    /// Connects of all nodes, thousandths a second.
    pub milli_per_second: u64,
    /// Verdicts of others, on the clock of a node without clock steps.
    pub verdicts: Vec<Verdict>,
}

/// The part of a node that ticks.
pub trait Agent {
    /// Whether a client that gave up counts as a failure of the backend in the choice.
    const BLAMES_TIMEOUTS: bool;

    /// One tick: read the kernel's counters, write its words.
    fn tick(&mut self, kernel: &mut Kernel, plan: &Plan, now: u64);

    /// Backends isolated now.
    fn isolated(&self) -> usize;

    /// What it says about its backends, for verdicts that the plan shares.
    fn views(&self) -> &[BackendView] {
        &[]
    }

    /// A new process takes over, with what the old one had pinned.
    fn restart(&mut self, kernel: &mut Kernel) {
        kernel.forget();
    }
}

struct Node<A> {
    kernel: Kernel,
    agent: A,
    /// Last sign of life, ns since the start.
    beat: u64,
}

/// All nodes of a run.
pub struct Law<A> {
    nodes: Vec<Node<A>>,
    plan: Plan,
    board: Option<Board>,
    agents: scenario::Agent,
    /// kube-proxy's dice, for what passes through.
    dice: Random,
    /// Updates of the memory that another CPU overwrites, permille, and which.
    races: (u32, Random),
    /// Memory of the backends, as their own nodes see it.
    floors: Vec<Floors>,
}

impl<A: Agent> Law<A> {
    /// One agent a node, made by `agent` from the node's seed and the number of backends.
    pub fn new(scenario: &Scenario, seed: u64, agent: impl Fn(u64, usize) -> A) -> Self {
        let backends = usize::try_from(scenario.backends.count).unwrap_or(0);
        let node = |node: u32| {
            let own = hash(seed, u64::from(node));
            let cursor = u32::try_from(own >> 32).unwrap_or(0);
            let reach: Vec<bool> = (0..scenario.backends.count)
                .map(|backend| scenario.reaches(node, backend))
                .collect();
            Node {
                kernel: Kernel::new(&reach, cursor),
                agent: agent(own, backends),
                beat: 0,
            }
        };
        // Nodes report connects, not requests: a kept connection is one of them.
        let each = scenario.client.connections.map_or(1, |kept| kept.requests.max(1));
        let plan = Plan {
            nodes: scenario.nodes,
            milli_per_second: crate::span::nanos(scenario.rate() / f64::from(each) / 1e6),
            verdicts: Vec::new(),
        };
        let board = scenario
            .agent
            .verdicts_late_millis
            .map(|late| Board::new(late, scenario.nodes));
        Self {
            nodes: (0..scenario.nodes).map(node).collect(),
            plan,
            board,
            agents: scenario.agent.clone(),
            dice: Random::new(seed, "vip"),
            races: (scenario.gossip.races_permille, Random::new(seed, "races")),
            floors: vec![Floors::default(); usize::try_from(scenario.backends.count).unwrap_or(0)],
        }
    }

    /// The clock of `node`.
    fn clock(&self, node: usize, now: u64) -> u64 {
        let node = u32::try_from(node).unwrap_or(u32::MAX);
        let offset = self.agents.offset(node, self.plan.nodes, now);
        (now + BOOT).saturating_add_signed(offset)
    }

    /// A report arrives; the word that it writes may be lost to another CPU.
    fn hear(&mut self, node: usize, backend: usize, report: &Report, now: u32) {
        let (permille, chance) = &mut self.races;
        let lost = *permille > 0 && chance.below(1_000) < usize::try_from(*permille).unwrap_or(0);
        if let Some(Node { kernel, .. }) = self.nodes.get_mut(node) {
            let before = kernel.chooser.words.mem;
            kernel.chooser.report(backend, report, now);
            if lost {
                kernel.chooser.words.mem = before;
            }
        }
    }

    fn dead(&self, node: usize, now: u64) -> bool {
        let node = u32::try_from(node).unwrap_or(u32::MAX);
        self.agents.dead(node, self.plan.nodes, now)
    }
}

impl<A: Agent> Policy for Law<A> {
    fn pick(&mut self, node: usize, now: u64, _: &Truth<'_>) -> Option<Pick> {
        let clock = self.clock(node, now);
        let Node { kernel, beat, .. } = self.nodes.get_mut(node)?;
        if now.saturating_sub(*beat) > FALLBACK {
            let serving = || (0..).zip(&kernel.samples).filter(|(_, sample)| sample.in_service);
            let which = self.dice.below(serving().count());
            let (backend, _) = serving().nth(which)?;
            return Some(Pick { backend, tag: UNSEEN });
        }
        let backend = kernel.chooser.pick(kms(clock))?;
        let tag = kernel.chooser.prediction(backend, kms(clock));
        kernel.start(backend, clock);
        Some(Pick { backend, tag })
    }

    fn again(&mut self, node: usize, backend: usize, now: u64) -> Option<i32> {
        let clock = self.clock(node, now);
        let Node { kernel, beat, .. } = self.nodes.get_mut(node)?;
        if now.saturating_sub(*beat) > FALLBACK {
            return None;
        }
        kernel.again(backend, clock);
        Some(kernel.chooser.prediction(backend, kms(clock)))
    }

    fn connected(&mut self, node: usize, backend: usize, report: Option<&Report>, now: u64) {
        let clock = self.clock(node, now);
        if let Some(node) = self.nodes.get_mut(node) {
            node.kernel.connected(backend);
        }
        if let Some(report) = report {
            self.hear(node, backend, report, kms(clock));
        }
    }

    fn done(&mut self, done: &Done) {
        let (sent, clock) = (self.clock(done.node, done.sent), self.clock(done.node, done.now));
        let Some(Node { kernel, .. }) = self.nodes.get_mut(done.node) else {
            return;
        };
        if done.tag == UNSEEN || !kernel.same_pod(done.backend, sent) {
            return;
        }
        let now = kms(clock);
        kernel.end(done.backend, sent, clock, done.end);
        match done.end {
            End::Answered => {}
            End::TimedOut if !A::BLAMES_TIMEOUTS => return kernel.chooser.abandon(done.backend),
            End::TimedOut | End::Refused | End::Reset => return kernel.chooser.failure(done.backend, now),
            End::Denied => return,
        }
        let took = micros(clock.saturating_sub(sent));
        kernel.chooser.answer(done.backend, took, done.tag, now);
        if let Some(report) = &done.report {
            kernel.chooser.pair(done.backend, report.l, took);
            self.hear(done.node, done.backend, report, now);
        }
    }

    fn tick(&mut self, node: usize, now: u64) {
        let clock = self.clock(node, now);
        if let Some(board) = &mut self.board {
            self.plan.verdicts.clear();
            self.plan.verdicts.extend_from_slice(board.plan(now));
        }
        if let Some(Node { kernel, agent, beat }) = self.nodes.get_mut(node) {
            if self.board.is_some() {
                verdict::release_spent(&mut self.plan.verdicts, agent.views(), Nanos(clock));
            }
            agent.tick(kernel, &self.plan, clock);
            *beat = now;
            if let Some(board) = &mut self.board {
                board.report(node, agent.views(), now);
            }
        }
    }

    fn restarted(&mut self, node: usize, _: u64) {
        if let Some(Node { kernel, agent, .. }) = self.nodes.get_mut(node) {
            agent.restart(kernel);
        }
    }

    fn memory(&mut self, backend: usize, used: f64, limit: f64, now: u64) -> bool {
        const MIB: f64 = 1_048_576.0;
        let bytes = |mib: f64| crate::span::nanos(mib * MIB / 1e9);
        let told = self
            .floors
            .get_mut(backend)
            .and_then(|floors| floors.observe(bytes(used), bytes(limit), Nanos(now + BOOT)));
        told.is_some_and(|told| told.near)
    }

    fn has_agent(&self) -> bool {
        true
    }

    fn endpoint(&mut self, backend: usize, serving: bool, fresh: bool, now: u64) {
        for node in 0..self.nodes.len() {
            let (clock, dead) = (self.clock(node, now), self.dead(node, now));
            let Some(Node { kernel, agent, .. }) = self.nodes.get_mut(node) else {
                continue;
            };
            kernel.endpoint(backend, serving, fresh, clock);
            if !dead {
                agent.tick(kernel, &self.plan, clock);
            }
        }
    }

    fn heeds_endpoints(&self) -> bool {
        true
    }

    fn heeds_zones(&self) -> bool {
        true
    }

    fn isolated(&self, node: usize) -> usize {
        self.nodes.get(node).map_or(0, |node| node.agent.isolated())
    }

    fn hears_connects(&self) -> bool {
        true
    }
}
