use super::mark::MARKS_MAX;
use super::*;
use crate::sample::{Scene, at, key, node, policy, report, set_key, slice, web};
use continuity_api::target::TargetRef;

#[test]
fn an_update_that_changes_nothing_we_use_marks_nothing() {
    let mut scene = Scene::new();
    scene.world.take_marks();
    let mut touched = web();
    touched.metadata.resource_version = Some("99".into());
    touched.metadata.annotations = Some([("a".to_owned(), "b".to_owned())].into());
    scene.world.absorb(Change::Service(Event::Apply(touched)), at(1));
    assert!(!scene.world.marked());
}

#[test]
fn a_report_marks_the_service_and_the_policy_of_its_set_only() {
    let mut scene = Scene::new()
        .policy(policy("p", 1, &[TargetRef::port("web", "http")]))
        .settled(at(1));
    scene.world.take_marks();
    scene
        .world
        .absorb(Change::Node(Event::Apply(node("a", 1, vec![report(1)]))), at(2));
    let marks = scene.world.take_marks();
    assert!(!marks.everything);
    assert_eq!(marks.services, [key("web")].into());
    assert_eq!(marks.policies, [key("p")].into());
}

#[test]
fn a_repeated_report_does_not_make_a_node_look_alive() {
    let mut scene = Scene::new().node(node("a", 1, vec![report(1)]));
    scene
        .world
        .absorb(Change::Node(Event::Apply(node("a", 1, vec![report(1)]))), at(600));
    assert!(!scene.world.nodes.get(&"a".to_owned()).unwrap().fresh(at(700)));
    scene
        .world
        .absorb(Change::Node(Event::Apply(node("a", 2, vec![report(1)]))), at(701));
    assert!(scene.world.nodes.get(&"a".to_owned()).unwrap().fresh(at(702)));
}

#[test]
fn a_node_that_goes_takes_its_reports_along() {
    let mut scene = Scene::new().node(node("a", 1, vec![report(1)]));
    assert_eq!(
        scene.world.fresh_reports(&set_key("web", "http"), at(1)).count(),
        1
    );
    scene
        .world
        .absorb(Change::Node(Event::Delete(node("a", 1, vec![]))), at(1));
    assert_eq!(
        scene.world.fresh_reports(&set_key("web", "http"), at(1)).count(),
        0
    );
    assert!(scene.world.reports.is_empty());
}

#[test]
fn an_older_version_that_arrives_late_does_not_undo_a_write() {
    let mut scene = Scene::new();
    let mut written = policy("p", 1, &[TargetRef::service("web")]);
    written.metadata.resource_version = Some("20".into());
    written.spec.mode = continuity_api::policy::Mode::Enforce;
    let mut late = policy("p", 1, &[TargetRef::service("web")]);
    late.metadata.resource_version = Some("10".into());
    scene
        .world
        .absorb(Change::Policy(Event::Apply(written.clone())), at(1));
    scene.world.absorb(Change::Policy(Event::Apply(late)), at(1));
    assert_eq!(
        scene.world.policies.get(&key("p")).unwrap().spec.mode,
        written.spec.mode
    );
}

#[test]
fn a_picture_is_complete_only_after_every_first_list() {
    let mut world = World::default();
    world.absorb(Change::Service(Event::InitDone), at(0));
    assert!(!world.synced());
    assert!(Scene::new().world.synced());
}

#[test]
fn too_many_marks_become_everything() {
    let mut world = World::default();
    for index in 0..=MARKS_MAX {
        let mut many = web();
        many.metadata.name = Some(format!("web-{index}"));
        world.absorb(Change::Service(Event::Apply(many)), at(0));
    }
    let marks = world.take_marks();
    assert!(marks.everything);
    assert_eq!(marks.services.len(), MARKS_MAX + 1);
    assert!(!world.marked());
}

#[test]
fn the_parts_of_a_look_are_everything_and_do_not_overlap() {
    let mut scene = Scene::new().policy(policy("p", 1, &[TargetRef::service("web")]));
    for index in 0..40 {
        let mut many = web();
        many.metadata.name = Some(format!("web-{index}"));
        scene = scene.service(many);
    }
    scene.world.take_marks();
    let mut seen: Vec<Key> = Vec::new();
    let mut policies = 0;
    for share in 0..5 {
        scene.world.mark_share(share, 5);
        let marks = scene.world.take_marks();
        assert!(
            marks.services.len() < 30,
            "one part holds {}",
            marks.services.len()
        );
        policies += marks.policies.len();
        seen.extend(marks.services);
    }
    assert_eq!((seen.len(), policies), (41, 1));
}

#[test]
fn a_dual_stack_pod_is_one_backend_and_serving_ones_count_when_none_is_ready() {
    let (four, mut six) = (SliceFacts::of(&slice(2, 1)), SliceFacts::of(&slice(2, 1)));
    let count = BackendFacts::count([&four, &six].into_iter(), "http");
    assert_eq!((count.ready, count.total), (2, 3));
    for endpoint in &mut six.endpoints {
        (endpoint.ready, endpoint.serving) = (false, true);
    }
    assert_eq!(BackendFacts::count([&six].into_iter(), "http").ready, 3);
    assert_eq!(BackendFacts::count([&six].into_iter(), "other").total, 0);
}

#[test]
fn a_node_stirs_when_what_people_are_told_changes_and_not_with_each_report() {
    let mut scene = Scene::new().node(node("a", 1, vec![report(1)]));
    assert_eq!(scene.world.take_stirred(), ["a".to_owned()].into());
    let portrait = |scene: &Scene, now| scene.world.portrait("a", now).unwrap();
    assert_eq!(portrait(&scene, at(1)).silent, None, "nobody has waited yet");
    let tell = |scene: &mut Scene, sequence, version: &str, now| {
        let mut told = node("a", sequence, vec![report(sequence)]);
        told.status.as_mut().unwrap().agent_version = version.into();
        scene.world.absorb(Change::Node(Event::Apply(told)), at(now));
        scene.world.take_stirred().len()
    };
    assert_eq!(tell(&mut scene, 2, "0.1.0", 2), 1);
    assert_eq!(portrait(&scene, at(2)).silent, Some(false));
    assert_eq!(tell(&mut scene, 3, "0.1.0", 3), 0);
    assert_eq!(tell(&mut scene, 4, "0.2.0", 4), 1);

    scene.world.review(at(600));
    assert!(scene.world.take_stirred().is_empty());
    for _ in 0..2 {
        scene.world.review(at(700));
    }
    assert_eq!(scene.world.take_stirred(), ["a".to_owned()].into());
    assert_eq!(portrait(&scene, at(700)).silent, Some(true));
    tell(&mut scene, 5, "0.2.0", 701);
    scene.world.review(at(702));
    assert_eq!(scene.world.take_stirred(), ["a".to_owned()].into());
    assert_eq!(portrait(&scene, at(702)).silent, Some(false));
}
