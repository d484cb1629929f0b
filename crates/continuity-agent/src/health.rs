//! `/healthz`, `/readyz` and `/metrics`: what the kubelet, an operator and Prometheus ask.
//!
//! Alive means that the loop moved within 5 s, not that this server answers. Ready means that the hooks were found live in
//! the kernel and the first lists were complete, or that the node cannot do it and says so: then kube-proxy serves and a
//! roll-out must not stall on it.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use axum::Router;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::IntoResponse;
use axum::routing::get;
use continuity_sensors::{NodeSample, PodId};
use prometheus::{Histogram, HistogramVec};

use crate::cluster::backoff::Refusal;
use crate::forecast::Forecast;
use crate::metrics;
use crate::snapshot::{PlaneState, Snapshot};

/// A loop that has not moved for this long is not alive: 25 ticks of 200 ms, and more than the longest grace period.
const STALE: Duration = Duration::from_secs(5);

/// A port in use is tried again this often; the agent works without its health port.
const BIND_RETRY: Duration = Duration::from_secs(5);

/// Outcomes of report writes: written, and one slot for each kind of refusal.
const REPORT_SLOTS: usize = Refusal::ALL.len();

/// What both halves of the agent pin up for whoever asks.
#[derive(Debug)]
pub struct Board {
    started: Instant,
    moved_millis: AtomicU64,
    verified: AtomicBool,
    snapshot: Mutex<Arc<Snapshot>>,
    sensed: Mutex<Arc<NodeSample>>,
    cgroups: Mutex<Arc<BTreeMap<PodId, Vec<u64>>>>,
    reports_written: AtomicU64,
    reports_failed: [AtomicU64; REPORT_SLOTS],
    watch_failures: [AtomicU64; REPORT_SLOTS],
    refused_records: AtomicU64,
    rounds: Option<Histogram>,
    foreseen: Mutex<Arc<Forecast>>,
    /// The first warning that no report has told: how many were raised with it, and when.
    untold: Mutex<Option<(u64, Instant)>>,
    actions: Option<HistogramVec>,
}

/// What a reading led to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// A field in the kernel.
    Field,
    /// A report.
    Report,
}

impl Action {
    const fn label(self) -> &'static str {
        match self {
            Self::Field => "field",
            Self::Report => "report",
        }
    }
}

impl Default for Board {
    fn default() -> Self {
        Self {
            started: Instant::now(),
            moved_millis: AtomicU64::new(0),
            verified: AtomicBool::new(false),
            snapshot: Mutex::default(),
            sensed: Mutex::default(),
            cgroups: Mutex::default(),
            reports_written: AtomicU64::new(0),
            reports_failed: Default::default(),
            watch_failures: Default::default(),
            refused_records: AtomicU64::new(0),
            rounds: metrics::rounds(),
            foreseen: Mutex::default(),
            untold: Mutex::default(),
            actions: metrics::actions(),
        }
    }
}

impl Board {
    /// The loop moved.
    pub fn moved(&self) {
        let millis = u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.moved_millis.store(millis, Ordering::Relaxed);
    }

    /// A round took this long.
    pub fn took(&self, round: Duration) {
        if let Some(rounds) = &self.rounds {
            rounds.observe(round.as_secs_f64());
        }
    }

    /// Times of rounds.
    #[must_use]
    pub const fn rounds(&self) -> Option<&Histogram> {
        self.rounds.as_ref()
    }

    /// Whether the kernel said that every hook is live.
    pub fn verified(&self, live: bool) {
        self.verified.store(live, Ordering::Relaxed);
    }

    /// The newest picture.
    pub fn show(&self, snapshot: Arc<Snapshot>) {
        *self.snapshot.lock().unwrap_or_else(PoisonError::into_inner) = snapshot;
    }

