//! What the wind tunnel costs: events of the plant, picks of the kernel's choice, ticks of a replayed trace.

#![allow(missing_docs, clippy::unwrap_used, reason = "a bench")]

use std::hint::black_box;

use continuity_harness::choice::Chooser;
use continuity_harness::peer::named;
use continuity_harness::plant::Reports;
use continuity_harness::scenario::shipped;
use continuity_harness::trace::{record, replay};
use criterion::{Criterion, Throughput, criterion_group, criterion_main};

fn plant(criterion: &mut Criterion) {
    let mut scenario = shipped("S7").unwrap();
    scenario.duration_millis = 30_000;
    let mut group = criterion.benchmark_group("plant events");
    group.sample_size(10);
    for row in ["random", "p2c", "law+reports"] {
        let peer = named(&[row.to_owned()]).unwrap()[0];
        group.throughput(Throughput::Elements(peer.run(&scenario, 11).events));
        group.bench_function(row, |bench| bench.iter(|| peer.run(black_box(&scenario), 11)));
    }
}

fn choice(criterion: &mut Criterion) {
    let mut chooser = Chooser::new(10, 1);
    for backend in 0..10 {
        chooser.start(backend);
        chooser.answer(backend, 20_000 + u32::try_from(backend).unwrap() * 500, 0, 7);
    }
    let mut group = criterion.benchmark_group("replayed decisions");
    group.throughput(Throughput::Elements(1));
    group.bench_function("pick", |bench| {
        let mut now = 8;
        bench.iter(|| {
            now += 1;
            chooser.pick(black_box(now))
        });
    });
    let (header, ticks) = record(&shipped("S1").unwrap(), 11, Reports::Live, 0);
    group.throughput(Throughput::Elements(ticks.len() as u64));
    group.bench_function("tick", |bench| {
        bench.iter(|| replay(&header, black_box(&ticks)).unwrap());
    });
}

criterion_group!(benches, plant, choice);
criterion_main!(benches);
