//! As much of HTTP/1.1 as the workload needs: a GET without a body, an answer with a length.
//!
//! HTTP, so that `curl` works by hand; nothing else of it, so that a request costs the machine little and the time
//! measured is the balancer's and the server's.

use std::io::{Error, ErrorKind};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// Longest head of a request.
const HEAD_BYTES: usize = 4096;

/// What the workload reads of a request.
#[derive(Debug, Eq, PartialEq)]
pub(crate) struct Request {
    /// The path.
    pub(crate) path: String,
    /// The client wants the connection closed after the answer.
    pub(crate) close: bool,
}

/// The request at the beginning of `bytes` and its length, once its head is complete.
fn parse(bytes: &[u8]) -> Option<(Request, usize)> {
    let end = bytes.windows(4).position(|w| w == b"\r\n\r\n")? + 4;
    let head = String::from_utf8_lossy(&bytes[..end]);
    let path = head.split_ascii_whitespace().nth(1).unwrap_or("/").to_owned();
    let close = head
        .lines()
        .any(|line| line.eq_ignore_ascii_case("connection: close"));
    Some((Request { path, close }, end))
}

/// Reads one request; `None` if the client closed between requests. `pending` keeps what came early.
pub(crate) async fn request(
    stream: &mut TcpStream,
    pending: &mut Vec<u8>,
) -> std::io::Result<Option<Request>> {
    loop {
        if let Some((request, length)) = parse(pending) {
            pending.drain(..length);
            return Ok(Some(request));
        }
        if pending.len() >= HEAD_BYTES {
            return Err(Error::new(
                ErrorKind::InvalidData,
                "the head of the request is longer than 4096 bytes",
            ));
        }
        if stream.read_buf(pending).await? == 0 {
            return Ok(None);
        }
    }
}

/// Answers 200 with a short body.
pub(crate) async fn respond(stream: &mut TcpStream, body: &str, close: bool) -> std::io::Result<()> {
    let connection = if close { "close" } else { "keep-alive" };
    let length = body.len() + 1;
    let text =
        format!("HTTP/1.1 200 OK\r\ncontent-length: {length}\r\nconnection: {connection}\r\n\r\n{body}\n");
    stream.write_all(text.as_bytes()).await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_head_in_pieces_is_waited_for() {
        let whole = b"GET /a/7 HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\nGET";
        assert_eq!(parse(&whole[..30]), None);
        let (request, length) = parse(whole).unwrap();
        assert_eq!(
            request,
            Request {
                path: "/a/7".into(),
                close: true
            }
        );
        assert_eq!(&whole[length..], b"GET");
    }
}
