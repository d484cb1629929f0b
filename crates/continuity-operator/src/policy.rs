//! Status of a policy: what became of each target, and whether it is applied as written.
//!
//! `Ready` never looks at traffic. A pipeline that waits for it must not roll the protection back in an incident.

mod condition;
mod pending;
mod target;

pub use condition::Standing;
pub use pending::not_yet_enforced;
pub use target::{Outcome, Verdict, verdicts};

use crate::moment::Moment;
use crate::plan;
use crate::world::{Key, World};
use continuity_api::policy::{TARGETS_MAX, TargetStatus};
use continuity_api::{
    CONTROLLER_NAME, Condition, ContinuityPolicy, ContinuityPolicyStatus, conditions, reasons,
};
use std::collections::BTreeSet;

/// Nodes that run a policy, of those that should.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Progress {
    /// Nodes that run every plan of it.
    pub programmed: usize,
    /// Nodes that should.
    pub total: usize,
    /// A node's reason to refuse, with its name.
    pub refusal: Option<(String, String)>,
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
    } = progress;
    if !verdicts.is_empty()
        && verdicts
            .iter()
            .all(|verdict| matches!(verdict.outcome, Outcome::Conflicted { .. }))
    {
        return Standing::no(reasons::OVERRIDDEN, "other policies have every target".to_owned());
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
    let mut running: BTreeSet<&String> = world.fresh_nodes(now).map(|(name, _)| name).collect();
    let total = running.len();
    let mut refusal = None;
    for verdict in verdicts {
        for port in verdict.outcome.ports() {
            let key = Key::new(namespace, &continuity_api::set_name(&verdict.target.name, port));
            let digest = current_digest(world, policy, &key, &verdict.target.name, port);
            running.retain(|node| {
                digest
                    .as_deref()
                    .is_some_and(|digest| runs(world, node, &key, digest))
            });
            refusal = refusal.or_else(|| refused(world, &key, now));
        }
    }
    Progress {
        programmed: running.len(),
        total,
        refusal,
    }
}

/// Digest of the stored plan, if that is what the present generation of `policy` gives.
fn current_digest(
    world: &World,
    policy: &ContinuityPolicy,
    key: &Key,
    service: &str,
    port: &str,
) -> Option<String> {
    let service_key = Key::new(&key.namespace, service);
    let facts = world.services.get(&service_key)?;
    let port = facts.ports.iter().find(|facts| facts.identity.label == port)?;
    let claim = crate::bind::winner(world, &service_key, facts, port)?;
    let wanted = claim
        .is_of(policy)
        .then(|| plan::bound(&service_key, facts, port, &claim))?;
    let stored = world.plans.get(key)?;
    (stored.spec.digest == wanted.plan.digest).then(|| stored.spec.digest.clone())
}

/// Whether a node runs a plan: it says so, or it had to leave the set out of its report.
fn runs(world: &World, node: &str, set: &Key, digest: &str) -> bool {
    match world.reports.get(set).and_then(|reports| reports.get(node)) {
        Some(report) => report.plan_digest == digest && report.refusal.is_empty(),
        None => world
            .nodes
            .get(&node.to_owned())
            .is_some_and(|facts| facts.truncated),
    }
}

fn refused(world: &World, set: &Key, now: Moment) -> Option<(String, String)> {
    world
        .fresh_reports(set, now)
        .find(|(_, report)| !report.refusal.is_empty())
        .map(|(node, report)| (node.to_owned(), report.refusal.clone()))
}

#[cfg(test)]
mod tests;
