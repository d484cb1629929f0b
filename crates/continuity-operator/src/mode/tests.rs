use super::*;
use proptest::prelude::*;

const FAST: Duration = Duration::from_millis(10);

fn at(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

fn storm(machine: &mut Machine, from: u64) {
    for index in 0..5 {
        machine.hear(Err(Category::Throttled), FAST, at(from + index * 10));
    }
}

#[test]
fn a_storm_of_429_stops_writes_and_two_good_probes_start_them_again() {
    let mut machine = Machine::default();
    storm(&mut machine, 0);
    assert_eq!(machine.mode(), Mode::ReadOnly);
    assert_eq!(machine.gate(at(100)).flights, 0);
    assert_eq!(machine.gate(at(2_100)).flights, 1, "one probe");
    machine.sent(at(2_100));
    assert_eq!(machine.gate(at(2_200)).flights, 0);
    machine.hear(Err(Category::Throttled), FAST, at(2_200));
    assert_eq!(machine.mode(), Mode::ReadOnly);
    machine.sent(at(4_200));
    assert_eq!(
        machine.hear(Ok(()), FAST, at(4_210)),
        None,
        "one good answer is luck"
    );
    assert!(
        machine.wants_probe(at(4_500)),
        "the second probe does not wait for 2 s"
    );
    machine.sent(at(4_500));
    assert_eq!(machine.hear(Ok(()), FAST, at(4_510)), Some(Mode::Degraded));
    for step in 1..=4 {
        machine.hear(Ok(()), FAST, at(4_510 + step * 1_000));
    }
    assert_eq!(machine.mode(), Mode::Degraded);
    assert_eq!(machine.pass(at(9_600)), Some(Mode::Normal));
}

#[test]
fn some_failures_make_figures_wait_and_no_more() {
    let mut machine = Machine::default();
    for index in 0..20 {
        let outcome = if index % 4 == 0 {
            Err(Category::Timeout)
        } else {
            Ok(())
        };
        machine.hear(outcome, FAST, at(index * 50));
    }
    assert_eq!(machine.mode(), Mode::Degraded);
    let gate = machine.gate(at(2_000));
    assert_eq!((gate.flights, gate.priority), (2, Gate::URGENT));
}

#[test]
fn a_slow_server_is_spared_and_never_given_up() {
    let mut machine = Machine::default();
    for index in 0..50 {
        machine.hear(Ok(()), Duration::from_secs(3), at(index * 100));
    }
    assert_eq!(machine.mode(), Mode::Degraded);
}

#[test]
fn refusals_of_a_body_are_answers_of_a_healthy_server() {
    let mut machine = Machine::default();
    for index in 0..100 {
        let category = [
            Category::Invalid,
            Category::Conflict,
            Category::Forbidden,
            Category::Gone,
        ];
        machine.hear(Err(category[index % 4]), FAST, at(index as u64 * 10));
    }
    assert_eq!(machine.mode(), Mode::Normal);
}

#[test]
fn one_lost_request_of_an_idle_leader_changes_nothing() {
    let mut machine = Machine::default();
    machine.hear(Err(Category::Unavailable), FAST, at(0));
    machine.hear(Err(Category::Unavailable), FAST, at(60_000));
    assert_eq!(machine.mode(), Mode::Normal);
}

#[test]
fn a_draining_replica_stays_so() {
    let mut machine = Machine::default();
    machine.drain(at(0));
    storm(&mut machine, 10);
    assert_eq!(
        (machine.mode(), machine.gate(at(99))),
        (Mode::Draining, Gate::OPEN)
    );
}

proptest! {
    #[test]
    fn a_server_that_is_well_again_is_used_fully_within_fifteen_seconds(
        answers in prop::collection::vec((0_u8..4, 1_u64..500), 0..200),
    ) {
        let mut machine = Machine::default();
        let mut now = 0;
        for (kind, pause) in answers {
            now += pause;
            let outcome = match kind {
                0 => Ok(()),
                1 => Err(Category::Throttled),
                2 => Err(Category::Unavailable),
                _ => Err(Category::Timeout),
            };
            machine.hear(outcome, FAST, at(now));
        }
        let end = now + 15_000;
        while now < end {
            now += 100;
            machine.pass(at(now));
            if machine.wants_probe(at(now)) || machine.mode() == Mode::Normal {
                machine.sent(at(now));
                machine.hear(Ok(()), FAST, at(now));
            }
        }
        prop_assert_eq!(machine.mode(), Mode::Normal);
    }

    #[test]
    fn a_server_that_fails_is_asked_once_in_two_seconds(seconds in 10_u64..60) {
        let mut machine = Machine::default();
        storm(&mut machine, 0);
        let mut sent = 0;
        for tenth in 0..seconds * 10 {
            let now = at(100 + tenth * 100);
            if machine.gate(now).flights > 0 {
                sent += 1;
                machine.sent(now);
                machine.hear(Err(Category::Throttled), FAST, now);
            }
        }
        prop_assert!(sent <= seconds / 2 + 1, "{} in {} s", sent, seconds);
    }
}
