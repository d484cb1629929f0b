//! The socket table: what is taken is given back, and what finds no room is steered all the same.

use std::{net::TcpStream, process::Command};

use continuity_dataplane::Dataplane as _;

use crate::{
    ground::{Ground, connect, counters, eventually, id, listen, serve, set, vip},
    server::{Manner, Server, ask},
};

const NAME: &str = "table";

/// Two buckets of seven.
const ROOM: u32 = 14;

#[test]
fn every_record_is_given_back_whatever_becomes_of_its_socket() {
    let mut ground = Ground::new();
    ground.options.capacities.sockets = ROOM;
    let mut plane = ground.open();
    let server = Server::start(1, Manner::Answer(std::time::Duration::ZERO));
    let closed = "127.0.1.9:1".parse().unwrap();
    serve(
        &mut plane,
        vec![
            set(NAME, &[vip(80)], &[server.address]),
            set("closed", &[vip(81)], &[closed]),
            set("barred", &[vip(82)], &["203.0.113.7:80".parse().unwrap()]),
        ],
    );
    // Fails between the connect hook and the handshake.
    let route = ["route", "add", "unreachable", "203.0.113.0/24"];
    assert!(Command::new("ip").args(route).status().expect("run ip").success());
    // Many times what the table holds: one that is lost in a hundred would fill it.
    const ROUNDS: u64 = 1_000;
    for _ in 0..ROUNDS {
        plane.heartbeat();
        connect(vip(81)).expect_err("nobody listens");
        connect(vip(82)).expect_err("no route");
        let mut client = connect(vip(80)).expect("connect");
        ask(&mut client).expect("an answer");
        drop(client);
        eventually("both ends are closed", || {
            let seen = counters(&mut plane, &id(NAME), server.address);
            (seen.client.open(), seen.server.unwrap().open()) == (0, 0)
        });
    }
    let seen = counters(&mut plane, &id(NAME), server.address);
    assert_eq!(
        (seen.client.answered, seen.server.unwrap().answered),
        (ROUNDS, ROUNDS)
    );
    let refused = counters(&mut plane, &id("closed"), closed).client;
    assert_eq!((refused.attempts, refused.refused), (ROUNDS, ROUNDS));
    let unmeasured = plane.read(&id(NAME)).unwrap().decisions.unmeasured;
    assert_eq!(
        (unmeasured, plane.read_node().unwrap().unmeasured_passive),
        (0, 0)
    );
}

#[test]
fn sockets_beyond_the_table_are_steered_and_counted_as_not_measured() {
    let mut ground = Ground::new();
    ground.options.capacities.sockets = ROOM;
    let mut plane = ground.open();
    let listener = listen(1);
    let address = listener.local_addr().unwrap();
    serve(&mut plane, vec![set(NAME, &[vip(80)], &[address])]);
    const CONNECTS: u64 = 40;
    let clients: Vec<TcpStream> = (0..CONNECTS)
        .map(|_| connect(vip(80)).expect("steered"))
        .collect();
    let seen = counters(&mut plane, &id(NAME), address);
    let unmeasured = plane.read(&id(NAME)).unwrap().decisions.unmeasured;
    let passive = plane.read_node().unwrap().unmeasured_passive;
    let served = seen.server.unwrap().established;
    assert_eq!(seen.client.established + unmeasured, CONNECTS);
    assert_eq!(served + passive, CONNECTS);
    assert_eq!(
        seen.client.established + served,
        u64::from(ROOM),
        "every way is used"
    );
    drop(clients);
    drop(listener);
    eventually("all are closed", || {
        let seen = counters(&mut plane, &id(NAME), address);
        (seen.client.open(), seen.server.unwrap().open()) == (0, 0)
    });
}
