//! What GitOps tools see: the health scripts of `config/gitops`, run on objects of every state, and conditions that no
//! crisis can take down.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test that can not go on says so by a panic"
)]

#[path = "gitops/health.rs"]
mod health;
#[path = "gitops/steadiness.rs"]
mod steadiness;

use health::{argo, flux};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

type Stated = (&'static str, &'static str, &'static str);

/// An object as the operator or an agent leaves it in this state.
fn object(kind: &str, observed: i64, conditions: &[Stated]) -> Value {
    let conditions: Vec<Value> = conditions
        .iter()
        .map(|(kind, status, reason)| {
            json!({
                "type": kind, "status": status, "reason": reason, "message": format!("{reason} it is"),
                "observedGeneration": observed, "lastTransitionTime": "2026-11-21T12:00:00Z",
            })
        })
        .collect();
    json!({
        "apiVersion": "continuity.nity.io/v1alpha1",
        "kind": kind,
        "metadata": {"name": "checkout", "namespace": "shop", "generation": 2},
        "spec": {},
        "status": {"observedGeneration": observed, "conditions": conditions},
    })
}

fn policy(accepted: Stated, ready: Stated) -> Value {
    object(
        "ContinuityPolicy",
        2,
        &[accepted, ("Programmed", ready.1, ready.2), ready],
    )
}

const YES: Stated = ("Accepted", "True", "Accepted");

/// Every state, with Argo CD's health and Flux's.
fn states() -> Vec<(Value, &'static str, &'static str)> {
    let refused = |reason| policy(("Accepted", "False", reason), ("Ready", "False", reason));
    let mut partly = policy(YES, ("Ready", "True", "Programmed"));
    partly["status"]["conditions"].as_array_mut().unwrap().push(json!({
        "type": "NotYetEnforced", "status": "True", "reason": "FieldsNotYetEnforced", "message": "callers",
    }));
    let mut stale = policy(YES, ("Ready", "True", "Programmed"));
    stale["status"]["observedGeneration"] = json!(1);
    let mut states = vec![
        (policy(YES, ("Ready", "True", "Programmed")), "Healthy", "Current"),
        (partly, "Healthy", "Current"),
        (stale, "Progressing", "InProgress"),
        (
            policy(
                ("Accepted", "True", "NothingSelected"),
                ("Ready", "True", "Programmed"),
            ),
            "Healthy",
            "Current",
        ),
        (
            policy(YES, ("Ready", "False", "Reconciling")),
            "Progressing",
            "InProgress",
        ),
        (
            policy(YES, ("Ready", "Unknown", "NoNodes")),
            "Progressing",
            "InProgress",
        ),
        (policy(YES, ("Ready", "False", "Refused")), "Degraded", "Failed"),
        (
            policy(YES, ("Ready", "False", "Overridden")),
            "Degraded",
            "Failed",
        ),
        (
            policy(YES, ("Ready", "False", "RollingOut")),
            "Progressing",
            "InProgress",
        ),
        (
            policy(YES, ("Ready", "False", "RolloutHalted")),
            "Degraded",
            "Failed",
        ),
        (refused("Conflicted"), "Degraded", "Failed"),
        (refused("Invalid"), "Degraded", "Failed"),
        (refused("TargetNotFound"), "Progressing", "InProgress"),
        (refused("PortNotFound"), "Progressing", "InProgress"),
        (
            object("EquivalenceSet", 2, &[("Ready", "False", "NoBackends")]),
            "Suspended",
            "InProgress",
        ),
        (
            object("EquivalenceSet", 2, &[("Ready", "Unknown", "NoReports")]),
            "Progressing",
            "InProgress",
        ),
        (
            object(
                "ContinuityNode",
                2,
                &[
                    ("Ready", "True", "Attached"),
                    ("CapabilitiesMet", "True", "AllMet"),
                ],
            ),
            "Healthy",
            "Current",
        ),
        (
            object(
                "ContinuityNode",
                2,
                &[
                    ("Ready", "True", "Degraded"),
                    ("CapabilitiesMet", "False", "SomeMissing"),
                ],
            ),
            "Healthy",
            "Current",
        ),
        (
            object("ContinuityNode", 2, &[("Ready", "False", "Detached")]),
            "Degraded",
            "Failed",
        ),
        (
            object("ContinuityNode", 2, &[("Ready", "False", "SchemaMismatch")]),
            "Degraded",
            "Failed",
        ),
    ];
    for regime in ["Laminar", "Recovery", "Transition", "Crisis"] {
        let mut set = object("EquivalenceSet", 2, &[("Ready", "True", "Resolved")]);
        set["status"]["regime"] = json!(regime);
        states.push((set, "Healthy", "Current"));
    }
    // What a node lacks, and whether its word counts, is a matter for people: no roll-out waits for it.
    for said in [
        ("ResourcesSufficient", "True", "Sufficient"),
        ("ResourcesSufficient", "False", "RunningOut"),
        ("ResourcesSufficient", "False", "Stalled"),
        ("ResourcesSufficient", "Unknown", "NoSignals"),
        ("Trusted", "True", "Believed"),
        ("Trusted", "False", "Doubted"),
    ] {
        let node = object("ContinuityNode", 2, &[("Ready", "True", "Attached"), said]);
        states.push((node, "Healthy", "Current"));
    }
    let mut plan = object("EquivalencePlan", 2, &[]);
    plan.as_object_mut().unwrap().remove("status");
    states.push((plan.clone(), "Progressing", "InProgress"));
    plan["spec"]["digest"] = json!("0123");
    states.push((plan, "Healthy", "Current"));
    for kind in ["ContinuityPolicy", "EquivalenceSet", "ContinuityNode"] {
        let mut fresh = object(kind, 2, &[]);
        fresh.as_object_mut().unwrap().remove("status");
        states.push((fresh, "Progressing", "InProgress"));
        let mut empty = object(kind, 2, &[]);
        empty["status"] = json!({});
        states.push((empty, "Progressing", "InProgress"));
    }
    states
}

#[test]
fn every_state_has_its_health_in_argo_cd_and_in_flux() {
    for (object, wanted_by_argo, wanted_by_flux) in states() {
        assert_eq!(argo(&object).0, wanted_by_argo, "{object:#}");
        assert_eq!(flux(&object), wanted_by_flux, "{object:#}");
    }
}

#[test]
fn the_states_are_all_that_the_page_of_conditions_knows() {
    let page = fs::read_to_string(root().join("operator-docs/conditions.md")).unwrap();
    let table = page
        .split("## Conditions")
        .nth(1)
        .unwrap()
        .split("| reason |")
        .next()
        .unwrap();
    let known: BTreeSet<(String, String, String)> = table
        .lines()
        .filter(|line| line.starts_with("| Con") || line.starts_with("| Equ"))
        .flat_map(|line| {
            let cells: Vec<&str> = line.split('|').map(str::trim).collect();
            let (kind, condition) = (cells[1].to_owned(), cells[2].trim_matches('`').to_owned());
            let reasons = cells[3..6].join(" ");
            let quoted: Vec<String> = reasons.split('`').skip(1).step_by(2).map(str::to_owned).collect();
            quoted
                .into_iter()
                .map(move |reason| (kind.clone(), condition.clone(), reason))
        })
        .collect();
    let tried: BTreeSet<(String, String, String)> = states()
        .iter()
        .flat_map(|(object, _, _)| {
            let kind = object["kind"].as_str().unwrap().to_owned();
            let conditions = object["status"]["conditions"]
                .as_array()
                .cloned()
                .unwrap_or_default();
            conditions.into_iter().map(move |one| {
                let text = |key: &str| one[key].as_str().unwrap().to_owned();
                (kind.clone(), text("type"), text("reason"))
            })
        })
        .collect();
    let missing: Vec<_> = known.difference(&tried).collect();
    assert!(missing.is_empty(), "no state has {missing:?}");
    assert!(known.len() > 15, "the table was not read: {known:?}");
}

#[test]
fn a_message_of_argo_cd_says_what_the_condition_says() {
    let (_, message) = argo(&policy(
        ("Accepted", "False", "Conflicted"),
        ("Ready", "False", "Conflicted"),
    ));
    assert_eq!(message, "Conflicted it is");
    let mut leaving = policy(YES, ("Ready", "True", "Programmed"));
    leaving["metadata"]["deletionTimestamp"] = json!("2026-11-21T12:00:00Z");
    assert_eq!(
        argo(&leaving),
        ("Progressing".to_owned(), "being deleted".to_owned())
    );
}
