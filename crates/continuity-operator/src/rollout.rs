//! How a changed policy reaches the nodes: canaries, their failure domain, then twice as many domains with each step.
//!
//! Only a *change* of a policy that is in force is staged. At once goes: the first policy of a port, a change to Observe
//! (taking hands off must never wait), anything while `spec.rollout.canaryNodes` is 0, and everything in a cluster of at
//! most three nodes, where the canaries would be the fleet. Each stage is watched for `soakSeconds` from the moment all of
//! its nodes report that they run it; then comes the next. It halts and is taken back when the nodes that run it get worse
//! than the rest, refuse it, stop, restart, or do not confirm it within two minutes. What halted is poison: it is not
//! tried again until the policy says something else, or a person aborts it and takes the abort back.
//!
//! The stage, its nodes and the end are in the plan, so another leader goes on from there; it only watches the present
//! stage once more from the start, because what it has not seen it can not vouch for. Pure: takes `now`, compares no clocks.

mod judge;
mod widen;

pub use judge::Figures;

use crate::moment::Moment;
use continuity_api::plan::{Candidate, CompiledPolicy, RolloutPhase, RolloutRecord};
use continuity_api::policy::{Mode, Rollout};
use continuity_api::{ContinuityPolicy, labels};
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use std::time::Duration;

/// Most canary nodes, whatever the policy asks for: what a bad policy may take.
pub const CANARIES_MAX: usize = 3;
/// Roll-outs under way at once. At three stages of 60 s they take on 21 sets a minute.
pub const ACTIVE_MAX: usize = 64;
/// Time in which the nodes of a stage must confirm it.
const CONFIRM: Duration = Duration::from_secs(120);
/// Time for which a stage must look worse before it is taken back: two reports of a node.
const WORSE: Duration = Duration::from_secs(6);

/// A node, as far as a roll-out is concerned.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NodeView {
    /// Its name.
    pub name: String,
    /// Its failure domain; empty where it names none.
    pub zone: String,
    /// Whether its agent is there, works, and is trusted.
    pub sound: bool,
    /// How often its agent was seen to start anew.
    pub restarts: u32,
    /// Digest of the plan it runs for this set.
    pub digest: String,
    /// Why it refuses the plan; empty where it does not.
    pub refusal: String,
    /// What it reports of the set's traffic.
    pub figures: Figures,
}

/// What a person asks of the roll-out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Wish {
    /// Stay.
    pub paused: bool,
    /// Take it back.
    pub aborted: bool,
}

impl Wish {
    /// What the spec and the annotation of `policy` say.
    #[must_use]
    pub fn of(policy: &ContinuityPolicy) -> Self {
        let annotations = policy.metadata.annotations.as_ref();
        let asked = annotations
            .and_then(|found| found.get(labels::ROLLOUT))
            .map(String::as_str);
        Self {
            paused: policy.spec.rollout.paused || asked == Some(labels::ROLLOUT_PAUSE),
            aborted: asked == Some(labels::ROLLOUT_ABORT),
        }
    }
}

/// Everything a step is decided from.
#[derive(Clone, Debug)]
pub struct Facts<'a> {
    /// Policy in force; none before there is a plan.
    pub stable: Option<&'a CompiledPolicy>,
    /// What the policy says now.
    pub wanted: &'a CompiledPolicy,
    /// Its generation.
    pub generation: i64,
    /// Candidate in the stored plan.
    pub candidate: Option<&'a Candidate>,
    /// Record in the stored plan.
    pub record: Option<&'a RolloutRecord>,
    /// Digest of the stored plan.
    pub digest: &'a str,
    /// How the policy wants to be rolled out.
    pub rollout: Rollout,
    /// What a person asks.
    pub wish: Wish,
    /// Every node there is, in order of name.
    pub nodes: &'a [NodeView],
    /// Roll-outs of other sets under way.
    pub others: usize,
}

/// What belongs into the plan.
#[derive(Clone, Debug, PartialEq)]
pub struct Step {
    /// Policy of every node that the candidate does not name.
    pub stable: CompiledPolicy,
    /// Policy on trial.
    pub candidate: Option<Candidate>,
    /// Where the roll-out stands.
    pub record: Option<RolloutRecord>,
}

