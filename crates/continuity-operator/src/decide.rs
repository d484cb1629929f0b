//! From marks to writes: what is stored, what should be stored, and the difference.
//!
//! Pure but for the hint's memory. An object that is as it should be gives nothing; an object of ours that nobody asks
//! for any more is deleted by UID, so that a namesake made in between survives.

#[cfg(test)]
mod churn;
#[cfg(test)]
mod crowd;
mod intent;
mod stage;

pub use intent::{Aspect, Intent, Slot, Urgency, Write};

use crate::bind;
use crate::hint;
use crate::moment::Moment;
use crate::outlier::{self, Outlier};
use crate::plan::{self, Bound};
use crate::world::{BackendFacts, Key, Reachability, ServiceFacts, World};
use crate::{gather, policy, rollout, transition, verdict};
use continuity_api::node::SetReport;
use continuity_api::policy::Mode;
use continuity_api::{EquivalencePlan, EquivalenceSet, EquivalenceSetStatus};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// What decisions remember between passes, by set.
#[derive(Debug, Default)]
pub struct Memory {
    hints: BTreeMap<Key, hint::Memory>,
    verdicts: BTreeMap<Key, verdict::Memory>,
    rollouts: BTreeMap<Key, rollout::Memory>,
    outliers: BTreeMap<Key, outlier::Memory>,
}

impl Memory {
    /// Forgets sets that are gone.
    pub fn retain(&mut self, world: &World) {
        self.hints.retain(|key, _| world.sets.get(key).is_some());
        self.verdicts.retain(|key, _| world.sets.get(key).is_some());
        self.rollouts.retain(|key, _| world.plans.get(key).is_some());
        self.outliers.retain(|key, _| world.sets.get(key).is_some());
    }

    /// Sets about which time alone may change a decision soon.
    pub fn waiting(&self) -> impl Iterator<Item = &Key> {
        let waiting = self.outliers.iter().filter(|(_, memory)| memory.waits());
        waiting.map(|(key, _)| key)
    }
}

/// What follows from the present picture for a Service: its sets, their status, its plans.
///
/// Every slot of the Service is in the answer; a slot without a write is as it should be.
pub fn service(world: &World, key: &Key, memory: &mut Memory, now: Moment) -> Vec<Intent> {
    let facts = world.services.get(key);
    let mut bound = facts.map(|facts| bindings(world, key, facts)).unwrap_or_default();
    for bound in &mut bound {
        stage::apply(world, bound, memory, now);
    }
    let mut intents = Vec::new();
    let wanted: BTreeSet<&Key> = bound.iter().map(|bound| &bound.key).collect();
    intents.extend(leftovers(world, key, &wanted));
    for bound in &bound {
        let Some(facts) = facts else { continue };
        let reports: Vec<(&str, &SetReport)> = world.fresh_reports(&bound.key, now).collect();
        intents.push(intent::set(world, bound, facts));
        intents.push(plan_intent(world, bound, facts, &reports, memory, now));
        intents.extend(status_intent(world, key, bound, &reports, memory, now));
    }
    intents
}

/// What follows for a policy: its status.
#[must_use]
pub fn policy(world: &World, key: &Key, now: Moment) -> Option<Intent> {
    let stored = world.policies.get(key)?;
    if stored.metadata.deletion_timestamp.is_some() {
        return None;
    }
    let before = stored.status.clone().unwrap_or_default();
    let after = policy::status(world, stored, now);
    let slot = Slot::new(Aspect::PolicyStatus, key.clone());
    if before == after {
        return Some(Intent::nothing(slot));
    }
    let notices = transition::of_policy(&before, &after);
    // A new generation must not look current for long, or kstatus takes the old Ready for the new one.
    let waited_for = !notices.is_empty() || before.observed_generation != after.observed_generation;
    let urgency = if waited_for {
        Urgency::Transition
    } else {
        Urgency::Figure
    };
    Some(Intent {
        write: Write::PolicyStatus(Box::new(after)),
        urgency,
        notices,
        observed: stored.metadata.resource_version.clone(),
        ..Intent::nothing(slot)
    })
}

/// What follows for the objects of nodes that went into quarantine or left it: each says so.
#[must_use]
pub fn trust(world: &World) -> Vec<Intent> {
    let told = world.misshown().into_iter().map(|(node, believed)| {
        let doubt = world.trust.standing(&node).map(|standing| standing.doubt);
        let why = if believed {
            "its reports fit what others see again, and count".to_owned()
        } else {
            let complaint = doubt.unwrap_or_default().complaint();
            format!("its reports stop counting, and roll-outs leave it out: {complaint}")
        };
        let slot = Slot::new(Aspect::NodeTrust, Key::new("", &node));
        Intent {
            notices: vec![transition::of_trust(believed, &why)],
            write: Write::NodeTrust { believed, why },
            urgency: Urgency::Transition,
            ..Intent::nothing(slot)
        }
    });
    told.collect()
}

/// The ports of a Service that a policy has.
fn bindings(world: &World, key: &Key, facts: &ServiceFacts) -> Vec<Bound> {
    if facts.reachability != Reachability::Virtual {
        return Vec::new();
    }
    facts
        .ports
        .iter()
        .filter(|port| port.steerable())
        .filter_map(|port| {
            bind::winner(world, key, facts, port).map(|claim| plan::bound(key, facts, port, &claim))
        })
        .collect()
}

