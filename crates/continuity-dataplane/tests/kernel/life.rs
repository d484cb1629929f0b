//! Restart, upgrade, mismatch, uninstall.

use std::{
    fs,
    io::{Read as _, Write as _},
    mem::offset_of,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread,
    time::Duration,
};

use aya::{
    Ebpf, EbpfLoader,
    maps::{Array, Map, MapData},
    programs::{CgroupAttachMode, CgroupSockAddr, ProgramInfo, loaded_programs},
};
use continuity_dataplane::{
    CapabilityId, Category, Dataplane as _, Error, HOOKS, KernelDataplane, OBJECT, probe, uninstall,
    wire::{Bank, SCHEMA_VERSION, Table, map},
};

use crate::{
    ground::{Ground, connect, counters, equal, eventually, id, pins, vip},
    scene::served,
    server::{Manner, ask},
};

const NAME: &str = "life";
const ANSWER: Manner = Manner::Answer(Duration::ZERO);

/// Why no agent can start here.
fn refused(ground: &Ground) -> Error {
    let opened = KernelDataplane::open_or_load(&ground.options);
    opened.err().expect("refused")
}

#[test]
fn a_restarted_agent_finds_its_sets_counters_and_open_connections() {
    let ground = Ground::new();
    let (mut plane, server) = served(&ground, NAME, ANSWER);
    plane.keep_learned(&id(NAME), b"what the law knows").unwrap();
    let mut client = connect(vip(80)).expect("connect");
    ask(&mut client).expect("an answer");
    let before = plane.set(&id(NAME)).unwrap().clone();
    drop(plane);

    connect(vip(80)).expect("steered with no agent alive");
    let mut plane = ground.open();
    assert_eq!(plane.set(&id(NAME)), Some(&before));
    assert_eq!(
        plane.learned(&id(NAME)).as_deref(),
        Some(&b"what the law knows"[..])
    );
    ask(&mut client).expect("an answer on the old connection");
    assert_eq!(client.peer_addr().unwrap(), vip(80));
    let seen = counters(&mut plane, &id(NAME), server.address).client;
    assert_eq!((seen.attempts, seen.established, seen.answered), (2, 2, 2));
    plane.verify().expect("every hook is live");
}

#[test]
fn upgrades_under_load_fail_no_connect_and_lose_no_event() {
    let ground = Ground::new();
    let (mut plane, server) = served(&ground, NAME, ANSWER);
    let (stop, made) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
    let clients: Vec<_> = (0..2)
        .map(|_| {
            let (stop, made) = (Arc::clone(&stop), Arc::clone(&made));
            thread::spawn(move || {
                while !stop.load(Ordering::Relaxed) {
                    let mut client = connect(vip(80)).expect("connect during an upgrade");
                    ask(&mut client).expect("an answer during an upgrade");
                    made.fetch_add(1, Ordering::Relaxed);
                }
            })
        })
        .collect();
    let program = |plane: &KernelDataplane| {
        plane.verify().expect("every hook is live");
        ProgramInfo::from_pin(ground.program("connect4"))
            .expect("the pinned program")
            .id()
    };
    let mut seen = vec![program(&plane)];
    for _ in 0..5 {
        drop(plane);
        plane = ground.open();
        seen.push(program(&plane));
        thread::sleep(Duration::from_millis(50));
    }
    stop.store(true, Ordering::Relaxed);
    clients
        .into_iter()
        .for_each(|client| client.join().expect("no client failed"));
    seen.dedup();
    assert_eq!(seen.len(), 6, "each agent brought its own program");
    let made = made.load(Ordering::Relaxed);
    assert!(made > 100, "{made} connects");
    eventually("all are closed", || {
        counters(&mut plane, &id(NAME), server.address).client.open() == 0
    });
    let traffic = counters(&mut plane, &id(NAME), server.address).client;
    assert_eq!(
        (traffic.attempts, traffic.established, traffic.answered),
        (made, made, made)
    );
    assert_eq!(
        (
            traffic.closed,
            traffic.in_flight(),
            traffic.waiting.iter().sum::<i32>()
        ),
        (made, 0, 0)
    );
}

