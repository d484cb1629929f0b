use super::*;
use continuity_api::events;
use continuity_api::node::Regime;
use continuity_api::policy::Mode;
use continuity_api::set::{BackendCounts, EquivalenceSetSpec, HintStatus, IsolatedBackend};
use continuity_api::timeline::SENTENCE_MAX;
use continuity_api::{EquivalenceSetStatus, target::PolicyIdentity};
use proptest::prelude::*;
use std::sync::Arc;

mod node;
mod policy;

/// As of a set.
fn appended(
    stored: Option<&EquivalenceTimelineSpec>,
    set: &EquivalenceSet,
    now: Timestamp,
) -> Option<EquivalenceTimelineSpec> {
    super::appended(stored, &Subject::Set(Arc::new(set.clone())), now)
}

fn moment(second: i64) -> Timestamp {
    Timestamp::from_second(1_800_000_000 + second).unwrap()
}

fn set(status: Option<EquivalenceSetStatus>) -> EquivalenceSet {
    let spec = EquivalenceSetSpec {
        policy: PolicyIdentity {
            name: "checkout".into(),
            uid: "u".into(),
            generation: 3,
        },
        mode: Mode::Enforce,
        ..EquivalenceSetSpec::default()
    };
    let mut set = EquivalenceSet::new("web-http-00000", spec);
    set.status = status;
    set
}

fn calm() -> EquivalenceSetStatus {
    EquivalenceSetStatus {
        backends: BackendCounts {
            ready: 4,
            total: 5,
            summary: "4/5".into(),
            ..BackendCounts::default()
        },
        ..EquivalenceSetStatus::default()
    }
}

fn isolated(address: &str) -> IsolatedBackend {
    IsolatedBackend {
        address: address.into(),
        pod: "web-1".into(),
        node: "node-2".into(),
        reason: "answers in 512 ms, its peers in 21 ms".into(),
        agreeing_nodes: 2,
        reporting_nodes: 3,
        ..IsolatedBackend::default()
    }
}

fn whats(spec: &EquivalenceTimelineSpec) -> Vec<&str> {
    spec.entries.iter().map(|entry| entry.what.as_str()).collect()
}

#[test]
fn a_story_is_told_in_order_with_reasons_figures_and_what_was_done() {
    let first = appended(None, &set(None), moment(0)).unwrap();
    assert_eq!(whats(&first), [events::SET_FOLLOWED]);
    assert!(
        appended(Some(&first), &set(Some(calm())), moment(1)).is_none(),
        "the first status is no news"
    );

    let mut sick = calm();
    sick.regime = Regime::Transition;
    sick.reason = "10.0.0.2:80 answers in 512 ms".into();
    sick.pressure = "1.31".into();
    sick.traffic.offered_milli_per_second = 100_000;
    sick.isolated = vec![isolated("10.0.0.2:80")];
    let second = appended(Some(&first), &set(Some(sick.clone())), moment(10)).unwrap();
    assert_eq!(
        whats(&second),
        [
            events::SET_FOLLOWED,
            events::REGIME_WORSENED,
            events::BACKEND_ISOLATED
        ]
    );
    let worse = &second.entries[1];
    assert_eq!(
        worse.cause,
        "Laminar → Transition: 10.0.0.2:80 answers in 512 ms; pressure 1.31, 100/s offered, 0/s failed"
    );
    let out = &second.entries[2];
    assert_eq!(out.subject, "10.0.0.2:80 (web-1, node-2)");
    assert!(
        out.cause.contains("512 ms") && out.action.contains("by 2 of 3 nodes"),
        "{out:?}"
    );

    let third = appended(Some(&second), &set(Some(calm())), moment(20)).unwrap();
    assert_eq!(
        whats(&third)[3..],
        [events::REGIME_IMPROVED, events::BACKEND_RETURNED]
    );
    assert_eq!((third.total, third.last.as_str()), (5, events::BACKEND_RETURNED));
}

#[test]
fn the_same_set_again_or_moved_figures_add_nothing() {
    let first = appended(None, &set(Some(calm())), moment(0)).unwrap();
    let mut moved = calm();
    moved.pressure = "1.07".into();
    moved.traffic.p99_micros = 90_000;
    assert_eq!(appended(Some(&first), &set(Some(moved)), moment(60)), None);
}

