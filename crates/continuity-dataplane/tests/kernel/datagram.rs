//! UDP: connected sockets and others, whose backend stays, goes, or never was.

use std::{
    fs,
    io::{self, ErrorKind},
    net::{Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket},
    process::Command,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, JoinHandle},
    time::Duration,
};

use continuity_dataplane::{
    CapabilityId, Completeness, Dataplane as _, Desired, DesiredSet, FailsafeTimes, KernelDataplane,
    Protocol, Rejection,
};
use socket2::{Domain, SockAddr, Socket, Type};

use crate::ground::{Ground, VIP4, VIP6, counters, eventually, id, serve, set, vip};

const NAME: &str = "datagram";

/// Answers each question with itself, or as a name server that knows one address; remembers who asked.
struct Echo {
    address: SocketAddr,
    asked: Arc<Mutex<Vec<SocketAddr>>>,
    mute: Arc<AtomicBool>,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Echo {
    fn start(last: u8) -> Self {
        Self::on((Ipv4Addr::new(127, 0, 1, last), 0).into(), |question| {
            question.to_vec()
        })
    }

    fn on(address: SocketAddr, answer: impl Fn(&[u8]) -> Vec<u8> + Send + 'static) -> Self {
        let socket = UdpSocket::bind(address).expect("bind");
        socket.set_read_timeout(Some(Duration::from_millis(50))).unwrap();
        let address = socket.local_addr().unwrap();
        let (asked, mute, stop) = (Arc::default(), Arc::default(), Arc::default());
        let (asks, muted, stopped): (Arc<Mutex<Vec<SocketAddr>>>, Arc<AtomicBool>, Arc<AtomicBool>) =
            (Arc::clone(&asked), Arc::clone(&mute), Arc::clone(&stop));
        let thread = thread::spawn(move || {
            let mut question = [0; 512];
            while !stopped.load(Ordering::Relaxed) {
                let Ok((length, peer)) = socket.recv_from(&mut question) else {
                    continue;
                };
                asks.lock().unwrap().push(peer);
                if !muted.load(Ordering::Relaxed) {
                    let _ = socket.send_to(&answer(&question[..length]), peer);
                }
            }
        });
        Self {
            address,
            asked,
            mute,
            stop,
            thread: Some(thread),
        }
    }

    fn asked(&self) -> Vec<SocketAddr> {
        self.asked.lock().unwrap().clone()
    }
}

impl Drop for Echo {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        let _ = self.thread.take().map(JoinHandle::join);
    }
}

fn datagrams(name: &str, frontends: &[SocketAddr], backends: &[SocketAddr]) -> DesiredSet {
    DesiredSet {
        protocol: Protocol::Udp,
        ..set(name, frontends, backends)
    }
}

fn client() -> UdpSocket {
    let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)).unwrap();
    socket.set_read_timeout(Some(Duration::from_millis(500))).unwrap();
    socket
}

/// One question over a connected socket.
fn ask(socket: &UdpSocket) -> io::Result<()> {
    socket.send(b"ping")?;
    let mut answer = [0; 16];
    let length = socket.recv(&mut answer)?;
    assert_eq!(&answer[..length], b"ping");
    Ok(())
}

/// One question without a connection; who seems to have answered.
fn ask_at(socket: &UdpSocket, to: SocketAddr) -> io::Result<SocketAddr> {
    socket.send_to(b"ping", to)?;
    let mut answer = [0; 16];
    let (length, from) = socket.recv_from(&mut answer)?;
    assert_eq!(&answer[..length], b"ping");
    Ok(from)
}

fn ended(plane: &mut KernelDataplane) -> u64 {
    plane.read(&id(NAME)).unwrap().decisions.ended
}

