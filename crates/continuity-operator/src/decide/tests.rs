use super::*;
use crate::sample::{Scene, at, isolated, key, node, policy, report, service as made, set_key, slice, web};
use crate::world::Change;
use continuity_api::EquivalencePlanSpec;
use continuity_api::node::{BackendReport, Regime, SetReport};
use continuity_api::target::TargetRef;
use kube::runtime::watcher::Event;
use serde_json::json;

fn followed() -> Scene {
    Scene::new().policy(policy("p", 1, &[TargetRef::service("web")]))
}

fn writes(scene: &Scene, now: Moment) -> Vec<Intent> {
    let mut intents = scene.intents(&mut Memory::default(), now);
    intents.retain(|intent| intent.write != Write::Nothing);
    intents
}

/// What is planned for a port of web.
fn planned<'a>(scene: &'a Scene, port: &str) -> &'a EquivalencePlanSpec {
    let plan = scene.world.plans.get(&set_key("web", port));
    &plan.unwrap().spec
}

/// A report of a node that keeps web's first backend out.
fn bad() -> SetReport {
    SetReport {
        backends: vec![isolated("10.244.0.0:8080")],
        ..report(100)
    }
}

fn aspects(intents: &[Intent]) -> Vec<(Aspect, String)> {
    intents
        .iter()
        .map(|intent| (intent.slot.aspect, intent.slot.key.name.clone()))
        .collect()
}

#[test]
fn a_service_without_a_policy_gives_nothing() {
    assert!(writes(&Scene::new(), at(1)).is_empty());
}

#[test]
fn each_port_of_a_followed_service_gets_a_set_and_a_plan() {
    let scene = followed().settled(at(1));
    for port in ["http", "admin"] {
        let set = scene.world.sets.get(&set_key("web", port)).unwrap();
        assert_eq!(set.spec.port.label, port);
        assert_eq!(set.status.as_ref().unwrap().backends.summary, "5/5");
        assert_eq!(planned(&scene, port).policy.name, "p");
    }
}

#[test]
fn a_settled_picture_asks_for_nothing_more_whatever_the_time() {
    let scene = followed().node(node("a", 1, vec![report(100)])).settled(at(30));
    assert_eq!(aspects(&writes(&scene, at(31))), vec![]);
    assert_eq!(aspects(&writes(&scene, at(500))), vec![]);
}

#[test]
fn a_renamed_port_gets_a_new_set_and_the_old_one_goes() {
    let renamed = made(
        "web",
        json!({"clusterIP": "10.96.0.10", "ports": [{"name": "rest", "port": 80}]}),
    );
    let scene = followed().settled(at(1)).service(renamed);
    let found = aspects(&writes(&scene, at(2)));
    for gone in ["http", "admin"] {
        assert!(
            found.contains(&(Aspect::Set, set_key("web", gone).name)),
            "{found:?}"
        );
        assert!(
            found.contains(&(Aspect::Plan, set_key("web", gone).name)),
            "{found:?}"
        );
    }
    let scene = scene.settled(at(2));
    assert_eq!(
        scene.world.sets.keys().collect::<Vec<_>>(),
        vec![&set_key("web", "rest")]
    );
}

#[test]
fn a_deleted_policy_takes_its_plans_along() {
    let mut scene = followed().settled(at(1));
    scene
        .world
        .absorb(Change::Policy(Event::Delete(policy("p", 1, &[]))), at(2));
    let scene = scene.settled(at(2));
    assert!(scene.world.plans.is_empty() && scene.world.sets.is_empty());
}

#[test]
fn a_deleted_service_takes_its_sets_along() {
    let mut scene = followed().settled(at(1));
    scene.world.absorb(Change::Service(Event::Delete(web())), at(2));
    let scene = scene.settled(at(2));
    assert!(scene.world.plans.is_empty() && scene.world.sets.is_empty());
}

#[test]
fn a_service_made_anew_owns_its_objects_anew() {
    let mut again = web();
    again.metadata.uid = Some("uid-again".into());
    let scene = followed().settled(at(1)).service(again).settled(at(2));
    let set = scene.world.sets.get(&set_key("web", "http")).unwrap();
    assert_eq!(set.spec.service.uid, "uid-again");
}

#[test]
fn a_service_that_turns_headless_is_let_go() {
    let headless = made(
        "web",
        json!({"clusterIP": "None", "ports": [{"name": "http", "port": 80}]}),
    );
    let scene = followed().settled(at(1)).service(headless).settled(at(2));
    assert!(scene.world.plans.is_empty());
}

#[test]
fn a_deletion_missed_during_an_outage_is_found_by_the_next_list() {
    let mut scene = followed().settled(at(1));
    scene.world.absorb(Change::Service(Event::Init), at(40));
    scene.world.absorb(Change::Service(Event::InitDone), at(40));
    assert!(scene.world.take_marks().services.contains(&key("web")));
    assert!(scene.settled(at(40)).world.sets.is_empty());
}

