//! Who is let in, on real sockets: exact under concurrency, counted by reason, relaxing when the agent falls silent.

use std::{
    io::ErrorKind,
    net::{SocketAddr, TcpStream},
    sync::{Arc, Barrier, Mutex},
    thread,
    time::{Duration, Instant},
};

use bytemuck::Zeroable as _;
use continuity_dataplane::{
    AdmissionCounters, Completeness, Dataplane as _, Desired, DesiredCaller, DesiredSet, FailsafeTimes,
    KernelDataplane, Limits, Parking,
    wire::{self, LEVELS},
};

use crate::{
    ground::{Ground, connect, eventually, id, serve, set, vip},
    scene::served,
    server::{Manner, Server, ask},
};

const NAME: &str = "admission";
const ONE: u32 = 256;
const OPEN: u32 = u32::MAX;
const SOFT: u64 = 1;
const HARD: u64 = 2;
const NORMAL: u32 = 2;

/// Limits whose thresholds are these many requests, in the mode, with a fuse of `fuse` requests for everybody.
fn limits(plane: &KernelDataplane, mode: u64, thresholds: [u32; LEVELS], fuse: u32) -> Limits {
    let millis = (plane.now() / 1_000_000) & u64::from(u32::MAX);
    Limits {
        words: wire::Limits {
            control: mode << 16 | millis << 21,
            thresholds: thresholds.map(|requests| requests * ONE),
            fuse: [fuse * ONE; 2],
            gates: [OPEN; LEVELS],
            ..wire::Limits::zeroed()
        },
        level: NORMAL,
        callers: false,
    }
}

fn limit(plane: &mut KernelDataplane, limits: &Limits) {
    plane.heartbeat();
    plane.limit(&id(NAME), limits).expect("limited");
}

fn seen(plane: &mut KernelDataplane) -> AdmissionCounters {
    plane.read_admission(&id(NAME)).expect("read")
}

fn refused(result: std::io::Result<TcpStream>) -> bool {
    match result {
        Ok(_) => false,
        Err(error) => {
            assert_eq!(error.kind(), ErrorKind::ConnectionRefused, "{error}");
            true
        }
    }
}

fn idle(plane: &mut KernelDataplane) {
    eventually("nothing is in flight", || seen(plane).in_flight == 0);
}

#[test]
fn as_many_are_let_in_as_there_are_slots_however_many_ask_at_once_on_every_cpu() {
    const SLOTS: u32 = 24;
    const THREADS: u32 = 8;
    const ROUNDS: u32 = 40;
    let ground = Ground::new();
    let (mut plane, server) = served(&ground, NAME, Manner::Hang);
    let (mut asked, mut admitted) = (0, 0);
    for _ in 0..ROUNDS {
        let words = limits(&plane, SOFT, [SLOTS; LEVELS], 1_000);
        limit(&mut plane, &words);
        let gate = Arc::new(Barrier::new(usize::try_from(THREADS).unwrap()));
        let open = Arc::new(Mutex::new(Vec::new()));
        let workers: Vec<_> = (0..THREADS)
            .map(|_| {
                let (gate, open) = (Arc::clone(&gate), Arc::clone(&open));
                thread::spawn(move || {
                    gate.wait();
                    // Nobody lets go, so whoever is let in stays in.
                    for _ in 0..SLOTS {
                        if let Ok(stream) = connect(vip(80)) {
                            open.lock().unwrap().push(stream);
                        }
                    }
                })
            })
            .collect();
        workers.into_iter().for_each(|worker| worker.join().unwrap());
        asked += u64::from(THREADS * SLOTS);
        let open = std::mem::take(&mut *open.lock().unwrap());
        assert_eq!(open.len(), usize::try_from(SLOTS).unwrap(), "exactly the slots");
        admitted += u64::from(SLOTS);
        let now = seen(&mut plane);
        assert_eq!(
            (now.in_flight, now.most >= u64::from(SLOTS)),
            (u64::from(SLOTS), true)
        );
        drop(open);
        server.let_go();
        idle(&mut plane);
    }
    let traffic = seen(&mut plane).traffic;
    assert_eq!((traffic.asked(), traffic.refused()), (asked, asked - admitted));
    assert_eq!(
        (
            traffic.full[2],
            traffic.thinned,
            traffic.trickled,
            traffic.unheld,
            traffic.torn
        ),
        (asked - admitted, [0; LEVELS], [0; LEVELS], 0, 0)
    );
}

