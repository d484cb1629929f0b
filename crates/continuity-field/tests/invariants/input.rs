//! Random members, samples and policies, and what must hold of every outcome.

use continuity_field::histogram::{AGE_BUCKETS, BUCKETS};
use continuity_field::lease::LeaseSample;
use continuity_field::{
    Advice, BackendId, BackendSample, BackendState, Distress, Gauge, HostSample, Locality, Nanos, OFF,
    Outcome, PathSample, ReportSample, Response, Samples, SetConfig, SetState, Verdict, VerdictKind,
    WorkloadProfile, step,
};
use proptest::prelude::*;

#[derive(Debug, Clone)]
pub(crate) struct Tick {
    pub(crate) interval: u64,
    pub(crate) backends: Vec<BackendSample>,
    pub(crate) verdicts: Vec<(u64, bool)>,
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
        said in said(),
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
        (sample.host, sample.path, sample.memory, sample.leases, sample.report, sample.locality) = said;
        sample
    }
}

type Said = (
    Option<HostSample>,
    Option<PathSample>,
    Option<Gauge>,
    LeaseSample,
    Option<ReportSample>,
    Locality,
);

/// What is optional: mostly missing, at times absurd.
fn said() -> impl Strategy<Value = Said> {
    let permille = || prop::option::of(prop_oneof![0..1_000_u32, Just(u32::MAX)]);
    let distress = prop_oneof![
        Just(Distress::Well),
        Just(Distress::Strained),
        Just(Distress::Drowning)
    ];
    let host = (permille(), permille(), distress).prop_map(|(memory, io, distress)| HostSample {
        memory_stall_permille: memory,
        io_stall_permille: io,
        distress,
    });
    let path = any::<(u32, u32)>().prop_map(|(segments, retransmitted)| PathSample {
        segments,
        retransmitted,
    });
    let gauge = prop_oneof![any::<(u64, u64)>(), (0..2_000_u64, Just(2_000_u64))];
    let leases = prop_oneof![4 => Just((0, 0)), 1 => (0..9_u32, 0..3_u32), 1 => Just((u32::MAX, u32::MAX))];
    let locality = prop_oneof![
        Just(Locality::Node),
        Just(Locality::Zone),
        Just(Locality::Elsewhere)
    ];
    (
        prop::option::of(host),
        prop::option::of(path),
        prop::option::of(gauge.prop_map(|(used, bound)| Gauge { used, bound })),
        leases.prop_map(|(held, lost)| LeaseSample { held, lost }),
        prop::option::of(report()),
        locality,
    )
}

fn report() -> impl Strategy<Value = ReportSample> {
    let level = prop_oneof![4 => 2_000..5_000_i32, 1 => any::<i32>()];
    (
        level,
        any::<(u16, u16, u8)>(),
        0..40_000_u64,
        any::<(u32, u32)>(),
        0..6_u32,
        any::<(u32, u32)>(),
    )
        .prop_map(
            |(level, (in_flight, queue, errors), age, (received, renewed), paired, (said, seen))| {
                ReportSample {
                    level,
                    in_flight,
                    queue,
                    errors,
                    age: Nanos::from_millis(age),
                    received,
                    renewed,
                    paired,
                    said,
                    seen,
                }
            },
        )
}

fn members() -> impl Strategy<Value = Vec<BackendSample>> {
    prop::collection::btree_set(0..12_u64, 0..9)
        .prop_flat_map(|ids| ids.into_iter().map(backend).collect::<Vec<_>>())
        .prop_shuffle()
}

pub(crate) fn ticks() -> impl Strategy<Value = Vec<Tick>> {
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

pub(crate) fn config() -> impl Strategy<Value = SetConfig> {
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
    let distance = prop_oneof![Just(0), any::<u32>()];
    let rest = (any::<u64>(), any::<u32>(), any::<bool>(), distance);
    (response, profile, rest).prop_map(|(response, profile, (seed, most, overlay, distance))| {
        let mut config = SetConfig::preset(response, profile);
        config.seed = seed;
        config.regret_overlay = overlay;
        config.locality_milli = distance;
        config.isolation.max_isolated_permille = most % 2_000;
        config
    })
}

pub(crate) fn check(outcome: &Outcome, samples: &[BackendSample], config: &SetConfig) {
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
    let carries = |slot: &u16| {
        let view = outcome.backends.get(usize::from(*slot));
        view.is_some_and(|view| !matches!(view.state, BackendState::Isolated | BackendState::Out))
    };
    assert!(
        in_service == 0 || outcome.slots.iter().any(carries),
        "no blackhole while a backend is in use"
    );
    assert!(outcome.warnings.len() <= samples.len());
    assert!(outcome.game.conductance_milli <= 1_000 && outcome.game.gap_milli <= 1_000);
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

/// One tick of the law at `now`.
pub(crate) fn play<'s>(state: &'s mut SetState, tick: &Tick, config: &SetConfig, now: Nanos) -> &'s Outcome {
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
    let samples = Samples {
        interval: Nanos(tick.interval),
        backends: &tick.backends,
        advice: Advice {
            active_nodes: 3,
            offered_milli_per_second: 500_000,
            verdicts: &verdicts,
        },
        regression: Default::default(),
    };
    step(state, &samples, config, now)
}

pub(crate) fn run(ticks: &[Tick], config: &SetConfig) -> Vec<Outcome> {
    let mut state = SetState::default();
    let mut now = Nanos::from_secs(1_000);
    let mut outcomes = Vec::new();
    for tick in ticks {
        now = now + Nanos(tick.interval);
        let outcome = play(&mut state, tick, config, now);
        check(outcome, &tick.backends, config);
        outcomes.push(outcome.clone());
    }
    outcomes
}