/// What is remembered of the present stage.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Memory {
    /// The stage this is about: its target, phase, nodes and domains.
    stage: Option<(String, RolloutPhase, usize, usize)>,
    began: Duration,
    confirmed: Option<Duration>,
    worse: Option<Duration>,
    restarts: BTreeMap<String, u32>,
    before: Figures,
}

impl Memory {
    /// Whether some nodes run a candidate.
    #[must_use]
    pub fn active(&self) -> bool {
        self.stage.as_ref().is_some_and(|(_, phase, ..)| phase.active())
    }
}

/// Digest of a compiled policy, 16 hexadecimal digits.
#[must_use]
pub fn target(policy: &CompiledPolicy) -> String {
    // A plain struct of integers and enums serialises.
    let text = serde_json::to_vec(policy).unwrap_or_default();
    let bytes = Sha256::digest(&text);
    bytes.iter().take(8).map(|byte| format!("{byte:02x}")).collect()
}

/// The next step of the roll-out of one set.
pub fn decide(memory: &mut Memory, facts: &Facts<'_>, now: Moment) -> Step {
    let Some(stable) = facts.stable else {
        return at_once(memory, facts);
    };
    if stable == facts.wanted {
        return at_once(memory, facts);
    }
    let wanted = target(facts.wanted);
    let record = facts.record.filter(|record| record.target == wanted);
    if let Some(record) = record.filter(|record| record.phase.reverted()) {
        return reverted(memory, facts, stable, record);
    }
    if facts.wish.aborted {
        *memory = Memory::default();
        return back(
            facts,
            stable,
            RolloutPhase::Aborted,
            record,
            "aborted by annotation; remove it to try again",
        );
    }
    let unstaged = facts.rollout.canary_nodes <= 0
        || facts.nodes.len() <= CANARIES_MAX
        || facts.wanted.mode == Mode::Observe;
    if unstaged {
        return at_once(memory, facts);
    }
    match (record, facts.candidate) {
        (Some(record), Some(candidate)) if record.phase.active() && candidate.policy == *facts.wanted => {
            go_on(memory, facts, stable, (record, candidate), now)
        }
        _ => begin(memory, facts, stable),
    }
}

fn at_once(memory: &mut Memory, facts: &Facts<'_>) -> Step {
    *memory = Memory::default();
    Step {
        stable: facts.wanted.clone(),
        candidate: None,
        record: None,
    }
}

/// What was taken back stays so; one that a person aborted is tried again once the abort is taken back.
fn reverted(memory: &mut Memory, facts: &Facts<'_>, stable: &CompiledPolicy, record: &RolloutRecord) -> Step {
    *memory = Memory::default();
    if facts.wish.aborted && record.phase == RolloutPhase::Halted {
        return back(facts, stable, RolloutPhase::Aborted, Some(record), &record.reason);
    }
    if !facts.wish.aborted && record.phase == RolloutPhase::Aborted {
        return begin(memory, facts, stable);
    }
    Step {
        stable: stable.clone(),
        candidate: None,
        record: Some(record.clone()),
    }
}

fn record(facts: &Facts<'_>, phase: RolloutPhase, domain: &str, reason: &str) -> RolloutRecord {
    RolloutRecord {
        phase,
        generation: facts.generation,
        target: target(facts.wanted),
        domain: domain.to_owned(),
        reason: crate::gather::sentence(reason),
    }
}

fn back(
    facts: &Facts<'_>,
    stable: &CompiledPolicy,
    phase: RolloutPhase,
    before: Option<&RolloutRecord>,
    reason: &str,
) -> Step {
    let domain = before.map_or("", |before| &before.domain);
    Step {
        stable: stable.clone(),
        candidate: None,
        record: Some(record(facts, phase, domain, reason)),
    }
}

fn begin(memory: &mut Memory, facts: &Facts<'_>, stable: &CompiledPolicy) -> Step {
    *memory = Memory::default();
    let wait = |reason| back(facts, stable, RolloutPhase::Waiting, None, reason);
    if facts.wish.paused {
        return wait("paused before it began");
    }
    if facts.others >= ACTIVE_MAX {
        return wait("64 roll-outs are under way; this one begins when one of them ends");
    }
    let canaries = usize::try_from(facts.rollout.canary_nodes)
        .unwrap_or(0)
        .min(CANARIES_MAX);
    let Some((zone, nodes)) = widen::canaries(facts.nodes, canaries) else {
        return wait("no node has a sound agent to try it");
    };
    let candidate = Candidate {
        policy: facts.wanted.clone(),
        nodes,
        domains: Vec::new(),
    };
    let reason = format!(
        "tried on {} of {} nodes",
        candidate.nodes.len(),
        facts.nodes.len()
    );
    // The candidate stands for its stage from the first look on: others must count it before it is stored.
    memory.stage = Some(stage(&target(facts.wanted), RolloutPhase::Canary, &candidate));
    Step {
        stable: stable.clone(),
        record: Some(record(facts, RolloutPhase::Canary, &zone, &reason)),
        candidate: Some(candidate),
    }
}

