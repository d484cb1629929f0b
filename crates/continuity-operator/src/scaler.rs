//! KEDA's external scaler: the scale hint for a ScaledObject, beside whatever else KEDA watches.
//!
//! gRPC over TLS with a certificate of our own, for one caller: whoever shows the client certificate that is put into a Secret
//! of KEDA's namespace. Both are made anew a month before they end. The value is what is published in the status of the set, so every
//! replica gives the same one, and one that was published once stays until its set goes. Off unless asked for. Left out is
//! StreamMetricSpec: the target is always 1.

mod answer;
mod service;
mod wire;

use crate::certificate::{Pair, Serving};
use crate::error::{Category, Error};
use crate::listener::{self, Callers, Door, Running};
use crate::published::Hints;
use crate::telemetry::Metrics;
use crate::warden::{Seat, Tended};
use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::Secret;
use kube::api::{Api, ObjectMeta, PostParams};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;

/// Secret of the serving certificate, in our namespace.
const SECRET: &str = "continuity-scaler";
/// Secret of what KEDA shows, in KEDA's namespace.
const CLIENT_SECRET: &str = "continuity-scaler-client";
/// Time between two looks at the certificates. One look is two small reads.
const LOOK_EVERY: Duration = Duration::from_secs(30);

/// The server.
pub(crate) struct Server {
    pub(crate) seat: Seat,
    /// Namespace of KEDA.
    pub(crate) keda: String,
    pub(crate) hints: Arc<Hints>,
    pub(crate) metrics: Arc<Metrics>,
}

impl Tended for Server {
    type Footing = Serving;
    const WHAT: &'static str = "KEDA's external scaler";
    const LOOK_EVERY: Duration = LOOK_EVERY;

    async fn look(&self) -> Result<Option<Serving>, Error> {
        self.seat.certificate(SECRET, true).await.map(Some)
    }

    async fn start(&self, serving: &Serving, stop: &watch::Receiver<bool>) -> Result<Running, Error> {
        let door = Door {
            what: Self::WHAT,
            address: self.seat.address,
            serving,
            callers: Callers::Required(&serving.authority),
            streams: service::STREAMS_MAX + service::REQUESTS_MAX,
        };
        let (hints, metrics) = (Arc::clone(&self.hints), Arc::clone(&self.metrics));
        listener::start(door, service::router(hints, metrics, stop.clone())).await
    }

    async fn settle(&self, serving: &Serving) -> Result<(), Error> {
        match &serving.client {
            Some(pair) => self.hand_over(&serving.authority, pair).await,
            None => Ok(()),
        }
    }
}

impl Server {
    /// Puts what KEDA shows, and whom it shall believe, where KEDA reads it.
    async fn hand_over(&self, authority: &str, pair: &Pair) -> Result<(), Error> {
        let secrets: Api<Secret> = Api::namespaced(self.seat.client.clone(), &self.keda);
        let bytes = |text: &str| ByteString(text.as_bytes().to_vec());
        let data = BTreeMap::from([
            ("ca.crt".to_owned(), bytes(authority)),
            ("tls.crt".to_owned(), bytes(&pair.certificate)),
            ("tls.key".to_owned(), bytes(&pair.key)),
        ]);
        let stored = secrets.get_opt(CLIENT_SECRET).await?;
        if stored.as_ref().and_then(|stored| stored.data.as_ref()) == Some(&data) {
            return Ok(());
        }
        let version = stored.and_then(|stored| stored.metadata.resource_version);
        let labels = BTreeMap::from([("app.kubernetes.io/part-of".to_owned(), "continuity".to_owned())]);
        let secret = Secret {
            metadata: ObjectMeta {
                name: Some(CLIENT_SECRET.to_owned()),
                namespace: Some(self.keda.clone()),
                labels: Some(labels),
                resource_version: version.clone(),
                ..ObjectMeta::default()
            },
            type_: Some("kubernetes.io/tls".to_owned()),
            data: Some(data),
            ..Secret::default()
        };
        let written = match version {
            Some(_) => {
                secrets
                    .replace(CLIENT_SECRET, &PostParams::default(), &secret)
                    .await
            }
            None => secrets.create(&PostParams::default(), &secret).await,
        };
        match written.map_err(Error::from) {
            Ok(_) => {
                tracing::info!(
                    namespace = self.keda,
                    "what KEDA shows was put into Secret {CLIENT_SECRET}"
                );
                Ok(())
            }
            // The other replica was faster; the next look compares.
            Err(error) if error.category() == Category::Conflict => Ok(()),
            Err(error) => Err(error),
        }
    }
}
