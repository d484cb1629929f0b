use super::*;
use crate::sample::{at, isolated, report};
use continuity_api::node::BackendReport;
use proptest::prelude::*;

const SICK: &str = "10.244.0.0:8080";

fn saying(state: BackendState, hearsay: bool) -> SetReport {
    let backend = BackendReport {
        state,
        hearsay,
        ..isolated(SICK)
    };
    SetReport {
        backends: vec![backend],
        ..report(100)
    }
}

fn out() -> SetReport {
    saying(BackendState::Isolated, false)
}

fn back() -> SetReport {
    saying(BackendState::Returning, false)
}

fn followed() -> SetReport {
    saying(BackendState::Isolated, true)
}

/// Reports of nodes n0, n1, … through `decide`, which keeps what it decided.
#[derive(Default)]
struct Fleet {
    memory: Memory,
    shared: Vec<SharedVerdict>,
}

impl Fleet {
    fn report(&mut self, second: u64, reports: &[SetReport]) -> Option<VerdictAction> {
        let names: Vec<String> = (0..reports.len()).map(|index| format!("n{index}")).collect();
        let told: Vec<(&str, &SetReport)> = names.iter().map(String::as_str).zip(reports).collect();
        self.shared = decide(&mut self.memory, &told, &self.shared, at(second));
        self.shared.first().map(|verdict| verdict.action)
    }
}

#[test]
fn an_isolation_ends_by_release_once_two_witnesses_let_the_backend_return() {
    let mut fleet = Fleet::default();
    assert_eq!(
        fleet.report(1, &[out(), out(), followed()]),
        Some(VerdictAction::Isolate)
    );
    assert_eq!(
        fleet.report(8, &[back(), out(), followed()]),
        Some(VerdictAction::Isolate),
        "one alone may be lucky"
    );
    assert_eq!(
        fleet.report(9, &[back(), back(), followed()]),
        Some(VerdictAction::Release)
    );
    assert_eq!(fleet.shared[0].agreeing_nodes, 2);
    assert_eq!(
        fleet.report(40, &[back(), back(), back()]),
        Some(VerdictAction::Release)
    );
    assert_eq!(
        fleet.report(70, &[back(), back(), back()]),
        None,
        "a release expires and is not renewed"
    );
}

#[test]
fn two_of_a_hundred_witnesses_release_for_all_and_the_untested_do_not_isolate_again() {
    let mut fleet = Fleet::default();
    let mut reports: Vec<SetReport> = (0..100).map(|_| out()).collect();
    assert_eq!(fleet.report(1, &reports), Some(VerdictAction::Isolate));
    reports[3] = back();
    reports[50] = back();
    assert_eq!(fleet.report(9, &reports), Some(VerdictAction::Release));
    assert_eq!(fleet.report(10, &reports), Some(VerdictAction::Release));
}

#[test]
fn a_relapse_that_two_witnesses_saw_isolates_again_and_one_does_not() {
    let mut fleet = Fleet::default();
    fleet.report(1, &[out(), out(), out()]);
    assert_eq!(
        fleet.report(9, &[back(), back(), out()]),
        Some(VerdictAction::Release)
    );
    assert_eq!(
        fleet.report(11, &[out(), back(), out()]),
        Some(VerdictAction::Release)
    );
    assert_eq!(
        fleet.report(12, &[out(), out(), out()]),
        Some(VerdictAction::Isolate)
    );
}

#[test]
fn after_a_relapse_good_news_must_be_younger_and_have_stood_for_two_seconds() {
    let mut fleet = Fleet::default();
    fleet.report(1, &[out(), out(), out(), out()]);
    fleet.report(5, &[back(), out(), out(), out()]);
    fleet.report(6, &[out(), out(), out(), out()]);
    let two = || [out(), back(), back(), out()];
    assert_eq!(fleet.report(9, &two()), Some(VerdictAction::Isolate));
    assert_eq!(fleet.report(10, &two()), Some(VerdictAction::Isolate));
    assert_eq!(
        fleet.report(11, &two()),
        Some(VerdictAction::Release),
        "the node that relapsed may test again only minutes later"
    );
}

#[test]
fn a_relapse_takes_the_proof_of_the_others_too() {
    let mut fleet = Fleet::default();
    fleet.report(1, &[out(), out(), out(), out()]);
    fleet.report(5, &[back(), out(), out(), out()]);
    fleet.report(6, &[back(), out(), out(), out()]);
    fleet.report(7, &[out(), back(), out(), out()]);
    fleet.report(8, &[out(), back(), out(), out()]);
    fleet.report(9, &[out(), out(), back(), back()]);
    assert_eq!(
        fleet.report(10, &[out(), out(), back(), back()]),
        Some(VerdictAction::Isolate)
    );
    assert_eq!(
        fleet.report(11, &[out(), out(), back(), back()]),
        Some(VerdictAction::Release)
    );
}

#[test]
fn who_follows_a_verdict_again_is_no_witness_of_health() {
    let mut fleet = Fleet::default();
    fleet.report(1, &[out(), out(), out(), out()]);
    fleet.report(9, &[back(), back(), back(), back()]);
    let relapsed = fleet.report(11, &[out(), out(), back(), back()]);
    assert_eq!(relapsed, Some(VerdictAction::Isolate));
    for second in [13, 20] {
        let told = fleet.report(second, &[out(), out(), followed(), followed()]);
        assert_eq!(told, Some(VerdictAction::Isolate), "{second} s");
    }
}

#[test]
fn an_isolation_that_lost_its_witnesses_expires_by_itself() {
    let mut fleet = Fleet::default();
    fleet.report(1, &[out(), out()]);
    // The next leader remembers nothing and sees followers only.
    fleet.memory = Memory::default();
    assert_eq!(
        fleet.report(30, &[followed(), followed()]),
        Some(VerdictAction::Isolate)
    );
    assert_eq!(fleet.report(62, &[followed(), followed()]), None);
}

#[test]
fn nodes_that_only_observe_have_no_vote() {
    let observes = || SetReport {
        mode: Mode::Observe,
        ..out()
    };
    assert_eq!(Fleet::default().report(1, &[observes(), observes()]), None);
}

proptest! {
    #[test]
    fn verdicts_and_memory_are_bounded_and_every_verdict_ends_without_witnesses(
        steps in prop::collection::vec(prop::collection::vec(0_u8..3, 1..6), 1..40),
    ) {
        let mut fleet = Fleet::default();
        let mut second = 0;
        for nodes in steps {
            second += 3;
            let reports: Vec<SetReport> = nodes
                .iter()
                .map(|kind| match kind { 0 => out(), 1 => back(), _ => followed() })
                .collect();
            let before = fleet.shared.first().map(|verdict| verdict.action);
            let action = fleet.report(second, &reports);
            prop_assert!(fleet.shared.len() <= 1);
            if action == Some(VerdictAction::Release) {
                prop_assert!(before.is_some(), "a release never comes without an isolation before it");
            }
        }
        for _ in 0..3 {
            second += 61;
            fleet.report(second, &[followed(), followed()]);
        }
        prop_assert!(fleet.shared.is_empty());
        prop_assert!(fleet.memory.backends.len() <= 1);
    }
}
