//! Every kind of address that leads to a Service, and the guard of its node port.

use std::{
    io::ErrorKind,
    net::{Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, TcpStream, UdpSocket},
    thread,
};

use continuity_dataplane::{CapabilityId, Dataplane as _, DesiredSet, Mode, Options};
use nix::sched::{CloneFlags, unshare};

use crate::ground::{Ground, VIP4, VIP6, connect, counters, id, listen, serve, set, vip};

const NAME: &str = "address";

/// The address of the ground's own device, as a node's.
const NODE: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 1);
const NODE_PORT: u16 = 30_080;

fn external() -> SocketAddr {
    SocketAddr::from(([203, 0, 113, 9], 80))
}

fn node_port() -> SocketAddr {
    SocketAddr::from((NODE, NODE_PORT))
}

/// Connects; what the backend saw and what the client shows must be one connection, with the address asked for.
fn reaches(server: &TcpListener, asked: SocketAddr) {
    let client: TcpStream = connect(asked).unwrap_or_else(|error| panic!("{asked}: {error}"));
    let (_, peer) = server.accept().expect("the backend sees it");
    let seen = SocketAddr::new(peer.ip().to_canonical(), peer.port());
    let local = client.local_addr().unwrap();
    assert_eq!(
        SocketAddr::new(local.ip().to_canonical(), local.port()),
        seen,
        "{asked}"
    );
    assert_eq!(client.peer_addr().unwrap(), asked);
}

#[test]
fn every_address_of_a_service_leads_to_its_backends() {
    let ground = Ground::new();
    let mut plane = ground.open();
    let server = listen(1);
    let backend = server.local_addr().unwrap();
    let frontends = [vip(80), external(), node_port()];
    serve(&mut plane, vec![set(NAME, &frontends, &[backend])]);
    let mapped = |address: SocketAddr| match address {
        SocketAddr::V4(v4) => SocketAddr::from((v4.ip().to_ipv6_mapped(), v4.port())),
        SocketAddr::V6(_) => address,
    };
    let mut connects = 0;
    for frontend in frontends {
        for asked in [frontend, mapped(frontend)] {
            reaches(&server, asked);
            connects += 1;
            let seen = counters(&mut plane, &id(NAME), backend).client;
            assert_eq!((seen.attempts, seen.established), (connects, connects), "{asked}");
        }
    }
    assert_eq!(plane.set(&id(NAME)).unwrap().frontends, frontends);
    assert_eq!(plane.read(&id(NAME)).unwrap().decisions.steered, connects);
}

#[test]
fn both_families_and_two_ports_of_a_service_are_sets_of_their_own() {
    let ground = Ground::new();
    let mut plane = ground.open();
    let (http, admin) = (listen(1), listen(2));
    let six = TcpListener::bind((Ipv6Addr::LOCALHOST, 0)).unwrap();
    let address = |server: &TcpListener| server.local_addr().unwrap();
    let vip6 = SocketAddr::from((VIP6, 80));
    serve(
        &mut plane,
        vec![
            set("http4", &[vip(80)], &[address(&http)]),
            set("http6", &[vip6], &[address(&six)]),
            set("admin4", &[vip(81)], &[address(&admin)]),
        ],
    );
    for (name, server, asked) in [
        ("http4", &http, vip(80)),
        ("http6", &six, vip6),
        ("admin4", &admin, vip(81)),
    ] {
        reaches(server, asked);
        let seen = counters(&mut plane, &id(name), address(server)).client;
        assert_eq!(seen.attempts, 1, "{name}");
    }
}

fn guarded(backend: SocketAddr) -> DesiredSet {
    DesiredSet {
        guards: vec![node_port(), SocketAddr::from((Ipv4Addr::UNSPECIFIED, NODE_PORT))],
        ..set(NAME, &[vip(80), node_port()], &[backend])
    }
}

fn refused(address: SocketAddr) {
    let error = TcpListener::bind(address).expect_err("the guard refuses");
    assert_eq!(error.kind(), ErrorKind::AddrInUse, "{address}");
}

#[test]
fn a_steered_node_port_is_not_bound_by_a_process_of_the_node() {
    let ground = Ground::new();
    let mut plane = ground.open();
    let server = listen(1);
    serve(&mut plane, vec![guarded(server.local_addr().unwrap())]);
    let any4 = SocketAddr::from((Ipv4Addr::UNSPECIFIED, NODE_PORT));
    let any6 = SocketAddr::from((Ipv6Addr::UNSPECIFIED, NODE_PORT));
    for address in [any4, any6, node_port()] {
        refused(address);
    }
    assert_eq!(plane.read_node().unwrap().guarded, 3);
    TcpListener::bind((Ipv4Addr::LOCALHOST, NODE_PORT)).expect("an address that is no node port");
    UdpSocket::bind(any4).expect("the port of another protocol");
    TcpListener::bind((NODE, 0)).expect("a port that the kernel picks");
    let pod = thread::spawn(move || {
        unshare(CloneFlags::CLONE_NEWNET).expect("a pod's namespace");
        TcpListener::bind(any4).map(drop)
    });
    pod.join().unwrap().expect("a pod's port is its own");
    reaches(&server, node_port());
    let watched = DesiredSet {
        mode: Mode::Observe,
        ..guarded(server.local_addr().unwrap())
    };
    serve(&mut plane, vec![watched]);
    TcpListener::bind(any4).expect("Observe refuses nobody");
    assert_eq!(plane.read_node().unwrap().guarded, 3);
}

#[test]
fn without_the_namespace_cookie_nothing_is_guarded_and_the_report_says_so() {
    let mut ground = Ground::new();
    ground.options = Options {
        pretend_missing: vec![CapabilityId::BindGuard],
        ..ground.options.clone()
    };
    let mut plane = ground.open();
    let server = listen(1);
    serve(&mut plane, vec![guarded(server.local_addr().unwrap())]);
    TcpListener::bind((Ipv4Addr::UNSPECIFIED, NODE_PORT)).expect("no guard");
    let capability = plane.capabilities().get(CapabilityId::BindGuard).unwrap();
    assert!(capability.fallback.contains("bind"), "{capability:?}");
    plane.verify().expect("the other hooks are live");
}

#[test]
fn an_address_that_left_the_service_is_no_longer_steered_nor_guarded() {
    let ground = Ground::new();
    let mut plane = ground.open();
    let server = listen(1);
    let backend = server.local_addr().unwrap();
    serve(&mut plane, vec![guarded(backend)]);
    reaches(&server, node_port());
    serve(
        &mut plane,
        vec![set(NAME, &[SocketAddr::from((VIP4, 80))], &[backend])],
    );
    connect(node_port()).expect_err("nobody listens at the node's own port");
    TcpListener::bind(node_port()).expect("no longer guarded");
    reaches(&server, vip(80));
}
