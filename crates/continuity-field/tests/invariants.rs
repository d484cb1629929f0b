//! What must hold after every step, whatever comes in: random members, random and absurd samples, odd clocks.

use continuity_field::histogram::{AGE_BUCKETS, BUCKETS};
use continuity_field::{
    Advice, BackendId, BackendSample, BackendState, Nanos, OFF, Outcome, Response, Samples, SetConfig,
    SetState, Verdict, VerdictKind, WorkloadProfile, step,
};
use proptest::prelude::*;

#[derive(Debug, Clone)]
struct Tick {
    interval: u64,
    backends: Vec<BackendSample>,
    verdicts: Vec<(u64, bool)>,
}

fn count() -> impl Strategy<Value = u64> {
    prop_oneof![6 => Just(0_u64), 4 => 0..20_u64, 1 => Just(u64::MAX), 1 => 1_000..2_000_000_u64]
}

prop_compose! {
    fn backend(id: u64)(
        in_service in prop::bool::weighted(0.9),
        capacity in prop_oneof![Just(0_u32), Just(1_000), Just(u32::MAX), 1..8_000_u32],
        counters in prop::array::uniform7(count()),
        answers in prop::collection::vec((0..BUCKETS, prop_oneof![0..9_u32, Just(u32::MAX)]), 0..4),
        ages in prop::collection::vec((0..AGE_BUCKETS, prop_oneof![0..9_u32, Just(u32::MAX)]), 0..3),
        in_flight in prop_oneof![0..30_u32, Just(u32::MAX)],
        level in prop::option::of(prop_oneof![2_000..5_000_i32, Just(i32::MAX), Just(i32::MIN)]),
        penalty in prop_oneof![Just(0_u32), 0..3_000_u32, Just(u32::MAX)],
        stall in prop::option::of(prop_oneof![0..1_000_u32, Just(u32::MAX)]),
    ) -> BackendSample {
        let mut sample = BackendSample::new(BackendId(id));
        sample.in_service = in_service;
        sample.capacity = capacity;
        let [attempts, established, refused, timed_out, reset, answered, abandoned] = counters;
        sample.attempts = attempts;
        sample.established = established;
        sample.refused = refused;
        sample.timed_out = timed_out;
        sample.reset_before_data = reset;
        sample.answered = answered;
        sample.abandoned = abandoned;
        answers.into_iter().for_each(|(bucket, n)| sample.turnaround[bucket] = n);
        ages.into_iter().for_each(|(bucket, n)| sample.unanswered[bucket] = n);
        sample.in_flight = in_flight;
        sample.level = level;
        sample.penalty = penalty;
        sample.stall_permille = stall;
        sample
    }
}

fn members() -> impl Strategy<Value = Vec<BackendSample>> {
    prop::collection::btree_set(0..12_u64, 0..9)
        .prop_flat_map(|ids| ids.into_iter().map(backend).collect::<Vec<_>>())
        .prop_shuffle()
}

fn ticks() -> impl Strategy<Value = Vec<Tick>> {
    let interval = prop_oneof![8 => Just(100_000_000_u64), 4 => Just(200_000_000), 1 => Just(0), 1 => Just(60_000_000_000)];
    let tick = (
        interval,
        members(),
        prop::collection::vec((0..12_u64, any::<bool>()), 0..3),
    );
    // Members stay for a few ticks: evidence has to be able to gather.
    let spell = (tick, 1..8_usize).prop_map(|((interval, backends, verdicts), n)| {
        vec![
            Tick {
                interval,
                backends,
                verdicts
            };
            n
        ]
    });
    prop::collection::vec(spell, 1..12).prop_map(|spells| spells.concat())
}

fn config() -> impl Strategy<Value = SetConfig> {
    let response = prop_oneof![
        Just(Response::Gentle),
        Just(Response::Balanced),
        Just(Response::Strict)
    ];
    let profile = prop_oneof![
        Just(WorkloadProfile::Light),
        Just(WorkloadProfile::Standard),
        Just(WorkloadProfile::Extreme)
    ];
    (response, profile, any::<u64>(), any::<u32>()).prop_map(|(response, profile, seed, most)| {
        let mut config = SetConfig::preset(response, profile);
        config.seed = seed;
        config.isolation.max_isolated_permille = most % 2_000;
        config
    })
}

fn check(outcome: &Outcome, samples: &[BackendSample], config: &SetConfig) {
    assert_eq!(outcome.problem, None);
    assert_eq!(outcome.backends.len(), samples.len());
    let in_service = samples.iter().filter(|sample| sample.in_service).count();
    for slot in outcome.slots {
        if in_service == 0 {
            assert_eq!(slot, OFF, "no backend is in service, so no slot has an owner");
        } else {
            let sample = &samples[usize::from(slot)];
            assert!(sample.in_service, "a slot points to a backend out of service");
        }
    }
    let held: u32 = outcome.backends.iter().map(|view| view.slots).sum();
    assert_eq!(held, if in_service == 0 { 0 } else { 64 }, "slots sum to 64");
    for (index, view) in outcome.backends.iter().enumerate() {
        let owned = outcome
            .slots
            .iter()
            .filter(|slot| usize::from(**slot) == index)
            .count();
        assert_eq!(
            owned, view.slots as usize,
            "the view counts the slots of the table"
        );
        assert!(!(view.choice.off && owned > 0), "an off backend owns no slot");
        assert!(view.pressure_milli >= 1_000);
        assert!(view.choice.trust <= 256);
        assert!(view.choice.shl.unsigned_abs() <= 2_048);
    }
    let isolated = outcome
        .backends
        .iter()
        .filter(|view| view.state == BackendState::Isolated)
        .count();
    let most = in_service * config.isolation.max_isolated_permille.min(500) as usize / 1_000;
    assert!(
        isolated <= most,
        "{isolated} of {in_service} isolated, {most} allowed"
    );
    assert!(
        isolated == 0 || isolated < in_service,
        "the last backend is never isolated"
    );
    if let Some(drip) = outcome.drip {
        let state = outcome.backends[usize::from(drip.backend)].state;
        assert!(
            matches!(state, BackendState::Isolated | BackendState::Returning),
            "{state:?}"
        );
    }
    for reason in &outcome.reasons {
        assert!(!reason.to_string().is_empty());
    }
    assert!(
        outcome.reasons.len() <= 8 * (samples.len() + 12),
        "reasons are bounded"
    );
}

