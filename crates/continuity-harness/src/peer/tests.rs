//! Golden values that pin each peer to its publication (control.md §5.2 of the research notes).

use super::ewma::Cost;
use super::outlier::{allowed, ejection};
use super::prequal::{quantile, reuse};
use super::weighted::weight;
use super::*;
use crate::span::{MILLI, SECOND, seconds};

#[test]
fn a_peak_ewma_decays_slowly_and_jumps_at_once() {
    let mut cost = Cost::default();
    cost.observe(0.030, 0);
    cost.observe(0.020, 5 * SECOND);
    let after = cost.load(0, 5 * SECOND);
    assert!((after * 1e3 - 26.07).abs() < 0.01, "{after}");
    cost.observe(0.050, 6 * SECOND);
    assert!((cost.load(0, 6 * SECOND) - 0.050).abs() < 1e-12);
    assert!((cost.load(2, 6 * SECOND) - 0.150).abs() < 1e-12);
}

#[test]
fn an_unknown_backend_costs_nothing_until_it_is_being_tried() {
    let mut cost = Cost::default();
    assert_eq!(cost.load(0, SECOND), 0.0);
    assert!(cost.load(1, SECOND) > 1e6);
}

#[test]
fn prequal_reuses_an_answer_as_often_as_the_paper_says() {
    assert!((reuse(16, 100, 3.0, 1.0, 1.0) - 1.316).abs() < 1e-3);
    assert_eq!(reuse(16, 10, 3.0, 1.0, 1.0), 1.0);
}

#[test]
fn prequal_calls_the_upper_sixth_hot() {
    let mut values: Vec<u32> = (0..=100).collect();
    assert_eq!(quantile(&mut values, 0.84), 84);
}

#[test]
fn envoy_ejects_a_tenth_of_the_hosts_for_thirty_seconds_and_longer_each_time() {
    assert_eq!(
        [
            allowed(10, 10, false),
            allowed(3, 10, false),
            allowed(3, 10, true)
        ],
        [1, 0, 1]
    );
    assert_eq!(
        [1, 2, 3].map(|times| seconds(ejection(times))),
        [30.0, 60.0, 90.0]
    );
}

#[test]
fn envoy_weighs_a_host_by_its_active_requests() {
    assert_eq!(weight(2.0, 3, 1.0), 0.5);
}

#[test]
fn every_row_sends_every_request_somewhere() {
    let mut scenario = crate::scenario::shipped("S1").unwrap();
    scenario.duration_millis = 2_000;
    scenario.warm_up_millis = 0;
    scenario.window = crate::scenario::Window {
        from_millis: 0,
        to_millis: 2_000,
    };
    scenario.faults.clear();
    for nodes in [1, 7] {
        for backends in [1, 2, 10, 70] {
            scenario.nodes = nodes;
            scenario.backends.count = backends;
            for peer in BALANCERS {
                let mut policy = peer.build(&scenario, 3);
                let recording = crate::plant::run(&scenario, 3, peer.reports, policy.as_mut());
                let lost = recording
                    .attempts
                    .iter()
                    .filter(|a| a.backend >= backends)
                    .count();
                assert_eq!(lost, 0, "{} with {backends} backends", peer.name);
                let expected = 240.0 * f64::from(backends);
                let got = recording.attempts.len() as f64;
                assert!(
                    (got - expected).abs() < 6.0 * expected.sqrt(),
                    "{got} of {expected}"
                );
                assert!(
                    recording
                        .attempts
                        .iter()
                        .all(|a| u64::from(a.micros) * 1_000 >= MILLI)
                );
            }
        }
    }
}

#[test]
fn a_wrong_name_is_told() {
    assert_eq!(
        named(&["law".to_owned(), "lore".to_owned()]).err(),
        Some("lore".to_owned())
    );
    assert_eq!(
        named(&["all".to_owned()]).map(|all| all.len()).ok(),
        Some(all().len())
    );
}
