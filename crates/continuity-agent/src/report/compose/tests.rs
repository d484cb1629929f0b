use std::sync::Arc;

use continuity_api::node::DataplaneState;
use continuity_api::reasons;
use continuity_dataplane::{Capability, CapabilityId, CapabilityReport, Mode};
use continuity_field::NodeDemand;

use super::*;
use crate::desire::Cause;
use crate::fixture::{desired, endpoint, lane_key, three};
use crate::lane::{Family, Lane, LaneKey};
use crate::snapshot::{Plane, PlaneState, RateShot, TotalShot};

fn now() -> Time {
    Time(jiff::Timestamp::from_second(1_800_000_000).expect("a time"))
}

fn identity() -> Identity {
    Identity {
        zone: Some("a".to_owned()),
        ..Identity::of("node-1", now())
    }
}

fn lane(mode: Mode) -> Arc<Lane> {
    Arc::clone(&desired(mode, three()).lanes[&lane_key()])
}

fn backends(lane: &Lane, isolated: Option<usize>) -> Vec<BackendShot> {
    let one = |index: usize| BackendShot {
        index,
        state: if isolated == Some(index) {
            field::BackendState::Isolated
        } else {
            field::BackendState::Normal
        },
        since: now(),
        hearsay: false,
        reason: if isolated == Some(index) {
            "answers in 512 ms".to_owned()
        } else {
            String::new()
        },
        share_ppm: 333_333,
        latency_micros: 21_000,
        open: 4,
    };
    (0..lane.backends.len()).map(one).collect()
}

fn shot(lane: Arc<Lane>, regime: field::Regime, isolated: Option<usize>) -> LaneShot {
    LaneShot {
        key: lane_key(),
        epoch: 7,
        regime,
        since: now(),
        reason: "a reason".to_owned(),
        enforcement: field::Enforcement::Normal,
        gate: None,
        pressure_milli: 1_310,
        rates: RateShot {
            offered: 500_000,
            steered: 500_000,
            ..RateShot::default()
        },
        totals: TotalShot::default(),
        p50_micros: 21_000,
        p99_micros: 74_000,
        demand: NodeDemand {
            offered_milli_per_second: 500_000,
            in_service: 3,
            ..NodeDemand::default()
        },
        backends: backends(&lane, isolated),
        refusal: String::new(),
        lane,
    }
}

fn snapshot(lanes: Vec<LaneShot>) -> Snapshot {
    let plane = Plane {
        state: PlaneState::Attached,
        ..Plane::default()
    };
    Snapshot {
        plane,
        lanes,
        adopted: true,
        ..Snapshot::default()
    }
}

fn status(snapshot: &Snapshot) -> ContinuityNodeStatus {
    compose(
        snapshot,
        &NodeSample::default(),
        &Forecast::default(),
        &identity(),
        &[],
        1,
        now(),
    )
}

#[test]
fn a_sick_backend_stands_first_with_its_reason() {
    let status = status(&snapshot(vec![shot(
        lane(Mode::Enforce),
        field::Regime::Transition,
        Some(1),
    )]));
    let set = &status.sets[0];
    assert_eq!(
        (status.regime, set.regime),
        (Regime::Transition, Regime::Transition)
    );
    assert_eq!(set.backends[0].address, "10.244.2.2:8080");
    assert_eq!(set.backends[0].state, BackendState::Isolated);
    assert_eq!(set.backends[0].reason, "answers in 512 ms");
    assert_eq!(
        (set.backends[0].pod.as_str(), set.backends[0].node.as_str()),
        ("checkout-2-2", "node-2")
    );
    assert_eq!((set.backends_total, set.backends[0].keep_alive), (3, 4));
    assert_eq!((set.plan_digest.as_str(), status.epoch), ("digest-1", 7));
    assert!(set.would_have.is_none());
}

#[test]
fn observe_says_what_it_would_have_done() {
    let status = status(&snapshot(vec![shot(
        lane(Mode::Observe),
        field::Regime::Transition,
        Some(0),
    )]));
    let would = status.sets[0].would_have.as_ref().expect("would have");
    assert_eq!(would.isolated, ["10.244.1.2:8080"]);
    assert!(would.message.contains("10.244.1.2:8080"), "{}", would.message);
    assert_eq!(would.regime, Regime::Transition);
}

#[test]
fn observe_says_what_cannot_be_seen_from_here() {
    let far = Arc::clone(&desired(Mode::Observe, vec![endpoint(2, 2), endpoint(3, 2)]).lanes[&lane_key()]);
    let status = status(&snapshot(vec![shot(far, field::Regime::Laminar, None)]));
    let message = &status.sets[0].would_have.as_ref().expect("would have").message;
    assert!(
        message.contains("no backend of this set runs on this node"),
        "{message}"
    );
}

#[test]
fn the_families_of_a_set_are_one_report() {
    let four = shot(lane(Mode::Enforce), field::Regime::Laminar, None);
    let mut six = shot(lane(Mode::Enforce), field::Regime::Crisis, Some(2));
    six.key = LaneKey {
        family: Family::V6,
        ..lane_key()
    };
    let status = status(&snapshot(vec![four, six]));
    assert_eq!((status.sets_total, status.sets.len()), (1, 1));
    let set = &status.sets[0];
    assert_eq!(set.regime, Regime::Crisis);
    assert_eq!(set.offered_milli_per_second, 1_000_000);
    assert_eq!(
        (set.demand.offered_milli_per_second, set.demand.in_service),
        (1_000_000, 3)
    );
    assert_eq!(
        (set.backends_total, set.backends.len()),
        (3, 6),
        "three pods with two addresses each"
    );
}

