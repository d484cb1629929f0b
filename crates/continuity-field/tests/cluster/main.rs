//! The law against a small plant: what must hold on a real cluster has to hold here first.

#![allow(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    clippy::cast_possible_wrap,
    reason = "a plant in tests: values are small and known"
)]

mod early;
mod plant;
mod surge;

use continuity_field::Reason;
use plant::{Fault, Figures, Plant, SECOND, figures};

fn isolations(plant: &Plant) -> Vec<(usize, u64, Reason)> {
    let mut found = Vec::new();
    for (node, agent) in plant.nodes.iter().enumerate() {
        for (at, reason) in agent
            .log
            .iter()
            .filter(|(_, reason)| matches!(reason, Reason::Isolated { .. }))
        {
            found.push((node, *at, *reason));
        }
    }
    found
}

fn say(plant: &Plant, title: &str, figures: &Figures) {
    println!(
        "{title}: attempts {} failed {} p50 {} µs p99 {} µs share {:.4} %",
        figures.attempts,
        figures.failed,
        figures.p50,
        figures.p99,
        figures.share * 100.0
    );
    for (node, agent) in plant.nodes.iter().enumerate() {
        for (at, reason) in &agent.log {
            println!(
                "  {:8.3} s node {node} {:?} {reason}",
                *at as f64 / 1e6,
                reason.backend()
            );
        }
    }
}

/// A fault on one backend from 20 s to 40 s; figures from the fault, from 5 s into it, and after its end.
fn fault(kind: Fault, seed: u64) -> (Plant, Figures, Figures) {
    let mut plant = Plant::new(3, 5, seed);
    plant.run_until(20 * SECOND);
    assert!(isolations(&plant).is_empty(), "{:?}", isolations(&plant));
    plant.backends[2].fault = kind;
    plant.run_until(40 * SECOND);
    plant.backends[2].fault = Fault::Healthy;
    plant.run_until(75 * SECOND);
    let whole = figures(&plant.seen, 20 * SECOND, 40 * SECOND, &[2]);
    let late = figures(&plant.seen, 25 * SECOND, 40 * SECOND, &[2]);
    (plant, whole, late)
}

#[test]
fn a_gray_backend_is_out_within_two_seconds_and_back_within_thirty() {
    for seed in 1..=5 {
        let (plant, whole, late) = fault(Fault::Late(500_000), seed);
        say(&plant, "gray", &whole);
        let detected = (0..3).map(|node| {
            isolations(&plant)
                .iter()
                .filter(|(n, ..)| *n == node)
                .map(|(_, at, _)| *at - 20 * SECOND)
                .min()
        });
        for at in detected {
            assert!(at.is_some_and(|at| at <= 2 * SECOND), "{at:?}");
        }
        assert!(late.share <= 0.002, "share {}", late.share);
        assert_eq!(whole.failed, 0);
        let back = figures(&plant.seen, 70 * SECOND, 75 * SECOND, &[2]);
        assert!(back.share >= 0.16, "share after the end {}", back.share);
        let healthy = figures(&plant.seen, 10 * SECOND, 20 * SECOND, &[2]);
        assert!(
            late.p99 as f64 <= 1.3 * healthy.p99 as f64,
            "{} {}",
            late.p99,
            healthy.p99
        );
    }
}

#[test]
fn a_failing_backend_costs_less_than_half_a_percent_and_never_gains_share() {
    for seed in 1..=5 {
        for kind in [Fault::Reset, Fault::Refused, Fault::Hang] {
            let (plant, whole, late) = fault(kind, seed);
            say(&plant, &format!("{kind:?}"), &whole);
            assert!(
                whole.failed as f64 <= 0.005 * whole.attempts as f64,
                "{kind:?} {}",
                whole.failed
            );
            assert!(late.share <= 0.002, "{kind:?} share {}", late.share);
            let back = figures(&plant.seen, 70 * SECOND, 75 * SECOND, &[2]);
            assert!(back.share >= 0.16, "{kind:?} share after the end {}", back.share);
        }
    }
}

