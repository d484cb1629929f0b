//! What the optional inputs do to a set, through the whole step: leases, hosts, memory, hearsay, distance, the overlay. And
//! that none of them does anything where it is missing.

#![allow(clippy::unwrap_used, reason = "a helper of tests outside of a test function")]

use continuity_field::histogram::{AGE_BUCKETS, age_bucket, bucket};
use continuity_field::lease::{Book, LeaseId};
use continuity_field::{
    Advice, BackendId, BackendSample, BackendState, Distress, Evidence, Gauge, HostSample, Locality, Nanos,
    Outcome, PathSample, Reason, Regime, Regression, Response, Samples, SetConfig, SetState, Verdict,
    VerdictKind, WorkloadProfile, step,
};

const TICK: Nanos = Nanos::from_millis(200);

/// A set and its clock; what it answers is filled in tick by tick.
struct Bench {
    state: SetState,
    config: SetConfig,
    backends: Vec<BackendSample>,
    verdicts: Vec<Verdict>,
    now: Nanos,
    tick: u64,
    said: Vec<(Nanos, Reason)>,
}

impl Bench {
    fn new(count: u64, profile: WorkloadProfile) -> Self {
        Self {
            state: SetState::default(),
            config: SetConfig::preset(Response::Balanced, profile),
            backends: (0..count).map(|id| BackendSample::new(BackendId(id))).collect(),
            verdicts: Vec::new(),
            now: Nanos::from_secs(1_000),
            tick: 0,
            said: Vec::new(),
        }
    }

    /// Eight answers that vary by a third and more, as real ones do.
    fn answer(sample: &mut BackendSample, micros: u64) {
        sample.attempts = 8;
        sample.established = 8;
        sample.answered = 8;
        for spread in [70, 100, 130, 95, 160, 80, 110, 105] {
            sample.turnaround[bucket(micros * spread / 100)] += 1;
        }
    }

    /// So many seconds; `fill` adds to samples that are empty but for gauges that it set before.
    fn run(&mut self, seconds: u64, mut fill: impl FnMut(&mut [BackendSample], u64, Nanos)) -> &Outcome {
        for _ in 0..seconds * 5 {
            self.now = self.now + TICK;
            self.tick += 1;
            for sample in &mut self.backends {
                let fresh = BackendSample::new(sample.id);
                *sample = BackendSample {
                    in_service: sample.in_service,
                    capacity: sample.capacity,
                    locality: sample.locality,
                    ..fresh
                };
            }
            fill(&mut self.backends, self.tick, self.now);
            let samples = Samples {
                interval: TICK,
                backends: &self.backends,
                advice: Advice {
                    active_nodes: 3,
                    offered_milli_per_second: 0,
                    verdicts: &self.verdicts,
                },
                regression: Regression::default(),
            };
            let outcome = step(&mut self.state, &samples, &self.config, self.now);
            self.said
                .extend(outcome.reasons.iter().map(|reason| (self.now, *reason)));
        }
        self.state.outcome()
    }

    fn isolations(&self) -> Vec<(Nanos, BackendId, Evidence)> {
        let isolated = |(at, reason): &(Nanos, Reason)| match *reason {
            Reason::Isolated { backend, evidence } => Some((*at, backend, evidence)),
            _ => None,
        };
        self.said.iter().filter_map(isolated).collect()
    }
}

fn all(micros: u64) -> impl FnMut(&mut [BackendSample], u64, Nanos) {
    move |backends, _, _| {
        for sample in backends.iter_mut() {
            Bench::answer(sample, micros);
        }
    }
}

#[test]
fn a_service_that_takes_what_its_profile_says_trips_nothing_in_ten_minutes() {
    let profiles = [
        (WorkloadProfile::Light, 10_000),
        (WorkloadProfile::Standard, 100_000),
        (WorkloadProfile::Heavy, 5_000_000),
        (WorkloadProfile::Extreme, 60_000_000),
    ];
    for (profile, micros) in profiles {
        let mut bench = Bench::new(5, profile);
        bench.run(600, all(micros));
        let outcome = bench.state.outcome();
        assert!(
            bench.isolations().is_empty(),
            "{profile:?}: {:?}",
            bench.isolations()
        );
        assert_eq!(outcome.regime, Regime::Laminar, "{profile:?}");
        assert!(
            outcome.backends.iter().all(|view| view.slots >= 12),
            "{profile:?}"
        );
    }
}

