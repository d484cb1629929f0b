//! /healthz, /readyz and /metrics.
//!
//! Healthy: the main loop has turned lately, whatever the API server does. Ready: the picture was complete once, and this
//! replica is not on its way out. An API server that is away makes neither fail; a restart would only lose the picture.

use crate::error::Error;
use crate::telemetry::Metrics;
use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::IntoResponse;
use axum::routing::get;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};
use tokio::net::TcpListener;
use tokio::sync::watch;

/// Silence of the main loop, which turns once a second at least, that counts as stuck.
const STUCK_AFTER: Duration = Duration::from_secs(20);

/// What the probes are answered from.
pub struct Health {
    started: Instant,
    beat_millis: AtomicU64,
    synced: AtomicBool,
    draining: AtomicBool,
}

impl Default for Health {
    fn default() -> Self {
        Self {
            started: Instant::now(),
            beat_millis: AtomicU64::new(0),
            synced: AtomicBool::new(false),
            draining: AtomicBool::new(false),
        }
    }
}

impl Health {
    /// The main loop turned.
    pub fn beat(&self, synced: bool) {
        let millis = u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.beat_millis.store(millis, Ordering::Relaxed);
        // Once complete, the picture stays usable; a watch that reconnects does not take readiness away.
        self.synced.fetch_or(synced, Ordering::Relaxed);
    }

    /// The replica is on its way out.
    pub fn drain(&self) {
        self.draining.store(true, Ordering::Relaxed);
    }

    fn healthy(&self) -> bool {
        let beat = Duration::from_millis(self.beat_millis.load(Ordering::Relaxed));
        self.started.elapsed().saturating_sub(beat) < STUCK_AFTER
    }

    fn ready(&self) -> Result<(), &'static str> {
        if self.draining.load(Ordering::Relaxed) {
            return Err("draining: this replica is on its way out\n");
        }
        if !self.synced.load(Ordering::Relaxed) {
            return Err("not ready: a first list of some kind is still missing; are the CRDs installed?\n");
        }
        Ok(())
    }
}

#[derive(Clone)]
struct Shared {
    health: Arc<Health>,
    metrics: Arc<Metrics>,
}

/// Serves until `stop`.
///
/// # Errors
/// If the address can not be listened on.
pub async fn run(
    address: SocketAddr,
    health: Arc<Health>,
    metrics: Arc<Metrics>,
    stop: watch::Receiver<bool>,
) -> Result<(), Error> {
    let router = Router::new()
        .route("/healthz", get(healthz))
        .route("/readyz", get(readyz))
        .route("/metrics", get(text))
        .with_state(Shared { health, metrics });
    until_stopped(address, router, stop).await
}

/// Serves a router in plain HTTP until `stop`.
pub(crate) async fn until_stopped(
    address: SocketAddr,
    router: Router,
    mut stop: watch::Receiver<bool>,
) -> Result<(), Error> {
    let listener = TcpListener::bind(address)
        .await
        .map_err(|source| Error::Listen { address, source })?;
    let ended = async move {
        let _ = stop.wait_for(|stop| *stop).await;
    };
    axum::serve(listener, router)
        .with_graceful_shutdown(ended)
        .await
        .map_err(|source| Error::Listen { address, source })
}

async fn healthz(State(shared): State<Shared>) -> impl IntoResponse {
    if shared.health.healthy() {
        (StatusCode::OK, "ok\n")
    } else {
        (
            StatusCode::SERVICE_UNAVAILABLE,
            "stuck: the main loop has not turned for 20 s\n",
        )
    }
}

async fn readyz(State(shared): State<Shared>) -> impl IntoResponse {
    match shared.health.ready() {
        Ok(()) => (StatusCode::OK, "ok\n"),
        Err(why) => (StatusCode::SERVICE_UNAVAILABLE, why),
    }
}

async fn text(State(shared): State<Shared>) -> impl IntoResponse {
    match shared.metrics.text() {
        Ok(text) => (
            StatusCode::OK,
            [(header::CONTENT_TYPE, "text/plain; version=0.0.4")],
            text,
        ),
        Err(error) => {
            let text = error.to_string().into_bytes();
            (
                StatusCode::INTERNAL_SERVER_ERROR,
                [(header::CONTENT_TYPE, "text/plain")],
                text,
            )
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_replica_is_ready_once_its_picture_is_complete_and_stays_so_until_it_drains() {
        let health = Health::default();
        assert!(health.ready().is_err());
        health.beat(true);
        health.beat(false);
        assert!(health.ready().is_ok());
        health.drain();
        assert!(health.ready().is_err());
        assert!(health.healthy());
    }
}
