//! What anybody may rely on, whatever is measured: invariants of words and rule together, and the story of one surge.

use proptest::prelude::*;

use super::word::ONE;
use super::*;
use crate::caller::{CallerId, CallerSample};
use crate::{Enforcement, InputError, Nanos, Regime};

/// One step's worth of counts.
#[derive(Debug, Clone, Copy)]
struct Tick {
    interval: u64,
    offered: [u64; LEVELS],
    refused: [u64; LEVELS],
    ended: u64,
    aborted: u64,
    micros: u64,
    in_flight: u64,
    most: u64,
    overdue: u64,
    reported: Option<u32>,
    callers: [(u64, u64); 3],
}

impl Tick {
    /// A calm tick: 100 a second at 22 ms.
    const CALM: Self = Self {
        interval: 200,
        offered: [0, 4, 16, 0, 0, 0],
        refused: [0; LEVELS],
        ended: 20,
        aborted: 0,
        micros: 22_000,
        in_flight: 2,
        most: 6,
        overdue: 0,
        reported: None,
        callers: [(0, 0); 3],
    };

    /// Twice what can be served: answers take five times as long.
    const SURGE: Self = Self {
        offered: [0, 16, 64, 0, 0, 0],
        ended: 30,
        micros: 120_000,
        in_flight: 24,
        most: 30,
        ..Self::CALM
    };

    fn run<'a>(&self, state: &'a mut State, config: &Config, now: &mut Nanos) -> &'a Outcome {
        *now = *now + Nanos::from_millis(self.interval);
        let callers: Vec<CallerSample> = (0..)
            .zip(self.callers)
            .map(|(id, (offered, retries))| CallerSample {
                id: CallerId(id),
                offered,
                retries,
                ..CallerSample::default()
            })
            .collect();
        let samples = Samples {
            interval: Nanos::from_millis(self.interval),
            offered: self.offered,
            refused: self.refused,
            ended: self.ended,
            aborted: self.aborted,
            waited: Nanos::from_micros(self.micros.saturating_mul(self.ended)),
            in_flight: self.in_flight,
            most_in_flight: self.most,
            overdue: self.overdue,
            reported: self.reported.map(|most_in_flight| Reported {
                turnaround: Nanos::from_micros(self.micros),
                most_in_flight,
            }),
            callers: &callers,
        };
        step(state, &samples, config, *now)
    }
}

fn calm() -> (State, Nanos) {
    let (mut state, mut now) = (State::default(), Nanos::from_secs(1_000));
    for _ in 0..600 {
        Tick::CALM.run(&mut state, &Config::default(), &mut now);
    }
    (state, now)
}

/// In soft, with refusals.
fn surging() -> (State, Nanos) {
    let (mut state, mut now) = calm();
    for _ in 0..20 {
        Tick {
            refused: [0, 0, 40, 0, 0, 0],
            ..Tick::SURGE
        }
        .run(&mut state, &Config::default(), &mut now);
    }
    (state, now)
}

fn ask(class: Class, now: Nanos) -> Connect {
    Connect {
        class,
        reported: 0,
        now,
    }
}

#[test]
fn a_healthy_service_is_laminar_and_its_fuse_is_far_away() {
    let (state, _) = calm();
    let outcome = state.outcome();
    assert_eq!(
        (outcome.mode, outcome.regime),
        (Enforcement::Normal, Regime::Laminar)
    );
    assert!((21..=23).contains(&outcome.posture.typical.as_millis()));
    assert!(
        (2_000..=2_400).contains(&outcome.posture.proven_milli),
        "{outcome:?}"
    );
    let [_, high, normal, ..] = outcome.words.thresholds;
    assert!(
        normal >= 10 * ONE && high.abs_diff(normal * 3 / 2) <= 1,
        "{outcome:?}"
    );
    assert_eq!(outcome.words.cut / 1_000_000, 176);
}

#[test]
fn a_surge_is_met_by_soft_with_the_numbers_that_decided() {
    let (mut state, mut now) = calm();
    let mut reason = None;
    for _ in 0..10 {
        let outcome = Tick::SURGE.run(&mut state, &Config::default(), &mut now);
        reason = reason.or(outcome.reasons.first().copied());
    }
    let outcome = state.outcome();
    assert_eq!(outcome.mode, Enforcement::Soft);
    let Some(reason @ Reason::Overloaded { answers, .. }) = reason else {
        panic!("{reason:?}");
    };
    assert!(answers >= 6);
    assert!(reason.to_string().contains("of calm over"), "{reason}");
    assert_eq!(
        outcome.words.thresholds[5].min(ONE * 8),
        outcome.words.thresholds[5]
    );
}

