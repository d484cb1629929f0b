use super::*;
use continuity_api::node::Regime;

fn hinted(desired: i32) -> EquivalenceSetStatus {
    let hint = HintStatus {
        desired_replicas: desired,
        message: "demand".into(),
        ..HintStatus::default()
    };
    EquivalenceSetStatus {
        scale_hint: Some(hint),
        ..EquivalenceSetStatus::default()
    }
}

fn isolating(count: usize) -> EquivalenceSetStatus {
    let backend = |index| IsolatedBackend {
        address: format!("10.0.0.{index}:80"),
        ..IsolatedBackend::default()
    };
    EquivalenceSetStatus {
        isolated: (0..count).map(backend).collect(),
        ..EquivalenceSetStatus::default()
    }
}

fn reasons(notices: &[Notice]) -> Vec<&'static str> {
    notices.iter().map(|notice| notice.reason).collect()
}

#[test]
fn nothing_changed_means_nothing_told() {
    assert!(of_set(&hinted(5), &hinted(5)).is_empty());
    assert!(!is_transition(&hinted(5), &hinted(5)));
}

#[test]
fn a_regime_is_told_both_ways() {
    let calm = EquivalenceSetStatus::default();
    let crisis = EquivalenceSetStatus {
        regime: Regime::Crisis,
        reason: "why".into(),
        ..calm.clone()
    };
    let worse = of_set(&calm, &crisis);
    assert!(worse[0].warning);
    assert_eq!(worse[0].note, "Laminar → Crisis: why");
    assert_eq!(reasons(&of_set(&crisis, &calm)), vec![events::REGIME_IMPROVED]);
}

#[test]
fn a_hint_is_told_with_both_numbers() {
    let told = of_set(&hinted(5), &hinted(7));
    assert_eq!(told[0].note, "5 → 7 replicas wanted: demand");
    assert!(is_transition(&hinted(5), &hinted(7)));
}

#[test]
fn many_isolations_at_once_are_one_event() {
    assert_eq!(of_set(&isolating(0), &isolating(9)).len(), 1);
    assert_eq!(of_set(&isolating(0), &isolating(3)).len(), 3);
    assert_eq!(
        reasons(&of_set(&isolating(1), &isolating(0))),
        vec![events::BACKEND_RETURNED]
    );
}

#[test]
fn moving_figures_are_no_transition() {
    let mut later = hinted(5);
    later.traffic.offered_milli_per_second = 1_000_000;
    later.pressure = "1.20".into();
    assert!(!is_transition(&hinted(5), &later));
}

#[test]
fn events_about_different_things_are_never_merged() {
    let told = of_set(&isolating(0), &isolating(3));
    let actions: std::collections::BTreeSet<&String> = told.iter().map(|notice| &notice.action).collect();
    assert_eq!(actions.len(), 3);
    assert!(actions.iter().all(|action| action.len() <= 128));
}
