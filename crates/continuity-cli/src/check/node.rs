//! Checks of what the agents report about their nodes.

use super::{Verdict, listed};
use crate::survey::{NodeLine, Survey};
use continuity_api::node::{DataplaneState, FailsafeState};
use jiff::Timestamp;
use std::collections::BTreeMap;

/// Capability that the agent reports unmet where another program sits at the connect hooks.
const SOLE_HOOK: &str = "SoleConnectHook";

/// The nodes' reports, or the verdict that there is nothing to judge.
fn reports(survey: &Survey) -> Result<&[NodeLine], Verdict> {
    match &survey.nodes {
        Ok(nodes) if nodes.is_empty() => Err(Verdict::warn("no agent has reported yet")),
        Ok(nodes) => Ok(nodes),
        Err(why) => Err(Verdict::unseen("the nodes' reports", why)),
    }
}

/// The nodes of which `what` has something to say, those of which it says the same together:
/// `node-1, node-2 (no bpffs)`. A fleet of one kernel makes one entry, not a thousand.
fn named(nodes: &[NodeLine], what: impl Fn(&NodeLine) -> Option<String>) -> Vec<String> {
    let mut said: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for node in nodes {
        if let Some(text) = what(node) {
            said.entry(text).or_default().push(node.name.clone());
        }
    }
    let mut entries: Vec<(String, Vec<String>)> = said.into_iter().collect();
    entries.sort_by_key(|(_, names)| std::cmp::Reverse(names.len()));
    entries
        .into_iter()
        .map(|(text, names)| format!("{} ({text})", listed(&names)))
        .collect()
}

pub(super) fn dataplane(survey: &Survey, _: Timestamp) -> Verdict {
    let nodes = match reports(survey) {
        Ok(nodes) => nodes,
        Err(verdict) => return verdict,
    };
    let is_off = |node: &NodeLine| {
        matches!(
            node.dataplane.state,
            DataplaneState::Detached | DataplaneState::Refused
        )
    };
    let off = named(nodes, |node| {
        is_off(node).then(|| match node.dataplane.message.as_str() {
            "" => format!("{:?}", node.dataplane.state),
            message => message.to_owned(),
        })
    });
    let total = nodes.len();
    match nodes.iter().filter(|node| is_off(node)).count() {
        0 => Verdict::ok(format!("attached on {total} of {total} nodes")),
        count if count == total => Verdict::fail(format!(
            "attached on no node; kube-proxy serves everything: {}",
            listed(&off)
        )),
        count => Verdict::warn(format!(
            "attached on {} of {total} nodes; kube-proxy serves on {}",
            total - count,
            listed(&off)
        )),
    }
}

pub(super) fn capabilities(survey: &Survey, _: Timestamp) -> Verdict {
    let nodes = match reports(survey) {
        Ok(nodes) => nodes,
        Err(verdict) => return verdict,
    };
    let lacking = named(nodes, |node| {
        let missing: Vec<String> = node
            .missing
            .iter()
            .filter(|capability| capability.name != SOLE_HOOK)
            .map(|capability| match capability.fallback.as_str() {
                "" => capability.name.clone(),
                fallback => format!("{}: {fallback}", capability.name),
            })
            .collect();
        (!missing.is_empty()).then(|| missing.join("; "))
    });
    if lacking.is_empty() {
        return Verdict::ok(format!("all met on {} nodes", nodes.len()));
    }
    Verdict::warn(format!("features are off on {}", listed(&lacking)))
}

pub(super) fn hooks(survey: &Survey, _: Timestamp) -> Verdict {
    let nodes = match reports(survey) {
        Ok(nodes) => nodes,
        Err(verdict) => return verdict,
    };
    let shared = named(nodes, |node| {
        let hook = node
            .missing
            .iter()
            .find(|capability| capability.name == SOLE_HOOK)?;
        Some(if hook.fallback.is_empty() {
            hook.needs.clone()
        } else {
            hook.fallback.clone()
        })
    });
    if shared.is_empty() {
        return Verdict::ok("no other program chooses at connect");
    }
    Verdict::warn(format!(
        "somebody else's program sits at the connect hooks of {}",
        listed(&shared)
    ))
}

pub(super) fn failsafe(survey: &Survey, _: Timestamp) -> Verdict {
    let nodes = match reports(survey) {
        Ok(nodes) => nodes,
        Err(verdict) => return verdict,
    };
    let silent = named(nodes, |node| match node.dataplane.failsafe {
        FailsafeState::Normal => None,
        FailsafeState::Hold => Some("Hold: the last field stays".to_owned()),
        FailsafeState::Fallback => Some("Fallback: kube-proxy serves".to_owned()),
    });
    if silent.is_empty() {
        return Verdict::ok("fresh wherever an agent reports");
    }
    Verdict::fail(format!("the agent's heartbeat is old on {}", listed(&silent)))
}
