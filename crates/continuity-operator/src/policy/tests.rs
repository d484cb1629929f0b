use super::*;
use crate::sample::{Scene, at, key, node, policy, report, service};
use continuity_api::policy::{Admission, AdmissionMode, Priority, Rollout};
use continuity_api::selector::Selector;
use continuity_api::target::TargetRef;
use serde_json::json;

fn condition<'a>(status: &'a ContinuityPolicyStatus, kind: &str) -> &'a Condition {
    status
        .conditions
        .iter()
        .find(|condition| condition.type_ == kind)
        .unwrap()
}

fn status_of(scene: &Scene, name: &str) -> ContinuityPolicyStatus {
    status(&scene.world, scene.world.policies.get(&key(name)).unwrap(), at(1))
}

fn accepted_of(scene: &Scene, name: &str) -> (String, String, String) {
    let status = status_of(scene, name);
    let found = condition(&status, conditions::ACCEPTED);
    (found.status.clone(), found.reason.clone(), found.message.clone())
}

fn refused(scene: &Scene, name: &str, reason: &str, sentence: &str) {
    let (status, found, message) = accepted_of(scene, name);
    assert_eq!(
        (status.as_str(), found.as_str()),
        (conditions::FALSE, reason),
        "{message}"
    );
    assert!(message.contains(sentence), "{message}");
}

#[test]
fn a_missing_service_is_named_and_traffic_is_left() {
    let scene = Scene::new().policy(policy("p", 1, &[TargetRef::service("nope")]));
    refused(
        &scene,
        "p",
        reasons::TARGET_NOT_FOUND,
        "Service shop/nope does not exist",
    );
}

#[test]
fn a_missing_port_is_named_beside_those_there_are() {
    let scene = Scene::new().policy(policy("p", 1, &[TargetRef::port("web", "grpc")]));
    refused(
        &scene,
        "p",
        reasons::PORT_NOT_FOUND,
        "no port named grpc (it has: http, admin)",
    );
}

#[test]
fn headless_and_external_name_services_are_refused_with_the_reason() {
    let headless = service("quiet", json!({"clusterIP": "None", "ports": [{"port": 80}]}));
    let alias = service(
        "alias",
        json!({"type": "ExternalName", "externalName": "example.org"}),
    );
    let scene = Scene::new()
        .service(headless)
        .service(alias)
        .policy(policy("h", 1, &[TargetRef::service("quiet")]))
        .policy(policy("e", 1, &[TargetRef::service("alias")]));
    refused(&scene, "h", reasons::INVALID, "headless");
    refused(&scene, "e", reasons::INVALID, "ExternalName");
}

#[test]
fn an_sctp_port_is_refused_and_passes_untouched() {
    let call = service(
        "call",
        json!({"clusterIP": "10.96.0.9", "ports": [{"name": "call", "port": 3868, "protocol": "SCTP"}]}),
    );
    let scene = Scene::new()
        .service(call)
        .policy(policy("p", 1, &[TargetRef::service("call")]));
    refused(&scene, "p", reasons::INVALID, "SCTP");
}

#[test]
fn a_udp_port_is_accepted_beside_the_tcp_port_of_its_number() {
    let dns = service(
        "dns",
        json!({"clusterIP": "10.96.0.9", "ports": [
            {"name": "dns", "port": 53, "protocol": "UDP"}, {"name": "dns-tcp", "port": 53, "protocol": "TCP"}]}),
    );
    let scene = Scene::new()
        .service(dns)
        .policy(policy("p", 1, &[TargetRef::service("dns")]));
    let (status, _, message) = accepted_of(&scene, "p");
    assert_eq!(status, conditions::TRUE, "{message}");
    assert!(message.contains("in force on every target"), "{message}");
}

#[test]
fn the_loser_of_a_conflict_says_who_won_and_why() {
    let scene = Scene::new()
        .policy(policy("old", 9, &[TargetRef::service("web")]))
        .policy(policy("new", 1, &[TargetRef::service("web")]));
    refused(
        &scene,
        "new",
        reasons::CONFLICTED,
        "port http follows policy old: it is older",
    );
    assert_eq!(accepted_of(&scene, "old").0, conditions::TRUE);
    assert_eq!(
        condition(&status_of(&scene, "new"), conditions::PROGRAMMED).reason,
        reasons::OVERRIDDEN
    );
}

#[test]
fn a_policy_that_lost_one_port_keeps_the_others_and_says_so() {
    let scene = Scene::new()
        .policy(policy("all", 9, &[TargetRef::service("web")]))
        .policy(policy("own", 1, &[TargetRef::port("web", "admin")]));
    let status = status_of(&scene, "all");
    assert_eq!(condition(&status, conditions::ACCEPTED).status, conditions::TRUE);
    let message = &status.targets[0].conditions[0].message;
    assert!(
        message.contains("in force on port http") && message.contains("port admin follows policy own"),
        "{message}"
    );
}