#[test]
fn pins_of_another_schema_are_refused_with_a_sentence_and_left_alone() {
    let ground = Ground::new();
    let (plane, _server) = served(&ground, NAME, ANSWER);
    drop(plane);
    let foreign = SCHEMA_VERSION + 6;
    restamp(&ground, foreign);
    let error = refused(&ground);
    assert!(
        matches!(error, Error::Schema { found, .. } if found == foreign),
        "{error}"
    );
    assert_eq!(error.category(), Category::Version);
    let sentence = format!("schema {foreign}, this agent speaks {SCHEMA_VERSION}");
    assert!(error.to_string().contains(&sentence), "{error}");
    let report = probe(&ground.options);
    assert!(
        report
            .blocking()
            .any(|capability| capability.id == CapabilityId::Schema)
    );
    connect(vip(80)).expect("what is pinned goes on");
    restamp(&ground, SCHEMA_VERSION);
    ground.open();
}

fn restamp(ground: &Ground, schema: u32) {
    let data = MapData::from_pin(ground.map(map::CONTROL)).expect("the pinned control map");
    let mut control: Array<MapData, [u8; 64]> = Map::Array(data).try_into().expect("an array");
    let mut record = control.get(&0, 0).expect("the control record");
    record[..4].copy_from_slice(&schema.to_ne_bytes());
    control.set(0, record, 0).expect("write the control record");
}

#[test]
fn a_pinned_map_of_another_shape_is_refused() {
    let ground = Ground::new();
    drop(ground.open());
    // Somebody else's array under the name of ours.
    let mut loader = EbpfLoader::new();
    let object = loader.map_max_entries(map::NODE, 1).load(OBJECT).expect("load");
    fs::remove_file(ground.map(map::SETS)).unwrap();
    object
        .map(map::NODE)
        .expect("a map")
        .pin(ground.map(map::SETS))
        .expect("pin");
    fs::remove_file(ground.map(map::BACKENDS)).unwrap();
    object
        .map(map::NODE)
        .expect("a map")
        .pin(ground.map(map::BACKENDS))
        .expect("pin");
    let error = refused(&ground);
    assert!(matches!(error, Error::Layout { .. }), "{error}");
}

#[test]
fn uninstall_leaves_nothing_and_open_connections_live_on() {
    let ground = Ground::new();
    let (plane, _server) = served(&ground, NAME, ANSWER);
    let mut client = connect(vip(80)).expect("connect");
    let programs: Vec<u32> = HOOKS
        .iter()
        .map(|hook| {
            ProgramInfo::from_pin(ground.program(hook.name))
                .expect("a pinned program")
                .id()
        })
        .collect();
    drop(plane);
    let removed = uninstall(&ground.options).expect("uninstall");
    assert_eq!(
        (removed.links, removed.programs, removed.maps),
        (HOOKS.len(), HOOKS.len(), map::ALL.len())
    );
    assert!(!ground.options.pins.exists());
    ask(&mut client).expect("an answer on the old connection");
    connect(vip(80)).expect_err("the VIP is no longer ours");
    eventually("the kernel has freed the programs", || {
        loaded_programs()
            .flatten()
            .all(|program| !programs.contains(&program.id()))
    });
    assert_eq!(
        uninstall(&ground.options).expect("nothing to do"),
        Default::default()
    );
    ground.open().verify().expect("a fresh installation");
}

#[test]
fn a_hook_that_was_taken_away_is_noticed_and_put_back() {
    let ground = Ground::new();
    let (plane, _server) = served(&ground, NAME, ANSWER);
    plane.verify().expect("every hook is live");
    fs::remove_file(ground.link("connect4")).unwrap();
    let error = plane.verify().expect_err("connect4 is gone");
    assert!(
        matches!(error, Error::NotLive { hook: "connect4", .. }),
        "{error}"
    );
    drop(plane);
    let mut plane = ground.open();
    plane.verify().expect("put back");
    equal(&mut plane, &id(NAME));
    connect(vip(80)).expect("steered again");
    assert_eq!(pins(&ground.pins("links")).len(), HOOKS.len());
}

