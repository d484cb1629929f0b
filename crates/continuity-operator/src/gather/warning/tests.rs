use super::*;
use crate::distress;
use crate::gather::tests::{facts, over};
use crate::sample::{at, report};
use crate::transition::{is_transition, of_set};
use continuity_api::events;
use continuity_api::node::SetReport;
use continuity_api::set::EquivalenceSetStatus;

/// What `node` says of three backends on three nodes, of which its own one is `stalled` by so much.
fn told(node: usize, stall_permille: i32, expected: i64) -> SetReport {
    let backend = |index: usize| BackendReport {
        address: format!("10.0.0.{index}:80"),
        pod: format!("web-{index}"),
        node: format!("node-{index}"),
        warning: (index == node && stall_permille > 0).then(|| Warning {
            resource: "pod-memory".into(),
            message: format!("memory grows by 5 MiB/s, expected {expected}"),
            since: Some(at(10).time()),
            expected: Some(at(u64::try_from(expected).unwrap()).time()),
            stall_permille,
        }),
        ..BackendReport::default()
    };
    SetReport {
        backends: (0..3).map(backend).collect(),
        ..report(50)
    }
}

#[test]
fn a_leak_is_told_once_and_its_time_moves_only_by_what_a_person_would_notice() {
    let (calm, leaking) = (told(0, 0, 0), told(1, 200, 200));
    let first = over(&[("node-0", &calm), ("node-1", &leaking)]);
    assert_eq!(first.warnings.len(), 1);
    assert_eq!(
        (&*first.warnings[0].pod, &*first.warnings[0].node),
        ("web-1", "node-1")
    );
    let before = EquivalenceSetStatus::default();
    let notices = of_set(&before, &first);
    assert_eq!(
        (notices[0].reason, notices[0].warning),
        (events::FAILURE_FORESEEN, true)
    );
    assert!(
        notices[0].note.contains("web-1") && notices[0].note.contains("5 MiB/s"),
        "{}",
        notices[0].note
    );
    assert!(is_transition(&before, &first));
    for (expected, stored) in [(207, 200), (230, 230)] {
        let later = told(1, 300, expected);
        let reports = [("node-0", &calm), ("node-1", &later)];
        let second = crate::gather::status(&facts(&reports, &first), at(101));
        assert_eq!(second.warnings[0].expected, Some(at(stored).time()));
        assert_eq!(second.warnings[0].message, first.warnings[0].message);
        assert!(of_set(&first, &second).is_empty());
    }
}

#[test]
fn nobody_but_its_own_node_speaks_of_a_backend() {
    let foreign = told(1, 900, 100);
    assert!(over(&[("node-2", &foreign)]).warnings.is_empty());
    assert!(distress::of(&[("node-2", &foreign)]).is_empty());
}

#[test]
fn what_all_backends_share_weighs_against_none_of_them() {
    let all = [told(0, 400, 100), told(1, 400, 100), told(2, 400, 100)];
    let reports = [("node-0", &all[0]), ("node-1", &all[1]), ("node-2", &all[2])];
    assert_eq!(over(&reports).warnings.len(), 3);
    assert!(distress::of(&reports).is_empty());
    let worse = told(1, 780, 100);
    let reports = [("node-0", &all[0]), ("node-1", &worse), ("node-2", &all[2])];
    let only = distress::of(&reports);
    assert_eq!(only.len(), 1);
    assert_eq!((&*only[0].address, only[0].stall_permille), ("10.0.0.1:80", 300));
}