#[test]
fn a_selector_that_finds_nothing_is_accepted_and_waits() {
    let mut waiting = policy("p", 1, &[]);
    let labels = [("app".to_owned(), "later".to_owned())].into();
    waiting.spec.target_selector = Some(Selector {
        match_labels: labels,
        ..Selector::default()
    });
    let (status, reason, _) = accepted_of(&Scene::new().policy(waiting), "p");
    assert_eq!(
        (status.as_str(), reason.as_str()),
        (conditions::TRUE, reasons::NOTHING_SELECTED)
    );
}

#[test]
fn without_agents_nobody_knows_whether_it_is_programmed() {
    let status = status_of(
        &Scene::new().policy(policy("p", 1, &[TargetRef::service("web")])),
        "p",
    );
    assert_eq!(
        condition(&status, conditions::PROGRAMMED).status,
        conditions::UNKNOWN
    );
    assert_eq!(condition(&status, conditions::READY).status, conditions::UNKNOWN);
}

fn digest(scene: &Scene) -> String {
    scene
        .world
        .plans
        .get(&crate::sample::set_key("web", "http"))
        .unwrap()
        .spec
        .digest
        .clone()
}

#[test]
fn programmed_counts_the_nodes_that_run_the_digest_of_the_plan() {
    let target = [TargetRef::port("web", "http")];
    let scene = Scene::new().policy(policy("p", 1, &target)).settled(at(1));
    let digest = digest(&scene);
    let runs = |digest: &str| continuity_api::node::SetReport {
        plan_digest: digest.into(),
        ..report(10)
    };
    let scene = scene
        .node(node("a", 1, vec![runs(&digest)]))
        .node(node("b", 1, vec![runs("older")]));
    let status = status_of(&scene, "p");
    assert_eq!(status.programmed, "1/2");
    assert_eq!(condition(&status, conditions::READY).status, conditions::FALSE);
    let scene = scene.node(node("b", 2, vec![runs(&digest)]));
    let status = status_of(&scene, "p");
    assert_eq!(status.programmed, "2/2");
    assert_eq!(condition(&status, conditions::READY).status, conditions::TRUE);
}

#[test]
fn a_crisis_never_takes_ready_away() {
    let target = [TargetRef::port("web", "http")];
    let scene = Scene::new().policy(policy("p", 1, &target)).settled(at(1));
    let crisis = continuity_api::node::SetReport {
        plan_digest: digest(&scene),
        regime: continuity_api::node::Regime::Crisis,
        ..report(10)
    };
    let scene = scene.node(node("a", 1, vec![crisis]));
    assert_eq!(
        condition(&status_of(&scene, "p"), conditions::READY).status,
        conditions::TRUE
    );
}

#[test]
fn a_new_generation_is_not_ready_before_its_own_plan_is_out() {
    let target = [TargetRef::port("web", "http")];
    let scene = Scene::new().policy(policy("p", 1, &target)).settled(at(1));
    let current = continuity_api::node::SetReport {
        plan_digest: digest(&scene),
        ..report(10)
    };
    let mut changed = policy("p", 1, &target);
    changed.metadata.generation = Some(2);
    changed.spec.isolation.enabled = false;
    let scene = scene.node(node("a", 1, vec![current])).policy(changed);
    let status = status_of(&scene, "p");
    assert_eq!(status.observed_generation, Some(2));
    assert_eq!(condition(&status, conditions::READY).status, conditions::FALSE);
}

#[test]
fn fields_that_do_not_act_yet_are_named() {
    let mut asking = policy("p", 1, &[TargetRef::service("web")]);
    asking.spec.admission = Admission {
        mode: AdmissionMode::Off,
        ..Admission::default()
    };
    asking.spec.rollout = Rollout {
        canary_nodes: 0,
        ..Rollout::default()
    };
    let quiet = status_of(&Scene::new().policy(asking.clone()), "p");
    assert!(quiet.not_yet_enforced.is_empty());
    assert!(
        quiet
            .conditions
            .iter()
            .all(|condition| condition.type_ != conditions::NOT_YET_ENFORCED)
    );

    asking.spec.default_priority = Priority::Low;
    let told = status_of(&Scene::new().policy(asking.clone()), "p");
    assert_eq!(told.not_yet_enforced, vec!["spec.defaultPriority"]);
    asking.spec.admission.mode = AdmissionMode::Auto;
    let told = status_of(&Scene::new().policy(asking.clone()), "p");
    assert!(told.not_yet_enforced.is_empty(), "who calls matters to admission");

    asking.spec.balancing.regret_overlay = true;
    let told = status_of(&Scene::new().policy(asking), "p");
    assert_eq!(told.not_yet_enforced, vec!["spec.balancing.regretOverlay"]);
    assert!(
        condition(&told, conditions::NOT_YET_ENFORCED)
            .message
            .contains("spec.balancing.regretOverlay")
    );
}

#[test]
fn a_condition_keeps_its_time_until_its_status_changes() {
    let first = Standing::yes("A", "one".into()).condition("T", Some(1), &[], at(1));
    let same = Standing::yes("B", "two".into()).condition("T", Some(2), std::slice::from_ref(&first), at(9));
    assert_eq!(same.last_transition_time, first.last_transition_time);
    let other = Standing::no("C", "three".into()).condition("T", Some(2), &[first], at(9));
    assert_eq!(other.last_transition_time, at(9).time());
}
