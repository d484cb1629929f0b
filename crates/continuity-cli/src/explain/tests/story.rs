//! Golden screens of policies and nodes.

use super::{clock, entry, time};
use crate::explain::{Answer, from_snapshot};
use crate::snapshot::Snapshot;
use continuity_api::node::{CapabilityReport, DataplaneState, Regime};
use continuity_api::plan::RolloutPhase;
use continuity_api::policy::{Mode, RolloutStatus};
use continuity_api::timeline::{SubjectKind, TimelineEntry, TimelineSubject, timeline_name};
use continuity_api::{
    Condition, ContinuityNode, ContinuityNodeSpec, ContinuityNodeStatus, ContinuityPolicy,
    ContinuityPolicySpec, ContinuityPolicyStatus, EquivalenceTimeline, EquivalenceTimelineSpec, conditions,
    reasons,
};

fn condition(kind: &str, status: &str, reason: &str, message: &str) -> Condition {
    Condition {
        type_: kind.into(),
        status: status.into(),
        reason: reason.into(),
        message: message.into(),
        observed_generation: None,
        last_transition_time: time("2026-11-21T12:00:00Z").expect("a time"),
    }
}

fn timeline(
    kind: SubjectKind,
    name: &str,
    namespace: &str,
    entries: Vec<TimelineEntry>,
) -> EquivalenceTimeline {
    let spec = EquivalenceTimelineSpec {
        about: TimelineSubject {
            kind,
            name: name.into(),
        },
        entries,
        ..EquivalenceTimelineSpec::default()
    };
    let mut timeline = EquivalenceTimeline::new(&timeline_name(kind, name), spec);
    timeline.metadata.namespace = Some(namespace.into());
    timeline
}

fn policy() -> ContinuityPolicy {
    let spec = ContinuityPolicySpec {
        mode: Mode::Enforce,
        ..ContinuityPolicySpec::default()
    };
    let mut policy = ContinuityPolicy::new("checkout", spec);
    policy.metadata.namespace = Some("shop".into());
    policy.metadata.generation = Some(4);
    policy.status = Some(ContinuityPolicyStatus {
        observed_generation: Some(4),
        programmed: "0/9".into(),
        targets_total: 1,
        conditions: vec![
            condition(
                conditions::ACCEPTED,
                "True",
                reasons::ACCEPTED,
                "in force on every target (1)",
            ),
            condition(
                conditions::PROGRAMMED,
                "False",
                reasons::ROLLOUT_HALTED,
                "taken back",
            ),
        ],
        rollouts: vec![RolloutStatus {
            set: "checkout-http-7f3ac".into(),
            phase: RolloutPhase::Halted,
            generation: 4,
            domain: "zone-1".into(),
            reason: "500 of 1000 connections fail there, 0 of 1000 elsewhere".into(),
            paused: false,
        }],
        ..ContinuityPolicyStatus::default()
    });
    policy
}

fn screen(snapshot: Snapshot, target: &str) -> String {
    from_snapshot(snapshot, "shop", target, &clock())
        .map(|answer| answer.text())
        .unwrap_or_else(|error| error.to_string())
}

#[test]
fn a_policy_that_was_taken_back_says_what_happened_why_and_what_to_do() {
    let entries = vec![
        entry(
            "2026-11-21T12:03:00Z",
            "RolloutStarted",
            "checkout-http-7f3ac",
            "generation 4: tried on 3 of 9 nodes, first in zone zone-1",
            "watched for 60 s",
        ),
        entry(
            "2026-11-21T12:04:10Z",
            "RolloutHalted",
            "checkout-http-7f3ac",
            "generation 4: 500 of 1000 connections fail there, 0 of 1000 elsewhere",
            "reverted",
        ),
    ];
    let snapshot = Snapshot {
        policies: vec![policy()],
        timelines: vec![timeline(
            SubjectKind::ContinuityPolicy,
            "checkout",
            "shop",
            entries,
        )],
        ..Snapshot::default()
    };
    assert_eq!(
        screen(snapshot, "policy/checkout"),
        "policy checkout   shop   Enforce   generation 4   Accepted   RolloutHalted   0/9 nodes run it
  past   12:03:00  RolloutStarted checkout-http-7f3ac: generation 4: tried on 3 of 9 nodes, first in zone zone-1 – watched for 60 s
         12:04:10  RolloutHalted checkout-http-7f3ac: generation 4: 500 of 1000 connections fail there, 0 of 1000 elsewhere – reverted
  now    Accepted (Accepted): in force on every target (1)
         not Programmed (RolloutHalted): taken back
         checkout-http-7f3ac: generation 4 in stage Halted: 500 of 1000 connections fail there, 0 of 1000 elsewhere, first in zone zone-1
  you    kubectl edit ctpol checkout -n shop   # what halted is not tried again until the spec says something else
"
    );
}

