//! KEDA's external scaler: gRPC over TLS as KEDA speaks it, and who is refused.

use crate::plane::{Plane, eventually, free_port};
use crate::watching::{CHECKOUT, status_when, told};
use hyper::client::conn::http2;
use hyper_util::rt::{TokioExecutor, TokioIo};
use k8s_openapi::api::core::v1::Secret;
use kube::api::{Api, Patch, PatchParams};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use serde_json::json;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpStream;
use tonic::body::Body;
use tonic::client::Grpc;
use tonic::{Code, Status, Streaming};
use tonic_prost::ProstCodec;

const NAME: &str = "continuity-scaler.continuity-system.svc";
const PATIENCE: Duration = Duration::from_secs(60);

/// The protocol once more, as a client sees it: the server's own declarations are not used to judge it.
#[derive(Clone, PartialEq, prost::Message)]
struct Object {
    #[prost(string, tag = "1")]
    name: String,
    #[prost(string, tag = "2")]
    namespace: String,
    #[prost(btree_map = "string, string", tag = "3")]
    metadata: BTreeMap<String, String>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct Active {
    #[prost(bool, tag = "1")]
    result: bool,
}

#[derive(Clone, PartialEq, prost::Message)]
struct Figure {
    #[prost(string, tag = "1")]
    metric: String,
    #[prost(int64, tag = "2")]
    whole: i64,
    #[prost(double, tag = "3")]
    exact: f64,
}

#[derive(Clone, PartialEq, prost::Message)]
struct Figures {
    #[prost(message, repeated, tag = "1")]
    all: Vec<Figure>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct Question {
    #[prost(message, optional, tag = "1")]
    object: Option<Object>,
    #[prost(string, tag = "2")]
    metric: String,
}

fn object(namespace: &str, metadata: &[(&str, &str)]) -> Object {
    let pairs = metadata
        .iter()
        .map(|(key, value)| ((*key).into(), (*value).into()));
    Object {
        name: "checkout".into(),
        namespace: namespace.into(),
        metadata: pairs.collect(),
    }
}

/// What a caller shows and whom it believes, in PEM.
#[derive(Clone, PartialEq)]
struct Credentials {
    authority: String,
    pair: Option<(String, String)>,
}

fn secrets(plane: &Plane, namespace: &str) -> Api<Secret> {
    Api::namespaced(plane.client.clone(), namespace)
}

/// What the operator has put where KEDA reads it.
async fn handed_over(plane: &Plane, other_than: Option<&Credentials>) -> Credentials {
    let look = async || {
        let stored = secrets(plane, "keda")
            .get_opt("continuity-scaler-client")
            .await
            .ok()??;
        let data = stored.data?;
        let text = |key: &str| Some(String::from_utf8(data.get(key)?.0.clone()).unwrap());
        let found = Credentials {
            authority: text("ca.crt")?,
            pair: Some((text("tls.crt")?, text("tls.key")?)),
        };
        (Some(&found) != other_than).then_some(found)
    };
    eventually("the Secret in KEDA's namespace", PATIENCE, look)
        .await
        .0
}

type Sender = http2::SendRequest<Body>;

/// A connection, past the handshake and the first exchange of settings.
async fn connect(port: u16, shown: &Credentials) -> Result<Sender, String> {
    let mut roots = RootCertStore::empty();
    for authority in CertificateDer::pem_slice_iter(shown.authority.as_bytes()) {
        roots.add(authority.unwrap()).unwrap();
    }
    let config = ClientConfig::builder().with_root_certificates(roots);
    let mut config = match &shown.pair {
        Some((certificate, key)) => {
            let certificate = CertificateDer::from_pem_slice(certificate.as_bytes()).unwrap();
            let key = PrivateKeyDer::from_pem_slice(key.as_bytes()).unwrap();
            config.with_client_auth_cert(vec![certificate], key).unwrap()
        }
        None => config.with_no_client_auth(),
    };
    config.alpn_protocols = vec![b"h2".to_vec()];
    let stream = TcpStream::connect(("127.0.0.1", port))
        .await
        .map_err(|e| e.to_string())?;
    let stream = tokio_rustls::TlsConnector::from(Arc::new(config))
        .connect(ServerName::try_from(NAME).unwrap(), stream)
        .await
        .map_err(|error| error.to_string())?;
    let (sender, connection) = http2::handshake(TokioExecutor::new(), TokioIo::new(stream))
        .await
        .map_err(|error| error.to_string())?;
    tokio::spawn(connection);
    Ok(sender)
}

async fn ask<Q, A>(sender: &Sender, method: &str, question: Q) -> Result<A, Status>
where
    Q: prost::Message + Send + Sync + 'static,
    A: prost::Message + Default + Send + Sync + 'static,
{
    let (mut client, path) = client(sender, method);
    client
        .ready()
        .await
        .map_err(|error: hyper::Error| Status::unavailable(error.to_string()))?;
    let codec: ProstCodec<Q, A> = ProstCodec::default();
    let answered = client.unary(tonic::Request::new(question), path, codec).await;
    answered.map(tonic::Response::into_inner)
}

async fn open(sender: &Sender, question: Object) -> Result<Streaming<Active>, Status> {
    let (mut client, path) = client(sender, "StreamIsActive");
    client
        .ready()
        .await
        .map_err(|error: hyper::Error| Status::unavailable(error.to_string()))?;
    let codec: ProstCodec<Object, Active> = ProstCodec::default();
    let answered = client
        .server_streaming(tonic::Request::new(question), path, codec)
        .await;
    answered.map(tonic::Response::into_inner)
}

#[allow(
    clippy::type_complexity,
    reason = "the type of a closure's service has no shorter name"
)]
fn client(
    sender: &Sender,
    method: &str,
) -> (
    Grpc<
        impl tower::Service<
            axum::http::Request<Body>,
            Response = axum::http::Response<hyper::body::Incoming>,
            Error = hyper::Error,
            Future: Send,
        >,
    >,
    axum::http::uri::PathAndQuery,
) {
    let sender = sender.clone();
    let service = tower::service_fn(move |request| sender.clone().send_request(request));
    let origin = format!("https://{NAME}").parse().unwrap();
    let path = format!("/externalscaler.ExternalScaler/{method}")
        .parse()
        .unwrap();
    (Grpc::with_origin(service, origin), path)
}

