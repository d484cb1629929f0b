//! What is asked of the backends, and when.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{ScenarioError, range};
use crate::span::MILLI;

/// Most steps of a load.
const MOST_STEPS: usize = 256;

/// What is asked: an open loop, requests leave when they are due, or clients that wait for their answers.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Load {
    /// Requests a second for each backend, so that another number of backends sees the same utilisation.
    pub per_backend_second: f64,
    /// From these moments on, a multiple of it; in order.
    #[serde(default)]
    pub steps: Vec<LoadStep>,
    /// A closed loop in its place; the rate above is then what the agents are told.
    #[serde(default)]
    pub closed: Option<Closed>,
}

/// A step of the load.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct LoadStep {
    /// From then on, ms.
    pub from_millis: u64,
    /// Multiple of the rate.
    pub factor: f64,
}

/// Clients that ask, wait for the end, think, and ask again.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Closed {
    /// Clients on each node.
    pub clients: u32,
    /// Mean time to think, ms; exponential.
    pub think_millis: f64,
}

impl Load {
    /// A steady open loop.
    #[must_use]
    pub fn steady(per_backend_second: f64) -> Self {
        Self {
            per_backend_second,
            steps: Vec::new(),
            closed: None,
        }
    }

    /// Multiple of the rate at `now` (ns).
    #[must_use]
    pub fn factor(&self, now: u64) -> f64 {
        let begun = |step: &&LoadStep| step.from_millis * MILLI <= now;
        self.steps
            .iter()
            .take_while(begun)
            .last()
            .map_or(1.0, |step| step.factor)
    }

    pub(super) fn check(&self, duration: u64) -> Result<(), ScenarioError> {
        range("load.per_backend_second", self.per_backend_second, 1e-3, 1e5)?;
        range(
            "load.steps (number of)",
            self.steps.len() as f64,
            0.0,
            MOST_STEPS as f64,
        )?;
        let mut least = 0.0;
        for step in &self.steps {
            range(
                "load.steps.from_millis",
                step.from_millis as f64,
                least,
                duration as f64,
            )?;
            range("load.steps.factor", step.factor, 1e-3, 1e3)?;
            least = step.from_millis as f64;
        }
        let Some(closed) = &self.closed else {
            return Ok(());
        };
        range("load.closed.clients", f64::from(closed.clients), 1.0, 1e5)?;
        range("load.closed.think_millis", closed.think_millis, 1e-3, 1e6)
    }
}