#[test]
fn a_node_says_what_it_lacks_and_why_it_is_left_out() {
    let mut node = ContinuityNode::new("node-1", ContinuityNodeSpec {});
    let mut status = ContinuityNodeStatus {
        agent_version: "0.1.0".into(),
        kernel: "6.12.1".into(),
        zone: "a".into(),
        started: time("2026-11-21T11:05:13Z"),
        reported: time("2026-11-21T12:05:03Z"),
        regime: Regime::Laminar,
        sets_total: 12,
        conditions: vec![
            condition(conditions::READY, "True", reasons::DEGRADED, "sk_storage is off"),
            condition(
                conditions::TRUSTED,
                "False",
                reasons::DOUBTED,
                "its agent's pod is not ready",
            ),
        ],
        capabilities: vec![CapabilityReport {
            name: "sk_storage".into(),
            met: false,
            needs: "kernel 5.2".into(),
            fallback: "counts by tuple".into(),
        }],
        ..ContinuityNodeStatus::default()
    };
    status.dataplane.state = DataplaneState::Degraded;
    node.status = Some(status);
    let entries = vec![entry(
        "2026-11-21T12:01:00Z",
        "NodeDistrusted",
        "",
        "its agent's pod is not ready",
        "left out",
    )];
    let timelines = vec![timeline(
        SubjectKind::ContinuityNode,
        "node-1",
        "continuity-system",
        entries,
    )];
    let snapshot = Snapshot {
        nodes: vec![node],
        timelines,
        ..Snapshot::default()
    };
    assert_eq!(
        screen(snapshot, "node/node-1"),
        "node node-1   zone a   kernel 6.12.1   agent 0.1.0   Degraded   Laminar over 12 sets   its reports do not count
  past   12:01:00  NodeDistrusted: its agent's pod is not ready – left out
  now    Ready (Degraded): sk_storage is off
         not Trusted (Doubted): its agent's pod is not ready
         failsafe Normal, reported 10 s ago by its own clock, agent up for 1 h
         without sk_storage: needs kernel 5.2; counts by tuple
  you    kubectl get cnode node-1 -o yaml
         kubectl get pods -n continuity-system -l app.kubernetes.io/name=continuity-agent --field-selector spec.nodeName=node-1
"
    );
}

#[test]
fn what_is_not_there_or_has_no_past_is_said() {
    let snapshot = Snapshot {
        policies: vec![policy()],
        ..Snapshot::default()
    };
    assert_eq!(
        screen(snapshot.clone(), "policy/nope"),
        "the snapshot has no policy nope in namespace shop"
    );
    assert_eq!(
        screen(snapshot.clone(), "node/nope"),
        "the snapshot has no node nope"
    );
    let told = screen(snapshot.clone(), "policy/checkout");
    assert!(told.contains("past   nothing is written about it"), "{told}");
    let many = (10..30).map(|minute| {
        entry(
            &format!("2026-11-21T11:{minute}:00Z"),
            "ConflictLost",
            "web",
            "",
            "",
        )
    });
    let long = timeline(SubjectKind::ContinuityPolicy, "checkout", "shop", many.collect());
    let answer = from_snapshot(
        Snapshot {
            timelines: vec![long],
            ..snapshot
        },
        "shop",
        "policy/checkout",
        &clock(),
    );
    let Ok(Answer::Story(story)) = answer else {
        panic!("a story")
    };
    assert_eq!(story.past.len(), 15);
    assert_eq!(
        story.past[0],
        "and 6 before: kubectl get eqt policy.checkout -n shop -o yaml"
    );
}
