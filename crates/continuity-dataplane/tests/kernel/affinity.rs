//! Session affinity: a client keeps its backend, for its time, and not longer than the backend lives.

use std::{
    net::{SocketAddr, TcpListener},
    process::Command,
    thread,
    time::Duration,
};

use continuity_dataplane::{
    BackendIndex, BackendWords, CapabilityId, Dataplane as _, DesiredSet, Field, KernelDataplane, Rejection,
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

/// How many of these backends have just so many connects.
fn with(count: u64, attempts: &[u64]) -> usize {
    attempts.iter().filter(|attempts| **attempts == count).count()
}

/// Three backends behind port 80 of the VIP, and clients that keep theirs for a time.
struct Sticky {
    plane: KernelDataplane,
    all: Vec<SocketAddr>,
    _servers: Vec<Server>,
    _ground: Ground,
}

impl Sticky {
    fn serve(time: Duration) -> Self {
        let ground = Ground::new();
        let mut plane = ground.open();
        let servers: Vec<Server> = (1..=3)
            .map(|last| Server::start(last, Manner::Answer(Duration::ZERO)))
            .collect();
        let all: Vec<SocketAddr> = servers.iter().map(|server| server.address).collect();
        serve(&mut plane, vec![sticky(&all, time)]);
        Self {
            plane,
            all,
            _servers: servers,
            _ground: ground,
        }
    }

    fn connects(&mut self, times: u64) {
        for _ in 0..times {
            self.plane.heartbeat();
            connect(vip(80)).expect("steered");
        }
    }

    /// Connects so often, and says which backend has all of it.
    fn settled(&mut self, times: u64) -> usize {
        self.connects(times);
        let found = self.every().into_iter().position(|count| count == times);
        found.expect("one backend")
    }

    /// Attempts of each backend, as the map has them.
    fn attempts(&mut self, of: &[SocketAddr]) -> Vec<u64> {
        of.iter()
            .map(|address| counters(&mut self.plane, &id(NAME), *address).client.attempts)
            .collect()
    }

    /// The same of all three backends.
    fn every(&mut self) -> Vec<u64> {
        self.attempts(&self.all.clone())
    }

    /// Every backend but one.
    fn others(&self, at: usize) -> Vec<SocketAddr> {
        let left = self.all[at];
        self.all
            .iter()
            .copied()
            .filter(|address| *address != left)
            .collect()
    }

    fn index(&self, of: SocketAddr) -> BackendIndex {
        let view = self.plane.set(&id(NAME)).unwrap();
        let found = view.backends.iter().find(|known| known.address == of);
        found.unwrap().index
    }

    fn affine(&mut self) -> u64 {
        self.plane.read(&id(NAME)).unwrap().decisions.affine
    }
}

/// Plays a pod: another network namespace with the same backends beside it, that connects so often.
fn connect_from_a_pod(backends: &[SocketAddr], times: u64) {
    thread::scope(|scope| {
        scope.spawn(|| {
            unshare(CloneFlags::CLONE_NEWNET).expect("a pod's namespace");
            let up = Command::new("ip").args(["link", "set", "lo", "up"]).status();
            assert!(up.expect("run ip").success());
            let _listeners: Vec<TcpListener> = backends
                .iter()
                .map(|address| TcpListener::bind(address).expect("listen"))
                .collect();
            for _ in 0..times {
                connect(vip(80)).expect("steered");
            }
        });
    });
}

#[test]
fn a_client_keeps_its_backend_and_another_client_has_its_own_choice() {
    let mut scene = Sticky::serve(LONG);
    scene.connects(30);
    let first = scene.every();
    assert_eq!(with(30, &first), 1, "{first:?}");
    assert_eq!(scene.affine(), 29);

    connect_from_a_pod(&scene.all, 30);
    let second: Vec<u64> = scene
        .every()
        .iter()
        .zip(&first)
        .map(|(now, before)| now - before)
        .collect();
    assert_eq!(with(30, &second), 1, "{second:?}");
    assert_eq!(scene.affine(), 58, "the pod's first connect was chosen");
}

#[test]
fn a_client_that_stays_away_for_the_time_chooses_again() {
    const TIME: Duration = Duration::from_millis(400);
    let mut scene = Sticky::serve(TIME);
    scene.connects(1);
    for kept in 1..=4 {
        // Shorter than the time, together longer: each connect starts it again.
        thread::sleep(TIME / 2);
        scene.connects(1);
        assert_eq!(scene.affine(), kept);
    }
    thread::sleep(TIME + Duration::from_millis(100));
    scene.connects(1);
    assert_eq!(scene.affine(), 4);
}

#[test]
fn a_backend_that_left_gets_no_connect_of_its_clients_and_they_settle_on_another() {
    let mut scene = Sticky::serve(LONG);
    let at = scene.settled(5);
    let rest = scene.others(at);
    serve(&mut scene.plane, vec![sticky(&rest, LONG)]);
    scene.connects(20);
    let after = scene.attempts(&rest);
    assert_eq!(with(20, &after), 1, "{after:?}");
    assert_eq!(scene.affine(), 4 + 19);
}

#[test]
fn an_isolated_backend_is_left_and_a_set_without_affinity_shares() {
    let mut scene = Sticky::serve(LONG);
    let at = scene.settled(5);
    let others: Vec<_> = scene
        .others(at)
        .iter()
        .map(|address| scene.index(*address))
        .collect();
    let field = Field {
        backends: vec![BackendWords {
            backend: scene.index(scene.all[at]),
            shl: 0,
            trust: 0,
            fixed: 0,
            off: true,
            pardon: 0,
        }],
        ..Field::equal(&others)
    };
    scene.plane.publish(&id(NAME), &field).unwrap();
    scene.connects(10);
    let after = scene.every();
    assert_eq!(after[at], 5, "{after:?}");
    assert_eq!(with(10, &after), 1, "{after:?}");

    let all = scene.all.clone();
    serve(&mut scene.plane, vec![set(NAME, &[vip(80)], &all)]);
    scene.connects(64);
    let shared = scene.every();
    assert!(
        shared.iter().zip(&after).all(|(now, was)| now > was),
        "{shared:?}"
    );
    assert_eq!(scene.affine(), 4 + 9);
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