#[test]
fn what_was_learned_is_frozen_while_it_is_abnormal() {
    let (mut state, mut now) = surging();
    let before = state.outcome().posture;
    for _ in 0..1_500 {
        Tick {
            refused: [0, 0, 40, 0, 0, 0],
            ..Tick::SURGE
        }
        .run(&mut state, &Config::default(), &mut now);
    }
    let after = state.outcome().posture;
    assert_eq!(
        (before.typical, before.proven_milli),
        (after.typical, after.proven_milli)
    );
}

#[test]
fn soft_is_left_after_a_calm_dwell_and_a_relapse_doubles_it() {
    let (mut state, mut now) = surging();
    let config = Config::default();
    let calm_for = |state: &mut State, now: &mut Nanos| {
        let from = *now;
        while Tick::CALM.run(state, &config, now).mode != Enforcement::Normal {
            assert!(now.since(from) < Nanos::from_secs(60));
        }
        now.since(from).as_secs_f64()
    };
    let first = calm_for(&mut state, &mut now);
    assert!((10.0..18.0).contains(&first), "{first}");
    for _ in 0..20 {
        Tick::SURGE.run(&mut state, &config, &mut now);
    }
    assert_eq!(state.outcome().mode, Enforcement::Soft);
    let second = calm_for(&mut state, &mut now);
    assert!((20.0..28.0).contains(&second), "{second}");
}

#[test]
fn hard_needs_requests_that_end_without_an_answer_and_never_latches() {
    let (mut state, mut now) = surging();
    let config = Config::default();
    let drowned = Tick {
        refused: [0, 0, 60, 0, 0, 0],
        ended: 6,
        aborted: 6,
        micros: 176_000,
        ..Tick::SURGE
    };
    for _ in 0..20 {
        drowned.run(&mut state, &config, &mut now);
    }
    let outcome = state.outcome();
    assert_eq!(
        (outcome.mode, outcome.regime),
        (Enforcement::Hard, Regime::Crisis)
    );
    let [critical, high, normal, ..] = outcome.words.thresholds;
    assert_eq!((critical - high, normal), (2 * ONE, 0));
    assert!(outcome.words.trickles[2] > 0);
    let from = now;
    let silent = Tick {
        ended: 0,
        aborted: 0,
        ..drowned
    };
    while silent.run(&mut state, &config, &mut now).mode == Enforcement::Hard {
        assert!(now.since(from) <= Nanos::from_secs(31));
    }
    let [reason, ..] = state.outcome().reasons[..] else {
        panic!()
    };
    assert!(matches!(reason, Reason::Probing { .. }), "{reason:?}");
}

#[test]
fn admission_that_is_off_learns_and_refuses_nobody() {
    let (mut state, mut now) = (State::default(), Nanos::ZERO);
    let config = Config {
        enabled: false,
        ..Config::default()
    };
    for _ in 0..200 {
        Tick::SURGE.run(&mut state, &config, &mut now);
    }
    let open = Words {
        control: state.outcome().words.control,
        cut: state.outcome().words.cut,
        ..Words::open()
    };
    assert_eq!(state.outcome().words, open);
    assert!(state.outcome().posture.proven_milli > 0);
}

#[test]
fn nothing_is_enforced_before_the_warm_up_unless_it_was_saved() {
    let (mut state, mut now) = (State::default(), Nanos::ZERO);
    for _ in 0..24 {
        let outcome = Tick::SURGE.run(&mut state, &Config::default(), &mut now);
        assert_eq!(outcome.words.thresholds, [u32::MAX; LEVELS]);
    }
    let (known, _) = calm();
    let mut bytes = Vec::new();
    known.save(&mut bytes);
    let mut state = State::restore(&bytes).unwrap();
    let outcome = Tick::CALM.run(&mut state, &Config::default(), &mut now);
    assert!(outcome.words.thresholds[2] < 40 * ONE, "{outcome:?}");
    assert_eq!(outcome.posture.typical, known.outcome().posture.typical);
}

