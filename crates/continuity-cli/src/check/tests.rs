//! Each check, well and ill, and the runbook beside the ids.

use super::*;
use crate::install;
use continuity_api::node::{CapabilityReport, DataplaneState, FailsafeState};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

fn now() -> Timestamp {
    "2026-11-21T12:00:10Z".parse().expect("a time")
}

fn object<T: DeserializeOwned>(value: Value) -> T {
    serde_json::from_value(value).expect("an object")
}

fn node(name: &str) -> crate::survey::NodeLine {
    let mut node = crate::survey::NodeLine {
        name: name.into(),
        version: "0.1.0".into(),
        ..Default::default()
    };
    node.dataplane.state = DataplaneState::Attached;
    node
}

fn image(name: &str, tag: &str) -> Value {
    json!({"metadata": {}, "spec": {"containers": [{"name": "c", "image": format!("localhost/{name}:{tag}")}]}})
}

/// An installation without a flaw: three nodes, one policy, one set.
fn well() -> Survey {
    let crd = |name: &str| {
        let (plural, _) = name.split_once('.').expect("a dot");
        object(json!({
            "metadata": {"name": name},
            "spec": {"group": install::GROUP, "scope": "Namespaced", "names": {"kind": "K", "plural": plural},
                     "versions": [{"name": "v1alpha1", "served": true, "storage": true}]},
            "status": {"conditions": [{"type": "Established", "status": "True"}]}
        }))
    };
    Survey {
        server: (1, 36),
        crds: Ok(install::CRDS.iter().map(|name| crd(name)).collect()),
        operator: Ok(object(json!({
            "spec": {"replicas": 2, "selector": {}, "template": image("continuity-operator", "dev")},
            "status": {"readyReplicas": 2}
        }))),
        lease: Ok(object(json!({"spec": {
            "holderIdentity": "op-1", "leaseDurationSeconds": 15, "renewTime": "2026-11-21T12:00:05.000000Z"
        }}))),
        agents: Ok(object(json!({
            "spec": {"selector": {}, "template": image("continuity-agent", "dev")},
            "status": {"numberReady": 3, "desiredNumberScheduled": 3, "updatedNumberScheduled": 3,
                       "currentNumberScheduled": 3, "numberMisscheduled": 0}
        }))),
        pods: Ok(Vec::new()),
        nodes: Ok(vec![node("node-1"), node("node-2"), node("node-3")]),
        policies: Ok(vec![object(json!({
            "apiVersion": "continuity.nity.io/v1alpha1", "kind": "ContinuityPolicy",
            "metadata": {"name": "checkout", "namespace": "shop", "generation": 2},
            "spec": {"targetRefs": [{"name": "checkout"}]},
            "status": {"observedGeneration": 2}
        }))]),
        sets: Ok(vec![object(json!({
            "apiVersion": "continuity.nity.io/v1alpha1", "kind": "EquivalenceSet",
            "metadata": {"name": "checkout-http-00000", "namespace": "shop"},
            "spec": {"service": {"name": "checkout", "uid": "u"}, "port": {"number": 80, "label": "http"},
                     "policy": {"name": "checkout", "uid": "p", "generation": 2}},
            "status": {"nodes": {"reporting": 3, "programmed": 3, "total": 3}, "reach": {"permille": 980}}
        }))]),
        admission: Ok(object(json!({"spec": {"matchConstraints": {"resourceRules": [
            {"resources": ["continuitynodes", "continuitynodes/status"]}
        ]}}}))),
        binding: Ok(object(
            json!({"spec": {"policyName": "x", "validationActions": ["Deny"]}}),
        )),
        external: Ok(None),
    }
}

fn found(survey: &Survey, id: &str) -> Finding {
    judge(survey, now())
        .into_iter()
        .find(|finding| finding.id == id)
        .expect("a check of that id")
}

/// The level of one check, and a part of its message.
fn assert_found(survey: &Survey, id: &str, level: Level, part: &str) {
    let finding = found(survey, id);
    assert_eq!(finding.level, level, "{}", finding.message);
    assert!(
        finding.message.contains(part),
        "{id}: {:?} lacks {part:?}",
        finding.message
    );
}

