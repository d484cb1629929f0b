//! Service addresses: each leads to one set.

use std::{collections::BTreeMap, net::SocketAddr};

use continuity_wire::{ServiceKey, ServiceValue, TCP};

use super::Engine;
use crate::{Desired, DesiredSet, Error, Reconciled, Rejection, SetId, backing::Backing};

impl<B: Backing> Engine<B> {
    /// Removes addresses that their set no longer wants, before other sets ask for them.
    pub(super) fn free_frontends(&mut self, desired: &Desired) -> Result<(), Error> {
        let wanted: BTreeMap<(SetId, SocketAddr), ()> = desired
            .sets
            .iter()
            .flat_map(|set| set.frontends.iter().map(|address| ((set.id, *address), ())))
            .collect();
        let gone: Vec<SocketAddr> = self
            .frontends
            .iter()
            .filter(|(address, owner)| !wanted.contains_key(&(**owner, **address)))
            .map(|(address, _)| *address)
            .collect();
        gone.into_iter()
            .try_for_each(|address| self.drop_frontend(address))
    }

    pub(super) fn drop_frontends_of(&mut self, id: SetId) -> Result<(), Error> {
        let gone: Vec<SocketAddr> = self
            .frontends
            .iter()
            .filter(|(_, owner)| **owner == id)
            .map(|(address, _)| *address)
            .collect();
        gone.into_iter()
            .try_for_each(|address| self.drop_frontend(address))
    }

    fn drop_frontend(&mut self, address: SocketAddr) -> Result<(), Error> {
        self.backing.drop_service(ServiceKey::new(address, TCP))?;
        if let Some(owner) = self.frontends.remove(&address)
            && let Some(entry) = self.sets.get_mut(&owner)
        {
            entry.view.frontends.retain(|known| *known != address);
        }
        Ok(())
    }

    /// Leads a set's addresses to it.
    pub(super) fn reconcile_frontends(
        &mut self,
        desired: &DesiredSet,
        report: &mut Reconciled,
    ) -> Result<(), Error> {
        for address in &desired.frontends {
            match self.frontends.get(address) {
                Some(owner) if *owner == desired.id => continue,
                Some(owner) => {
                    let rejection = Rejection::FrontendTaken {
                        id: desired.id,
                        address: *address,
                        owner: *owner,
                    };
                    report.rejected.push(rejection);
                    continue;
                }
                None => {}
            }
            if self.frontends.len() >= self.services_capacity {
                let capacity = u32::try_from(self.services_capacity).unwrap_or(u32::MAX);
                report.rejected.push(Rejection::FrontendsFull {
                    id: desired.id,
                    address: *address,
                    capacity,
                });
                continue;
            }
            let Some(entry) = self.sets.get_mut(&desired.id) else {
                return Err(Error::UnknownSet(desired.id));
            };
            let value = ServiceValue {
                set: entry.view.index.0,
                generation: entry.generation,
            };
            self.backing.put_service(ServiceKey::new(*address, TCP), value)?;
            entry.view.frontends.push(*address);
            self.frontends.insert(*address, desired.id);
        }
        Ok(())
    }
}
