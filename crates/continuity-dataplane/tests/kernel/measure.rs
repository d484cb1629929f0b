//! Every fate of a connection is counted, once, on both sides.

use std::{
    io::{Read as _, Write as _},
    net::{Ipv6Addr, Shutdown, SocketAddr, TcpListener, TcpStream},
    time::Duration,
};

use continuity_dataplane::{AgeReader, Dataplane as _, Mode, wire::Scale};

use socket2::{Domain, SockRef, Socket, Type};

use crate::{
    ground::{VIP4, VIP6, connect, counters, eventually, id, listen, serve, set, vip},
    scene::{NAME, Scene},
    server::{Manner, Server, ask},
};

#[test]
fn every_refused_connect_is_counted_exactly_and_none_is_left_in_flight() {
    let mut scene = Scene::new();
    let closed: SocketAddr = "127.0.1.9:1".parse().unwrap();
    scene.serve(closed);
    const CONNECTS: u64 = 500;
    for _ in 0..CONNECTS {
        let error = connect(vip(80)).expect_err("nobody listens");
        assert_eq!(error.kind(), std::io::ErrorKind::ConnectionRefused);
    }
    let seen = scene.seen(closed);
    assert_eq!((seen.client.attempts, seen.client.refused), (CONNECTS, CONNECTS));
    assert_eq!((seen.client.established, seen.client.in_flight()), (0, 0));
    assert_eq!(seen.client.waiting.iter().sum::<i32>(), 0);
    assert!(seen.record.pen > 0, "the choice knows of the failures");
    assert_eq!(seen.record.infl, 0);
}

#[test]
fn turnaround_is_measured_on_the_clients_and_on_the_backends_side() {
    let mut scene = Scene::new();
    let server = Server::start(1, Manner::Answer(Duration::from_millis(20)));
    scene.serve(server.address);
    let mut client = connect(vip(80)).expect("connect");
    const REQUESTS: u64 = 10;
    for _ in 0..REQUESTS {
        ask(&mut client).expect("an answer");
    }
    drop(client);
    let seen = scene.closed(server.address);
    for (side, traffic) in [("client", seen.client), ("server", seen.server.unwrap())] {
        assert_eq!(traffic.answered, REQUESTS, "{side}");
        let mean = traffic.turnaround_micros / REQUESTS;
        assert!((20_000..30_000).contains(&mean), "{side}: {mean} µs");
        let (low, high) = (Scale::TURNAROUND.bucket(19_900), Scale::TURNAROUND.bucket(60_000));
        let within: u32 = traffic.turnaround[low..=high].iter().sum();
        assert_eq!(u64::from(within), REQUESTS, "{side}");
        assert_eq!(
            (traffic.in_flight(), traffic.waiting.iter().sum::<i32>()),
            (0, 0),
            "{side}"
        );
        assert_eq!((traffic.established, traffic.closed), (1, 1), "{side}");
    }
    assert_eq!(
        (seen.client.bytes_out, seen.client.bytes_in),
        (4 * REQUESTS, 4 * REQUESTS)
    );
    assert_eq!(seen.client.connect.iter().sum::<u32>(), 1);
    assert_eq!(u64::from(seen.record.good), REQUESTS);
    assert_eq!(seen.client.closed_by_peer, 0);
    assert_eq!(seen.server.unwrap().closed_by_peer, 1);
}

#[test]
fn a_backend_that_resets_or_closes_before_it_answers_is_told_from_one_that_answers() {
    let mut scene = Scene::new();
    let servers = [Server::start(1, Manner::Reset), Server::start(2, Manner::Close)];
    for (name, server) in ["reset", "close"].iter().zip(&servers) {
        scene.serve(server.address);
        const CONNECTS: u64 = 100;
        for _ in 0..CONNECTS {
            let mut client = connect(vip(80)).expect("connect");
            ask(&mut client).expect_err("no answer");
        }
        let seen = scene.seen(server.address);
        assert_eq!(
            (seen.client.attempts, seen.client.established),
            (CONNECTS, CONNECTS),
            "{name}"
        );
        assert_eq!(
            (seen.client.reset_before_data, seen.client.answered),
            (CONNECTS, 0),
            "{name}"
        );
        assert_eq!((seen.client.abandoned, seen.client.in_flight()), (0, 0), "{name}");
        assert_eq!(
            seen.server.unwrap().reset_before_data,
            CONNECTS,
            "{name}: as its own node sees it"
        );
    }
}

