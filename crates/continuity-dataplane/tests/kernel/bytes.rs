//! Bytes are counted once, in order or not.

use std::{
    io::{Read as _, Write as _},
    net::TcpStream,
    process::Command,
    thread::{self, JoinHandle},
};

use continuity_dataplane::wire::Traffic;

use crate::{
    ground::{connect, listen, vip},
    scene::Scene,
};

/// Several times what is added at once, and far beyond the receive buffer.
const LENGTH: usize = 5_000_000;

/// How a transfer ends.
#[derive(Clone, Copy)]
enum End {
    /// The client closes first.
    Client,
    /// The backend closes first, and the client only then.
    Backend,
}

fn backend(listener: std::net::TcpListener, end: End) -> JoinHandle<()> {
    thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        stream.read_exact(&mut vec![0; LENGTH]).unwrap();
        stream.write_all(&vec![8; LENGTH]).unwrap();
        if matches!(end, End::Client) {
            let _ = stream.read(&mut [0]);
        }
    })
}

/// Sends and receives; `disturb` gets the backend's port. What both ends counted.
fn transfer(end: End, disturb: impl FnOnce(u16)) -> (Traffic, Traffic) {
    let mut scene = Scene::new();
    let listener = listen(1);
    let address = listener.local_addr().unwrap();
    scene.serve(address);
    disturb(address.port());
    let reader = backend(listener, end);
    let mut client: TcpStream = connect(vip(80)).expect("connect");
    client.write_all(&vec![7; LENGTH]).unwrap();
    client.read_exact(&mut vec![0; LENGTH]).unwrap();
    if matches!(end, End::Backend) {
        assert_eq!(client.read(&mut [0]).expect("the backend's end"), 0);
    }
    drop(client);
    reader.join().unwrap();
    let seen = scene.closed(address);
    (seen.client, seen.server.unwrap())
}

fn exact((client, served): (Traffic, Traffic)) {
    let length = u64::try_from(LENGTH).unwrap();
    for (side, traffic) in [("client", client), ("server", served)] {
        assert_eq!((traffic.bytes_out, traffic.bytes_in), (length, length), "{side}");
        assert_eq!(traffic.answered, 1, "{side}: one request");
    }
}

#[test]
fn bulk_transfer_counts_every_byte_once_and_is_one_request() {
    exact(transfer(End::Client, |_| {}));
}

#[test]
fn the_end_of_a_connection_is_no_byte_whoever_sends_it_first() {
    exact(transfer(End::Backend, |_| {}));
}

#[test]
fn segments_that_fill_a_hole_after_a_loss_are_counted_once() {
    // One payload segment in thirty is lost on its way to either end.
    let lose = |port: u16| {
        let rules = format!(
            "table ip loss {{ chain lose {{ type filter hook input priority 0; \
             meta length > 500 tcp dport {port} numgen random mod 30 == 0 counter drop; \
             meta length > 500 tcp sport {port} numgen random mod 30 == 0 counter drop; }}; }}"
        );
        let status = Command::new("nft").arg(rules).status().expect("run nft");
        assert!(status.success(), "nft takes the rules");
    };
    exact(transfer(End::Client, lose));
    let seen = std::fs::read_to_string("/proc/net/netstat").expect("read TCP's counters");
    assert!(retransmitted(&seen) > 0, "something was lost: {seen}");
}

/// `TcpExt: TCPLostRetransmit …` as two lines, names and numbers.
fn retransmitted(netstat: &str) -> u64 {
    let mut lines = netstat.lines().filter(|line| line.starts_with("TcpExt:"));
    let (names, numbers) = (lines.next().unwrap(), lines.next().unwrap());
    let columns = names.split(' ').zip(numbers.split(' '));
    columns
        .filter(|(name, _)| matches!(*name, "TCPFastRetrans" | "TCPSlowStartRetrans" | "TCPTimeouts"))
        .map(|(_, number)| number.parse::<u64>().unwrap())
        .sum()
}
