//! What is told of a policy.

use super::{moment, whats};
use crate::timeline::{Subject, appended};
use continuity_api::plan::RolloutPhase;
use continuity_api::policy::{Mode, RolloutStatus, TargetStatus};
use continuity_api::target::TargetRef;
use continuity_api::{
    Condition, ContinuityPolicy, ContinuityPolicySpec, ContinuityPolicyStatus, EquivalenceTimelineSpec, Time,
    conditions, events, reasons,
};
use std::sync::Arc;

fn condition(kind: &str, holds: bool, reason: &str, message: &str) -> Condition {
    Condition {
        type_: kind.into(),
        status: if holds {
            conditions::TRUE
        } else {
            conditions::FALSE
        }
        .into(),
        reason: reason.into(),
        message: message.into(),
        observed_generation: None,
        last_transition_time: Time(moment(-60)),
    }
}

/// What is known of a policy for Service `web`.
struct Known {
    generation: i64,
    mode: Mode,
    accepted: (bool, &'static str, String),
    programmed: (bool, &'static str, String),
    rollouts: Vec<RolloutStatus>,
}

impl Known {
    fn well(generation: i64) -> Self {
        Self {
            generation,
            mode: Mode::Enforce,
            accepted: (true, reasons::ACCEPTED, "in force on port http".into()),
            programmed: (
                true,
                reasons::PROGRAMMED,
                "9 of 9 nodes run this generation".into(),
            ),
            rollouts: Vec::new(),
        }
    }

    fn staged(generation: i64, phase: RolloutPhase, reason: &str) -> Self {
        let staged = RolloutStatus {
            set: "web-http-00000".into(),
            phase,
            generation,
            domain: "zone-1".into(),
            reason: reason.into(),
            paused: false,
        };
        Self {
            programmed: (false, reasons::ROLLING_OUT, String::new()),
            rollouts: vec![staged],
            ..Self::well(generation)
        }
    }

    fn seen(self) -> Subject {
        let spec = ContinuityPolicySpec {
            mode: self.mode,
            ..ContinuityPolicySpec::default()
        };
        let mut policy = ContinuityPolicy::new("checkout", spec);
        policy.metadata.namespace = Some("shop".into());
        let (holds, reason, message) = &self.accepted;
        let accepted = condition(conditions::ACCEPTED, *holds, reason, message);
        let (holds, reason, message) = &self.programmed;
        policy.status = Some(ContinuityPolicyStatus {
            observed_generation: Some(self.generation),
            conditions: vec![
                accepted.clone(),
                condition(conditions::PROGRAMMED, *holds, reason, message),
            ],
            targets: vec![TargetStatus {
                target_ref: TargetRef::service("web"),
                controller_name: String::new(),
                conditions: vec![accepted],
            }],
            targets_total: 1,
            rollouts: self.rollouts,
            ..ContinuityPolicyStatus::default()
        });
        Subject::Policy(Arc::new(policy))
    }
}

fn told(story: Vec<Known>) -> EquivalenceTimelineSpec {
    let mut spec = None;
    for (second, known) in story.into_iter().enumerate() {
        let at = moment(i64::try_from(second).unwrap());
        spec = appended(spec.as_ref(), &known.seen(), at).or(spec);
    }
    spec.unwrap()
}

#[test]
fn a_roll_out_is_told_stage_by_stage_to_its_good_end_and_each_once() {
    let spec = told(vec![
        Known::well(3),
        Known::staged(4, RolloutPhase::Canary, "tried on 3 of 9 nodes"),
        Known::staged(4, RolloutPhase::Canary, "tried on 3 of 9 nodes"),
        Known::staged(4, RolloutPhase::Domain, "tried on 4 of 9 nodes"),
        Known::staged(4, RolloutPhase::Widening, "tried on 6 of 9 nodes"),
        Known::staged(4, RolloutPhase::Widening, "tried on 8 of 9 nodes"),
        Known {
            programmed: (false, reasons::RECONCILING, "8 of 9".into()),
            ..Known::well(4)
        },
        Known::well(4),
        Known {
            programmed: (false, reasons::RECONCILING, "9 of 10".into()),
            ..Known::well(4)
        },
        Known::well(4),
    ]);
    assert_eq!(
        whats(&spec),
        [
            events::POLICY_ACCEPTED,
            events::POLICY_PROGRAMMED,
            events::POLICY_CHANGED,
            events::ROLLOUT_STARTED,
            events::ROLLOUT_WIDENED,
            events::ROLLOUT_WIDENED,
            events::ROLLOUT_WIDENED,
            events::ROLLOUT_FINISHED,
            events::POLICY_PROGRAMMED,
        ]
    );
    assert_eq!(
        spec.entries[0].at.0,
        moment(-60),
        "the first look tells since when"
    );
    let started = &spec.entries[3];
    assert_eq!(started.subject, "web-http-00000");
    assert_eq!(
        started.cause,
        "generation 4: tried on 3 of 9 nodes, first in zone zone-1"
    );
    assert!(started.action.starts_with("watched for 60 s"), "{started:?}");
}

#[test]
fn what_halts_is_said_to_be_reverted_and_suspended_and_what_comes_after_it_drops_it() {
    let halted = "500 of 1000 connections fail there, 0 of 1000 elsewhere";
    let spec = told(vec![
        Known::well(3),
        Known::staged(4, RolloutPhase::Canary, "tried on 3 of 9 nodes"),
        Known::staged(4, RolloutPhase::Halted, halted),
        Known::staged(5, RolloutPhase::Aborted, "aborted by annotation"),
        Known::well(6),
    ]);
    assert_eq!(
        whats(&spec)[3..],
        [
            events::ROLLOUT_STARTED,
            events::ROLLOUT_HALTED,
            events::POLICY_CHANGED,
            events::ROLLOUT_DROPPED,
            events::ROLLOUT_ABORTED,
            events::POLICY_CHANGED,
            events::ROLLOUT_DROPPED,
            events::POLICY_PROGRAMMED,
        ]
    );
    let halt = &spec.entries[4];
    assert!(
        halt.cause.contains("500 of 1000") && halt.action.contains("suspended"),
        "{halt:?}"
    );
}

#[test]
fn a_pause_and_its_end_are_told() {
    let mut paused = Known::staged(4, RolloutPhase::Canary, "tried on 3 of 9 nodes");
    paused.rollouts[0].paused = true;
    let spec = told(vec![
        Known::well(3),
        Known::staged(4, RolloutPhase::Canary, "tried on 3 of 9 nodes"),
        paused,
        Known::staged(4, RolloutPhase::Canary, "tried on 3 of 9 nodes"),
    ]);
    assert_eq!(
        whats(&spec)[4..],
        [events::ROLLOUT_PAUSED, events::ROLLOUT_RESUMED]
    );
}

#[test]
fn a_conflict_is_told_when_it_is_lost_in_part_or_whole_and_when_it_is_won() {
    let refused = (
        false,
        reasons::CONFLICTED,
        "Service shop/web: port http follows policy old: it is older".into(),
    );
    let partly = "in force on port http; port admin follows policy old: it is older";
    let spec = told(vec![
        Known::well(1),
        Known {
            accepted: (true, reasons::ACCEPTED, partly.into()),
            ..Known::well(1)
        },
        Known {
            accepted: refused,
            ..Known::well(1)
        },
        Known::well(1),
        Known {
            accepted: (
                false,
                reasons::TARGET_NOT_FOUND,
                "Service shop/web does not exist".into(),
            ),
            ..Known::well(1)
        },
        Known {
            mode: Mode::Observe,
            ..Known::well(2)
        },
    ]);
    assert_eq!(
        whats(&spec)[2..],
        [
            events::CONFLICT_LOST,
            events::CONFLICT_LOST,
            events::CONFLICT_WON,
            events::POLICY_REFUSED,
            events::POLICY_CHANGED,
            events::POLICY_ACCEPTED,
            events::POLICY_PROGRAMMED,
        ]
    );
    let lost = &spec.entries[3];
    assert!(
        lost.subject == "web" && lost.cause.contains("follows policy old"),
        "{lost:?}"
    );
    assert_eq!(spec.entries[6].cause, "generation 1 → 2, mode Enforce → Observe");
}

#[test]
fn a_policy_with_sixteen_targets_and_roll_outs_in_sentences_of_full_length_stays_below_the_bytes() {
    let name = "s".repeat(63);
    let mut spec = None;
    for round in 0..40 {
        let mut known = Known::staged(4, RolloutPhase::Widening, "");
        let staged = known.rollouts[0].clone();
        known.rollouts = (0..16)
            .map(|index| RolloutStatus {
                set: format!("{}-{index:05}", &name[..57]),
                domain: "z".repeat(253),
                reason: format!("{round:02}{}", "→".repeat(254)),
                ..staged.clone()
            })
            .collect();
        let Subject::Policy(mut policy) = known.seen() else {
            panic!("a policy")
        };
        let status = Arc::make_mut(&mut policy).status.as_mut().unwrap();
        let message = format!("{round:02} port http follows policy old {}", "→".repeat(1_000));
        let accepted = condition(conditions::ACCEPTED, true, reasons::ACCEPTED, &message);
        status.targets = (0..16)
            .map(|index| TargetStatus {
                target_ref: TargetRef::port(&format!("{}{index:02}", &name[..61]), &name),
                controller_name: String::new(),
                conditions: vec![accepted.clone()],
            })
            .collect();
        spec = appended(spec.as_ref(), &Subject::Policy(policy), moment(round)).or(spec);
    }
    let spec = spec.unwrap();
    assert!(spec.entries.len() > 50, "{}", spec.entries.len());
    // Metadata and who manages which field have less than 2 kB.
    let size = serde_json::to_vec(&spec).unwrap().len();
    assert!(size < 62 * 1024, "{size} bytes");
}
