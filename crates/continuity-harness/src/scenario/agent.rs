//! The agents: ticks, deaths, restarts, stalls and clocks that jump; and what the plan carries between them.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{ScenarioError, range};
use crate::span::MILLI;

/// Most deaths, stalls and clock steps, each.
const MOST_EVENTS: usize = 64;

/// The agents.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Agent {
    /// Tick, ms; every agent has its own phase.
    pub tick_millis: u64,
    /// Ticks vary by this much either way, permille.
    pub jitter_permille: u64,
    /// Agents that are gone for a while; the kernel goes on with what it has.
    #[serde(default)]
    pub deaths: Vec<Death>,
    /// Agents that get too little of their machine to tick in time.
    #[serde(default)]
    pub stalls: Vec<Stall>,
    /// Clocks that jump.
    #[serde(default)]
    pub clock_steps: Vec<ClockStep>,
    /// Verdicts are shared through the plan, and reach everybody this late, ms; without it nobody hears of others.
    #[serde(default)]
    pub verdicts_late_millis: Option<u64>,
}

impl Default for Agent {
    fn default() -> Self {
        Self {
            tick_millis: 200,
            jitter_permille: 50,
            deaths: Vec::new(),
            stalls: Vec::new(),
            clock_steps: Vec::new(),
            verdicts_late_millis: None,
        }
    }
}

/// A death; what the agent had learned is pinned and read when it is back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Death {
    /// Gone from, ms.
    pub from_millis: u64,
    /// Back at, ms.
    pub to_millis: u64,
    /// The first so many nodes, permille; all by default.
    #[serde(default = "all")]
    pub nodes_permille: u32,
}

/// A node that drowns: its agent ticks seldom.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Stall {
    /// From, ms.
    pub from_millis: u64,
    /// To, ms.
    pub to_millis: u64,
    /// The first so many nodes, permille.
    pub nodes_permille: u32,
    /// Tick meanwhile, ms.
    pub tick_millis: u64,
}

/// A jump of a node's clock, kernel and agent alike.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ClockStep {
    /// When, ms.
    pub at_millis: u64,
    /// By how much, ms; negative = back.
    pub by_millis: i64,
    /// The first so many nodes, permille; all by default.
    #[serde(default = "all")]
    pub nodes_permille: u32,
}

const fn all() -> u32 {
    1_000
}

/// Whether `node` is among the first `permille` of `nodes`.
fn among(node: u32, nodes: u32, permille: u32) -> bool {
    u64::from(node) * 1_000 < u64::from(permille) * u64::from(nodes)
}

impl Agent {
    /// Whether the agent of `node` of `nodes` is gone at `now` (ns).
    #[must_use]
    pub fn dead(&self, node: u32, nodes: u32, now: u64) -> bool {
        self.deaths.iter().any(|death| {
            among(node, nodes, death.nodes_permille)
                && (death.from_millis * MILLI..death.to_millis * MILLI).contains(&now)
        })
    }

    /// Its tick at `now` (ns), ms.
    #[must_use]
    pub fn tick(&self, node: u32, nodes: u32, now: u64) -> u64 {
        let slow = self.stalls.iter().find(|stall| {
            among(node, nodes, stall.nodes_permille)
                && (stall.from_millis * MILLI..stall.to_millis * MILLI).contains(&now)
        });
        slow.map_or(self.tick_millis, |stall| stall.tick_millis)
    }

    /// How far the clock of `node` is off at `now` (ns), ns.
    #[must_use]
    pub fn offset(&self, node: u32, nodes: u32, now: u64) -> i64 {
        let jumps = self
            .clock_steps
            .iter()
            .filter(|step| among(node, nodes, step.nodes_permille) && step.at_millis * MILLI <= now);
        let millis: i64 = jumps.map(|step| step.by_millis).sum();
        millis.saturating_mul(1_000_000)
    }

    /// Nodes that a death takes, of `nodes`.
    pub(crate) fn struck(death: &Death, nodes: u32) -> impl Iterator<Item = u32> + use<> {
        let permille = death.nodes_permille;
        (0..nodes).filter(move |&node| among(node, nodes, permille))
    }

    pub(super) fn check(&self, duration: u64) -> Result<(), ScenarioError> {
        range("agent.tick_millis", self.tick_millis as f64, 10.0, 60_000.0)?;
        range("agent.jitter_permille", self.jitter_permille as f64, 0.0, 500.0)?;
        let counts = [self.deaths.len(), self.stalls.len(), self.clock_steps.len()];
        for count in counts {
            range(
                "agent.deaths, stalls, clock_steps (number of)",
                count as f64,
                0.0,
                MOST_EVENTS as f64,
            )?;
        }
        let late = self.verdicts_late_millis.unwrap_or(0);
        range("agent.verdicts_late_millis", late as f64, 0.0, 600_000.0)?;
        self.deaths.iter().try_for_each(|death| death.check(duration))?;
        self.stalls.iter().try_for_each(|stall| stall.check(duration))?;
        self.clock_steps.iter().try_for_each(|step| step.check(duration))
    }
}

/// A span of the run, and a part of the nodes.
fn span(
    fields: [&'static str; 3],
    from: u64,
    to: u64,
    permille: u32,
    duration: u64,
) -> Result<(), ScenarioError> {
    let [from_field, to_field, nodes_field] = fields;
    range(to_field, to as f64, 1.0, duration as f64)?;
    range(from_field, from as f64, 0.0, (to - 1) as f64)?;
    range(nodes_field, f64::from(permille), 1.0, 1e3)
}

/// The same for an entry of the list of that name.
macro_rules! span {
    ($list:literal, $entry:expr, $duration:expr) => {
        span(
            [
                concat!("agent.", $list, ".from_millis"),
                concat!("agent.", $list, ".to_millis"),
                concat!("agent.", $list, ".nodes_permille"),
            ],
            $entry.from_millis,
            $entry.to_millis,
            $entry.nodes_permille,
            $duration,
        )
    };
}

impl Death {
    fn check(&self, duration: u64) -> Result<(), ScenarioError> {
        span!("deaths", self, duration)
    }
}

impl Stall {
    fn check(&self, duration: u64) -> Result<(), ScenarioError> {
        span!("stalls", self, duration)?;
        range(
            "agent.stalls.tick_millis",
            self.tick_millis as f64,
            10.0,
            60_000.0,
        )
    }
}

impl ClockStep {
    fn check(&self, duration: u64) -> Result<(), ScenarioError> {
        range(
            "agent.clock_steps.at_millis",
            self.at_millis as f64,
            0.0,
            duration as f64,
        )?;
        range("agent.clock_steps.by_millis", self.by_millis as f64, -6e5, 3.6e6)?;
        let nodes = f64::from(self.nodes_permille);
        range("agent.clock_steps.nodes_permille", nodes, 1.0, 1e3)
    }
}
