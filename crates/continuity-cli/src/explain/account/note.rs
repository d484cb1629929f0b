//! What limits the account or the protection: said even when all is well, since silence would be read as "covered".

use super::Scene;
use continuity_api::node::{DataplaneState, FailsafeState};
use continuity_api::policy::Mode;

/// Lines at most, and names in a line at most: one screen.
const LINES: usize = 5;
const NAMES: usize = 4;
/// Below this share of new connections the hook sees too little to protect a Service, permille.
const REACH: i32 = 500;

pub(super) fn note(scene: &Scene) -> Vec<String> {
    let mut lines = Vec::new();
    lines.extend(scene.facts.blind.clone());
    lines.extend(generation(scene));
    lines.extend(programmed(scene));
    lines.extend(silent(scene));
    lines.extend(exceptions(scene));
    lines.extend(reach(scene));
    lines.extend(unenforced(scene));
    if lines.len() > LINES {
        let rest = lines.len() - LINES + 1;
        lines.truncate(LINES - 1);
        lines.push(format!("and {rest} more limits; see `kubectl continuity check`"));
    }
    lines
}

fn generation(scene: &Scene) -> Option<String> {
    let policy = scene.facts.policy.as_ref();
    let followed = scene.facts.set.spec.policy.generation;
    let written = policy
        .and_then(|policy| policy.metadata.generation)
        .unwrap_or(followed);
    if policy.is_none() {
        return Some(format!(
            "ContinuityPolicy {} is gone; its effect ends shortly",
            scene.facts.set.spec.policy.name
        ));
    }
    (written > followed).then(|| {
        format!(
            "generation {written} of ContinuityPolicy {} is not compiled yet; {followed} is in force",
            scene.facts.set.spec.policy.name
        )
    })
}

fn programmed(scene: &Scene) -> Vec<String> {
    let nodes = scene.facts.set.status.clone().unwrap_or_default().nodes;
    let mut lines = Vec::new();
    if nodes.programmed < nodes.total {
        lines.push(format!(
            "{} of {} nodes run the present plan; on the others kube-proxy or the plan before serves",
            nodes.programmed, nodes.total
        ));
    }
    let refused = scene.facts.nodes.iter().filter_map(|node| {
        let refusal = &node.report.as_ref()?.refusal;
        (!refusal.is_empty()).then(|| format!("{}: {refusal}", node.name))
    });
    lines.extend(refused.take(NAMES));
    lines
}

/// Nodes on which nobody steers just now.
fn silent(scene: &Scene) -> Vec<String> {
    if scene.mode == Mode::Observe {
        return Vec::new();
    }
    let named = |wanted: &dyn Fn(&super::super::facts::NodeView) -> bool| -> Option<String> {
        let names: Vec<&str> = scene
            .facts
            .nodes
            .iter()
            .filter(|node| wanted(node))
            .map(|node| node.name.as_str())
            .collect();
        let rest = names.len().checked_sub(NAMES).filter(|rest| *rest > 0);
        let shown = names.get(..NAMES.min(names.len())).unwrap_or_default().join(", ");
        match (names.is_empty(), rest) {
            (true, _) => None,
            (false, None) => Some(shown),
            (false, Some(rest)) => Some(format!("{shown} and {rest} more")),
        }
    };
    let hold = named(&|node| node.failsafe == FailsafeState::Hold);
    let fallback = named(&|node| node.failsafe == FailsafeState::Fallback);
    let off = named(&|node| matches!(node.dataplane, DataplaneState::Detached | DataplaneState::Refused));
    [
        hold.map(|names| format!("{names}: the agent is silent, the kernel holds the last field")),
        fallback.map(|names| format!("{names}: the agent is silent, kube-proxy serves")),
        off.map(|names| {
            format!("{names}: no dataplane, kube-proxy serves; `kubectl continuity check` says why")
        }),
    ]
    .into_iter()
    .flatten()
    .collect()
}

fn exceptions(scene: &Scene) -> Vec<String> {
    let status = scene.facts.set.status.clone().unwrap_or_default();
    let mut lines: Vec<String> = status
        .exceptions
        .iter()
        .take(2)
        .map(|node| format!("{} differs: {:?}, {}", node.node, node.regime, node.message))
        .map(|line| line.trim_end_matches(", ").to_owned())
        .collect();
    if status.truncated {
        lines
            .push("more nodes or backends than status can list; `kubectl get cnode` has them all".to_owned());
    }
    lines
}

fn reach(scene: &Scene) -> Option<String> {
    let reach = scene.facts.set.status.clone().unwrap_or_default().reach;
    let permille = reach.permille.filter(|permille| *permille < REACH)?;
    Some(format!(
        "only {} % of new connections pass our hook; ingress, NodePort and sandboxed clients do not",
        permille / 10
    ))
}

fn unenforced(scene: &Scene) -> Option<String> {
    let status = scene.facts.policy.as_ref()?.status.clone()?;
    let fields = status.not_yet_enforced;
    (!fields.is_empty()).then(|| {
        format!(
            "the policy names fields that do not act yet: {}",
            fields.join(", ")
        )
    })
}
