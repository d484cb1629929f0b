use continuity_api::plan::{CompiledFailsafe, SharedVerdict as ApiVerdict};
use continuity_api::policy::ContinuityPolicySpec;
use continuity_api::target::{PortIdentity, ServiceIdentity};
use continuity_api::{EquivalencePlanSpec, Time, compile};

use super::*;

fn spec() -> EquivalencePlanSpec {
    EquivalencePlanSpec {
        service: ServiceIdentity {
            name: "checkout".to_owned(),
            uid: "uid-1".to_owned(),
        },
        port: PortIdentity {
            number: 80,
            label: "80".to_owned(),
            ..PortIdentity::default()
        },
        digest: "d".to_owned(),
        stable: compile(&ContinuityPolicySpec {
            mode: Mode::Enforce,
            ..ContinuityPolicySpec::default()
        }),
        ..EquivalencePlanSpec::default()
    }
}

fn record(spec: EquivalencePlanSpec) -> PlanRecord {
    let mut plan = EquivalencePlan::new("checkout-80-1", spec);
    plan.metadata.namespace = Some("shop".to_owned());
    plan.metadata.generation = Some(4);
    PlanRecord::compact(&plan).expect("a record").1
}

#[test]
fn a_compiled_policy_arrives_in_the_laws_units() {
    let policy = record(spec()).stable;
    assert_eq!(policy.mode, dataplane::Mode::Enforce);
    assert_eq!(policy.failsafe, dataplane::FailsafeTimes::default());
    let law = &policy.law;
    assert_eq!(law.profile, WorkloadProfile::Standard);
    assert_eq!(
        (law.max_share_permille, law.slow_start),
        (800, Nanos::from_secs(30))
    );
    assert_eq!(law.slew.slow_gain_permille, 20);
    assert_eq!(
        (law.isolation.hold, law.isolation.drip_per_million),
        (Nanos::from_secs(2), 500)
    );
    assert_eq!(law.isolation.error_as, Nanos::from_secs(5));
    assert_eq!(
        (law.regimes.transition_milli, law.regimes.exit_permille),
        (1_300, 650)
    );
    assert_eq!(law.objectives.latency_p99, None);
}

#[test]
fn what_the_agent_runs_by_default_is_what_the_law_was_measured_with() {
    let law = record(spec()).stable.law;
    let preset = SetConfig::preset(field::Response::Balanced, WorkloadProfile::Standard);
    assert_eq!(
        law,
        SetConfig {
            seed: law.seed,
            // Admission is asked for; the law's own default is what it was measured with.
            admission: field::AdmissionConfig {
                mode: field::AdmissionMode::Off,
                ..preset.admission
            },
            ..preset
        }
    );
    assert_eq!(record(spec()).stable.gate, None);
}

#[test]
fn admission_arrives_with_its_rules_but_not_from_an_operator_for_which_it_did_not_act() {
    let caller = continuity_api::policy::Caller {
        priority: Priority::Critical,
        share: 300,
        ..continuity_api::policy::Caller::default()
    };
    let mut asked = spec();
    asked.stable = compile(&ContinuityPolicySpec {
        response: continuity_api::policy::Response::Strict,
        admission: continuity_api::policy::Admission {
            mode: AdmissionMode::Auto,
            survival_permille: 20,
            ..continuity_api::policy::Admission::default()
        },
        default_priority: Priority::Low,
        callers: vec![caller],
        ..ContinuityPolicySpec::default()
    });
    assert!(record(asked.clone()).is_gated());
    let gate = record(asked.clone()).stable.gate.expect("a gate");
    assert_eq!(
        (gate.config.target_milli, gate.config.survival_permille),
        (2_400, 20)
    );
    assert_eq!(gate.class, Class::Low);
    let rules: Vec<_> = gate.rules.iter().map(|rule| (rule.class, rule.weight)).collect();
    assert_eq!(rules, [(Class::Critical, 300)]);

    asked.stable.admission.target_milli = None;
    assert_eq!(record(asked).stable.gate, None);
}

#[test]
fn each_profile_keeps_its_scale() {
    for (name, expected) in [
        (
            continuity_api::policy::WorkloadProfile::Light,
            WorkloadProfile::Light,
        ),
        (
            continuity_api::policy::WorkloadProfile::Standard,
            WorkloadProfile::Standard,
        ),
        (
            continuity_api::policy::WorkloadProfile::Heavy,
            WorkloadProfile::Heavy,
        ),
        (
            continuity_api::policy::WorkloadProfile::Extreme,
            WorkloadProfile::Extreme,
        ),
    ] {
        let stable = compile(&ContinuityPolicySpec {
            workload_profile: name,
            ..ContinuityPolicySpec::default()
        });
        assert_eq!(
            record(EquivalencePlanSpec { stable, ..spec() })
                .stable
                .law
                .profile,
            expected
        );
    }
}

#[test]
fn numbers_that_no_crd_would_accept_are_clamped() {
    let mut wild = spec();
    wild.stable.failsafe = CompiledFailsafe {
        hold_after_millis: -5,
        fallback_after_millis: 0,
        ..CompiledFailsafe::default()
    };
    wild.stable.isolation.max_permille = -1;
    let policy = record(wild).stable;
    assert!(policy.failsafe.hold_after >= Duration::from_secs(1));
    assert!(policy.failsafe.fallback_after > policy.failsafe.hold_after);
    assert_eq!(policy.law.isolation.max_isolated_permille, 0);
    let mut nameless = EquivalencePlan::new(
        "x",
        EquivalencePlanSpec {
            port: PortIdentity::default(),
            ..spec()
        },
    );
    nameless.metadata.namespace = Some("shop".to_owned());
    assert!(PlanRecord::compact(&nameless).is_none(), "port 0 is none");
}

#[test]
fn verdicts_are_matched_by_address_and_unreadable_ones_dropped() {
    let verdict = |address: &str| ApiVerdict {
        address: address.to_owned(),
        action: VerdictAction::Isolate,
        agreeing_nodes: 2,
        expires: Time(jiff::Timestamp::from_second(1_800_000_030).expect("a time")),
    };
    let mut advised = spec();
    advised.advice.verdicts = vec![verdict("10.244.2.2:8080"), verdict("nonsense")];
    let verdicts = record(advised).advice.verdicts;
    assert_eq!(verdicts.len(), 1);
    assert_eq!(
        verdicts[0].backend,
        backend_id("10.244.2.2:8080".parse().expect("an address"))
    );
    assert_eq!(verdicts[0].expires_millis, 1_800_000_030_000);
}
