//! A policy or a node on one screen: what happened to it, how it stands, and what a person can do.
//!
//! Pure but for `gather`. What happened comes from its timeline; how it stands from the object itself.

use super::Clock;
use super::text::{line, row};
use crate::error::Error;
use crate::install;
use crate::number::{age, span};
use crate::session::Session;
use crate::snapshot::Snapshot;
use continuity_api::plan::RolloutPhase;
use continuity_api::policy::{ContinuityPolicyStatus, Mode};
use continuity_api::timeline::{AGE_MAX_SECONDS, SubjectKind, timeline_name};
use continuity_api::{
    Condition, ContinuityNode, ContinuityPolicy, EquivalenceTimeline, EquivalenceTimelineSpec, conditions,
    labels,
};
use kube::{Api, ResourceExt as _};
use serde::Serialize;

/// Entries at most: with all else on one screen.
const ENTRIES: usize = 14;
/// Targets, roll-outs, features and warnings spoken of one by one.
const SPOKEN: usize = 4;

/// The answer to "what is going on with this policy, or this node".
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Story {
    /// ContinuityPolicy or ContinuityNode.
    pub kind: &'static str,
    /// Namespace; empty for a node.
    pub namespace: String,
    /// Name.
    pub name: String,
    /// All that counts in one line.
    pub headline: String,
    /// What happened in the last 24 h, eldest first: when, what, why, and what was done.
    pub past: Vec<String>,
    /// How it stands.
    pub now: Vec<String>,
    /// What a person can do.
    pub you: Vec<String>,
}

impl Story {
    /// As one screen of text.
    #[must_use]
    pub fn text(&self) -> String {
        let mut text = format!("{}\n", self.headline);
        row(&mut text, "past", &self.past);
        row(&mut text, "now", &self.now);
        row(&mut text, "you", &self.you);
        text
    }
}

/// The story of a policy.
pub(super) async fn policy(session: &Session, name: &str, clock: &Clock) -> Result<Story, Error> {
    let api: Api<ContinuityPolicy> = Api::namespaced(session.client.clone(), &session.namespace);
    let found = api
        .get_opt(name)
        .await
        .map_err(Error::api("get", format!("ContinuityPolicy {name}")))?;
    let found = found.ok_or_else(|| nobody("ContinuityPolicy", name, Some(&session.namespace)))?;
    let kind = SubjectKind::ContinuityPolicy;
    let timeline = history(session, &session.namespace, &timeline_name(kind, name)).await?;
    Ok(of_policy(&found, timeline.as_ref(), clock))
}

/// The story of a node.
pub(super) async fn node(session: &Session, name: &str, clock: &Clock) -> Result<Story, Error> {
    let api: Api<ContinuityNode> = Api::all(session.client.clone());
    let found = api
        .get_opt(name)
        .await
        .map_err(Error::api("get", format!("ContinuityNode {name}")))?;
    let found = found.ok_or_else(|| nobody("ContinuityNode", name, None))?;
    let kind = SubjectKind::ContinuityNode;
    let timeline = history(session, &session.system, &timeline_name(kind, name)).await?;
    Ok(of_node(&found, timeline.as_ref(), &session.system, clock))
}

/// A timeline. An older installation has none, and a role may leave it out: the present is told all the same.
pub(super) async fn history(
    session: &Session,
    namespace: &str,
    name: &str,
) -> Result<Option<EquivalenceTimelineSpec>, Error> {
    let timelines: Api<EquivalenceTimeline> = Api::namespaced(session.client.clone(), namespace);
    match timelines.get_opt(name).await {
        Ok(found) => Ok(found.map(|found| found.spec)),
        Err(kube::Error::Api(status)) if status.code == 403 => Ok(None),
        Err(error) => Err(Error::api("get", format!("EquivalenceTimeline {name}"))(error)),
    }
}

/// The story of a policy that a snapshot holds.
pub(super) fn kept_policy(
    snapshot: &Snapshot,
    namespace: &str,
    name: &str,
    clock: &Clock,
) -> Result<Story, Error> {
    let here = |policy: &&ContinuityPolicy| {
        policy.name_any() == name && policy.namespace().as_deref() == Some(namespace)
    };
    let found = snapshot.policies.iter().find(here);
    let found = found.ok_or_else(|| missing("policy", name, &format!(" in namespace {namespace}")))?;
    let told = kept(snapshot, SubjectKind::ContinuityPolicy, name, Some(namespace));
    Ok(of_policy(found, told, clock))
}

/// The story of a node that a snapshot holds.
pub(super) fn kept_node(snapshot: &Snapshot, name: &str, clock: &Clock) -> Result<Story, Error> {
    let found = snapshot.nodes.iter().find(|node| node.name_any() == name);
    let found = found.ok_or_else(|| missing("node", name, ""))?;
    let told = kept(snapshot, SubjectKind::ContinuityNode, name, None);
    Ok(of_node(found, told, install::NAMESPACE, clock))
}