#[test]
fn saved_bytes_that_cannot_be_are_refused() {
    let (state, _) = calm();
    let mut bytes = Vec::new();
    state.save(&mut bytes);
    assert!(State::restore(&bytes[..bytes.len() - 1]).is_err());
    let mut other = bytes.clone();
    other[0] = 9;
    assert!(State::restore(&other).is_err());
    bytes[4..12].copy_from_slice(&f64::NAN.to_le_bytes());
    assert!(State::restore(&bytes).is_err());
}

#[test]
fn a_clock_that_goes_back_changes_nothing() {
    let (mut state, now) = surging();
    let before = state.outcome().clone();
    let mut earlier = Nanos(now.0 - 5_000_000_000);
    let outcome = Tick::SURGE.run(&mut state, &Config::default(), &mut earlier);
    assert!(matches!(outcome.error, Some(InputError::ClockBackwards { .. })));
    assert_eq!((outcome.words, outcome.mode), (before.words, before.mode));
}

#[test]
fn the_same_input_gives_the_same_words_on_every_machine() {
    let (state, _) = surging();
    let words = state.outcome().words;
    let Words {
        thresholds,
        fuse,
        gates,
        fractions,
        trickles,
        cut,
        adjust,
        ..
    } = words;
    let mut digest = 0xcbf2_9ce4_8422_2325_u64;
    let mut eat = |value: u64| {
        for byte in value.to_le_bytes() {
            digest = (digest ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3);
        }
    };
    thresholds
        .iter()
        .chain(&fuse)
        .chain(&gates)
        .for_each(|&value| eat(u64::from(value)));
    fractions.iter().chain(&trickles).for_each(|&value| eat(value));
    eat(cut);
    eat(u64::try_from(adjust).unwrap());
    assert_eq!(digest, GOLDEN, "{words:?}");
}

/// FNV-1a of the words above; changed only knowingly.
const GOLDEN: u64 = 10_456_918_862_848_614_444;

fn ticks() -> impl Strategy<Value = Vec<Tick>> {
    let counts = || prop::array::uniform6(prop_oneof![Just(0_u64), 0..80_u64, Just(u64::MAX)]);
    let tick = (
        (prop_oneof![Just(200_u64), 0..5_000_u64], counts(), counts()),
        (
            0..200_u64,
            0..200_u64,
            prop_oneof![0..500_000_u64, Just(u64::MAX)],
        ),
        (0..300_u64, 0..300_u64, 0..300_u64),
        prop::option::of(0..500_u32),
        prop::array::uniform3((0..200_u64, 0..200_u64)),
    );
    let tick = tick.prop_map(|(head, ends, flight, reported, callers)| Tick {
        interval: head.0,
        offered: head.1,
        refused: head.2,
        ended: ends.0,
        aborted: ends.1,
        micros: ends.2,
        in_flight: flight.0,
        most: flight.1,
        overdue: flight.2,
        reported,
        callers,
    });
    let kind = prop_oneof![3 => tick, 2 => Just(Tick::CALM), 2 => Just(Tick::SURGE)];
    prop::collection::vec((kind, 1..40_usize), 1..25).prop_map(|runs| {
        let repeated = runs
            .into_iter()
            .flat_map(|(tick, times)| std::iter::repeat_n(tick, times));
        repeated.collect()
    })
}

