//! Pages of an agent, through the API server's port-forward to its pod.
//!
//! An agent serves them on the loopback of its node alone, so nothing else leads there. The API server asks for `get` and
//! `create` on `pods/portforward` and logs it; the agent has it review the token as the operator does.

use super::TOKEN;
use crate::error::Error;
use crate::install;
use crate::session::Session;
use crate::survey::sentence;
use http_body_util::{BodyExt as _, Empty, Limited};
use hyper::body::Bytes;
use hyper::client::conn::http1;
use hyper::header::HOST;
use hyper::{Request, StatusCode};
use hyper_util::rt::TokioIo;
use k8s_openapi::api::core::v1::Pod;
use kube::api::ListParams;
use kube::{Api, ResourceExt as _};
use serde_json::Value;
use std::net::SocketAddr;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};

/// Where an agent says that it listens.
const LISTEN: &str = "CONTINUITY_DEBUG_LISTEN";
/// Longest page that is read: an agent's have 700 kB at most.
const PAGE_MAX: usize = 4 << 20;
/// Longest wait for a page once the way is open; the agent gives the API server 5 s for its reviews.
const DEADLINE: Duration = Duration::from_secs(15);

/// One page of the agent of `node`, or of the pod that is named.
pub(super) async fn page(
    session: &Session,
    page: &str,
    (node, pod): (Option<&str>, Option<&str>),
    token: &str,
) -> Result<Value, Error> {
    let found = find(session, page, node, pod).await?;
    let name = found.name_any();
    let port = port(&found).ok_or_else(|| {
        Error::Debug(format!(
            "the agent in pod {name} serves no /debug; apply config/components/debug with the installation (kubectl apply -k \
             config/debug)"
        ))
    })?;
    let unusable = |why: String| Error::Debug(format!("/debug/{page} of {name}: {why}"));
    let pods: Api<Pod> = Api::namespaced(session.client.clone(), &session.system);
    let mut way = pods
        .portforward(&name, &[port])
        .await
        .map_err(|error| unusable(sentence(&error)))?;
    let stream = way
        .take_stream(port)
        .ok_or_else(|| unusable("the API server opened no stream to it".to_owned()))?;
    let answer = tokio::time::timeout(DEADLINE, ask(stream, page, token)).await;
    way.abort();
    let late = || Err(format!("no answer in {} s", DEADLINE.as_secs()));
    let body = answer.unwrap_or_else(|_| late()).map_err(unusable)?;
    Ok(serde_json::from_slice(&body)?)
}

async fn find(session: &Session, page: &str, node: Option<&str>, pod: Option<&str>) -> Result<Pod, Error> {
    let pods: Api<Pod> = Api::namespaced(session.client.clone(), &session.system);
    if let Some(name) = pod {
        let found = pods.get_opt(name).await.map_err(Error::api("get", "Pods"))?;
        return found.ok_or_else(|| Error::Debug(format!("there is no pod {name} in {}", session.system)));
    }
    let node = node.ok_or_else(|| {
        Error::Debug(format!(
            "page {page} is of one node: name it with --node NAME, or its agent with --pod NAME"
        ))
    })?;
    let ours = ListParams::default()
        .labels(&format!("app.kubernetes.io/name={}", install::AGENT))
        .fields(&format!("spec.nodeName={node}"));
    let list = pods.list(&ours).await.map_err(Error::api("list", "Pods"))?;
    // One that is being replaced has a successor beside it.
    let mut living = list.items.into_iter();
    living
        .find(|pod| pod.metadata.deletion_timestamp.is_none())
        .ok_or_else(|| {
            Error::Debug(format!(
                "no agent runs on node {node}; see kubectl continuity check"
            ))
        })
}

/// The port that the agent's own environment names.
fn port(pod: &Pod) -> Option<u16> {
    let containers = pod.spec.iter().flat_map(|spec| &spec.containers);
    let mut environment = containers.flat_map(|container| container.env.iter().flatten());
    let told = environment.find(|one| one.name == LISTEN)?.value.as_deref()?;
    told.parse::<SocketAddr>().ok().map(|address| address.port())
}

/// Asks over an open stream; what went wrong is a sentence.
async fn ask<S>(stream: S, page: &str, token: &str) -> Result<Bytes, String>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let told = |error: hyper::Error| format!("the agent did not answer: {error}; does it listen there?");
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.map_err(told)?;
    let served = tokio::spawn(connection);
    let request = Request::get(format!("/debug/{page}"))
        .header(HOST, "localhost")
        .header(TOKEN, token)
        .body(Empty::<Bytes>::new())
        .map_err(|error| error.to_string())?;
    let response = sender.send_request(request).await.map_err(told)?;
    let status = response.status();
    let body = Limited::new(response.into_body(), PAGE_MAX).collect().await;
    served.abort();
    let body = body.map_err(|error| error.to_string())?.to_bytes();
    if status == StatusCode::OK {
        return Ok(body);
    }
    let said: Value = serde_json::from_slice(&body).unwrap_or_default();
    let message = said.get("message").and_then(Value::as_str).unwrap_or_default();
    Err(format!("{status}: {message}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, duplex};

    /// What an agent is asked, and what becomes of its answer.
    async fn asked(answer: &str) -> (String, Result<Bytes, String>) {
        let (near, mut far) = duplex(64 * 1024);
        let answer = answer.to_owned();
        let agent = tokio::spawn(async move {
            let mut asked = Vec::new();
            while !asked.ends_with(b"\r\n\r\n") {
                asked.push(far.read_u8().await.unwrap_or_default());
            }
            let _ = far.write_all(answer.as_bytes()).await;
            String::from_utf8_lossy(&asked).into_owned()
        });
        let got = ask(near, "lanes", "abc").await;
        (agent.await.unwrap_or_default(), got)
    }

    #[tokio::test]
    async fn an_agent_is_shown_the_token_and_its_answer_is_the_page() {
        let (request, page) = asked("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}").await;
        assert!(request.starts_with("GET /debug/lanes HTTP/1.1\r\n"), "{request}");
        assert!(request.contains("x-continuity-token: abc\r\n"), "{request}");
        assert_eq!(page, Ok(Bytes::from_static(b"{}")));
    }

    #[tokio::test]
    async fn a_refusal_is_told_in_the_agents_words_and_silence_as_what_it_is() {
        let refusal = r#"{"message":"show a token"}"#;
        let length = refusal.len();
        let (_, page) = asked(&format!(
            "HTTP/1.1 401 Unauthorized\r\ncontent-length: {length}\r\n\r\n{refusal}"
        ))
        .await;
        assert_eq!(page, Err("401 Unauthorized: show a token".to_owned()));
        let (_, page) = asked("").await;
        assert!(page.is_err_and(|why| why.contains("does it listen there?")));
    }

    #[test]
    fn the_port_is_the_one_that_the_agents_environment_names() {
        let pod = |value: &str| {
            let pod = json!({"spec": {"containers": [{"name": "agent", "env": [{"name": LISTEN, "value": value}]}]}});
            serde_json::from_value::<Pod>(pod).unwrap_or_default()
        };
        assert_eq!(port(&pod("127.0.0.1:9465")), Some(9465));
        assert_eq!(port(&pod("")), None);
        assert_eq!(port(&Pod::default()), None);
    }
}
