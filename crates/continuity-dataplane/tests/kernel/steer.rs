//! Connects to a VIP reach backends, by share, and the socket keeps showing the VIP.

use std::{
    collections::BTreeMap,
    io::{Read as _, Write as _},
    net::{Ipv6Addr, SocketAddr, TcpListener, TcpStream},
    time::Duration,
};

use continuity_dataplane::{BackendIndex, Completeness, Dataplane as _, Desired, Field};

use crate::{
    ground::{Ground, VIP4, VIP6, connect, counters, equal, eventually, id, listen, serve, set, vip},
    server::{Manner, Server, ask},
};

#[test]
fn a_connect_to_the_vip_reaches_a_backend_and_the_peer_is_still_the_vip() {
    let ground = Ground::new();
    let mut plane = ground.open();
    let server = listen(1);
    serve(
        &mut plane,
        vec![set("steer", &[vip(80)], &[server.local_addr().unwrap()])],
    );
    let client = connect(vip(80)).expect("connect to the VIP");
    let (mut accepted, peer) = server.accept().expect("the backend sees the connection");
    assert_eq!(client.peer_addr().unwrap(), vip(80));
    assert_eq!(client.local_addr().unwrap(), peer);
    accepted.write_all(b"hello").unwrap();
    let mut text = [0; 5];
    (&client).read_exact(&mut text).unwrap();
    assert_eq!(&text, b"hello");
}

#[test]
fn ipv6_and_mapped_sockets_reach_backends_of_their_family() {
    let ground = Ground::new();
    let mut plane = ground.open();
    let four = listen(1);
    let six = TcpListener::bind((Ipv6Addr::LOCALHOST, 0)).unwrap();
    let vip6 = SocketAddr::from((VIP6, 80));
    serve(
        &mut plane,
        vec![
            set("four", &[vip(80)], &[four.local_addr().unwrap()]),
            set("six", &[vip6], &[six.local_addr().unwrap()]),
        ],
    );
    let client = connect(vip6).expect("connect over IPv6");
    six.accept().expect("the IPv6 backend sees it");
    assert_eq!(client.peer_addr().unwrap(), vip6);

    let mapped = SocketAddr::from((VIP4.to_ipv6_mapped(), 80));
    let client = connect(mapped).expect("connect over a mapped socket");
    four.accept().expect("the IPv4 backend sees it");
    assert_eq!(client.peer_addr().unwrap(), mapped);
    let seen = counters(&mut plane, &id("four"), four.local_addr().unwrap());
    assert_eq!((seen.client.attempts, seen.client.established), (1, 1));
    assert_eq!(seen.server.expect("a local backend").established, 1);
}

#[test]
fn a_connect_elsewhere_is_left_alone() {
    let ground = Ground::new();
    let mut plane = ground.open();
    let (server, other) = (listen(1), listen(2));
    serve(
        &mut plane,
        vec![set("steer", &[vip(80)], &[server.local_addr().unwrap()])],
    );
    let client = connect(other.local_addr().unwrap()).expect("connect directly");
    assert_eq!(client.peer_addr().unwrap(), other.local_addr().unwrap());
    assert!(connect(vip(81)).is_err(), "another port of the VIP is not ours");
    let decisions = plane.read(&id("steer")).unwrap().decisions;
    assert_eq!(decisions.steered, 0);
}

