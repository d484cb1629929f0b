//! Memory of the backends: a collector's saw-tooth, and perhaps a leak under it.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{ScenarioError, Target, range};
use crate::span::{MILLI, seconds};

/// How the memory of each backend goes. Its node measures it once a second.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Memory {
    /// Limit, MiB; at it the pod is killed.
    pub limit_mib: f64,
    /// Live data, MiB.
    pub base_mib: f64,
    /// Height of a tooth, MiB.
    pub tooth_mib: f64,
    /// Length of a tooth, ms; backends are out of phase.
    pub period_millis: u64,
    /// Leak, MiB/s.
    #[serde(default)]
    pub leak_mib_second: f64,
    /// When the leak begins, ms.
    #[serde(default)]
    pub leak_from_millis: u64,
    /// Who leaks.
    #[serde(default = "first")]
    pub leaks: Target,
    /// From the kill to a ready replacement, ms.
    #[serde(default = "restart")]
    pub restart_millis: u64,
}

const fn first() -> Target {
    Target::First { count: 1 }
}

const fn restart() -> u64 {
    5_000
}

impl Memory {
    /// MiB in use by `backend` of `count` at `now` (ns), its pod running since `born` (ns); the kill is not applied.
    #[must_use]
    pub fn used(&self, backend: u32, count: u32, born: u64, now: u64) -> f64 {
        let period = (self.period_millis * MILLI).max(1);
        let phase = u64::from(backend) * period / u64::from(count.max(1));
        let tooth = ((now + phase) % period) as f64 / period as f64 * self.tooth_mib;
        let since = now.saturating_sub(born.max(self.leak_from_millis * MILLI));
        let leak = if self.leaks.hits(backend, count, 0) {
            self.leak_mib_second * seconds(since)
        } else {
            0.0
        };
        self.base_mib + tooth + leak
    }

    pub(super) fn check(&self, duration: u64) -> Result<(), ScenarioError> {
        range("memory.limit_mib", self.limit_mib, 1.0, 1e7)?;
        range("memory.base_mib", self.base_mib, 0.0, self.limit_mib)?;
        let room = self.limit_mib - self.base_mib;
        range("memory.tooth_mib", self.tooth_mib, 0.0, room)?;
        range("memory.period_millis", self.period_millis as f64, 100.0, 3.6e6)?;
        range("memory.leak_mib_second", self.leak_mib_second, 0.0, 1e6)?;
        range(
            "memory.leak_from_millis",
            self.leak_from_millis as f64,
            0.0,
            duration as f64,
        )?;
        range("memory.restart_millis", self.restart_millis as f64, 0.0, 6e5)
    }
}
