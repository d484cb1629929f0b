//! `external.metrics.k8s.io`: the scale hint for a HorizontalPodAutoscaler, with nothing else installed.
//!
//! A cluster has one owner of that API. This server runs only while the APIService names our own Service, never writes to
//! an APIService of somebody else, and says so. It serves by a certificate of its own, believes the headers of a caller
//! only behind the front proxy's client certificate, and asks the API server whether that caller may read. A value that
//! was published once stays until its set goes: a missing metric would block scale-down.

mod answer;
mod front_proxy;
mod owner;
mod review;
mod selector;

pub use front_proxy::{FrontProxy, Identity};
pub use owner::{Owner, owner};
pub use selector::{Selector, SelectorError};

use crate::args::Args;
use crate::certificate::{self, Serving};
use crate::error::Error;
use crate::listener::{self, Callers, Door};
use crate::published::Hints;
use crate::telemetry::Metrics;
use k8s_openapi::ByteString;
use k8s_openapi::kube_aggregator::pkg::apis::apiregistration::v1::APIService;
use kube::Client;
use kube::api::{Api, Patch, PatchParams};
use serde_json::json;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;

/// Group of the API.
pub const GROUP: &str = "external.metrics.k8s.io";
/// Version of the API.
pub const VERSION: &str = "v1beta1";
/// Name of the APIService.
pub const API_SERVICE: &str = "v1beta1.external.metrics.k8s.io";
/// Secret of the serving certificate.
const SECRET: &str = "continuity-external-metrics";
/// Requests at once on a connection of the API server: an HPA has one under way for each metric.
const REQUESTS_MAX: u32 = 200;
/// Time between two looks at owner, certificate and front proxy. One look is three small reads.
const LOOK_EVERY: Duration = Duration::from_secs(30);
/// The same while something is missing, such as during installation.
const RETRY_EVERY: Duration = Duration::from_secs(3);

/// The server.
pub struct Server {
    client: Client,
    namespace: String,
    service: String,
    address: SocketAddr,
    hints: Arc<Hints>,
    metrics: Arc<Metrics>,
}

/// What the server runs with; a change of any of it starts it anew.
#[derive(Clone, PartialEq, Eq)]
struct Footing {
    serving: Serving,
    front_proxy: FrontProxy,
}

impl Server {
    /// A server as the arguments want it.
    #[must_use]
    pub fn new(client: Client, args: &Args, hints: Arc<Hints>, metrics: Arc<Metrics>) -> Self {
        Self {
            client,
            namespace: args.pod_namespace.clone(),
            service: args.external_metrics_service.clone(),
            address: args.external_metrics_listen,
            hints,
            metrics,
        }
    }

    /// Runs until `stop`.
    pub async fn run(self, mut stop: watch::Receiver<bool>) {
        let mut running: Option<(Footing, listener::Running)> = None;
        loop {
            let pause = match self.look().await {
                Ok(Some(footing)) => {
                    if running.as_ref().is_none_or(|(present, _)| *present != footing) {
                        running = None;
                        match self.start(&footing).await {
                            Ok(listening) => running = Some((footing, listening)),
                            Err(error) => tracing::error!(%error, "external metrics can not be served"),
                        }
                    }
                    if running.is_some() {
                        LOOK_EVERY
                    } else {
                        RETRY_EVERY
                    }
                }
                Ok(None) => {
                    running = None;
                    RETRY_EVERY
                }
                Err(error) => {
                    // What runs goes on: an API server that is away is no reason to go silent.
                    tracing::warn!(category = error.category().as_str(), %error, "external metrics could not be looked after");
                    RETRY_EVERY
                }
            };
            tokio::select! {
                () = tokio::time::sleep(pause) => {}
                _ = stop.wait_for(|stop| *stop) => return,
            }
        }
    }

    /// What to run with; none where the API is not ours.
    async fn look(&self) -> Result<Option<Footing>, Error> {
        let services: Api<APIService> = Api::all(self.client.clone());
        let stored = services.get_opt(API_SERVICE).await?;
        match owner(stored.as_ref(), &self.namespace, &self.service) {
            Owner::Us => {}
            Owner::Nobody => {
                tracing::warn!("APIService {API_SERVICE} is missing; apply config/external-metrics");
                return Ok(None);
            }
            Owner::Other(name) => {
                tracing::error!(
                    owner = name,
                    "APIService {API_SERVICE} belongs to somebody else, and a cluster has one owner of it; nothing is \
                     served or changed; use that owner, or remove it, or drop --external-metrics"
                );
                return Ok(None);
            }
        }
        let order = certificate::Order {
            namespace: &self.namespace,
            service: &self.service,
            secret: SECRET,
            client: false,
        };
        let serving = certificate::ensure(&self.client, &order).await?;
        let front_proxy = front_proxy::read(&self.client).await?;
        self.fill_bundle(&services, stored.as_ref(), &serving).await?;
        Ok(Some(Footing { serving, front_proxy }))
    }

    async fn fill_bundle(
        &self,
        services: &Api<APIService>,
        stored: Option<&APIService>,
        serving: &Serving,
    ) -> Result<(), Error> {
        let wanted = ByteString(serving.authority.clone().into_bytes());
        let present = stored
            .and_then(|service| service.spec.as_ref())
            .and_then(|spec| spec.ca_bundle.as_ref());
        if present == Some(&wanted) {
            return Ok(());
        }
        // A merge patch, tied to the version whose owner was looked at: nobody can have taken it over in between.
        let version = stored.and_then(|service| service.metadata.resource_version.clone());
        let patch = json!({
            "metadata": { "resourceVersion": version },
            "spec": { "caBundle": wanted },
        });
        services
            .patch(API_SERVICE, &PatchParams::default(), &Patch::Merge(&patch))
            .await?;
        tracing::info!("caBundle of APIService {API_SERVICE} was filled");
        Ok(())
    }

    async fn start(&self, footing: &Footing) -> Result<listener::Running, Error> {
        let state = answer::State {
            hints: Arc::clone(&self.hints),
            reviewer: Arc::new(review::Reviewer::new(self.client.clone())),
            front_proxy: Arc::new(footing.front_proxy.clone()),
            metrics: Arc::clone(&self.metrics),
        };
        let door = Door {
            what: GROUP,
            address: self.address,
            serving: &footing.serving,
            callers: Callers::Known(&footing.front_proxy.authority),
            streams: REQUESTS_MAX,
        };
        listener::start(door, answer::router(state)).await
    }
}