    /// The picture last shown.
    #[must_use]
    pub fn snapshot(&self) -> Arc<Snapshot> {
        Arc::clone(&self.snapshot.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// What the sensors read last.
    pub fn sense(&self, sample: Arc<NodeSample>) {
        *self.sensed.lock().unwrap_or_else(PoisonError::into_inner) = sample;
    }

    /// The node as the sensors last saw it.
    #[must_use]
    pub fn sensed(&self) -> Arc<NodeSample> {
        Arc::clone(&self.sensed.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// What the sensors foretell.
    pub fn foresee(&self, forecast: Arc<Forecast>) {
        let mut known = self.foreseen.lock().unwrap_or_else(PoisonError::into_inner);
        if forecast.raised > known.raised {
            let mut untold = self.untold.lock().unwrap_or_else(PoisonError::into_inner);
            untold.get_or_insert((forecast.raised, Instant::now()));
        }
        *known = forecast;
    }

    /// What the sensors foretold last.
    #[must_use]
    pub fn foreseen(&self) -> Arc<Forecast> {
        Arc::clone(&self.foreseen.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// A report told the warnings up to the `raised`th.
    pub fn told(&self, raised: u64) {
        let mut untold = self.untold.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, since)) = untold.take_if(|(first, _)| *first <= raised) {
            self.acted(Action::Report, since.elapsed());
        }
    }

    /// A reading led to an action after so long.
    pub fn acted(&self, action: Action, after: Duration) {
        if let Some(actions) = &self.actions {
            actions
                .with_label_values(&[action.label()])
                .observe(after.as_secs_f64());
        }
    }

    /// Times from readings to actions.
    #[must_use]
    pub const fn actions(&self) -> Option<&HistogramVec> {
        self.actions.as_ref()
    }

    /// The cgroups of calling pods; the same ones change nothing.
    pub fn place(&self, cgroups: BTreeMap<PodId, Vec<u64>>) {
        let mut known = self.cgroups.lock().unwrap_or_else(PoisonError::into_inner);
        if **known != cgroups {
            *known = Arc::new(cgroups);
        }
    }

    /// The cgroups of calling pods as they were last found.
    #[must_use]
    pub fn cgroups(&self) -> Arc<BTreeMap<PodId, Vec<u64>>> {
        Arc::clone(&self.cgroups.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// A report was written.
    pub fn report_written(&self) {
        self.reports_written.fetch_add(1, Ordering::Relaxed);
    }

    /// A report was refused.
    pub fn report_failed(&self, refusal: Refusal) {
        count(&self.reports_failed, refusal);
    }

    /// A watch failed.
    pub fn watch_failed(&self, refusal: Refusal) {
        count(&self.watch_failures, refusal);
    }

    /// Records refused for lack of room, in all.
    pub fn refused_records(&self, total: u64) {
        self.refused_records.store(total, Ordering::Relaxed);
    }

    /// Counts for the metrics: reports written, reports failed and watch failures by kind, records refused.
    #[must_use]
    pub fn counts(&self) -> (u64, [u64; REPORT_SLOTS], [u64; REPORT_SLOTS], u64) {
        let load =
            |slots: &[AtomicU64; REPORT_SLOTS]| slots.each_ref().map(|slot| slot.load(Ordering::Relaxed));
        (
            self.reports_written.load(Ordering::Relaxed),
            load(&self.reports_failed),
            load(&self.watch_failures),
            self.refused_records.load(Ordering::Relaxed),
        )
    }

    /// The loop moved of late.
    fn alive(&self) -> Result<String, String> {
        let moved = Duration::from_millis(self.moved_millis.load(Ordering::Relaxed));
        let still = self.started.elapsed().saturating_sub(moved);
        if still > STALE {
            return Err(format!("the node loop has not moved for {} s", still.as_secs()));
        }
        Ok("the node loop moves".to_owned())
    }

    /// The dataplane works, or cannot and says so.
    fn ready(&self) -> Result<String, String> {
        self.alive()?;
        let snapshot = self.snapshot();
        match snapshot.plane.state {
            PlaneState::Opening => Err("the dataplane is being opened".to_owned()),
            PlaneState::Detached | PlaneState::Refused => Ok(format!(
                "feature off, kube-proxy serves: {}",
                snapshot.plane.message
            )),
            PlaneState::Attached if !self.verified.load(Ordering::Relaxed) => Err(format!(
                "hooks are not live in the kernel: {}",
                snapshot.plane.message
            )),
            PlaneState::Attached if !snapshot.adopted => Err(
                "the first complete lists of plans, Services and EndpointSlices are on their way".to_owned(),
            ),
            PlaneState::Attached => Ok(format!("{} sets in force", snapshot.lanes.len())),
        }
    }
}

fn count(slots: &[AtomicU64; REPORT_SLOTS], refusal: Refusal) {
    let place = Refusal::ALL.iter().position(|known| *known == refusal);
    if let Some(slot) = place.and_then(|place| slots.get(place)) {
        slot.fetch_add(1, Ordering::Relaxed);
    }
}

/// Serves until the process ends. A port that cannot be had is tried again: traffic does not depend on it.
pub async fn serve(board: Arc<Board>, address: SocketAddr) {
    loop {
        match tokio::net::TcpListener::bind(address).await {
            Ok(listener) => {
                tracing::info!(%address, "health port open");
                if let Err(error) = axum::serve(listener, router(Arc::clone(&board))).await {
                    tracing::warn!(%error, "health port closed");
                }
            }
            Err(error) => tracing::warn!(%address, %error, "health port not to be had, trying again"),
        }
        tokio::time::sleep(BIND_RETRY).await;
    }
}

fn router(board: Arc<Board>) -> Router {
    let answer = |verdict: Result<String, String>| match verdict {
        Ok(text) => (StatusCode::OK, text + "\n"),
        Err(text) => (StatusCode::SERVICE_UNAVAILABLE, text + "\n"),
    };
    Router::new()
        .route(
            "/healthz",
            get(async move |State(board): State<Arc<Board>>| answer(board.alive())),
        )
        .route(
            "/readyz",
            get(async move |State(board): State<Arc<Board>>| answer(board.ready())),
        )
        .route(
            "/metrics",
            get(async |State(board): State<Arc<Board>>| page(&board)),
        )
        .with_state(board)
}

fn page(board: &Board) -> axum::response::Response {
    match metrics::page(board) {
        Ok(text) => ([("content-type", prometheus::TEXT_FORMAT)], text).into_response(),
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, error.to_string()).into_response(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::snapshot::Plane;

    fn shown(state: PlaneState, adopted: bool) -> Board {
        let board = Board::default();
        let plane = Plane {
            state,
            message: "no bpf file system".to_owned(),
            ..Plane::default()
        };
        board.show(Arc::new(Snapshot {
            plane,
            adopted,
            ..Snapshot::default()
        }));
        board.moved();
        board
    }

    #[test]
    fn a_node_that_cannot_do_it_is_ready_and_says_why() {
        let said = shown(PlaneState::Detached, false).ready().expect("ready");
        assert!(
            said.contains("kube-proxy serves") && said.contains("no bpf file system"),
            "{said}"
        );
    }

    #[test]
    fn ready_needs_the_kernels_word_and_the_first_lists() {
        assert!(shown(PlaneState::Opening, false).ready().is_err());
        let board = shown(PlaneState::Attached, true);
        assert!(board.ready().is_err(), "not verified");
        board.verified(true);
        assert!(board.ready().is_ok());
        let early = shown(PlaneState::Attached, false);
        early.verified(true);
        assert!(early.ready().is_err(), "no lists");
    }

    #[test]
    fn a_loop_that_stands_still_is_neither_alive_nor_ready() {
        let board = Board {
            started: Instant::now() - Duration::from_secs(60),
            ..Board::default()
        };
        assert!(board.alive().is_err());
        assert!(board.ready().is_err());
        board.moved();
        assert!(board.alive().is_ok());
    }
}