/// An authority of somebody else, and what it signed.
fn stranger() -> (String, String) {
    use rcgen::{BasicConstraints, CertificateParams, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair};
    let mut authority = CertificateParams::new(Vec::new()).unwrap();
    authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let authority_key = KeyPair::generate().unwrap();
    let mut leaf = CertificateParams::new(Vec::new()).unwrap();
    leaf.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
    let key = KeyPair::generate().unwrap();
    let signed = leaf
        .signed_by(&key, &Issuer::from_params(&authority, &authority_key))
        .unwrap();
    (signed.pem(), key.serialize_pem())
}

/// An operator that serves the scaler, a set with a hint of 4, and the port.
async fn served(plane: &Plane) -> (crate::plane::Process, u16) {
    let port = free_port();
    plane
        .apply("{apiVersion: v1, kind: Namespace, metadata: {name: keda}}")
        .await;
    let listen = format!("127.0.0.1:{port}");
    let operator = plane.operator("operator-a", &["--keda", "--keda-listen", &listen]);
    told(plane).await;
    let hint = status_when(plane, "a hint", PATIENCE, |status| status.scale_hint.is_some()).await;
    assert_eq!(hint.0.scale_hint.unwrap().desired_replicas, 4);
    (operator, port)
}

#[tokio::test]
#[ignore = "needs the kubernetes binary of e2e/cluster (CONTINUITY_KUBERNETES)"]
async fn keda_reads_the_hint_over_mutual_tls_and_is_told_of_its_changes() {
    let plane = Plane::alone("scaler").await;
    let (_operator, port) = served(&plane).await;
    let sender = connect(port, &handed_over(&plane, None).await).await.unwrap();
    let http = object("shop", &[("service", "checkout"), ("port", "http")]);

    // What every replica answers is renewed a moment after the status.
    let spec = async || {
        ask::<_, Figures>(&sender, "GetMetricSpec", http.clone())
            .await
            .ok()
    };
    let (spec, _) = eventually("the hint of the status at the scaler", PATIENCE, spec).await;
    let target = &spec.all[0];
    assert_eq!(
        (target.metric.as_str(), target.whole),
        ("continuity_desired_replicas", 1)
    );
    let question = || Question {
        object: Some(http.clone()),
        metric: target.metric.clone(),
    };
    let value = async || -> Option<f64> {
        let found: Figures = ask(&sender, "GetMetrics", question()).await.ok()?;
        Some(found.all[0].exact)
    };
    assert_eq!(value().await, Some(4.0));
    let active: Active = ask(&sender, "IsActive", http.clone()).await.unwrap();
    assert!(active.result);

    let refusal = async |namespace: &str, metadata: &[(&str, &str)]| {
        let asked = ask::<_, Active>(&sender, "IsActive", object(namespace, metadata)).await;
        asked.unwrap_err().code()
    };
    assert_eq!(refusal("shop", &[]).await, Code::InvalidArgument);
    assert_eq!(
        refusal("other", &[("service", "checkout")]).await,
        Code::NotFound,
        "another tenant's"
    );
    let none = ask::<_, Active>(&sender, "StreamMetricSpec", http.clone()).await;
    assert_eq!(none.unwrap_err().code(), Code::Unimplemented);

    let mut stream = open(&sender, http.clone()).await.unwrap();
    assert!(stream.message().await.unwrap().unwrap().result, "at once");
    let least = CHECKOUT.replace("mode: Enforce", "mode: Enforce, scaleHint: {minReplicas: 6}");
    plane.apply(&least).await;
    let pushed = tokio::time::timeout(PATIENCE, stream.message())
        .await
        .expect("a push");
    assert!(pushed.unwrap().unwrap().result);
    let look = async || value().await.filter(|value| *value == 6.0);
    eventually("the new value", PATIENCE, look).await;
}

