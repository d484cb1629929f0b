//! Local backends' own addresses: their passive sockets are measured, once per address whatever sets share it.

use std::{collections::BTreeSet, net::SocketAddr};

use continuity_wire::{Endpoint, ServiceKey, TCP};

use super::{Engine, Local};
use crate::{Error, Protocol, Reconciled, Rejection, backing::Backing};

impl<B: Backing> Engine<B> {
    pub(super) fn reconcile_endpoints(&mut self, report: &mut Reconciled) -> Result<(), Error> {
        let views = self.sets.values().map(|entry| &entry.view);
        // A datagram is accepted by no socket of its own, so there is nothing to measure at the backend.
        let backends = views
            .filter(|view| view.protocol == Protocol::Tcp)
            .flat_map(|view| view.backends.iter());
        let wanted: BTreeSet<SocketAddr> = backends
            .filter(|backend| backend.local)
            .map(|backend| backend.address)
            .collect();
        let gone: Vec<(SocketAddr, u32)> = self
            .endpoints
            .iter()
            .filter(|(address, _)| !wanted.contains(address))
            .map(|(address, local)| (*address, local.index))
            .collect();
        for (address, index) in gone {
            self.backing.drop_endpoint(ServiceKey::new(address, TCP))?;
            self.endpoints.remove(&address);
            self.endpoint_pool.rest(index, self.backing.now());
        }
        for address in wanted {
            if self.endpoints.contains_key(&address) {
                continue;
            }
            let Some(index) = self.endpoint_pool.take(self.backing.now()) else {
                let capacity = self.endpoint_pool.capacity();
                report
                    .rejected
                    .push(Rejection::EndpointsFull { address, capacity });
                continue;
            };
            let generation = self
                .tables
                .generation(&self.tables.server, index)?
                .wrapping_add(1);
            self.tables
                .reset_traffic(&self.tables.server, index, generation)?;
            self.backing.put_endpoint(
                ServiceKey::new(address, TCP),
                Endpoint {
                    endpoint: index,
                    generation,
                },
            )?;
            self.endpoints.insert(address, Local { index, generation });
        }
        Ok(())
    }
}
