//! Looks after a server: what it stands on is looked at now and then, and a change of it starts it anew.
//!
//! What runs goes on while a look fails: an API server that is away is no reason to go silent. Where something is missing, such
//! as during installation, or the address can not be listened on, the next look comes soon. What is served, and by which right,
//! is the server's own affair.

use crate::certificate::{self, Order, Serving};
use crate::error::Error;
use crate::listener::Running;
use kube::Client;
use std::net::SocketAddr;
use std::time::Duration;
use tokio::sync::watch;

/// Time until the next look while something is missing.
const RETRY_EVERY: Duration = Duration::from_secs(3);

/// Where a server stands.
pub(crate) struct Seat {
    /// Whom it asks.
    pub(crate) client: Client,
    /// Namespace of the installation.
    pub(crate) namespace: String,
    /// Service in front of it; its DNS names stand in the serving certificate.
    pub(crate) service: String,
    /// Where it listens.
    pub(crate) address: SocketAddr,
}

impl Seat {
    /// The serving certificate in this Secret of ours, and with `client` one that a caller shows; made where it is missing.
    pub(crate) async fn certificate(&self, secret: &'static str, client: bool) -> Result<Serving, Error> {
        let order = Order {
            namespace: &self.namespace,
            service: &self.service,
            secret,
            client,
        };
        certificate::ensure(&self.client, &order).await
    }
}

/// A server that can be looked after.
pub(crate) trait Tended {
    /// What it runs with; a change of any of it starts it anew.
    type Footing: PartialEq;

    /// What is served, for the log.
    const WHAT: &'static str;
    /// Time between two looks.
    const LOOK_EVERY: Duration;

    /// What to run with now; none where it is not to be served.
    async fn look(&self) -> Result<Option<Self::Footing>, Error>;

    /// Starts to serve; what it does between requests ends with `stop`.
    async fn start(&self, footing: &Self::Footing, stop: &watch::Receiver<bool>) -> Result<Running, Error>;

    /// What else is to be done at each look once it serves.
    async fn settle(&self, _footing: &Self::Footing) -> Result<(), Error> {
        Ok(())
    }
}

/// Looks after a server until `stop`.
pub(crate) async fn tend<S: Tended>(server: &S, mut stop: watch::Receiver<bool>) {
    let mut running = None;
    loop {
        let tended = turn(server, &mut running, &stop).await;
        if let Err(error) = &tended {
            let category = error.category().as_str();
            tracing::warn!(category, %error, "{} could not be looked after", S::WHAT);
        }
        let pause = match (&running, tended) {
            (Some(_), Ok(())) => S::LOOK_EVERY,
            _ => RETRY_EVERY,
        };
        tokio::select! {
            () = tokio::time::sleep(pause) => {}
            _ = stop.wait_for(|stop| *stop) => return,
        }
    }
}

async fn turn<S: Tended>(
    server: &S,
    running: &mut Option<(S::Footing, Running)>,
    stop: &watch::Receiver<bool>,
) -> Result<(), Error> {
    let Some(footing) = server.look().await? else {
        *running = None;
        return Ok(());
    };
    if running.as_ref().is_none_or(|(present, _)| *present != footing) {
        // First the old one goes: both want the same address.
        *running = None;
        let listening = server.start(&footing, stop).await?;
        *running = Some((footing, listening));
    }
    match running {
        Some((footing, _)) => server.settle(footing).await,
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::{Cell, RefCell};
    use tokio::task::AbortHandle;

    /// A server whose looks find what the test puts there.
    struct Fake {
        found: Cell<Option<Option<u8>>>,
        started: RefCell<Vec<AbortHandle>>,
        settled: Cell<usize>,
    }

    impl Tended for Fake {
        type Footing = u8;
        const WHAT: &'static str = "a test";
        const LOOK_EVERY: Duration = Duration::from_secs(30);

        async fn look(&self) -> Result<Option<u8>, Error> {
            self.found
                .get()
                .ok_or_else(|| Error::BadSecret("unreadable".to_owned()))
        }

        async fn start(&self, _: &u8, _: &watch::Receiver<bool>) -> Result<Running, Error> {
            let task = tokio::spawn(std::future::pending::<()>()).abort_handle();
            self.started.borrow_mut().push(task.clone());
            Ok(Running(task))
        }

        async fn settle(&self, _: &u8) -> Result<(), Error> {
            self.settled.set(self.settled.get() + 1);
            Ok(())
        }
    }

    #[tokio::test]
    async fn a_server_starts_anew_when_its_footing_changes_goes_on_through_failed_looks_and_ends_when_unwanted()
     {
        let server = Fake {
            found: Cell::new(Some(None)),
            started: RefCell::default(),
            settled: Cell::new(0),
        };
        let (_stop, stopped) = watch::channel(false);
        let mut running = None;
        // What a look finds, whether the turn succeeds, servers started so far, and whether the last of them still runs.
        let turns = [
            (Some(None), true, 0, false),
            (Some(Some(1)), true, 1, true),
            (Some(Some(1)), true, 1, true),
            (None, false, 1, true),
            (Some(Some(2)), true, 2, true),
            (Some(None), true, 2, false),
            (Some(Some(2)), true, 3, true),
        ];
        for (number, (found, succeeds, starts, runs)) in turns.into_iter().enumerate() {
            server.found.set(found);
            let turned = turn(&server, &mut running, &stopped).await;
            // An aborted task ends when it is its turn.
            tokio::task::yield_now().await;
            let alive = server
                .started
                .borrow()
                .iter()
                .filter(|task| !task.is_finished())
                .count();
            assert_eq!(
                (turned.is_ok(), server.started.borrow().len(), alive),
                (succeeds, starts, usize::from(runs)),
                "turn {number}"
            );
        }
        assert_eq!(server.settled.get(), 4);
    }
}