#[test]
fn a_backend_an_order_slower_than_its_profile_is_found_in_seconds() {
    for (profile, micros) in [
        (WorkloadProfile::Light, 10_000),
        (WorkloadProfile::Standard, 100_000),
    ] {
        let mut bench = Bench::new(5, profile);
        bench.run(60, all(micros));
        let began = bench.now;
        bench.run(5, |backends, _, _| {
            for (at, sample) in (0..).zip(backends.iter_mut()) {
                Bench::answer(sample, if at == 2 { 12 * micros } else { micros });
            }
        });
        let found = bench.isolations();
        assert_eq!(found.len(), 1, "{profile:?}: {found:?}");
        assert_eq!(found[0].1, BackendId(2));
        assert!(found[0].0.since(began) <= Nanos::from_secs(2), "{profile:?}");
    }
}

/// Backend 1 runs one job and nothing else while the others answer in 10 s; its lease is renewed until `silent` s.
fn job(seconds: u64, silent: u64) -> Bench {
    let mut bench = Bench::new(3, WorkloadProfile::Extreme);
    let mut leases = Book::default();
    bench.run(60, all(10_000_000));
    let began = bench.now;
    leases
        .take(LeaseId(7), BackendId(1), WorkloadProfile::Extreme, began)
        .unwrap();
    bench.run(seconds, move |backends, tick, now| {
        for (at, sample) in (0..).zip(backends.iter_mut()) {
            if at == 1 {
                sample.in_flight = 1;
                sample.unanswered[age_bucket(began, now)] = 1;
            } else {
                Bench::answer(sample, 10_000_000);
            }
        }
        if tick % 25 == 0 && now.since(began) < Nanos::from_secs(silent) {
            leases.renew(LeaseId(7), now).unwrap();
        }
        leases.tally(backends, now);
    });
    bench
}

#[test]
fn a_job_of_half_an_hour_under_a_lease_trips_nothing() {
    let bench = job(1_800, 1_800);
    assert!(bench.isolations().is_empty(), "{:?}", bench.isolations());
    let outcome = bench.state.outcome();
    let view = outcome.backends[1];
    assert_eq!((view.state, view.error_permille), (BackendState::Normal, 0));
    assert_eq!((view.pressure_milli, outcome.regime), (1_000, Regime::Laminar));
    assert!(view.slots >= 20, "{}", view.slots);
}

#[test]
fn a_lost_lease_is_a_failure_that_isolates_with_its_reason() {
    let bench = job(700, 600);
    let found = bench.isolations();
    let [(at, backend, evidence)] = found.as_slice() else {
        panic!("{found:?}");
    };
    assert_eq!(
        (*backend, *evidence),
        (BackendId(1), Evidence::LeaseLost { leases: 1 })
    );
    let after = at.since(Nanos::from_secs(1_060));
    assert!(
        after > Nanos::from_secs(620) && after <= Nanos::from_secs(632),
        "three signs of life after the last: {after}"
    );
    assert_eq!(
        evidence.to_string(),
        "lost a long job: its lease has no more signs of life"
    );
}

/// Standard answers on all backends but 1, which has one request that waits for ever; with or without a lease.
fn stuck(leased: bool) -> Nanos {
    let mut bench = Bench::new(5, WorkloadProfile::Standard);
    bench.run(60, all(100_000));
    let (began, mut leases) = (bench.now, Book::default());
    if leased {
        leases
            .take(LeaseId(1), BackendId(1), WorkloadProfile::Standard, began)
            .unwrap();
    }
    bench.run(60, move |backends, _, now| {
        for (at, sample) in (0..).zip(backends.iter_mut()) {
            if at == 1 {
                sample.unanswered[age_bucket(began, now)] = 2;
            } else {
                Bench::answer(sample, 100_000);
            }
        }
        let _ = leases.renew(LeaseId(1), now);
        leases.tally(backends, now);
        backends[1].leases.held *= 2;
    });
    bench
        .isolations()
        .first()
        .map_or(Nanos(u64::MAX), |found| found.0)
        .since(began)
}

#[test]
fn a_lease_protects_for_as_long_as_its_profile_says_and_no_longer() {
    let (free, leased) = (stuck(false), stuck(true));
    assert!(free <= Nanos::from_secs(5), "without a lease: {free}");
    assert!(
        leased >= Nanos::from_secs(30) && leased <= Nanos::from_secs(35),
        "with one: {leased}"
    );
}