#[test]
fn a_slot_is_free_again_with_the_first_byte_of_the_answer_and_requests_of_a_kept_connection_count() {
    let ground = Ground::new();
    let (mut plane, _server) = served(&ground, NAME, Manner::Answer(Duration::from_millis(300)));
    let words = limits(&plane, SOFT, [1; LEVELS], 1_000);
    limit(&mut plane, &words);
    let mut first = connect(vip(80)).expect("a slot is free");
    assert!(refused(connect(vip(80))));
    let waiting = thread::spawn(move || {
        ask(&mut first).expect("an answer");
        first
    });
    thread::sleep(Duration::from_millis(100));
    assert!(refused(connect(vip(80))), "the request waits");
    let mut first = waiting.join().unwrap();
    assert_eq!(seen(&mut plane).in_flight, 0);
    limit(&mut plane, &words);
    let again = thread::spawn(move || ask(&mut first));
    thread::sleep(Duration::from_millis(100));
    assert_eq!(
        seen(&mut plane).in_flight,
        1,
        "the second request of the same connection"
    );
    assert!(refused(connect(vip(80))));
    again.join().unwrap().expect("an answer");
    drop(connect(vip(80)).expect("free again"));
    idle(&mut plane);
}

#[test]
fn every_end_of_a_connection_gives_its_slot_back() {
    for manner in [
        Manner::Slam,
        Manner::Leave,
        Manner::Reset,
        Manner::Close,
        Manner::Hang,
    ] {
        let ground = Ground::new();
        let (mut plane, server) = served(&ground, NAME, manner);
        for _ in 0..20 {
            let words = limits(&plane, SOFT, [100; LEVELS], 1_000);
            limit(&mut plane, &words);
            if let Ok(mut stream) = connect(vip(80)) {
                use std::io::Write as _;
                let _ = stream.write_all(b"ping");
                thread::sleep(Duration::from_millis(2));
            }
        }
        server.let_go();
        idle(&mut plane);
        assert_eq!(seen(&mut plane).traffic.asked(), 20, "{manner:?}");
    }
    // Nobody listens: refused by the backend itself, with the same error, but not by us.
    let ground = Ground::new();
    let mut plane = ground.open();
    let gone: SocketAddr = "127.0.1.9:9".parse().unwrap();
    serve(&mut plane, vec![set(NAME, &[vip(80)], &[gone])]);
    let words = limits(&plane, SOFT, [1; LEVELS], 1_000);
    limit(&mut plane, &words);
    for _ in 0..20 {
        assert!(refused(connect(vip(80))));
    }
    idle(&mut plane);
    let traffic = seen(&mut plane).traffic;
    assert_eq!((traffic.asked(), traffic.refused()), (20, 0));
}

#[test]
fn a_higher_class_has_slots_where_a_lower_one_has_none() {
    let ground = Ground::new();
    let (mut plane, _server) = served(&ground, NAME, Manner::Hang);
    let words = |plane: &KernelDataplane, level| Limits {
        level,
        ..limits(plane, SOFT, [6, 5, 3, 2, 1, 0], 1_000)
    };
    let mut open = Vec::new();
    let mut reached = Vec::new();
    for level in [4, 3, 2, 1, 0] {
        let words = words(&plane, level);
        limit(&mut plane, &words);
        while let Ok(stream) = connect(vip(80)) {
            open.push(stream);
        }
        reached.push(open.len());
    }
    assert_eq!(reached, [1, 2, 3, 5, 6], "bulk first, critical last");
    let traffic = seen(&mut plane).traffic;
    assert_eq!(traffic.offered[..5], [2, 3, 2, 2, 2]);
    assert_eq!(traffic.full[..5], [1, 1, 1, 1, 1]);
}

#[test]
fn the_gate_lets_its_part_in_and_the_trickle_keeps_the_rest_alive() {
    let ground = Ground::new();
    let (mut plane, _server) = served(&ground, NAME, Manner::Leave);
    let mut words = limits(&plane, SOFT, [1_000; LEVELS], 2_000);
    words.words.gates = [1 << 30; LEVELS];
    limit(&mut plane, &words);
    let let_in = (0..400).filter(|_| !refused(connect(vip(80)))).count();
    assert_eq!(let_in, 100, "one in four");
    assert_eq!(seen(&mut plane).traffic.thinned[2], 300);

    words.words.gates = [0; LEVELS];
    words.words.thresholds = [0; LEVELS];
    words.words.trickles = [100_000_000; LEVELS];
    limit(&mut plane, &words);
    let began = Instant::now();
    let mut alive = 0_u64;
    while began.elapsed() < Duration::from_millis(1_000) {
        alive += u64::from(!refused(connect(vip(80))));
        thread::sleep(Duration::from_millis(2));
    }
    assert!(
        (9..=12).contains(&alive),
        "{alive} in a second of one every 100 ms"
    );
    assert_eq!(seen(&mut plane).traffic.trickled[2], alive);
}

