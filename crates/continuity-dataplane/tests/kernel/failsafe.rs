//! A silent agent: HOLD freezes the field, FALLBACK lets go, a heartbeat takes over again.

use std::{
    io::ErrorKind,
    net::{SocketAddr, TcpStream},
    thread,
    time::Duration,
};

use continuity_dataplane::{
    Dataplane as _, DesiredSet, Error, Failsafe, FailsafeTimes, Fallback, Field, KernelDataplane,
};

use crate::{
    ground::{Ground, connect, counters, id, serve, set, vip},
    server::{Manner, Server},
};

const NAME: &str = "failsafe";
/// Short, so that the tests are; the kernel reads whatever the set says.
const HOLD: Duration = Duration::from_millis(300);
const FALLBACK: Duration = Duration::from_millis(900);
const MARGIN: Duration = Duration::from_millis(60);

fn servers() -> [Server; 2] {
    [1, 2].map(|last| Server::start(last, Manner::Answer(Duration::ZERO)))
}

fn quick(addresses: &[SocketAddr], fallback: Fallback) -> DesiredSet {
    let failsafe = FailsafeTimes {
        hold_after: HOLD,
        fallback_after: FALLBACK,
    };
    DesiredSet {
        failsafe,
        fallback,
        ..set(NAME, &[vip(80)], addresses)
    }
}

/// Publishes a field that sends everything to one backend.
fn send_all_to(plane: &mut KernelDataplane, address: SocketAddr) -> Result<(), Error> {
    let view = plane.set(&id(NAME)).expect("the set");
    let index = view
        .backends
        .iter()
        .find(|backend| backend.address == address)
        .expect("the backend")
        .index;
    plane.publish(&id(NAME), &Field::equal(&[index])).map(drop)
}

fn attempts(plane: &mut KernelDataplane, address: SocketAddr) -> u64 {
    counters(plane, &id(NAME), address).client.attempts
}

#[test]
fn in_hold_a_late_field_is_ignored_until_the_heartbeat_is_fresh_again() {
    let ground = Ground::new();
    let mut plane = ground.open();
    let [first, second] = servers();
    serve(
        &mut plane,
        vec![quick(&[first.address, second.address], Fallback::PassThrough)],
    );
    plane.heartbeat();
    send_all_to(&mut plane, first.address).unwrap();
    connect(vip(80)).expect("a fresh connect");
    assert_eq!(attempts(&mut plane, first.address), 1);

    thread::sleep(HOLD + MARGIN);
    send_all_to(&mut plane, second.address).expect("one late field may wait");
    for _ in 0..20 {
        connect(vip(80)).expect("a connect in HOLD");
    }
    assert_eq!(
        (
            attempts(&mut plane, first.address),
            attempts(&mut plane, second.address)
        ),
        (21, 0)
    );
    let refused =
        send_all_to(&mut plane, second.address).expect_err("a second one would overwrite the frozen field");
    assert!(matches!(refused, Error::Frozen { .. }), "{refused}");

    plane.heartbeat();
    connect(vip(80)).expect("a fresh connect");
    assert_eq!(
        (
            attempts(&mut plane, first.address),
            attempts(&mut plane, second.address)
        ),
        (21, 1)
    );
    let decisions = plane.read(&id(NAME)).unwrap().decisions;
    assert_eq!(
        (decisions.to_hold, decisions.to_normal, decisions.steered_in_hold),
        (1, 1, 20)
    );
    assert_eq!(decisions.passed_torn, 0);
}

#[test]
fn in_fallback_connects_pass_through_to_the_vip_and_a_heartbeat_takes_over_again() {
    let ground = Ground::new();
    let mut plane = ground.open();
    let [first, _second] = servers();
    serve(&mut plane, vec![quick(&[first.address], Fallback::PassThrough)]);
    plane.heartbeat();
    thread::sleep(FALLBACK + MARGIN);
    // Nobody serves the VIP here; a connect that is not rewritten goes to nowhere.
    let error = TcpStream::connect_timeout(&vip(80), Duration::from_millis(50)).expect_err("passed through");
    assert_eq!(error.kind(), ErrorKind::TimedOut);
    let state = plane.failsafe(&id(NAME)).unwrap();
    assert_eq!((state.seen, state.now), (Failsafe::Fallback, Failsafe::Fallback));
    assert!(plane.now() - state.since < 1_000_000_000);
    plane.heartbeat();
    connect(vip(80)).expect("steered again");
    let decisions = plane.read(&id(NAME)).unwrap().decisions;
    assert_eq!((decisions.passed_fallback, decisions.steered), (1, 1));
    assert_eq!(
        (decisions.to_fallback, decisions.to_hold, decisions.to_normal),
        (1, 0, 1)
    );
    assert_eq!(plane.failsafe(&id(NAME)).unwrap().seen, Failsafe::Normal);
}

#[test]
fn last_known_alive_shares_equally_whatever_the_field_said() {
    let ground = Ground::new();
    let mut plane = ground.open();
    let [first, second] = servers();
    serve(
        &mut plane,
        vec![quick(&[first.address, second.address], Fallback::LastKnownAlive)],
    );
    plane.heartbeat();
    send_all_to(&mut plane, first.address).unwrap();
    thread::sleep(FALLBACK + MARGIN);
    for _ in 0..64 {
        connect(vip(80)).expect("a connect in FALLBACK");
    }
    let shares = [
        attempts(&mut plane, first.address),
        attempts(&mut plane, second.address),
    ];
    assert_eq!(shares.iter().sum::<u64>(), 64);
    assert!(shares.iter().all(|share| share.abs_diff(32) <= 6), "{shares:?}");
    assert_eq!(plane.read(&id(NAME)).unwrap().decisions.steered_in_fallback, 64);
}

#[test]
fn an_agent_that_never_gave_a_sign_of_life_is_in_fallback() {
    let ground = Ground::new();
    let mut plane = KernelDataplane::open_or_load(&ground.options).unwrap();
    let [first, _second] = servers();
    serve(&mut plane, vec![quick(&[first.address], Fallback::PassThrough)]);
    TcpStream::connect_timeout(&vip(80), Duration::from_millis(50)).expect_err("passed through");
    assert_eq!(plane.read(&id(NAME)).unwrap().decisions.passed_fallback, 1);
}
