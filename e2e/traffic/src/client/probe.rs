//! Probes: who answers at an address, one socket each.
//!
//! No load and no record: what is asked is which server an address leads to, and how a connect ends that leads to none.

use super::attempt;
use crate::clock;
use crate::control::{PROBES, Transport};
use std::io::{Error, ErrorKind};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;
use tokio::net::{TcpStream, UdpSocket};
use tokio::task::JoinSet;

/// A probe fails after this long: less than the driver waits for the line.
const PATIENCE: Duration = Duration::from_secs(2);
/// Longest name in a datagram: a pod's.
const NAME_BYTES: usize = 256;

/// Who answered each of `count` probes, in the order of the answers.
pub(super) async fn run(target: SocketAddr, transport: Transport, count: u16) -> Vec<String> {
    let mut probes = JoinSet::new();
    for number in 0..count.min(PROBES) {
        probes.spawn(one(target, transport, u32::from(number)));
    }
    probes.join_all().await
}

async fn one(target: SocketAddr, transport: Transport, number: u32) -> String {
    let asked = async {
        match transport {
            Transport::Tcp => {
                let mut stream = TcpStream::connect(target).await?;
                attempt::ask(&mut stream, &due(target, number), true).await
            }
            Transport::UdpConnected => {
                let socket = open(target).await?;
                socket.connect(target).await?;
                socket.send(b"who").await?;
                let mut name = [0; NAME_BYTES];
                let length = socket.recv(&mut name).await?;
                text(&name, length)
            }
            Transport::UdpUnconnected => {
                let socket = open(target).await?;
                socket.send_to(b"who", target).await?;
                let mut name = [0; NAME_BYTES];
                let (length, from) = socket.recv_from(&mut name).await?;
                if from != target {
                    return Err(Error::other(format!("answered from {from}")));
                }
                text(&name, length)
            }
        }
    };
    let answer = tokio::time::timeout(PATIENCE, asked).await;
    answer
        .unwrap_or_else(|_| Err(ErrorKind::TimedOut.into()))
        .unwrap_or_else(|error| format!(" {}", error.kind()))
}

async fn open(target: SocketAddr) -> std::io::Result<UdpSocket> {
    let any: IpAddr = if target.is_ipv4() {
        Ipv4Addr::UNSPECIFIED.into()
    } else {
        Ipv6Addr::UNSPECIFIED.into()
    };
    UdpSocket::bind((any, 0)).await
}

fn text(bytes: &[u8], length: usize) -> std::io::Result<String> {
    let name = bytes.get(..length).ok_or(ErrorKind::InvalidData)?;
    Ok(String::from_utf8_lossy(name).into_owned())
}

fn due(target: SocketAddr, id: u32) -> attempt::Due {
    attempt::Due {
        intended_ns: clock::now_ns(),
        id,
        stream: 0,
        seed: 0,
        target,
        timeout: PATIENCE,
    }
}
