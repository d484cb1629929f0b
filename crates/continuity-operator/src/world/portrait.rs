//! What people are told of a node: what it says of itself, whether it is heard, whether it is believed.
//!
//! Kept apart from what decisions need, and shared: of 10,000 nodes each costs some 400 bytes. Nodes of which it changed
//! are remembered until they are asked for, at most one entry a node.

use super::{NodeFacts, World};
use crate::moment::Moment;
use continuity_api::node::{CapabilityReport, DataplaneState};
use continuity_api::{ContinuityNode, Time, conditions};
use std::collections::BTreeSet;
use std::sync::Arc;

/// What a node says of itself.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Own {
    /// UID of its ContinuityNode.
    pub uid: String,
    /// Version of its agent.
    pub agent_version: String,
    /// Boot id of its kernel.
    pub boot_id: String,
    /// Kernel release.
    pub kernel: String,
    /// Failure domain; empty where it names none.
    pub zone: String,
    /// When its agent last started, by its own clock.
    pub started: Option<Time>,
    /// State of its kernel side.
    pub dataplane: DataplaneState,
    /// What it says about that state.
    pub message: String,
    /// Features that it lacks.
    pub missing: Vec<CapabilityReport>,
}

impl Own {
    /// What is told of `node`; none before its first status.
    pub(super) fn of(node: &ContinuityNode) -> Option<Self> {
        let status = node.status.as_ref()?;
        let ready = status
            .conditions
            .iter()
            .find(|condition| condition.type_ == conditions::READY);
        let said = ready.map(|ready| ready.message.as_str()).unwrap_or_default();
        let message = Some(status.dataplane.message.as_str()).filter(|message| !message.is_empty());
        Some(Self {
            uid: node.metadata.uid.clone().unwrap_or_default(),
            agent_version: status.agent_version.clone(),
            boot_id: status.boot_id.clone(),
            kernel: status.kernel.clone(),
            zone: status.zone.clone(),
            started: status.started.clone(),
            dataplane: status.dataplane.state,
            message: message.unwrap_or(said).to_owned(),
            missing: status
                .capabilities
                .iter()
                .filter(|feature| !feature.met)
                .cloned()
                .collect(),
        })
    }
}

/// A node, as people are told of it.
#[derive(Clone, Debug, PartialEq)]
pub struct Portrait {
    /// Its name.
    pub name: String,
    /// What it says of itself.
    pub own: Arc<Own>,
    /// Whether it has fallen silent; none while we have not heard of it ourselves, and not waited long enough.
    pub silent: Option<bool>,
    /// Why its reports are left out; none where they count.
    pub doubt: Option<String>,
}

impl World {
    /// A node as people are told of it; none before its first status.
    #[must_use]
    pub fn portrait(&self, node: &str, now: Moment) -> Option<Portrait> {
        let facts = self.nodes.get(&node.to_owned())?;
        let silent = facts.silent(now);
        let doubt = self.trust.standing(node).filter(|one| one.quarantined.is_some());
        Some(Portrait {
            name: node.to_owned(),
            own: Arc::clone(facts.own.as_ref()?),
            silent: (silent || facts.heard).then_some(silent),
            doubt: doubt.map(|standing| standing.doubt.complaint()),
        })
    }

    /// Nodes of which something changed that people are told, since this was asked last.
    pub fn take_stirred(&mut self) -> BTreeSet<String> {
        std::mem::take(&mut self.stirred)
    }

    /// Notes a node of which something changed that people are told.
    pub(super) fn stir(&mut self, node: &str, before: Option<(Option<Arc<Own>>, bool)>) {
        let after = self
            .nodes
            .get(&node.to_owned())
            .map(|facts| (facts.own.clone(), facts.heard));
        if after.is_some() && after != before {
            self.stirred.insert(node.to_owned());
        }
    }

    /// Notes nodes that fell silent or are heard of again.
    pub(super) fn listen(&mut self, now: Moment) {
        let silent = |facts: &NodeFacts| facts.silent(now);
        let Self {
            nodes,
            silent: known,
            stirred,
            ..
        } = self;
        known.retain(|node| {
            let still = nodes.get(node).is_some_and(silent);
            if !still {
                stirred.insert(node.clone());
            }
            still
        });
        for (node, _) in nodes.iter().filter(|(_, facts)| silent(facts)) {
            if !known.contains(node) {
                known.insert(node.clone());
                stirred.insert(node.clone());
            }
        }
    }
}