#[test]
fn shares_follow_the_slots() {
    let ground = Ground::new();
    let mut plane = ground.open();
    let servers: Vec<Server> = (1..=3)
        .map(|last| Server::start(last, Manner::Answer(Duration::ZERO)))
        .collect();
    let addresses: Vec<SocketAddr> = servers.iter().map(|server| server.address).collect();
    serve(&mut plane, vec![set("shares", &[vip(80)], &addresses)]);
    let index: BTreeMap<SocketAddr, BackendIndex> = plane
        .set(&id("shares"))
        .unwrap()
        .backends
        .iter()
        .map(|backend| (backend.address, backend.index))
        .collect();
    // 48, 16 and 0 of 64 slots. The second candidate wins only by a smaller score, and these are equal: closed again.
    let mut field = Field::equal(&[index[&addresses[0]]]);
    for slot in field.slots.iter_mut().step_by(4) {
        *slot = Some(index[&addresses[1]]);
    }
    plane.publish(&id("shares"), &field).unwrap();
    const REVOLUTIONS: u64 = 4;
    for turn in 0..64 * REVOLUTIONS {
        plane.heartbeat();
        // A server that gets no processor for a while lets its queue fill up; the SYN is sent again after a second.
        let connected = TcpStream::connect_timeout(&vip(80), Duration::from_secs(10));
        let decisions = plane.read(&id("shares")).unwrap().decisions;
        assert!(connected.is_ok(), "turn {turn}: {connected:?}, {decisions:?}");
    }
    let mut established = BTreeMap::new();
    eventually("every connect is counted", || {
        for address in &addresses {
            established.insert(
                *address,
                counters(&mut plane, &id("shares"), *address).client.established,
            );
        }
        established.values().sum::<u64>() == 64 * REVOLUTIONS
    });
    let share = |at: usize| established[&addresses[at]];
    // At most 3 slots off per revolution and CPU.
    let bound = 3 * REVOLUTIONS;
    assert!(share(0).abs_diff(48 * REVOLUTIONS) <= bound, "{established:?}");
    assert!(share(1).abs_diff(16 * REVOLUTIONS) <= bound, "{established:?}");
    assert_eq!(share(2), 0);
    let decisions = plane.read(&id("shares")).unwrap().decisions;
    assert_eq!(decisions.steered, 64 * REVOLUTIONS);
    assert_eq!(
        (decisions.passed_miss, decisions.passed_torn, decisions.unmeasured),
        (0, 0, 0)
    );
}

#[test]
fn a_removed_backend_gets_no_connect_even_before_the_next_publish() {
    let ground = Ground::new();
    let mut plane = ground.open();
    let (stays, leaves) = (listen(1), listen(2));
    let (kept, gone) = (stays.local_addr().unwrap(), leaves.local_addr().unwrap());
    serve(&mut plane, vec![set("remove", &[vip(80)], &[kept, gone])]);
    let desired = Desired {
        sets: vec![set("remove", &[vip(80)], &[kept])],
    };
    plane.reconcile(&desired, Completeness::Complete).unwrap();
    leaves.set_nonblocking(true).unwrap();
    for _ in 0..16 {
        let _ = TcpStream::connect_timeout(&vip(80), Duration::from_millis(20));
    }
    assert!(leaves.accept().is_err(), "the removed backend saw a connection");
    assert!(
        plane.read(&id("remove")).unwrap().decisions.passed_miss > 0,
        "its slots pass through to the VIP"
    );
}

#[test]
fn an_index_that_changed_hands_neither_gets_the_former_sets_connects_nor_its_counts() {
    let mut ground = Ground::new();
    ground.options.capacities.backends = 1;
    let mut plane = ground.open();
    let (first, second) = (
        Server::start(1, Manner::Answer(Duration::ZERO)),
        Server::start(2, Manner::Answer(Duration::ZERO)),
    );
    serve(&mut plane, vec![set("a", &[vip(80)], &[first.address])]);
    let mut old = connect(vip(80)).expect("connect");
    ask(&mut old).expect("an answer");
    // The only index leaves set a, which is not published again, rests, and is given to set b.
    let handed = Desired {
        sets: vec![set("a", &[vip(80)], &[]), set("b", &[vip(81)], &[second.address])],
    };
    let report = plane.reconcile(&handed, Completeness::Complete).unwrap();
    assert_eq!(report.rejected.len(), 1, "the index rests: {report:?}");
    std::thread::sleep(Duration::from_millis(10_100));
    let report = plane.reconcile(&handed, Completeness::Complete).unwrap();
    assert_eq!(report.rejected, []);
    equal(&mut plane, &id("b"));
    plane.heartbeat();

    TcpStream::connect_timeout(&vip(80), Duration::from_millis(50)).expect_err("set a has no backend");
    assert_eq!(plane.read(&id("a")).unwrap().decisions.passed_miss, 1);
    ask(&mut old).expect("the old connection lives on");
    drop(old);
    connect(vip(81)).expect("set b is served");
    eventually("set b's connection is closed", || {
        counters(&mut plane, &id("b"), second.address).client.closed == 1
    });
    let seen = counters(&mut plane, &id("b"), second.address);
    assert_eq!(
        (seen.client.attempts, seen.client.answered, seen.client.open()),
        (1, 0, 0)
    );
    assert!(plane.read_node().unwrap().outlived > 0);
}
