//! Every decision is explained by exactly one epoch, under continuous flips on every CPU.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
};

use aya::{
    Ebpf, EbpfLoader, TestRun as _, TestRunOptions, include_bytes_aligned, maps::Array, programs::CgroupSkb,
};
use continuity_dataplane::{
    BackendIndex, Capacities, ChoiceWords, Dataplane as _, Drip, Field, SetIndex,
    wire::{SLOTS, map},
};

use crate::ground::{Ground, id, serve, set, vip};

static WRAPPER: &[u8] = include_bytes_aligned!(concat!(env!("OUT_DIR"), "/choice_run.bpf.o"));

const NAME: &str = "torn";
const DECISIONS: u64 = 10_000_000;
const REPEAT: u32 = 500_000;

/// A field whose every word follows from its epoch.
fn field(epoch: u64, wm: u64) -> Field {
    let backend = BackendIndex(u32::try_from(epoch & 1).unwrap());
    let word = i32::try_from(epoch).unwrap();
    let choice = ChoiceWords {
        wm: i32::try_from(wm).unwrap(),
        lm: word,
        ownm: word,
        mem_on: false,
        reports: false,
        width: 0,
    };
    Field {
        slots: [Some(backend); SLOTS],
        choice,
        backends: Vec::new(),
        drip: Drip::Off,
    }
}

fn wrapper(ground: &Ground) -> Ebpf {
    let mut loader = EbpfLoader::new();
    for name in map::ALL {
        loader.map_pin_path(name, ground.map(name));
    }
    let shard_mask = Capacities::of_this_node().shards - 1;
    loader.override_global("shard_mask", &shard_mask, true);
    let mut object = loader.load(WRAPPER).expect("load the wrapper");
    let program: &mut CgroupSkb = object.program_mut("ct_decide").unwrap().try_into().unwrap();
    program.load().expect("the verifier accepts the wrapper");
    object
}

fn decide(object: &Ebpf, repeat: u32) {
    let program: &CgroupSkb = object.program("ct_decide").unwrap().try_into().unwrap();
    let packet = [0u8; 64];
    let options = TestRunOptions {
        data_in: Some(&packet),
        repeat,
        ..TestRunOptions::default()
    };
    let result = program.test_run(options).expect("run");
    assert_eq!(result.return_value, 1);
}

fn tally(object: &Ebpf) -> (u64, u64) {
    let run: Array<_, [u64; 2]> = object.map("run").unwrap().try_into().unwrap();
    let [decisions, torn] = run.get(&0, 0).unwrap();
    (decisions, torn)
}

#[test]
fn no_decision_is_torn_in_ten_million_under_continuous_flips() {
    let ground = Ground::new();
    let mut plane = ground.open();
    serve(
        &mut plane,
        vec![set(
            NAME,
            &[vip(80)],
            &["127.0.1.1:1".parse().unwrap(), "127.0.1.2:1".parse().unwrap()],
        )],
    );
    let view = plane.set(&id(NAME)).unwrap();
    assert_eq!(
        (view.index, view.backends[0].index, view.backends[1].index),
        (SetIndex(0), BackendIndex(0), BackendIndex(1))
    );
    plane.publish(&id(NAME), &field(2, 2)).unwrap();
    let object = Arc::new(wrapper(&ground));
    let done = Arc::new(AtomicBool::new(false));
    let cpus = thread::available_parallelism().map_or(2, |cpus| cpus.get().max(2));
    let workers: Vec<_> = (0..cpus)
        .map(|_| {
            let (object, done) = (Arc::clone(&object), Arc::clone(&done));
            thread::spawn(move || {
                while !done.load(Ordering::Relaxed) {
                    decide(&object, REPEAT);
                }
            })
        })
        .collect();
    let mut epoch = 2;
    while tally(&object).0 < DECISIONS {
        plane.heartbeat();
        epoch += 1;
        assert_eq!(plane.publish(&id(NAME), &field(epoch, epoch)).unwrap().0, epoch);
    }
    done.store(true, Ordering::Relaxed);
    workers
        .into_iter()
        .for_each(|worker| worker.join().expect("a worker"));
    let (decisions, torn) = tally(&object);
    println!("{decisions} decisions, {epoch} flips, {torn} torn");
    assert_eq!(torn, 0);
    assert_eq!(plane.read(&id(NAME)).unwrap().decisions.passed_torn, 0);

    // The same check finds a field whose words are not of one epoch.
    plane.publish(&id(NAME), &field(epoch + 1, epoch)).unwrap();
    decide(&object, 1_000);
    assert_eq!(tally(&object).1, 1_000);
}