#[tokio::test]
#[ignore = "needs the kubernetes binary of e2e/cluster (CONTINUITY_KUBERNETES)"]
async fn plain_text_and_foreign_clients_of_the_scaler_are_refused_and_its_certificates_rotate() {
    let plane = Plane::alone("scaler-tls").await;
    let (_operator, port) = served(&plane).await;
    let good = handed_over(&plane, None).await;
    let http = object("shop", &[("service", "checkout"), ("port", "http")]);
    let works = async |shown: &Credentials| match connect(port, shown).await {
        Ok(sender) => ask::<_, Active>(&sender, "IsActive", http.clone()).await.is_ok(),
        Err(_) => false,
    };
    let known = async || works(&good).await.then_some(());
    eventually("the hint of the status at the scaler", PATIENCE, known).await;
    let without = Credentials {
        pair: None,
        ..good.clone()
    };
    assert!(!works(&without).await, "a caller without a certificate");
    let foreign = Credentials {
        pair: Some(stranger()),
        ..good.clone()
    };
    assert!(
        !works(&foreign).await,
        "a caller with a certificate of another authority"
    );
    let curl = std::process::Command::new("curl")
        .args([
            "-s",
            "--http2-prior-knowledge",
            "-o",
            "/dev/null",
            "-w",
            "%{http_code}",
        ])
        .arg(format!(
            "http://127.0.0.1:{port}/externalscaler.ExternalScaler/IsActive"
        ))
        .output()
        .expect("curl");
    assert_eq!(String::from_utf8_lossy(&curl.stdout), "000", "plain text");

    // Its last month begins.
    let due = json!({"metadata": {"annotations": {"continuity.nity.io/not-after": "2026-01-01"}}});
    let secret = secrets(&plane, "continuity-system");
    secret
        .patch("continuity-scaler", &PatchParams::default(), &Patch::Merge(&due))
        .await
        .unwrap();
    let fresh = handed_over(&plane, Some(&good)).await;
    let look = async || works(&fresh).await.then_some(());
    eventually("the new certificates work", PATIENCE, look).await;
    assert_eq!(
        fresh.authority.matches("BEGIN CERTIFICATE").count(),
        2,
        "the authority before stays believed"
    );
    assert!(
        !works(&good).await,
        "whoever believes the old authority alone does not get the new server"
    );
}
