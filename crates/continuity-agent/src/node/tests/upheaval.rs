//! What the loop lives through: a stop, a clock that jumps, restarts without end, a foreign hand in its maps.

use super::*;
use crate::snapshot::Worst;

const CALM: &[(u8, u64)] = &[(1, 20_000), (2, 20_000), (3, 20_000)];
const SICK: &[(u8, u64)] = &[(1, 20_000), (2, 20_000), (3, 900_000)];

fn calm() -> NodeLoop<MemoryDataplane> {
    let mut node = node_loop();
    node.adopt(desired(Mode::Enforce, three()), WALL)
        .expect("adopted");
    serve(&mut node, 60, 20, CALM);
    node
}

#[test]
fn a_loop_that_was_stopped_for_a_minute_goes_on_where_it_was() {
    let mut node = calm();
    let (before, errors) = (track(&node).field().cloned(), node.tally().errors);
    assert_eq!(node.failsafe(), Worst::Normal);
    // SIGSTOP: no tick, no heartbeat; connections went on through kube-proxy and are not counted.
    node.plane_mut().advance(Duration::from_secs(60));
    serve(&mut node, 20, 20, CALM);
    assert_eq!(node.failsafe(), Worst::Normal);
    assert_eq!(track(&node).field().cloned(), before);
    assert_eq!(shot(&node).regime, continuity_field::Regime::Laminar);
    assert_eq!(node.tally().errors, errors);
    // It still finds who is late.
    serve(&mut node, 40, 20, SICK);
    assert!(!holders(&node).contains(&"10.244.3.2:8080".to_owned()));
}

#[test]
fn a_wall_clock_that_jumps_changes_no_decision() {
    let decide = |wall: &dyn Fn(u32) -> i64| {
        let mut node = calm();
        let mut fields = Vec::new();
        for round in 0..60 {
            serve_at(wall(round), &mut node, 1, 20, SICK);
            fields.push(track(&node).field().cloned());
        }
        fields
    };
    let steady = decide(&|_| WALL);
    let day = 86_400_000;
    for jump in [-day, day] {
        assert_eq!(
            decide(&|round| if round < 20 { WALL } else { WALL + jump }),
            steady
        );
    }
}

#[test]
fn a_crash_loop_neither_lets_the_sick_one_in_nor_counts_a_burst() {
    let mut node = calm();
    serve(&mut node, 60, 20, SICK);
    assert!(!holders(&node).contains(&"10.244.3.2:8080".to_owned()));
    for crash in 0..30 {
        // Killed after 0 to 4 ticks, without a chance to keep anything.
        node = NodeLoop::new(node.into_plane());
        node.adopt(desired(Mode::Enforce, three()), WALL)
            .expect("adopted");
        serve(&mut node, crash % 5, 20, SICK);
        let view = node.plane().set(&id()).expect("the set").clone();
        let counters = node.plane_mut().read(&id()).expect("counters");
        let sick = view
            .backends
            .iter()
            .find(|backend| backend.address == address(3, 2));
        let index = sick.expect("a backend").index;
        let record = counters
            .backends
            .iter()
            .find(|known| known.backend.index == index);
        assert_eq!(record.expect("a record").record.words.off, 1, "crash {crash}");
        assert!(
            shot(&node).totals.offered <= 1_000,
            "crash {crash}: {:?}",
            shot(&node).totals
        );
    }
    serve(&mut node, 10, 20, SICK);
    assert!(!holders(&node).contains(&"10.244.3.2:8080".to_owned()));
}

#[test]
fn a_comparison_finds_nothing_in_maps_that_nobody_touched() {
    let mut node = node_loop();
    assert_eq!(node.mend().expect("audited").total(), 0, "nothing is known yet");
    node.adopt(desired(Mode::Enforce, three()), WALL)
        .expect("adopted");
    serve(&mut node, 20, 20, SICK);
    assert_eq!(node.mend().expect("audited").total(), 0);
    // Tombstones are no drift either.
    node.adopt(desired(Mode::Observe, vec![endpoint(1, 2)]), WALL)
        .expect("adopted");
    assert_eq!(node.mend().expect("audited").total(), 0);
}

#[test]
fn a_comparison_puts_right_what_a_foreign_hand_did_and_counts_it() {
    let mut node = calm();
    node.plane_mut().tamper().expect("tampered");
    let drift = node.mend().expect("audited");
    // The set; three backends; the one on this node; its address gone and a strange one there.
    assert_eq!(
        (drift.sets, drift.backends, drift.endpoints, drift.services),
        (1, 3, 1, 2)
    );
    assert_eq!(node.tally().drift, drift);
    assert_eq!(node.mend().expect("audited").total(), 0, "it is as it should be");
    serve(&mut node, 40, 20, SICK);
    assert!(!holders(&node).contains(&"10.244.3.2:8080".to_owned()));
    assert_eq!(node.tally().errors, 0);
}
