use super::*;
use crate::policy::{Caller, Failsafe, Isolation, Mode, Objectives, Priority, ScaleHint};

fn spec() -> ContinuityPolicySpec {
    ContinuityPolicySpec::default()
}

#[test]
fn an_empty_policy_observes_with_the_balanced_constants() {
    let compiled = compile(&spec());
    assert_eq!(compiled.mode, Mode::Observe);
    assert_eq!(compiled.isolation.latency_ratio_milli, 8_000);
    assert_eq!(compiled.isolation.evidence_ticks, 3);
    assert_eq!(compiled.share.max_permille, 800);
    assert_eq!(compiled.failsafe.hold_after_millis, 3_000);
    assert_eq!(compiled.failsafe.fallback_after_millis, 15_000);
    assert_eq!(compiled.hint.headroom_permille, 100);
}

#[test]
fn a_stricter_preset_never_needs_more_evidence() {
    let of = |response| compile(&ContinuityPolicySpec { response, ..spec() });
    let [gentle, balanced, strict] = [Response::Gentle, Response::Balanced, Response::Strict].map(of);
    for (softer, harder) in [(&gentle, &balanced), (&balanced, &strict)] {
        assert!(softer.isolation.latency_ratio_milli >= harder.isolation.latency_ratio_milli);
        assert!(softer.isolation.evidence_ticks >= harder.isolation.evidence_ticks);
        assert!(softer.isolation.error_permille >= harder.isolation.error_permille);
        assert!(softer.isolation.consecutive_failures >= harder.isolation.consecutive_failures);
        assert!(softer.isolation.hold_millis >= harder.isolation.hold_millis);
    }
}

#[test]
fn a_named_field_beats_the_preset() {
    let isolation = Isolation {
        hold_seconds: Some(9),
        drip_per_million: Some(0),
        ..Isolation::default()
    };
    let compiled = compile(&ContinuityPolicySpec {
        response: Response::Strict,
        isolation,
        ..spec()
    });
    assert_eq!(compiled.isolation.hold_millis, 9_000);
    assert_eq!(
        compiled.isolation.drip_per_million, 100,
        "the law's floor, as the schema says"
    );
    assert_eq!(
        compiled.isolation.evidence_ticks, 2,
        "the rest stays the preset's"
    );
}

#[test]
fn a_plan_without_admission_says_nothing_of_callers_and_is_what_it_was() {
    let mut asking = ContinuityPolicySpec {
        default_priority: Priority::Low,
        callers: vec![Caller::default(); CALLERS_MAX + 1],
        ..spec()
    };
    let written =
        |spec: &ContinuityPolicySpec| serde_json::to_string(&compile(spec).admission).expect("JSON");
    assert_eq!(
        written(&asking),
        r#"{"mode":"Off","survivalPermille":10,"retryBudgetPermille":200}"#
    );
    asking.admission.mode = AdmissionMode::Auto;
    let auto = compile(&asking).admission;
    assert_eq!(
        (auto.target_milli, auto.default_priority),
        (Some(2_800), Some(Priority::Low))
    );
    assert_eq!(auto.callers.len(), CALLERS_MAX);
}

#[test]
fn a_slower_workload_gets_a_longer_patience() {
    let of = |workload_profile| {
        compile(&ContinuityPolicySpec {
            workload_profile,
            ..spec()
        })
        .pressure
        .stuck_micros
    };
    let profiles = [
        WorkloadProfile::Light,
        WorkloadProfile::Standard,
        WorkloadProfile::Heavy,
        WorkloadProfile::Extreme,
    ]
    .map(of);
    assert!(profiles.is_sorted());
    assert!(profiles[0] >= 1_000_000);
}

#[test]
fn hold_stays_before_fallback_whatever_was_stored() {
    for hold in [-5, 0, 3, 60, i32::MAX] {
        for fallback in [-5, 0, 3, 15, i32::MAX] {
            let failsafe = Failsafe {
                hold_after_seconds: hold,
                fallback_after_seconds: fallback,
                ..Failsafe::default()
            };
            let compiled = compile(&ContinuityPolicySpec { failsafe, ..spec() }).failsafe;
            assert!(
                compiled.hold_after_millis < compiled.fallback_after_millis,
                "{hold} {fallback}"
            );
        }
    }
}

#[test]
fn the_upper_clamp_of_the_hint_is_never_below_the_lower() {
    let scale_hint = ScaleHint {
        min_replicas: Some(9),
        max_replicas: Some(3),
        ..ScaleHint::default()
    };
    let compiled = compile(&ContinuityPolicySpec { scale_hint, ..spec() }).hint;
    assert_eq!((compiled.min_replicas, compiled.max_replicas), (9, 9));
}

#[test]
fn objectives_keep_their_units() {
    let objectives = Some(Objectives {
        latency_p99_millis: Some(250),
        error_budget_per_million: Some(1000),
    });
    let compiled = compile(&ContinuityPolicySpec { objectives, ..spec() }).objectives;
    assert_eq!(compiled.latency_p99_micros, 250_000);
    assert_eq!(compiled.error_budget_per_million, 1_000);
}
