//! The control connection of server and client: one JSON document a line, one answer a line.
//!
//! Plain lines over TCP, so that `nc` is enough by hand and the driver needs nothing but a socket; in particular no
//! API server, which one of the faults takes away. The only answer that is more than a line is the log: the line
//! says how many records of [`crate::record::RECORD_BYTES`] follow it.

use crate::schedule::Knot;
use serde::{Deserialize, Serialize};
use std::net::SocketAddr;

/// Port of the first service port in every server pod.
pub const HTTP_PORT: u16 = 8080;
/// Port of the second service port in every server pod.
pub const ADMIN_PORT: u16 = 8081;
/// Port of the control connection, server and client.
pub const CONTROL_PORT: u16 = 9901;
/// Port that readiness probes ask; no fault touches it.
pub const READY_PORT: u16 = 9902;
/// Longest line either side accepts: 32 streams of some 200 bytes.
pub const LINE_BYTES: u64 = 16 * 1024;
/// Most records in one answer: 16,384 × 32 B = 512 KiB.
pub const FETCH_RECORDS: usize = 16_384;

/// What a backend can be made to do.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Fault {
    /// Nothing: serve.
    #[default]
    End,
    /// Answer later by so much, without holding a worker meanwhile (a slow dependency, not less capacity).
    Gray {
        /// Added delay, ms.
        delay_ms: u32,
    },
    /// Accept and reset at once.
    FastFail,
    /// Close the listening socket.
    Refused,
    /// Accept and never answer.
    Hang,
    /// Gray for one period, well for the next, and so on.
    Alternate {
        /// Added delay while gray, ms.
        delay_ms: u32,
        /// Length of each phase, ms.
        period_ms: u32,
    },
}

/// Which service port of a server.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Port {
    /// [`HTTP_PORT`].
    Http,
    /// [`ADMIN_PORT`].
    Admin,
}

/// A request to a server.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum ServerRequest {
    /// From now on `port` does `fault`.
    Set {
        /// The service port.
        port: Port,
        /// What it does.
        fault: Fault,
    },
    /// Say how it is.
    State,
}

/// What a server says after every request; a `Set` has taken effect by `now_ns`.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct ServerState {
    /// The pod's name.
    pub pod: String,
    /// Time of the answer, `CLOCK_MONOTONIC`.
    pub now_ns: u64,
    /// The service ports.
    pub ports: Vec<PortState>,
}

/// One service port of a server.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct PortState {
    /// Which.
    pub port: Port,
    /// What it does now.
    pub fault: Fault,
    /// Connections accepted since the start.
    pub accepted: u64,
    /// Requests answered since the start.
    pub answered: u64,
    /// Connections open.
    pub open: u64,
}

/// How a stream uses connections.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Connections {
    /// A new one for every request.
    PerRequest,
    /// So many, opened once, reopened only after a failure; each sends its share of the rate.
    KeptAlive {
        /// How many.
        count: u16,
    },
}

/// One stream of requests.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub struct Stream {
    /// Number that its records carry.
    pub id: u8,
    /// Where requests go.
    pub target: SocketAddr,
    /// Arrivals and service times follow from it; streams to be compared share it.
    pub seed: u64,
    /// New connections or kept ones.
    pub connections: Connections,
    /// Rate over time.
    pub rate: Vec<Knot>,
    /// An attempt fails after this long.
    pub timeout_ms: u32,
}

/// A request to a client.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum ClientRequest {
    /// Replace what is running by these streams, due from `at_ns` on.
    Start {
        /// The streams, at most [`STREAMS`].
        streams: Vec<Stream>,
        /// Start, `CLOCK_MONOTONIC`.
        at_ns: u64,
    },
    /// Send nothing new; what is under way still leaves its record.
    Stop,
    /// The log from this sequence number on.
    Fetch {
        /// First sequence number wanted.
        from: u64,
    },
    /// Open so many connections (or send so many datagrams), each on a socket of its own, and say who answered.
    Probe {
        /// Where to; an IPv4-mapped IPv6 address makes an IPv6 socket.
        target: SocketAddr,
        /// How.
        transport: Transport,
        /// How many at once, at most [`PROBES`].
        count: u16,
    },
    /// Say how it is.
    State,
}

/// How a probe asks.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Transport {
    /// A request over a new connection.
    Tcp,
    /// A datagram on a socket that is connected first.
    UdpConnected,
    /// A datagram on a socket that is not.
    UdpUnconnected,
}

/// Most probes of one request: their names of up to 64 bytes fit a line.
pub const PROBES: u16 = 128;

/// Most streams of one client.
pub const STREAMS: usize = 16;

/// What a client says after every request.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct ClientState {
    /// The node it runs on.
    pub node: String,
    /// Time of the answer, `CLOCK_MONOTONIC`.
    pub now_ns: u64,
    /// Sequence number after the last record of this answer, or of the log where none were asked for.
    pub next: u64,
    /// Records that follow this line.
    pub records: usize,
    /// Records that were asked for and had already been overwritten.
    pub missed: u64,
    /// Attempts under way.
    pub outstanding: u64,
    /// Names that the records' backend indices stand for.
    pub backends: Vec<String>,
    /// Who answered each probe; where nobody did, how it ended in words with a blank in front.
    #[serde(default)]
    pub peers: Vec<String>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fault_can_be_typed_by_hand() {
        let line = r#"{"set":{"port":"http","fault":{"gray":{"delay_ms":500}}}}"#;
        let request: ServerRequest = serde_json::from_str(line).unwrap();
        assert_eq!(
            request,
            ServerRequest::Set {
                port: Port::Http,
                fault: Fault::Gray { delay_ms: 500 }
            }
        );
        assert_eq!(
            serde_json::from_str::<ServerRequest>("\"state\"").unwrap(),
            ServerRequest::State
        );
        let end = r#"{"set":{"port":"admin","fault":"end"}}"#;
        assert!(serde_json::from_str::<ServerRequest>(end).is_ok());
    }
}
