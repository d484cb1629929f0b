//! Bad input, case by case: a typed error or a defined decision with its reason, the last good field kept, never a panic.

use continuity_field::histogram::{AGE_BUCKETS, BUCKETS, bucket};
use continuity_field::{
    Advice, BackendId, BackendSample, BackendState, InputError, Nanos, OFF, Outcome, Reason, Regime,
    Regression, Response, SLOTS, Samples, SetConfig, SetState, Verdict, VerdictKind, WorkloadProfile, step,
};

use crate::input::check;

const TICK: Nanos = Nanos::from_millis(200);

struct Set {
    state: SetState,
    config: SetConfig,
    now: Nanos,
    said: Vec<Reason>,
}

impl Set {
    fn new() -> Self {
        Self {
            state: SetState::default(),
            config: SetConfig::default(),
            now: Nanos::from_secs(1_000),
            said: Vec::new(),
        }
    }

    fn at(&mut self, backends: &[BackendSample], interval: Nanos, verdicts: &[Verdict]) -> Outcome {
        self.now = self.now + interval;
        let samples = Samples {
            interval,
            backends,
            advice: Advice {
                active_nodes: 3,
                offered_milli_per_second: 0,
                verdicts,
            },
            regression: Regression::default(),
        };
        let outcome = step(&mut self.state, &samples, &self.config, self.now).clone();
        if outcome.problem.is_none() {
            check(&outcome, backends, &self.config);
        }
        self.said.extend(outcome.reasons.iter().copied());
        outcome
    }

    fn run(&mut self, backends: &[BackendSample], ticks: u32) -> Outcome {
        for _ in 1..ticks {
            self.at(backends, TICK, &[]);
        }
        self.at(backends, TICK, &[])
    }
}

fn well(count: u64) -> Vec<BackendSample> {
    let one = |id| {
        let mut sample = BackendSample::new(BackendId(id));
        (sample.attempts, sample.established, sample.answered) = (5, 5, 5);
        sample.turnaround[bucket(20_000)] = 5;
        sample
    };
    (0..count).map(one).collect()
}

fn failing(sample: &mut BackendSample) {
    sample.answered = 0;
    sample.turnaround.fill(0);
    sample.refused = 5;
    sample.penalty = 2_560;
}

#[test]
fn not_a_number_and_infinity_cannot_come_in_and_never_come_out() {
    // Samples and constants are integers: what floats could say they cannot. Their extremes must not make one inside.
    for value in [0, u64::MAX] {
        let narrow = u32::try_from(value).unwrap_or(u32::MAX);
        let mut set = Set::new();
        let mut backends = well(4);
        set.run(&backends, 50);
        let sample = &mut backends[1];
        (sample.attempts, sample.established, sample.refused) = (value, value, value);
        (sample.timed_out, sample.reset_before_data) = (value, value);
        (sample.answered, sample.abandoned) = (value, value);
        sample.turnaround = [narrow; BUCKETS];
        sample.unanswered = [narrow; AGE_BUCKETS];
        (sample.in_flight, sample.penalty, sample.capacity) = (narrow, narrow, narrow);
        sample.level = Some(if value == 0 { i32::MIN } else { i32::MAX });
        let outcome = set.run(&backends, 100);
        assert!(outcome.pressure_milli < 200_000, "{}", outcome.pressure_milli);
        let after = set.run(&well(4), 3_000);
        assert!(
            after
                .backends
                .iter()
                .all(|view| view.state == BackendState::Normal),
            "an absurd minute is forgotten: {after:?}"
        );
    }
}

#[test]
fn absurd_constants_are_clamped() {
    for value in [0, u32::MAX] {
        let mut set = Set::new();
        let config = &mut set.config;
        (config.max_share_permille, config.locality_milli) = (value, value);
        (
            config.isolation.max_isolated_permille,
            config.isolation.drip_per_million,
        ) = (value, value);
        (
            config.isolation.latency_ratio_milli,
            config.isolation.window_ticks,
        ) = (value, value);
        (config.isolation.hits, config.isolation.error_permille) = (value, value);
        config.isolation.consecutive_failures = value;
        (config.slew.rebalance_slots, config.slew.drain_ticks) = (value, value);
        (config.slew.return_start_permille, config.slew.slow_gain_permille) = (value, value);
        (config.regimes.transition_milli, config.regimes.crisis_milli) = (value, value);
        (config.regimes.exit_permille, config.regimes.crisis_error_permille) = (value, value);
        for time in [
            &mut config.slow_start,
            &mut config.isolation.hold,
            &mut config.isolation.hold_most,
            &mut config.slew.return_doubling,
            &mut config.regimes.recovery_dwell,
        ] {
            *time = Nanos(u64::from(value) << 32 | u64::from(value));
        }
        let mut backends = well(4);
        set.run(&backends, 50);
        failing(&mut backends[2]);
        let outcome = set.run(&backends, 50);
        assert_eq!(outcome.problem, None);
    }
}

