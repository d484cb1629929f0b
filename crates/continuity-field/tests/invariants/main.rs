//! What must hold after every step, whatever comes in: random members, random and absurd samples, odd clocks.

mod bad;
mod input;
mod memory;
mod walk;

use continuity_field::{
    Advice, BackendId, BackendSample, BackendState, Nanos, Samples, SetConfig, SetState, step,
};
use input::{Tick, config, play, run, ticks};
use proptest::prelude::*;

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, max_shrink_iters: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn every_step_keeps_the_invariants(ticks in ticks(), config in config()) {
        run(&ticks, &config);
    }

    #[test]
    fn every_backend_in_use_has_a_slot_once_the_members_stand_still(ticks in ticks(), config in config()) {
        let mut state = SetState::default();
        let mut now = Nanos::from_secs(1_000);
        for tick in &ticks {
            now = now + Nanos(tick.interval);
            play(&mut state, tick, &config, now);
        }
        let Some(last) = ticks.last() else { return Ok(()) };
        let quiet = Tick { interval: 200_000_000, verdicts: Vec::new(), ..last.clone() };
        let mut steps = vec![0_u32; quiet.backends.len()];
        for _ in 0..64 {
            now = now + Nanos(quiet.interval);
            let outcome = play(&mut state, &quiet, &config, now);
            for (steps, view) in steps.iter_mut().zip(&outcome.backends) {
                let used = !matches!(view.state, BackendState::Isolated | BackendState::Out);
                *steps = if used { *steps + 1 } else { 0 };
            }
        }
        for (steps, view) in steps.iter().zip(&state.outcome().backends) {
            prop_assert!(*steps < 10 || view.slots >= 1, "in use for {steps} looks: {view:?}");
        }
    }

    #[test]
    fn the_same_input_gives_the_same_outcome(ticks in ticks(), config in config()) {
        prop_assert_eq!(run(&ticks, &config), run(&ticks, &config));
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
