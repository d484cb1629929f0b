use proptest::prelude::*;

use super::*;

const MIB: u64 = 1 << 20;

fn stall(some: u32, full: u32) -> Option<StallSample> {
    Some(StallSample {
        some_permille: some,
        full_permille: Some(full),
    })
}

fn memory(permille: u64) -> [Option<Gauge>; 4] {
    let mut levels = [None; 4];
    levels[0] = Some(Gauge {
        used: permille,
        bound: 1_000,
    });
    levels
}

/// Stage after that many seconds of the same sample, from a fresh state.
fn after(sample: NodeSample, seconds: u64) -> Distress {
    let mut state = State::default();
    for second in 1..=seconds {
        step(&mut state, &sample, Nanos::from_secs(second));
    }
    state.report().stage
}

#[test]
fn every_signal_enters_its_stage_at_its_threshold_and_not_below() {
    use Distress::{Drowning, Strained, Well};
    let none = NodeSample::default();
    let table = [
        (
            NodeSample {
                cpu: stall(499, 0),
                ..none
            },
            Well,
        ),
        (
            NodeSample {
                cpu: stall(500, 0),
                ..none
            },
            Strained,
        ),
        (
            NodeSample {
                cpu: stall(1_000, 1_000),
                ..none
            },
            Strained,
        ),
        (
            NodeSample {
                memory_stall: stall(99, 0),
                ..none
            },
            Well,
        ),
        (
            NodeSample {
                memory_stall: stall(100, 0),
                ..none
            },
            Strained,
        ),
        (
            NodeSample {
                memory_stall: stall(300, 199),
                ..none
            },
            Strained,
        ),
        (
            NodeSample {
                memory_stall: stall(300, 200),
                ..none
            },
            Drowning,
        ),
        (
            NodeSample {
                io: stall(99, 0),
                ..none
            },
            Well,
        ),
        (
            NodeSample {
                io: stall(100, 0),
                ..none
            },
            Strained,
        ),
        (
            NodeSample {
                io: stall(400, 200),
                ..none
            },
            Drowning,
        ),
        (
            NodeSample {
                levels: memory(899),
                ..none
            },
            Well,
        ),
        (
            NodeSample {
                levels: memory(900),
                ..none
            },
            Strained,
        ),
        (
            NodeSample {
                levels: memory(969),
                ..none
            },
            Strained,
        ),
        (
            NodeSample {
                levels: memory(970),
                ..none
            },
            Drowning,
        ),
        (none, Well),
    ];
    for (sample, expected) in table {
        assert_eq!(after(sample, 10), expected, "{sample:?}");
    }
}

#[test]
fn a_stall_counts_when_it_holds_for_seven_of_ten_seconds() {
    let sample = NodeSample {
        io: stall(500, 300),
        ..NodeSample::default()
    };
    assert_eq!(after(sample, 6), Distress::Well);
    assert_eq!(after(sample, 7), Distress::Drowning);
}

#[test]
fn a_stage_is_left_one_at_a_time_after_thirty_calm_seconds() {
    let mut state = State::default();
    let mut now = Nanos::ZERO;
    let mut run = |state: &mut State, sample: NodeSample, seconds: u64| {
        for _ in 0..seconds {
            now = now + Nanos::from_secs(1);
            step(state, &sample, now);
        }
        state.report().stage
    };
    let bad = NodeSample {
        memory_stall: stall(600, 400),
        ..NodeSample::default()
    };
    // Below the threshold, above 65 % of it: nothing is entered and nothing is left.
    let between = NodeSample {
        memory_stall: stall(90, 150),
        ..NodeSample::default()
    };
    let calm = NodeSample {
        memory_stall: stall(0, 0),
        ..NodeSample::default()
    };
    assert_eq!(run(&mut state, bad, 8), Distress::Drowning);
    assert_eq!(run(&mut state, between, 120), Distress::Drowning);
    assert_eq!(run(&mut state, calm, 30), Distress::Drowning);
    assert_eq!(run(&mut state, calm, 1), Distress::Strained);
    assert_eq!(run(&mut state, calm, 31), Distress::Well);
    assert_eq!(
        state.report().reasons,
        [Reason::Eased {
            from: Distress::Strained,
            to: Distress::Well
        }]
    );
}

