//! Status of a policy: what became of each target, and whether it is applied as written.
//!
//! `Ready` never looks at traffic. A pipeline that waits for it must not roll the protection back in an incident.

mod condition;
mod pending;
mod running;
mod target;

pub use condition::Standing;
pub use pending::not_yet_enforced;
pub use target::{Outcome, Verdict, contested, verdicts};

use crate::moment::Moment;
use crate::plan;
use crate::rollout;
use crate::world::{Key, World};
use continuity_api::plan::{RolloutPhase, RolloutRecord};
use continuity_api::policy::{ROLLOUTS_MAX, RolloutStatus, TARGETS_MAX, TargetStatus};
use continuity_api::{
    CONTROLLER_NAME, Condition, ContinuityPolicy, ContinuityPolicyStatus, conditions, reasons,
};
use std::cmp::Reverse;

/// Nodes that run a policy, of those that should.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Progress {
    /// Nodes that run every plan of it.
    pub programmed: usize,
    /// Nodes that should.
    pub total: usize,
    /// A node's reason to refuse, with its name.
    pub refusal: Option<(String, String)>,
    /// Roll-outs that have not ended well yet; what was taken back stands first, then what has come furthest.
    pub rollouts: Vec<RolloutStatus>,
}

/// The status that `policy` should have.
#[must_use]
pub fn status(world: &World, policy: &ContinuityPolicy, now: Moment) -> ContinuityPolicyStatus {
    let namespace = policy.metadata.namespace.clone().unwrap_or_default();
    let generation = policy.metadata.generation;
    let previous = policy.status.clone().unwrap_or_default();
    let verdicts = verdicts(world, &namespace, policy);
    let progress = progress(world, policy, &namespace, &verdicts, now);

    let accepted = accepted(&verdicts);
    let programmed = programmed(&verdicts, &progress);
    let ready = ready(&accepted, &programmed);
    let pending = not_yet_enforced(&policy.spec);

    let stand = |kind, standing: &Standing| standing.condition(kind, generation, &previous.conditions, now);
    let mut list = vec![
        stand(conditions::ACCEPTED, &accepted),
        stand(conditions::PROGRAMMED, &programmed),
        stand(conditions::READY, &ready),
    ];
    if !pending.is_empty() {
        let message = format!(
            "stored and validated, but without effect in this version: {}",
            pending.join(", ")
        );
        let standing = Standing::yes(reasons::FIELDS_NOT_YET_ENFORCED, message);
        list.push(stand(conditions::NOT_YET_ENFORCED, &standing));
    }
    ContinuityPolicyStatus {
        observed_generation: generation,
        conditions: list,
        targets: targets(&verdicts, generation, &previous.targets, now),
        targets_total: i32::try_from(verdicts.len()).unwrap_or(i32::MAX),
        programmed: format!("{}/{}", progress.programmed, progress.total),
        rollouts: progress.rollouts.into_iter().take(ROLLOUTS_MAX).collect(),
        not_yet_enforced: pending,
        writer_epoch: previous.writer_epoch,
    }
}

fn targets(
    verdicts: &[Verdict],
    generation: Option<i64>,
    previous: &[TargetStatus],
    now: Moment,
) -> Vec<TargetStatus> {
    let entry = |verdict: &Verdict| {
        let known: &[Condition] = previous
            .iter()
            .find(|target| target.target_ref == verdict.target)
            .map_or(&[], |target| target.conditions.as_slice());
        TargetStatus {
            target_ref: verdict.target.clone(),
            controller_name: CONTROLLER_NAME.to_owned(),
            conditions: vec![verdict.outcome.standing().condition(
                conditions::ACCEPTED,
                generation,
                known,
                now,
            )],
        }
    };
    verdicts.iter().take(TARGETS_MAX).map(entry).collect()
}

fn accepted(verdicts: &[Verdict]) -> Standing {
    if verdicts.is_empty() {
        let message =
            "no Service of this namespace carries these labels; the policy waits for one".to_owned();
        return Standing::yes(reasons::NOTHING_SELECTED, message);
    }
    let mut refused = verdicts.iter().filter(|verdict| !verdict.outcome.accepted());
    let Some(first) = refused.next() else {
        return Standing::yes(
            reasons::ACCEPTED,
            format!("in force on every target ({})", verdicts.len()),
        );
    };
    let mut standing = first.outcome.standing();
    let more = refused.count();
    if more > 0 {
        standing
            .message
            .push_str(&format!("; and {more} more, see status.targets"));
    }
    standing
}

