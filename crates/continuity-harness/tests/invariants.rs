//! What must hold after every tick of every node, whatever breaks: random plants, random faults, the real law.
//!
//! `PROPTEST_CASES=4000` runs about a million ticks; the default keeps the test short.

#![allow(clippy::unwrap_used, reason = "a generator that makes no scenario must fail")]

use continuity_field::BackendState;
use continuity_harness::choice::NONE;
use continuity_harness::law::field::Field;
use continuity_harness::law::{Agent, Kernel, Law, Plan};
use continuity_harness::plant::{Reports, run};
use continuity_harness::policy::End;
use continuity_harness::scenario::{Backends, Fault, Kind, Load, Scenario, Service, Target, Window, shipped};
use proptest::prelude::*;

/// The field agent under audit.
struct Audited {
    field: Field,
    backends: usize,
    before: Vec<u32>,
    starved: Vec<u32>,
}

/// Ticks that a backend back in use may wait for its first slot.
const PATIENCE: u32 = 5;

impl Agent for Audited {
    const BLAMES_TIMEOUTS: bool = Field::BLAMES_TIMEOUTS;

    fn tick(&mut self, kernel: &mut Kernel, plan: &Plan, now: u64) {
        self.field.tick(kernel, plan, now);
        self.slots(kernel);
        self.isolation();
        words(kernel, now);
    }

    fn isolated(&self) -> usize {
        self.field.isolated()
    }
}

impl Audited {
    fn slots(&mut self, kernel: &Kernel) {
        let outcome = self.field.outcome();
        let mut counts = vec![0_u32; self.backends];
        for &slot in &kernel.chooser.slots.id {
            assert_ne!(slot, NONE, "a backend is in service and a slot is empty");
            counts[usize::try_from(slot).unwrap()] += 1;
        }
        assert_eq!(counts.iter().sum::<u32>(), 64, "the slots sum to 64");
        self.starved.resize(self.backends, 0);
        for ((view, &count), starved) in outcome.backends.iter().zip(&counts).zip(&mut self.starved) {
            assert_eq!(view.slots, count, "the view tells the slots of {:?}", view.id);
            assert!(!view.choice.off || count == 0, "an off backend holds a slot");
            let in_use = matches!(view.state, BackendState::Normal | BackendState::Suspect);
            *starved = if in_use && count == 0 && self.backends <= 64 {
                *starved + 1
            } else {
                0
            };
            assert!(
                *starved <= PATIENCE,
                "{:?} is {:?} and has no slot",
                view.id,
                view.state
            );
        }
        let moved: u32 = self
            .before
            .iter()
            .zip(&counts)
            .map(|(a, b)| b.saturating_sub(*a))
            .sum();
        assert!(
            outcome.changed || moved == 0,
            "slots moved and the outcome says nothing changed"
        );
        assert!(
            moved == 0 || !outcome.reasons.is_empty() || self.before.is_empty(),
            "slots moved without a reason"
        );
        self.before = counts;
    }

    fn isolation(&self) {
        let outcome = self.field.outcome();
        let isolated = self.field.isolated();
        assert!(
            2 * isolated <= self.backends,
            "{isolated} of {} are isolated",
            self.backends
        );
        assert!(isolated < self.backends, "the last one is isolated");
        if let Some(drip) = outcome.drip {
            let state = outcome.backends[usize::from(drip.backend)].state;
            assert!(
                matches!(state, BackendState::Isolated | BackendState::Returning),
                "a drip for {state:?}"
            );
        }
        let held = outcome.backends.iter().filter(|view| view.slots > 0);
        let total: u64 = held.map(|view| u64::from(view.share_ppm)).sum();
        assert!(
            (999_900..=1_000_100).contains(&total),
            "the shares of the slots sum to {total} ppm"
        );
        assert!(outcome.problem.is_none(), "{:?}", outcome.problem);
    }
}

fn words(kernel: &Kernel, now: u64) {
    let at = continuity_harness::choice::kms(now);
    for (index, record) in kernel.chooser.records.iter().enumerate() {
        assert!(record.pen <= 2_560 && record.words.trust <= 256);
        assert!(record.infl >= 0, "more requests ended than began");
        let score = kernel.chooser.score(index, at).unwrap();
        assert!(score.abs() < 1 << 16, "score {score}");
    }
}

