//! How in-band reports travel, and who lies in them. Rows that hear no reports do not notice.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{ScenarioError, Target, range};

/// What happens to reports between a backend's node and a client's.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Gossip {
    /// Connections whose reports are all lost, permille.
    #[serde(default)]
    pub lost_permille: u32,
    /// Backends that never report, permille of all, the last ones.
    #[serde(default)]
    pub silent_permille: u32,
    /// Figures are this old when they are written, and do not say so, ms.
    #[serde(default)]
    pub lag_millis: u64,
    /// A backend renews its figures only this often, ms; 0 = always fresh.
    #[serde(default)]
    pub renew_millis: u64,
    /// Updates of the choice's memory that are lost, because another CPU wrote at the same time, permille.
    #[serde(default)]
    pub races_permille: u32,
    /// Backends that say the same whatever happens.
    #[serde(default)]
    pub lie: Option<Lie>,
}

/// A lie.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Lie {
    /// Who lies.
    pub target: Target,
    /// The turnaround they claim, ms.
    pub turnaround_millis: f64,
    /// The requests in flight they claim, now and on average.
    pub in_flight: u32,
}

impl Gossip {
    pub(super) fn check(&self, duration: u64) -> Result<(), ScenarioError> {
        range("gossip.lost_permille", f64::from(self.lost_permille), 0.0, 1e3)?;
        range(
            "gossip.silent_permille",
            f64::from(self.silent_permille),
            0.0,
            1e3,
        )?;
        range("gossip.races_permille", f64::from(self.races_permille), 0.0, 1e3)?;
        range("gossip.lag_millis", self.lag_millis as f64, 0.0, 60_000.0)?;
        range(
            "gossip.renew_millis",
            self.renew_millis as f64,
            0.0,
            duration as f64,
        )?;
        let Some(lie) = &self.lie else { return Ok(()) };
        range("gossip.lie.turnaround_millis", lie.turnaround_millis, 1e-3, 1e6)?;
        range("gossip.lie.in_flight", f64::from(lie.in_flight), 0.0, 4_095.0)
    }
}