fn programmed(verdicts: &[Verdict], progress: &Progress) -> Standing {
    let Progress {
        programmed,
        total,
        refusal,
        rollouts,
    } = progress;
    if !verdicts.is_empty()
        && verdicts
            .iter()
            .all(|verdict| matches!(verdict.outcome, Outcome::Conflicted { .. }))
    {
        return Standing::no(reasons::OVERRIDDEN, "other policies have every target".to_owned());
    }
    if let Some(record) = rollouts.first() {
        let ran = format!("{programmed} of {total} nodes run this generation");
        return match record.phase {
            RolloutPhase::Halted | RolloutPhase::Aborted => Standing::no(
                reasons::ROLLOUT_HALTED,
                format!("taken back, the policy before stays in force: {}", record.reason),
            ),
            phase => Standing::no(
                reasons::ROLLING_OUT,
                format!("{ran}; roll-out in stage {phase:?}: {}", record.reason),
            ),
        };
    }
    if let Some((node, why)) = refusal {
        return Standing::no(
            reasons::REFUSED,
            format!("{programmed} of {total} nodes run it; {node} refuses: {why}"),
        );
    }
    if *total == 0 {
        let message = "no agent reports; see kubectl get continuitynodes".to_owned();
        return Standing::unknown(reasons::NO_NODES, message);
    }
    let message = format!("{programmed} of {total} nodes run this generation");
    if programmed == total {
        Standing::yes(reasons::PROGRAMMED, message)
    } else {
        Standing::no(reasons::RECONCILING, message)
    }
}

fn ready(accepted: &Standing, programmed: &Standing) -> Standing {
    if accepted.status == conditions::TRUE {
        programmed.clone()
    } else {
        accepted.clone()
    }
}

fn progress(
    world: &World,
    policy: &ContinuityPolicy,
    namespace: &str,
    verdicts: &[Verdict],
    now: Moment,
) -> Progress {
    let census = world.census(now);
    let mut asked = Vec::new();
    let mut refusal = None;
    let mut rollouts = Vec::new();
    let paused = rollout::Wish::of(policy).paused;
    for verdict in verdicts {
        for port in verdict.outcome.ports() {
            let key = Key::new(namespace, &continuity_api::set_name(&verdict.target.name, port));
            let current = current(world, policy, &key, &verdict.target.name, port);
            refusal = refusal.or_else(|| refused(world, &key, now));
            let record = current.is_some().then(|| staged(world, policy, &key)).flatten();
            rollouts.extend(record.map(|record| shown(&key, record, paused)));
            asked.push((key, current));
        }
    }
    // Two targets may name one port.
    rollouts.sort_by_key(|one: &RolloutStatus| (Reverse(one.phase), one.set.clone()));
    rollouts.dedup_by(|one, other| one.set == other.set);
    Progress {
        programmed: running::count(world, &asked, now),
        total: census.fresh,
        refusal,
        rollouts,
    }
}

/// A roll-out as the status tells it.
fn shown(set: &Key, record: RolloutRecord, paused: bool) -> RolloutStatus {
    RolloutStatus {
        set: set.name.clone(),
        phase: record.phase,
        generation: record.generation,
        domain: record.domain,
        reason: record.reason,
        paused: paused && !record.phase.reverted(),
    }
}

/// What of a stored plan is the present generation of a policy.
struct Current<'a> {
    digest: &'a str,
    /// The nodes that run it, where not all do; `None` where it is the stable policy.
    only: Option<&'a [String]>,
    domains: &'a [String],
    /// Whether no node runs it: it waits, or was taken back.
    nobody: bool,
}

impl Current<'_> {
    fn includes(&self, world: &World, node: &String) -> bool {
        let zone = || {
            world
                .nodes
                .get(node)
                .map(|facts| facts.zone.as_str())
                .unwrap_or_default()
        };
        let chosen =
            |names: &[String]| names.contains(node) || self.domains.iter().any(|domain| domain == zone());
        !self.nobody && self.only.is_none_or(chosen)
    }
}

/// The stored plan, if it is about the present generation of `policy`.
fn current<'a>(
    world: &'a World,
    policy: &ContinuityPolicy,
    key: &Key,
    service: &str,
    port: &str,
) -> Option<Current<'a>> {
    let service_key = Key::new(&key.namespace, service);
    let facts = world.services.get(&service_key)?;
    let port = facts.ports.iter().find(|facts| facts.identity.label == port)?;
    let claim = crate::bind::winner(world, &service_key, facts, port)?;
    let wanted = claim
        .is_of(policy)
        .then(|| plan::bound(&service_key, facts, port, &claim))?;
    let stored = &world.plans.get(key)?.spec;
    let all = |nobody| Current {
        digest: &stored.digest,
        only: None,
        domains: &[],
        nobody,
    };
    if stored.digest == wanted.plan.digest {
        return Some(all(false));
    }
    match &stored.candidate {
        Some(candidate) if candidate.policy == wanted.plan.stable => Some(Current {
            digest: &stored.digest,
            only: Some(&candidate.nodes),
            domains: &candidate.domains,
            nobody: false,
        }),
        _ => staged(world, policy, key).map(|_| all(true)),
    }
}

/// The roll-out of the present content of `policy` in a plan.
fn staged(world: &World, policy: &ContinuityPolicy, key: &Key) -> Option<RolloutRecord> {
    let record = world.plans.get(key)?.spec.rollout.clone()?;
    (record.target == rollout::target(&continuity_api::compile(&policy.spec))).then_some(record)
}

fn refused(world: &World, set: &Key, now: Moment) -> Option<(String, String)> {
    world
        .fresh_reports(set, now)
        .find(|(_, report)| !report.refusal.is_empty())
        .map(|(node, report)| (node.to_owned(), report.refusal.clone()))
}

#[cfg(test)]
mod tests;