#[test]
fn silence_relaxes_limits_to_the_fuse_below_which_nobody_is_refused() {
    let ground = Ground::new();
    let (mut plane, server) = served(&ground, NAME, Manner::Hang);
    // Longer than the test, so that admission alone is seen.
    let patient = DesiredSet {
        failsafe: FailsafeTimes {
            hold_after: Duration::from_secs(60),
            fallback_after: Duration::from_secs(120),
        },
        ..set(NAME, &[vip(80)], &[server.address])
    };
    serve(&mut plane, vec![patient]);
    // A lease that has run for some time already: as if the agent had written it then.
    let silent = |plane: &KernelDataplane, millis: u64, mode| {
        let mut words = limits(plane, mode, [3, 3, 2, 1, 0, 0], 12);
        let stamp = (plane.now() / 1_000_000).wrapping_sub(millis) & u64::from(u32::MAX);
        words.words.control = mode << 16 | 1 << 18 | stamp << 21;
        words
    };
    let room = |plane: &mut KernelDataplane, millis, mode, level| {
        let words = Limits {
            level,
            ..silent(plane, millis, mode)
        };
        limit(plane, &words);
        let mut open = Vec::new();
        while open.len() < 40 {
            match connect(vip(80)) {
                Ok(stream) => open.push(stream),
                Err(_) => break,
            }
        }
        let found = open.len();
        drop(open);
        server.let_go();
        idle(plane);
        found
    };
    assert_eq!(room(&mut plane, 0, SOFT, NORMAL), 2, "fresh");
    assert_eq!(room(&mut plane, 2_500, SOFT, NORMAL), 2, "within the lease");
    assert_eq!(room(&mut plane, 3_500, SOFT, NORMAL), 4, "doubled once");
    assert_eq!(room(&mut plane, 6_500, SOFT, NORMAL), 8, "twice");
    assert_eq!(room(&mut plane, 9_500, SOFT, NORMAL), 12, "the fuse");
    assert_eq!(room(&mut plane, 15_500, SOFT, 4), 12, "also for who had nothing");
    assert_eq!(room(&mut plane, 0, HARD, 4), 0, "hard, fresh");
    assert_eq!(
        room(&mut plane, 3_500, HARD, 4),
        6,
        "hard is a lease: the top class's limit, doubled"
    );
    assert_eq!(
        room(&mut plane, 601_000, HARD, 4),
        40,
        "nobody owns the limits any more"
    );
    assert!(seen(&mut plane).traffic.orphaned >= 40);
}

#[test]
fn in_fallback_the_fuse_stays_over_what_passes_through() {
    let ground = Ground::new();
    let mut plane = ground.open();
    // The set's address is a real one, so that what passes through is served.
    let server = Server::start(1, Manner::Answer(Duration::from_millis(200)));
    let quick = DesiredSet {
        failsafe: FailsafeTimes {
            hold_after: Duration::from_millis(200),
            fallback_after: Duration::from_millis(400),
        },
        ..set(NAME, &[server.address], &["127.0.1.7:7".parse().unwrap()])
    };
    serve(&mut plane, vec![quick]);
    let mut words = limits(&plane, SOFT, [1; LEVELS], 3);
    words.words.control = SOFT << 16 | (plane.now() / 1_000_000 - 20_000) << 21;
    limit(&mut plane, &words);
    thread::sleep(Duration::from_millis(600));
    let mut open = Vec::new();
    while let Ok(stream) = connect(server.address) {
        open.push(stream);
        assert!(open.len() < 10, "the fuse holds");
    }
    assert_eq!(open.len(), 3);
    let decisions = plane.read(&id(NAME)).unwrap().decisions;
    assert_eq!((decisions.passed_fallback, decisions.steered), (3, 0));
    ask(&mut open[0]).expect("an answer from whoever serves the address");
    eventually("the answer gave the slot back", || {
        seen(&mut plane).in_flight == 2
    });
    drop(open);
    idle(&mut plane);
}

#[test]
fn a_set_without_limits_asks_for_nothing_and_one_that_lost_them_gives_back() {
    let ground = Ground::new();
    let (mut plane, _server) = served(&ground, NAME, Manner::Hang);
    drop(connect(vip(80)).expect("not asked"));
    assert_eq!(seen(&mut plane).traffic.asked(), 0);
    let words = limits(&plane, SOFT, [1; LEVELS], 1_000);
    limit(&mut plane, &words);
    let held = connect(vip(80)).expect("a slot");
    assert!(refused(connect(vip(80))));
    // A reconcile keeps what admission said.
    let view = plane.set(&id(NAME)).unwrap().backends[0].address;
    plane
        .reconcile(
            &Desired {
                sets: vec![set(NAME, &[vip(80)], &[view])],
            },
            Completeness::Complete,
        )
        .unwrap();
    assert!(refused(connect(vip(80))));
    plane.unlimit(&id(NAME)).unwrap();
    drop(connect(vip(80)).expect("not asked any more"));
    drop(held);
    idle(&mut plane);
    assert_eq!(seen(&mut plane).traffic.asked(), 3);
}

