mod upheaval;

use std::net::SocketAddr;
use std::time::Duration;

use continuity_dataplane::{MemoryDataplane, Mode, SetId};

use super::*;
use crate::fixture::{WALL, address, desired, endpoint, lane_key, node_loop, three, twin};
use crate::snapshot::LaneShot;

const TICK: Duration = Duration::from_millis(150);

fn id() -> SetId {
    lane_key().id()
}

fn track(node: &NodeLoop<MemoryDataplane>) -> &Track {
    node.tracks().next().expect("a lane")
}

fn shot(node: &NodeLoop<MemoryDataplane>) -> LaneShot {
    track(node).shot()
}

/// Backends that hold slots of the published field.
fn holders(node: &NodeLoop<MemoryDataplane>) -> Vec<String> {
    let field = track(node).field().expect("a published field");
    let view = node.plane().set(&id()).expect("the set").clone();
    let mut held: Vec<String> = field
        .slots
        .iter()
        .flatten()
        .filter_map(|index| view.backends.iter().find(|backend| backend.index == *index))
        .map(|backend| backend.address.to_string())
        .collect();
    held.sort();
    held.dedup();
    held
}

/// A backend answers `count` requests of new connections, each in `micros`.
fn answer(node: &mut NodeLoop<MemoryDataplane>, set: &SetId, backend: SocketAddr, count: u32, micros: u64) {
    let bucket = continuity_field::histogram::bucket(micros);
    node.plane_mut()
        .count_client(set, backend, |traffic, _| {
            traffic.attempts += u64::from(count);
            traffic.established += u64::from(count);
            traffic.answered += u64::from(count);
            traffic.turnaround[bucket] += count;
        })
        .expect("counted");
}

/// `rounds` ticks in which every backend answers `count` requests, each in its own time.
fn serve(node: &mut NodeLoop<MemoryDataplane>, rounds: u32, count: u32, micros: &[(u8, u64)]) {
    serve_at(WALL, node, rounds, count, micros);
}

/// The same at another wall time.
fn serve_at(wall: i64, node: &mut NodeLoop<MemoryDataplane>, rounds: u32, count: u32, micros: &[(u8, u64)]) {
    for _ in 0..rounds {
        for (host, time) in micros {
            answer(node, &id(), address(*host, 2), count, *time);
        }
        node.plane_mut().advance(TICK);
        node.tick(wall);
    }
}

#[test]
fn a_new_lane_is_published_without_waiting_for_a_tick() {
    let mut node = node_loop();
    node.adopt(desired(Mode::Enforce, three()), WALL)
        .expect("adopted");
    assert_eq!(node.tally().ticks, 0);
    assert_eq!(node.tally().publishes, 1);
    assert_eq!(
        holders(&node),
        ["10.244.1.2:8080", "10.244.2.2:8080", "10.244.3.2:8080"]
    );
}

#[test]
fn an_endpoint_that_leaves_is_out_of_the_field_before_the_next_tick() {
    let mut node = node_loop();
    node.adopt(desired(Mode::Enforce, three()), WALL)
        .expect("adopted");
    serve(&mut node, 20, 10, &[(1, 20_000), (2, 20_000), (3, 20_000)]);
    let ticks = node.tally().ticks;
    node.adopt(desired(Mode::Enforce, vec![endpoint(1, 2), endpoint(3, 2)]), WALL)
        .expect("adopted");
    assert_eq!(node.tally().ticks, ticks);
    assert_eq!(holders(&node), ["10.244.1.2:8080", "10.244.3.2:8080"]);
}

#[test]
fn no_endpoints_publish_the_refusal_and_endpoints_end_it() {
    let mut node = node_loop();
    node.adopt(desired(Mode::Enforce, Vec::new()), WALL)
        .expect("adopted");
    assert!(
        track(&node)
            .field()
            .expect("a field")
            .slots
            .iter()
            .all(Option::is_none)
    );
    node.adopt(desired(Mode::Enforce, three()), WALL)
        .expect("adopted");
    assert_eq!(holders(&node).len(), 3);
}

