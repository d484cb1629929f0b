//! A scripted API server: one Service with one endpoint and one plan, one Node, one ContinuityNode.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use continuity_api::policy::{Admission, AdmissionMode, ContinuityPolicySpec, Mode};
use continuity_api::{API_VERSION, compile};
use futures::StreamExt;
use kube::{Client, Config};
use serde_json::{Value, json};

#[derive(Default)]
struct Script {
    fail: Option<u16>,
    expire: bool,
    gated: bool,
    asked: Vec<(String, String)>,
    object: Option<Value>,
    status: Option<Value>,
}

#[derive(Clone)]
pub(crate) struct Server {
    script: Arc<Mutex<Script>>,
    url: String,
}

impl Server {
    pub(crate) async fn start() -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0")
            .await
            .expect("a port");
        let url = format!("http://{}", listener.local_addr().expect("an address"));
        let server = Self {
            script: Arc::default(),
            url,
        };
        let router = Router::new().fallback(answer).with_state(server.clone());
        tokio::spawn(async move { axum::serve(listener, router).await });
        server
    }

    pub(crate) fn client(&self) -> Client {
        let mut config = Config::new(self.url.parse().expect("a url"));
        config.default_retry = false;
        Client::try_from(config).expect("a client")
    }

    /// Every request gets this code from now on.
    pub(crate) fn fail_with(&self, code: Option<u16>) {
        self.lock().fail = code;
    }

    /// The plan asks for admission.
    pub(crate) fn gate(&self) {
        self.lock().gated = true;
    }

    pub(crate) fn expire_next_watch(&self) {
        self.lock().expire = true;
    }

    /// Requests of this method whose path and query hold the text.
    pub(crate) fn asked(&self, method: &str, text: &str) -> usize {
        let matches = |(one, path): &&(String, String)| one.contains(method) && path.contains(text);
        self.lock().asked.iter().filter(matches).count()
    }

    pub(crate) fn made(&self) -> Option<Value> {
        self.lock().object.clone()
    }

    pub(crate) fn status(&self) -> Option<Value> {
        self.lock().status.clone()
    }

    pub(crate) fn delete_object(&self) {
        let mut script = self.lock();
        script.object = None;
        script.status = None;
    }

    fn lock(&self) -> MutexGuard<'_, Script> {
        self.script.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

async fn answer(State(server): State<Server>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let path = parts.uri.path().to_owned();
    let query = parts.uri.query().unwrap_or_default().to_owned();
    let body = axum::body::to_bytes(body, 1 << 20).await.unwrap_or_default();
    let mut script = server.lock();
    script
        .asked
        .push((parts.method.to_string(), format!("{path}?{query}")));
    if let Some(code) = script.fail {
        return refused(code);
    }
    if query.contains("watch=true") || query.contains("watch=1") {
        return watch(std::mem::take(&mut script.expire));
    }
    match (parts.method.as_str(), path.as_str()) {
        ("GET", "/api/v1/services") => list("ServiceList", "v1", service()),
        ("GET", "/apis/discovery.k8s.io/v1/endpointslices") => {
            list("EndpointSliceList", "discovery.k8s.io/v1", slice())
        }
        ("GET", "/apis/continuity.nity.io/v1alpha1/equivalenceplans") => {
            list("EquivalencePlanList", API_VERSION, plan(script.gated))
        }
        ("GET", "/api/v1/pods" | "/api/v1/namespaces") => {
            list("PartialObjectMetadataList", "meta.k8s.io/v1", caller())
        }
        ("GET", "/api/v1/nodes/node-1") => axum::Json(node()).into_response(),
        ("PATCH", path) if path.ends_with("/continuitynodes/node-1") => apply(&mut script, &body),
        ("PATCH", path) if path.ends_with("/continuitynodes/node-1/status") => {
            apply_status(&mut script, &body)
        }
        ("POST", "/apis/authentication.k8s.io/v1/tokenreviews") => review_token(&body),
        ("POST", "/apis/authorization.k8s.io/v1/subjectaccessreviews") => review_access(&body),
        _ => refused(404),
    }
}

/// Two tokens are known; each is the name of its owner.
fn review_token(body: &Bytes) -> Response {
    let mut review: Value = serde_json::from_slice(body).unwrap_or_default();
    let token = review["spec"]["token"].as_str().unwrap_or_default().to_owned();
    let known = ["known", "welcome"].contains(&token.as_str());
    review["status"] = json!({
        "authenticated": known, "user": {"username": token}, "audiences": review["spec"]["audiences"],
    });
    axum::Json(review).into_response()
}