#[test]
fn a_flawless_installation_has_no_finding() {
    let findings = judge(&well(), now());
    assert_eq!(worst(&findings), Level::Ok, "{}", text(&findings));
    assert!(text(&findings).ends_with("16 ok, 0 to look at, 0 failed\n"));
}

#[test]
fn an_empty_cluster_fails_with_the_command_that_installs() {
    let survey = Survey {
        crds: Ok(Vec::new()),
        operator: Ok(None),
        lease: Ok(None),
        agents: Ok(None),
        nodes: Ok(Vec::new()),
        admission: Ok(None),
        binding: Ok(None),
        ..well()
    };
    assert_found(&survey, "CT001", Level::Fail, "kubectl apply -k config/default");
    for id in ["CT003", "CT004", "CT005", "CT010"] {
        assert_eq!(found(&survey, id).level, Level::Fail, "{id}");
    }
    assert_found(&survey, "CT006", Level::Warn, "no agent has reported yet");
}

#[test]
fn an_old_lease_means_nobody_leads() {
    let mut survey = well();
    survey.lease = Ok(object(json!({"spec": {
        "holderIdentity": "op-1", "leaseDurationSeconds": 15, "renewTime": "2026-11-21T11:59:00.000000Z"
    }})));
    assert_found(&survey, "CT004", Level::Fail, "has not renewed it for 70 s");
}

#[test]
fn a_node_without_its_agent_is_named_with_kubelets_reason() {
    let mut survey = well();
    survey.agents = Ok(object(json!({
        "spec": {"selector": {}, "template": image("continuity-agent", "dev")},
        "status": {"numberReady": 2, "desiredNumberScheduled": 3, "updatedNumberScheduled": 3,
                   "currentNumberScheduled": 3, "numberMisscheduled": 0}
    })));
    survey.pods = Ok(vec![object(
        json!({"spec": {"nodeName": "node-3", "containers": []}, "status": {
        "containerStatuses": [{"name": "agent", "image": "", "imageID": "", "ready": false, "restartCount": 0,
                               "state": {"waiting": {"reason": "ImagePullBackOff"}}}]}}),
    )]);
    assert_found(
        &survey,
        "CT005",
        Level::Warn,
        "ready on 2 of 3 nodes: node-3 (ImagePullBackOff)",
    );
}

#[test]
fn what_a_node_lacks_is_told_with_what_stands_in() {
    let mut survey = well();
    let lacks = |name: &str, fallback: &str| CapabilityReport {
        name: name.into(),
        fallback: fallback.into(),
        ..CapabilityReport::default()
    };
    if let Ok(nodes) = &mut survey.nodes {
        nodes[1].missing = vec![
            lacks("SetRetval", "EPERM in place of ECONNREFUSED"),
            lacks("SoleConnectHook", "cil_sock4_connect runs first"),
        ];
        nodes[2].dataplane.state = DataplaneState::Refused;
        nodes[2].dataplane.message = "pins of schema 2, this agent has 3".into();
        nodes[0].dataplane.failsafe = FailsafeState::Fallback;
    }
    assert_found(
        &survey,
        "CT007",
        Level::Warn,
        "node-2 (SetRetval: EPERM in place of ECONNREFUSED)",
    );
    assert_found(
        &survey,
        "CT008",
        Level::Warn,
        "node-2 (cil_sock4_connect runs first)",
    );
    assert_found(
        &survey,
        "CT006",
        Level::Warn,
        "attached on 2 of 3 nodes; kube-proxy serves on node-3 (pins of schema 2",
    );
    assert_found(
        &survey,
        "CT009",
        Level::Fail,
        "node-1 (Fallback: kube-proxy serves)",
    );
}

#[test]
fn nodes_with_the_same_lack_are_one_entry() {
    let mut survey = well();
    if let Ok(nodes) = &mut survey.nodes {
        for node in nodes.iter_mut() {
            node.dataplane.state = DataplaneState::Detached;
            node.dataplane.message = "no bpffs".into();
        }
    }
    assert_found(
        &survey,
        "CT006",
        Level::Fail,
        "attached on no node; kube-proxy serves everything: node-1, node-2, node-3 (no bpffs)",
    );
}