#[test]
fn what_fell_between_two_leaders_is_told_by_the_next() {
    let first = appended(None, &set(Some(calm())), moment(0)).unwrap();
    let mut later = calm();
    later.regime = Regime::Crisis;
    later.backends.ready = 0;
    later.scale_hint = Some(HintStatus {
        desired_replicas: 5,
        ..HintStatus::default()
    });
    let mut changed = set(Some(later));
    changed.spec.policy.generation = 4;
    changed.spec.mode = Mode::Observe;
    let second = appended(Some(&first), &changed, moment(300)).unwrap();
    assert_eq!(
        whats(&second)[1..],
        [
            events::POLICY_CHANGED,
            events::REGIME_WORSENED,
            events::BACKENDS_GONE
        ]
    );
    assert_eq!(
        second.entries[1].cause,
        "generation 3 → 4, mode Enforce → Observe"
    );
    assert_eq!(second.entries[2].action, "nothing: Observe");
}

#[test]
fn entries_older_than_a_day_fall_off_and_the_count_of_all_stays() {
    let mut spec = appended(None, &set(Some(calm())), moment(0)).unwrap();
    let mut sick = calm();
    sick.regime = Regime::Crisis;
    spec = appended(Some(&spec), &set(Some(sick)), moment(AGE_MAX_SECONDS + 1)).unwrap();
    assert_eq!(whats(&spec), [events::REGIME_WORSENED]);
    assert_eq!(spec.total, 2);
}

#[test]
fn two_hundred_usual_entries_fit_and_sentences_of_full_length_stay_below_the_bytes() {
    for (sentence, least) in [
        ("answers in 512 ms, its peers in 21 ms".to_owned(), ENTRIES_MAX),
        ("→".repeat(SENTENCE_MAX), 50),
    ] {
        let mut spec = None;
        for round in 0..300 {
            let mut status = calm();
            if round % 2 == 0 {
                let mut backend = isolated("10.0.0.2:80");
                backend.reason = sentence.clone();
                status.isolated = vec![backend];
            }
            spec = appended(spec.as_ref(), &set(Some(status)), moment(round)).or(spec);
        }
        let spec = spec.unwrap();
        let size = serde_json::to_vec(&spec).unwrap().len();
        assert!(
            spec.entries.len() >= least && spec.entries.len() <= ENTRIES_MAX,
            "{}",
            spec.entries.len()
        );
        assert!(size < 64 * 1024, "{size} bytes");
        assert_eq!(spec.total, 301);
    }
}

proptest! {
    // Each step writes all entries once more to count their bytes.
    #![proptest_config(ProptestConfig::with_cases(16))]
    #[test]
    fn a_timeline_is_only_appended_to_and_stays_in_bounds(steps in prop::collection::vec((0_u8..4, 0_u8..6, 0_i32..9), 1..40)) {
        let mut spec: Option<EquivalenceTimelineSpec> = None;
        for (second, (regime, addresses, desired)) in steps.into_iter().enumerate() {
            let mut status = calm();
            status.regime = [Regime::Laminar, Regime::Recovery, Regime::Transition, Regime::Crisis][usize::from(regime)];
            status.isolated = (0..addresses).map(|last| isolated(&format!("10.0.0.{last}:80"))).collect();
            status.scale_hint = (desired > 0).then(|| HintStatus { desired_replicas: desired, ..HintStatus::default() });
            let set = set(Some(status));
            let next = appended(spec.as_ref(), &set, moment(i64::try_from(second).unwrap()));
            if let Some(next) = next {
                if let Some(before) = &spec {
                    let kept = before.entries.len().min(next.entries.len());
                    let grown = usize::try_from(next.total - before.total).unwrap();
                    prop_assert!(next.total >= before.total);
                    prop_assert_eq!(
                        &before.entries[before.entries.len() - kept.min(next.entries.len() - grown)..],
                        &next.entries[..next.entries.len() - grown]
                    );
                }
                prop_assert!(next.entries.len() <= ENTRIES_MAX);
                prop_assert_eq!(next.mark.as_ref(), Some(&mark(&set)));
                spec = Some(next);
            }
        }
    }
}