/// One of them may look.
fn review_access(body: &Bytes) -> Response {
    let mut review: Value = serde_json::from_slice(body).unwrap_or_default();
    review["status"] = json!({"allowed": review["spec"]["user"] == "welcome"});
    axum::Json(review).into_response()
}

fn apply(script: &mut Script, body: &Bytes) -> Response {
    let mut object: Value = serde_json::from_slice(body).unwrap_or_default();
    object["metadata"]["generation"] = json!(1);
    script.object = Some(object.clone());
    axum::Json(object).into_response()
}

fn apply_status(script: &mut Script, body: &Bytes) -> Response {
    let Some(mut object) = script.object.clone() else {
        return refused(404);
    };
    let sent: Value = serde_json::from_slice(body).unwrap_or_default();
    script.status = Some(sent["status"].clone());
    object["status"] = sent["status"].clone();
    axum::Json(object).into_response()
}

/// A watch that expires at once, or stays silent.
fn watch(expire: bool) -> Response {
    let gone = json!({"type": "ERROR", "object": status(410)}).to_string() + "\n";
    let first = if expire {
        vec![Ok::<_, std::io::Error>(Bytes::from(gone))]
    } else {
        Vec::new()
    };
    let silence = futures::stream::pending();
    Body::from_stream(futures::stream::iter(first).chain(silence)).into_response()
}

fn refused(code: u16) -> Response {
    let text = StatusCode::from_u16(code).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    (text, axum::Json(status(code))).into_response()
}

fn status(code: u16) -> Value {
    json!({"kind": "Status", "apiVersion": "v1", "status": "Failure", "code": code, "reason": "Scripted", "message": "scripted"})
}

fn list(kind: &str, version: &str, item: Value) -> Response {
    let list =
        json!({"kind": kind, "apiVersion": version, "metadata": {"resourceVersion": "7"}, "items": [item]});
    axum::Json(list).into_response()
}

fn node() -> Value {
    let labels = json!({"topology.kubernetes.io/zone": "zone-a"});
    json!({"kind": "Node", "apiVersion": "v1", "metadata": {"name": "node-1", "uid": "node-uid", "labels": labels}})
}

/// A pod of this node, or a namespace: nothing but metadata is read of either.
fn caller() -> Value {
    json!({"metadata": {
        "namespace": "shop", "name": "cart", "uid": "0b7c1c5e-3c1f-4a0e-9a55-6a3a7c0a1d11", "resourceVersion": "3",
    }})
}

fn service() -> Value {
    json!({
        "metadata": {"namespace": "shop", "name": "checkout", "uid": "uid-1", "resourceVersion": "1"},
        "spec": {"clusterIP": "10.96.0.7", "clusterIPs": ["10.96.0.7"], "ports": [{"name": "http", "port": 80}]},
    })
}

fn slice() -> Value {
    let labels = json!({"kubernetes.io/service-name": "checkout"});
    json!({
        "metadata": {"namespace": "shop", "name": "checkout-1", "labels": labels, "resourceVersion": "2"},
        "addressType": "IPv4",
        "ports": [{"name": "http", "port": 8080, "protocol": "TCP"}],
        "endpoints": [{"addresses": ["10.244.1.2"], "conditions": {"ready": true}, "nodeName": "node-1"}],
    })
}

fn plan(gated: bool) -> Value {
    let mode = if gated {
        AdmissionMode::Auto
    } else {
        AdmissionMode::Off
    };
    let stable = compile(&ContinuityPolicySpec {
        mode: Mode::Enforce,
        admission: Admission {
            mode,
            ..Admission::default()
        },
        ..ContinuityPolicySpec::default()
    });
    json!({
        "apiVersion": API_VERSION, "kind": "EquivalencePlan",
        "metadata": {"namespace": "shop", "name": "checkout-http-1", "resourceVersion": "3", "generation": 1},
        "spec": {
            "service": {"name": "checkout", "uid": "uid-1"},
            "port": {"name": "http", "number": 80, "protocol": "TCP", "label": "http"},
            "policy": {"name": "checkout", "uid": "p", "generation": 1},
            "writerEpoch": 1, "digest": "d", "stable": stable,
        },
    })
}
