//! The answers: discovery, and one list of values a namespace and metric.

use super::front_proxy::FrontProxy;
use super::review::Reviewer;
use super::selector::Selector;
use super::{GROUP, VERSION};
use crate::listener::Peer;
use crate::published::{Hints, Item};
use crate::telemetry::Metrics;
use axum::extract::{self, Path, Query};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Extension, Json, Router};
use continuity_api::metrics::DESIRED_REPLICAS;
use k8s_openapi::jiff::Timestamp;
use serde::Deserialize;
use serde_json::{Value, json};
use std::sync::Arc;

/// What answers are made from.
#[derive(Clone)]
pub(super) struct State {
    pub(super) hints: Arc<Hints>,
    pub(super) reviewer: Arc<Reviewer>,
    pub(super) front_proxy: Arc<FrontProxy>,
    pub(super) metrics: Arc<Metrics>,
}

/// Why there is no answer, as a Kubernetes Status.
#[derive(Debug)]
struct Refusal {
    code: StatusCode,
    reason: &'static str,
    message: String,
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let body = json!({
            "kind": "Status",
            "apiVersion": "v1",
            "status": "Failure",
            "message": self.message,
            "reason": self.reason,
            "code": self.code.as_u16(),
        });
        (self.code, Json(body)).into_response()
    }
}

pub(super) fn router(state: State) -> Router {
    Router::new()
        .route("/apis", get(group_list))
        .route("/apis/external.metrics.k8s.io", get(group))
        .route("/apis/external.metrics.k8s.io/v1beta1", get(resources))
        .route(
            "/apis/external.metrics.k8s.io/v1beta1/namespaces/{namespace}/{metric}",
            get(values),
        )
        .with_state(state)
}

/// Everything but the front proxy is a stranger, whatever it says about itself.
fn trusted(state: &State, peer: &Peer) -> Result<(), Refusal> {
    let behind = peer
        .certificate
        .as_ref()
        .is_some_and(|certificate| state.front_proxy.is_behind(certificate));
    if behind {
        return Ok(());
    }
    state.metrics.external.with_label_values(&["401"]).inc();
    Err(Refusal {
        code: StatusCode::UNAUTHORIZED,
        reason: "Unauthorized",
        message:
            "reach this API through the API server; a direct call needs the front proxy's client certificate"
                .into(),
    })
}

async fn group_list(
    extract::State(state): extract::State<State>,
    Extension(peer): Extension<Peer>,
) -> Response {
    discover(
        &state,
        &peer,
        || json!({"kind": "APIGroupList", "apiVersion": "v1", "groups": [group_body()]}),
    )
}

async fn group(extract::State(state): extract::State<State>, Extension(peer): Extension<Peer>) -> Response {
    discover(&state, &peer, || {
        let mut body = group_body();
        if let Some(fields) = body.as_object_mut() {
            fields.insert("kind".to_owned(), json!("APIGroup"));
            fields.insert("apiVersion".to_owned(), json!("v1"));
        }
        body
    })
}

async fn resources(
    extract::State(state): extract::State<State>,
    Extension(peer): Extension<Peer>,
) -> Response {
    discover(&state, &peer, || {
        json!({
            "kind": "APIResourceList",
            "apiVersion": "v1",
            "groupVersion": format!("{GROUP}/{VERSION}"),
            "resources": [{
                "name": DESIRED_REPLICAS,
                "singularName": "",
                "namespaced": true,
                "kind": "ExternalMetricValueList",
                "verbs": ["get"],
            }],
        })
    })
}

fn discover(state: &State, peer: &Peer, body: impl FnOnce() -> Value) -> Response {
    match trusted(state, peer) {
        Ok(()) => Json(body()).into_response(),
        Err(refusal) => refusal.into_response(),
    }
}

fn group_body() -> Value {
    let version = json!({"groupVersion": format!("{GROUP}/{VERSION}"), "version": VERSION});
    json!({"name": GROUP, "versions": [version.clone()], "preferredVersion": version})
}

