//! One attempt: connect, ask, read the whole answer, say how it ended.

use super::Log;
use crate::clock;
use crate::record::{NO_BACKEND, Outcome, Record};
use std::io::{Error, ErrorKind};
use std::net::SocketAddr;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// Longest answer: the head and a pod's name (253 bytes at most).
const ANSWER_BYTES: usize = 1024;

/// A request that is due.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Due {
    pub(crate) intended_ns: u64,
    pub(crate) id: u32,
    pub(crate) stream: u8,
    pub(crate) seed: u64,
    pub(crate) target: SocketAddr,
    pub(crate) timeout: Duration,
}

impl Due {
    pub(crate) const fn record(
        &self,
        late_us: u32,
        connect_us: u32,
        total_us: u32,
        backend: u16,
        outcome: Outcome,
    ) -> Record {
        Record {
            intended_ns: self.intended_ns,
            id: self.id,
            late_us,
            connect_us,
            total_us,
            backend,
            stream: self.stream,
            outcome,
        }
    }
}

/// Whole microseconds between two instants, held at the ends of the range.
pub(crate) fn micros(from_ns: u64, to_ns: u64) -> u32 {
    u32::try_from(to_ns.saturating_sub(from_ns) / 1000).unwrap_or(u32::MAX)
}

fn outcome(error: &Error) -> Outcome {
    match error.kind() {
        ErrorKind::ConnectionRefused => Outcome::Refused,
        ErrorKind::ConnectionReset
        | ErrorKind::ConnectionAborted
        | ErrorKind::BrokenPipe
        | ErrorKind::NotConnected
        | ErrorKind::UnexpectedEof => Outcome::Reset,
        ErrorKind::TimedOut => Outcome::TimedOut,
        _ => Outcome::Unreachable,
    }
}

/// The name in a complete answer.
fn name(bytes: &[u8]) -> Option<String> {
    let head_end = bytes.windows(4).position(|w| w == b"\r\n\r\n")? + 4;
    let head = std::str::from_utf8(bytes.get(..head_end)?).ok()?;
    let length: usize = head
        .lines()
        .find_map(|l| l.strip_prefix("content-length: "))?
        .parse()
        .ok()?;
    let body = bytes.get(head_end..head_end.checked_add(length)?)?;
    Some(String::from_utf8_lossy(body).trim_end().to_owned())
}

/// Asks over an open connection, and reads the name of who answers.
pub(super) async fn ask(stream: &mut TcpStream, due: &Due, close: bool) -> std::io::Result<String> {
    let connection = if close { "close" } else { "keep-alive" };
    let text = format!(
        "GET /{:x}/{} HTTP/1.1\r\nhost: {}\r\nconnection: {connection}\r\n\r\n",
        due.seed, due.id, due.target
    );
    stream.write_all(text.as_bytes()).await?;
    let mut bytes = Vec::with_capacity(256);
    loop {
        if let Some(name) = name(&bytes) {
            return Ok(name);
        }
        if bytes.len() >= ANSWER_BYTES {
            return Err(ErrorKind::InvalidData.into());
        }
        if stream.read_buf(&mut bytes).await? == 0 {
            return Err(ErrorKind::UnexpectedEof.into());
        }
    }
}

/// Runs one attempt on `kept`, or on a new connection if there is none, and records it. A connection that is to be
/// kept is left in `kept` only after a complete answer.
pub(crate) async fn run(log: &Log, due: Due, kept: &mut Option<TcpStream>, keep: bool) {
    let start_ns = clock::now_ns();
    let mut connect_us = 0;
    let done = tokio::time::timeout(due.timeout, async {
        let mut stream = match kept.take() {
            Some(stream) => stream,
            None => {
                let before_ns = clock::now_ns();
                let stream = TcpStream::connect(due.target).await?;
                connect_us = micros(before_ns, clock::now_ns());
                stream.set_nodelay(true)?;
                stream
            }
        };
        let name = ask(&mut stream, &due, !keep).await?;
        *kept = keep.then_some(stream);
        Ok(name)
    })
    .await
    .unwrap_or_else(|_| Err(ErrorKind::TimedOut.into()));
    let total_us = micros(due.intended_ns, clock::now_ns());
    let (backend, outcome) = match &done {
        Ok(name) => (log.backend(name), Outcome::Answered),
        Err(error) => (NO_BACKEND, outcome(error)),
    };
    log.end(due.record(
        micros(due.intended_ns, start_ns),
        connect_us,
        total_us,
        backend,
        outcome,
    ));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_counts_only_when_complete() {
        let whole = b"HTTP/1.1 200 OK\r\ncontent-length: 4\r\nconnection: close\r\n\r\nabc\n";
        assert_eq!(name(whole), Some("abc".into()));
        assert_eq!(name(&whole[..whole.len() - 1]), None);
        assert_eq!(name(b"HTTP/1.1 200 OK\r\n"), None);
    }
}