#[test]
fn a_quiet_lane_is_not_published_again() {
    let mut node = node_loop();
    node.adopt(desired(Mode::Enforce, three()), WALL)
        .expect("adopted");
    serve(&mut node, 400, 10, &[(1, 20_000), (2, 20_000), (3, 20_000)]);
    let settled = node.tally().publishes;
    serve(&mut node, 100, 10, &[(1, 20_000), (2, 20_000), (3, 20_000)]);
    assert!(
        node.tally().publishes - settled <= 2,
        "{} publishes in 100 quiet ticks",
        node.tally().publishes - settled
    );
}

#[test]
fn a_gray_backend_is_isolated_and_the_report_says_why_in_words() {
    let mut node = node_loop();
    node.adopt(desired(Mode::Enforce, three()), WALL)
        .expect("adopted");
    serve(&mut node, 300, 10, &[(1, 20_000), (2, 20_000), (3, 20_000)]);
    let before = node.transitions();
    serve(&mut node, 20, 10, &[(1, 20_000), (2, 520_000), (3, 20_000)]);
    assert!(node.transitions() > before);
    let shot = shot(&node);
    let sick = &shot.backends[1];
    assert_eq!(sick.state, continuity_field::BackendState::Isolated, "{shot:?}");
    assert!(!sick.reason.is_empty());
    assert!(
        shot.reason.starts_with("10.244.2.2:8080 (checkout-2-2, node-2) "),
        "{}",
        shot.reason
    );
    assert_eq!(holders(&node), ["10.244.1.2:8080", "10.244.3.2:8080"]);
}

#[test]
fn observe_measures_local_backends_and_never_publishes() {
    let mut node = node_loop();
    let endpoints = vec![endpoint(1, 2), endpoint(1, 3), endpoint(1, 4)];
    node.adopt(desired(Mode::Observe, endpoints), WALL)
        .expect("adopted");
    let bucket = |host: u8| continuity_field::histogram::bucket(if host == 3 { 520_000 } else { 20_000 });
    for round in 0..320 {
        for host in [2_u8, 3, 4] {
            let sick = host == 3 && round > 300;
            node.plane_mut()
                .count_server(address(1, host), |traffic| {
                    traffic.established += 10;
                    traffic.answered += 10;
                    traffic.turnaround[bucket(if sick { 3 } else { 2 })] += 10;
                })
                .expect("counted");
        }
        node.plane_mut().advance(TICK);
        node.tick(WALL);
    }
    let shot = shot(&node);
    assert_eq!((node.tally().publishes, shot.epoch), (0, 0));
    assert!(track(&node).field().is_none());
    assert!(shot.rates.accepted > 100_000, "{:?}", shot.rates);
    assert_eq!(shot.backends[1].state, continuity_field::BackendState::Isolated);
}

/// A backend that is alone on this node answers as often, `rounds` ticks long.
fn serve_alone(node: &mut NodeLoop<MemoryDataplane>, rounds: u32, count: u32, micros: u64) {
    let bucket = continuity_field::histogram::bucket(micros);
    for _ in 0..rounds {
        node.plane_mut()
            .count_server(address(1, 2), |traffic| {
                traffic.established += u64::from(count);
                traffic.answered += u64::from(count);
                traffic.turnaround[bucket] += count;
            })
            .expect("counted");
        node.plane_mut().advance(TICK);
        node.tick(WALL);
    }
}

#[test]
fn in_observe_a_lone_backend_tells_its_median_while_it_is_asked() {
    let mut node = node_loop();
    node.adopt(desired(Mode::Observe, three()), WALL)
        .expect("adopted");
    let medians = |node: &NodeLoop<MemoryDataplane>| -> Vec<i64> {
        let told = shot(node).backends.into_iter();
        told.map(|backend| backend.latency_micros).collect()
    };
    serve_alone(&mut node, 100, 10, 20_000);
    let (calm, others) = (medians(&node)[0], medians(&node)[1..].to_vec());
    assert!((15_000..26_000).contains(&calm), "{calm}");
    assert_eq!(others, [0, 0], "what runs elsewhere is measured elsewhere");
    serve_alone(&mut node, 20, 10, 520_000);
    let late = medians(&node)[0];
    assert!((400_000..650_000).contains(&late), "{late}");
    assert_eq!(
        shot(&node).backends[0].state,
        continuity_field::BackendState::Normal,
        "nobody here to compare it with"
    );
    serve_alone(&mut node, 300, 0, 520_000);
    assert_eq!(medians(&node)[0], 0);
}