#[test]
fn a_connected_socket_reaches_a_backend_and_shows_the_address_it_asked_for() {
    let ground = Ground::new();
    let mut plane = ground.open();
    let server = Echo::start(1);
    serve(&mut plane, vec![datagrams(NAME, &[vip(53)], &[server.address])]);
    let socket = client();
    socket.connect(vip(53)).unwrap();
    assert_eq!(socket.peer_addr().unwrap(), vip(53));
    ask(&socket).expect("an answer");
    assert_eq!(server.asked(), [socket.local_addr().unwrap()]);
    socket.send(b"ping").unwrap();
    let mut answer = [0; 16];
    let (_, from) = socket.recv_from(&mut answer).expect("an answer");
    assert_eq!(from, vip(53));
    assert_eq!(ask_at(&socket, vip(53)).expect("an answer to sendto"), vip(53));
    let seen = counters(&mut plane, &id(NAME), server.address).client;
    assert_eq!((seen.attempts, seen.established, seen.closed), (1, 1, 0));
    assert_eq!(seen.answered, 3);
    drop(socket);
    let seen = counters(&mut plane, &id(NAME), server.address).client;
    assert_eq!((seen.closed, seen.bytes_out, seen.bytes_in), (1, 12, 12));
    assert_eq!(seen.in_flight(), 0);
    assert_eq!(plane.read(&id(NAME)).unwrap().decisions.steered, 1);
}

#[test]
fn a_socket_that_never_connects_keeps_its_backend_and_hears_the_address_it_asked() {
    let ground = Ground::new();
    let mut plane = ground.open();
    let servers = [Echo::start(1), Echo::start(2)];
    let addresses = [servers[0].address, servers[1].address];
    serve(&mut plane, vec![datagrams(NAME, &[vip(53)], &addresses)]);
    let socket = client();
    for _ in 0..20 {
        plane.heartbeat();
        assert_eq!(ask_at(&socket, vip(53)).expect("an answer"), vip(53));
    }
    let count = |server: &Echo| server.asked().len();
    assert_eq!(count(&servers[0]).max(count(&servers[1])), 20);
    assert_eq!(count(&servers[0]).min(count(&servers[1])), 0);
    assert_eq!(plane.read(&id(NAME)).unwrap().decisions.steered, 1, "one flow");
    for _ in 0..16 {
        assert_eq!(ask_at(&client(), vip(53)).expect("an answer"), vip(53));
    }
    let (first, second) = (count(&servers[0]), count(&servers[1]));
    assert!(
        first.min(second) >= 6,
        "new sockets are shared: {first}, {second}"
    );

    // The backend that this socket has leaves: its next datagram goes to the other.
    let port = socket.local_addr().unwrap().port();
    let knows = |server: &&Echo| server.asked().iter().any(|peer| peer.port() == port);
    let stays = servers.iter().find(|server| !knows(server)).expect("the other");
    serve(&mut plane, vec![datagrams(NAME, &[vip(53)], &[stays.address])]);
    assert_eq!(ask_at(&socket, vip(53)).expect("an answer"), vip(53));
    assert!(knows(&stays));
    let seen = counters(&mut plane, &id(NAME), stays.address).client;
    assert!(seen.attempts > 0 && seen.attempts == seen.closed);
}

#[test]
fn sockets_that_never_connect_reach_also_the_server_that_was_slower_over_connected_ones() {
    let ground = Ground::new();
    let mut plane = ground.open();
    let slow = Echo::on((Ipv4Addr::new(127, 0, 1, 3), 0).into(), |question| {
        thread::sleep(Duration::from_millis(5));
        question.to_vec()
    });
    let servers = [Echo::start(1), Echo::start(2), slow];
    let addresses = servers.each_ref().map(|server| server.address);
    serve(&mut plane, vec![datagrams(NAME, &[vip(53)], &addresses)]);
    for _ in 0..30 {
        plane.heartbeat();
        let socket = client();
        socket.connect(vip(53)).unwrap();
        ask(&socket).expect("an answer");
    }
    let before = servers.each_ref().map(|server| server.asked().len());
    assert!(before[2] > 0, "its answers were measured: {before:?}");
    for _ in 0..60 {
        plane.heartbeat();
        ask_at(&client(), vip(53)).expect("an answer");
    }
    // Their answers are not measured: by the score one that was slower once would get nothing for half a minute.
    let after = servers.each_ref().map(|server| server.asked().len());
    let gained = [0, 1, 2].map(|index| after[index] - before[index]);
    assert!(gained.iter().all(|count| (15..=25).contains(count)), "{gained:?}");
}

