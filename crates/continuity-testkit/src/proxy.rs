//! The proxy: plain HTTP on the loopback, the real API server behind it.
//!
//! It speaks to the API server as the `kube::Client` it is given, so it stands in for that client's user; point a
//! kubeconfig without credentials at [`Proxy::url`]. Bodies are streamed, so watches pass. What passed is kept, at most
//! [`EXCHANGES_MAX`], for tests to look at.

use crate::error::Error;
use crate::fault::{Fault, Rule};
use axum::Router;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::{HeaderValue, Response, StatusCode, header};
use futures::{StreamExt, stream};
use kube::Client;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::AbortHandle;

/// Exchanges kept; the oldest go first.
pub const EXCHANGES_MAX: usize = 100_000;
/// Largest request body: an object of 1.5 MiB is what etcd takes.
const BODY_MAX: usize = 2 * 1024 * 1024;

/// A request and what it got.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Exchange {
    /// Method.
    pub method: String,
    /// Path, without the query.
    pub path: String,
    /// Whether it asked for a watch.
    pub watch: bool,
    /// Body of the request.
    pub body: String,
    /// Status that the client, had it waited, was given.
    pub status: u16,
    /// Whether the answer is the API server's own.
    pub genuine: bool,
    /// What the API server said, where it refused.
    pub refusal: String,
}

#[derive(Default)]
struct Faults {
    rules: Vec<(Rule, u64)>,
}

struct Shared {
    upstream: Client,
    faults: Mutex<Faults>,
    exchanges: Mutex<Vec<Exchange>>,
    released: watch::Sender<u64>,
}

/// A running proxy; dropping it ends it.
pub struct Proxy {
    address: SocketAddr,
    shared: Arc<Shared>,
    task: AbortHandle,
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Proxy {
    /// Starts a proxy before the API server that `upstream` speaks to.
    ///
    /// # Errors
    /// If the loopback can not be listened on.
    pub async fn start(upstream: Client) -> Result<Self, Error> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let shared = Arc::new(Shared {
            upstream,
            faults: Mutex::default(),
            exchanges: Mutex::default(),
            released: watch::channel(0).0,
        });
        let router = Router::new().fallback(answer).with_state(Arc::clone(&shared));
        let task = tokio::spawn(async move {
            // It ends with its handle; an error of accept would show as requests without an answer.
            let _ = axum::serve(listener, router).await;
        });
        Ok(Self {
            address,
            shared,
            task: task.abort_handle(),
        })
    }

    /// What a kubeconfig names as server.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Replaces the rules; an empty list lets everything through.
    pub fn set(&self, rules: Vec<Rule>) {
        locked(&self.shared.faults).rules = rules.into_iter().map(|rule| (rule, 0)).collect();
    }

    /// Lets everything that is held go on to the API server.
    pub fn release(&self) {
        self.shared.released.send_modify(|times| *times += 1);
    }

    /// What passed so far, in the order of the answers.
    #[must_use]
    pub fn exchanges(&self) -> Vec<Exchange> {
        locked(&self.shared.exchanges).clone()
    }
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // A test that panicked elsewhere must not hide its own message behind ours.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Shared {
    fn fault(&self, method: &str, path: &str, query: &str) -> Option<Fault> {
        let mut faults = locked(&self.faults);
        let (rule, seen) = faults
            .rules
            .iter_mut()
            .find(|(rule, _)| rule.names(method, path, query))?;
        *seen += 1;
        (*seen - 1)
            .is_multiple_of(rule.every.max(1))
            .then_some(rule.fault)
    }

    fn keep(&self, exchange: Exchange) {
        let mut exchanges = locked(&self.exchanges);
        if exchanges.len() >= EXCHANGES_MAX {
            exchanges.remove(0);
        }
        exchanges.push(exchange);
    }
}

async fn answer(State(shared): State<Arc<Shared>>, request: Request) -> Response<Body> {
    // In a task of its own: a client that gives up must not take a held request away.
    let handled = tokio::spawn(handle(shared, request)).await;
    handled.unwrap_or_else(|_| plain(StatusCode::BAD_GATEWAY, "the proxy failed"))
}

async fn handle(shared: Arc<Shared>, request: Request) -> Response<Body> {
    let (parts, body) = request.into_parts();
    let (method, path) = (parts.method.to_string(), parts.uri.path().to_owned());
    let query = parts.uri.query().unwrap_or_default().to_owned();
    let Ok(body) = axum::body::to_bytes(body, BODY_MAX).await else {
        return plain(StatusCode::PAYLOAD_TOO_LARGE, "the body did not arrive");
    };
    let mut exchange = Exchange {
        method: method.clone(),
        path: path.clone(),
        watch: query.contains("watch=true"),
        body: String::from_utf8_lossy(&body).into_owned(),
        status: 0,
        genuine: false,
        refusal: String::new(),
    };
    let fault = shared.fault(&method, &path, &query);
    match fault {
        None | Some(Fault::Cut(_)) => {}
        Some(Fault::Delay(delay)) => tokio::time::sleep(delay).await,
        Some(Fault::Hang) => std::future::pending().await,
        Some(Fault::Hold) => {
            let mut released = shared.released.subscribe();
            released.mark_unchanged();
            // The sender lives as long as `shared`, which this task holds.
            let _ = released.changed().await;
        }
        Some(Fault::Status(code)) => {
            let status = StatusCode::from_u16(code).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
            exchange.status = status.as_u16();
            shared.keep(exchange);
            return refused(status);
        }
    }
    let request = Request::from_parts(parts, kube::client::Body::from(body.to_vec()));
    let answered = shared.upstream.send(request).await;
    let Ok(answered) = answered else {
        exchange.status = StatusCode::BAD_GATEWAY.as_u16();
        shared.keep(exchange);
        return plain(StatusCode::BAD_GATEWAY, "the API server did not answer");
    };
    exchange.status = answered.status().as_u16();
    exchange.genuine = true;
    if answered.status().is_client_error() || answered.status().is_server_error() {
        let (parts, body) = answered.into_parts();
        let text = axum::body::to_bytes(Body::new(body), BODY_MAX)
            .await
            .unwrap_or_default();
        exchange.refusal = String::from_utf8_lossy(&text).into_owned();
        shared.keep(exchange);
        return Response::from_parts(parts, Body::from(text));
    }
    shared.keep(exchange);
    match fault {
        Some(Fault::Cut(after)) => answered.map(|body| cut(Body::new(body), after)),
        _ => answered.map(Body::new),
    }
}

/// A body that breaks off: the client is told by a connection that ends too early, as by a cable that is pulled.
fn cut(body: Body, after: Duration) -> Body {
    let broken = stream::once(async { Err(axum::Error::new(std::io::Error::other("cut"))) });
    let whole = body.into_data_stream().take_until(tokio::time::sleep(after));
    Body::from_stream(whole.chain(broken))
}

fn plain(status: StatusCode, text: &'static str) -> Response<Body> {
    let mut response = Response::new(Body::from(text));
    *response.status_mut() = status;
    response
}

/// As an API server under load answers.
fn refused(status: StatusCode) -> Response<Body> {
    let code = status.as_u16();
    let text = format!(
        r#"{{"kind":"Status","apiVersion":"v1","metadata":{{}},"status":"Failure","message":"injected","reason":"{}","code":{code}}}"#,
        if code == 429 {
            "TooManyRequests"
        } else {
            "InternalError"
        },
    );
    let mut response = Response::new(Body::from(text));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    if code == 429 {
        headers.insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
    }
    response
}
