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

use crate::certificate::Serving;
use crate::error::Error;
use crate::listener::{self, Callers, Door, Running};
use crate::published::Hints;
use crate::telemetry::Metrics;
use crate::warden::{Seat, Tended};
use k8s_openapi::ByteString;
use k8s_openapi::kube_aggregator::pkg::apis::apiregistration::v1::APIService;
use kube::api::{Api, Patch, PatchParams};
use serde_json::json;
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

/// The server.
pub(crate) struct Server {
    pub(crate) seat: Seat,
    pub(crate) hints: Arc<Hints>,
    pub(crate) metrics: Arc<Metrics>,
}

/// What the server runs with; a change of any of it starts it anew.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Footing {
    serving: Serving,
    front_proxy: FrontProxy,
}

impl Tended for Server {
    type Footing = Footing;
    const WHAT: &'static str = GROUP;
    const LOOK_EVERY: Duration = LOOK_EVERY;

    async fn look(&self) -> Result<Option<Footing>, Error> {
        let services: Api<APIService> = Api::all(self.seat.client.clone());
        let stored = services.get_opt(API_SERVICE).await?;
        match owner(stored.as_ref(), &self.seat.namespace, &self.seat.service) {
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
        let serving = self.seat.certificate(SECRET, false).await?;
        let front_proxy = front_proxy::read(&self.seat.client).await?;
        fill_bundle(&services, stored.as_ref(), &serving).await?;
        Ok(Some(Footing { serving, front_proxy }))
    }

    async fn start(&self, footing: &Footing, _: &watch::Receiver<bool>) -> Result<Running, Error> {
        let state = answer::State {
            hints: Arc::clone(&self.hints),
            reviewer: Arc::new(review::Reviewer::new(self.seat.client.clone())),
            front_proxy: Arc::new(footing.front_proxy.clone()),
            metrics: Arc::clone(&self.metrics),
        };
        let door = Door {
            what: Self::WHAT,
            address: self.seat.address,
            serving: &footing.serving,
            callers: Callers::Known(&footing.front_proxy.authority),
            streams: REQUESTS_MAX,
        };
        listener::start(door, answer::router(state)).await
    }
}

/// Puts our authority into the APIService, which the API server believes us by.
async fn fill_bundle(
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