#[test]
fn in_observe_failures_of_a_lone_backend_need_no_peers() {
    let mut node = node_loop();
    node.adopt(desired(Mode::Observe, three()), WALL)
        .expect("adopted");
    serve_alone(&mut node, 100, 10, 20_000);
    for _ in 0..20 {
        node.plane_mut()
            .count_server(address(1, 2), |traffic| {
                traffic.established += 10;
                traffic.reset_before_data += 10;
            })
            .expect("counted");
        node.plane_mut().advance(TICK);
        node.tick(WALL);
    }
    let told = &shot(&node).backends[0];
    assert_eq!(told.state, continuity_field::BackendState::Isolated, "{told:?}");
}

#[test]
fn a_switch_to_observe_takes_effect_at_once_and_back_publishes_a_fresh_field() {
    let mut node = node_loop();
    node.adopt(desired(Mode::Enforce, three()), WALL)
        .expect("adopted");
    node.adopt(desired(Mode::Observe, three()), WALL)
        .expect("adopted");
    assert_eq!(node.plane().set(&id()).expect("the set").mode, Mode::Observe);
    let published = node.tally().publishes;
    node.plane_mut().advance(TICK);
    node.tick(WALL);
    assert_eq!(node.tally().publishes, published);
    node.adopt(desired(Mode::Enforce, three()), WALL)
        .expect("adopted");
    assert_eq!(node.tally().publishes, published + 1);
}

#[test]
fn a_lane_without_a_plan_is_gone_from_the_maps() {
    let mut node = node_loop();
    node.adopt(desired(Mode::Enforce, three()), WALL)
        .expect("adopted");
    node.adopt(Arc::default(), WALL).expect("adopted");
    assert!(node.plane().set(&id()).is_none());
    assert_eq!(node.tracks().count(), 0);
}

#[test]
fn the_loop_is_silent_until_it_knows_what_to_do() {
    let mut node = node_loop();
    node.tick(WALL);
    assert_eq!(
        node.tally().ticks,
        0,
        "no heartbeat for a field that nobody looks after"
    );
}

#[test]
fn a_restarted_agent_keeps_the_maps_counts_no_burst_and_goes_on() {
    let mut node = node_loop();
    node.adopt(desired(Mode::Enforce, three()), WALL)
        .expect("adopted");
    serve(&mut node, 100, 10, &[(1, 20_000), (2, 20_000), (3, 20_000)]);
    let epoch = shot(&node).epoch;
    node.park();
    let mut plane = node.into_plane();
    assert!(plane.learned(&id()).is_some(), "what was learnt is in the maps");
    plane.advance(Duration::from_secs(1));

    let mut again = NodeLoop::new(plane);
    assert!(
        again.plane().set(&id()).is_some(),
        "nothing is removed by starting"
    );
    again
        .adopt(desired(Mode::Enforce, three()), WALL)
        .expect("adopted");
    assert!(shot(&again).epoch > epoch, "epochs go on");
    again.plane_mut().advance(TICK);
    again.tick(WALL);
    let shot = shot(&again);
    assert_eq!(shot.totals.offered, 0, "old counts are no new traffic");
    assert_eq!(shot.rates.failed, 0);
}

#[test]
fn what_does_not_fit_the_maps_is_left_to_kube_proxy_and_said() {
    let mut node = NodeLoop::new(twin());
    let many: Vec<_> = (1..=3)
        .flat_map(|host| (1..=100).map(move |last| endpoint(host, last)))
        .collect();
    node.adopt(desired(Mode::Enforce, many), WALL).expect("adopted");
    node.plane_mut().advance(TICK);
    node.tick(WALL);
    let held = track(&node)
        .field()
        .expect("a field")
        .slots
        .iter()
        .flatten()
        .count();
    assert!(held > 0, "those that fitted carry");
}

