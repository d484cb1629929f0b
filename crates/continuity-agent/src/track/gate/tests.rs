use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use continuity_dataplane::{MemoryDataplane, Mode};
use continuity_field::admission::{Class, Config};
use continuity_field::{Enforcement, Regime};
use continuity_sensors::PodId;

use crate::desire::{Desired, desire};
use crate::fixture::{HERE, WALL, address, inventory, lane_key, node_loop, plan, service, three, twin};
use crate::gate::{GatePolicy, PodRecord, Rule};
use crate::node::NodeLoop;
use crate::snapshot::LaneShot;
use crate::track::Track;

const TICK: Duration = Duration::from_millis(150);
const UID: &str = "0b7c1c5e-3c1f-4a0e-9a55-6a3a7c0a1d11";

fn policy() -> GatePolicy {
    let selector = continuity_api::selector::Selector {
        match_labels: BTreeMap::from([("tier".to_owned(), "paying".to_owned())]),
        ..continuity_api::selector::Selector::default()
    };
    GatePolicy {
        config: Config::default(),
        class: Class::Low,
        rules: Arc::new([Rule {
            pods: Some(selector),
            namespaces: None,
            class: Class::Critical,
            weight: 5,
        }]),
    }
}

/// The one plan with admission, and one paying pod on this node.
fn gated(mode: Mode, gate: Option<GatePolicy>) -> Arc<Desired> {
    let mut plan = plan(mode);
    plan.stable.gate = gate;
    let mut inventory = inventory(plan, service(), three());
    inventory.pods.begin();
    let paying = PodRecord {
        uid: PodId::new(UID).expect("a uid"),
        labels: BTreeMap::from([("tier".to_owned(), "paying".to_owned())]),
    };
    inventory.pods.put(("shop".into(), "cart".into()), paying);
    inventory.pods.finish();
    Arc::new(desire(&inventory, HERE))
}

fn shot(node: &NodeLoop<MemoryDataplane>) -> LaneShot {
    node.tracks().next().map(Track::shot).expect("a lane")
}

/// One tick in which every backend answers five requests, each in `micros`, and so many are in flight.
fn tick(node: &mut NodeLoop<MemoryDataplane>, micros: u64, in_flight: i32, refused: u64) {
    let id = lane_key().id();
    let bucket = continuity_field::histogram::bucket(micros);
    for host in [1, 2, 3] {
        let count = |traffic: &mut continuity_dataplane::wire::Traffic| {
            traffic.attempts += 5;
            traffic.established += 5;
            traffic.answered += 5;
            traffic.turnaround[bucket] += 5;
            traffic.waiting[0] = in_flight / 3;
        };
        let plane = node.plane_mut();
        plane
            .count_client(&id, address(host, 2), |traffic, _| count(traffic))
            .expect("counted");
        let _ = plane.count_server(address(host, 2), count);
    }
    node.plane_mut()
        .count_admission(&id, |words, traffic| {
            words.in_flight = in_flight;
            words.most = in_flight;
            traffic.offered[3] += 15 + refused;
            traffic.full[3] += refused;
        })
        .expect("counted");
    node.plane_mut().advance(TICK);
    node.tick(WALL);
}

fn calm(node: &mut NodeLoop<MemoryDataplane>) {
    (0..80).for_each(|_| tick(node, 20_000, 2, 0));
}

fn surge(node: &mut NodeLoop<MemoryDataplane>) {
    (0..20).for_each(|_| tick(node, 250_000, 30, 40));
}

#[test]
fn a_surge_puts_limits_into_the_maps_and_its_end_takes_them_back() {
    let mut node = node_loop();
    node.adopt(gated(Mode::Enforce, Some(policy())), WALL)
        .expect("adopted");
    calm(&mut node);
    let id = lane_key().id();
    let fuse = node.plane_mut().limits(&id).expect("the set").expect("limits");
    assert_eq!(fuse.thresholds[2], fuse.fuse[0], "in calm the fuse alone");
    assert_eq!(shot(&node).enforcement, Enforcement::Normal);

    surge(&mut node);
    let soft = shot(&node);
    assert_eq!(
        (soft.enforcement, soft.regime),
        (Enforcement::Soft, Regime::Crisis)
    );
    assert!(
        soft.reason.contains("the lowest classes are shed"),
        "{}",
        soft.reason
    );
    let limits = node.plane_mut().limits(&id).expect("the set").expect("limits");
    assert!(limits.thresholds[3] < fuse.thresholds[3], "{limits:?}");
    assert!(limits.thresholds[0] > limits.thresholds[4]);
    assert!(soft.rates.refused > 0 && soft.rates.offered >= soft.rates.refused);
    assert!(soft.demand.shed_milli_per_second > 0);
    let gate = soft.gate.expect("a gate");
    assert_eq!(gate.traffic.expect("counted").full[3], 20 * 40);

    (0..400).for_each(|_| tick(&mut node, 20_000, 2, 0));
    assert_eq!(shot(&node).enforcement, Enforcement::Normal);
}

