//! What happened before now, from the set's timeline: when, what, why, and what was done about it.

use super::Scene;
use crate::explain::text::line;
use continuity_api::events;
use continuity_api::node::Regime;
use continuity_api::timeline::TimelineEntry;

/// Lines at most: with all else on one screen.
const LINES: usize = 6;
/// What is older than this is another story, in seconds: 24 h, as the timeline is kept.
const HORIZON: i64 = continuity_api::timeline::AGE_MAX_SECONDS;

pub(super) fn past(scene: &Scene) -> Vec<String> {
    let entries = recent(scene);
    let hidden = entries.len().saturating_sub(LINES);
    let mut lines = Vec::new();
    if hidden > 0 {
        let name = scene.facts.set.metadata.name.clone().unwrap_or_default();
        lines.push(format!(
            "and {hidden} before: kubectl get eqt {name} -n {} -o yaml",
            scene.facts.set.metadata.namespace.clone().unwrap_or_default()
        ));
    }
    lines.extend(entries.iter().skip(hidden).map(|entry| line(entry, scene.clock)));
    lines
}

/// What a person can still look at once all is calm again: the pod that was out, around the time it was.
pub(super) fn afterwards(scene: &Scene) -> Option<String> {
    if scene.regime >= Regime::Transition {
        return None;
    }
    let entries = recent(scene);
    let isolated = entries
        .iter()
        .rev()
        .find(|entry| entry.what == events::BACKEND_ISOLATED)?;
    let pod = isolated
        .subject
        .split_once(" (")?
        .1
        .split([',', ')'])
        .next()
        .filter(|pod| !pod.is_empty())?;
    let namespace = scene.facts.set.metadata.namespace.clone().unwrap_or_default();
    Some(format!(
        "kubectl logs {pod} -n {namespace} --since-time={}   # from when it was taken out",
        isolated.at.0
    ))
}

fn recent<'a>(scene: &'a Scene) -> Vec<&'a TimelineEntry> {
    let entries = scene.facts.timeline.iter().flat_map(|timeline| &timeline.entries);
    entries
        .filter(|entry| crate::number::age(entry.at.0, scene.clock.now) <= HORIZON)
        .collect()
}