/// Nothing is isolated and the regime does not leave laminar.
fn quiet(plant: &Plant, title: &str) {
    say(plant, title, &figures(&plant.seen, 0, plant.now, &[2]));
    assert!(isolations(plant).is_empty(), "{title}: {:?}", isolations(plant));
    for agent in &plant.nodes {
        let changes = agent
            .log
            .iter()
            .filter(|(_, reason)| matches!(reason, Reason::RegimeChanged { .. }))
            .count();
        assert_eq!(changes, 0, "{title}");
    }
}

#[test]
fn a_healthy_service_is_left_alone_for_minutes() {
    for tick in [100, 200] {
        for rate in [1.0, 10.0, 500.0] {
            let mut plant = Plant::new(3, 5, 7);
            plant.rate = rate;
            plant.tick = tick * plant::MILLI;
            plant.run_until(300 * SECOND);
            quiet(&plant, &format!("healthy at {rate}/s, tick {tick} ms"));
        }
    }
}

#[test]
fn pauses_of_200_ms_isolate_nobody() {
    for (seed, rate) in [(1, 1.0), (2, 30.0), (3, 500.0), (4, 500.0)] {
        let mut plant = Plant::new(3, 5, seed);
        plant.rate = rate;
        let mut chance = plant::Chance::new(seed + 100);
        let mut at = 3 * SECOND;
        while at < 180 * SECOND {
            plant.run_until(at);
            let which = (chance.uniform() * 5.0) as usize;
            plant.pause(which, 200 * plant::MILLI);
            at += (chance.uniform() * 2.0 * SECOND as f64) as u64;
        }
        say(&plant, "pauses", &figures(&plant.seen, 0, plant.now, &[2]));
        assert!(
            isolations(&plant).is_empty(),
            "{rate}/s: {:?}",
            isolations(&plant)
        );
    }
}

#[test]
fn a_noisy_host_with_stalls_of_tens_of_milliseconds_isolates_nobody() {
    for (mean, spread) in [(2_000.0, 1_000.0), (25_000.0, 15_000.0)] {
        let mut plant = Plant::new(3, 5, 11);
        plant.mean = mean;
        plant.spread = spread;
        let mut chance = plant::Chance::new(5);
        let mut at = 2 * SECOND;
        while at < 180 * SECOND {
            plant.run_until(at);
            let which = (chance.uniform() * 5.0) as usize;
            plant.pause(which, 10_000 + (chance.uniform() * 80_000.0) as u64);
            at += (chance.uniform() * 200_000.0) as u64;
        }
        say(&plant, "noise", &figures(&plant.seen, 0, plant.now, &[2]));
        assert!(isolations(&plant).is_empty(), "{mean}: {:?}", isolations(&plant));
    }
}

#[test]
fn two_gray_backends_of_five_are_both_out_and_both_come_back() {
    for seed in 1..=3 {
        let mut plant = Plant::new(3, 5, seed);
        plant.run_until(20 * SECOND);
        plant.backends[1].fault = Fault::Late(500_000);
        plant.backends[3].fault = Fault::Late(500_000);
        plant.run_until(40 * SECOND);
        let late = figures(&plant.seen, 25 * SECOND, 40 * SECOND, &[1, 3]);
        say(&plant, "two gray", &late);
        assert!(late.share <= 0.004, "{}", late.share);
        plant.backends[1].fault = Fault::Healthy;
        plant.backends[3].fault = Fault::Healthy;
        plant.run_until(75 * SECOND);
        let back = figures(&plant.seen, 70 * SECOND, 75 * SECOND, &[1, 3]);
        assert!(back.share >= 0.32, "{}", back.share);
    }
}