fn run(ticks: &[Tick], config: &SetConfig) -> Vec<Outcome> {
    let mut state = SetState::default();
    let mut now = Nanos::from_secs(1_000);
    let mut outcomes = Vec::new();
    for tick in ticks {
        now = now + Nanos(tick.interval);
        let verdicts: Vec<Verdict> = tick
            .verdicts
            .iter()
            .map(|(id, isolate)| Verdict {
                backend: BackendId(*id),
                kind: if *isolate {
                    VerdictKind::Isolate
                } else {
                    VerdictKind::Release
                },
                given: now,
                expires: now + Nanos::from_secs(5),
            })
            .collect();
        let advice = Advice {
            active_nodes: 3,
            offered_milli_per_second: 500_000,
            verdicts: &verdicts,
        };
        let samples = Samples {
            interval: Nanos(tick.interval),
            backends: &tick.backends,
            advice,
            regression: Default::default(),
        };
        let outcome = step(&mut state, &samples, config, now);
        check(outcome, &tick.backends, config);
        outcomes.push(outcome.clone());
    }
    outcomes
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, max_shrink_iters: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn every_step_keeps_the_invariants(ticks in ticks(), config in config()) {
        run(&ticks, &config);
    }

    #[test]
    fn the_same_input_gives_the_same_outcome(ticks in ticks(), config in config()) {
        prop_assert_eq!(run(&ticks, &config), run(&ticks, &config));
    }

    #[test]
    fn saved_bytes_are_read_or_refused_and_never_misread(bytes in prop::collection::vec(any::<u8>(), 0..1_000)) {
        if let Ok(state) = SetState::restore(&bytes) {
            let mut again = Vec::new();
            state.save(&mut again);
            prop_assert_eq!(again, bytes);
        }
    }
}

#[test]
fn a_clock_that_goes_back_keeps_the_field_and_says_so() {
    let backends: Vec<BackendSample> = (0..4).map(|id| BackendSample::new(BackendId(id))).collect();
    let samples = Samples {
        interval: Nanos::from_millis(100),
        backends: &backends,
        advice: Advice::default(),
        regression: Default::default(),
    };
    let mut state = SetState::default();
    let slots = step(&mut state, &samples, &SetConfig::default(), Nanos::from_secs(10)).slots;
    let outcome = step(&mut state, &samples, &SetConfig::default(), Nanos::from_secs(9));
    assert_eq!(outcome.slots, slots);
    assert_eq!(
        outcome.problem.map(|problem| problem.to_string()).unwrap(),
        "the clock went back by 1000 ms: the field stays as it was until time passes 10000000000 ns again"
    );
}

#[test]
fn a_backend_that_comes_twice_is_refused_and_the_field_stays() {
    let mut backends: Vec<BackendSample> = (0..4).map(|id| BackendSample::new(BackendId(id))).collect();
    let mut state = SetState::default();
    let now = Nanos::from_secs(10);
    let config = SetConfig::default();
    let interval = Nanos::from_millis(100);
    let samples = Samples {
        interval,
        backends: &backends,
        advice: Advice::default(),
        regression: Default::default(),
    };
    let slots = step(&mut state, &samples, &config, now).slots;
    backends.push(BackendSample::new(BackendId(2)));
    let samples = Samples {
        interval,
        backends: &backends,
        advice: Advice::default(),
        regression: Default::default(),
    };
    let outcome = step(&mut state, &samples, &config, now + interval);
    assert_eq!(
        outcome.problem,
        Some(continuity_field::InputError::DuplicateBackend(BackendId(2)))
    );
    assert_eq!(outcome.slots, slots);
}

#[test]
fn what_was_learned_survives_a_restart() {
    let mut state = SetState::default();
    let mut now = Nanos::from_secs(10);
    for _ in 0..200 {
        let mut backends: Vec<BackendSample> = (0..4).map(|id| BackendSample::new(BackendId(id))).collect();
        for sample in &mut backends {
            sample.attempts = 5;
            sample.answered = 5;
            sample.turnaround[continuity_field::histogram::bucket(20_000)] = 5;
        }
        now = now + Nanos::from_millis(200);
        let samples = Samples {
            interval: Nanos::from_millis(200),
            backends: &backends,
            advice: Advice::default(),
            regression: Default::default(),
        };
        step(&mut state, &samples, &SetConfig::default(), now);
    }
    let calm = state.outcome().demand.calm_micros;
    assert!((16_384..20_480).contains(&calm), "{calm}");
    let mut bytes = Vec::new();
    state.save(&mut bytes);
    let mut restored = SetState::restore(&bytes).unwrap();
    let backends: Vec<BackendSample> = (0..4).map(|id| BackendSample::new(BackendId(id))).collect();
    let samples = Samples {
        interval: Nanos::from_millis(200),
        backends: &backends,
        advice: Advice::default(),
        regression: Default::default(),
    };
    step(
        &mut restored,
        &samples,
        &SetConfig::default(),
        Nanos::from_secs(1),
    );
    assert_eq!(restored.outcome().demand.calm_micros, calm);
}
