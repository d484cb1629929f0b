//! 100,000 items at once, and a stream of urgent work that never ends.

use super::*;
use std::time::Instant;

const ITEMS: usize = 100_000;
/// Time of one write.
const WRITE: Duration = Duration::from_millis(10);
/// Time between two looks at everything; a full queue is 25 s of work, so it never runs dry in between.
const LOOK: Duration = Duration::from_secs(20);

/// Bound on the wait of the least urgent work, once it is due: aging, and one full queue at the rate of the budget.
fn longest_wait() -> Duration {
    let entries = u64::try_from(ENTRIES_MAX).unwrap();
    AGING * 10 + Duration::from_secs(entries / u64::from(BUDGET.per_second))
}

fn item(index: usize) -> Intent {
    let urgency = if index.is_multiple_of(3) {
        Urgency::Transition
    } else {
        Urgency::Figure
    };
    let aspect = if index.is_multiple_of(2) {
        Aspect::Plan
    } else {
        Aspect::PolicyStatus
    };
    Intent {
        slot: Slot::new(
            aspect,
            Key::new(&format!("tenant-{}", index % 50), &index.to_string()),
        ),
        write: Write::Delete {
            uid: Some(index.to_string()),
            version: None,
        },
        urgency,
        ..Intent::nothing(slot("x"))
    }
}

#[test]
fn a_hundred_thousand_items_pass_within_the_bound_and_each_is_written_once() {
    let mut queue = Scheduler::default();
    let mut written: BTreeMap<String, usize> = BTreeMap::new();
    let mut flights: Vec<(Duration, Intent)> = Vec::new();
    let mut slowest = Vec::new();
    let (mut now, mut look, mut refused) = (Duration::ZERO, Duration::ZERO, 0_u64);
    while written.len() < ITEMS {
        if now >= look {
            look = now + LOOK;
            // A look offers everything that is not yet as it should be; what is refused comes again with the next one.
            let mut full = 0;
            for index in (0..ITEMS).filter(|index| !written.contains_key(&index.to_string())) {
                full += u64::from(queue.offer(item(index), now) == Offer::Refused);
                if full > 500 {
                    break;
                }
            }
            refused += full;
        }
        loop {
            let began = Instant::now();
            let taken = queue.take(Gate::OPEN, now);
            slowest.push(began.elapsed());
            let Some(taken) = taken else { break };
            flights.push((now + WRITE, taken));
        }
        assert!(queue.len() <= ENTRIES_MAX && flights.len() <= FLIGHTS_MAX);
        now += WRITE;
        for (end, intent) in std::mem::take(&mut flights) {
            if end <= now {
                *written.entry(intent.slot.key.name.clone()).or_default() += 1;
                queue.finish(intent, Ok(()), now);
            } else {
                flights.push((end, intent));
            }
        }
        assert!(now < Duration::from_secs(600), "{} written", written.len());
    }
    assert!(written.values().all(|times| *times == 1));
    let counters = queue.counters();
    assert_eq!(counters.written, 100_000);
    assert!(
        refused > 0 && counters.refused >= refused,
        "each refusal is counted: {counters:?}"
    );
    slowest.sort_unstable();
    let p99 = slowest[slowest.len() * 99 / 100];
    assert!(p99 < Duration::from_millis(50), "{p99:?}");
}

#[test]
fn the_least_urgent_work_is_served_within_its_bound_under_endless_urgent_work() {
    let mut queue = Scheduler::default();
    let mut now = Duration::ZERO;
    let mut index = 0;
    let mut flights: Vec<(Duration, Intent)> = Vec::new();
    let low = Intent {
        slot: Slot::new(Aspect::PolicyStatus, Key::new("quiet", "low")),
        ..intent("low", Urgency::Figure, "low")
    };
    let (mut offered, mut look) = (None, Duration::from_secs(30));
    loop {
        // Twice what the budget lets through, all of it more urgent.
        for _ in 0..4 {
            index += 1;
            let mut urgent = item(index * 6);
            urgent.slot.key.name = index.to_string();
            queue.offer(urgent, now);
        }
        if now >= look {
            look = now + LOOK;
            offered.get_or_insert(now);
            queue.offer(low.clone(), now);
        }
        while let Some(taken) = queue.take(Gate::OPEN, now) {
            if taken.slot == low.slot {
                let waited = now - offered.unwrap();
                assert!(waited <= longest_wait() + LOOK, "{waited:?}");
                assert!(queue.counters().refused > 0, "the queue was full");
                return;
            }
            flights.push((now + WRITE, taken));
        }
        now += Duration::from_millis(5);
        for (end, intent) in std::mem::take(&mut flights) {
            if end <= now {
                queue.finish(intent, Ok(()), now);
            } else {
                flights.push((end, intent));
            }
        }
        assert!(now < Duration::from_secs(300));
    }
}
