//! `/debug/*`: what goes on inside, for whoever may look.
//!
//! A caller comes through the API server, by its proxy to the pod or by its port-forward, and shows a token for our
//! audience; the API server says whose it is (TokenReview) and whether that one may `get` the path (SubjectAccessReview). So
//! every look needs two rights and is in the audit log three times, and whoever reaches the port by another way learns nothing
//! without a token. Operator and agents serve different pages by the same door.
//!
//! Left out: where it listens and whether over TLS, which is the server's own.

mod review;

use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use kube::Client;
use review::{authenticate, authorise};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Semaphore;

pub use review::AUDIENCE;

/// Requests at once: each costs the API server two reviews.
pub const REQUESTS_MAX: usize = 4;
/// Longest wait for a review.
const DEADLINE: Duration = Duration::from_secs(5);

/// Makes a page at the moment it is asked for; none while there is nothing to show.
pub type Page = Arc<dyn Fn() -> Option<Value> + Send + Sync>;

/// Pages by name: `scheduler` is `/debug/scheduler`.
pub type Pages = BTreeMap<&'static str, Page>;

#[derive(Clone)]
struct Shared {
    client: Client,
    pages: Arc<Pages>,
    places: Arc<Semaphore>,
}

/// Why there is no page, as a Kubernetes Status.
struct Refusal(StatusCode, &'static str, String);

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let Self(code, reason, message) = self;
        let body = json!({
            "kind": "Status", "apiVersion": "v1", "status": "Failure",
            "message": message, "reason": reason, "code": code.as_u16(),
        });
        (code, Json(body)).into_response()
    }
}

/// Answers with `pages` whoever the API server behind `client` lets look.
pub fn router(client: Client, pages: Pages) -> Router {
    let shared = Shared {
        client,
        pages: Arc::new(pages),
        places: Arc::new(Semaphore::new(REQUESTS_MAX)),
    };
    Router::new()
        .route("/debug/{page}", get(answer))
        .with_state(shared)
}

async fn answer(
    State(shared): State<Shared>,
    Path(name): Path<String>,
    headers: HeaderMap,
) -> Result<Json<Value>, Refusal> {
    let Ok(_place) = shared.places.try_acquire() else {
        let message = format!("{REQUESTS_MAX} requests are being answered; ask again in a second");
        return Err(Refusal(StatusCode::TOO_MANY_REQUESTS, "TooManyRequests", message));
    };
    let path = format!("/debug/{name}");
    let review = async {
        let user = authenticate(&shared.client, &headers).await?;
        authorise(&shared.client, &user, &path).await?;
        Ok(user)
    };
    let user = tokio::time::timeout(DEADLINE, review).await.unwrap_or_else(|_| {
        let message = "the API server did not review the caller in time; ask again".to_owned();
        Err(Refusal(StatusCode::GATEWAY_TIMEOUT, "Timeout", message))
    })?;
    tracing::info!(
        user = user.username.as_deref().unwrap_or_default(),
        path,
        "debug was read"
    );
    let page = shared.pages.get(name.as_str()).ok_or_else(|| {
        let known: Vec<&str> = shared.pages.keys().copied().collect();
        let message = format!("there is no page {name}; there are: {}", known.join(", "));
        Refusal(StatusCode::NOT_FOUND, "NotFound", message)
    })?;
    page().map(Json).ok_or_else(|| {
        let message = format!("{path} has nothing to show yet; ask again in a second");
        Refusal(StatusCode::SERVICE_UNAVAILABLE, "ServiceUnavailable", message)
    })
}