fn stage(target: &str, phase: RolloutPhase, candidate: &Candidate) -> (String, RolloutPhase, usize, usize) {
    (
        target.to_owned(),
        phase,
        candidate.nodes.len(),
        candidate.domains.len(),
    )
}

fn go_on(
    memory: &mut Memory,
    facts: &Facts<'_>,
    stable: &CompiledPolicy,
    (record, candidate): (&RolloutRecord, &Candidate),
    now: Moment,
) -> Step {
    let (group, rest): (Vec<&NodeView>, Vec<&NodeView>) =
        facts.nodes.iter().partition(|node| widen::names(candidate, node));
    observe(memory, facts, (record, candidate), &group, now);
    if let Some(reason) = judge::halt(memory, facts.digest, (&group, &rest), now) {
        *memory = Memory::default();
        return back(facts, stable, RolloutPhase::Halted, Some(record), &reason);
    }
    let stay = || Step {
        stable: stable.clone(),
        candidate: Some(candidate.clone()),
        record: Some(record.clone()),
    };
    let soak = Duration::from_secs(u64::try_from(facts.rollout.soak_seconds).unwrap_or(60));
    let soaked = memory
        .confirmed
        .is_some_and(|confirmed| now.mono.saturating_sub(confirmed) >= soak);
    // A soak may be shorter than the time that worse figures need to be believed: doubt does not widen.
    if facts.wish.paused || !soaked || memory.worse.is_some() {
        return stay();
    }
    next(memory, facts, stable, (record, candidate))
}

/// The stage after the present one, which has proven itself.
fn next(
    memory: &mut Memory,
    facts: &Facts<'_>,
    stable: &CompiledPolicy,
    (before, candidate): (&RolloutRecord, &Candidate),
) -> Step {
    let Some(wider) = widen::next(facts.nodes, candidate, &before.domain) else {
        return at_once(memory, facts);
    };
    let phase = match before.phase {
        RolloutPhase::Canary => RolloutPhase::Domain,
        _ => RolloutPhase::Widening,
    };
    let runs = facts
        .nodes
        .iter()
        .filter(|node| widen::names(&wider, node))
        .count();
    let reason = format!("tried on {runs} of {} nodes", facts.nodes.len());
    Step {
        stable: stable.clone(),
        candidate: Some(wider),
        record: Some(record(facts, phase, &before.domain, &reason)),
    }
}

/// Takes in what the nodes of the stage say.
fn observe(
    memory: &mut Memory,
    facts: &Facts<'_>,
    (record, candidate): (&RolloutRecord, &Candidate),
    group: &[&NodeView],
    now: Moment,
) {
    let stage = stage(&record.target, record.phase, candidate);
    let fresh = memory.began == Duration::ZERO || memory.stage.as_ref() != Some(&stage);
    if fresh {
        let restarts = |node: &NodeView| (node.name.clone(), node.restarts);
        *memory = Memory {
            stage: Some(stage),
            began: now.mono.max(Duration::from_nanos(1)),
            restarts: facts.nodes.iter().map(restarts).collect(),
            before: Figures::sum(group.iter().map(|node| &node.figures)),
            ..Memory::default()
        };
    }
    let runs = |node: &&NodeView| node.digest == facts.digest;
    let (sound, running) = group
        .iter()
        .filter(|node| node.sound)
        .fold((0, 0), |(all, some), node| {
            (all + 1, some + usize::from(runs(node)))
        });
    // A canary must confirm; of many nodes a tenth may be away for reasons of its own.
    let enough = if record.phase == RolloutPhase::Canary {
        running == sound
    } else {
        running * 10 >= sound * 9
    };
    if memory.confirmed.is_none() && sound > 0 && enough {
        memory.confirmed = Some(now.mono);
    }
}

#[cfg(test)]
mod tests;
