//! KEDA's external scaler: the scale hint for a ScaledObject, beside whatever else KEDA watches.
//!
//! gRPC over TLS with a certificate of our own, for one caller: whoever shows the client certificate that is put into a Secret
//! of KEDA's namespace. Both are made anew a month before they end. The value is what is published in the status of the set, so every
//! replica gives the same one, and one that was published once stays until its set goes. Off unless asked for. Left out is
//! StreamMetricSpec: the target is always 1.

mod answer;
mod service;
mod wire;

use crate::args::Args;
use crate::certificate::{self, Order, Pair, Serving};
use crate::error::{Category, Error};
use crate::listener::{self, Callers, Door};
use crate::published::Hints;
use crate::telemetry::Metrics;
use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::Secret;
use kube::Client;
use kube::api::{Api, ObjectMeta, PostParams};
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;

/// Secret of the serving certificate, in our namespace.
const SECRET: &str = "continuity-scaler";
/// Secret of what KEDA shows, in KEDA's namespace.
const CLIENT_SECRET: &str = "continuity-scaler-client";
/// Time between two looks at the certificates. One look is two small reads.
const LOOK_EVERY: Duration = Duration::from_secs(30);
/// The same while something is missing, such as during installation.
const RETRY_EVERY: Duration = Duration::from_secs(3);

/// The server.
pub struct Server {
    client: Client,
    namespace: String,
    service: String,
    keda: String,
    address: SocketAddr,
    hints: Arc<Hints>,
    metrics: Arc<Metrics>,
}

impl Server {
    /// A server as the arguments want it.
    #[must_use]
    pub fn new(client: Client, args: &Args, hints: Arc<Hints>, metrics: Arc<Metrics>) -> Self {
        Self {
            client,
            namespace: args.pod_namespace.clone(),
            service: args.keda_service.clone(),
            keda: args.keda_namespace.clone(),
            address: args.keda_listen,
            hints,
            metrics,
        }
    }

    /// Runs until `stop`.
    pub async fn run(self, mut stop: watch::Receiver<bool>) {
        let mut running: Option<(Serving, listener::Running)> = None;
        loop {
            let looked = self.look(&mut running, &stop).await;
            if let Err(error) = &looked {
                // What runs goes on: an API server that is away is no reason to go silent.
                tracing::warn!(category = error.category().as_str(), %error, "the external scaler could not be looked after");
            }
            let pause = if looked.is_ok() { LOOK_EVERY } else { RETRY_EVERY };
            tokio::select! {
                () = tokio::time::sleep(pause) => {}
                _ = stop.wait_for(|stop| *stop) => return,
            }
        }
    }

    /// Serves by the certificate that is valid now, and gives KEDA its own.
    async fn look(
        &self,
        running: &mut Option<(Serving, listener::Running)>,
        stop: &watch::Receiver<bool>,
    ) -> Result<(), Error> {
        let order = Order {
            namespace: &self.namespace,
            service: &self.service,
            secret: SECRET,
            client: true,
        };
        let serving = certificate::ensure(&self.client, &order).await?;
        if running.as_ref().is_none_or(|(present, _)| *present != serving) {
            *running = None;
            let listening = self.start(&serving, stop.clone()).await?;
            *running = Some((serving.clone(), listening));
        }
        match &serving.client {
            Some(pair) => self.hand_over(&serving.authority, pair).await,
            None => Ok(()),
        }
    }

    async fn start(
        &self,
        serving: &Serving,
        stop: watch::Receiver<bool>,
    ) -> Result<listener::Running, Error> {
        let door = Door {
            what: "KEDA's external scaler",
            address: self.address,
            serving,
            callers: Callers::Required(&serving.authority),
            streams: service::STREAMS_MAX + service::REQUESTS_MAX,
        };
        let router = service::router(Arc::clone(&self.hints), Arc::clone(&self.metrics), stop);
        listener::start(door, router).await
    }

    /// Puts what KEDA shows, and whom it shall believe, where KEDA reads it.
    async fn hand_over(&self, authority: &str, pair: &Pair) -> Result<(), Error> {
        let secrets: Api<Secret> = Api::namespaced(self.client.clone(), &self.keda);
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
