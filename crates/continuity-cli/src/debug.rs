//! `debug`: a page of the operator's `/debug`, through the API server's proxy to the pod, or of an agent's, through its
//! port-forward.
//!
//! Nothing else is connected to. The API server asks for `get` on `pods/proxy` and for `create` on `serviceaccounts/token` of
//! `continuity-debug`, both in the installation's namespace, and logs both; the operator has it review the token once more.

mod agent;

use crate::error::Error;
use crate::install;
use crate::session::Session;
use crate::survey::sentence;
use k8s_openapi::api::authentication::v1::{TokenRequest, TokenRequestSpec};
use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::api::core::v1::{Pod, ServiceAccount};
use kube::api::{GetParams, ListParams, PostParams, Request};
use kube::{Api, ResourceExt as _};
use serde_json::Value;
use std::collections::BTreeMap;
use std::path::Path;

/// Pages of the operator, which a snapshot takes along.
const OF_OPERATOR: [&str; 2] = ["hints", "scheduler"];
/// Pages of one node's agent.
const OF_AGENT: [&str; 3] = ["decisions", "lanes", "node"];
/// All of them.
pub const PAGES: [&str; 5] = ["decisions", "hints", "lanes", "node", "scheduler"];
/// Audience of the token, its account, and the name of the port.
const AUDIENCE: &str = "continuity-debug";
const PORT: &str = "debug";
/// Header of the token: the API server's proxy keeps `Authorization` to itself.
const TOKEN: &str = "x-continuity-token";
/// Life of the token; the shortest that the API server gives.
const TOKEN_SECONDS: i64 = 600;

/// Pages by pod and name.
pub type Pages = BTreeMap<String, BTreeMap<String, Value>>;

/// A replica of the operator that serves its pages.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Place {
    pod: String,
    port: i32,
}

/// One page: of the operator's leader unless a pod is named, or of the agent of a node.
///
/// # Errors
/// Nobody serves `/debug`, or the API server or the one who serves it refuses.
pub async fn page(
    session: &Session,
    page: &str,
    pod: Option<&str>,
    node: Option<&str>,
) -> Result<Value, Error> {
    if OF_AGENT.contains(&page) {
        let token = token(session).await?;
        return agent::page(session, page, (node, pod), &token).await;
    }
    if node.is_some() {
        return Err(Error::Debug(format!(
            "page {page} is the operator's and of no node; pages of a node: {}",
            OF_AGENT.join(", ")
        )));
    }
    let places = places(session).await?;
    let leader = leader(session).await;
    let wanted = pod.or(leader.as_deref());
    let place = match (wanted, pod) {
        (Some(name), _) if places.iter().any(|place| place.pod == name) => {
            places.iter().find(|place| place.pod == name)
        }
        (_, Some(_)) => None,
        _ => places.first(),
    };
    let place = place.ok_or_else(|| nobody(pod))?;
    let token = token(session).await?;
    fetch(session, place, page, &token).await
}

/// Every page of every replica, and why one is missing.
pub(crate) async fn gather(session: &Session, unread: &mut Vec<String>) -> Pages {
    let mut pages = Pages::new();
    let found = async {
        let places = places(session).await?;
        if places.is_empty() {
            return Err(nobody(None));
        }
        Ok((places, token(session).await?))
    };
    let (places, token) = match found.await {
        Ok(found) => found,
        Err(error) => {
            unread.push(format!("/debug: {error}"));
            return pages;
        }
    };
    for place in &places {
        for page in OF_OPERATOR {
            match fetch(session, place, page, &token).await {
                Ok(value) => {
                    let of = pages.entry(place.pod.clone()).or_default();
                    of.insert(page.to_owned(), value);
                }
                Err(error) => unread.push(format!("/debug/{page} of {}: {error}", place.pod)),
            }
        }
    }
    pages
}

/// A page out of a snapshot.
///
/// # Errors
/// The snapshot has no such page.
pub fn kept(pages: &Pages, page: &str, pod: Option<&str>, file: &Path) -> Result<Value, Error> {
    let mut of = pages
        .iter()
        .filter(|(name, _)| pod.is_none_or(|pod| pod == name.as_str()))
        .filter_map(|(_, pages)| pages.get(page));
    of.next().cloned().ok_or_else(|| {
        let known: Vec<&str> = pages.keys().map(String::as_str).collect();
        let known = if known.is_empty() {
            "of no pod".to_owned()
        } else {
            format!("of {}", known.join(", "))
        };
        Error::Snapshot(format!(
            "{} has no page {page}{}; it has {} {known}",
            file.display(),
            pod.map_or_else(String::new, |pod| format!(" of {pod}")),
            OF_OPERATOR.join(", ")
        ))
    })
}

fn nobody(pod: Option<&str>) -> Error {
    let who = pod.map_or_else(
        || "no replica of the operator".to_owned(),
        |pod| format!("pod {pod} is none that"),
    );
    Error::Debug(format!(
        "{who} serves /debug; apply config/components/debug with the installation (kubectl apply -k config/debug)"
    ))
}

