//! The server of the workload: honest queueing, and faults that take effect at once.
//!
//! A connection asks `GET /KEY`; a request takes one of W workers for a service time that is a function of its key
//! and is answered with the pod's name. W workers and a known mean make the utilisation known. Readiness is on a
//! port of its own and stays green whatever the fault, because the faults of interest are the ones that health
//! checks do not see.

mod datagram;
mod exchange;
mod port;

use crate::control::{ADMIN_PORT, CONTROL_PORT, HTTP_PORT, Port, READY_PORT, ServerRequest, ServerState};
use crate::{clock, line};
use port::ServicePort;
use std::sync::Arc;
use std::time::Duration;
use tokio::signal::unix::{SignalKind, signal};

/// How a server behaves while nothing is wrong.
#[derive(Clone, Debug)]
pub struct Profile {
    /// The name it answers with.
    pub name: String,
    /// Requests served at once, on each service port.
    pub workers: usize,
    /// Mean service time, ms.
    pub mean_ms: f64,
    /// Shape of the log-normal service time; 0 makes it constant.
    pub sigma: f64,
    /// How long to keep serving after SIGTERM, while endpoints are withdrawn everywhere.
    pub drain: Duration,
}

struct Server {
    name: String,
    ports: Vec<Arc<ServicePort>>,
}

impl line::Answer for Server {
    type Request = ServerRequest;
    type State = ServerState;

    async fn answer(&self, request: ServerRequest) -> (ServerState, Vec<u8>) {
        if let ServerRequest::Set { port, fault } = request
            && let Some(found) = self.ports.iter().find(|p| p.port == port)
        {
            found.set(fault).await;
        }
        let ports = self.ports.iter().map(|p| p.state()).collect();
        (
            ServerState {
                pod: self.name.clone(),
                now_ns: clock::now_ns(),
                ports,
            },
            Vec::new(),
        )
    }
}

/// Serves until SIGTERM, then drains and returns.
///
/// # Errors
/// A port that cannot be bound, or a signal handler that cannot be installed.
pub async fn run(profile: Profile) -> std::io::Result<()> {
    let mut term = signal(SignalKind::terminate())?;
    let profile = Arc::new(profile);
    let ports: Vec<_> = [(Port::Http, HTTP_PORT), (Port::Admin, ADMIN_PORT)]
        .into_iter()
        .map(|(port, number)| Arc::new(ServicePort::new(port, number, profile.clone())))
        .collect();
    let server = Arc::new(Server {
        name: profile.name.clone(),
        ports: ports.clone(),
    });
    let mut tasks = tokio::task::JoinSet::new();
    for port in ports {
        tasks.spawn(async move { port.serve().await });
    }
    tasks.spawn(line::serve(CONTROL_PORT, server));
    tasks.spawn(ready());
    tasks.spawn(datagram::serve(profile.name.clone()));
    tokio::select! {
        _ = term.recv() => tokio::time::sleep(profile.drain).await,
        Some(Ok(ended)) = tasks.join_next() => return ended,
    }
    Ok(())
}

/// The readiness port: any request is answered 200.
async fn ready() -> std::io::Result<()> {
    let listener = line::listen(READY_PORT, 64)?;
    loop {
        let (mut stream, _) = listener.accept().await?;
        tokio::spawn(async move {
            let mut pending = Vec::new();
            let asked = exchange::request(&mut stream, &mut pending);
            if let Ok(Ok(Some(_))) = tokio::time::timeout(Duration::from_secs(1), asked).await {
                // A prober that went away needs no answer.
                let _gone = exchange::respond(&mut stream, "ready", true).await;
            }
        });
    }
}
