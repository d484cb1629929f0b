//! Datagrams: whatever is sent is answered with the pod's name, at once and whatever the fault of the service ports.

use crate::control::HTTP_PORT;
use std::net::{Ipv4Addr, Ipv6Addr};
use tokio::net::UdpSocket;

/// Longest question that is read.
const QUESTION_BYTES: usize = 64;

/// Answers on [`HTTP_PORT`] for ever, IPv6 and IPv4 at once where there is IPv6.
pub(super) async fn serve(name: String) -> std::io::Result<()> {
    let socket = match UdpSocket::bind((Ipv6Addr::UNSPECIFIED, HTTP_PORT)).await {
        Ok(socket) => socket,
        Err(_) => UdpSocket::bind((Ipv4Addr::UNSPECIFIED, HTTP_PORT)).await?,
    };
    let mut question = [0; QUESTION_BYTES];
    loop {
        let (_, from) = socket.recv_from(&mut question).await?;
        // Who asks is told by silence that the answer could not be sent.
        let _sent = socket.send_to(name.as_bytes(), from).await;
    }
}
