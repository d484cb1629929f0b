//! The law against a small plant: what must hold on a real cluster has to hold here first.

#![allow(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    clippy::cast_possible_wrap,
    reason = "a plant in tests: values are small and known"
)]

mod plant;

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