fn kind() -> impl Strategy<Value = Kind> {
    prop_oneof![
        (1.0..3_000.0).prop_map(|add_millis| Kind::Delay { add_millis }),
        (0.05..2.0).prop_map(|speed| Kind::Slow { speed }),
        (0.05..1.0).prop_map(|speed| Kind::Ramp { speed }),
        (0.0..100.0).prop_map(|after_millis| Kind::Reset { after_millis }),
        Just(Kind::Refuse),
        Just(Kind::Hang),
        (0..500_u32).prop_map(|permille| Kind::Errors { permille }),
    ]
}

fn target() -> impl Strategy<Value = Target> {
    prop_oneof![
        (1..4_u32).prop_map(|count| Target::First { count }),
        (1..900_u32).prop_map(|permille| Target::Share { permille }),
        (1..900_u32, 200..5_000_u64).prop_map(|(permille, turn_millis)| Target::Moving {
            permille,
            turn_millis
        }),
        Just(Target::All),
    ]
}

const LENGTH: u64 = 15_000;

fn fault() -> impl Strategy<Value = Fault> {
    (
        kind(),
        target(),
        0..LENGTH - 1,
        1..LENGTH,
        prop::option::of(100..4_000_u64),
    )
        .prop_map(|(what, target, from_millis, length, alternate_millis)| {
            let to_millis = (from_millis + length).min(LENGTH);
            Fault {
                what,
                target,
                from_millis,
                to_millis,
                alternate_millis,
            }
        })
}

fn scenario() -> impl Strategy<Value = Scenario> {
    let backends = prop_oneof![4 => 1..12_u32, 1 => 60..75_u32];
    let shape = (
        1..5_u32,
        backends,
        1..5_u32,
        2.0..200.0_f64,
        0.02..1.4_f64,
        prop::collection::vec(0.2..3.0_f64, 1..4),
    );
    (shape, prop::collection::vec(fault(), 0..4)).prop_map(
        |((nodes, count, workers, mean, load, speeds), faults)| {
            let mut scenario = shipped("S0").unwrap();
            scenario.duration_millis = LENGTH;
            scenario.warm_up_millis = 0;
            scenario.window = Window {
                from_millis: 0,
                to_millis: LENGTH,
            };
            scenario.nodes = nodes;
            scenario.backends = Backends {
                count,
                workers,
                speeds,
            };
            scenario.service = Service::Exponential { mean_millis: mean };
            let rate = load * f64::from(workers) * 1e3 / mean;
            scenario.load = Load::steady(rate.min(400.0 / f64::from(count)));
            scenario.faults = faults;
            scenario.check().unwrap();
            scenario
        },
    )
}

fn audit(scenario: &Scenario, seed: u64, reports: Reports) -> continuity_harness::recording::Recording {
    let agent = |own, backends| Audited {
        field: Field::new(own),
        backends,
        before: Vec::new(),
        starved: Vec::new(),
    };
    let mut law = Law::new(scenario, seed, agent);
    run(scenario, seed, reports, &mut law)
}

proptest! {
    #![proptest_config(ProptestConfig { max_shrink_iters: 64, ..ProptestConfig::with_cases(24) })]

    #[test]
    fn every_tick_keeps_the_invariants(scenario in scenario(), seed: u64, live: bool) {
        let reports = if live { Reports::Live } else { Reports::None };
        let recording = audit(&scenario, seed, reports);
        prop_assert!(recording.attempts.iter().all(|attempt| attempt.backend < scenario.backends.count));
    }
}

#[test]
fn a_single_backend_is_never_isolated_whatever_it_does() {
    let mut scenario = shipped("S5").unwrap();
    scenario.backends.count = 1;
    let recording = audit(&scenario, 3, Reports::None);
    assert!(recording.isolations.is_empty());
    assert!(recording.attempts.iter().any(|attempt| attempt.end == End::Reset));
}

#[test]
fn a_shared_dependency_isolates_nobody() {
    let recording = audit(&shipped("S22").unwrap(), 3, Reports::None);
    assert!(recording.isolations.is_empty());
}