#[test]
fn a_verdict_that_is_renewed_isolates_once_and_not_again_after_a_clean_test() {
    let mut node = node_loop();
    node.adopt(desired(Mode::Enforce, three()), WALL)
        .expect("adopted");
    let healthy = [(1, 20_000), (2, 20_000), (3, 20_000)];
    serve(&mut node, 300, 10, &healthy);
    // A node that gets good answers of it now would not follow the others.
    let others = [(1, 20_000), (3, 20_000)];
    serve(&mut node, 40, 10, &others);
    let mut judged = Desired::clone(node.desired());
    let lane = judged.lanes.get_mut(&lane_key()).expect("the lane");
    let mut advised = Lane::clone(lane);
    advised.advice.verdicts = Box::new([crate::lane::SharedVerdict {
        backend: crate::lane::backend_id(address(2, 2)),
        kind: continuity_field::VerdictKind::Isolate,
        expires_millis: WALL + 3_600_000,
    }]);
    *lane = Arc::new(advised);
    node.adopt(Arc::new(judged), WALL).expect("adopted");
    serve(&mut node, 2, 10, &others);
    assert_eq!(
        shot(&node).backends[1].state,
        continuity_field::BackendState::Isolated
    );
    serve(&mut node, 200, 10, &healthy);
    let after = &shot(&node).backends[1];
    assert_eq!(
        after.state,
        continuity_field::BackendState::Normal,
        "{}",
        after.reason
    );
}

/// The loop adopts a plan whose advice says this about the second backend, until so long after now.
fn advise(
    node: &mut NodeLoop<MemoryDataplane>,
    said: Option<continuity_field::VerdictKind>,
    millis: i64,
    wall: i64,
) {
    let mut judged = Desired::clone(node.desired());
    let lane = judged.lanes.get_mut(&lane_key()).expect("the lane");
    let mut advised = Lane::clone(lane);
    let verdict = said.map(|kind| crate::lane::SharedVerdict {
        backend: crate::lane::backend_id(address(2, 2)),
        kind,
        expires_millis: wall + millis,
    });
    advised.advice.verdicts = verdict.into_iter().collect();
    *lane = Arc::new(advised);
    node.adopt(Arc::new(judged), wall).expect("adopted");
}

/// A loop whose second backend is isolated on the word of others, for a minute.
fn hearsay() -> NodeLoop<MemoryDataplane> {
    let mut node = node_loop();
    node.adopt(desired(Mode::Enforce, three()), WALL)
        .expect("adopted");
    serve(&mut node, 300, 10, &[(1, 20_000), (2, 20_000), (3, 20_000)]);
    serve(&mut node, 40, 10, &[(1, 20_000), (3, 20_000)]);
    advise(
        &mut node,
        Some(continuity_field::VerdictKind::Isolate),
        60_000,
        WALL,
    );
    // No test of its own reaches it: nothing but the word of others can end it.
    serve(&mut node, 40, 10, &[(1, 20_000), (3, 20_000)]);
    let sick = &shot(&node).backends[1];
    assert_eq!(sick.state, continuity_field::BackendState::Isolated);
    assert!(sick.hearsay, "{}", sick.reason);
    node
}

#[test]
fn a_node_that_gets_good_answers_does_not_isolate_on_the_word_of_others_until_they_cease() {
    let mut node = node_loop();
    node.adopt(desired(Mode::Enforce, three()), WALL)
        .expect("adopted");
    let healthy = [(1, 20_000), (2, 20_000), (3, 20_000)];
    serve(&mut node, 300, 10, &healthy);
    advise(
        &mut node,
        Some(continuity_field::VerdictKind::Isolate),
        60_000,
        WALL,
    );
    serve(&mut node, 40, 10, &healthy);
    let state = |node: &NodeLoop<MemoryDataplane>| shot(node).backends[1].state;
    assert_eq!(state(&node), continuity_field::BackendState::Normal);
    serve(&mut node, 40, 10, &[(1, 20_000), (3, 20_000)]);
    assert_eq!(state(&node), continuity_field::BackendState::Isolated);
    assert!(shot(&node).backends[1].hearsay);
}