fn kept<'a>(
    snapshot: &'a Snapshot,
    kind: SubjectKind,
    name: &str,
    namespace: Option<&str>,
) -> Option<&'a EquivalenceTimelineSpec> {
    let wanted = timeline_name(kind, name);
    let about = |timeline: &&EquivalenceTimeline| {
        timeline.name_any() == wanted
            && timeline.spec.about.kind == kind
            && namespace.is_none_or(|namespace| timeline.namespace().as_deref() == Some(namespace))
    };
    snapshot
        .timelines
        .iter()
        .find(about)
        .map(|timeline| &timeline.spec)
}

fn nobody(kind: &'static str, name: &str, namespace: Option<&str>) -> Error {
    let place = namespace.map_or_else(String::new, |namespace| {
        format!(" in namespace {namespace}; pass -n NAMESPACE")
    });
    let list = match namespace {
        Some(_) => "kubectl get continuitypolicies -A",
        None => "kubectl get continuitynodes",
    };
    Error::Unknown(format!("there is no {kind} {name}{place}. All there are: {list}"))
}

fn missing(what: &str, name: &str, place: &str) -> Error {
    Error::Snapshot(format!("the snapshot has no {what} {name}{place}"))
}

/// What happened, and where the rest of it is.
fn past(timeline: Option<&EquivalenceTimelineSpec>, place: &str, clock: &Clock) -> Vec<String> {
    let Some(timeline) = timeline else {
        return vec![
            "nothing is written about it: the operator is older or has not looked yet, or you may not read its timeline"
                .to_owned(),
        ];
    };
    let recent: Vec<_> = timeline
        .entries
        .iter()
        .filter(|entry| age(entry.at.0, clock.now) <= AGE_MAX_SECONDS)
        .collect();
    if recent.is_empty() {
        return vec!["nothing in the last 24 h".to_owned()];
    }
    let hidden = recent.len().saturating_sub(ENTRIES);
    let mut lines = Vec::new();
    if hidden > 0 {
        lines.push(format!("and {hidden} before: kubectl get eqt {place} -o yaml"));
    }
    lines.extend(recent.iter().skip(hidden).map(|entry| line(entry, clock)));
    lines
}

fn said(list: &[Condition], kind: &str) -> Option<String> {
    let found = list.iter().find(|condition| condition.type_ == kind)?;
    let message = if found.message.is_empty() {
        String::new()
    } else {
        format!(": {}", found.message)
    };
    let verb = match found.status.as_str() {
        "True" => "",
        "False" => "not ",
        _ => "unknown whether ",
    };
    Some(format!("{verb}{kind} ({}){message}", found.reason))
}

/// The story of a policy as it is stored.
fn of_policy(policy: &ContinuityPolicy, timeline: Option<&EquivalenceTimelineSpec>, clock: &Clock) -> Story {
    let status = policy.status.clone().unwrap_or_default();
    let (name, namespace) = (policy.name_any(), policy.namespace().unwrap_or_default());
    let reason = |kind: &str| {
        let mut found = status.conditions.iter();
        let found = found.find(|condition| condition.type_ == kind);
        found.map_or_else(|| format!("{kind} unknown"), |condition| condition.reason.clone())
    };
    let mut parts = vec![
        format!("policy {name}"),
        namespace.clone(),
        format!("{:?}", policy.spec.mode),
        format!("generation {}", policy.metadata.generation.unwrap_or_default()),
        reason(conditions::ACCEPTED),
    ];
    if reason(conditions::ACCEPTED) != reason(conditions::PROGRAMMED) {
        parts.push(reason(conditions::PROGRAMMED));
    }
    if !status.programmed.is_empty() {
        parts.push(format!("{} nodes run it", status.programmed));
    }
    let place = format!(
        "{} -n {namespace}",
        timeline_name(SubjectKind::ContinuityPolicy, &name)
    );
    Story {
        kind: SubjectKind::ContinuityPolicy.as_str(),
        headline: parts.join("   "),
        past: past(timeline, &place, clock),
        now: standing(&status),
        you: advice(policy, &status, &namespace),
        namespace,
        name,
    }
}

fn standing(status: &ContinuityPolicyStatus) -> Vec<String> {
    if status.observed_generation.is_none() {
        return vec!["the operator has not looked at it yet".to_owned()];
    }
    let mut lines: Vec<String> = [conditions::ACCEPTED, conditions::PROGRAMMED]
        .iter()
        .filter_map(|kind| said(&status.conditions, kind))
        .collect();
    let staged = status.rollouts.iter().take(SPOKEN).map(|one| {
        let zone = if one.domain.is_empty() {
            String::new()
        } else {
            format!(", first in zone {}", one.domain)
        };
        let paused = if one.paused { ", paused" } else { "" };
        format!(
            "{}: generation {} in stage {:?}{paused}: {}{zone}",
            one.set, one.generation, one.phase, one.reason
        )
    });
    lines.extend(staged);
    let targets = status.targets.iter().filter(|_| status.targets.len() > 1);
    lines.extend(targets.take(SPOKEN).filter_map(|target| {
        let said = said(&target.conditions, conditions::ACCEPTED)?;
        Some(format!("svc/{} {said}", target.target_ref.name))
    }));
    let spoken = if status.targets.len() > 1 { SPOKEN } else { 1 };
    let rest = usize::try_from(status.targets_total)
        .unwrap_or(0)
        .saturating_sub(spoken);
    if rest > 0 {
        lines.push(format!("and {rest} more targets"));
    }
    lines
}