#[test]
fn a_leak_is_foretold_as_strain_and_drowns_when_little_is_left() {
    let mut state = State::default();
    let (mut strained, mut drowned, mut said) = (0, 0, Vec::new());
    for second in 1..=1_000_u64 {
        let mut levels = [None; 4];
        levels[0] = Some(Gauge {
            used: (100 + second) * MIB,
            bound: 1_000 * MIB,
        });
        let sample = NodeSample {
            levels,
            ..NodeSample::default()
        };
        let report = step(&mut state, &sample, Nanos::from_secs(second));
        said.extend(report.reasons.iter().copied());
        if report.stage >= Distress::Strained && strained == 0 {
            strained = second;
        }
        if report.stage == Distress::Drowning && drowned == 0 {
            drowned = second;
        }
        if second >= 900 {
            break;
        }
    }
    assert!(
        (710..=740).contains(&strained),
        "180 s before the end: {strained}"
    );
    assert_eq!(drowned, 800, "nine tenths in use and the end foretold");
    let foretold = said.iter().find(|reason| reason.name() == "NodeFailureForetold");
    let sentence = foretold.map(ToString::to_string).unwrap_or_default();
    assert!(
        sentence.starts_with("its memory will be used up in "),
        "{sentence}"
    );
}

#[test]
fn a_missing_signal_is_said_once_and_concludes_nothing() {
    let mut state = State::default();
    let sample = NodeSample {
        cpu: stall(10, 0),
        ..NodeSample::default()
    };
    let said = step(&mut state, &sample, Nanos::from_secs(1)).reasons.len();
    assert_eq!(said, 6, "all but the CPU");
    let report = step(&mut state, &sample, Nanos::from_secs(2));
    assert_eq!(
        (report.reasons.len(), report.missing.len(), report.stage),
        (0, 6, Distress::Well)
    );
    let whole = NodeSample {
        cpu: stall(10, 0),
        memory_stall: stall(0, 0),
        io: stall(0, 0),
        levels: [memory(10)[0]; 4],
    };
    assert!(step(&mut state, &whole, Nanos::from_secs(3)).missing.is_empty());
    assert_eq!(
        step(&mut state, &sample, Nanos::from_secs(4)).reasons[0].to_string(),
        "memory stall cannot be read: nothing is concluded from it"
    );
}

#[test]
fn a_clock_that_goes_back_changes_nothing() {
    let mut state = State::default();
    let bad = NodeSample {
        levels: memory(990),
        ..NodeSample::default()
    };
    step(&mut state, &NodeSample::default(), Nanos::from_secs(10));
    assert_eq!(step(&mut state, &bad, Nanos::from_secs(9)).stage, Distress::Well);
}

#[test]
fn fear_is_bounded_fades_and_is_none_when_half_are_in_distress() {
    let mut fear = Fear::default();
    fear.look(Distress::Drowning, false, 0.2);
    assert_eq!((fear.part(), fear.pressure()), (0.2, 1.0));
    (0..150).for_each(|_| fear.look(Distress::Well, false, 0.2));
    assert!(
        (fear.part() - 0.2 / std::f64::consts::E).abs() < 1e-9,
        "30 s: {}",
        fear.part()
    );
    (0..1_000).for_each(|_| fear.look(Distress::Well, false, 0.2));
    assert_eq!(fear, Fear::default());
    fear.look(Distress::Strained, true, 0.2);
    assert_eq!(fear.part(), 0.0);
    assert!(shared(2, 4) && shared(1, 2) && !shared(1, 3) && !shared(0, 5));
}

fn any_stall() -> impl Strategy<Value = Option<StallSample>> {
    prop::option::of(
        (any::<u32>(), prop::option::of(any::<u32>())).prop_map(|(some, full)| StallSample {
            some_permille: some % 1_200,
            full_permille: full.map(|full| full % 1_200),
        }),
    )
}

fn any_level() -> impl Strategy<Value = Option<Gauge>> {
    prop::option::of((any::<u64>(), any::<u64>()).prop_map(|(used, bound)| Gauge { used, bound }))
}

proptest! {
    #[test]
    fn the_cpu_alone_never_drowns_a_node(stalls in prop::collection::vec(any_stall(), 1..200)) {
        let mut state = State::default();
        for (second, cpu) in (1..).zip(stalls) {
            let sample = NodeSample { cpu, ..NodeSample::default() };
            prop_assert!(step(&mut state, &sample, Nanos::from_secs(second)).stage <= Distress::Strained);
        }
    }

    #[test]
    fn absurd_samples_give_a_stage_with_its_reason(
        samples in prop::collection::vec((any_stall(), any_stall(), any_stall(), prop::array::uniform4(any_level())), 1..100),
    ) {
        let mut state = State::default();
        let mut before = Distress::Well;
        for (second, (cpu, memory_stall, io, levels)) in (1..).zip(samples) {
            let sample = NodeSample { cpu, memory_stall, io, levels };
            let report = step(&mut state, &sample, Nanos::from_secs(7 * second));
            if report.stage != before {
                let why = |reason: &Reason| !matches!(reason, Reason::Missing { .. } | Reason::Averted { .. });
                prop_assert!(report.reasons.iter().any(why), "{:?}", report);
            }
            prop_assert!(report.reasons.len() <= 7 + 4 + 1);
            prop_assert!(report.warnings.len() <= 4);
            before = report.stage;
        }
    }
}