#[test]
fn a_connected_socket_whose_backend_left_cannot_send_and_a_new_one_reaches_another() {
    let ground = Ground::new();
    let mut plane = ground.open();
    let servers = [Echo::start(1), Echo::start(2)];
    serve(
        &mut plane,
        vec![datagrams(NAME, &[vip(53)], &[servers[0].address])],
    );
    let socket = client();
    socket.connect(vip(53)).unwrap();
    ask(&socket).expect("an answer");
    serve(
        &mut plane,
        vec![datagrams(NAME, &[vip(53)], &[servers[1].address])],
    );
    let error = socket.send(b"ping").expect_err("its backend is gone");
    assert_eq!(error.raw_os_error(), Some(nix::libc::EPERM));
    let error = socket.send_to(b"ping", vip(53)).expect_err("also by address");
    assert_eq!(error.raw_os_error(), Some(nix::libc::EPERM));
    assert_eq!(ended(&mut plane), 2);
    // The same socket connected again, or a new one: the other backend.
    socket.connect(vip(53)).unwrap();
    ask(&socket).expect("an answer");
    assert_eq!(servers[0].asked().len(), 1);
    assert_eq!(servers[1].asked(), [socket.local_addr().unwrap()]);
    let seen = counters(&mut plane, &id(NAME), servers[1].address).client;
    assert_eq!((seen.attempts, seen.answered), (1, 1));
}

#[test]
fn a_socket_that_left_the_service_and_one_whose_set_is_gone_are_not_touched() {
    let ground = Ground::new();
    let mut plane = ground.open();
    let (server, direct) = (Echo::start(1), Echo::start(2));
    serve(&mut plane, vec![datagrams(NAME, &[vip(53)], &[server.address])]);
    let (left, apart, stays) = (client(), client(), client());
    for socket in [&left, &apart, &stays] {
        socket.connect(vip(53)).unwrap();
        ask(socket).expect("an answer");
    }
    left.connect(direct.address).unwrap();
    assert_eq!(left.peer_addr().unwrap(), direct.address);
    assert_eq!(counters(&mut plane, &id(NAME), server.address).client.closed, 1);
    disconnect(&apart);
    serve(&mut plane, vec![datagrams(NAME, &[vip(53)], &[])]);
    ask(&left).expect("an answer of another peer");
    assert_eq!(ask_at(&apart, direct.address).expect("an answer"), direct.address);
    stays.send(b"ping").expect_err("this one's backend is gone");
    serve(&mut plane, vec![datagrams(NAME, &[vip(53)], &[server.address])]);
    let late = client();
    late.connect(vip(53)).unwrap();
    plane
        .reconcile(&Desired::default(), Completeness::Complete)
        .unwrap();
    ask(&late).expect("its policy is gone, its backend is not");
}

/// Dissolves a UDP socket's association.
fn disconnect(socket: &UdpSocket) {
    use std::os::fd::AsRawFd as _;
    // SAFETY: an address of family AF_UNSPEC is the family alone, which the zeroed struct holds.
    #[allow(unsafe_code, reason = "socket2 makes no address without a family")]
    let result = unsafe {
        let address: nix::libc::sockaddr = std::mem::zeroed();
        nix::libc::connect(
            socket.as_raw_fd(),
            &raw const address,
            u32::try_from(size_of::<nix::libc::sockaddr>()).unwrap(),
        )
    };
    assert_eq!(result, 0, "{}", io::Error::last_os_error());
}