#[test]
fn an_isolation_on_the_word_of_others_ends_with_their_release() {
    let mut node = hearsay();
    advise(
        &mut node,
        Some(continuity_field::VerdictKind::Release),
        60_000,
        WALL,
    );
    serve(&mut node, 2, 10, &[(1, 20_000), (3, 20_000)]);
    let state = shot(&node).backends[1].state;
    assert_eq!(state, continuity_field::BackendState::Returning);
}

#[test]
fn a_release_that_comes_during_the_hold_acts_at_its_end() {
    let mut node = node_loop();
    node.adopt(desired(Mode::Enforce, three()), WALL)
        .expect("adopted");
    serve(&mut node, 300, 10, &[(1, 20_000), (2, 20_000), (3, 20_000)]);
    let others = [(1, 20_000), (3, 20_000)];
    serve(&mut node, 40, 10, &others);
    advise(
        &mut node,
        Some(continuity_field::VerdictKind::Isolate),
        60_000,
        WALL,
    );
    serve(&mut node, 2, 10, &others);
    advise(
        &mut node,
        Some(continuity_field::VerdictKind::Release),
        60_000,
        WALL,
    );
    serve(&mut node, 2, 10, &others);
    let state = |node: &NodeLoop<MemoryDataplane>| shot(node).backends[1].state;
    assert_eq!(
        state(&node),
        continuity_field::BackendState::Isolated,
        "held for 2 s"
    );
    serve(&mut node, 14, 10, &others);
    assert_eq!(state(&node), continuity_field::BackendState::Returning);
}

#[test]
fn an_isolation_on_the_word_of_others_ends_when_the_word_is_gone_or_old() {
    let mut gone = hearsay();
    advise(&mut gone, None, 0, WALL);
    serve(&mut gone, 2, 10, &[(1, 20_000), (3, 20_000)]);
    assert_eq!(
        shot(&gone).backends[1].state,
        continuity_field::BackendState::Returning
    );

    let mut old = hearsay();
    // 60 s at 150 ms a round, 40 of them served already.
    serve(&mut old, 355, 10, &[(1, 20_000), (3, 20_000)]);
    assert_eq!(
        shot(&old).backends[1].state,
        continuity_field::BackendState::Isolated
    );
    serve(&mut old, 10, 10, &[(1, 20_000), (3, 20_000)]);
    assert_eq!(
        shot(&old).backends[1].state,
        continuity_field::BackendState::Returning
    );
}

#[test]
fn what_the_node_found_itself_does_not_end_with_the_word_of_others() {
    let mut node = node_loop();
    node.adopt(desired(Mode::Enforce, three()), WALL)
        .expect("adopted");
    serve(&mut node, 300, 10, &[(1, 20_000), (2, 20_000), (3, 20_000)]);
    serve(&mut node, 20, 10, &[(1, 20_000), (2, 520_000), (3, 20_000)]);
    advise(
        &mut node,
        Some(continuity_field::VerdictKind::Isolate),
        5_000,
        WALL,
    );
    serve(&mut node, 100, 10, &[(1, 20_000), (3, 20_000)]);
    assert_eq!(
        shot(&node).backends[1].state,
        continuity_field::BackendState::Isolated
    );
}

#[test]
fn an_isolation_on_the_word_of_others_outlives_the_agent_as_such() {
    let node = hearsay();
    let (plan, before) = (Arc::clone(node.desired()), shot(&node));
    let mut again = NodeLoop::new(node.into_plane());
    again.adopt(plan, WALL).expect("adopted");
    let others = [(1, 20_000), (3, 20_000)];
    serve(&mut again, 20, 10, &others);
    let (sick, was) = (&shot(&again).backends[1], &before.backends[1]);
    assert_eq!(
        (sick.state, sick.hearsay, &sick.reason),
        (was.state, true, &was.reason)
    );
    advise(&mut again, None, 0, WALL);
    serve(&mut again, 2, 10, &others);
    assert_eq!(
        shot(&again).backends[1].state,
        continuity_field::BackendState::Returning
    );
}