#[test]
fn an_isolation_is_a_transition_with_one_event() {
    let calm = followed().node(node("a", 1, vec![report(100)])).settled(at(1));
    let worse = SetReport {
        regime: Regime::Transition,
        ..bad()
    };
    let scene = calm.node(node("a", 2, vec![worse]));
    let intents = writes(&scene, at(2));
    let status = intents
        .iter()
        .find(|intent| intent.slot.aspect == Aspect::SetStatus)
        .unwrap();
    assert_eq!(status.urgency, Urgency::Transition);
    let reasons: Vec<&str> = status.notices.iter().map(|notice| notice.reason).collect();
    assert_eq!(reasons, vec!["RegimeWorsened", "BackendIsolated"]);
    assert!(
        status.notices[1]
            .note
            .contains("10.244.0.0:8080 (web-0, node-2): answers in 512 ms")
    );
    let told_again = writes(&scene.settled(at(2)), at(3));
    assert!(
        told_again.iter().all(|intent| intent.notices.is_empty()),
        "{told_again:?}"
    );
}

#[test]
fn two_nodes_that_agree_share_their_verdict_and_renew_it_late() {
    let scene = followed()
        .node(node("a", 1, vec![bad()]))
        .node(node("b", 1, vec![bad()]))
        .settled(at(1));
    let verdict = planned(&scene, "http").advice.verdicts[0].clone();
    assert_eq!(
        (verdict.address.as_str(), verdict.agreeing_nodes),
        ("10.244.0.0:8080", 2)
    );
    assert_eq!(
        aspects(&writes(&scene, at(30))),
        vec![],
        "not renewed with 31 s left"
    );
    let renewed = scene.settled(at(50));
    let renewed = planned(&renewed, "http");
    assert!(renewed.advice.verdicts[0].expires.0 > verdict.expires.0);
    assert_eq!(
        renewed.digest,
        planned(&followed().settled(at(1)), "http").digest,
        "advice is outside the digest"
    );
}

#[test]
fn a_node_that_only_followed_others_is_no_witness() {
    let mut followed_only = bad();
    followed_only.backends[0].hearsay = true;
    let scene = followed()
        .node(node("a", 1, vec![bad()]))
        .node(node("b", 1, vec![followed_only]))
        .settled(at(1));
    assert!(planned(&scene, "http").advice.verdicts.is_empty());
}

#[test]
fn one_node_alone_shares_no_verdict() {
    let scene = followed()
        .node(node("a", 1, vec![bad()]))
        .node(node("b", 1, vec![report(1)]))
        .settled(at(1));
    assert!(planned(&scene, "http").advice.verdicts.is_empty());
}

#[test]
fn losing_every_backend_is_told_and_written_at_once() {
    let scene = followed().settled(at(1)).slice(slice(0, 5));
    let intents = writes(&scene, at(2));
    let status = intents
        .iter()
        .find(|intent| intent.slot.aspect == Aspect::SetStatus)
        .unwrap();
    assert_eq!(status.urgency, Urgency::Transition);
    assert!(
        status
            .notices
            .iter()
            .any(|notice| notice.reason == "BackendsGone")
    );
}

#[test]
fn a_silent_node_stops_counting_after_eleven_minutes() {
    let scene = followed().node(node("a", 1, vec![report(100)])).settled(at(1));
    let reporting = |now| scene.world.fresh_reports(&set_key("web", "http"), now).count();
    assert_eq!(reporting(at(660)), 1);
    assert_eq!(reporting(at(661)), 0);
}

#[test]
fn the_hint_survives_silence_and_a_restart() {
    let scene = followed().node(node("a", 1, vec![report(100)])).settled(at(1));
    let hint = |scene: &Scene| {
        let set = scene.world.sets.get(&set_key("web", "http")).unwrap();
        set.status
            .as_ref()
            .unwrap()
            .scale_hint
            .as_ref()
            .unwrap()
            .desired_replicas
    };
    assert_eq!(hint(&scene), 5);
    // Every list of memories starts empty, as after a restart, and the node is long silent.
    let scene = scene.settled(at(5_000));
    assert_eq!(hint(&scene), 5);
}

#[test]
fn in_observe_a_set_is_looked_at_again_until_a_late_backend_may_be_named() {
    let mut watching = policy("p", 1, &[TargetRef::service("web")]);
    watching.spec.mode = Mode::Observe;
    let alone = |index: u8, sequence: i64, millis: i64| {
        let name = format!("node-{index}");
        let backend = BackendReport {
            address: format!("10.244.0.{index}:8080"),
            pod: format!("web-{index}"),
            node: name.clone(),
            median_micros: millis * 1_000,
            ..BackendReport::default()
        };
        let report = SetReport {
            mode: Mode::Observe,
            backends: vec![backend],
            ..report(10)
        };
        Change::Node(Event::Apply(node(&name, sequence, vec![report])))
    };
    let mut scene = Scene::new().policy(watching);
    for index in 0..3 {
        scene.world.absorb(alone(index, 1, 20), at(0));
    }
    let mut scene = scene.settled(at(50));
    scene.world.absorb(alone(1, 2, 500), at(100));
    let mut memory = Memory::default();
    let mut named = |now| {
        let intents = scene.intents(&mut memory, now);
        let would = intents.into_iter().find_map(|intent| match intent.write {
            Write::SetStatus(status) => status.would_have,
            _ => None,
        });
        let waits: Vec<Key> = memory.waiting().cloned().collect();
        (would.map(|would| would.isolated).unwrap_or_default(), waits)
    };
    assert_eq!(named(at(100)), (vec![], vec![set_key("web", "http")]));
    assert_eq!(named(at(102)), (vec!["10.244.0.1:8080".to_owned()], vec![]));
    scene.world.take_marks();
    scene.world.mark_set(&set_key("web", "http"));
    assert!(scene.world.take_marks().services.contains(&key("web")));
}