#[test]
fn a_backend_that_vanishes_is_forgotten_and_its_slots_go_to_the_others() {
    let mut set = Set::new();
    set.run(&well(4), 50);
    let outcome = set.run(&well(3), 1);
    assert!(outcome.changed && outcome.slots.iter().all(|slot| *slot < 3));
    assert!(set.said.contains(&Reason::Left {
        backend: BackendId(3)
    }));
    let again = set.run(&well(4), 1);
    assert_eq!(again.backends[3].state, BackendState::Starting, "it is a new one");
}

#[test]
fn a_capacity_of_zero_is_an_unknown_one() {
    let mut set = Set::new();
    let mut backends = well(4);
    backends[0].capacity = 0;
    let outcome = set.run(&backends, 100);
    assert!(
        outcome.backends.iter().all(|view| view.slots == 16),
        "{outcome:?}"
    );
}

#[test]
fn no_backend_is_no_slot_and_laminar() {
    let mut set = Set::new();
    let outcome = set.run(&[], 50);
    assert!(outcome.slots.iter().all(|slot| *slot == OFF));
    assert_eq!((outcome.regime, outcome.drip), (Regime::Laminar, None));
    let joined = set.run(&well(2), 1);
    assert!(
        joined.slots.iter().all(|slot| *slot != OFF),
        "the first one is used at once"
    );
}

#[test]
fn one_backend_carries_everything_however_bad_it_is() {
    let mut set = Set::new();
    let mut backends = well(1);
    set.run(&backends, 50);
    failing(&mut backends[0]);
    let outcome = set.run(&backends, 100);
    assert!(outcome.slots.iter().all(|slot| *slot == 0));
    assert_eq!(outcome.regime, Regime::Crisis);
    assert!(
        set.said
            .iter()
            .any(|reason| matches!(reason, Reason::KeptInUse { .. } | Reason::RegimeChanged { .. })),
        "{:?}",
        set.said
    );
}

#[test]
fn of_two_backends_one_may_go_and_never_both() {
    let mut set = Set::new();
    let mut backends = well(2);
    set.run(&backends, 50);
    failing(&mut backends[0]);
    let outcome = set.run(&backends, 20);
    assert_eq!(outcome.backends[0].state, BackendState::Isolated);
    failing(&mut backends[1]);
    let outcome = set.run(&backends, 20);
    assert!(isolated(&outcome) <= 1, "{outcome:?}");
}

#[test]
fn more_backends_than_slots_all_get_their_turn_and_too_many_are_refused_by_number() {
    let mut set = Set::new();
    let backends = well(200);
    let mut turns = vec![0_u32; backends.len()];
    for _ in 0..40 {
        let outcome = set.run(&backends, 1);
        assert_eq!(outcome.slots.iter().filter(|slot| **slot != OFF).count(), SLOTS);
        for slot in outcome.slots {
            turns[usize::from(slot)] += 1;
        }
    }
    assert!(turns.iter().all(|turns| *turns > 0), "{turns:?}");
    let good = set.state.outcome().slots;
    let outcome = set.at(&well(5_000), TICK, &[]);
    let problem = InputError::TooManyBackends {
        got: 5_000,
        most: 4_096,
    };
    assert_eq!((outcome.problem, outcome.slots), (Some(problem), good));
}

fn verdicts(ids: std::ops::Range<u64>, now: Nanos) -> Vec<Verdict> {
    let isolate = |id| Verdict {
        backend: BackendId(id),
        kind: VerdictKind::Isolate,
        given: now,
        expires: now + Nanos::from_secs(60),
    };
    ids.map(isolate).collect()
}

fn isolated(outcome: &Outcome) -> usize {
    outcome
        .backends
        .iter()
        .filter(|view| view.isolation.is_some())
        .count()
}

