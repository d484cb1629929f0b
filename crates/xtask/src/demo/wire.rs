//! The control connections of servers and clients, as the driver uses them.
//!
//! The driver dials pods from the control plane's network namespace. It needs no API server for that, which matters,
//! because one of the faults takes the API server away.

use std::io::{self, BufRead as _, BufReader, Read as _, Write as _};
use std::net::{IpAddr, SocketAddr, TcpStream};
use std::time::Duration;

use continuity_traffic::control::{
    CONTROL_PORT, ClientRequest, ClientState, Fault, Port, ServerRequest, ServerState, Stream, Transport,
};
use continuity_traffic::record::{RECORD_BYTES, Record};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::log::Log;
use crate::Error;
use crate::cluster::{CONTROL, Cluster};

/// Longest a pod may take to answer: it answers from memory.
const PATIENCE: Duration = Duration::from_secs(5);

/// A control connection.
struct Line {
    pod: String,
    stream: BufReader<TcpStream>,
}

impl Line {
    fn dial(cluster: &Cluster, pod: &str, address: IpAddr) -> Result<Self, Error> {
        let address = SocketAddr::new(address, CONTROL_PORT);
        let open = || {
            let stream = cluster.dial(CONTROL, address, PATIENCE)?;
            stream.set_read_timeout(Some(PATIENCE))?;
            stream.set_nodelay(true)?;
            Ok(stream)
        };
        let stream = open().map_err(|source: io::Error| Error::Pod {
            pod: pod.to_owned(),
            source,
        })?;
        Ok(Self {
            pod: pod.to_owned(),
            stream: BufReader::new(stream),
        })
    }

    fn ask<Q: Serialize, A: DeserializeOwned>(&mut self, request: &Q) -> Result<A, Error> {
        let json = |source| Error::Json {
            what: format!("the control line of pod {}", self.pod),
            source,
        };
        let mut text = serde_json::to_string(request).map_err(json)?;
        text.push('\n');
        let mut answer = String::new();
        let exchanged = self.stream.get_mut().write_all(text.as_bytes());
        let exchanged = exchanged.and_then(|()| self.stream.read_line(&mut answer));
        exchanged.map_err(|source| Error::Pod {
            pod: self.pod.clone(),
            source,
        })?;
        serde_json::from_str(&answer).map_err(json)
    }

    fn records(&mut self, count: usize) -> Result<Vec<Record>, Error> {
        let mut bytes = vec![0; count * RECORD_BYTES];
        let read = self.stream.read_exact(&mut bytes);
        read.map_err(|source| Error::Pod {
            pod: self.pod.clone(),
            source,
        })?;
        Ok(bytes
            .as_chunks::<RECORD_BYTES>()
            .0
            .iter()
            .map(Record::decode)
            .collect())
    }
}

/// A client pod.
pub(super) struct Client {
    line: Line,
    next: u64,
}

impl Client {
    /// Connects; what the pod has logged before is not asked for.
    pub(super) fn dial(cluster: &Cluster, pod: &str, address: IpAddr) -> Result<Self, Error> {
        let mut line = Line::dial(cluster, pod, address)?;
        let state: ClientState = line.ask(&ClientRequest::State)?;
        Ok(Self {
            line,
            next: state.next,
        })
    }

    /// Replaces what runs by these streams.
    pub(super) fn start(&mut self, streams: Vec<Stream>, at_ns: u64) -> Result<(), Error> {
        self.line
            .ask::<_, ClientState>(&ClientRequest::Start { streams, at_ns })
            .map(drop)
    }

    /// Who answers at an address, by so many sockets at once.
    pub(super) fn probe(
        &mut self,
        target: SocketAddr,
        transport: Transport,
        count: u16,
    ) -> Result<Vec<String>, Error> {
        let request = ClientRequest::Probe {
            target,
            transport,
            count,
        };
        self.line.ask(&request).map(|state: ClientState| state.peers)
    }

    /// Sends nothing new from now on.
    pub(super) fn stop(&mut self) -> Result<(), Error> {
        self.line.ask::<_, ClientState>(&ClientRequest::Stop).map(drop)
    }

    /// Fetches all there is, into the log.
    pub(super) fn fetch(&mut self, log: &mut Log) -> Result<(), Error> {
        loop {
            let state: ClientState = self.line.ask(&ClientRequest::Fetch { from: self.next })?;
            let records = self.line.records(state.records)?;
            log.extend(&records, &state.backends);
            log.missed += state.missed;
            self.next = state.next;
            if records.is_empty() {
                return Ok(());
            }
        }
    }
}

/// A server pod.
pub(super) struct Server {
    /// The pod's name.
    pub(super) pod: String,
    line: Line,
}

impl Server {
    /// Connects.
    pub(super) fn dial(cluster: &Cluster, pod: &str, address: IpAddr) -> Result<Self, Error> {
        Ok(Self {
            pod: pod.to_owned(),
            line: Line::dial(cluster, pod, address)?,
        })
    }

    /// Changes what a port does; returns when it has taken effect, with the time.
    pub(super) fn set(&mut self, port: Port, fault: Fault) -> Result<u64, Error> {
        self.line
            .ask(&ServerRequest::Set { port, fault })
            .map(|state: ServerState| state.now_ns)
    }

    /// Connections that the port has accepted.
    pub(super) fn accepted(&mut self, port: Port) -> Result<u64, Error> {
        let state: ServerState = self.line.ask(&ServerRequest::State)?;
        Ok(state
            .ports
            .iter()
            .find(|state| state.port == port)
            .map_or(0, |state| state.accepted))
    }
}
