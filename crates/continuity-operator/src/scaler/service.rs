//! The five methods over gRPC, with bounds on what is under way at once.
//!
//! A stream says `active` at once and again with every change of its hint, and ends by itself after a while: KEDA opens it
//! again, so that it finds the replicas that are there then. One that is not answered any more ends with its connection.

use super::answer;
use super::wire::{GetMetricsRequest, IsActiveResponse, ScaledObjectRef};
use crate::published::Hints;
use crate::telemetry::Metrics;
use axum::Router;
use axum::extract::{Path, Request, State};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use futures::Stream;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::time::Instant;
use tonic::body::Body;
use tonic::server::Grpc;
use tonic::{Code, Status};
use tonic_prost::ProstCodec;
use tower::service_fn;

/// Streams at once: one for each ScaledObject of type `external-push`. KEDA has one connection for all of them.
pub(super) const STREAMS_MAX: u32 = 2_000;
/// Requests beside them on one connection. Each is answered from memory.
pub(super) const REQUESTS_MAX: u32 = 500;
/// Life of a stream.
const STREAM_LIFE: Duration = Duration::from_secs(300);
/// Longest message: a name, a namespace and the metadata of a trigger.
const MESSAGE_MAX: usize = 64 * 1024;

#[derive(Clone)]
struct Shared {
    hints: Arc<Hints>,
    metrics: Arc<Metrics>,
    places: Arc<Semaphore>,
    stop: watch::Receiver<bool>,
}

/// The service `externalscaler.ExternalScaler`.
pub(super) fn router(hints: Arc<Hints>, metrics: Arc<Metrics>, stop: watch::Receiver<bool>) -> Router {
    let places = usize::try_from(STREAMS_MAX).unwrap_or(usize::MAX);
    let shared = Shared {
        hints,
        metrics,
        places: Arc::new(Semaphore::new(places)),
        stop,
    };
    Router::new()
        .route("/externalscaler.ExternalScaler/{method}", post(serve))
        .with_state(shared)
}

async fn serve(State(shared): State<Shared>, Path(method): Path<String>, request: Request) -> Response {
    match method.as_str() {
        "IsActive" => is_active(shared, request).await,
        "StreamIsActive" => stream_is_active(shared, request).await,
        "GetMetricSpec" => metric_spec(shared, request).await,
        "GetMetrics" => metrics(shared, request).await,
        // KEDA asks for it and goes on without.
        _ => {
            shared.count("other", Code::Unimplemented);
            Status::unimplemented("this scaler has no such method").into_http::<Body>()
        }
    }
    .into_response()
}

async fn is_active(shared: Shared, request: Request) -> axum::http::Response<Body> {
    let answer = service_fn(move |asked: tonic::Request<ScaledObjectRef>| {
        let found = answer::hint(&shared.hints, asked.get_ref()).map(|_| answer::active());
        std::future::ready(shared.counted("IsActive", found))
    });
    grpc().unary(answer, request).await
}

async fn metric_spec(shared: Shared, request: Request) -> axum::http::Response<Body> {
    let answer = service_fn(move |asked: tonic::Request<ScaledObjectRef>| {
        let found = answer::hint(&shared.hints, asked.get_ref()).map(|_| answer::spec());
        std::future::ready(shared.counted("GetMetricSpec", found))
    });
    grpc().unary(answer, request).await
}

async fn metrics(shared: Shared, request: Request) -> axum::http::Response<Body> {
    let answer = service_fn(move |asked: tonic::Request<GetMetricsRequest>| {
        let of = asked.into_inner().scaled_object_ref.unwrap_or_default();
        let found = answer::hint(&shared.hints, &of).map(|item| answer::value(&item));
        std::future::ready(shared.counted("GetMetrics", found))
    });
    grpc().unary(answer, request).await
}

async fn stream_is_active(shared: Shared, request: Request) -> axum::http::Response<Body> {
    let answer = service_fn(move |asked: tonic::Request<ScaledObjectRef>| {
        let opened = Arc::clone(&shared.places)
            .try_acquire_owned()
            .map(|place| pushed(&shared, asked.into_inner(), place))
            .map_err(|_| {
                Status::resource_exhausted(format!(
                    "{STREAMS_MAX} streams are open; use type external instead of external-push"
                ))
            });
        std::future::ready(shared.counted("StreamIsActive", opened))
    });
    grpc().server_streaming(answer, request).await
}

/// The framing of one method.
fn grpc<Answer, Question>() -> Grpc<ProstCodec<Answer, Question>>
where
    Answer: prost::Message + Send + 'static,
    Question: prost::Message + Default + Send + 'static,
{
    Grpc::new(ProstCodec::default()).max_decoding_message_size(MESSAGE_MAX)
}

impl Shared {
    fn counted<T>(&self, method: &str, result: Result<T, Status>) -> Result<tonic::Response<T>, Status> {
        let code = result.as_ref().map_or_else(Status::code, |_| Code::Ok);
        self.count(method, code);
        result.map(tonic::Response::new)
    }

    fn count(&self, method: &str, code: Code) {
        let code = match code {
            Code::Ok => "ok",
            Code::InvalidArgument => "invalid_argument",
            Code::NotFound => "not_found",
            Code::ResourceExhausted => "resource_exhausted",
            Code::Unimplemented => "unimplemented",
            _ => "unavailable",
        };
        self.metrics.scaler.with_label_values(&[method, code]).inc();
    }
}

/// One open stream.
struct Push {
    shared: Shared,
    asked: ScaledObjectRef,
    changes: watch::Receiver<u64>,
    /// The hint at the last word.
    said: Option<i32>,
    end: Instant,
    over: bool,
    _place: OwnedSemaphorePermit,
}

fn pushed(
    shared: &Shared,
    asked: ScaledObjectRef,
    place: OwnedSemaphorePermit,
) -> impl Stream<Item = Result<IsActiveResponse, Status>> + Send + use<> {
    let push = Push {
        shared: shared.clone(),
        asked,
        changes: shared.hints.changes(),
        said: None,
        end: Instant::now() + STREAM_LIFE,
        over: false,
        _place: place,
    };
    futures::stream::unfold(push, |mut push| async move {
        let word = push.next().await?;
        Some((word, push))
    })
}

impl Push {
    /// The next word; none when it is time to end.
    async fn next(&mut self) -> Option<Result<IsActiveResponse, Status>> {
        while !self.over {
            self.changes.mark_unchanged();
            match answer::hint(&self.shared.hints, &self.asked) {
                Ok(item) if self.said != Some(item.desired) => {
                    self.said = Some(item.desired);
                    return Some(Ok(answer::active()));
                }
                Ok(_) => {}
                Err(status) => {
                    self.over = true;
                    return Some(Err(status));
                }
            }
            tokio::select! {
                changed = self.changes.changed() => self.over = changed.is_err(),
                _ = self.shared.stop.wait_for(|stop| *stop) => self.over = true,
                () = tokio::time::sleep_until(self.end) => self.over = true,
            }
        }
        None
    }
}
