//! The set-up that many tests share: one set with one backend.

use std::net::SocketAddr;

use continuity_dataplane::{BackendCounters, Completeness, Dataplane as _, Desired, KernelDataplane};

use crate::{
    ground::{Ground, counters, eventually, id, serve, set, vip},
    server::{Manner, Server},
};

/// The set's name.
pub(crate) const NAME: &str = "measure";

/// An agent on the ground with one set behind port 80 of the VIP, and its only backend.
pub(crate) fn served(ground: &Ground, name: &str, manner: Manner) -> (KernelDataplane, Server) {
    let mut plane = ground.open();
    let server = Server::start(1, manner);
    serve(&mut plane, vec![set(name, &[vip(80)], &[server.address])]);
    (plane, server)
}

/// A ground with one set, behind port 80 of the VIP.
pub(crate) struct Scene {
    pub(crate) plane: KernelDataplane,
    _ground: Ground,
}

impl Scene {
    pub(crate) fn new() -> Self {
        let ground = Ground::new();
        Self {
            plane: ground.open(),
            _ground: ground,
        }
    }

    /// The set has this backend from now on, and its counters start from zero.
    pub(crate) fn serve(&mut self, backend: SocketAddr) {
        let nothing = Desired::default();
        self.plane
            .reconcile(&nothing, Completeness::Complete)
            .expect("reconcile");
        serve(&mut self.plane, vec![set(NAME, &[vip(80)], &[backend])]);
    }

    pub(crate) fn seen(&mut self, backend: SocketAddr) -> BackendCounters {
        counters(&mut self.plane, &id(NAME), backend)
    }

    /// Both ends of every connection are closed.
    pub(crate) fn closed(&mut self, backend: SocketAddr) -> BackendCounters {
        eventually("both sides are closed", || {
            let seen = self.seen(backend);
            (seen.client.open(), seen.server.unwrap().open()) == (0, 0)
        });
        self.seen(backend)
    }
}
