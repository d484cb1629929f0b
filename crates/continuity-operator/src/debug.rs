//! Where `/debug/*` is served: over TLS for the API server's proxy to the pod, which is what `kubectl continuity debug` uses,
//! or on the loopback of the pod in plain HTTP, for its port-forward. Who may look is `continuity-debug`'s. Off unless asked
//! for.

use crate::certificate::Serving;
use crate::error::Error;
use crate::listener::{self, Callers, Door, Running};
use crate::serve;
use crate::warden::{self, Seat, Tended};
use axum::Router;
use continuity_debug::{Pages, REQUESTS_MAX, router};
use kube::Client;
use std::net::SocketAddr;
use std::time::Duration;
use tokio::sync::watch;

/// Secret of the serving certificate, and the name in it. The API server's proxy asks for no particular one.
const NAME: &str = "continuity-debug";
/// Time between two looks at the certificate, which lives for a year.
const LOOK_EVERY: Duration = Duration::from_secs(3_600);

/// The server.
pub(crate) struct Server {
    seat: Seat,
    router: Router,
}

impl Server {
    /// A server of `pages` at `address`.
    pub(crate) fn new(client: Client, namespace: &str, address: SocketAddr, pages: Pages) -> Self {
        let seat = Seat {
            client: client.clone(),
            namespace: namespace.to_owned(),
            service: NAME.to_owned(),
            address,
        };
        Self {
            seat,
            router: router(client, pages),
        }
    }

    /// Serves until `stop`: on the loopback in plain HTTP, elsewhere over TLS.
    ///
    /// # Errors
    /// If the loopback address can not be listened on.
    pub(crate) async fn run(self, stop: watch::Receiver<bool>) -> Result<(), Error> {
        if self.seat.address.ip().is_loopback() {
            return serve::until_stopped(self.seat.address, self.router, stop).await;
        }
        warden::tend(&self, stop).await;
        Ok(())
    }
}

impl Tended for Server {
    type Footing = Serving;
    const WHAT: &'static str = "/debug";
    const LOOK_EVERY: Duration = LOOK_EVERY;

    async fn look(&self) -> Result<Option<Serving>, Error> {
        self.seat.certificate(NAME, false).await.map(Some)
    }

    async fn start(&self, serving: &Serving, _: &watch::Receiver<bool>) -> Result<Running, Error> {
        let door = Door {
            what: Self::WHAT,
            address: self.seat.address,
            serving,
            callers: Callers::Known(&serving.authority),
            streams: u32::try_from(REQUESTS_MAX).unwrap_or(1),
        };
        listener::start(door, self.router.clone()).await
    }
}
