//! What a step costs, beside the floor: one empty pass over the memory that it has to read.
//!
//! `floor` sums every word of the samples, which nobody who reads them can do without. `idle` is a step over backends
//! without traffic, `busy` one over backends with 20 answers each in twelve buckets and three that wait. A look (about
//! every second step at 100 ms) is part of the mean, as in the agent.
//!
//! `pressure` is the formula alone, over backends that lie beside each other; its floor adds up what it has to read.

use std::hint::black_box;

use continuity_field::histogram::{AGE_BUCKETS, bucket};
use continuity_field::pressure::{Signs, Terms};
use continuity_field::{
    Advice, BackendId, BackendSample, Nanos, Regression, Samples, SetConfig, SetState, step,
};
use criterion::{Criterion, Throughput, criterion_group, criterion_main};

const TICK: Nanos = Nanos::from_millis(100);

fn backends(count: u64, busy: bool) -> Vec<BackendSample> {
    let backend = |id: u64| {
        let mut sample = BackendSample::new(BackendId(id));
        if busy {
            sample.attempts = 20;
            sample.established = 20;
            sample.answered = 20;
            sample.in_flight = 3;
            sample.level = Some(3_700);
            for n in 0..20 {
                let micros = 4_000 + 2_500 * n + 37 * (id % 16);
                if let Some(count) = sample.turnaround.get_mut(bucket(micros)) {
                    *count += 1;
                }
            }
            if let Some(count) = sample.unanswered.first_mut() {
                *count = 3;
            }
        }
        sample
    };
    (0..count).map(backend).collect()
}

/// As many sets, each with its state.
struct Node {
    sets: Vec<(SetState, Vec<BackendSample>)>,
    now: Nanos,
}

impl Node {
    fn new(sets: u64, each: u64, busy: bool) -> Self {
        let mut node = Self {
            sets: (0..sets)
                .map(|_| (SetState::default(), backends(each, busy)))
                .collect(),
            now: Nanos::from_secs(1_000),
        };
        (0..200).for_each(|_| node.tick());
        node
    }

    fn tick(&mut self) {
        self.now = self.now + TICK;
        for (state, backends) in &mut self.sets {
            let samples = Samples {
                interval: TICK,
                backends,
                advice: Advice::default(),
                regression: Regression::default(),
            };
            black_box(step(state, &samples, &SetConfig::default(), self.now));
        }
    }

    fn floor(&self) -> u64 {
        let read = |sample: &BackendSample| -> u64 {
            let answers: u32 = sample
                .turnaround
                .iter()
                .fold(0, |sum, count| sum.wrapping_add(*count));
            let ages: u32 = sample
                .unanswered
                .iter()
                .take(AGE_BUCKETS)
                .fold(0, |sum, count| sum.wrapping_add(*count));
            u64::from(answers) + u64::from(ages) + sample.answered + sample.attempts
        };
        self.sets
            .iter()
            .flat_map(|(_, backends)| backends)
            .map(read)
            .sum()
    }
}

/// Signs of backends that are not alike, as many as fit the first cache.
fn signs() -> Vec<Signs> {
    let backend = |id: u32| {
        let part = f64::from(id % 17) / 17.0;
        Signs {
            apart: 3.0 * part - 0.5,
            known: 1.0 - part / 2.0,
            failed: part / 9.0,
            crowd: 4.0 * part - 2.0,
            rise: part - 0.4,
            scar: part / 4.0,
            told: [0.0, part / 3.0, part / 5.0],
        }
    };
    (0..256).map(backend).collect()
}

fn pressure(criterion: &mut Criterion) {
    let signs = signs();
    let mut pressures = vec![0.0; signs.len()];
    let mut group = criterion.benchmark_group("pressure");
    group.throughput(Throughput::Elements(signs.len() as u64));
    group.bench_function("floor", |bencher| {
        bencher.iter(|| {
            for (pressure, one) in pressures.iter_mut().zip(black_box(&signs)) {
                let [path, node, reported] = one.told;
                let own = one.apart + one.known + one.failed + one.crowd + one.rise + one.scar;
                *pressure = own + path + node + reported;
            }
            black_box(&pressures);
        });
    });
    group.bench_function("formula", |bencher| {
        bencher.iter(|| {
            for (pressure, one) in pressures.iter_mut().zip(black_box(&signs)) {
                *pressure = Terms::of(one).total();
            }
            black_box(&pressures);
        });
    });
    group.finish();
}

fn steps(criterion: &mut Criterion) {
    for (sets, each) in [(100, 10), (1, 100), (1, 4), (10_000, 10), (100, 1_000)] {
        let mut group = criterion.benchmark_group(format!("{sets} sets of {each} backends"));
        group.throughput(Throughput::Elements(sets * each));
        if sets * each > 10_000 {
            group.sample_size(20);
        }
        // Made when first wanted: a run of one line does not pay for the others.
        let (mut busy, mut idle) = (None, None);

        group.bench_function("floor", |bencher| {
            let node = busy.get_or_insert_with(|| Node::new(sets, each, true));
            bencher.iter(|| node.floor());
        });
        group.bench_function("busy", |bencher| {
            let node = busy.get_or_insert_with(|| Node::new(sets, each, true));
            bencher.iter(|| node.tick());
        });
        drop(busy);
        group.bench_function("idle", |bencher| {
            let node = idle.get_or_insert_with(|| Node::new(sets, each, false));
            bencher.iter(|| node.tick());
        });
        group.finish();
    }
}

criterion_group!(benches, pressure, steps);
criterion_main!(benches);