/// Sets and plans of the Service that no port asks for.
fn leftovers(world: &World, service: &Key, wanted: &BTreeSet<&Key>) -> Vec<Intent> {
    let unwanted = || world.children(service).filter(|key| !wanted.contains(key));
    let sets = unwanted()
        .filter_map(|key| Some((key, world.sets.get(key)?)))
        .filter(|(_, set)| set.spec.service.name == service.name && set.metadata.deletion_timestamp.is_none())
        .map(|(key, set)| Intent::delete(Slot::new(Aspect::Set, key.clone()), &set.metadata));
    let plans = unwanted()
        .filter_map(|key| Some((key, world.plans.get(key)?)))
        .filter(|(_, plan)| {
            plan.spec.service.name == service.name && plan.metadata.deletion_timestamp.is_none()
        })
        .map(|(key, plan)| Intent::delete(Slot::new(Aspect::Plan, key.clone()), &plan.metadata));
    sets.chain(plans).collect()
}

fn plan_intent(
    world: &World,
    bound: &Bound,
    service: &ServiceFacts,
    reports: &[(&str, &SetReport)],
    memory: &mut Memory,
    now: Moment,
) -> Intent {
    let slot = Slot::new(Aspect::Plan, bound.key.clone());
    let stored: Option<&EquivalencePlan> = world.plans.get(&bound.key).map(AsRef::as_ref);
    let mut wanted = bound.plan.clone();
    let nodes = world.census(now).fresh;
    let advised = stored.map(|plan| &plan.spec.advice);
    let remembered = memory.verdicts.entry(bound.key.clone()).or_default();
    let told = advised.map_or(&[][..], |advice| &advice.verdicts);
    let verdicts = verdict::decide(remembered, reports, told, now);
    wanted.advice = plan::advice(reports, nodes, advised, verdicts);
    if let Some(stored) = stored {
        wanted.writer_epoch = stored.spec.writer_epoch;
        if stored.spec == wanted && intent::owned(&stored.metadata, &service.uid) {
            return Intent::nothing(slot);
        }
    }
    let decided = stored.is_none_or(|stored| {
        stored.spec.digest != wanted.digest
            || !verdict::same(&stored.spec.advice.verdicts, &wanted.advice.verdicts)
    });
    Intent {
        write: Write::Plan {
            spec: Box::new(wanted),
            service_uid: service.uid.clone(),
        },
        urgency: if decided {
            Urgency::Transition
        } else {
            Urgency::Figure
        },
        zone: stage::zone(stored.map(|plan| &plan.spec), &bound.plan),
        observed: stored.and_then(|plan| plan.metadata.resource_version.clone()),
        // Every node hears of a plan.
        cost: 1 + u32::try_from(nodes / 500).unwrap_or(u32::MAX - 1),
        ..Intent::nothing(slot)
    }
}

fn status_intent(
    world: &World,
    service: &Key,
    bound: &Bound,
    reports: &[(&str, &SetReport)],
    memory: &mut Memory,
    now: Moment,
) -> Option<Intent> {
    // The status has no place to go before the set is there; the watch brings it, and marks the Service again.
    let set: &EquivalenceSet = world.sets.get(&bound.key)?;
    let empty = EquivalenceSetStatus::default();
    let before = set.status.as_ref().unwrap_or(&empty);
    let backends = backends(world, service, bound);
    let hints = memory.hints.entry(bound.key.clone()).or_default();
    let hint = hint::decide(
        hints,
        &bound.plan.stable,
        reports,
        backends.ready,
        before.scale_hint.as_ref(),
        now,
    );
    let outliers = outliers(world, bound, reports, (before, backends.ready), memory, now);
    let facts = gather::Facts {
        generation: set.metadata.generation,
        mode: bound.set.mode,
        backends,
        reports,
        nodes: world.census(now).fresh,
        digest: world.plans.get(&bound.key).map(|plan| plan.spec.digest.as_str()),
        hint,
        outliers: &outliers,
        previous: before,
    };
    let after = gather::status(&facts, now);
    let slot = Slot::new(Aspect::SetStatus, bound.key.clone());
    if *before == after {
        return Some(Intent::nothing(slot));
    }
    let first = set.status.is_none();
    let notices = if first {
        Vec::new()
    } else {
        transition::of_set(before, &after)
    };
    let urgency = if first || transition::is_transition(before, &after) {
        Urgency::Transition
    } else {
        Urgency::Figure
    };
    Some(Intent {
        write: Write::SetStatus(Box::new(after)),
        urgency,
        notices,
        observed: set.metadata.resource_version.clone(),
        ..Intent::nothing(slot)
    })
}

/// Backends that no node of theirs can judge; in Enforce every node judges all.
fn outliers(
    world: &World,
    bound: &Bound,
    reports: &[(&str, &SetReport)],
    (before, ready): (&EquivalenceSetStatus, usize),
    memory: &mut Memory,
    now: Moment,
) -> Vec<Outlier> {
    if bound.set.mode == Mode::Enforce {
        memory.outliers.remove(&bound.key);
        return Vec::new();
    }
    let advice = world.plans.get(&bound.key).map(|plan| &plan.spec.advice);
    let spacing = advice.map_or(0, |advice| advice.report_spacing_millis);
    let heard = reports
        .iter()
        .filter_map(|(node, _)| Some((*node, world.nodes.get(*node)?.seen)));
    let view = outlier::View {
        policy: &bound.plan.stable,
        reports,
        heard: heard.collect(),
        ready,
        spacing: Duration::from_millis(u64::try_from(spacing).unwrap_or(0)),
        stored: before.would_have.as_ref().map_or(&[], |would| &would.isolated),
    };
    outlier::decide(
        memory.outliers.entry(bound.key.clone()).or_default(),
        &view,
        now.mono,
    )
}

fn backends(world: &World, service: &Key, bound: &Bound) -> BackendFacts {
    let port = bound.set.port.name.as_deref().unwrap_or_default();
    BackendFacts::count(world.slices_of(service), port)
}

#[cfg(test)]
mod tests;