#[test]
fn an_admission_policy_that_forgets_status_fails() {
    let mut survey = well();
    survey.admission = Ok(object(json!({"spec": {"matchConstraints": {"resourceRules": [
        {"resources": ["continuitynodes"]}
    ]}}})));
    assert_found(
        &survey,
        "CT010",
        Level::Fail,
        "does not cover continuitynodes/status",
    );
    let mut survey = well();
    survey.binding = Ok(object(
        json!({"spec": {"policyName": "x", "validationActions": ["Warn"]}}),
    ));
    assert_found(&survey, "CT010", Level::Fail, "does not deny");
}

#[test]
fn the_owner_of_external_metrics_is_named() {
    let owned = |service: &str, status: &str| -> Survey {
        let (namespace, name) = service.split_once('/').expect("a slash");
        let external = object(json!({
            "spec": {"groupPriorityMinimum": 100, "versionPriority": 100, "service": {"namespace": namespace, "name": name}},
            "status": {"conditions": [{"type": "Available", "status": status, "message": "no endpoints"}]}
        }));
        Survey {
            external: Ok(external),
            ..well()
        }
    };
    let ours = "continuity-system/continuity-external-metrics";
    assert_found(&owned(ours, "True"), "CT011", Level::Ok, "we serve");
    assert_found(&owned(ours, "False"), "CT011", Level::Fail, "no endpoints");
    assert_found(
        &owned("keda/keda-metrics", "True"),
        "CT011",
        Level::Ok,
        "keda/keda-metrics owns",
    );
}

#[test]
fn images_and_agents_of_different_versions_are_skew() {
    let mut survey = well();
    if let Ok(nodes) = &mut survey.nodes {
        nodes[0].version = "0.2.0".into();
    }
    assert_found(&survey, "CT012", Level::Warn, "0.1.0, 0.2.0");
    survey.operator = Ok(object(json!({
        "spec": {"replicas": 2, "selector": {}, "template": image("continuity-operator", "v2")}
    })));
    assert_found(
        &survey,
        "CT012",
        Level::Warn,
        "the operator's image is v2, the agents' is dev",
    );
}

#[test]
fn a_refused_policy_is_quoted() {
    let mut survey = well();
    if let Ok(policies) = &mut survey.policies {
        policies[0].status = Some(object(json!({"observedGeneration": 2, "conditions": [{
            "type": "Accepted", "status": "False", "reason": "Conflicted", "message": "checkout has shop/older",
            "lastTransitionTime": "2026-11-21T12:00:00Z"}], "notYetEnforced": ["spec.callers"]})));
    }
    assert_found(
        &survey,
        "CT013",
        Level::Fail,
        "shop/checkout (Conflicted: checkout has shop/older)",
    );
    assert_found(&survey, "CT016", Level::Warn, "shop/checkout (spec.callers)");
}

#[test]
fn a_set_that_nobody_reports_or_reaches_is_found() {
    let mut survey = well();
    if let Ok(sets) = &mut survey.sets {
        sets[0].status = Some(object(
            json!({"nodes": {"reporting": 0, "total": 3}, "reach": {"permille": 120}}),
        ));
    }
    assert_found(
        &survey,
        "CT014",
        Level::Fail,
        "no node reports shop/checkout-http-00000",
    );
    assert_found(&survey, "CT015", Level::Warn, "shop/checkout-http-00000 (12 %)");
}

#[test]
fn what_may_not_be_read_is_neither_ok_nor_a_failure() {
    let survey = Survey {
        nodes: Err("continuitynodes is forbidden".into()),
        ..well()
    };
    assert_found(
        &survey,
        "CT006",
        Level::Warn,
        "could not be read: continuitynodes is forbidden",
    );
}

#[test]
fn every_check_has_a_runbook_entry_and_every_entry_a_check() {
    let page = include_str!("../../../../operator-docs/runbook.md");
    let written: Vec<&str> = page
        .lines()
        .filter_map(|line| line.strip_prefix("## CT"))
        .map(|rest| rest.split(' ').next().unwrap_or(rest))
        .collect();
    let known: Vec<String> = ids()
        .map(|(id, _)| id.trim_start_matches("CT").to_owned())
        .collect();
    assert_eq!(written, known);
    for (id, _) in ids() {
        let anchor = format!("<a id=\"{}\"></a>", id.to_lowercase());
        assert!(page.contains(&anchor), "the runbook has no {anchor}");
    }
}
