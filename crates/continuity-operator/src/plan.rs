//! The set and the plan that a bound port should have.
//!
//! The digest covers what a node must apply; advice moves without it. Advice is slow by construction: a figure stays
//! until it is off by a quarter, so that an undisturbed set is never written.

use crate::bind::Claim;
use crate::distress;
use crate::world::{Key, PortFacts, ServiceFacts};
use continuity_api::node::SetReport;
use continuity_api::plan::{Advice, SharedVerdict};
use continuity_api::target::{PolicyIdentity, ServiceIdentity};
use continuity_api::{ContinuityPolicy, EquivalencePlanSpec, EquivalenceSetSpec, compile, set_name};
use sha2::{Digest, Sha256};
use std::sync::Arc;

/// Nodes per second that may report in the long run: the fleet writes at most 200 reports a second.
const REPORTS_PER_SECOND: usize = 200;

/// What a bound port should have.
#[derive(Clone, Debug, PartialEq)]
pub struct Bound {
    /// Namespace and name of both objects.
    pub key: Key,
    /// The set's spec.
    pub set: EquivalenceSetSpec,
    /// The plan's spec, without advice and writer epoch, as if the policy were in force on every node.
    pub plan: EquivalencePlanSpec,
    /// The policy that it follows.
    pub policy: Arc<ContinuityPolicy>,
}

/// The objects of a port that follows the policy of `claim`.
#[must_use]
pub fn bound(service_key: &Key, service: &ServiceFacts, port: &PortFacts, claim: &Claim) -> Bound {
    let policy = &claim.policy;
    let identity = PolicyIdentity {
        name: policy.metadata.name.clone().unwrap_or_default(),
        uid: policy.metadata.uid.clone().unwrap_or_default(),
        generation: policy.metadata.generation.unwrap_or_default(),
    };
    let owner = ServiceIdentity {
        name: service_key.name.clone(),
        uid: service.uid.clone(),
    };
    let set = EquivalenceSetSpec {
        service: owner.clone(),
        port: port.identity.clone(),
        revision: None,
        policy: identity.clone(),
        mode: policy.spec.mode,
        writer_epoch: None,
    };
    let mut plan = EquivalencePlanSpec {
        service: owner,
        port: port.identity.clone(),
        policy: identity,
        stable: compile(&policy.spec),
        ..EquivalencePlanSpec::default()
    };
    plan.digest = digest(&plan);
    let key = Key::new(
        &service_key.namespace,
        &set_name(&service_key.name, &port.identity.label),
    );
    Bound {
        key,
        set,
        plan,
        policy: Arc::clone(policy),
    }
}

/// Digest of what a node must apply, 16 hex digits.
pub(crate) fn digest(plan: &EquivalencePlanSpec) -> String {
    let applied = (
        &plan.service,
        &plan.port,
        &plan.policy,
        &plan.revision,
        &plan.stable,
        &plan.candidate,
    );
    // Plain structs of strings and integers serialise; an empty text would only make two plans look alike.
    let text = serde_json::to_vec(&applied).unwrap_or_default();
    Sha256::digest(&text)
        .iter()
        .take(8)
        .map(|byte| format!("{byte:02x}"))
        .collect()
}

/// Advice from the fresh reports of a set, close to what is stored already.
#[must_use]
pub fn advice(
    reports: &[(&str, &SetReport)],
    nodes: usize,
    stored: Option<&Advice>,
    verdicts: Vec<SharedVerdict>,
) -> Advice {
    let active = reports
        .iter()
        .filter(|(_, report)| report.offered_milli_per_second > 0)
        .count()
        .max(1);
    let offered = reports.iter().fold(0_i64, |sum, (_, report)| {
        sum.saturating_add(report.offered_milli_per_second)
    });
    let spacing = nodes
        .div_ceil(REPORTS_PER_SECOND)
        .saturating_mul(1_000)
        .clamp(5_000, 600_000);
    let active = i32::try_from(active).unwrap_or(i32::MAX);
    let spacing = i32::try_from(spacing).unwrap_or(600_000);
    Advice {
        active_nodes: stored.map_or(active, |stored| {
            settled(stored.active_nodes.into(), active.into())
        }),
        offered_milli_per_second: stored
            .map_or(offered, |stored| near(stored.offered_milli_per_second, offered)),
        report_spacing_millis: spacing,
        verdicts,
        distress: distress::of(reports),
    }
}

/// The number of active nodes divides the drip, so it is worth a write only when it is off by a quarter.
fn settled(stored: i64, fresh: i64) -> i32 {
    i32::try_from(near(stored, fresh)).unwrap_or(i32::MAX)
}

/// What is stored, unless the fresh figure is off by more than a quarter of it.
fn near(stored: i64, fresh: i64) -> i64 {
    if fresh.abs_diff(stored).saturating_mul(4) > stored.unsigned_abs() {
        fresh
    } else {
        stored
    }
}

#[cfg(test)]
mod tests;
