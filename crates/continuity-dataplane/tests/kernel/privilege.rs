//! The agent's privileges are enough: CAP_BPF, CAP_NET_ADMIN and CAP_PERFMON, nothing else.
#![allow(unsafe_code, reason = "capset(2) has no safe wrapper in the crates at hand")]

use std::time::Duration;

use continuity_dataplane::{CapabilityId, Dataplane as _, KernelDataplane, probe, uninstall};

use crate::{
    ground::{Ground, connect, counters, id, serve, set, vip},
    server::{Manner, Server, ask},
};

const NET_ADMIN: u32 = 12;
const PERFMON: u32 = 38;
const BPF: u32 = 39;

/// `_LINUX_CAPABILITY_VERSION_3`.
const VERSION: u32 = 0x2008_0522;

#[repr(C)]
struct Header {
    version: u32,
    pid: i32,
}

/// Effective, permitted, inheritable; low words, then high words.
#[repr(C)]
struct Sets([u32; 6]);

/// Leaves this thread, and threads that it starts, these capabilities only.
fn keep(capabilities: &[u32]) {
    let set = capabilities.iter().fold(0u64, |set, bit| set | 1 << bit);
    let (low, high) = (
        u32::try_from(set & u64::from(u32::MAX)).unwrap(),
        u32::try_from(set >> 32).unwrap(),
    );
    let header = Header {
        version: VERSION,
        pid: 0,
    };
    let sets = Sets([low, low, 0, high, high, 0]);
    // SAFETY: both structs have the layout that capset(2) reads and outlive the call.
    let result = unsafe { nix::libc::syscall(nix::libc::SYS_capset, &raw const header, &raw const sets) };
    assert_eq!(result, 0, "capset: {}", std::io::Error::last_os_error());
}

/// The whole life of a dataplane on a thread with few capabilities.
fn live(ground: &Ground, address: std::net::SocketAddr) {
    let report = probe(&ground.options);
    assert_eq!(report.blocking().count(), 0, "{report:#?}");
    assert!(report.has(CapabilityId::SetRetval), "{report:#?}");
    for _ in 0..2 {
        let mut plane: KernelDataplane = ground.open();
        serve(&mut plane, vec![set("few", &[vip(80)], &[address])]);
        let mut client = connect(vip(80)).expect("connect");
        ask(&mut client).expect("an answer");
        plane.verify().expect("every hook is live");
        assert!(counters(&mut plane, &id("few"), address).client.answered > 0);
    }
    uninstall(&ground.options).expect("uninstall");
}

#[test]
fn three_capabilities_are_enough_for_load_attach_upgrade_read_and_uninstall() {
    let ground = Ground::new();
    let server = Server::start(1, Manner::Answer(Duration::ZERO));
    let address = server.address;
    std::thread::scope(|scope| {
        let agent = scope.spawn(|| {
            keep(&[BPF, NET_ADMIN, PERFMON]);
            live(&ground, address);
        });
        agent.join().expect("the whole life with three capabilities");
    });
}

#[test]
fn a_missing_capability_is_named_by_the_probe() {
    let ground = Ground::new();
    // The loader finds out about the kernel once per process; let it do so while it may.
    drop(ground.open());
    std::thread::scope(|scope| {
        let agent = scope.spawn(|| {
            keep(&[NET_ADMIN]);
            let report = probe(&ground.options);
            let missing: Vec<_> = report.blocking().map(|capability| capability.id).collect();
            assert_eq!(missing, [CapabilityId::CapBpf], "{report:#?}");
            KernelDataplane::open_or_load(&ground.options)
                .err()
                .expect("the kernel refuses")
        });
        println!("{}", agent.join().expect("an error, no panic"));
    });
}