/// Whether the words may be published.
fn check(state: &State, config: &Config) -> Result<(), TestCaseError> {
    let outcome = state.outcome();
    let words = &outcome.words;
    prop_assert!(words.thresholds.is_sorted_by(|a, b| a >= b), "{words:?}");
    if words.thresholds[0] != u32::MAX {
        let bound = 2.5 * state.learned.cap(config) + 20.0;
        prop_assert!(f64::from(words.thresholds[0]) <= 256.0 * bound + 1.0);
    }
    prop_assert!(words.gates.iter().take(2).all(|gate| *gate == u32::MAX));
    match outcome.mode {
        Enforcement::Normal => {
            prop_assert_eq!(words.gates, [u32::MAX; LEVELS]);
            prop_assert_eq!(words.trickles, [0; LEVELS]);
        }
        Enforcement::Soft => {
            let least = (state.learned.proven / 2.0).min(state.learned.cap(config));
            prop_assert!(state.limiter.level >= least - 1e-9);
            prop_assert!((0.0..=4.0).contains(&state.limiter.head));
        }
        Enforcement::Hard => prop_assert!(words.thresholds[0] > 0),
    }
    if outcome.mode != Enforcement::Normal {
        prop_assert!(words.trickles[..5].iter().all(|pace| *pace > 0));
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, ..ProptestConfig::default() })]

    #[test]
    fn thresholds_nest_and_normal_is_open_and_the_level_keeps_half_the_proven(ticks in ticks()) {
        let config = Config::default();
        let (mut state, mut now) = (State::default(), Nanos::from_secs(7));
        for tick in &ticks {
            tick.run(&mut state, &config, &mut now);
            check(&state, &config)?;
        }
    }

    #[test]
    fn a_silent_agent_refuses_nobody_below_the_fuse_and_after_ten_minutes_nobody(
        ticks in ticks(),
        asked in prop::collection::vec((0..5_usize, 15_000..700_000_u64, 0..200_i32), 1..50),
    ) {
        let (mut state, mut now) = (State::default(), Nanos::from_secs(7));
        for tick in &ticks {
            tick.run(&mut state, &Config::default(), &mut now);
        }
        let words = state.outcome().words;
        for (class, silence, in_flight) in asked {
            let class = Class::ALL[class];
            let mut live = Live { in_flight, ..Live::default() };
            let verdict = admit(&words, &mut live, None, &ask(class, now + Nanos::from_millis(silence)));
            let fuse = words.fuse[usize::from(Level::Class(class).reserved())];
            let load = i64::from(in_flight) * i64::from(ONE) + i64::from(words.adjust);
            if silence > 600_000 || load < i64::from(fuse - fuse % ONE) {
                prop_assert!(verdict.admitted(), "{verdict:?} at {in_flight}, fuse {fuse}, silent {silence} ms");
            }
        }
    }

    #[test]
    fn every_class_that_keeps_asking_survives(ticks in ticks(), class in 0..5_usize) {
        let (mut state, mut now) = surging();
        for tick in ticks.iter().filter(|tick| tick.interval == 200) {
            tick.run(&mut state, &Config::default(), &mut now);
        }
        prop_assume!(state.outcome().mode != Enforcement::Normal);
        let outcome = state.outcome();
        let mut words = outcome.words;
        let mut live = Live { in_flight: 1_000_000, ..Live::default() };
        let mut admitted = 0_u32;
        // 40 s of asking 100 times a second, with a living agent.
        for step in 0..4_000_u64 {
            let at = now + Nanos::from_millis(10 * step);
            words.control = Control { heartbeat: Control::beat(at), ..Control::unpack(words.control) }.pack();
            admitted += u32::from(admit(&words, &mut live, None, &ask(Class::ALL[class], at)).admitted());
        }
        prop_assert!(admitted >= 4, "{admitted} in 40 s, {words:?}");
        let demand = state.estimate.offered[class];
        let least = (0.01 * demand).min(0.005 * state.estimate.rate);
        prop_assert!(f64::from(admitted) + 1.0 >= 40.0 * least.min(100.0), "{admitted}, {least}/s");
    }

    #[test]
    fn who_is_admitted_is_in_flight_and_the_same_story_replays(
        ticks in ticks(),
        story in prop::collection::vec((0..5_usize, 0..60_u64, any::<bool>()), 1..300),
    ) {
        let (mut state, mut now) = (State::default(), Nanos::from_secs(7));
        for tick in &ticks {
            tick.run(&mut state, &Config::default(), &mut now);
        }
        let words = state.outcome().words;
        let play = || {
            let (mut live, mut at) = (Live::default(), now);
            let (mut offered, mut refused, mut ended) = (0, 0, 0);
            let mut verdicts = Vec::new();
            for &(class, gap, ends) in &story {
                at = at + Nanos::from_millis(gap);
                if ends && live.in_flight > 0 {
                    end(&mut live);
                    ended += 1;
                }
                let verdict = admit(&words, &mut live, None, &ask(Class::ALL[class], at));
                offered += 1;
                refused += i32::from(!verdict.admitted());
                verdicts.push(verdict);
            }
            (live, offered - refused - ended, verdicts)
        };
        let (live, expected, verdicts) = play();
        prop_assert_eq!(live.in_flight, expected);
        prop_assert_eq!((live, verdicts), (play().0, play().2));
    }
}
