//! Which policy a port of a Service follows.
//!
//! A port's own policy beats the Service's, a reference beats a selector, then the older wins, then the name: a total
//! order, so that every replica and every pass gives the same answer.

use crate::world::{Key, PortFacts, ServiceFacts, World};
use continuity_api::ContinuityPolicy;
use continuity_api::target::{SERVICE_KIND, TargetRef};
use k8s_openapi::jiff::Timestamp;
use std::sync::Arc;

/// How closely a policy names a port, closest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Rank {
    /// By the port's name.
    Port,
    /// By the Service's name.
    Service,
    /// By a label of the Service.
    Selector,
}

impl Rank {
    /// Why a policy of this rank won over one of rank `other`, for the loser's status.
    #[must_use]
    pub const fn beats(self, other: Self) -> &'static str {
        match (self, other) {
            (Self::Port, Self::Port) | (Self::Service, Self::Service) | (Self::Selector, Self::Selector) => {
                "it is older, or first by name"
            }
            (Self::Port, _) => "it names the port",
            (_, _) => "it names the Service, which beats a selector",
        }
    }
}

/// A policy's claim on a port.
#[derive(Clone, Debug)]
pub struct Claim {
    /// The policy.
    pub policy: Arc<ContinuityPolicy>,
    /// How closely it names the port.
    pub rank: Rank,
}

impl Claim {
    fn order(&self) -> (Rank, Timestamp, &str) {
        let created = self
            .policy
            .metadata
            .creation_timestamp
            .as_ref()
            .map_or(Timestamp::MAX, |time| time.0);
        (
            self.rank,
            created,
            self.policy.metadata.name.as_deref().unwrap_or_default(),
        )
    }

    /// Whether the claim is one of this policy.
    #[must_use]
    pub fn is_of(&self, policy: &ContinuityPolicy) -> bool {
        self.policy.metadata.uid == policy.metadata.uid && self.policy.metadata.name == policy.metadata.name
    }
}

/// How closely `policy` names `port` of `service`, if at all.
#[must_use]
pub fn rank(policy: &ContinuityPolicy, key: &Key, service: &ServiceFacts, port: &PortFacts) -> Option<Rank> {
    let by_reference = policy
        .spec
        .target_refs
        .iter()
        .filter_map(|target| named(target, key, port))
        .min();
    let by_label = || {
        policy
            .spec
            .target_selector
            .as_ref()
            .filter(|selector| selector.matches(&service.labels))
    };
    by_reference.or_else(|| by_label().map(|_| Rank::Selector))
}

fn named(target: &TargetRef, key: &Key, port: &PortFacts) -> Option<Rank> {
    if target.kind != SERVICE_KIND || !target.group.is_empty() || target.name != key.name {
        return None;
    }
    match &target.section_name {
        None => Some(Rank::Service),
        Some(section) if Some(section) == port.identity.name.as_ref() => Some(Rank::Port),
        Some(_) => None,
    }
}

/// The claim that wins a port, if any policy claims it: as the picture has settled it, else from the claims.
#[must_use]
pub fn winner(world: &World, key: &Key, service: &ServiceFacts, port: &PortFacts) -> Option<Claim> {
    match world.settled(key) {
        Some(claims) => claims.get(&port.identity.label).cloned(),
        None => contest(world, key, service, port),
    }
}

/// The claim that wins a port, from all claims on it.
#[must_use]
pub fn contest(world: &World, key: &Key, service: &ServiceFacts, port: &PortFacts) -> Option<Claim> {
    world
        .claimants(key)
        // A policy that is being deleted has no say any more; a finalizer of somebody else must not keep it in force.
        .filter(|policy| policy.metadata.deletion_timestamp.is_none())
        .filter_map(|policy| {
            rank(policy, key, service, port).map(|rank| Claim {
                policy: Arc::clone(policy),
                rank,
            })
        })
        .min_by(|left, right| left.order().cmp(&right.order()))
}

#[cfg(test)]
mod tests;
