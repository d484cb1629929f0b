//! What must not be taken for a fault, or not for long: a young set, a pause, a smaller backend.

use continuity_field::{BackendId, Reason};

use crate::isolations;
use crate::plant::{Fault, Plant, SECOND, figures};

/// When each node isolated backend 2 that is gray from `start` on, s after that; sorted, never = 99.
fn detections(rate: f64, start: u64) -> Vec<f64> {
    let mut found = Vec::new();
    for seed in 1..=4 {
        let mut plant = Plant::new(3, 5, seed);
        plant.rate = rate;
        plant.run_until(start * SECOND);
        plant.backends[2].fault = Fault::Late(500_000);
        plant.run_until((start + 10) * SECOND);
        let all = isolations(&plant);
        assert!(
            all.iter()
                .all(|(.., reason)| reason.backend() == Some(BackendId(2))),
            "{all:?}"
        );
        for node in 0..3 {
            let own = all.iter().filter(|(n, ..)| *n == node);
            let at = own.map(|(_, at, _)| *at - start * SECOND).min();
            found.push(at.map_or(99.0, |at| at as f64 / 1e6));
        }
    }
    found.sort_by(f64::total_cmp);
    found
}

#[test]
fn a_fault_that_begins_in_the_first_seconds_of_a_set_is_found_in_two() {
    for start in [1, 3, 6, 9] {
        for rate in [150.0, 500.0] {
            let found = detections(rate, start);
            println!("{rate}/s from {start} s: {found:?}");
            assert!(
                found.iter().all(|at| *at <= 2.0),
                "{rate}/s from {start} s: {found:?}"
            );
        }
        // Four requests a second, node and backend, most of which the choice sends elsewhere: half of the nodes in two
        // seconds, the others by their next request.
        let found = detections(60.0, start);
        println!("60/s from {start} s: {found:?}");
        assert!(found[5] <= 2.0, "60/s from {start} s: {found:?}");
    }
}

#[test]
fn who_paused_for_a_second_is_back_within_ten() {
    for rate in [60.0, 500.0] {
        for long in [400, 1_000, 2_000] {
            for seed in 1..=3 {
                let mut plant = Plant::new(3, 5, seed);
                plant.rate = rate;
                plant.run_until(20 * SECOND);
                plant.pause(2, long * 1_000);
                plant.run_until(32 * SECOND + long * 1_000);
                for node in &plant.nodes {
                    let out = |reason: &Reason| matches!(reason, Reason::Isolated { .. });
                    let back = |reason: &Reason| matches!(reason, Reason::Returned { .. });
                    let isolated = node.log.iter().filter(|(_, reason)| out(reason)).count();
                    let returned = node.log.iter().filter(|(_, reason)| back(reason)).count();
                    assert!(isolated <= 1, "{rate}/s, {long} ms: {:?}", node.log);
                    assert_eq!(isolated, returned, "{rate}/s, {long} ms: {:?}", node.log);
                }
            }
        }
    }
}

/// Half of six backends have a quarter of the others' capacity, by workers or by speed; isolations and p99 over 4 seeds.
fn unequal(load: f64, by_speed: bool) -> (usize, u64) {
    let (mut count, mut worst) = (0, 0);
    for seed in 1..=4 {
        let mut plant = Plant::new(3, 6, seed);
        for backend in plant.backends.iter_mut().step_by(2) {
            if by_speed {
                backend.fault = Fault::Slow(4.0);
            } else {
                backend.workers = 2;
            }
        }
        plant.rate = load * 3.0 * (8.0 + 2.0) / 0.0255;
        plant.run_until(60 * SECOND);
        count += isolations(&plant).len();
        worst = worst.max(figures(&plant.seen, 10 * SECOND, 60 * SECOND, &[]).p99);
    }
    (count, worst)
}

#[test]
fn a_backend_of_a_quarter_of_the_capacity_is_not_isolated_for_it() {
    for by_speed in [false, true] {
        for load in [0.5, 0.78, 0.88, 0.93] {
            let (count, p99) = unequal(load, by_speed);
            println!("load {load}, by speed {by_speed}: {count} isolations, p99 {p99} µs");
            assert_eq!(count, 0, "load {load}, by speed {by_speed}");
        }
    }
}

#[test]
fn a_clock_that_jumps_a_minute_ahead_isolates_nobody() {
    for seed in 1..=6 {
        // At this rate one or two backends have a request waiting when the clock jumps; with all it would be shared trouble.
        let mut plant = Plant::new(3, 5, seed);
        plant.rate = 250.0;
        plant.run_until(20 * SECOND);
        for node in &mut plant.nodes {
            node.ahead = 60 * SECOND;
        }
        plant.run_until(40 * SECOND);
        assert!(isolations(&plant).is_empty(), "{:?}", isolations(&plant));
        plant.backends[2].fault = Fault::Late(500_000);
        plant.run_until(46 * SECOND);
        let found = isolations(&plant);
        assert!(found.len() >= 2, "the law is awake after the jump: {found:?}");
    }
}
