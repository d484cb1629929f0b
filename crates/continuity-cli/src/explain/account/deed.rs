//! What was done, or in Observe would have been.

use super::{SPOKEN, Scene};
use crate::explain::sick::Sick;
use crate::number::{count, share};
use continuity_api::node::{AdmissionState, BackendState};
use continuity_api::policy::Mode;

pub(super) fn did(scene: &Scene) -> Vec<String> {
    match scene.mode {
        Mode::Observe => would_have(scene),
        Mode::Enforce => enforced(scene),
    }
}

fn enforced(scene: &Scene) -> Vec<String> {
    let status = scene.facts.set.status.clone().unwrap_or_default();
    let alone = scene.sick.len() == 1;
    let mut lines: Vec<String> = scene
        .sick
        .iter()
        .take(SPOKEN)
        .map(|sick| one(scene, sick, alone))
        .collect();
    if let Some(last) = lines.last_mut() {
        last.push_str(&others(scene));
    }
    lines.extend(young(scene));
    match status.admission {
        AdmissionState::Normal => {}
        AdmissionState::Soft => {
            lines.push(format!(
                "refuses low classes on {}",
                count(i64::from(status.admission_nodes.soft), "node", "nodes")
            ));
        }
        AdmissionState::Hard => lines.push(format!(
            "lets only the top class and a trickle pass on {}",
            count(i64::from(status.admission_nodes.hard), "node", "nodes")
        )),
    }
    if lines.is_empty() {
        lines.push(match scene.ready {
            0 => "nothing: there is nobody to choose".to_owned(),
            1 => "nothing: the one backend gets every connection; the last one is never isolated".to_owned(),
            ready => format!(
                "nothing: each of {ready} backends has about {} of new connections",
                share(fair(ready))
            ),
        });
    }
    lines
}

fn one(scene: &Scene, sick: &Sick, alone: bool) -> String {
    let when = sick
        .since
        .map(|at| format!("{}  ", scene.at(at)))
        .unwrap_or_default();
    let whom = if alone { "it" } else { sick.address.as_str() };
    let by = if sick.agreeing == sick.reporting {
        String::new()
    } else {
        format!(" on {} of {} nodes", sick.agreeing, sick.reporting)
    };
    let full = share(fair(scene.ready));
    match (sick.state, sick.share_ppm) {
        (BackendState::Isolated, Some(ppm)) => {
            format!(
                "{when}isolated {whom}{by}: share of new connections {full} → {}",
                share(ppm)
            )
        }
        (BackendState::Isolated, None) => format!("{when}isolated {whom}{by}"),
        (_, Some(ppm)) => format!(
            "{when}lets {whom} return{by}: {} of new connections by now, {full} is its part",
            share(ppm)
        ),
        (_, None) => format!("{when}lets {whom} return{by}"),
    }
}

/// How far the new ones are; they come in crowds, so they are told together.
fn young(scene: &Scene) -> Option<String> {
    let full = share(fair(scene.ready));
    let known: Vec<i64> = scene.young.iter().filter_map(|sick| sick.share_ppm).collect();
    let mean = known
        .iter()
        .sum::<i64>()
        .checked_div(i64::try_from(known.len()).ok()?);
    match (scene.young.as_slice(), mean) {
        ([], _) => None,
        ([one], Some(ppm)) => Some(format!(
            "lets {}, which is new, grow: {} of new connections by now, {full} is its part",
            one.address,
            share(ppm)
        )),
        (many, Some(ppm)) => Some(format!(
            "lets {} new backends grow: {} of new connections each by now, {full} is their part",
            many.len(),
            share(ppm)
        )),
        (many, None) => Some(format!(
            "lets {} grow",
            count(
                i64::try_from(many.len()).unwrap_or(i64::MAX),
                "new backend",
                "new backends"
            )
        )),
    }
}

/// What the healthy ones got of it.
fn others(scene: &Scene) -> String {
    let sick = i64::try_from(scene.sick.len() + scene.young.len()).unwrap_or(i64::MAX);
    let rest = scene.ready.saturating_sub(sick);
    let apart = scene.sick.iter().chain(&scene.young);
    let taken: Option<i64> = apart.map(|sick| sick.share_ppm).sum();
    match taken {
        Some(taken) if rest > 0 => {
            let each = (1_000_000 - taken.min(1_000_000)) / rest;
            let who = if rest == 1 {
                "the other one".to_owned()
            } else {
                format!("the other {rest}")
            };
            format!("; {who} {} → {}", share(fair(scene.ready)), share(each))
        }
        _ => String::new(),
    }
}

fn would_have(scene: &Scene) -> Vec<String> {
    let status = scene.facts.set.status.clone().unwrap_or_default();
    let Some(would) = status.would_have else {
        return vec!["nothing, and Enforce would have done nothing either".to_owned()];
    };
    let mut lines = Vec::new();
    if !would.isolated.is_empty() {
        let nodes = if would.nodes > 0 {
            format!(" on {}", count(i64::from(would.nodes), "node", "nodes"))
        } else {
            String::new()
        };
        lines.push(format!(
            "nothing; Enforce would have isolated {}{nodes}",
            would.isolated.join(", ")
        ));
    }
    // The message repeats the reason of a backend that the row above already complains of.
    if !would.message.is_empty() && (scene.sick.is_empty() || stands_out(scene) > 0) {
        lines.push(would.message);
    }
    if lines.is_empty() {
        lines.push("nothing, and Enforce would have done nothing either".to_owned());
    }
    lines
}

/// Backends that Enforce would have isolated though no node complains of them: only a comparison over all nodes shows them.
pub(super) fn stands_out(scene: &Scene) -> usize {
    let would = scene
        .facts
        .set
        .status
        .as_ref()
        .and_then(|status| status.would_have.as_ref());
    let told = |address: &String| {
        let mut sick = scene.sick.iter();
        sick.any(|sick| sick.address == *address || sick.also.contains(address))
    };
    would.map_or(0, |would| {
        would.isolated.iter().filter(|address| !told(address)).count()
    })
}

/// An equal part, in parts per million.
fn fair(ready: i64) -> i64 {
    1_000_000 / ready.max(1)
}
