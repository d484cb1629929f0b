//! From a mark and a policy to entries: what it says, what it has, and how far its roll-outs have come.

use super::written;
use crate::policy::contested;
use continuity_api::plan::RolloutPhase;
use continuity_api::policy::{Mode, ROLLOUTS_MAX, RolloutStatus, TargetStatus};
use continuity_api::timeline::{PolicyMark, RolloutMark, TargetMark, TimelineEntry};
use continuity_api::{Condition, ContinuityPolicy, Time, conditions, events, reasons};
use k8s_openapi::jiff::Timestamp;
use sha2::{Digest, Sha256};

/// What the next transition of `policy` is told from.
pub(super) fn mark(before: Option<&PolicyMark>, policy: &ContinuityPolicy) -> PolicyMark {
    let status = policy.status.clone().unwrap_or_default();
    let programmed = find(&status.conditions, conditions::PROGRAMMED);
    let generation = status.observed_generation.unwrap_or_default();
    let everywhere = programmed.is_some_and(|found| found.status == conditions::TRUE);
    PolicyMark {
        generation,
        mode: policy.spec.mode,
        accepted: find(&status.conditions, conditions::ACCEPTED)
            .map(|found| found.reason.clone())
            .unwrap_or_default(),
        targets: status.targets.iter().map(target).collect(),
        truncated: usize::try_from(status.targets_total).is_ok_and(|total| total > status.targets.len()),
        rollouts: status.rollouts.iter().map(rollout).collect(),
        programmed: if everywhere {
            generation
        } else {
            before.map_or(0, |before| before.programmed)
        },
        refused: programmed.is_some_and(|found| found.reason == reasons::REFUSED),
    }
}

fn find<'a>(list: &'a [Condition], kind: &str) -> Option<&'a Condition> {
    list.iter().find(|condition| condition.type_ == kind)
}

fn target(status: &TargetStatus) -> TargetMark {
    let accepted = find(&status.conditions, conditions::ACCEPTED);
    let message = accepted.map_or("", |found| &found.message);
    TargetMark {
        target: named(status),
        reason: accepted.map(|found| found.reason.clone()).unwrap_or_default(),
        contested: contested(message),
        digest: digest(message),
    }
}

/// `web`, or `web:http`.
fn named(status: &TargetStatus) -> String {
    let name = &status.target_ref.name;
    match &status.target_ref.section_name {
        Some(port) => format!("{name}:{port}"),
        None => name.clone(),
    }
}

fn rollout(status: &RolloutStatus) -> RolloutMark {
    RolloutMark {
        set: status.set.clone(),
        phase: status.phase,
        generation: status.generation,
        paused: status.paused,
        digest: digest(&status.reason),
    }
}

fn digest(text: &str) -> String {
    let bytes = Sha256::digest(text.as_bytes());
    bytes.iter().take(8).map(|byte| format!("{byte:02x}")).collect()
}

struct Teller<'a> {
    policy: &'a ContinuityPolicy,
    before: Option<&'a PolicyMark>,
    after: PolicyMark,
    now: Timestamp,
}

/// What happened between `before` and `policy`.
pub(super) fn told(
    before: Option<&PolicyMark>,
    policy: &ContinuityPolicy,
    now: Timestamp,
) -> Vec<TimelineEntry> {
    let teller = Teller {
        policy,
        before,
        after: mark(before, policy),
        now,
    };
    let mut entries = Vec::new();
    entries.extend(teller.changed());
    entries.extend(teller.targets());
    entries.extend(teller.gone());
    entries.extend(teller.unmatched());
    entries.extend(teller.ended());
    entries.extend(teller.rollouts());
    entries.extend(teller.refused());
    entries.extend(teller.programmed());
    entries
}

