//! The serving side of the control connection, the same for server and client.
//!
//! One line in, one line out, then whatever bytes the answer brings along. A line that is too long or is not a
//! request ends the connection with a line that says why.

use crate::control::LINE_BYTES;
use serde::{Serialize, de::DeserializeOwned};
use std::sync::Arc;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpSocket, TcpStream};

/// Control connections at once: one driver, a few people.
const CONNECTIONS: usize = 16;

/// Answers requests of one kind.
pub(crate) trait Answer: Send + Sync + 'static {
    /// What a line holds.
    type Request: DeserializeOwned + Send;
    /// What the answering line holds.
    type State: Serialize + Send;
    /// The answer, and the bytes that follow its line.
    fn answer(&self, request: Self::Request) -> impl Future<Output = (Self::State, Vec<u8>)> + Send;
}

#[derive(Serialize)]
struct Refusal {
    error: String,
}

/// A listening socket for IPv6 and IPv4 at once, or for IPv4 alone where there is no IPv6.
pub(crate) fn listen(port: u16, backlog: u32) -> std::io::Result<TcpListener> {
    let bind = |socket: TcpSocket, address: std::net::IpAddr| {
        socket.set_reuseaddr(true)?;
        socket.bind((address, port).into())?;
        socket.listen(backlog)
    };
    TcpSocket::new_v6()
        .and_then(|socket| {
            socket2::SockRef::from(&socket).set_only_v6(false)?;
            bind(socket, std::net::Ipv6Addr::UNSPECIFIED.into())
        })
        .or_else(|_| bind(TcpSocket::new_v4()?, std::net::Ipv4Addr::UNSPECIFIED.into()))
}

/// Serves control connections for ever.
pub(crate) async fn serve<A: Answer>(port: u16, answer: Arc<A>) -> std::io::Result<()> {
    let listener = listen(port, 64)?;
    let room = Arc::new(tokio::sync::Semaphore::new(CONNECTIONS));
    loop {
        let (stream, _) = listener.accept().await?;
        if let Ok(place) = room.clone().try_acquire_owned() {
            let answer = answer.clone();
            tokio::spawn(async move {
                // The peer is told by the end of the connection; there is nobody else to tell.
                let _ended = converse(stream, answer.as_ref()).await;
                drop(place);
            });
        }
    }
}

async fn converse<A: Answer>(stream: TcpStream, answer: &A) -> std::io::Result<()> {
    stream.set_nodelay(true)?;
    let (read, mut write) = stream.into_split();
    let mut read = BufReader::new(read);
    loop {
        let mut text = String::new();
        if (&mut read).take(LINE_BYTES).read_line(&mut text).await? == 0 {
            return Ok(());
        }
        let (mut out, tail) = match serde_json::from_str(&text) {
            Ok(request) => {
                let (state, tail) = answer.answer(request).await;
                (serde_json::to_vec(&state)?, tail)
            }
            Err(error) => {
                let refusal = Refusal {
                    error: format!("not a request: {error}"),
                };
                write.write_all(&serde_json::to_vec(&refusal)?).await?;
                return write.write_all(b"\n").await;
            }
        };
        out.push(b'\n');
        write.write_all(&out).await?;
        write.write_all(&tail).await?;
    }
}