#[test]
fn both_families_and_mapped_sockets_connected_or_not() {
    let ground = Ground::new();
    let mut plane = ground.open();
    let four = Echo::start(1);
    let six = Echo::on((Ipv6Addr::LOCALHOST, 0).into(), |question| question.to_vec());
    let vip6 = SocketAddr::from((VIP6, 53));
    serve(
        &mut plane,
        vec![
            datagrams("four", &[vip(53)], &[four.address]),
            datagrams("six", &[vip6], &[six.address]),
        ],
    );
    let mapped = SocketAddr::from((VIP4.to_ipv6_mapped(), 53));
    for (name, server, asked) in [("six", &six, vip6), ("four", &four, mapped)] {
        let socket = Socket::new(Domain::IPV6, Type::DGRAM, None).unwrap();
        socket.set_only_v6(false).unwrap();
        socket
            .bind(&SockAddr::from(SocketAddr::from((Ipv6Addr::UNSPECIFIED, 0))))
            .unwrap();
        let socket = UdpSocket::from(socket);
        socket.set_read_timeout(Some(Duration::from_millis(500))).unwrap();
        assert_eq!(ask_at(&socket, asked).expect("without a connection"), asked);
        socket.connect(asked).unwrap();
        ask(&socket).expect("with one");
        assert_eq!(socket.peer_addr().unwrap(), asked);
        let seen = counters(&mut plane, &id(name), server.address).client;
        assert_eq!((seen.attempts, server.asked().len()), (2, 2), "{name}");
    }
}

#[test]
fn one_number_in_two_protocols_is_two_sets() {
    let ground = Ground::new();
    let mut plane = ground.open();
    let server = Echo::start(1);
    let listener = crate::ground::listen(2);
    serve(
        &mut plane,
        vec![
            datagrams("udp", &[vip(53)], &[server.address]),
            set("tcp", &[vip(53)], &[listener.local_addr().unwrap()]),
        ],
    );
    crate::ground::connect(vip(53)).expect("over TCP");
    listener.accept().expect("the TCP backend sees it");
    let socket = client();
    socket.connect(vip(53)).unwrap();
    ask(&socket).expect("over UDP");
    for name in ["udp", "tcp"] {
        assert_eq!(plane.read(&id(name)).unwrap().decisions.steered, 1, "{name}");
        assert_eq!(plane.set(&id(name)).unwrap().frontends, [vip(53)]);
    }
}

#[test]
fn a_set_without_backends_refuses_both_ways_of_sending() {
    let ground = Ground::new();
    let mut plane = ground.open();
    serve(&mut plane, vec![datagrams(NAME, &[vip(53)], &[])]);
    let socket = client();
    let error = socket.connect(vip(53)).expect_err("nobody to connect to");
    assert_eq!(error.kind(), ErrorKind::ConnectionRefused);
    let error = socket.send_to(b"ping", vip(53)).expect_err("nobody to send to");
    assert_eq!(error.kind(), ErrorKind::ConnectionRefused);
    assert_eq!(plane.read(&id(NAME)).unwrap().decisions.refused_empty, 2);
}

#[test]
fn a_silent_agent_lets_new_flows_go_to_the_vip_and_open_ones_stay() {
    let ground = Ground::new();
    let mut plane = ground.open();
    let server = Echo::start(1);
    let quick = DesiredSet {
        failsafe: FailsafeTimes {
            hold_after: Duration::from_millis(200),
            fallback_after: Duration::from_millis(400),
        },
        ..datagrams(NAME, &[vip(53)], &[server.address])
    };
    serve(&mut plane, vec![quick]);
    plane.heartbeat();
    let (connected, loose) = (client(), client());
    connected.connect(vip(53)).unwrap();
    ask(&connected).unwrap();
    ask_at(&loose, vip(53)).unwrap();
    thread::sleep(Duration::from_millis(500));
    ask(&connected).expect("the open socket stays");
    ask_at(&loose, vip(53)).expect_err("nobody serves the VIP here");
    assert_eq!(plane.read(&id(NAME)).unwrap().decisions.passed_fallback, 1);
    plane.heartbeat();
    ask_at(&loose, vip(53)).expect("steered again");
}

