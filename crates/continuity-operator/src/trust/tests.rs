use super::*;
use crate::sample::{isolated, report};
use continuity_api::node::{BackendReport, BackendState, SetReport};
use proptest::prelude::*;

const NONE: Duration = Duration::ZERO;

fn signals(own: Option<u32>, observed: Option<u32>, probe: Option<u32>) -> Signals {
    Signals { own, observed, probe }
}

#[test]
fn a_missing_part_is_left_out_and_the_others_weigh_more() {
    assert_eq!(signals(Some(1_000), Some(0), Some(1_000)).score(), Some(500));
    assert_eq!(signals(Some(1_000), Some(0), None).score(), Some(285));
    assert_eq!(signals(Some(1_000), None, None).score(), Some(1_000));
    assert_eq!(signals(None, None, None).score(), None);
}

#[test]
fn a_liar_stops_counting_within_five_reports_and_comes_back_when_it_is_honest() {
    for probe in [None, Some(1_000)] {
        let mut ledger = Ledger::default();
        let lie = signals(Some(1_000), Some(0), probe);
        let reports = (1..=5).find(|_| ledger.hear("n", lie, NONE) == Some(Change::Quarantined));
        assert!(reports.is_some(), "{probe:?}");
        assert!(!ledger.trusts("n"));
        let honest = signals(Some(1_000), Some(1_000), probe);
        let back = (1..=10).find(|_| ledger.hear("n", honest, NONE) == Some(Change::Released));
        assert!(back.is_some_and(|reports| reports >= 3), "{back:?}");
    }
}

#[test]
fn silence_about_plans_alone_is_enough() {
    let mut ledger = Ledger::default();
    let silent = signals(Some(1_000), None, Some(0));
    assert!((0..5).any(|_| ledger.hear("n", silent, NONE) == Some(Change::Quarantined)));
}

#[test]
fn a_new_node_is_trusted_and_one_slip_is_forgiven() {
    let mut ledger = Ledger::default();
    assert!(ledger.trusts("new"));
    assert_eq!(ledger.hear("new", signals(Some(1_000), None, None), NONE), None);
    assert_eq!(
        ledger.hear("new", signals(Some(1_000), Some(0), Some(1_000)), NONE),
        None
    );
    assert_eq!(
        ledger.hear("new", signals(Some(1_000), Some(1_000), Some(1_000)), NONE),
        None
    );
    assert!(ledger.trusts("new"));
}

fn fleet(reports: &[SetReport], node: usize) -> Claims {
    let names: Vec<String> = (0..reports.len()).map(|index| format!("n{index}")).collect();
    let told: Vec<(&str, &SetReport)> = names.iter().map(String::as_str).zip(reports).collect();
    claims(&names[node], &told)
}

#[test]
fn an_inflated_demand_does_not_fit_what_backends_accepted() {
    let mut reports: Vec<SetReport> = (0..5).map(|_| report(100)).collect();
    reports[2].offered_milli_per_second = 2_000_000;
    assert_eq!(fleet(&reports, 2), Claims { checked: 1, wrong: 1 });
    assert_eq!(fleet(&reports, 1).wrong, 0, "the others are not to blame");
}

#[test]
fn connections_that_fail_at_a_refusing_backend_are_no_lie() {
    let mut reports: Vec<SetReport> = (0..5).map(|_| report(100)).collect();
    reports[2].offered_milli_per_second = 2_000_000;
    reports[2].failed_milli_per_second = 1_900_000;
    assert_eq!(fleet(&reports, 2).wrong, 0);
}

#[test]
fn where_the_backends_side_can_not_be_seen_nobody_is_condemned() {
    let mut reports: Vec<SetReport> = (0..6).map(|_| report(1_000)).collect();
    for report in &mut reports {
        report.accepted_milli_per_second = 1_000;
    }
    assert!((0..6).all(|node| fleet(&reports, node).wrong == 0));
}

#[test]
fn a_node_that_calls_it_laminar_and_uses_what_all_others_keep_out_is_strange() {
    let sick = isolated("10.244.0.0:8080");
    let mut reports: Vec<SetReport> = (0..5)
        .map(|_| SetReport {
            backends: vec![sick.clone()],
            ..report(100)
        })
        .collect();
    reports[4].backends = vec![BackendReport {
        state: BackendState::Active,
        share_ppm: 200_000,
        ..sick
    }];
    assert_eq!(fleet(&reports, 4).wrong, 1);
    reports[4].regime = continuity_api::node::Regime::Transition;
    assert_eq!(
        fleet(&reports, 4).wrong,
        0,
        "one that says that something is wrong does not lie"
    );
}

#[test]
fn between_two_nodes_nobody_can_say_who_is_wrong() {
    let mut reports = vec![report(100), report(100)];
    reports[0].offered_milli_per_second = 9_000_000;
    assert_eq!(fleet(&reports, 0), Claims::default());
}

proptest! {
    #[test]
    fn trust_stays_in_bounds_and_honesty_always_brings_it_back(scores in prop::collection::vec(0_u32..=1_000, 0..100)) {
        let mut standing = Standing::default();
        for score in scores {
            standing.hear(score, NONE);
            prop_assert!(standing.trust <= 1_000);
        }
        for _ in 0..10 {
            standing.hear(1_000, NONE);
        }
        prop_assert!(standing.quarantined.is_none());
    }

    #[test]
    fn honest_nodes_under_any_load_are_never_strange(offered in prop::collection::vec(0_i64..10_000, 3..12)) {
        // Backends on each node accept an equal part of all.
        let total: i64 = offered.iter().sum();
        let each = total * 1_000 / i64::try_from(offered.len()).unwrap();
        let reports: Vec<SetReport> = offered
            .iter()
            .map(|rate| SetReport { accepted_milli_per_second: each, ..report(*rate) })
            .collect();
        for node in 0..reports.len() {
            prop_assert_eq!(fleet(&reports, node).wrong, 0);
        }
    }
}
