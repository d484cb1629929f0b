//! What must hold after every step, whatever comes in: random members, random and absurd samples, odd clocks.

mod input;
mod memory;
mod walk;

use continuity_field::{Advice, BackendId, BackendSample, Nanos, Samples, SetConfig, SetState, step};
use input::{config, run, ticks};
use proptest::prelude::*;

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
