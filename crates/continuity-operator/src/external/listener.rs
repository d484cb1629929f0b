//! TLS around the answers: our certificate out, the caller's certificate in.
//!
//! A caller without a certificate may connect, and is told 401 like any stranger; one with a certificate of another
//! authority does not get through the handshake.

use super::certificate::Serving;
use super::front_proxy::FrontProxy;
use crate::error::Error;
use axum::{Extension, Router};
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use hyper_util::service::TowerToHyperService;
use rustls::RootCertStore;
use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::task::AbortHandle;
use tokio_rustls::TlsAcceptor;

/// Connections at once. API servers keep a few each; more is somebody else.
const CONNECTIONS_MAX: usize = 128;
/// Longest handshake.
const HANDSHAKE: Duration = Duration::from_secs(5);
/// Longest life of a connection, so that a rotated authority takes hold.
const CONNECTION_LIFE: Duration = Duration::from_secs(600);

/// Who is on the other end.
#[derive(Clone, Debug)]
pub(super) struct Peer {
    /// Its certificate, already verified against the front proxy's authority.
    pub(super) certificate: Option<Arc<[u8]>>,
}

/// A running listener; dropping it ends it.
pub(super) struct Running(AbortHandle);

impl Drop for Running {
    fn drop(&mut self) {
        self.0.abort();
    }
}

pub(super) async fn start(
    address: SocketAddr,
    serving: &Serving,
    front_proxy: &FrontProxy,
    router: Router,
) -> Result<Running, Error> {
    let acceptor = TlsAcceptor::from(Arc::new(config(serving, front_proxy)?));
    let listener = TcpListener::bind(address)
        .await
        .map_err(|source| Error::Listen { address, source })?;
    tracing::info!(%address, "external.metrics.k8s.io is served");
    let task = tokio::spawn(async move {
        let places = Arc::new(Semaphore::new(CONNECTIONS_MAX));
        loop {
            let Ok(place) = Arc::clone(&places).acquire_owned().await else {
                return;
            };
            let Ok((stream, _)) = listener.accept().await else {
                // Out of descriptors, most likely; trying again at once would spin.
                tokio::time::sleep(Duration::from_millis(100)).await;
                continue;
            };
            let (acceptor, router) = (acceptor.clone(), router.clone());
            tokio::spawn(async move {
                let _ = tokio::time::timeout(CONNECTION_LIFE, converse(stream, acceptor, router)).await;
                drop(place);
            });
        }
    });
    Ok(Running(task.abort_handle()))
}

async fn converse(stream: TcpStream, acceptor: TlsAcceptor, router: Router) {
    let stream = match tokio::time::timeout(HANDSHAKE, acceptor.accept(stream)).await {
        Ok(Ok(stream)) => stream,
        Ok(Err(error)) => {
            tracing::debug!(%error, "a caller did not get through the handshake");
            return;
        }
        Err(_) => return,
    };
    let certificate = stream
        .get_ref()
        .1
        .peer_certificates()
        .and_then(<[_]>::first)
        .map(|found| Arc::from(found.as_ref()));
    let service = TowerToHyperService::new(router.layer(Extension(Peer { certificate })));
    let server = auto::Builder::new(TokioExecutor::new());
    if let Err(error) = server.serve_connection(TokioIo::new(stream), service).await {
        tracing::debug!(%error, "a connection ended early");
    }
}

fn config(serving: &Serving, front_proxy: &FrontProxy) -> Result<ServerConfig, Error> {
    let certificates = certificates("the serving certificate", &serving.certificate)?;
    let key = PrivateKeyDer::from_pem_slice(serving.key.as_bytes()).map_err(|source| Error::Pem {
        what: "the serving key",
        source,
    })?;
    let mut roots = RootCertStore::empty();
    for authority in self::certificates("the front proxy's authority", &front_proxy.authority)? {
        roots.add(authority)?;
    }
    let verifier = WebPkiClientVerifier::builder(Arc::new(roots))
        .allow_unauthenticated()
        .build()?;
    let mut config = ServerConfig::builder()
        .with_client_cert_verifier(verifier)
        .with_single_cert(certificates, key)?;
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(config)
}

fn certificates(what: &'static str, pem: &str) -> Result<Vec<CertificateDer<'static>>, Error> {
    CertificateDer::pem_slice_iter(pem.as_bytes())
        .collect::<Result<_, _>>()
        .map_err(|source| Error::Pem { what, source })
}
