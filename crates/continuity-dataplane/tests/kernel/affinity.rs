//! Session affinity: a client keeps its backend, for its time, and not longer than the backend lives.

use std::{
    net::{SocketAddr, TcpListener},
    process::Command,
    sync::mpsc,
    thread,
    time::Duration,
};

use continuity_dataplane::{
    BackendWords, CapabilityId, Dataplane as _, DesiredSet, Field, KernelDataplane, Rejection,
};
use nix::sched::{CloneFlags, unshare};

use crate::{
    ground::{Ground, connect, counters, id, serve, set, vip},
    server::{Manner, Server},
};

const NAME: &str = "affinity";
const LONG: Duration = Duration::from_secs(3_600);

fn sticky(addresses: &[SocketAddr], time: Duration) -> DesiredSet {
    DesiredSet {
        affinity: Some(time),
        ..set(NAME, &[vip(80)], addresses)
    }
}

fn servers() -> Vec<Server> {
    (1..=3)
        .map(|last| Server::start(last, Manner::Answer(Duration::ZERO)))
        .collect()
}

fn addresses(servers: &[Server]) -> Vec<SocketAddr> {
    servers.iter().map(|server| server.address).collect()
}

/// Attempts of each backend, as the map has them.
fn attempts(plane: &mut KernelDataplane, addresses: &[SocketAddr]) -> Vec<u64> {
    addresses
        .iter()
        .map(|address| counters(plane, &id(NAME), *address).client.attempts)
        .collect()
}

fn affine(plane: &mut KernelDataplane) -> u64 {
    plane.read(&id(NAME)).unwrap().decisions.affine
}

fn connects(plane: &mut KernelDataplane, times: u64) {
    for _ in 0..times {
        plane.heartbeat();
        connect(vip(80)).expect("steered");
    }
}

#[test]
fn a_client_keeps_its_backend_and_another_client_has_its_own_choice() {
    let ground = Ground::new();
    let mut plane = ground.open();
    let servers = servers();
    let all = addresses(&servers);
    serve(&mut plane, vec![sticky(&all, LONG)]);
    connects(&mut plane, 30);
    let first = attempts(&mut plane, &all);
    assert_eq!(first.iter().filter(|count| **count == 30).count(), 1, "{first:?}");
    assert_eq!(affine(&mut plane), 29);

    // A pod: another namespace, with the same backends beside it.
    let (done, served) = mpsc::channel();
    let pods = all.clone();
    let pod = thread::spawn(move || {
        unshare(CloneFlags::CLONE_NEWNET).expect("a pod's namespace");
        let up = Command::new("ip").args(["link", "set", "lo", "up"]).status();
        assert!(up.expect("run ip").success());
        let listeners: Vec<TcpListener> = pods
            .iter()
            .map(|address| TcpListener::bind(address).expect("listen"))
            .collect();
        for _ in 0..30 {
            connect(vip(80)).expect("steered");
        }
        done.send(()).unwrap();
        drop(listeners);
    });
    served.recv().unwrap();
    pod.join().unwrap();
    let second: Vec<u64> = attempts(&mut plane, &all)
        .iter()
        .zip(&first)
        .map(|(now, before)| now - before)
        .collect();
    assert_eq!(
        second.iter().filter(|count| **count == 30).count(),
        1,
        "{second:?}"
    );
    assert_eq!(affine(&mut plane), 58, "the pod's first connect was chosen");
}

#[test]
fn a_client_that_stays_away_for_the_time_chooses_again() {
    let ground = Ground::new();
    let mut plane = ground.open();
    let servers = servers();
    let all = addresses(&servers);
    const TIME: Duration = Duration::from_millis(400);
    serve(&mut plane, vec![sticky(&all, TIME)]);
    connects(&mut plane, 1);
    for kept in 1..=4 {
        // Shorter than the time, together longer: each connect starts it again.
        thread::sleep(TIME / 2);
        connects(&mut plane, 1);
        assert_eq!(affine(&mut plane), kept);
    }
    thread::sleep(TIME + Duration::from_millis(100));
    connects(&mut plane, 1);
    assert_eq!(affine(&mut plane), 4);
}

#[test]
fn a_backend_that_left_gets_no_connect_of_its_clients_and_they_settle_on_another() {
    let ground = Ground::new();
    let mut plane = ground.open();
    let servers = servers();
    let all = addresses(&servers);
    serve(&mut plane, vec![sticky(&all, LONG)]);
    connects(&mut plane, 5);
    let before = attempts(&mut plane, &all);
    let at = before.iter().position(|count| *count == 5).expect("one backend");
    let rest: Vec<SocketAddr> = all
        .iter()
        .copied()
        .filter(|address| *address != all[at])
        .collect();
    serve(&mut plane, vec![sticky(&rest, LONG)]);
    connects(&mut plane, 20);
    let after = attempts(&mut plane, &rest);
    assert_eq!(after.iter().filter(|count| **count == 20).count(), 1, "{after:?}");
    assert_eq!(affine(&mut plane), 4 + 19);
}

#[test]
fn an_isolated_backend_is_left_and_a_set_without_affinity_shares() {
    let ground = Ground::new();
    let mut plane = ground.open();
    let servers = servers();
    let all = addresses(&servers);
    serve(&mut plane, vec![sticky(&all, LONG)]);
    connects(&mut plane, 5);
    let before = attempts(&mut plane, &all);
    let at = before.iter().position(|count| *count == 5).expect("one backend");
    let view = plane.set(&id(NAME)).unwrap();
    let find = |address| {
        view.backends
            .iter()
            .find(|known| known.address == address)
            .unwrap()
            .index
    };
    let isolated = find(all[at]);
    let others: Vec<_> = all
        .iter()
        .filter(|address| **address != all[at])
        .map(|a| find(*a))
        .collect();
    let field = Field {
        backends: vec![BackendWords {
            backend: isolated,
            shl: 0,
            trust: 0,
            fixed: 0,
            off: true,
            pardon: 0,
        }],
        ..Field::equal(&others)
    };
    plane.publish(&id(NAME), &field).unwrap();
    connects(&mut plane, 10);
    let after = attempts(&mut plane, &all);
    assert_eq!(after[at], 5, "{after:?}");
    assert_eq!(after.iter().filter(|count| **count == 10).count(), 1, "{after:?}");

    let view = plane.set(&id(NAME)).unwrap();
    let every: Vec<_> = view.backends.iter().map(|backend| backend.index).collect();
    serve(&mut plane, vec![set(NAME, &[vip(80)], &all)]);
    plane.publish(&id(NAME), &Field::equal(&every)).unwrap();
    connects(&mut plane, 64);
    let shared = attempts(&mut plane, &all);
    assert!(
        shared.iter().zip(&after).all(|(now, was)| now > was),
        "{shared:?}"
    );
    assert_eq!(affine(&mut plane), 4 + 9);
}

#[test]
fn without_the_namespace_cookie_the_set_stays_with_kube_proxy_and_is_named() {
    let mut ground = Ground::new();
    ground.options.pretend_missing = vec![CapabilityId::NetnsCookie];
    let mut plane = ground.open();
    let desired = continuity_dataplane::Desired {
        sets: vec![sticky(&[], LONG), set("plain", &[vip(81)], &[])],
    };
    let report = plane
        .reconcile(&desired, continuity_dataplane::Completeness::Complete)
        .unwrap();
    let expected = Rejection::Unsupported {
        id: id(NAME),
        capability: CapabilityId::NetnsCookie,
    };
    assert_eq!(report.rejected, [expected]);
    assert!(plane.set(&id(NAME)).is_none() && plane.set(&id("plain")).is_some());
}