async fn places(session: &Session) -> Result<Vec<Place>, Error> {
    let pods: Api<Pod> = Api::namespaced(session.client.clone(), &session.system);
    let ours = ListParams::default().labels(&format!("app.kubernetes.io/name={}", install::OPERATOR));
    let list = pods.list(&ours).await.map_err(Error::api("list", "Pods"))?;
    Ok(list.items.iter().filter_map(place).collect())
}

fn place(pod: &Pod) -> Option<Place> {
    let containers = pod.spec.as_ref().map(|spec| spec.containers.iter());
    let mut ports = containers
        .into_iter()
        .flatten()
        .flat_map(|container| container.ports.iter().flatten());
    let port = ports.find(|port| port.name.as_deref() == Some(PORT))?;
    Some(Place {
        pod: pod.name_any(),
        port: port.container_port,
    })
}

/// Who leads; nobody where that may not be read.
async fn leader(session: &Session) -> Option<String> {
    let leases: Api<Lease> = Api::namespaced(session.client.clone(), &session.system);
    let lease = leases.get_opt(install::LEASE).await.ok()??;
    lease.spec?.holder_identity
}

async fn token(session: &Session) -> Result<String, Error> {
    let accounts: Api<ServiceAccount> = Api::namespaced(session.client.clone(), &session.system);
    let request = TokenRequest {
        spec: Some(TokenRequestSpec {
            audiences: Some(vec![AUDIENCE.to_owned()]),
            expiration_seconds: Some(TOKEN_SECONDS),
            ..TokenRequestSpec::default()
        }),
        ..TokenRequest::default()
    };
    let made = accounts
        .create_token_request(AUDIENCE, &PostParams::default(), &request)
        .await
        .map_err(Error::api(
            "create a token of",
            format!("ServiceAccount {AUDIENCE}"),
        ))?;
    Ok(made.status.and_then(|status| status.token).unwrap_or_default())
}

async fn fetch(session: &Session, place: &Place, page: &str, token: &str) -> Result<Value, Error> {
    let request = Request::new(folder(&session.system, place)).get(page, &GetParams::default());
    let unusable = |why: String| Error::Debug(format!("/debug/{page} of {}: {why}", place.pod));
    let mut request = request.map_err(|error| unusable(error.to_string()))?;
    let value = token
        .parse()
        .map_err(|_| unusable("the token is no header".to_owned()))?;
    request.headers_mut().insert(TOKEN, value);
    let text = session
        .client
        .request_text(request)
        .await
        .map_err(|error| unusable(sentence(&error)))?;
    Ok(serde_json::from_str(&text)?)
}

/// Where the API server's proxy shows the pages of a pod. It does not ask for a name in the certificate.
fn folder(namespace: &str, place: &Place) -> String {
    let Place { pod, port } = place;
    format!("/api/v1/namespaces/{namespace}/pods/https:{pod}:{port}/proxy/debug")
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn every_page_is_the_operators_or_an_agents() {
        let mut all: Vec<&str> = OF_OPERATOR.into_iter().chain(OF_AGENT).collect();
        all.sort_unstable();
        assert_eq!(all, PAGES);
    }

    fn pod(ports: &Value) -> Pod {
        let pod = json!({
            "metadata": {"name": "continuity-operator-1"},
            "spec": {"containers": [{"name": "operator", "ports": ports}]},
        });
        serde_json::from_value(pod).unwrap_or_default()
    }

    #[test]
    fn a_page_is_asked_for_at_the_api_server_and_nowhere_else() {
        let place = place(&pod(&json!([
            {"name": "http", "containerPort": 8080}, {"name": "debug", "containerPort": 8443},
        ])));
        let path = place.map(|place| folder("continuity-system", &place));
        let wanted = "/api/v1/namespaces/continuity-system/pods/https:continuity-operator-1:8443/proxy/debug";
        assert_eq!(path.as_deref(), Some(wanted));
    }

    #[test]
    fn a_replica_without_the_port_serves_no_pages() {
        assert_eq!(
            place(&pod(&json!([{"name": "http", "containerPort": 8080}]))),
            None
        );
    }

    #[test]
    fn a_page_is_found_in_a_snapshot_and_one_that_is_not_there_is_named() {
        let of = BTreeMap::from([("scheduler".to_owned(), json!({"mode": "NORMAL"}))]);
        let pages = Pages::from([("continuity-operator-1".to_owned(), of)]);
        let file = Path::new("a.json");
        let found = kept(&pages, "scheduler", None, file).ok();
        assert_eq!(found, Some(json!({"mode": "NORMAL"})));
        let missing = kept(&pages, "hints", None, file)
            .err()
            .map(|error| error.to_string());
        let missing = missing.unwrap_or_default();
        assert!(
            missing.contains("has no page hints") && missing.contains("continuity-operator-1"),
            "{missing}"
        );
    }
}
