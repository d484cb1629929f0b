use super::*;
use crate::sample::{Scene, key, policy, web};
use crate::world::ServiceFacts;
use continuity_api::selector::Selector;
use continuity_api::target::TargetRef;
use std::collections::BTreeMap;

fn on(service: &str) -> TargetRef {
    TargetRef::service(service)
}

fn selecting(name: &str, age: i64, app: &str) -> ContinuityPolicy {
    let mut policy = policy(name, age, &[]);
    let labels = BTreeMap::from([("app".to_owned(), app.to_owned())]);
    policy.spec.target_selector = Some(Selector {
        match_labels: labels,
        ..Selector::default()
    });
    policy
}

/// Name of the policy that has port `port` of `web`.
fn holder(scene: &Scene, port: &str) -> Option<String> {
    let facts = ServiceFacts::of(&web());
    let port = facts
        .ports
        .iter()
        .find(|facts| facts.identity.label == port)
        .unwrap();
    winner(&scene.world, &key("web"), &facts, port).and_then(|claim| claim.policy.metadata.name.clone())
}

#[test]
fn a_port_s_own_policy_beats_the_service_s_however_young() {
    let scene = Scene::new()
        .policy(policy("old", 100, &[on("web")]))
        .policy(policy("own", 1, &[TargetRef::port("web", "http")]));
    assert_eq!(holder(&scene, "http").as_deref(), Some("own"));
    assert_eq!(holder(&scene, "admin").as_deref(), Some("old"));
}

#[test]
fn a_reference_beats_a_selector_however_old() {
    let scene = Scene::new()
        .policy(selecting("label", 100, "web"))
        .policy(policy("name", 1, &[on("web")]));
    assert_eq!(holder(&scene, "http").as_deref(), Some("name"));
}

#[test]
fn among_equals_the_older_wins_and_then_the_name() {
    let scene = Scene::new()
        .policy(policy("a", 1, &[on("web")]))
        .policy(policy("b", 5, &[on("web")]));
    assert_eq!(holder(&scene, "http").as_deref(), Some("b"));
    let scene = Scene::new()
        .policy(policy("b", 5, &[on("web")]))
        .policy(policy("a", 5, &[on("web")]));
    assert_eq!(holder(&scene, "http").as_deref(), Some("a"));
}

#[test]
fn a_policy_that_is_being_deleted_has_no_say() {
    let mut leaving = policy("old", 100, &[on("web")]);
    leaving.metadata.deletion_timestamp = leaving.metadata.creation_timestamp.clone();
    leaving.metadata.finalizers = Some(vec!["example.org/other".into()]);
    let scene = Scene::new()
        .policy(leaving)
        .policy(policy("new", 1, &[on("web")]));
    assert_eq!(holder(&scene, "http").as_deref(), Some("new"));
}

#[test]
fn nobody_has_a_service_that_no_policy_names() {
    let scene = Scene::new()
        .policy(policy("other", 1, &[on("cart")]))
        .policy(selecting("label", 1, "cart"));
    assert_eq!(holder(&scene, "http"), None);
}

#[test]
fn policies_of_other_namespaces_do_not_count() {
    let mut foreign = policy("foreign", 100, &[on("web")]);
    foreign.metadata.namespace = Some("elsewhere".into());
    assert_eq!(holder(&Scene::new().policy(foreign), "http"), None);
}
