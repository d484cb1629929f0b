//! A changed policy, stage by stage: what of it belongs into the plan now.

use super::Memory;
use crate::moment::Moment;
use crate::plan::{self, Bound};
use crate::rollout::{self, Facts, Figures, NodeView, Wish};
use crate::world::{Key, World};
use continuity_api::EquivalencePlanSpec;
use continuity_api::plan::RolloutPhase;

/// Puts into the bound what its roll-out has reached. A port without a plan gets its policy at once.
pub(super) fn apply(world: &World, bound: &mut Bound, memory: &mut Memory, now: Moment) {
    let stored = world
        .plans
        .get(&bound.key)
        .filter(|plan| plan.metadata.deletion_timestamp.is_none())
        .map(|plan| &plan.spec)
        // A Service that was deleted and made again is another one.
        .filter(|spec| spec.service.uid == bound.plan.service.uid);
    let Some(stored) = stored else {
        memory.rollouts.remove(&bound.key);
        return;
    };
    if stored.stable == bound.plan.stable && stored.candidate.is_none() && stored.rollout.is_none() {
        memory.rollouts.remove(&bound.key);
        return;
    }
    let others = memory
        .rollouts
        .iter()
        .filter(|(key, memory)| **key != bound.key && memory.active())
        .count();
    let wish = Wish::of(&bound.policy);
    let nodes = if moves(stored, bound, wish) {
        views(world, &bound.key, now)
    } else {
        Vec::new()
    };
    let facts = Facts {
        stable: Some(&stored.stable),
        wanted: &bound.plan.stable,
        generation: bound.plan.policy.generation,
        candidate: stored.candidate.as_ref(),
        record: stored.rollout.as_ref(),
        digest: &stored.digest,
        rollout: bound.policy.spec.rollout,
        wish,
        nodes: &nodes,
        others,
    };
    let remembered = memory.rollouts.entry(bound.key.clone()).or_default();
    let step = rollout::decide(remembered, &facts, now);
    if step.stable != bound.plan.stable {
        bound.plan.policy = stored.policy.clone();
    }
    bound.plan.stable = step.stable;
    bound.plan.candidate = step.candidate;
    bound.plan.rollout = step.record;
    bound.plan.digest = plan::digest(&bound.plan);
    // People see what most nodes run.
    bound.set.policy = bound.plan.policy.clone();
    bound.set.mode = bound.plan.stable.mode;
}

/// The failure domain that this plan is the first to reach, so that one that fails is throttled and no other.
pub(super) fn zone(stored: Option<&EquivalencePlanSpec>, wanted: &EquivalencePlanSpec) -> Option<String> {
    let domains =
        |spec: &EquivalencePlanSpec| spec.candidate.as_ref().map(|candidate| candidate.domains.clone());
    let before = stored.and_then(domains).unwrap_or_default();
    let reached = domains(wanted)?
        .into_iter()
        .find(|domain| !before.contains(domain));
    let canary = wanted
        .rollout
        .as_ref()
        .filter(|record| record.phase == RolloutPhase::Canary && !record.domain.is_empty())
        .map(|record| record.domain.clone());
    reached.or(canary)
}

/// Whether the step depends on the nodes; to look at all of them for a policy that stays as it is would be for nothing.
fn moves(stored: &EquivalencePlanSpec, bound: &Bound, wish: Wish) -> bool {
    let resting = stored.rollout.as_ref().is_some_and(|record| {
        record.target == rollout::target(&bound.plan.stable)
            && match record.phase {
                RolloutPhase::Halted => true,
                RolloutPhase::Aborted => wish.aborted,
                _ => false,
            }
    });
    stored.stable != bound.plan.stable && !resting
}

fn views(world: &World, set: &Key, now: Moment) -> Vec<NodeView> {
    let reports = world.reports.get(set);
    let view = |(name, facts): (&String, &crate::world::NodeFacts)| {
        let report = reports.and_then(|reports| reports.get(name));
        NodeView {
            name: name.clone(),
            zone: facts.zone.clone(),
            sound: facts.fresh(now) && world.trust.trusts(name),
            restarts: facts.restarts,
            digest: report
                .map(|report| report.plan_digest.clone())
                .unwrap_or_default(),
            refusal: report.map(|report| report.refusal.clone()).unwrap_or_default(),
            figures: report.map(Figures::of).unwrap_or_default(),
        }
    };
    world.nodes.iter().map(view).collect()
}