#[test]
fn when_all_are_found_sick_none_is_isolated_and_it_is_said() {
    let mut set = Set::new();
    let idle: Vec<BackendSample> = (0..6).map(|id| BackendSample::new(BackendId(id))).collect();
    set.run(&idle, 50);
    let all = verdicts(0..6, set.now);
    for _ in 0..50 {
        assert_eq!(isolated(&set.at(&idle, TICK, &all)), 0);
    }
    let said = |reason: &&Reason| matches!(reason, Reason::SharedTrouble { suspects: 6, of: 6 });
    assert_eq!(set.said.iter().filter(said).count(), 1, "{:?}", set.said);
}

#[test]
fn when_only_isolated_ones_are_left_they_carry_again_and_it_is_said() {
    let mut set = Set::new();
    let idle: Vec<BackendSample> = (0..6).map(|id| BackendSample::new(BackendId(id))).collect();
    set.run(&idle, 50);
    let half = verdicts(0..3, set.now);
    assert_eq!(isolated(&set.at(&idle, TICK, &half)), 3);
    let outcome = set.at(&idle[..3], TICK, &half);
    assert_eq!(isolated(&outcome), 1, "half of three, rounded down");
    assert!(outcome.slots.iter().all(|slot| *slot != OFF));
    let kept = |reason: &&Reason| matches!(reason, Reason::KeptInUse { .. });
    assert_eq!(set.said.iter().filter(kept).count(), 2, "{:?}", set.said);
}

#[test]
fn counters_that_wrapped_look_absurd_and_leave_the_field_as_it_was() {
    let mut set = Set::new();
    let mut backends = well(4);
    let before = set.run(&backends, 300).slots;
    // A delta of a counter that was set back reads as nearly 2^64.
    backends[2].attempts = u64::MAX - 3;
    backends[2].established = u64::MAX - 3;
    let outcome = set.run(&backends, 1);
    assert_eq!(outcome.slots, before);
    let after = set.run(&well(4), 300);
    assert_eq!(after.slots, before);
    assert!(
        after.demand.offered_milli_per_second < 1_000_000_000_000,
        "{:?}",
        after.demand
    );
}

#[test]
fn a_minute_without_a_tick_isolates_nobody_and_keeps_the_field() {
    let mut set = Set::new();
    let backends = well(4);
    let before = set.run(&backends, 300).slots;
    let mut late = well(4);
    for sample in &mut late {
        sample.unanswered[AGE_BUCKETS - 1] = 3;
        sample.answered = 1_500;
        sample.turnaround[bucket(20_000)] = 1_500;
    }
    let outcome = set.at(&late, Nanos::from_secs(60), &[]);
    assert_eq!(outcome.slots, before);
    let after = set.run(&backends, 50);
    assert_eq!(after.regime, Regime::Laminar);
    assert!(after.backends.iter().all(|view| view.isolation.is_none()));
}

#[test]
fn a_clock_that_stands_still_or_leaps_to_its_end_is_survived() {
    let mut set = Set::new();
    let backends = well(4);
    let before = set.run(&backends, 100).slots;
    for _ in 0..10 {
        assert_eq!(set.at(&backends, Nanos::ZERO, &[]).slots, before);
    }
    set.now = Nanos(u64::MAX - 1);
    let outcome = set.at(&backends, Nanos(1), &[]);
    assert_eq!((outcome.problem, outcome.slots), (None, before));
    let again = set.at(&backends, Nanos::ZERO, &[]);
    assert_eq!(again.slots, before);
}

#[test]
fn every_profile_and_response_survives_the_same_absurdity() {
    use Response::{Balanced, Gentle, Strict};
    use WorkloadProfile::{Extreme, Heavy, Light, Standard};
    for profile in [Light, Standard, Heavy, Extreme] {
        for response in [Gentle, Balanced, Strict] {
            let mut set = Set::new();
            set.config = SetConfig::preset(response, profile);
            let mut backends = well(5);
            set.run(&backends, 60);
            failing(&mut backends[0]);
            backends[1].unanswered = [u32::MAX; AGE_BUCKETS];
            backends[2].turnaround = [u32::MAX; BUCKETS];
            let outcome = set.run(&backends, 100);
            assert_eq!(
                outcome.backends[0].state,
                BackendState::Isolated,
                "{profile:?} {response:?}"
            );
        }
    }
}