#[test]
fn a_node_without_the_hooks_leaves_udp_to_kube_proxy_by_name() {
    let mut ground = Ground::new();
    ground.options.pretend_missing = vec![CapabilityId::Datagram];
    let mut plane = ground.open();
    let desired = Desired {
        sets: vec![datagrams(NAME, &[vip(53)], &[])],
    };
    let report = plane.reconcile(&desired, Completeness::Complete).unwrap();
    let expected = Rejection::Unsupported {
        id: id(NAME),
        capability: CapabilityId::Datagram,
    };
    assert_eq!(report.rejected, [expected]);
    client().connect(vip(53)).expect("left alone");
    plane.verify().expect("the other hooks are live");
}

/// An answer of a name server: every name of type A is 192.0.2.77, other types are empty.
fn resolve(question: &[u8]) -> Vec<u8> {
    let mut answer = question.to_vec();
    let end = 12 + question[12..].iter().position(|byte| *byte == 0).expect("a name") + 5;
    answer.truncate(end);
    let address = question[end - 4..end - 2] == [0, 1];
    answer[2..4].copy_from_slice(&[0x81, 0x80]);
    answer[6..12].copy_from_slice(&[0, u8::from(address), 0, 0, 0, 0]);
    if address {
        answer.extend([0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4, 192, 0, 2, 77]);
    }
    answer
}

#[test]
fn the_resolver_of_glibc_survives_the_death_of_the_name_server_that_it_asked() {
    let ground = Ground::new();
    let mut plane = ground.open();
    let servers = [1, 2].map(|last| Echo::on((Ipv4Addr::new(127, 0, 1, last), 0).into(), resolve));
    serve(
        &mut plane,
        vec![datagrams(NAME, &[vip(53)], &[servers[0].address])],
    );
    let file = std::env::temp_dir().join(format!("continuity-resolv-{}", std::process::id()));
    fs::write(
        &file,
        format!("nameserver {VIP4}\noptions timeout:1 attempts:4\n"),
    )
    .unwrap();
    let bind = nix::mount::MsFlags::MS_BIND;
    nix::mount::mount(Some(&file), "/etc/resolv.conf", None::<&str>, bind, None::<&str>)
        .expect("a resolv.conf of our own");
    let lookup = || {
        let mut command = Command::new("getent");
        command.args(["-s", "hosts:dns", "ahostsv4", "name.example"]);
        command
    };
    let output = lookup().output().expect("run getent");
    assert!(
        String::from_utf8_lossy(&output.stdout).contains("192.0.2.77"),
        "{output:?}"
    );
    servers[0].mute.store(true, Ordering::Relaxed);
    let before = servers[0].asked().len();
    let waiting = lookup()
        .stdout(std::process::Stdio::piped())
        .spawn()
        .expect("run getent");
    eventually("the first server was asked", || servers[0].asked().len() > before);
    serve(
        &mut plane,
        vec![datagrams(NAME, &[vip(53)], &[servers[1].address])],
    );
    let began = std::time::Instant::now();
    while began.elapsed() < Duration::from_secs(2) {
        plane.heartbeat();
        thread::sleep(Duration::from_millis(100));
    }
    let output = waiting.wait_with_output().expect("an end");
    assert!(
        String::from_utf8_lossy(&output.stdout).contains("192.0.2.77"),
        "{output:?}"
    );
    assert_eq!(
        servers[0].asked().len(),
        before + 1,
        "the dead one is not asked again"
    );
    assert!(!servers[1].asked().is_empty());
    println!("sends that failed: {}", ended(&mut plane));
    fs::remove_file(&file).unwrap();
}