impl Teller<'_> {
    fn entry(&self, what: &str, subject: &str, cause: &str, action: &str) -> TimelineEntry {
        written((None, self.now), what, subject, cause, action)
    }

    fn conditions(&self) -> &[Condition] {
        self.policy
            .status
            .as_ref()
            .map_or(&[], |status| status.conditions.as_slice())
    }

    /// What it says: generation and mode.
    fn changed(&self) -> Option<TimelineEntry> {
        let (before, after) = (self.before?, &self.after);
        let mut changes = Vec::new();
        if before.generation != after.generation {
            changes.push(format!("generation {} → {}", before.generation, after.generation));
        }
        if before.mode != after.mode {
            changes.push(format!("mode {:?} → {:?}", before.mode, after.mode));
        }
        let action = match (before.mode == after.mode, after.mode) {
            (true, _) => "",
            (false, Mode::Observe) => {
                "hands are taken off everywhere at once; a change to Observe is not staged"
            }
            (false, Mode::Enforce) => "traffic is steered from where it is rolled out",
        };
        (!changes.is_empty()).then(|| self.entry(events::POLICY_CHANGED, "", &changes.join(", "), action))
    }

    fn follows(&self) -> &'static str {
        match self.policy.spec.mode {
            Mode::Enforce => "its traffic is steered as this policy says",
            Mode::Observe => "its traffic is watched and not touched: Observe",
        }
    }

    fn targets(&self) -> Vec<TimelineEntry> {
        let listed = self.policy.status.iter().flat_map(|status| &status.targets);
        listed
            .zip(&self.after.targets)
            .filter_map(|(status, after)| self.target(status, after))
            .collect()
    }

    fn target(&self, status: &TargetStatus, after: &TargetMark) -> Option<TimelineEntry> {
        let known = self.before.map_or(&[][..], |before| &before.targets);
        let before = known.iter().find(|known| known.target == after.target);
        if before == Some(after) {
            return None;
        }
        let accepted = after.reason == reasons::ACCEPTED;
        let had = before.is_some_and(|before| before.contested);
        let (what, action) = match (accepted, had, after.contested) {
            (true, false, true) => (events::CONFLICT_LOST, "this policy has the other ports"),
            (false, _, true) => (events::CONFLICT_LOST, "this policy has no effect on it"),
            (true, true, false) => (events::CONFLICT_WON, self.follows()),
            (true, ..) => (events::POLICY_ACCEPTED, self.follows()),
            (false, ..) => (events::POLICY_REFUSED, "its traffic stays as it was"),
        };
        let condition = find(&status.conditions, conditions::ACCEPTED)?;
        // A first look tells when it began; later a message can change without a new time.
        let since = self.before.is_none().then_some(&condition.last_transition_time);
        Some(written(
            (since, self.now),
            what,
            &after.target,
            &condition.message,
            action,
        ))
    }

    /// Targets that are no longer listed, unless the list is cut.
    fn gone(&self) -> Vec<TimelineEntry> {
        let Some(before) = self
            .before
            .filter(|before| !before.truncated && !self.after.truncated)
        else {
            return Vec::new();
        };
        let listed = |known: &TargetMark| self.after.targets.iter().any(|one| one.target == known.target);
        let told = |known: &TargetMark| {
            let cause = "no longer named or selected, or deleted";
            self.entry(
                events::TARGET_GONE,
                &known.target,
                cause,
                "its traffic is left alone",
            )
        };
        before
            .targets
            .iter()
            .filter(|known| !listed(known))
            .map(told)
            .collect()
    }

    /// That a selector finds nothing, which no target tells.
    fn unmatched(&self) -> Option<TimelineEntry> {
        let before = self.before.map_or("", |before| &before.accepted);
        let nothing = self.after.accepted == reasons::NOTHING_SELECTED && before != self.after.accepted;
        let condition = find(self.conditions(), conditions::ACCEPTED).filter(|_| nothing)?;
        Some(self.entry(events::POLICY_ACCEPTED, "", &condition.message, ""))
    }

    fn rollouts(&self) -> Vec<TimelineEntry> {
        let listed = self.policy.status.iter().flat_map(|status| &status.rollouts);
        listed.flat_map(|status| self.rollout(status)).collect()
    }

    fn rollout(&self, status: &RolloutStatus) -> Vec<TimelineEntry> {
        let known = self.before.map_or(&[][..], |before| &before.rollouts);
        let before = known
            .iter()
            .find(|known| known.set == status.set && known.generation == status.generation);
        let after = rollout(status);
        let mut entries = Vec::new();
        let moved = before.is_none_or(|before| before.phase != after.phase || before.digest != after.digest);
        if moved {
            entries.push(self.stage(status));
        }
        let was = before.is_some_and(|before| before.paused);
        match (was, status.paused) {
            (false, true) => entries.push(self.entry(
                events::ROLLOUT_PAUSED,
                &status.set,
                &format!("a person asked for it in stage {:?}", status.phase),
                "stays where it is, and is taken back all the same if it makes things worse",
            )),
            (true, false) if !status.phase.reverted() => entries.push(self.entry(
                events::ROLLOUT_RESUMED,
                &status.set,
                "the pause was taken back",
                "goes on",
            )),
            _ => {}
        }
        entries
    }

    fn stage(&self, status: &RolloutStatus) -> TimelineEntry {
        let zone = if status.domain.is_empty() {
            String::new()
        } else {
            format!(", first in zone {}", status.domain)
        };
        let cause = format!("generation {}: {}{zone}", status.generation, status.reason);
        let soak = self.policy.spec.rollout.soak_seconds;
        let watched = format!("watched for {soak} s, then wider; taken back if it makes things worse");
        let (what, action) = match status.phase {
            RolloutPhase::Waiting => (events::ROLLOUT_WAITS, "the generation before stays in force"),
            RolloutPhase::Canary => (events::ROLLOUT_STARTED, watched.as_str()),
            RolloutPhase::Domain | RolloutPhase::Widening => (events::ROLLOUT_WIDENED, watched.as_str()),
            RolloutPhase::Halted => (
                events::ROLLOUT_HALTED,
                "reverted: every node runs the generation before; suspended until the policy says something else",
            ),
            RolloutPhase::Aborted => (
                events::ROLLOUT_ABORTED,
                "reverted: every node runs the generation before; tried again once the abort is taken back",
            ),
        };
        self.entry(what, &status.set, &cause, action)
    }

    /// Roll-outs that are no longer listed: they ended well, or something else is wanted now.
    fn ended(&self) -> Vec<TimelineEntry> {
        let Some(before) = self.before else {
            return Vec::new();
        };
        // A full list hides who ended and who was only pushed out.
        if before.rollouts.len() >= ROLLOUTS_MAX || self.after.rollouts.len() >= ROLLOUTS_MAX {
            return Vec::new();
        }
        let still = |known: &RolloutMark| {
            let mut listed = self.after.rollouts.iter();
            listed.any(|one| one.set == known.set && one.generation == known.generation)
        };
        let told = |known: &RolloutMark| {
            let generation = known.generation;
            if known.generation == self.after.generation && known.phase.active() {
                let cause = format!("generation {generation} proved itself in stage {:?}", known.phase);
                return self.entry(events::ROLLOUT_FINISHED, &known.set, &cause, "every node gets it");
            }
            let cause = if known.generation == self.after.generation {
                format!("generation {generation} is in force without it, or no longer has this set")
            } else {
                format!(
                    "generation {} came after generation {generation}, which was in stage {:?}",
                    self.after.generation, known.phase
                )
            };
            self.entry(events::ROLLOUT_DROPPED, &known.set, &cause, "")
        };
        let over = before.rollouts.iter().filter(|known| !still(known));
        over.map(told).collect()
    }

    fn refused(&self) -> Option<TimelineEntry> {
        let fresh = self.after.refused && !self.before.is_some_and(|before| before.refused);
        let condition = find(self.conditions(), conditions::PROGRAMMED).filter(|_| fresh)?;
        let action = "that node goes on with what it ran before";
        Some(self.entry(events::PLAN_REFUSED, "", &condition.message, action))
    }

    /// That every node runs it, once for each generation: nodes come and go.
    fn programmed(&self) -> Option<TimelineEntry> {
        let known = self.before.map_or(0, |before| before.programmed);
        let fresh = self.after.programmed != known;
        let condition = find(self.conditions(), conditions::PROGRAMMED).filter(|_| fresh)?;
        let since: Option<&Time> = self.before.is_none().then_some(&condition.last_transition_time);
        let what = events::POLICY_PROGRAMMED;
        Some(written((since, self.now), what, "", &condition.message, ""))
    }
}