#[test]
fn an_agent_that_restarts_in_an_incident_leaves_the_sick_backend_out() {
    let mut node = node_loop();
    node.adopt(desired(Mode::Enforce, three()), WALL)
        .expect("adopted");
    serve(&mut node, 300, 10, &[(1, 20_000), (2, 20_000), (3, 20_000)]);
    serve(&mut node, 20, 10, &[(1, 20_000), (2, 520_000), (3, 20_000)]);
    let healthy = ["10.244.1.2:8080", "10.244.3.2:8080"];
    assert_eq!(holders(&node), healthy);
    let epoch = shot(&node).epoch;

    let before = shot(&node);

    // Killed: nothing is parked.
    let mut again = NodeLoop::new(node.into_plane());
    let later = WALL + 90_000;
    again
        .adopt(desired(Mode::Enforce, three()), later)
        .expect("adopted");
    let told = shot(&again);
    assert_eq!(told.backends[1].state, continuity_field::BackendState::Isolated);
    assert_eq!((told.regime, &told.since), (before.regime, &before.since));
    for _ in 0..60 {
        serve_at(later, &mut again, 1, 10, &[(1, 20_000), (3, 20_000)]);
        if track(&again).field().is_some() {
            assert_eq!(holders(&again), healthy);
        }
        let shot = shot(&again);
        let sick = shot.backends.iter().find(|backend| backend.index == 1);
        let sick = sick.expect("the sick backend");
        let was = &before.backends[1];
        assert_eq!(
            (sick.state, &sick.since, &sick.reason),
            (was.state, &was.since, &was.reason)
        );
        assert_eq!((shot.regime, &shot.since), (before.regime, &before.since));
        assert_eq!(shot.reason, before.reason);
    }
    assert!(shot(&again).epoch > epoch, "the new agent steers by now");
}

#[test]
fn without_a_readable_page_the_pinned_records_say_who_is_isolated() {
    let mut node = node_loop();
    node.adopt(desired(Mode::Enforce, three()), WALL)
        .expect("adopted");
    serve(&mut node, 300, 10, &[(1, 20_000), (2, 20_000), (3, 20_000)]);
    serve(&mut node, 20, 10, &[(1, 20_000), (2, 520_000), (3, 20_000)]);
    let mut plane = node.into_plane();
    plane.keep_learned(&id(), b"another form").expect("kept");

    let mut again = NodeLoop::new(plane);
    again
        .adopt(desired(Mode::Enforce, three()), WALL)
        .expect("adopted");
    assert!(track(&again).field().is_none(), "the old field stands");
    serve(&mut again, 60, 10, &[(1, 20_000), (3, 20_000)]);
    assert_eq!(holders(&again), ["10.244.1.2:8080", "10.244.3.2:8080"]);
    let sick = &shot(&again).backends[1];
    assert_eq!(sick.state, continuity_field::BackendState::Isolated);
    assert!(
        sick.reason.contains("before the agent restarted"),
        "{}",
        sick.reason
    );
}

#[test]
fn a_calm_set_is_calm_since_then_after_a_restart_too() {
    let mut node = node_loop();
    node.adopt(desired(Mode::Enforce, three()), WALL)
        .expect("adopted");
    let healthy = [(1, 20_000), (2, 20_000), (3, 20_000)];
    serve(&mut node, 100, 10, &healthy);
    let before = shot(&node);
    node.park();
    let mut again = NodeLoop::new(node.into_plane());
    let later = WALL + 90_000;
    again
        .adopt(desired(Mode::Enforce, three()), later)
        .expect("adopted");
    serve_at(later, &mut again, 20, 10, &healthy);
    let after = shot(&again);
    assert_eq!((after.regime, &after.since), (before.regime, &before.since));
    assert_eq!(after.backends[0].since, before.backends[0].since);
    assert_eq!(again.transitions(), 0, "a restart is no transition");
}