#[test]
fn a_calling_pod_has_its_class_and_above_its_share_it_waits_for_room() {
    let ground = Ground::new();
    let (mut plane, _server) = served(&ground, NAME, Manner::Leave);
    let words = Limits {
        callers: true,
        ..limits(&plane, SOFT, [100, 100, 0, 0, 0, 0], 1_000)
    };
    limit(&mut plane, &words);
    assert!(
        refused(connect(vip(80))),
        "an unknown caller has the default class"
    );
    let caller = |cgroup| DesiredCaller {
        set: id(NAME),
        pod: 7,
        level: 0,
        cgroups: vec![cgroup],
    };
    assert_eq!(plane.know_callers(&[caller(ground.cgroup_id())]).unwrap(), 0);
    for _ in 0..10 {
        assert!(!refused(connect(vip(80))), "critical");
    }
    let own = |plane: &KernelDataplane| plane.read_callers(&id(NAME)).unwrap()[0];
    assert_eq!(
        (own(&plane).pod, own(&plane).offered, own(&plane).retries),
        (7, 10, 0)
    );

    // Two a second, four ahead: excess has no slot here.
    plane.share(&id(NAME), 7, 500_000_000, 0).unwrap();
    let let_in = (0..20).filter(|_| !refused(connect(vip(80)))).count();
    assert!((4..=6).contains(&let_in), "{let_in}");
    let traffic = seen(&mut plane).traffic;
    assert_eq!(traffic.full[5], 20 - u64::try_from(let_in).unwrap());
    assert!(own(&plane).retries > 0, "who asks again after a refusal retries");

    assert_eq!(plane.know_callers(&[]).unwrap(), 0);
    assert!(refused(connect(vip(80))), "unknown again");
    assert!(plane.read_callers(&id(NAME)).unwrap().is_empty());
}

#[test]
fn a_count_that_no_socket_holds_is_mended_and_what_is_overdue_is_told() {
    let ground = Ground::new();
    let (mut plane, _server) = served(&ground, NAME, Manner::Hang);
    let words = limits(&plane, SOFT, [50; LEVELS], 1_000);
    limit(&mut plane, &words);
    let open: Vec<_> = (0..5).map(|_| connect(vip(80)).expect("a slot")).collect();
    let audit = |plane: &mut KernelDataplane| {
        let before = plane.now();
        plane.audit(&[Parking { id: id(NAME), before }]).unwrap()[0]
    };
    let found = audit(&mut plane);
    assert_eq!((found.held, found.overdue, found.mended), (5, 5, 0));
    let young = plane
        .audit(&[Parking {
            id: id(NAME),
            before: 1,
        }])
        .unwrap()[0];
    assert_eq!((young.held, young.overdue), (5, 0));
    ground.leak(&plane, &id(NAME), 9);
    assert_eq!(seen(&mut plane).in_flight, 14);
    let mended: Vec<i32> = (0..4).map(|_| audit(&mut plane).mended).collect();
    assert_eq!(mended, [0, 0, -9, 0]);
    assert_eq!(seen(&mut plane).in_flight, 5);
    drop(open);
    idle(&mut plane);
}

/// Time of one refused connect of a socket that stays as it was, the best of several rounds of each kind, interleaved.
fn refusals(ports: [u16; 2], mut prepare: impl FnMut()) -> [Duration; 2] {
    const TIMES: u32 = 20_000;
    let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
    let mut fastest = [Duration::MAX; 2];
    for _ in 0..6 {
        for (fastest, port) in fastest.iter_mut().zip(ports) {
            prepare();
            let address = socket2::SockAddr::from(vip(port));
            let began = Instant::now();
            for _ in 0..TIMES {
                assert!(socket.connect(&address).is_err());
            }
            *fastest = (*fastest).min(began.elapsed() / TIMES);
        }
    }
    fastest
}

#[test]
fn a_refusal_costs_little_more_than_that_of_a_set_without_backends() {
    let ground = Ground::new();
    let mut plane = ground.open();
    let server = Server::start(1, Manner::Leave);
    serve(
        &mut plane,
        vec![
            set(NAME, &[vip(80)], &[server.address]),
            set("empty", &[vip(81)], &[]),
        ],
    );
    let words = limits(&plane, SOFT, [0; LEVELS], 1_000);
    let [ours, bare] = refusals([80, 81], || limit(&mut plane, &words));
    println!("a refusal by admission takes {ours:?} a syscall, one of a set without backends {bare:?}");
    let traffic = seen(&mut plane).traffic;
    assert_eq!((traffic.refused(), traffic.asked()), (120_000, 120_000));
    // The goal is 0.6 µs on an idle machine; on any machine it is the syscall that costs, not the decision.
    assert!(ours < bare * 2, "{ours:?} beside {bare:?}");
}