#[test]
fn a_policy_without_admission_asks_connects_for_nothing_also_after_another_agent_did() {
    let mut node = node_loop();
    node.adopt(gated(Mode::Enforce, Some(policy())), WALL)
        .expect("adopted");
    calm(&mut node);
    let id = lane_key().id();
    assert!(node.plane_mut().limits(&id).expect("the set").is_some());
    let mut node = NodeLoop::new(node.into_plane());
    node.adopt(gated(Mode::Enforce, None), WALL).expect("adopted");
    tick(&mut node, 20_000, 2, 0);
    assert_eq!(node.plane_mut().limits(&id).expect("the set"), None);
    assert_eq!(shot(&node).gate, None);
}

#[test]
fn figures_of_traffic_are_the_same_with_admission_that_refuses_nobody_and_without() {
    let rates = [None, Some(policy())].map(|gate| {
        let mut node = node_loop();
        node.adopt(gated(Mode::Enforce, gate), WALL).expect("adopted");
        for _ in 0..200 {
            let counted = node
                .plane_mut()
                .count_decisions(&lane_key().id(), |traffic| traffic.steered += 15);
            counted.expect("counted");
            tick(&mut node, 20_000, 2, 0);
        }
        let shot = shot(&node);
        (shot.rates, shot.totals, shot.demand)
    });
    assert_eq!(rates[0], rates[1]);
    let (rates, totals, _) = &rates[0];
    assert_eq!((totals.offered, totals.refused), (200 * 15, 0));
    assert!(rates.offered.abs_diff(100_000) < 2_000, "{rates:?}: 15 in 150 ms");
}

#[test]
fn observe_writes_nothing_and_tells_what_enforce_would_have_been() {
    let mut node = node_loop();
    node.adopt(gated(Mode::Observe, Some(policy())), WALL)
        .expect("adopted");
    calm(&mut node);
    surge(&mut node);
    assert_eq!(node.plane_mut().limits(&lane_key().id()).expect("the set"), None);
    let shot = shot(&node);
    assert_eq!(shot.enforcement, Enforcement::Soft);
    assert_eq!(shot.rates.refused, 0);
}

#[test]
fn a_calling_pod_is_known_by_its_cgroup_as_soon_as_that_is_found() {
    let mut node = node_loop();
    node.adopt(gated(Mode::Enforce, Some(policy())), WALL)
        .expect("adopted");
    let id = lane_key().id();
    assert_eq!(node.plane_mut().level(&id, 77).expect("the set"), None);
    let uid = PodId::new(UID).expect("a uid");
    node.place(Arc::new(BTreeMap::from([(uid, vec![77, 78])])));
    tick(&mut node, 20_000, 2, 0);
    let levels = [77, 78, 79].map(|cgroup| node.plane_mut().level(&id, cgroup).expect("the set"));
    assert_eq!(levels, [Some(0), Some(0), None], "critical by the rule");
    node.place(Arc::default());
    tick(&mut node, 20_000, 2, 0);
    assert_eq!(node.plane_mut().level(&id, 77).expect("the set"), None);
}

#[test]
fn what_admission_learned_outlives_the_agent() {
    let mut node = NodeLoop::new(twin());
    node.adopt(gated(Mode::Enforce, Some(policy())), WALL)
        .expect("adopted");
    calm(&mut node);
    let before = shot(&node).gate.expect("a gate").posture;
    node.park();
    let mut next = NodeLoop::new(node.into_plane());
    next.adopt(gated(Mode::Enforce, Some(policy())), WALL)
        .expect("adopted");
    tick(&mut next, 20_000, 2, 0);
    let after = shot(&next).gate.expect("a gate").posture;
    assert_eq!(before.typical.as_millis(), after.typical.as_millis());
    assert!(
        before.proven_milli.abs_diff(after.proven_milli) < 50,
        "{before:?} {after:?}"
    );
}
