//! `/debug/*`: what goes on inside, for whoever may look.
//!
//! A caller comes through the API server: by its proxy to the pod, over TLS, which is what `kubectl continuity debug` does,
//! or by its port-forward where the pages are on the loopback of the pod alone. It shows a token for our audience; the API
//! server says whose it is (TokenReview) and whether that one may `get` the path (SubjectAccessReview). So every look needs
//! two rights and is in the audit log three times, and whoever reaches the port by another way learns nothing without a token.
//! Off unless asked for.

use crate::certificate::Serving;
use crate::error::Error;
use crate::listener::{self, Callers, Door, Running};
use crate::serve;
use crate::warden::{self, Seat, Tended};
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use k8s_openapi::api::authentication::v1::{TokenReview, TokenReviewSpec, UserInfo};
use k8s_openapi::api::authorization::v1::{
    NonResourceAttributes, SubjectAccessReview, SubjectAccessReviewSpec,
};
use kube::Client;
use kube::api::{Api, PostParams};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{Semaphore, watch};

/// Audience of the tokens; one for the API server is refused here, so that nobody sends us one.
pub const AUDIENCE: &str = "continuity-debug";
/// Header of the token where the API server's proxy is on the way: it keeps `Authorization` to itself.
const TOKEN: &str = "x-continuity-token";
/// Secret of the serving certificate, and the name in it. The API server's proxy asks for no particular one.
const NAME: &str = "continuity-debug";
/// Time between two looks at the certificate, which lives for a year.
const LOOK_EVERY: Duration = Duration::from_secs(3_600);
/// Requests at once: each costs the API server two reviews.
const REQUESTS_MAX: usize = 4;
/// Longest wait for a review.
const DEADLINE: Duration = Duration::from_secs(5);
/// Longest token; those of Kubernetes have about 1 kB.
const TOKEN_MAX: usize = 16 * 1024;

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

/// The server.
pub(crate) struct Server {
    seat: Seat,
    router: Router,
}

impl Server {
    /// A server of `pages` at `address`.
    pub(crate) fn new(client: Client, namespace: &str, address: SocketAddr, pages: Pages) -> Self {
        let shared = Shared {
            client: client.clone(),
            pages: Arc::new(pages),
            places: Arc::new(Semaphore::new(REQUESTS_MAX)),
        };
        let seat = Seat {
            client,
            namespace: namespace.to_owned(),
            service: NAME.to_owned(),
            address,
        };
        Self {
            seat,
            router: Router::new()
                .route("/debug/{page}", get(answer))
                .with_state(shared),
        }
    }

    /// Serves until `stop`: on the loopback in plain HTTP, elsewhere over TLS.
    ///
    /// # Errors
    /// If the loopback address can not be listened on.
    pub(crate) async fn run(self, stop: watch::Receiver<bool>) -> Result<(), Error> {
        if self.seat.address.ip().is_loopback() {
            return serve::until_stopped(self.seat.address, self.router, stop).await;
        }
        warden::tend(&self, stop).await;
        Ok(())
    }
}

impl Tended for Server {
    type Footing = Serving;
    const WHAT: &'static str = "/debug";
    const LOOK_EVERY: Duration = LOOK_EVERY;

    async fn look(&self) -> Result<Option<Serving>, Error> {
        self.seat.certificate(NAME, false).await.map(Some)
    }

    async fn start(&self, serving: &Serving, _: &watch::Receiver<bool>) -> Result<Running, Error> {
        let door = Door {
            what: Self::WHAT,
            address: self.seat.address,
            serving,
            callers: Callers::Known(&serving.authority),
            streams: u32::try_from(REQUESTS_MAX).unwrap_or(1),
        };
        listener::start(door, self.router.clone()).await
    }
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

fn unreviewed(error: &kube::Error) -> Refusal {
    let message = format!("the API server did not review the caller: {error}; see config/debug");
    Refusal(StatusCode::INTERNAL_SERVER_ERROR, "InternalError", message)
}

fn bearer(headers: &HeaderMap) -> Option<&str> {
    let proxied = headers.get(TOKEN).and_then(|value| value.to_str().ok());
    let direct = headers
        .get(header::AUTHORIZATION)
        .and_then(|value| value.to_str().ok())
        .and_then(|value| value.strip_prefix("Bearer "));
    proxied
        .or(direct)
        .filter(|token| !token.is_empty() && token.len() <= TOKEN_MAX)
}

/// Whose token it is.
async fn authenticate(client: &Client, headers: &HeaderMap) -> Result<UserInfo, Refusal> {
    let stranger = || {
        let message = format!(
            "show a token for audience {AUDIENCE}: kubectl create token continuity-debug -n continuity-system --audience {AUDIENCE}"
        );
        Refusal(StatusCode::UNAUTHORIZED, "Unauthorized", message)
    };
    let token = bearer(headers).ok_or_else(stranger)?;
    let review = TokenReview {
        spec: TokenReviewSpec {
            token: token.to_owned(),
            audiences: Some(vec![AUDIENCE.to_owned()]),
        },
        ..TokenReview::default()
    };
    let reviews: Api<TokenReview> = Api::all(client.clone());
    let answered = reviews
        .create(&PostParams::default(), &review)
        .await
        .map_err(|error| unreviewed(&error))?;
    let status = answered.status.ok_or_else(stranger)?;
    // An API server that knows no audiences answers without them; its yes is about another audience.
    let ours = status
        .audiences
        .iter()
        .flatten()
        .any(|audience| audience == AUDIENCE);
    if status.authenticated != Some(true) || !ours {
        return Err(stranger());
    }
    status.user.ok_or_else(stranger)
}

/// Whether that one may `get` the path.
async fn authorise(client: &Client, user: &UserInfo, path: &str) -> Result<(), Refusal> {
    let review = SubjectAccessReview {
        spec: SubjectAccessReviewSpec {
            user: user.username.clone(),
            uid: user.uid.clone(),
            groups: user.groups.clone(),
            extra: user.extra.clone(),
            non_resource_attributes: Some(NonResourceAttributes {
                path: Some(path.to_owned()),
                verb: Some("get".to_owned()),
            }),
            ..SubjectAccessReviewSpec::default()
        },
        ..SubjectAccessReview::default()
    };
    let reviews: Api<SubjectAccessReview> = Api::all(client.clone());
    let answered = reviews
        .create(&PostParams::default(), &review)
        .await
        .map_err(|error| unreviewed(&error))?;
    if answered.status.is_some_and(|status| status.allowed) {
        return Ok(());
    }
    let name = user.username.as_deref().unwrap_or_default();
    let message = format!("{name} may not get {path}; bind it to ClusterRole continuity-debug");
    Err(Refusal(StatusCode::FORBIDDEN, "Forbidden", message))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_bearer_token_of_sane_length_is_looked_at() {
        let of = |value: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(header::AUTHORIZATION, value.parse().unwrap());
            bearer(&headers).map(str::to_owned)
        };
        assert_eq!(of("Bearer abc"), Some("abc".to_owned()));
        assert_eq!(of("Basic abc"), None);
        assert_eq!(of("Bearer "), None);
        assert_eq!(of(&format!("Bearer {}", "a".repeat(TOKEN_MAX + 1))), None);
        assert_eq!(bearer(&HeaderMap::new()), None);
        let mut proxied = HeaderMap::new();
        proxied.insert(TOKEN, "abc".parse().unwrap());
        assert_eq!(bearer(&proxied), Some("abc"));
    }
}
