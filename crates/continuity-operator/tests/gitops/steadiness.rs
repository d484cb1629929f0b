//! `Ready` and `Accepted` say whether a wish is applied. Whatever nodes report about traffic does not move them.

use continuity_api::node::{AdmissionState, BackendReport, BackendState, Regime, SetReport};
use continuity_api::set::EquivalenceSetStatus;
use continuity_api::{
    Condition, ContinuityNode, ContinuityNodeSpec, ContinuityNodeStatus, ContinuityPolicy, EquivalencePlan,
    conditions, set_name,
};
use continuity_operator::decide::{self, Memory, Write};
use continuity_operator::moment::Moment;
use continuity_operator::world::{BackendFacts, Change, Key, World};
use continuity_operator::{gather, policy};
use k8s_openapi::jiff::Timestamp;
use kube::runtime::watcher::Event;
use proptest::prelude::*;
use serde_json::json;
use std::time::Duration;

fn now() -> Moment {
    Moment::new(
        Duration::from_secs(100),
        Timestamp::from_second(1_800_000_000).unwrap(),
    )
}

fn any_report(digest: String) -> impl Strategy<Value = SetReport> {
    (
        0..4_usize,
        0..3_usize,
        0..1_000_000_i64,
        0..50_000_i64,
        0..6_usize,
    )
        .prop_map(
            move |(regime, admission, offered, pressure, isolated)| SetReport {
                namespace: "shop".into(),
                set: set_name("web", "http"),
                service: "web".into(),
                port: "http".into(),
                plan_digest: digest.clone(),
                regime: [
                    Regime::Laminar,
                    Regime::Recovery,
                    Regime::Transition,
                    Regime::Crisis,
                ][regime],
                admission: [AdmissionState::Normal, AdmissionState::Soft, AdmissionState::Hard][admission],
                offered_milli_per_second: offered,
                refused_milli_per_second: offered,
                pressure_milli: pressure,
                backends: (0..isolated)
                    .map(|last| BackendReport {
                        address: format!("10.0.0.{last}:80"),
                        state: BackendState::Isolated,
                        ..BackendReport::default()
                    })
                    .collect(),
                ..SetReport::default()
            },
        )
}

fn standing(list: &[Condition], kind: &str) -> String {
    list.iter().find(|one| one.type_ == kind).unwrap().status.clone()
}

/// A Service with a policy, its plan stored, and the plan's digest.
fn world() -> (World, ContinuityPolicy, String) {
    let mut world = World::default();
    let service = serde_json::from_value(json!({
        "metadata": {"name": "web", "namespace": "shop", "uid": "s"},
        "spec": {"clusterIP": "10.96.0.10", "ports": [{"name": "http", "port": 80}]},
    }));
    let policy: ContinuityPolicy = serde_json::from_value(json!({
        "metadata": {"name": "web", "namespace": "shop", "uid": "p", "generation": 1},
        "spec": {"targetRefs": [{"kind": "Service", "name": "web"}], "mode": "Enforce"},
    }))
    .unwrap();
    world.absorb(Change::Service(Event::Apply(service.unwrap())), now());
    world.absorb(Change::Policy(Event::Apply(policy.clone())), now());
    let intents = decide::service(&world, &Key::new("shop", "web"), &mut Memory::default(), now());
    let spec = intents.into_iter().find_map(|intent| match intent.write {
        Write::Plan { spec, .. } => Some(*spec),
        _ => None,
    });
    let spec = spec.unwrap();
    let digest = spec.digest.clone();
    let mut plan = EquivalencePlan::new(&set_name("web", "http"), spec);
    plan.metadata.namespace = Some("shop".into());
    world.absorb(Change::Plan(Event::Apply(plan)), now());
    (world, policy, digest)
}

fn node(name: &str, report: SetReport) -> ContinuityNode {
    let mut node = ContinuityNode::new(name, ContinuityNodeSpec {});
    let ready: Condition = serde_json::from_value(json!({
        "type": "Ready", "status": "True", "reason": "Attached", "message": "", "lastTransitionTime": "2026-11-21T12:00:00Z",
    }))
    .unwrap();
    node.status = Some(ContinuityNodeStatus {
        conditions: vec![ready],
        sequence: 1,
        sets: vec![report],
        ..ContinuityNodeStatus::default()
    });
    node
}

proptest! {
    #[test]
    fn a_set_with_backends_and_reports_is_ready_whatever_the_reports_say(
        reports in prop::collection::vec(any_report("d".into()), 1..6),
    ) {
        let names: Vec<String> = (0..reports.len()).map(|index| format!("node-{index}")).collect();
        let reports: Vec<(&str, &SetReport)> = names.iter().map(String::as_str).zip(&reports).collect();
        let facts = gather::Facts {
            generation: Some(1),
            mode: continuity_api::policy::Mode::Enforce,
            backends: BackendFacts { ready: 4, total: 5 },
            reports: &reports,
            nodes: reports.len(),
            digest: Some("d"),
            hint: None,
            outliers: &[],
            previous: &EquivalenceSetStatus::default(),
        };
        let status = gather::status(&facts, now());
        prop_assert_eq!(standing(&status.conditions, conditions::READY), conditions::TRUE);
    }

    #[test]
    fn a_policy_that_every_node_runs_is_accepted_and_ready_whatever_the_nodes_report(
        reports in prop::collection::vec(any_report(String::new()), 1..6),
    ) {
        let (mut world, stored, digest) = world();
        for (index, report) in reports.into_iter().enumerate() {
            let report = SetReport { plan_digest: digest.clone(), ..report };
            world.absorb(Change::Node(Event::Apply(node(&format!("node-{index}"), report))), now());
        }
        let status = policy::status(&world, &stored, now());
        for kind in [conditions::ACCEPTED, conditions::PROGRAMMED, conditions::READY] {
            prop_assert_eq!(standing(&status.conditions, kind), conditions::TRUE);
        }
    }
}
