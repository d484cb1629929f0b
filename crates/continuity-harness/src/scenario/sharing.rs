//! What else the pods do: another Service whose connects this set's balancers neither see nor decide about.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{ScenarioError, Target, range};

/// Another Service on the same pods. Its requests wait in the same queues and hold the same workers; they are not recorded.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Sharing {
    /// Its requests a second at each of the shared pods, one at random each time.
    pub per_backend_second: f64,
    /// Which pods it has too.
    pub target: Target,
    /// From, ms.
    pub from_millis: u64,
    /// To, ms.
    pub to_millis: u64,
}

impl Sharing {
    pub(super) fn check(&self, duration: u64) -> Result<(), ScenarioError> {
        range("sharing.per_backend_second", self.per_backend_second, 1e-3, 1e5)?;
        range("sharing.to_millis", self.to_millis as f64, 1.0, duration as f64)?;
        range(
            "sharing.from_millis",
            self.from_millis as f64,
            0.0,
            (self.to_millis - 1) as f64,
        )
    }
}
