//! Many policies in one namespace: what a look at everything costs grows with their number, not with its square.

use crate::decide::{self, Memory};
use crate::sample::{NAMESPACE, at, policy, service};
use crate::world::{Change, World};
use continuity_api::target::TargetRef;
use kube::runtime::watcher::Event;
use serde_json::json;
use std::time::{Duration, Instant};

/// A namespace with `policies` policies: half name a Service of their own, the others all name the same one.
fn crowded(policies: usize) -> World {
    let mut world = World::default();
    for index in 0..policies / 2 {
        let made = service(
            &format!("web-{index}"),
            json!({"clusterIP": "10.96.0.10", "ports": [{"name": "http", "port": 80}]}),
        );
        world.absorb(Change::Service(Event::Apply(made)), at(0));
    }
    for index in 0..policies {
        let target = if index % 2 == 0 {
            format!("web-{}", index / 2)
        } else {
            "web-0".to_owned()
        };
        let made = policy(&format!("p-{index}"), 1, &[TargetRef::service(&target)]);
        assert_eq!(made.metadata.namespace.as_deref(), Some(NAMESPACE));
        world.absorb(Change::Policy(Event::Apply(made)), at(0));
    }
    world
}

/// Time to take everything in and to look at it, the best of three.
fn look(policies: usize) -> Duration {
    let one = || {
        let begun = Instant::now();
        let mut memory = Memory::default();
        let world = &mut crowded(policies);
        world.mark_everything();
        let marks = world.take_marks();
        let decided = marks
            .services
            .iter()
            .flat_map(|key| decide::service(world, key, &mut memory, at(1)))
            .count();
        let told = marks
            .policies
            .iter()
            .filter_map(|key| decide::policy(world, key, at(1)))
            .count();
        assert!(decided > 0 && told > 0);
        begun.elapsed()
    };
    one().min(one()).min(one())
}

#[test]
fn ten_thousand_policies_in_one_namespace_cost_ten_times_what_a_thousand_cost() {
    let (few, many) = (look(1_000), look(10_000));
    // Ten times is linear and a hundred times quadratic; the rest is for a busy machine.
    assert!(many < few * 30, "{few:?} and {many:?}");
}

#[test]
fn what_we_write_into_the_status_of_a_policy_marks_no_other() {
    let mut world = crowded(100);
    world.take_marks();
    let mut written = policy("p-4", 1, &[TargetRef::service("web-2")]);
    written.status = Some(continuity_api::ContinuityPolicyStatus {
        programmed: "1/1".into(),
        ..Default::default()
    });
    world.absorb(Change::Policy(Event::Apply(written)), at(2));
    let marks = world.take_marks();
    assert!(
        marks.services.is_empty() && marks.policies.len() == 1,
        "{marks:?}"
    );
}

#[test]
fn a_policy_that_changes_marks_what_it_names_and_who_competes_for_it() {
    let mut world = crowded(100);
    world.take_marks();
    let mut changed = policy("p-4", 1, &[TargetRef::service("web-2")]);
    changed.spec.mode = continuity_api::policy::Mode::Enforce;
    world.absorb(Change::Policy(Event::Apply(changed)), at(2));
    let marks = world.take_marks();
    assert_eq!((marks.services.len(), marks.policies.len()), (1, 1), "{marks:?}");
}