#[test]
fn a_connect_program_of_somebody_else_is_reported() {
    let ground = Ground::new();
    let met = |ground: &Ground| {
        probe(&ground.options)
            .get(CapabilityId::SoleConnectHook)
            .unwrap()
            .met
    };
    let plane = ground.open();
    assert_eq!(met(&ground), Some(true), "our own do not count");
    let mut foreign = Ebpf::load(OBJECT).expect("load");
    let program: &mut CgroupSockAddr = foreign.program_mut("ct_connect4").unwrap().try_into().unwrap();
    program.load().unwrap();
    let cgroup = fs::File::open(plane.cgroup()).unwrap();
    program.attach(cgroup, CgroupAttachMode::Single).expect("attach");
    assert_eq!(met(&ground), Some(false));
}

#[test]
fn the_probe_finds_this_machine_able() {
    let ground = Ground::new();
    let report = probe(&ground.options);
    assert_eq!(report.blocking().count(), 0, "{report:#?}");
    assert!(
        report.has(CapabilityId::SetRetval) && report.has(CapabilityId::SockRelease),
        "{report:#?}"
    );
    assert_eq!(
        report.get(CapabilityId::CgroupRoot).unwrap().met,
        Some(false),
        "a child cgroup is not the root"
    );
}

#[test]
fn without_a_bpf_file_system_nothing_is_attached_and_the_error_says_what_to_mount() {
    let mut ground = Ground::new();
    ground.options.pins = std::env::temp_dir().join("continuity-no-bpffs");
    let error = refused(&ground);
    assert!(matches!(error, Error::NoBpffs { .. }), "{error}");
    assert!(error.to_string().contains("mount -t bpf"), "{error}");
    assert!(!ground.options.pins.exists());
}

#[test]
fn a_killed_agents_half_written_set_is_cleaned_up_or_finished() {
    let ground = Ground::new();
    let (plane, _server) = served(&ground, NAME, ANSWER);
    drop(plane);
    // Links gone, maps there: as after a kill between the two.
    for hook in &HOOKS {
        fs::remove_file(ground.link(hook.name)).unwrap();
    }
    let plane = ground.open();
    plane.verify().expect("every hook is live");
    let mut client = connect(vip(80)).expect("the old field counts");
    client.write_all(b"ping").unwrap();
    client.read_exact(&mut [0; 4]).unwrap();
}

#[test]
fn a_second_agent_waits_for_the_first_and_is_told_why() {
    let ground = Ground::new();
    let first = ground.open();
    let error = refused(&ground);
    assert!(matches!(error, Error::Busy { .. }), "{error}");
    first.verify().expect("the first one is not disturbed");
    let ending = thread::spawn(move || {
        thread::sleep(Duration::from_millis(200));
        drop(first);
    });
    ground.open().verify().expect("the second one takes over");
    ending.join().unwrap();
}

#[test]
fn an_agent_killed_between_writing_a_bank_and_flipping_leaves_the_old_field() {
    let ground = Ground::new();
    let (plane, _server) = served(&ground, NAME, ANSWER);
    drop(plane);
    // The first epoch is odd and stands in bank 1; bank 0 is the one that was being written.
    let data = MapData::from_pin(ground.map(map::SETS)).expect("the pinned sets");
    let mut sets: Array<MapData, [u8; size_of::<Table>()]> = Map::Array(data).try_into().expect("an array");
    let mut set = sets.get(&0, 0).expect("read");
    set[offset_of!(Table, banks)..][..size_of::<Bank>()].fill(0xaa);
    sets.set(0, set, 0).expect("write half a bank");
    for _ in 0..10 {
        connect(vip(80)).expect("the old field counts");
    }
    let mut plane = ground.open();
    equal(&mut plane, &id(NAME));
    connect(vip(80)).expect("the next field counts");
    let decisions = plane.read(&id(NAME)).unwrap().decisions;
    assert_eq!(
        (decisions.steered, decisions.passed_torn, decisions.passed_miss),
        (11, 0, 0)
    );
}