#[test]
fn a_backend_on_a_drowning_node_gets_less_and_is_said_once_and_nobody_is_isolated_for_it() {
    let mut bench = Bench::new(5, WorkloadProfile::Standard);
    bench.run(30, all(100_000));
    let drowning = |many: usize| {
        move |backends: &mut [BackendSample], tick: u64, now: Nanos| {
            all(100_000)(backends, tick, now);
            for sample in backends.iter_mut().take(many) {
                sample.host = Some(HostSample {
                    memory_stall_permille: Some(400),
                    io_stall_permille: None,
                    distress: Distress::Drowning,
                });
            }
        }
    };
    let view = bench.run(30, drowning(1)).backends[0];
    assert_eq!(view.state, BackendState::Normal);
    // 1 / (1 + 1.05 + 1) of the weight of the others: 64 · 0.328 / 4.328 = 4.9 slots.
    assert_eq!(view.pressure_milli, 3_050);
    assert!((4..=5).contains(&view.slots), "{} slots by lot", view.slots);
    let said = bench
        .said
        .iter()
        .filter(|(_, reason)| matches!(reason, Reason::HostDistress { .. }));
    assert_eq!(said.count(), 1);
    // With three of five in distress it is not them: fear counts for nothing, their own stalls for all of them alike.
    let outcome = bench.run(60, drowning(3)).clone();
    assert!(
        outcome.backends[..3]
            .iter()
            .all(|view| view.pressure_milli == 2_050),
        "{:?}",
        outcome.backends
    );
    let five = bench.run(60, drowning(5)).clone();
    assert!(
        five.backends.iter().all(|view| (12..=13).contains(&view.slots)),
        "{:?}",
        five.backends
    );
    assert!(bench.isolations().is_empty(), "{:?}", bench.isolations());
    let after = bench.run(300, all(100_000));
    assert!(
        after.backends.iter().all(|view| view.pressure_milli == 1_000),
        "forgotten"
    );
}

#[test]
fn the_stall_of_a_cpu_alone_isolates_nobody_and_leaves_laminar_alone() {
    let mut bench = Bench::new(3, WorkloadProfile::Standard);
    bench.run(120, |backends, tick, now| {
        all(100_000)(backends, tick, now);
        backends
            .iter_mut()
            .for_each(|sample| sample.stall_permille = Some(1_000));
    });
    assert!(bench.isolations().is_empty());
    let outcome = bench.state.outcome();
    assert_eq!(outcome.regime, Regime::Laminar);
    assert_eq!(outcome.enforcement, continuity_field::Enforcement::Normal);
}

#[test]
fn a_leaking_pod_is_warned_of_in_the_outcome_until_it_is_averted() {
    let mut bench = Bench::new(3, WorkloadProfile::Standard);
    let start = bench.now;
    let leak = move |backends: &mut [BackendSample], tick: u64, now: Nanos| {
        all(100_000)(backends, tick, now);
        let second = now.since(start).as_millis() / 1_000;
        backends[1].memory = Some(Gauge {
            used: (64 + 2 * second.min(190)) << 20,
            bound: 512 << 20,
        });
    };
    let warned = bench.run(180, leak).warnings.clone();
    assert_eq!(warned.len(), 1);
    assert_eq!(warned[0].backend, BackendId(1));
    assert!(warned[0].told.latest < Nanos::from_secs(180));
    assert_eq!(
        bench.state.outcome().backends[1].pressure_milli,
        1_000,
        "a warning moves no share"
    );
    assert!(bench.run(200, leak).warnings.is_empty(), "it stopped to grow");
    let names: Vec<&str> = bench.said.iter().map(|(_, reason)| reason.name()).collect();
    assert_eq!(names, ["BackendFailureForetold", "BackendFailureAverted"]);
}

fn isolate(bench: &mut Bench, backend: u64) {
    bench.verdicts = vec![Verdict {
        backend: BackendId(backend),
        kind: VerdictKind::Isolate,
        given: bench.now,
        expires: bench.now + Nanos::from_secs(600),
    }];
}

/// Backend 2 gives `every`th tick an answer after so long; the others answer well.
fn third(micros: u64, every: u64) -> impl FnMut(&mut [BackendSample], u64, Nanos) {
    move |backends, tick, _| {
        for (at, sample) in (0..).zip(backends.iter_mut()) {
            if at != 2 {
                Bench::answer(sample, 20_000);
            } else if tick % every == 0 {
                Bench::answer(sample, micros);
            }
        }
    }
}

