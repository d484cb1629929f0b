//! What the operator needs of a ContinuityNode besides the reports of its sets.

use super::portrait::Own;
use crate::moment::Moment;
use continuity_api::node::{DataplaneState, SetReport};
use continuity_api::{ContinuityNode, conditions};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;
use std::time::Duration;

/// Silence after which a node no longer counts: two of the agents' slow resyncs of 300 s, and a minute.
///
/// Judged by when *we* saw the report change, never by the node's clock.
pub const STALE_AFTER: Duration = Duration::from_secs(660);

/// A node.
#[derive(Clone, Debug, Default, PartialEq)]
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
    /// Failure domain; empty where the node names none.
    pub zone: String,
    /// When its agent started, by the node's own clock: only told apart, never compared with ours.
    pub started: Option<i64>,
    /// How often we saw its agent start anew.
    pub restarts: u32,
    /// Whether the last report said something new without counting up, as one does that is played back.
    pub replayed: bool,
    /// When we saw the report change last.
    pub seen: Duration,
    /// Whether we saw it change at all since we began to look.
    pub heard: bool,
    /// What it says of itself; none before its first status.
    pub own: Option<Arc<Own>>,
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
            zone: status.map(|status| status.zone.clone()).unwrap_or_default(),
            started: status
                .and_then(|status| status.started.as_ref())
                .map(|time| time.0.as_millisecond()),
            restarts: 0,
            replayed: false,
            seen: before.map(|before| before.seen).unwrap_or(now.mono),
            heard: before.is_some_and(|before| before.heard),
            own: Own::of(node).map(|own| kept(own, before)),
        };
        if let Some(before) = before {
            let anew = before.started.is_some() && before.started != facts.started;
            let counts_anew = facts.sequence < before.sequence;
            facts.restarts = before.restarts + u32::from(anew || counts_anew);
            let same_agent = before.started.is_some() && before.started == facts.started;
            let repeats = facts.sequence <= before.sequence && before.sequence > 0;
            let changed = facts.reports != before.reports;
            facts.replayed = same_agent && repeats && (changed || before.replayed);
        }
        if before != Some(&facts) {
            facts.seen = now.mono;
            facts.heard |= before.is_some();
        }
        facts
    }

    /// Whether nothing new has been heard of it for so long that it does not count.
    #[must_use]
    pub fn silent(&self, now: Moment) -> bool {
        now.mono.saturating_sub(self.seen) > STALE_AFTER
    }

    /// Whether the node counts: its agent does not say that it can not work, and has been heard of lately.
    #[must_use]
    pub fn fresh(&self, now: Moment) -> bool {
        self.ready != Some(false) && !self.silent(now)
    }
}

/// The same allocation as long as nothing changes: what a node says of itself does so seldom.
fn kept(own: Own, before: Option<&NodeFacts>) -> Arc<Own> {
    let same = before
        .and_then(|before| before.own.as_ref())
        .filter(|before| ***before == own);
    same.map_or_else(|| Arc::new(own), Arc::clone)
}

fn digest(sets: &[SetReport]) -> u64 {
    let mut hash = DefaultHasher::new();
    for set in sets {
        // A report that does not serialise can not have come from the API.
        serde_json::to_vec(set).unwrap_or_default().hash(&mut hash);
    }
    hash.finish()
}
