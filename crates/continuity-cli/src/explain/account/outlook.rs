//! What comes by itself, and what is left for a person.

use super::{SPOKEN, Scene, past};
use crate::number::{share, span};
use continuity_api::node::{BackendState, Regime};
use continuity_api::plan::CompiledPolicy;
use continuity_api::policy::Mode;
use continuity_api::set::EquivalenceSetStatus;

pub(super) fn next(scene: &Scene) -> Vec<String> {
    let Some(policy) = scene.facts.plan.as_ref().map(|plan| &plan.spec.stable) else {
        return vec!["no plan is written yet; agents leave the Service to kube-proxy".to_owned()];
    };
    if scene.mode == Mode::Observe {
        return vec!["goes on measuring; no connection is touched".to_owned()];
    }
    let isolated = scene
        .sick
        .iter()
        .filter(|sick| sick.state == BackendState::Isolated)
        .count();
    let mut lines = Vec::new();
    if isolated > 0 {
        lines.push(drip(scene, policy));
    }
    if scene.sick.len() > isolated {
        lines.push(format!(
            "a returning share doubles about every second until it is {}",
            share(1_000_000 / scene.ready.max(1))
        ));
    }
    if !scene.young.is_empty() {
        lines.push(format!(
            "a new backend has its full share {} after it came",
            span(i64::from(policy.share.slow_start_seconds))
        ));
    }
    lines.extend(foreseen(scene));
    if lines.is_empty() {
        lines.push(watch(policy));
    }
    lines
}

/// When what is foreseen is expected to happen, and what it costs until then.
fn foreseen(scene: &Scene) -> Option<String> {
    let status = scene.facts.set.status.clone().unwrap_or_default();
    let expected = status.warnings.iter().filter_map(|warning| {
        let at = warning.expected.as_ref()?.0;
        Some((at, warning.pod.clone()))
    });
    let (at, pod) = expected.min()?;
    let left = at.duration_since(scene.clock.now).as_secs();
    let when = if left > 0 {
        format!("in about {}", span(left))
    } else {
        "any moment now".to_owned()
    };
    Some(format!(
        "at this rate {pod} is killed {when} ({}); until then it gets less the nearer that is, if its peers are better off",
        scene.at(at)
    ))
}

/// How an isolated backend is tested and how long it takes to come back.
fn drip(scene: &Scene, policy: &CompiledPolicy) -> String {
    let isolation = &policy.isolation;
    let doublings = doublings(i64::from(isolation.return_start_permille));
    let back = format!(
        "one good answer starts its return, about {} to full share",
        span(doublings)
    );
    match every(scene, i64::from(isolation.drip_per_million)) {
        Some(seconds) => format!(
            "one real connection every {} a node tests it; {back}",
            span(seconds)
        ),
        None => format!(
            "real connections test it, {} in a million; {back}",
            isolation.drip_per_million
        ),
    }
}

/// Bounds of the law on the time between two tests from one node, seconds: 1 at least; at most 60 below 20 connections
/// a second, growing with the rate to 300.
const LEAST: i128 = 1;
const MOST: (i128, i128) = (60, 300);
const QUIET_MILLI: i128 = 20_000;

/// Seconds between two tests from one node: the fleet's drip, shared by the nodes that carry traffic, in the law's bounds.
fn every(scene: &Scene, drip_per_million: i64) -> Option<i64> {
    let plan = &scene.facts.plan.as_ref()?.spec;
    let status = scene.facts.set.status.clone().unwrap_or_default();
    let offered = match plan.advice.offered_milli_per_second {
        0 => status.traffic.offered_milli_per_second,
        known => known,
    };
    let offered = i128::from(offered);
    let fleet = offered * i128::from(drip_per_million);
    if fleet <= 0 {
        return None;
    }
    let seconds = i128::from(plan.advice.active_nodes.max(1)) * 1_000_000_000 / fleet;
    let most = (MOST.0 * offered / QUIET_MILLI).clamp(MOST.0, MOST.1);
    i64::try_from(seconds.clamp(LEAST, most)).ok()
}

/// How often a share doubles from its first part, in permille of the full one, until it is full; once a second.
fn doublings(start_permille: i64) -> i64 {
    let mut part = start_permille.max(1);
    let mut seconds = 0;
    while part < 1_000 {
        part *= 2;
        seconds += 1;
    }
    seconds
}

/// What would make it act.
fn watch(policy: &CompiledPolicy) -> String {
    let isolation = &policy.isolation;
    if !isolation.enabled {
        return "isolation is off in the policy: shares move, nobody is taken out".to_owned();
    }
    let ratio = isolation.latency_ratio_milli;
    format!(
        "isolates a backend that answers {}.{} × later than its peers for {} of {} ticks, or fails {} times in a row",
        ratio / 1_000,
        ratio % 1_000 / 100,
        isolation.evidence_ticks,
        isolation.window_ticks,
        isolation.consecutive_failures
    )
}

pub(super) fn you(scene: &Scene) -> Vec<String> {
    let set = &scene.facts.set;
    let namespace = set.metadata.namespace.clone().unwrap_or_default();
    let service = &set.spec.service.name;
    let status = set.status.clone().unwrap_or_default();
    if status.observed_generation.is_none() {
        return vec!["kubectl continuity check".to_owned()];
    }
    if scene.ready == 0 {
        return vec![format!(
            "kubectl get endpointslices -n {namespace} -l kubernetes.io/service-name={service}"
        )];
    }
    let mut lines: Vec<String> = Vec::new();
    for sick in scene.sick.iter().take(SPOKEN) {
        lines.push(if sick.pod.is_empty() {
            format!(
                "{} belongs to no pod: look at whoever maintains its EndpointSlice",
                sick.address
            )
        } else {
            format!("kubectl describe pod {} -n {namespace}", sick.pod)
        });
    }
    lines.extend(in_time(&status, &namespace));
    let would = status.would_have.is_some_and(|would| !would.isolated.is_empty());
    if scene.mode == Mode::Observe && would {
        lines.push(format!(
            "set spec.mode: Enforce in ContinuityPolicy {} to let it act",
            set.spec.policy.name
        ));
    }
    if lines.is_empty() && scene.regime >= Regime::Transition {
        lines.push(match &status.scale_hint {
            Some(hint) if hint.desired_replicas > hint.current_replicas => {
                format!(
                    "let an autoscaler follow the hint, or scale the workload to {} replicas",
                    hint.desired_replicas
                )
            }
            _ => format!(
                "kubectl get events -n {namespace} --field-selector involvedObject.name={}",
                scene.name()
            ),
        });
    }
    lines.extend(past::afterwards(scene).filter(|_| lines.is_empty()));
    if lines.is_empty() {
        lines.push("nothing to do".to_owned());
    }
    lines
}

/// What can be done before what is foreseen happens.
fn in_time(status: &EquivalenceSetStatus, namespace: &str) -> Vec<String> {
    let warned = status.warnings.iter().filter(|warning| !warning.pod.is_empty());
    let told = warned.take(SPOKEN).map(|warning| match warning.expected {
        Some(_) => format!(
            "replace it before it is killed: kubectl delete pod {} -n {namespace}, or raise its memory limit",
            warning.pod
        ),
        None => format!("kubectl describe node {}", warning.node),
    });
    told.collect()
}

impl Scene<'_> {
    fn name(&self) -> String {
        self.facts.set.metadata.name.clone().unwrap_or_default()
    }
}