#[test]
fn a_node_that_gets_good_answers_now_does_not_follow_a_verdict_heard() {
    let mut bench = Bench::new(5, WorkloadProfile::Standard);
    bench.run(60, all(20_000));
    isolate(&mut bench, 2);
    bench.run(30, all(20_000));
    assert!(bench.isolations().is_empty(), "{:?}", bench.isolations());
    let doubts = bench
        .said
        .iter()
        .filter(|(_, reason)| matches!(reason, Reason::HearsayDoubted { .. }));
    assert_eq!(doubts.count(), 1, "said once");
    // The verdict stays open: when the answers cease, it is followed.
    let ceased = bench.now;
    bench.run(5, third(20_000, 1_000_000));
    let found = bench.isolations();
    assert_eq!(found.len(), 1, "{found:?}");
    assert!(matches!(found[0].2, Evidence::Shared { .. }));
    assert!(found[0].0.since(ceased) <= Nanos::from_secs(2));
}

#[test]
fn a_node_that_sees_little_or_lateness_follows_a_verdict_heard() {
    // A few answers every five seconds, and answers that are late though not late enough by themselves.
    for (micros, every) in [(20_000, 25), (110_000, 1)] {
        let mut bench = Bench::new(5, WorkloadProfile::Standard);
        bench.run(60, third(micros, every));
        assert!(bench.isolations().is_empty());
        isolate(&mut bench, 2);
        bench.run(1, third(micros, every));
        let found = bench.isolations();
        assert_eq!(found.len(), 1, "{micros} µs every {every}: {found:?}");
        assert!(matches!(found[0].2, Evidence::Shared { .. }));
    }
}

#[test]
fn one_failure_of_its_own_is_enough_to_follow_the_others() {
    let mut bench = Bench::new(5, WorkloadProfile::Standard);
    bench.run(60, all(20_000));
    isolate(&mut bench, 2);
    bench.run(1, |backends, tick, now| {
        all(20_000)(backends, tick, now);
        backends[2].reset_before_data = 1;
    });
    assert_eq!(bench.isolations().len(), 1, "{:?}", bench.isolations());
}

#[test]
fn what_is_missing_changes_nothing() {
    // The same traffic, once with every optional input at its neutral value and once without them.
    let mut plain = Bench::new(5, WorkloadProfile::Standard);
    let mut neutral = Bench::new(5, WorkloadProfile::Standard);
    for sample in &mut neutral.backends {
        sample.locality = Locality::Zone;
    }
    let faulty = |backends: &mut [BackendSample], tick: u64, now: Nanos| {
        all(100_000)(backends, tick, now);
        if (500..700).contains(&tick) {
            backends[3].turnaround.fill(0);
            (backends[3].answered, backends[3].refused) = (0, 8);
        }
    };
    for _ in 0..200 {
        let expected = plain.run(1, faulty).clone();
        let found = neutral.run(1, |backends, tick, now| {
            faulty(backends, tick, now);
            for sample in backends.iter_mut() {
                sample.host = Some(HostSample::default());
                sample.path = Some(PathSample {
                    segments: 1_000,
                    retransmitted: 5,
                });
                sample.memory = Some(Gauge {
                    used: 100,
                    bound: 1_000,
                });
                sample.stall_permille = Some(50);
            }
        });
        assert_eq!(*found, expected);
    }
    assert!(!plain.isolations().is_empty(), "the fault was seen");
}

#[test]
fn nothing_waits_longer_than_the_scale_can_say() {
    assert_eq!(age_bucket(Nanos::ZERO, Nanos::from_secs(1_800)), AGE_BUCKETS - 1);
}

#[test]
fn the_overlay_is_never_worse_than_the_field_and_off_means_off() {
    // Two of five backends take twice as long: turnaround grows with the share that a backend gets.
    let shares = |on: bool| {
        let mut bench = Bench::new(5, WorkloadProfile::Standard);
        bench.config.regret_overlay = on;
        let mut slots = [13_u64; 5];
        for _ in 0..120 {
            let now = slots;
            let outcome = bench.run(1, move |backends, _, _| {
                for ((at, sample), slots) in (0..).zip(backends.iter_mut()).zip(now) {
                    let base = if at < 2 { 120_000 } else { 90_000 };
                    Bench::answer(sample, base * (13 + slots) / 26);
                }
            });
            for (slots, view) in slots.iter_mut().zip(&outcome.backends) {
                *slots = u64::from(view.slots);
            }
        }
        assert!(bench.isolations().is_empty());
        (slots, bench.state.outcome().game)
    };
    let (field, before) = shares(false);
    let (overlay, after) = shares(true);
    assert!(
        overlay[0] < field[0] && overlay[4] > field[4],
        "{field:?} → {overlay:?}"
    );
    assert!(after.gap_milli <= before.gap_milli + 20, "{before:?} → {after:?}");
    assert!(
        overlay.iter().all(|slots| (9..=16).contains(slots)),
        "a fifth at most: {overlay:?}"
    );
}