#[test]
fn a_backend_that_alternates_every_three_seconds_stays_out_longer_each_time() {
    let mut plant = Plant::new(3, 5, 3);
    for round in 0..20 {
        plant.backends[2].fault = if round % 2 == 1 {
            Fault::Late(500_000)
        } else {
            Fault::Healthy
        };
        plant.run_until((20 + 3 * round) * SECOND);
    }
    let bad = figures(&plant.seen, 20 * SECOND, 80 * SECOND, &[2]);
    say(&plant, "alternating", &bad);
    assert!(isolations(&plant).len() <= 3 * 5, "{}", isolations(&plant).len());
    assert!(bad.share < 0.06, "{}", bad.share);
    assert_eq!(bad.failed, 0);
}

#[test]
fn nobody_is_isolated_when_all_or_most_become_slow_together() {
    for count in [3, 4, 5] {
        let mut plant = Plant::new(3, 5, 5);
        plant.run_until(20 * SECOND);
        for backend in plant.backends.iter_mut().take(count) {
            backend.fault = Fault::Late(300_000);
        }
        plant.run_until(40 * SECOND);
        say(
            &plant,
            &format!("{count} of 5 slow"),
            &figures(&plant.seen, 20 * SECOND, 40 * SECOND, &[2]),
        );
        for agent in &plant.nodes {
            let out = agent
                .outcome()
                .backends
                .iter()
                .filter(|view| view.isolation.is_some())
                .count();
            assert_eq!(out, 0, "{count} of 5 slow");
        }
    }
}

#[test]
fn a_single_backend_is_never_isolated() {
    for kind in [
        Fault::Late(500_000),
        Fault::Reset,
        Fault::Refused,
        Fault::Hang,
        Fault::Slow(10.0),
    ] {
        let mut plant = Plant::new(3, 1, 5);
        plant.rate = 100.0;
        plant.run_until(10 * SECOND);
        plant.backends[0].fault = kind;
        plant.run_until(30 * SECOND);
        assert!(isolations(&plant).is_empty(), "{kind:?}");
        assert!(
            plant.nodes[0].outcome().slots.iter().all(|slot| *slot == 0),
            "{kind:?}"
        );
    }
}

#[test]
fn a_backend_that_fails_a_fifth_of_its_requests_is_found() {
    let (plant, whole, _) = fault(Fault::Partly(0.3), 4);
    say(&plant, "30 % failed", &whole);
    assert!(
        whole.failed as f64 <= 0.005 * whole.attempts as f64,
        "{}",
        whole.failed
    );
}

#[test]
fn a_rolling_update_during_a_gray_fault_keeps_the_sick_one_out() {
    let mut plant = Plant::new(3, 5, 9);
    plant.run_until(20 * SECOND);
    plant.backends[4].fault = Fault::Late(500_000);
    plant.run_until(24 * SECOND);
    for round in 0..4_u64 {
        plant.join(100 + round);
        plant.run_until((25 + 5 * round) * SECOND);
        plant.backends[0].in_service = false;
        plant.run_until((27 + 5 * round) * SECOND);
        plant.backends.remove(0);
        plant.run_until((29 + 5 * round) * SECOND);
    }
    plant.run_until(50 * SECOND);
    let late = figures(&plant.seen, 25 * SECOND, 50 * SECOND, &[4]);
    say(&plant, "rolling", &late);
    assert!(late.share <= 0.002, "{}", late.share);
    assert_eq!(late.failed, 0);
}

#[test]
fn jobs_of_half_an_hour_trip_nothing() {
    for rate in [30.0, 150.0, 500.0] {
        let mut plant = Plant::new(3, 5, 13);
        plant.rate = rate;
        plant.run_until(20 * SECOND);
        for node in &mut plant.nodes {
            node.jobs = vec![(19 * SECOND, continuity_field::BackendId(1)); 3];
        }
        plant.run_until(200 * SECOND);
        quiet(&plant, &format!("jobs at {rate}/s"));
    }
}