#[test]
fn a_backend_that_hangs_is_visible_while_it_hangs_and_abandoned_when_the_client_leaves() {
    let mut scene = Scene::new();
    let server = Server::start(1, Manner::Hang);
    scene.serve(server.address);
    let mut clients: Vec<TcpStream> = (0..5).map(|_| connect(vip(80)).expect("connect")).collect();
    for client in &mut clients {
        client.write_all(b"ping").unwrap();
    }
    let mut ages = AgeReader::default();
    std::thread::sleep(Duration::from_millis(500));
    let seen = scene.seen(server.address);
    assert_eq!((seen.client.in_flight(), seen.record.infl), (5, 5));
    assert_eq!(seen.server.unwrap().in_flight(), 5);
    let by_age = ages.read(&seen.client, scene.plane.now()).by_age;
    // 500 ms is 7.45 spans.
    assert_eq!(by_age[6..=9].iter().sum::<u32>(), 5, "{by_age:?}");
    drop(clients);
    eventually("nothing waits", || {
        scene.seen(server.address).client.in_flight() == 0
    });
    let seen = scene.seen(server.address);
    assert_eq!(
        (
            seen.client.abandoned,
            seen.client.reset_before_data,
            seen.client.answered
        ),
        (5, 0, 0)
    );
    assert_eq!(seen.record.infl, 0);
    server.let_go();
    eventually("the backend's side knows", || {
        scene.seen(server.address).server.unwrap().abandoned == 5
    });
}

#[test]
fn a_client_that_gives_up_the_handshake_is_not_a_backend_that_refused() {
    let mut scene = Scene::new();
    // Routed into the void: the SYN gets no answer.
    let nowhere: SocketAddr = "203.0.113.7:80".parse().unwrap();
    scene.serve(nowhere);
    for _ in 0..3 {
        let error = connect(vip(80)).expect_err("no answer");
        assert_eq!(error.kind(), std::io::ErrorKind::TimedOut);
    }
    let seen = scene.seen(nowhere).client;
    assert_eq!((seen.attempts, seen.abandoned), (3, 3));
    assert_eq!(
        (seen.refused, seen.timed_out, seen.unreachable, seen.in_flight()),
        (0, 0, 0, 0)
    );
}

#[test]
fn a_handshake_that_the_kernel_gives_up_is_timed_out() {
    let mut scene = Scene::new();
    let nowhere: SocketAddr = "203.0.113.7:80".parse().unwrap();
    scene.serve(nowhere);
    // One SYN and one retransmission, a second apart, then ETIMEDOUT.
    std::fs::write("/proc/sys/net/ipv4/tcp_syn_retries", "1").expect("set the retries of this namespace");
    let error = TcpStream::connect(vip(80)).expect_err("no answer");
    assert_eq!(error.raw_os_error(), Some(nix::libc::ETIMEDOUT));
    let seen = scene.seen(nowhere).client;
    assert_eq!(
        (seen.attempts, seen.timed_out, seen.abandoned, seen.in_flight()),
        (1, 1, 0, 0)
    );
}

#[test]
fn a_half_closed_client_still_waits_for_its_answer() {
    let mut scene = Scene::new();
    let server = Server::start(1, Manner::Answer(Duration::from_millis(50)));
    scene.serve(server.address);
    let mut client = connect(vip(80)).expect("connect");
    client.write_all(b"ping").unwrap();
    client.shutdown(Shutdown::Write).unwrap();
    client.read_exact(&mut [0; 4]).expect("the answer");
    drop(client);
    eventually("the connection is closed", || {
        scene.seen(server.address).client.open() == 0
    });
    let seen = scene.seen(server.address).client;
    assert_eq!((seen.answered, seen.abandoned, seen.reset_before_data), (1, 0, 0));
}

#[test]
fn observe_leaves_the_connect_alone_and_measures_on_the_backends_side() {
    let mut scene = Scene::new();
    let server = Server::start(1, Manner::Answer(Duration::from_millis(5)));
    let mut observed = set(NAME, &[server.address], &[server.address]);
    observed.mode = Mode::Observe;
    serve(&mut scene.plane, vec![observed]);
    let mut client = connect(server.address).expect("connect");
    ask(&mut client).expect("an answer");
    drop(client);
    eventually("the backend's side is closed", || {
        scene.seen(server.address).server.unwrap().closed == 1
    });
    let seen = scene.seen(server.address);
    assert_eq!(seen.client.attempts, 0);
    let served = seen.server.unwrap();
    assert_eq!((served.established, served.answered), (1, 1));
    assert_eq!(scene.plane.read(&id(NAME)).unwrap().decisions.passed_observe, 1);
}

#[test]
fn a_request_that_rides_on_the_handshakes_last_segment_is_measured_too() {
    let mut scene = Scene::new();
    let server = Server::start(1, Manner::Answer(Duration::from_millis(20)));
    scene.serve(server.address);
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    // Delays the bare ACK, so that the first write carries it.
    socket.set_tcp_quickack(false).unwrap();
    socket.connect(&vip(80).into()).expect("connect");
    let mut client = TcpStream::from(socket);
    ask(&mut client).expect("an answer");
    ask(&mut client).expect("another answer");
    let seen = scene.seen(server.address);
    let served = seen.server.unwrap();
    assert_eq!((seen.client.answered, served.answered), (2, 2));
    assert_eq!((served.in_flight(), served.waiting.iter().sum::<i32>()), (0, 0));
    drop(client);
    eventually("the bytes are counted", || {
        let seen = scene.seen(server.address);
        (seen.client.bytes_out, seen.server.unwrap().bytes_in) == (8, 8)
    });
}

