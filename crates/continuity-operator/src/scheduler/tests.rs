use super::*;
use crate::decide::Aspect;
use crate::world::Key;
use continuity_api::EquivalenceSetStatus;
use continuity_api::node::Regime;
use proptest::prelude::*;

fn slot(name: &str) -> Slot {
    Slot::new(Aspect::SetStatus, Key::new("shop", name))
}

fn take(scheduler: &mut Scheduler, now: Duration) -> Option<Intent> {
    scheduler.take(Gate::OPEN, now)
}

fn write(regime: Regime, reason: &str) -> Write {
    Write::SetStatus(Box::new(EquivalenceSetStatus {
        regime,
        reason: reason.into(),
        ..EquivalenceSetStatus::default()
    }))
}

fn intent(name: &str, urgency: Urgency, reason: &str) -> Intent {
    Intent {
        write: write(Regime::Crisis, reason),
        urgency,
        ..Intent::nothing(slot(name))
    }
}

fn at(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

#[test]
fn the_latest_write_of_a_slot_wins() {
    let mut queue = Scheduler::default();
    assert_eq!(
        queue.offer(intent("a", Urgency::Transition, "old"), at(0)),
        Offer::Queued
    );
    assert_eq!(
        queue.offer(intent("a", Urgency::Transition, "new"), at(0)),
        Offer::Merged
    );
    assert_eq!(
        take(&mut queue, at(0)).unwrap().write,
        write(Regime::Crisis, "new")
    );
    assert_eq!(take(&mut queue, at(0)), None);
}

#[test]
fn a_slot_that_became_right_by_itself_is_not_written() {
    let mut queue = Scheduler::default();
    queue.offer(intent("a", Urgency::Transition, "x"), at(0));
    assert_eq!(queue.offer(Intent::nothing(slot("a")), at(0)), Offer::Settled);
    assert_eq!(take(&mut queue, at(9)), None);
}

#[test]
fn a_slot_on_its_way_takes_no_second_write_until_it_lands() {
    let mut queue = Scheduler::default();
    queue.offer(intent("a", Urgency::Transition, "one"), at(0));
    let flying = take(&mut queue, at(0)).unwrap();
    assert_eq!(
        queue.offer(intent("a", Urgency::Transition, "one"), at(0)),
        Offer::Settled,
        "it is being written"
    );
    queue.offer(intent("a", Urgency::Transition, "two"), at(0));
    assert_eq!(take(&mut queue, at(1)), None);
    assert_eq!(queue.next_due(Gate::OPEN, at(1)), None);
    queue.finish(flying, Ok(()), at(1));
    assert_eq!(
        take(&mut queue, at(1)).unwrap().write,
        write(Regime::Crisis, "two")
    );
}

#[test]
fn a_flapping_set_is_written_at_most_twelve_times_in_any_minute() {
    let mut queue = Scheduler::default();
    let mut written = Vec::new();
    for tenth in 0..6_000_u64 {
        let now = Duration::from_millis(tenth * 100);
        queue.offer(intent("a", Urgency::Transition, &tenth.to_string()), now);
        if let Some(taken) = take(&mut queue, now) {
            written.push(now);
            queue.finish(taken, Ok(()), now);
        }
    }
    let in_minute_from = |start: &Duration| {
        written
            .iter()
            .filter(|at| **at >= *start && **at < *start + Duration::from_secs(60))
            .count()
    };
    assert!(
        written.iter().all(|start| in_minute_from(start) <= 12),
        "{written:?}"
    );
    assert!(
        written.len() >= 80,
        "and no less than the bucket gives: {}",
        written.len()
    );
}

#[test]
fn figures_leave_tokens_for_a_transition() {
    let mut queue = Scheduler::default();
    for second in 0..600_u64 {
        queue.offer(intent("a", Urgency::Figure, &second.to_string()), at(second));
        if let Some(taken) = take(&mut queue, at(second)) {
            queue.finish(taken, Ok(()), at(second));
        }
    }
    queue.offer(intent("a", Urgency::Transition, "now"), at(600));
    assert!(
        take(&mut queue, at(600)).is_some(),
        "a transition is shown at once even after minutes of moving figures"
    );
}

#[test]
fn a_failed_write_rests_by_its_kind_of_failure_and_is_not_lost() {
    let mut queue = Scheduler::default();
    queue.offer(intent("a", Urgency::Transition, "x"), at(0));
    let taken = take(&mut queue, at(0)).unwrap();
    queue.finish(taken, Err(Category::Forbidden), at(0));
    assert_eq!(take(&mut queue, at(4)), None);
    let again = take(&mut queue, at(7)).unwrap();
    queue.finish(again, Err(Category::Forbidden), at(7));
    assert_eq!(take(&mut queue, at(14)), None, "the second rest is longer");
    assert!(take(&mut queue, at(30)).is_some());
}

#[test]
fn a_newer_write_rests_as_long_as_the_failed_one() {
    let mut queue = Scheduler::default();
    queue.offer(intent("a", Urgency::Transition, "old"), at(0));
    let taken = take(&mut queue, at(0)).unwrap();
    queue.offer(intent("a", Urgency::Transition, "new"), at(0));
    queue.finish(taken, Err(Category::Throttled), at(0));
    assert_eq!(take(&mut queue, Duration::from_millis(500)), None);
    assert_eq!(
        take(&mut queue, at(2)).unwrap().write,
        write(Regime::Crisis, "new")
    );
}

#[test]
fn what_is_gone_is_forgotten() {
    let mut queue = Scheduler::default();
    queue.offer(intent("a", Urgency::Transition, "x"), at(0));
    let taken = take(&mut queue, at(0)).unwrap();
    queue.finish(taken, Err(Category::Gone), at(0));
    assert!(queue.is_idle());
}

#[test]
fn a_full_queue_refuses_figures_and_lets_a_transition_take_the_place_of_one() {
    let mut queue = Scheduler::default();
    for index in 0..ENTRIES_MAX {
        let mut figure = intent(&format!("set-{index}"), Urgency::Figure, "x");
        figure.slot.key.namespace = format!("tenant-{}", index % 4);
        assert_eq!(queue.offer(figure, at(0)), Offer::Queued);
    }
    assert_eq!(
        queue.offer(intent("more", Urgency::Figure, "x"), at(0)),
        Offer::Refused
    );
    assert_eq!(
        queue.offer(intent("more", Urgency::Transition, "x"), at(0)),
        Offer::Queued
    );
    assert_eq!(queue.len(), ENTRIES_MAX);
    assert_eq!(
        queue.counters().refused,
        2,
        "the one that gave way is counted too"
    );
}

#[test]
fn one_namespace_fills_half_of_the_queue_and_no_more() {
    let mut queue = Scheduler::default();
    for index in 0..ENTRIES_MAX {
        queue.offer(intent(&format!("set-{index}"), Urgency::Transition, "x"), at(0));
    }
    assert_eq!(queue.len(), TENANT_ENTRIES_MAX);
    let mut other = intent("a", Urgency::Figure, "x");
    other.slot.key.namespace = "quiet".into();
    assert_eq!(queue.offer(other, at(0)), Offer::Queued);
    let counters = queue.counters();
    assert_eq!(
        (counters.refused, counters.refused_by_quota),
        (5_000, 5_000),
        "each refusal is counted"
    );
}

#[test]
fn quiet_slots_are_forgotten() {
    let mut queue = Scheduler::default();
    queue.offer(intent("a", Urgency::Transition, "x"), at(0));
    let taken = take(&mut queue, at(0)).unwrap();
    queue.finish(taken, Ok(()), at(0));
    queue.sweep(at(1));
    assert_eq!(queue.slates.len(), 1);
    queue.sweep(at(60));
    assert_eq!(queue.slates.len(), 0);
}

proptest! {
    #[test]
    fn the_last_offer_of_every_slot_is_written_whatever_fails(
        steps in prop::collection::vec((0_usize..4, 0_u32..3, any::<bool>()), 1..200),
    ) {
        let mut queue = Scheduler::default();
        let mut last = BTreeMap::new();
        let mut stored: BTreeMap<Slot, Write> = BTreeMap::new();
        let mut now = Duration::ZERO;
        for (index, (name, outcome, urgent)) in steps.into_iter().enumerate() {
            let urgency = if urgent { Urgency::Transition } else { Urgency::Figure };
            let offered = intent(&name.to_string(), urgency, &index.to_string());
            last.insert(offered.slot.clone(), offered.write.clone());
            queue.offer(offered, now);
            now += Duration::from_millis(700);
            if let Some(taken) = take(&mut queue, now) {
                let result = match outcome {
                    0 => Ok(()),
                    1 => Err(Category::Conflict),
                    _ => Err(Category::Unavailable),
                };
                if result.is_ok() {
                    stored.insert(taken.slot.clone(), taken.write.clone());
                }
                queue.finish(taken, result, now);
            }
        }
        for _ in 0..10_000 {
            now += Duration::from_secs(1);
            let Some(taken) = take(&mut queue, now) else {
                if queue.is_idle() { break }
                continue;
            };
            stored.insert(taken.slot.clone(), taken.write.clone());
            queue.finish(taken, Ok(()), now);
        }
        prop_assert!(queue.is_idle());
        prop_assert_eq!(stored, last);
    }
}

mod order;
mod saturation;