/// Parameters of a request for values.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Parameters {
    label_selector: String,
}

async fn values(
    extract::State(state): extract::State<State>,
    Extension(peer): Extension<Peer>,
    Path((namespace, metric)): Path<(String, String)>,
    Query(parameters): Query<Parameters>,
    headers: HeaderMap,
) -> Response {
    let answer = read(&state, &peer, &namespace, &metric, &parameters, &headers).await;
    let response = match answer {
        Ok(body) => Json(body).into_response(),
        Err(refusal) if refusal.code == StatusCode::UNAUTHORIZED => return refusal.into_response(),
        Err(refusal) => refusal.into_response(),
    };
    state
        .metrics
        .external
        .with_label_values(&[response.status().as_str()])
        .inc();
    response
}

async fn read(
    state: &State,
    peer: &Peer,
    namespace: &str,
    metric: &str,
    parameters: &Parameters,
    headers: &HeaderMap,
) -> Result<Value, Refusal> {
    trusted(state, peer)?;
    let identity = state.front_proxy.identity(headers).ok_or_else(|| Refusal {
        code: StatusCode::UNAUTHORIZED,
        reason: "Unauthorized",
        message: "the front proxy named no user".into(),
    })?;
    let allowed = state
        .reviewer
        .may_read(&identity, namespace, metric)
        .await
        .map_err(|error| Refusal {
            code: StatusCode::INTERNAL_SERVER_ERROR,
            reason: "InternalError",
            message: format!(
                "the API server did not say whether {} may read: {error}",
                identity.user
            ),
        })?;
    if !allowed {
        return Err(Refusal {
            code: StatusCode::FORBIDDEN,
            reason: "Forbidden",
            message: format!(
                "{} may not list {metric}.{GROUP} in namespace {namespace}",
                identity.user
            ),
        });
    }
    if metric != DESIRED_REPLICAS {
        return Err(Refusal {
            code: StatusCode::NOT_FOUND,
            reason: "NotFound",
            message: format!("there is no metric {metric}; this server has {DESIRED_REPLICAS}"),
        });
    }
    let selector = Selector::parse(&parameters.label_selector).map_err(|error| Refusal {
        code: StatusCode::BAD_REQUEST,
        reason: "BadRequest",
        message: error.to_string(),
    })?;
    Ok(list(&state.hints.of(namespace), &selector, Timestamp::now()))
}

/// One item a set, as an `ExternalMetricValueList`.
fn list(items: &[Item], selector: &Selector, now: Timestamp) -> Value {
    let now = Timestamp::from_second(now.as_second()).unwrap_or(now).to_string();
    let value = |item: &Item| {
        json!({
            "metricName": DESIRED_REPLICAS,
            "metricLabels": {"service": item.service, "port": item.port},
            "timestamp": now,
            "value": item.desired.to_string(),
        })
    };
    let items: Vec<Value> = items
        .iter()
        .filter(|item| selector.matches(item))
        .map(value)
        .collect();
    json!({
        "kind": "ExternalMetricValueList",
        "apiVersion": format!("{GROUP}/{VERSION}"),
        "metadata": {},
        "items": items,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_set_gives_exactly_one_item_with_a_whole_quantity() {
        let item = |port: &str| Item {
            service: "web".into(),
            port: port.into(),
            desired: 6,
        };
        let selector = Selector::parse("service=web,port=http").unwrap();
        let now: Timestamp = "2026-11-21T12:00:00.5Z".parse().unwrap();
        let answer = list(&[item("http"), item("admin")], &selector, now);
        let items = answer["items"].as_array().unwrap();
        assert_eq!(items.len(), 1);
        assert_eq!(items[0]["value"], "6");
        assert_eq!(items[0]["timestamp"], "2026-11-21T12:00:00Z");
        assert_eq!(items[0]["metricLabels"]["port"], "http");
    }
}
