//! A state that was saved and restored goes on as if nothing had happened; bytes that no state wrote are refused.

#![allow(clippy::panic, reason = "a helper of tests outside of a test function")]

use continuity_field::{
    Advice, BackendId, BackendSample, BackendState, Evidence, Nanos, Outcome, Regime, RestoreError, Samples,
    SetConfig, SetState, Verdict, VerdictKind, step,
};
use proptest::prelude::*;

use crate::input::{Tick, check, config, play, ticks};

const START: Nanos = Nanos::from_secs(1_000);

fn whole(state: &SetState) -> Vec<u8> {
    let mut bytes = Vec::new();
    state.save_whole(&mut bytes);
    bytes
}

/// What is decided from `at` on, by a state that lives through and by one that is saved and restored there.
fn both(ticks: &[Tick], config: &SetConfig, at: usize) -> [Vec<Outcome>; 2] {
    let mut state = SetState::default();
    let mut now = START;
    for tick in &ticks[..at] {
        now = now + Nanos(tick.interval);
        play(&mut state, tick, config, now);
    }
    let restored = SetState::restore_whole(&whole(&state));
    let restored = restored.unwrap_or_else(|error| panic!("{error}"));
    [state, restored].map(|mut state| {
        let mut now = now;
        let rest = ticks[at..].iter().map(|tick| {
            now = now + Nanos(tick.interval);
            play(&mut state, tick, config, now).clone()
        });
        rest.collect()
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 100, max_shrink_iters: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_restored_state_goes_on_bit_for_bit(ticks in ticks(), config in config(), at: prop::sample::Index) {
        let [lived, restored] = both(&ticks, &config, at.index(ticks.len()));
        prop_assert_eq!(lived, restored);
    }

    #[test]
    fn damaged_bytes_are_refused_or_make_a_state_that_keeps_the_invariants(
        ticks in ticks(),
        config in config(),
        damage in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6),
        cut in prop::option::of(any::<prop::sample::Index>()),
    ) {
        let mut state = SetState::default();
        let mut now = START;
        for tick in &ticks {
            now = now + Nanos(tick.interval);
            play(&mut state, tick, &config, now);
        }
        let mut page = Vec::new();
        state.save(&mut page);
        prop_assert!(page.len() <= SetState::MOST_SAVED, "{}", page.len());
        for (mut bytes, whole) in [(page, false), (whole(&state), true)] {
            for (at, value) in &damage {
                let at = at.index(bytes.len());
                bytes[at] = *value;
            }
            if let Some(cut) = cut {
                bytes.truncate(cut.index(bytes.len()));
            }
            let read = if whole { SetState::restore_whole(&bytes) } else { SetState::restore(&bytes) };
            let Ok(mut state) = read else { continue };
            for tick in &ticks {
                now = now + Nanos(tick.interval);
                let outcome = play(&mut state, tick, &config, now);
                if outcome.problem.is_none() {
                    check(outcome, &tick.backends, &config);
                }
            }
        }
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
fn what_was_learned_survives_a_restart() {
    let mut state = SetState::default();
    let mut now = Nanos::from_secs(10);
    for _ in 0..200 {
        now = now + Nanos::from_millis(200);
        gray(&mut state, now, false);
    }
    let calm = state.outcome().demand.calm_micros;
    assert!((16_384..20_480).contains(&calm), "{calm}");
    let mut bytes = Vec::new();
    state.save(&mut bytes);
    let mut restored = SetState::restore(&bytes).unwrap();
    look(&mut restored, Nanos::from_secs(1), |_| None, &[]);
    assert_eq!(restored.outcome().demand.calm_micros, calm);
}

/// A backend of four answers in half a second until it is isolated; the state then, and the instant.
fn with_one_isolated() -> (SetState, Nanos) {
    let mut state = SetState::default();
    let mut now = Nanos::from_secs(10);
    for tick in 0..200 {
        now = now + Nanos::from_millis(200);
        gray(&mut state, now, tick > 150);
    }
    assert_eq!(state.outcome().backends[0].state, BackendState::Isolated);
    (state, now)
}

/// One look at four backends, each of which answers five requests in so many µs, or is asked nothing; others say what
/// `verdicts` say.
fn look(state: &mut SetState, now: Nanos, answers: impl Fn(u64) -> Option<u64>, verdicts: &[Verdict]) {
    let mut backends: Vec<BackendSample> = (0..4).map(|id| BackendSample::new(BackendId(id))).collect();
    for sample in &mut backends {
        if let Some(micros) = answers(sample.id.0) {
            (sample.attempts, sample.answered) = (5, 5);
            sample.turnaround[continuity_field::histogram::bucket(micros)] = 5;
        }
    }
    let samples = Samples {
        interval: Nanos::from_millis(200),
        backends: &backends,
        advice: Advice {
            verdicts,
            ..Advice::default()
        },
        regression: Default::default(),
    };
    step(state, &samples, &SetConfig::default(), now);
}

fn gray(state: &mut SetState, now: Nanos, sick: bool) {
    let slow = |id| if sick && id == 0 { 500_000 } else { 20_000 };
    look(state, now, |id| Some(slow(id)), &[]);
}

#[test]
fn a_new_process_keeps_the_sick_one_out_with_its_reason_and_its_hold() {
    let (state, now) = with_one_isolated();
    let before = state.outcome().backends[0].isolation.unwrap();
    let mut page = Vec::new();
    state.save(&mut page);
    let mut restored = SetState::restore(&page).unwrap();
    gray(&mut restored, now + Nanos::from_millis(900), true);
    let view = restored.outcome().backends[0];
    assert_eq!((view.state, view.slots), (BackendState::Isolated, 0));
    assert_eq!(view.isolation, Some(before));
    assert!(matches!(before.evidence, Evidence::Latency { .. }));
}

/// So many looks in which nobody asks anything.
fn silent(state: &mut SetState, now: &mut Nanos, looks: u32, verdicts: &[Verdict]) {
    for _ in 0..looks {
        *now = *now + Nanos::from_millis(200);
        look(state, *now, |_| None, verdicts);
    }
}

#[test]
fn what_was_late_before_a_restart_is_no_pressure_on_a_set_that_nobody_asks() {
    let (state, now) = with_one_isolated();
    let mut page = Vec::new();
    state.save(&mut page);
    let mut restored = SetState::restore(&page).unwrap();
    let mut now = now + Nanos::from_millis(900);
    silent(&mut restored, &mut now, 50, &[]);
    let release = Verdict {
        backend: BackendId(0),
        kind: VerdictKind::Release,
        given: now,
        expires: now + Nanos::from_secs(1),
    };
    silent(&mut restored, &mut now, 5, &[release]);
    assert_eq!(restored.outcome().backends[0].state, BackendState::Returning);
    silent(&mut restored, &mut now, 200, &[]);
    let outcome = restored.outcome();
    assert_eq!((outcome.regime, outcome.pressure_milli), (Regime::Laminar, 1_000));
}

#[test]
fn a_crisis_of_a_set_that_nobody_asks_any_more_ends() {
    let mut state = SetState::default();
    let mut now = Nanos::from_secs(10);
    for tick in 0..200 {
        now = now + Nanos::from_millis(200);
        look(
            &mut state,
            now,
            |_| Some(if tick < 150 { 20_000 } else { 500_000 }),
            &[],
        );
    }
    assert_eq!(state.outcome().regime, Regime::Crisis);
    silent(&mut state, &mut now, 140, &[]);
    assert_eq!(
        state.outcome().regime,
        Regime::Crisis,
        "half a minute is kept in mind"
    );
    silent(&mut state, &mut now, 400, &[]);
    assert_eq!(state.outcome().regime, Regime::Laminar);
}

#[test]
fn a_page_of_another_boot_keeps_what_was_learned_and_forgets_its_instants() {
    let (state, _) = with_one_isolated();
    let mut page = Vec::new();
    state.save(&mut page);
    let mut restored = SetState::restore(&page).unwrap();
    gray(&mut restored, Nanos::from_secs(3), false);
    assert_eq!(restored.outcome().problem, None);
    assert_eq!(restored.outcome().backends[0].state, BackendState::Normal);
    assert_eq!(
        restored.outcome().demand.calm_micros,
        state.outcome().demand.calm_micros
    );
}

#[test]
fn another_version_is_refused_by_name() {
    let (state, _) = with_one_isolated();
    let mut page = Vec::new();
    state.save(&mut page);
    page[0] = 9;
    let error = SetState::restore(&page).unwrap_err();
    assert_eq!(
        error,
        RestoreError::Version {
            found: 9,
            expected: 2
        }
    );
    assert!(
        SetState::restore_whole(&page).is_err(),
        "one form is not taken for the other"
    );
}
