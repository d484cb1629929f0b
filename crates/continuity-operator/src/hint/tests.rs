use super::*;
use crate::sample::{at, report};
use continuity_api::ContinuityPolicySpec;
use continuity_api::compile;

fn policy() -> CompiledPolicy {
    compile(&ContinuityPolicySpec::default())
}

fn stored(desired: i32) -> HintStatus {
    HintStatus {
        desired_replicas: desired,
        current_replicas: 5,
        ..HintStatus::default()
    }
}

#[test]
fn a_policy_that_wants_no_hint_gets_none() {
    let mut off = policy();
    off.hint.enabled = false;
    assert_eq!(
        decide(&mut Memory::default(), &off, &[], 5, Some(&stored(5)), at(1)),
        None
    );
}

#[test]
fn the_first_hint_is_the_present_count() {
    let report = report(10);
    let hint = decide(
        &mut Memory::default(),
        &policy(),
        &[("a", &report)],
        5,
        None,
        at(1),
    )
    .unwrap();
    assert_eq!((hint.desired_replicas, hint.summary.as_str()), (5, "5"));
    assert_eq!(hint.direction, Direction::Hold);
}

#[test]
fn a_restart_goes_on_from_what_is_stored_and_silence_never_gives_zero() {
    let mut memory = Memory::default();
    let hint = decide(&mut memory, &policy(), &[], 5, Some(&stored(8)), at(1)).unwrap();
    assert_eq!((hint.desired_replicas, hint.summary.as_str()), (8, "5→8"));
    assert_eq!(hint.reason, reasons::SILENT);
    let hint = decide(&mut memory, &policy(), &[], 0, Some(&hint), at(500)).unwrap();
    assert_eq!(hint.desired_replicas, 8, "without backends too");
}

#[test]
fn a_clamp_that_bites_is_said() {
    let mut clamped = policy();
    clamped.hint.max_replicas = 6;
    let hint = decide(&mut Memory::default(), &clamped, &[], 5, Some(&stored(8)), at(1)).unwrap();
    assert_eq!(hint.desired_replicas, 6);
}

#[test]
fn the_sentence_stays_with_the_decision_it_explains() {
    let mut memory = Memory::default();
    let first = decide(&mut memory, &policy(), &[], 5, Some(&stored(5)), at(1)).unwrap();
    let again = decide(&mut memory, &policy(), &[], 5, Some(&first), at(100)).unwrap();
    assert_eq!(first, again);
}
