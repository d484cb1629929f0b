//! TLS around the answers: our certificate out, the caller's certificate in.
//!
//! Where callers may be strangers, one without a certificate connects and is told so by the answers. One with a certificate of
//! another authority does not get through the handshake, and where a certificate is required neither does one without. A
//! connection is asked to end after a while, so that a rotated authority takes hold, and what is under way on it may end first.

use crate::certificate::Serving;
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
use std::pin::pin;
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
/// Life of a connection until it is asked to end.
const CONNECTION_LIFE: Duration = Duration::from_secs(600);
/// Longest time that what is under way then may take. A stream lives for 300 s.
const CONNECTION_GRACE: Duration = Duration::from_secs(330);

/// What is served, where, and to whom.
pub(crate) struct Door<'a> {
    /// What is served, for the log.
    pub(crate) what: &'static str,
    /// Where.
    pub(crate) address: SocketAddr,
    /// By which certificate.
    pub(crate) serving: &'a Serving,
    /// Whose certificates are accepted.
    pub(crate) callers: Callers<'a>,
    /// Requests and streams at once on a connection.
    pub(crate) streams: u32,
}

/// Whose certificates are accepted: authorities in PEM.
#[derive(Clone, Copy)]
pub(crate) enum Callers<'a> {
    /// A caller may come without one.
    Known(&'a str),
    /// A caller without one is refused.
    Required(&'a str),
}

/// Who is on the other end.
#[derive(Clone, Debug)]
pub(crate) struct Peer {
    /// Its certificate, already verified against the authority of callers.
    pub(crate) certificate: Option<Arc<[u8]>>,
}

/// A running listener; dropping it ends it.
pub(crate) struct Running(pub(crate) AbortHandle);

impl Drop for Running {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// Listens until the handle is dropped.
pub(crate) async fn start(door: Door<'_>, router: Router) -> Result<Running, Error> {
    let Door {
        what,
        address,
        streams,
        ..
    } = door;
    let acceptor = TlsAcceptor::from(Arc::new(config(&door)?));
    let listener = TcpListener::bind(address)
        .await
        .map_err(|source| Error::Listen { address, source })?;
    tracing::info!(%address, "{what} is served");
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
                converse(stream, acceptor, router, streams).await;
                drop(place);
            });
        }
    });
    Ok(Running(task.abort_handle()))
}

async fn converse(stream: TcpStream, acceptor: TlsAcceptor, router: Router, streams: u32) {
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
    let mut server = auto::Builder::new(TokioExecutor::new());
    server.http2().max_concurrent_streams(streams);
    let mut connection = pin!(server.serve_connection(TokioIo::new(stream), service));
    let ended = tokio::select! {
        ended = connection.as_mut() => ended,
        () = tokio::time::sleep(CONNECTION_LIFE) => {
            connection.as_mut().graceful_shutdown();
            tokio::time::timeout(CONNECTION_GRACE, connection).await.unwrap_or(Ok(()))
        }
    };
    if let Err(error) = ended {
        tracing::debug!(%error, "a connection ended early");
    }
}

fn config(door: &Door<'_>) -> Result<ServerConfig, Error> {
    let serving = door.serving;
    let certificates = certificates("the serving certificate", &serving.certificate)?;
    let key = PrivateKeyDer::from_pem_slice(serving.key.as_bytes()).map_err(|source| Error::Pem {
        what: "the serving key",
        source,
    })?;
    let (Callers::Known(authority) | Callers::Required(authority)) = door.callers;
    let mut roots = RootCertStore::empty();
    for authority in self::certificates("the authority of callers", authority)? {
        roots.add(authority)?;
    }
    let verifier = WebPkiClientVerifier::builder(Arc::new(roots));
    let verifier = match door.callers {
        Callers::Known(_) => verifier.allow_unauthenticated().build()?,
        Callers::Required(_) => verifier.build()?,
    };
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