#[test]
fn a_backend_that_left_while_the_agent_was_away_is_out_at_once() {
    let mut node = node_loop();
    node.adopt(desired(Mode::Enforce, three()), WALL)
        .expect("adopted");
    serve(&mut node, 300, 10, &[(1, 20_000), (2, 20_000), (3, 20_000)]);
    serve(&mut node, 20, 10, &[(1, 20_000), (2, 520_000), (3, 20_000)]);
    let mut again = NodeLoop::new(node.into_plane());
    again
        .adopt(desired(Mode::Enforce, vec![endpoint(1, 2), endpoint(2, 2)]), WALL)
        .expect("adopted");
    assert!(!holders(&again).contains(&"10.244.3.2:8080".to_owned()));
}

/// A dual-stack loop: three pods, each with an address of both families.
fn dual() -> NodeLoop<MemoryDataplane> {
    let addresses = ["10.96.0.7", "fd00:10:96::7"].map(|text| text.parse().expect("an address"));
    let service = crate::cluster::service::ServiceRecord {
        addresses: Box::new(addresses),
        ..crate::fixture::service()
    };
    let mut endpoints = three();
    for host in 1..=3_u16 {
        let address = std::net::Ipv6Addr::new(0xfd00, 0, 0, 0, 0, 0, 0, host).into();
        let pod = endpoint(u8::try_from(host).expect("a host"), 2).pod;
        endpoints.push(crate::cluster::endpoint::EndpointRecord {
            address,
            pod,
            ..endpoint(1, 1)
        });
    }
    let plan = crate::fixture::plan(Mode::Enforce);
    let inventory = crate::fixture::inventory(plan, service, endpoints);
    let mut node = node_loop();
    node.adopt(
        Arc::new(crate::desire::desire(&inventory, crate::fixture::HERE)),
        WALL,
    )
    .expect("adopted");
    node
}

/// Ticks of a busy IPv4 and a nearly idle IPv6 lane; the second pod takes `sick` µs on both.
fn serve_both(node: &mut NodeLoop<MemoryDataplane>, rounds: u32, sick: u64) {
    for round in 0..rounds {
        tick_families(node, sick, |host| [10, u32::from(round % 40 == u32::from(host))]);
    }
}

/// The same with so many answers a tick on either family.
fn serve_families(node: &mut NodeLoop<MemoryDataplane>, rounds: u32, counts: [u32; 2], sick: u64) {
    for _ in 0..rounds {
        tick_families(node, sick, |_| counts);
    }
}

/// One tick; each host answers `counts` requests on IPv4 and IPv6.
fn tick_families(node: &mut NodeLoop<MemoryDataplane>, sick: u64, counts: impl Fn(u8) -> [u32; 2]) {
    tick_hosts(node, &[1, 2, 3], sick, counts);
}

/// One tick in which only these hosts answer.
fn tick_hosts(
    node: &mut NodeLoop<MemoryDataplane>,
    hosts: &[u8],
    sick: u64,
    counts: impl Fn(u8) -> [u32; 2],
) {
    for &host in hosts {
        let time = if host == 2 { sick } else { 20_000 };
        let [four, six] = counts(host);
        answer(node, &lane_key().id(), address(host, 2), four, time);
        answer(node, &six_key().id(), six_address(host), six, time);
    }
    node.plane_mut().advance(TICK);
    node.tick(WALL);
}

/// The IPv6 lane of [`dual`].
fn six_key() -> LaneKey {
    LaneKey {
        family: crate::lane::Family::V6,
        ..lane_key()
    }
}

/// A host's address on it.
fn six_address(host: u8) -> SocketAddr {
    let ip = std::net::Ipv6Addr::new(0xfd00, 0, 0, 0, 0, 0, 0, u16::from(host));
    SocketAddr::new(ip.into(), 8080)
}

