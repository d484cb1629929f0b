//! What the operator needs of a ContinuityNode besides the reports of its sets.

use crate::moment::Moment;
use continuity_api::node::{DataplaneState, SetReport};
use continuity_api::{ContinuityNode, conditions};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::time::Duration;

/// Silence after which a node no longer counts: two of the agents' slow resyncs of 300 s, and a minute.
///
/// Judged by when *we* saw the report change, never by the node's clock.
pub const STALE_AFTER: Duration = Duration::from_secs(660);

/// A node.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NodeFacts {
    /// Whether the agent says that its dataplane is attached; none before it has said anything.
    pub ready: Option<bool>,
    /// State of the dataplane.
    pub dataplane: DataplaneState,
    /// Whether sets were left out of the report.
    pub truncated: bool,
    /// Sequence of the report.
    pub sequence: i64,
    /// Digest of the reported sets, so that any change of theirs is a change of the node.
    pub reports: u64,
    /// When we saw the report change last.
    pub seen: Duration,
}

impl NodeFacts {
    /// What is needed of `node`, whose sets are given apart.
    #[must_use]
    pub fn of(node: &ContinuityNode, sets: &[SetReport], before: Option<&Self>, now: Moment) -> Self {
        let status = node.status.as_ref();
        let ready = status
            .and_then(|status| {
                status
                    .conditions
                    .iter()
                    .find(|condition| condition.type_ == conditions::READY)
            })
            .map(|condition| condition.status == conditions::TRUE);
        let mut facts = Self {
            ready,
            dataplane: status.map(|status| status.dataplane.state).unwrap_or_default(),
            truncated: status.is_some_and(|status| status.truncated),
            sequence: status.map(|status| status.sequence).unwrap_or_default(),
            reports: digest(sets),
            seen: before.map(|before| before.seen).unwrap_or(now.mono),
        };
        if before != Some(&facts) {
            facts.seen = now.mono;
        }
        facts
    }

    /// Whether the node counts: its agent does not say that it can not work, and has been heard of lately.
    #[must_use]
    pub fn fresh(&self, now: Moment) -> bool {
        self.ready != Some(false) && now.mono.saturating_sub(self.seen) <= STALE_AFTER
    }
}

fn digest(sets: &[SetReport]) -> u64 {
    let mut hash = DefaultHasher::new();
    for set in sets {
        // A report that does not serialise can not have come from the API.
        serde_json::to_vec(set).unwrap_or_default().hash(&mut hash);
    }
    hash.finish()
}
