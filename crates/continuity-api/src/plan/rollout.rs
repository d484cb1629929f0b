//! Where the roll-out of a changed policy stands, kept in the plan so that it survives a change of leader.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Stage of a roll-out.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, JsonSchema,
)]
pub enum RolloutPhase {
    /// It has not begun: as many as may run at once are under way, or no node can be a canary.
    #[default]
    Waiting,
    /// At most three nodes of one failure domain run it.
    Canary,
    /// That failure domain runs it.
    Domain,
    /// More failure domains run it, twice as many with each step.
    Widening,
    /// It made things worse and was taken back; it is not tried again until the policy changes.
    Halted,
    /// A person ended it; it was taken back.
    Aborted,
}

/// Where the roll-out of a changed policy stands.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct RolloutRecord {
    /// Waiting, Canary, Domain, Widening, Halted or Aborted.
    pub phase: RolloutPhase,
    /// metadata.generation of the policy that is tried, counted from 1.
    #[schemars(range(min = 0))]
    pub generation: i64,
    /// Digest of the compiled policy that is tried, 16 hexadecimal digits: a halted one is known by it.
    #[schemars(length(max = 64))]
    pub target: String,
    /// Failure domain (zone) of the canary nodes (default: the nodes name none).
    #[serde(default, skip_serializing_if = "String::is_empty")]
    #[schemars(length(max = 253))]
    pub domain: String,
    /// Why it is where it is, one sentence with figures (default empty).
    #[serde(default, skip_serializing_if = "String::is_empty")]
    #[schemars(length(max = 256))]
    pub reason: String,
}

impl RolloutPhase {
    /// Whether some nodes run the candidate.
    #[must_use]
    pub const fn active(self) -> bool {
        matches!(self, Self::Canary | Self::Domain | Self::Widening)
    }

    /// Whether the candidate was taken back.
    #[must_use]
    pub const fn reverted(self) -> bool {
        matches!(self, Self::Halted | Self::Aborted)
    }
}