#[test]
fn a_pod_of_both_families_would_have_been_isolated_once() {
    let four = shot(lane(Mode::Observe), field::Regime::Transition, Some(1));
    let mut six = four.clone();
    let mut other = Lane::clone(&six.lane);
    for (host, backend) in (1_u16..).zip(other.backends.iter_mut()) {
        let address = std::net::Ipv6Addr::new(0xfd00, 0, 0, 0, 0, 0, 0, host);
        backend.address = (address, 8080).into();
    }
    six.lane = Arc::new(other);
    six.key = LaneKey {
        family: Family::V6,
        ..lane_key()
    };
    let status = status(&snapshot(vec![four, six]));
    let would = status.sets[0].would_have.as_ref().expect("would have");
    assert_eq!(would.isolated, ["10.244.2.2:8080"]);
}

#[test]
fn a_plan_without_a_lane_is_reported_with_its_refusal() {
    let mut snapshot = snapshot(Vec::new());
    snapshot.idle = vec![Idle {
        namespace: "shop".into(),
        set: "dns-53-1".into(),
        service: "dns".into(),
        port: "53".into(),
        generation: 3,
        cause: Cause::Transport,
    }];
    let status = status(&snapshot);
    assert_eq!(status.sets_total, 1);
    assert!(status.sets[0].refusal.contains("kube-proxy"));
    assert!(
        status.sets[0].plan_digest.is_empty(),
        "a plan that is not in force is not claimed"
    );
}

#[test]
fn the_report_is_bounded_worst_first_and_says_what_it_left_out() {
    let many = |index: u32| {
        let regime = if index.is_multiple_of(100) {
            field::Regime::Crisis
        } else {
            field::Regime::Laminar
        };
        let mut shot = shot(lane(Mode::Enforce), regime, None);
        shot.key.set = format!("set-{index}").into();
        shot
    };
    let status = status(&snapshot((0..700).map(many).collect()));
    assert!(status.sets.len() <= 256);
    assert_eq!(status.sets_total, 700);
    assert!(status.truncated);
    assert_eq!(
        status.sets.len() + usize::try_from(status.omitted_sets).expect("a count"),
        700
    );
    assert!(status.sets.iter().take(7).all(|set| set.regime == Regime::Crisis));
    let bytes = serde_json::to_vec(&status).expect("json").len();
    assert!(bytes <= 64 * 1024, "{bytes} bytes");
}

#[test]
fn a_node_that_lacks_something_says_so_in_conditions_and_keeps_the_time() {
    let missing = Capability {
        id: CapabilityId::CapPerfmon,
        needs: "CAP_PERFMON",
        met: Some(false),
        required: true,
        found: "not held".to_owned(),
        fallback: "nothing is attached",
    };
    let mut snapshot = snapshot(Vec::new());
    snapshot.plane = Plane {
        state: PlaneState::Detached,
        message: "CapPerfmon is missing".to_owned(),
        capabilities: CapabilityReport {
            capabilities: vec![missing],
        },
        ..Plane::default()
    };
    let first = status(&snapshot);
    let ready = &first.conditions[0];
    assert_eq!(
        (ready.status.as_str(), ready.reason.as_str()),
        ("False", "Detached")
    );
    assert_eq!(first.conditions[1].status, "False");
    assert_eq!(first.dataplane.state, DataplaneState::Detached);
    assert!(!first.capabilities[0].met && first.capabilities[0].needs.contains("not held"));
    assert!(first.dataplane.programs.iter().all(|program| !program.attached));

    let later = Time(jiff::Timestamp::from_second(1_800_000_900).expect("a time"));
    let second = compose(
        &snapshot,
        &NodeSample::default(),
        &Forecast::default(),
        &identity(),
        &first.conditions,
        2,
        later,
    );
    assert_eq!(
        second.conditions, first.conditions,
        "the transition time stays while the status stays"
    );
}

#[test]
fn another_schema_is_refused_and_not_just_detached() {
    let mut snapshot = snapshot(Vec::new());
    snapshot.plane.state = PlaneState::Refused;
    snapshot.plane.message = "maps of schema 2".to_owned();
    let status = status(&snapshot);
    assert_eq!(status.dataplane.state, DataplaneState::Refused);
    assert_eq!(status.conditions[0].reason, reasons::SCHEMA_MISMATCH);
}

#[test]
fn a_new_backend_is_said_to_be_new_and_not_to_be_taken_out() {
    let lane = lane(Mode::Enforce);
    let mut shot = backends(&lane, None).remove(0);
    shot.state = field::BackendState::Starting;
    assert_eq!(super::why(&shot), NEW_BACKEND);
    shot.state = field::BackendState::Isolated;
    shot.reason = "answers in 512 ms".to_owned();
    assert_eq!(super::why(&shot), "answers in 512 ms");
}