#[test]
fn a_backend_that_accepts_and_ends_at_once_fails_whether_or_not_a_request_was_sent() {
    let mut scene = Scene::new();
    let servers = [Server::start(1, Manner::Slam), Server::start(2, Manner::Leave)];
    for (name, server) in ["slam", "leave"].iter().zip(&servers) {
        scene.serve(server.address);
        const CONNECTS: u64 = 60;
        for number in 0..CONNECTS {
            // The reset may come before the connect returns.
            let Ok(mut client) = connect(vip(80)) else {
                continue;
            };
            match number % 3 {
                // Speaks before the end is seen, after it, or never.
                0 => drop(client.write_all(b"ping")),
                1 => {
                    std::thread::sleep(Duration::from_millis(5));
                    drop(client.write_all(b"ping"));
                }
                _ => {}
            }
            let mut byte = [0];
            assert!(!client.read(&mut byte).is_ok_and(|length| length > 0));
        }
        let seen = scene.closed(server.address);
        assert_eq!(
            (seen.client.established, seen.client.reset_before_data),
            (CONNECTS, CONNECTS),
            "{name}"
        );
        assert_eq!(
            (seen.client.abandoned, seen.client.in_flight(), seen.record.infl),
            (0, 0, 0),
            "{name}"
        );
        assert!(seen.record.pen > 0, "{name}: the choice knows");
        let served = seen.server.unwrap();
        assert_eq!(
            (served.reset_before_data, served.abandoned, served.in_flight()),
            (CONNECTS, 0, 0),
            "{name}"
        );
    }
}

#[test]
fn a_client_that_only_looks_whether_the_port_is_open_blames_nobody() {
    let mut scene = Scene::new();
    let server = Server::start(1, Manner::Answer(Duration::ZERO));
    scene.serve(server.address);
    for _ in 0..20 {
        drop(connect(vip(80)).expect("connect"));
    }
    eventually("every connection is closed", || {
        let seen = scene.seen(server.address);
        (seen.client.closed, seen.server.unwrap().closed) == (20, 20)
    });
    let seen = scene.seen(server.address);
    for traffic in [seen.client, seen.server.unwrap()] {
        assert_eq!(
            (traffic.reset_before_data, traffic.abandoned, traffic.answered),
            (0, 0, 0)
        );
    }
    assert_eq!(seen.record.pen, 0);
}

#[test]
fn an_idle_connection_that_the_backend_ends_is_not_a_failure() {
    let mut scene = Scene::new();
    let listener = listen(1);
    let address = listener.local_addr().unwrap();
    scene.serve(address);
    let client = connect(vip(80)).expect("connect");
    let (accepted, _) = listener.accept().unwrap();
    std::thread::sleep(Duration::from_millis(1_100));
    drop(accepted);
    assert_eq!((&client).read(&mut [0]).expect("the end"), 0);
    drop(client);
    eventually("it is closed", || scene.seen(address).client.closed == 1);
    let seen = scene.seen(address);
    assert_eq!(
        (seen.client.reset_before_data, seen.client.closed_by_peer),
        (0, 1)
    );
    assert_eq!(seen.server.unwrap().reset_before_data, 0);
}

#[test]
fn turnaround_is_measured_over_ipv6_and_over_mapped_sockets() {
    let mut scene = Scene::new();
    let six = Server::on(
        TcpListener::bind((Ipv6Addr::LOCALHOST, 0)).unwrap(),
        Manner::Answer(Duration::ZERO),
    );
    let four = Server::start(1, Manner::Answer(Duration::ZERO));
    let vip6 = SocketAddr::from((VIP6, 80));
    let mapped = SocketAddr::from((VIP4.to_ipv6_mapped(), 80));
    serve(
        &mut scene.plane,
        vec![
            set("six", &[vip6], &[six.address]),
            set("four", &[vip(80)], &[four.address]),
        ],
    );
    for (name, to, address) in [("six", vip6, six.address), ("four", mapped, four.address)] {
        let mut client = connect(to).expect("connect");
        for _ in 0..3 {
            ask(&mut client).expect("an answer");
        }
        let seen = counters(&mut scene.plane, &id(name), address);
        assert_eq!(
            (seen.client.answered, seen.server.unwrap().answered),
            (3, 3),
            "{name}"
        );
    }
}

#[test]
fn a_client_that_ends_without_a_request_is_not_failed_by_a_backend_that_resets_then() {
    let mut scene = Scene::new();
    let listener = listen(1);
    let address = listener.local_addr().unwrap();
    scene.serve(address);
    let client = connect(vip(80)).expect("connect");
    let (mut accepted, _) = listener.accept().unwrap();
    client.shutdown(Shutdown::Write).unwrap();
    assert_eq!(accepted.read(&mut [0]).expect("the client's end"), 0);
    SockRef::from(&accepted).set_linger(Some(Duration::ZERO)).unwrap();
    drop(accepted);
    (&client).read(&mut [0]).expect_err("reset");
    drop(client);
    eventually("it is closed", || scene.seen(address).client.closed == 1);
    let seen = scene.seen(address).client;
    assert_eq!((seen.reset_before_data, seen.closed_by_peer), (0, 0));
}
