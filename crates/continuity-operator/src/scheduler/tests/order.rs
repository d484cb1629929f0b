//! Who goes first, who waits, and who is put apart.

use super::*;

fn of(namespace: &str, aspect: Aspect, name: &str, urgency: Urgency) -> Intent {
    Intent {
        slot: Slot::new(aspect, Key::new(namespace, name)),
        ..intent(name, urgency, name)
    }
}

#[test]
fn waiting_makes_up_for_priority_at_ten_seconds_a_level() {
    let mut queue = Scheduler::default();
    queue.offer(of("a", Aspect::SetStatus, "figure", Urgency::Figure), at(0));
    queue.offer(of("b", Aspect::Plan, "early", Urgency::Transition), at(59));
    queue.offer(of("c", Aspect::Plan, "late", Urgency::Transition), at(61));
    let order: Vec<String> = (0..3)
        .map(|_| take(&mut queue, at(61)).unwrap().slot.key.name)
        .collect();
    assert_eq!(order, ["early", "figure", "late"]);
}

#[test]
fn what_nodes_steer_by_goes_before_what_people_read() {
    let mut queue = Scheduler::default();
    queue.offer(
        of("a", Aspect::PolicyStatus, "status", Urgency::Transition),
        at(0),
    );
    queue.offer(of("a", Aspect::Plan, "plan", Urgency::Transition), at(0));
    assert_eq!(take(&mut queue, at(0)).unwrap().slot.aspect, Aspect::Plan);
}

#[test]
fn the_same_content_for_the_same_version_is_written_once() {
    let mut queue = Scheduler::default();
    let seen = |version: &str| Intent {
        observed: Some(version.into()),
        ..intent("a", Urgency::Transition, "x")
    };
    queue.offer(seen("7"), at(0));
    let taken = take(&mut queue, at(0)).unwrap();
    queue.finish(taken, Ok(()), at(0));
    assert_eq!(
        queue.offer(seen("7"), at(1)),
        Offer::Settled,
        "the watch is only late"
    );
    assert_eq!(queue.counters().repeated, 1);
    assert_eq!(
        queue.offer(seen("8"), at(2)),
        Offer::Queued,
        "somebody has changed the object since"
    );
}

#[test]
fn a_poison_item_is_put_apart_and_other_content_of_its_object_is_not() {
    let mut queue = Scheduler::default();
    let mut now = at(0);
    queue.offer(intent("a", Urgency::Transition, "poison"), now);
    for _ in 0..3 {
        now = queue.next_due(Gate::OPEN, now).unwrap();
        let taken = take(&mut queue, now).unwrap();
        queue.finish(taken, Err(Category::Invalid), now);
    }
    assert!(queue.is_empty());
    assert_eq!(queue.snapshot(crate::mode::Mode::Normal, now).quarantine.len(), 1);
    assert_eq!(
        queue.offer(intent("a", Urgency::Transition, "poison"), now),
        Offer::Quarantined
    );
    let later = now + Duration::from_secs(601);
    let probe = take(&mut queue, later).expect("a probe after ten minutes");
    queue.finish(probe, Err(Category::Invalid), later);
    assert_eq!(
        take(&mut queue, later + Duration::from_secs(1_100)),
        None,
        "twice as long"
    );
    let sound = intent("a", Urgency::Transition, "sound");
    assert_eq!(queue.offer(sound, later), Offer::Queued);
    assert_eq!(queue.snapshot(crate::mode::Mode::Normal, later).quarantined, 0);
}

#[test]
fn a_failing_kind_keeps_one_place_and_the_others_go_on() {
    let mut queue = Scheduler::default();
    let mut now = at(0);
    for index in 0..6 {
        queue.offer(
            of("a", Aspect::Plan, &format!("p{index}"), Urgency::Transition),
            now,
        );
        let taken = take(&mut queue, now).unwrap();
        queue.finish(taken, Err(Category::Forbidden), now);
        now += Duration::from_millis(10);
    }
    for index in 10..14 {
        queue.offer(
            of("b", Aspect::Plan, &format!("p{index}"), Urgency::Transition),
            now,
        );
        queue.offer(
            of("b", Aspect::SetStatus, &format!("s{index}"), Urgency::Transition),
            now,
        );
    }
    let mut kinds: Vec<Aspect> = std::iter::from_fn(|| take(&mut queue, now))
        .map(|intent| intent.slot.aspect)
        .collect();
    kinds.sort();
    assert_eq!(
        kinds,
        [
            Aspect::SetStatus,
            Aspect::SetStatus,
            Aspect::SetStatus,
            Aspect::SetStatus,
            Aspect::Plan
        ]
    );
}

#[test]
fn a_noisy_namespace_leaves_places_and_rate_to_a_quiet_one() {
    let mut queue = Scheduler::default();
    for index in 0..2_000 {
        queue.offer(
            of("noisy", Aspect::Plan, &index.to_string(), Urgency::Transition),
            at(0),
        );
    }
    queue.offer(of("quiet", Aspect::PolicyStatus, "one", Urgency::Figure), at(0));
    let first: Vec<String> = std::iter::from_fn(|| take(&mut queue, at(0)))
        .map(|intent| intent.slot.key.namespace)
        .collect();
    assert_eq!(first.iter().filter(|name| *name == "noisy").count(), 6);
    assert_eq!(first.iter().filter(|name| *name == "quiet").count(), 1);
}

#[test]
fn in_trouble_figures_wait_and_transitions_go() {
    let mut queue = Scheduler::default();
    let gate = Gate {
        flights: 8,
        priority: Gate::URGENT,
    };
    queue.offer(intent("figure", Urgency::Figure, "x"), at(0));
    queue.offer(intent("transition", Urgency::Transition, "x"), at(0));
    assert_eq!(queue.take(gate, at(0)).unwrap().slot.key.name, "transition");
    assert_eq!(queue.take(gate, at(500)), None);
    assert!(take(&mut queue, at(500)).is_some(), "it was not lost");
}

#[test]
fn the_return_of_the_api_server_ends_the_rest_of_what_waited_for_it() {
    let mut queue = Scheduler::default();
    let mut now = at(0);
    queue.offer(intent("a", Urgency::Transition, "x"), now);
    for _ in 0..6 {
        now = queue.next_due(Gate::OPEN, now).unwrap();
        let taken = take(&mut queue, now).unwrap();
        queue.finish(taken, Err(Category::Throttled), now);
    }
    let soon = now + Duration::from_millis(1_001);
    assert_eq!(take(&mut queue, soon), None);
    queue.relieve(now);
    assert!(take(&mut queue, soon).is_some());
}

#[test]
fn the_snapshot_is_bounded_and_names_what_waits() {
    let mut queue = Scheduler::default();
    for index in 0..1_000 {
        queue.offer(
            of(
                &format!("tenant-{index}"),
                Aspect::Plan,
                "plan",
                Urgency::Transition,
            ),
            at(0),
        );
    }
    let snapshot = queue.snapshot(crate::mode::Mode::Degraded, at(3));
    assert_eq!(
        (snapshot.waiting, snapshot.heap.len(), snapshot.tenants.len()),
        (1_000, 64, 64)
    );
    assert_eq!((snapshot.mode, snapshot.oldest_millis), ("DEGRADED", 3_000));
    let text = serde_json::to_string(&snapshot).unwrap();
    assert!(text.len() < 64 * 1_024, "{}", text.len());
}