fn advice(policy: &ContinuityPolicy, status: &ContinuityPolicyStatus, namespace: &str) -> Vec<String> {
    let name = policy.name_any();
    let annotate = |value: &str, why: &str| {
        format!(
            "kubectl annotate ctpol {name} -n {namespace} {}{value} --overwrite   # {why}",
            labels::ROLLOUT
        )
    };
    let phases = || status.rollouts.iter().map(|one| one.phase);
    if phases().any(|phase| phase == RolloutPhase::Halted) {
        return vec![format!(
            "kubectl edit ctpol {name} -n {namespace}   # what halted is not tried again until the spec says something else"
        )];
    }
    if phases().any(|phase| phase == RolloutPhase::Aborted) {
        return vec![annotate("-", "takes the abort back and tries it again")];
    }
    if status.rollouts.iter().any(|one| one.paused) {
        return vec![annotate(
            "-",
            "goes on, if spec.rollout.paused is not what keeps it",
        )];
    }
    if phases().any(RolloutPhase::active) {
        return vec![
            annotate("=pause", "keeps it where it is"),
            annotate("=abort", "takes it back"),
        ];
    }
    let first = status.targets.first().map(|target| &target.target_ref.name);
    let mut lines = Vec::new();
    if let Some(service) = first {
        lines.push(format!("kubectl continuity explain svc/{service} -n {namespace}"));
    }
    if policy.spec.mode == Mode::Observe {
        lines.push("nothing is touched: set spec.mode to Enforce to steer".to_owned());
    }
    lines
}

/// The story of a node as its agent reports it.
fn of_node(
    node: &ContinuityNode,
    timeline: Option<&EquivalenceTimelineSpec>,
    system: &str,
    clock: &Clock,
) -> Story {
    let name = node.name_any();
    let status = node.status.clone().unwrap_or_default();
    let known = |text: &str| {
        if text.is_empty() {
            "unknown".to_owned()
        } else {
            text.to_owned()
        }
    };
    let mut parts = vec![
        format!("node {name}"),
        format!("zone {}", known(&status.zone)),
        format!("kernel {}", known(&status.kernel)),
        format!("agent {}", known(&status.agent_version)),
        format!("{:?}", status.dataplane.state),
        format!("{:?} over {} sets", status.regime, status.sets_total),
    ];
    let mut trust = status.conditions.iter();
    let doubted = trust.any(|found| found.type_ == conditions::TRUSTED && found.status == conditions::FALSE);
    if doubted {
        parts.push("its reports do not count".to_owned());
    }
    let place = format!(
        "{} -n {system}",
        timeline_name(SubjectKind::ContinuityNode, &name)
    );
    Story {
        kind: SubjectKind::ContinuityNode.as_str(),
        headline: parts.join("   "),
        past: past(timeline, &place, clock),
        now: shape(node, clock),
        you: vec![
            format!("kubectl get cnode {name} -o yaml"),
            format!(
                "kubectl get pods -n {system} -l app.kubernetes.io/name={} --field-selector spec.nodeName={name}",
                install::AGENT
            ),
        ],
        namespace: String::new(),
        name,
    }
}

fn shape(node: &ContinuityNode, clock: &Clock) -> Vec<String> {
    let Some(status) = &node.status else {
        return vec!["its agent has not reported yet".to_owned()];
    };
    let mut lines = Vec::new();
    let kinds = [
        conditions::READY,
        conditions::RESOURCES_SUFFICIENT,
        conditions::TRUSTED,
    ];
    lines.extend(kinds.iter().filter_map(|kind| said(&status.conditions, kind)));
    let mut times = vec![format!("failsafe {:?}", status.dataplane.failsafe)];
    if let Some(reported) = &status.reported {
        let ago = span(age(reported.0, clock.now));
        times.push(format!("reported {ago} ago by its own clock"));
    }
    if let Some(started) = &status.started {
        times.push(format!("agent up for {}", span(age(started.0, clock.now))));
    }
    lines.push(times.join(", "));
    let lacking = status.capabilities.iter().filter(|feature| !feature.met);
    lines.extend(lacking.take(SPOKEN).map(|feature| {
        format!(
            "without {}: needs {}; {}",
            feature.name, feature.needs, feature.fallback
        )
    }));
    lines.extend(
        status
            .warnings
            .iter()
            .take(SPOKEN)
            .map(|warning| warning.message.clone()),
    );
    let bad: Vec<&str> = status
        .sets
        .iter()
        .filter(|set| set.regime != continuity_api::node::Regime::Laminar)
        .take(SPOKEN)
        .map(|set| set.set.as_str())
        .collect();
    if !bad.is_empty() {
        lines.push(format!("sets in trouble here: {}", bad.join(", ")));
    }
    lines
}
