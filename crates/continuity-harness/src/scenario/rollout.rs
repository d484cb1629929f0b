//! A rolling update: one backend after the other terminates, and a new one takes its place.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{ScenarioError, range};
use crate::span::MILLI;

/// A rolling update, backend 0 first.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Rollout {
    /// When the first backend starts to terminate, ms.
    pub from_millis: u64,
    /// From one backend to the next, ms.
    pub every_millis: u64,
    /// From a change of a backend to the agents' hearing of it, ms.
    pub lag_millis: u64,
    /// A terminating backend serves this long, then refuses, ms.
    pub drain_millis: u64,
    /// From the start of the termination to a ready replacement, ms.
    pub gone_millis: u64,
    /// The replacement is cold for this long, ms.
    pub cold_millis: u64,
    /// Speed while cold.
    pub cold_speed: f64,
}

/// What happens to a backend.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// The agents hear that it leaves.
    Leaves,
    /// It refuses from now on.
    Gone,
    /// The replacement serves, cold.
    Ready,
    /// The agents hear of the replacement.
    Joins,
    /// The replacement is warm.
    Warm,
}

impl Rollout {
    /// Everything that happens: (ns, backend, what).
    #[must_use]
    pub fn steps(&self, backends: u32) -> Vec<(u64, u32, Step)> {
        let one = |backend: u32| {
            let start = self.from_millis + u64::from(backend) * self.every_millis;
            let ready = start + self.gone_millis;
            [
                (start + self.lag_millis, Step::Leaves),
                (start + self.drain_millis, Step::Gone),
                (ready, Step::Ready),
                (ready + self.lag_millis, Step::Joins),
                (ready + self.cold_millis, Step::Warm),
            ]
            .map(|(at, step)| (at * MILLI, backend, step))
        };
        (0..backends).flat_map(one).collect()
    }

    pub(super) fn check(&self, duration: u64) -> Result<(), ScenarioError> {
        range(
            "rollout.from_millis",
            self.from_millis as f64,
            0.0,
            duration as f64,
        )?;
        range(
            "rollout.every_millis",
            self.every_millis as f64,
            0.0,
            duration as f64,
        )?;
        range(
            "rollout.gone_millis",
            self.gone_millis as f64,
            self.lag_millis as f64,
            duration as f64,
        )?;
        range(
            "rollout.drain_millis",
            self.drain_millis as f64,
            0.0,
            self.gone_millis as f64,
        )?;
        range(
            "rollout.cold_millis",
            self.cold_millis as f64,
            0.0,
            duration as f64,
        )?;
        range("rollout.cold_speed", self.cold_speed, 1e-3, 1e3)
    }
}
