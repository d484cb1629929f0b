//! What is told of a node.

use super::{moment, whats};
use crate::timeline::{Subject, appended};
use crate::world::{Own, Portrait};
use continuity_api::node::{CapabilityReport, DataplaneState};
use continuity_api::{EquivalenceTimelineSpec, Time, events};
use std::sync::Arc;

fn own() -> Own {
    Own {
        uid: "u".into(),
        agent_version: "0.1.0".into(),
        boot_id: "b1".into(),
        kernel: "6.12.1".into(),
        zone: "a".into(),
        started: Some(Time(moment(-100))),
        dataplane: DataplaneState::Attached,
        ..Own::default()
    }
}

fn node(own: Own) -> Portrait {
    Portrait {
        name: "node-1".into(),
        own: Arc::new(own),
        silent: None,
        doubt: None,
    }
}

fn told(story: Vec<Portrait>) -> EquivalenceTimelineSpec {
    let mut spec = None;
    for (second, seen) in story.into_iter().enumerate() {
        let at = moment(i64::try_from(second).unwrap());
        spec = appended(spec.as_ref(), &Subject::Node(Arc::new(seen)), at).or(spec);
    }
    spec.unwrap()
}

#[test]
fn a_node_appears_once_and_its_agent_kernel_and_features_are_told_as_they_change() {
    let lacking = CapabilityReport {
        name: "sk_storage".into(),
        met: false,
        needs: "kernel 5.2".into(),
        fallback: "counts by tuple".into(),
    };
    let without = Own {
        missing: vec![lacking],
        dataplane: DataplaneState::Degraded,
        message: "sk_storage is off".into(),
        ..own()
    };
    let spec = told(vec![
        node(own()),
        node(own()),
        node(without),
        node(own()),
        node(Own {
            agent_version: "0.2.0".into(),
            started: Some(Time(moment(4))),
            ..own()
        }),
        node(Own {
            agent_version: "0.2.0".into(),
            started: Some(Time(moment(5))),
            ..own()
        }),
        node(Own {
            agent_version: "0.2.0".into(),
            boot_id: "b2".into(),
            started: Some(Time(moment(6))),
            ..own()
        }),
    ]);
    assert_eq!(
        whats(&spec),
        [
            events::NODE_APPEARED,
            events::NODE_DEGRADED,
            events::CAPABILITY_LOST,
            events::NODE_READY,
            events::CAPABILITY_FOUND,
            events::AGENT_CHANGED,
            events::AGENT_RESTARTED,
            events::NODE_REBOOTED,
        ]
    );
    assert_eq!(
        spec.entries[0].cause,
        "agent 0.1.0, kernel 6.12.1, zone a; dataplane Attached"
    );
    assert_eq!(spec.entries[1].cause, "Attached → Degraded: sk_storage is off");
    let lost = &spec.entries[2];
    assert_eq!(
        (lost.subject.as_str(), lost.cause.as_str(), lost.action.as_str()),
        ("sk_storage", "it needs kernel 5.2", "counts by tuple")
    );
    assert_eq!(spec.entries[5].cause, "agent 0.1.0 → 0.2.0");
}

#[test]
fn doubt_and_silence_are_told_with_their_end() {
    let spec = told(vec![
        node(own()),
        Portrait {
            doubt: Some("its agent's pod is not ready".into()),
            ..node(own())
        },
        node(own()),
        Portrait {
            silent: Some(true),
            ..node(own())
        },
        Portrait {
            silent: Some(false),
            ..node(own())
        },
    ]);
    assert_eq!(
        whats(&spec)[1..],
        [
            events::NODE_DISTRUSTED,
            events::NODE_TRUSTED,
            events::NODE_SILENT,
            events::NODE_RETURNED
        ]
    );
    assert_eq!(spec.entries[1].cause, "its agent's pod is not ready");
    assert_eq!(spec.entries[3].cause, "nothing new from its agent for 11 min");
}

#[test]
fn a_new_leader_that_has_not_waited_yet_does_not_tell_a_silent_node_back() {
    let spec = told(vec![
        node(own()),
        Portrait {
            silent: Some(true),
            ..node(own())
        },
        node(own()),
        Portrait {
            silent: Some(true),
            ..node(own())
        },
    ]);
    assert_eq!(whats(&spec), [events::NODE_APPEARED, events::NODE_SILENT]);
}