#[test]
fn the_quiet_family_hears_from_the_busy_one_who_is_late_and_who_is_well_again() {
    let mut node = dual();
    serve_both(&mut node, 300, 20_000);
    let states = |node: &NodeLoop<MemoryDataplane>| -> Vec<continuity_field::BackendState> {
        node.tracks()
            .map(|track| track.shot().backends[1].state)
            .collect()
    };
    serve_both(&mut node, 20, 520_000);
    assert_eq!(states(&node), [continuity_field::BackendState::Isolated; 2]);
    let quiet = node.tracks().nth(1).expect("the IPv6 lane").shot();
    assert!(quiet.backends[1].hearsay, "no witness for other nodes");
    assert!(
        quiet.backends[1].reason.contains("other address"),
        "{}",
        quiet.backends[1].reason
    );
    serve_both(&mut node, 100, 20_000);
    assert!(
        !states(&node).contains(&continuity_field::BackendState::Isolated),
        "{:?}",
        states(&node)
    );
}

#[test]
fn a_trouble_that_both_families_found_ends_for_both_when_one_sees_its_end() {
    use continuity_field::BackendState::{Isolated, Returning};
    let mut node = dual();
    let sick = |node: &NodeLoop<MemoryDataplane>| -> Vec<_> {
        node.tracks()
            .map(|track| track.shot().backends[1].clone())
            .collect()
    };
    serve_families(&mut node, 300, [10, 10], 20_000);
    serve_families(&mut node, 8, [10, 10], 520_000);
    let found = sick(&node);
    assert!(
        found.iter().all(|one| one.state == Isolated && !one.hearsay),
        "each by itself: {found:?}"
    );
    // The quiet family gets no connection at all, so no test either.
    serve_families(&mut node, 16, [10, 0], 20_000);
    let returning = sick(&node);
    assert_eq!(returning[0].state, Returning, "{returning:?}");
    assert_eq!(returning[1].state, Returning, "{returning:?}");
}

#[test]
fn a_node_that_stood_still_does_not_take_it_for_the_end_of_a_siblings_word() {
    let mut node = dual();
    serve_both(&mut node, 300, 20_000);
    serve_both(&mut node, 20, 520_000);
    let states = |node: &NodeLoop<MemoryDataplane>| -> Vec<continuity_field::BackendState> {
        node.tracks()
            .map(|track| track.shot().backends[1].state)
            .collect()
    };
    assert_eq!(states(&node), [continuity_field::BackendState::Isolated; 2]);
    node.plane_mut().advance(Duration::from_secs(3));
    serve_families(&mut node, 3, [0, 0], 520_000);
    assert_eq!(states(&node), [continuity_field::BackendState::Isolated; 2]);
}

#[test]
fn a_family_that_nobody_asks_releases_nobody_whom_others_found_sick() {
    let mut node = dual();
    serve_families(&mut node, 300, [10, 10], 20_000);
    // Nothing reaches the second pod for a while; the other nodes say that it is sick, over IPv4.
    let quiet = |node: &mut NodeLoop<MemoryDataplane>, rounds: u32| {
        for _ in 0..rounds {
            tick_hosts(node, &[1, 3], 20_000, |_| [10, 0]);
        }
    };
    quiet(&mut node, 40);
    advise(
        &mut node,
        Some(continuity_field::VerdictKind::Isolate),
        60_000,
        WALL,
    );
    quiet(&mut node, 40);
    let sick = &shot(&node).backends[1];
    assert_eq!(sick.state, continuity_field::BackendState::Isolated);
    assert!(sick.hearsay, "{}", sick.reason);
}

#[test]
fn what_one_family_alone_found_is_not_ended_by_the_other() {
    let mut node = dual();
    serve_families(&mut node, 300, [10, 10], 20_000);
    for round in 0..40 {
        serve_families(&mut node, 1, [10, 0], 20_000);
        for host in [1, 2, 3] {
            let late = host == 2 && round < 10;
            let count = if host == 2 && !late { 0 } else { 10 };
            let time = if late { 520_000 } else { 20_000 };
            answer(&mut node, &six_key().id(), six_address(host), count, time);
        }
    }
    let states: Vec<_> = node
        .tracks()
        .map(|track| track.shot().backends[1].clone())
        .collect();
    assert_eq!(
        states[1].state,
        continuity_field::BackendState::Isolated,
        "{states:?}"
    );
}
