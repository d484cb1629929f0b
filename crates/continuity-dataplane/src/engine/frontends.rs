//! Service addresses and guarded node ports: each leads to one set.

use std::collections::BTreeSet;

use continuity_wire::{ServiceKey, ServiceValue};

use super::Engine;
use crate::{Desired, DesiredSet, Error, Reconciled, Rejection, SetId, backing::Backing};

impl<B: Backing> Engine<B> {
    /// Removes addresses that their set no longer wants, before other sets ask for them.
    pub(super) fn free_frontends(&mut self, desired: &Desired) -> Result<(), Error> {
        let wanted: BTreeSet<(SetId, ServiceKey)> = desired
            .sets
            .iter()
            .flat_map(|set| set.keys().map(|key| (set.id, key)))
            .collect();
        self.drop_frontends(|owner, key| !wanted.contains(&(owner, key)))
    }

    pub(super) fn drop_frontends_of(&mut self, id: SetId) -> Result<(), Error> {
        self.drop_frontends(|owner, _| owner == id)
    }

    fn drop_frontends(&mut self, goes: impl Fn(SetId, ServiceKey) -> bool) -> Result<(), Error> {
        let gone: Vec<ServiceKey> = self
            .frontends
            .iter()
            .filter(|(key, owner)| goes(**owner, **key))
            .map(|(key, _)| *key)
            .collect();
        gone.into_iter().try_for_each(|key| self.drop_frontend(key))
    }

    fn drop_frontend(&mut self, key: ServiceKey) -> Result<(), Error> {
        self.backing.drop_service(key)?;
        if let Some(owner) = self.frontends.remove(&key)
            && key.guard == 0
            && let Some(entry) = self.sets.get_mut(&owner)
        {
            let address = key.socket_address();
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
        for key in desired.keys() {
            let address = key.socket_address();
            match self.frontends.get(&key) {
                Some(owner) if *owner == desired.id => continue,
                Some(owner) => {
                    report.rejected.push(Rejection::FrontendTaken {
                        id: desired.id,
                        address,
                        owner: *owner,
                    });
                    continue;
                }
                None => {}
            }
            if self.frontends.len() >= self.services_capacity {
                let capacity = u32::try_from(self.services_capacity).unwrap_or(u32::MAX);
                report.rejected.push(Rejection::FrontendsFull {
                    id: desired.id,
                    address,
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
            self.backing.put_service(key, value)?;
            if key.guard == 0 {
                entry.view.frontends.push(address);
            }
            self.frontends.insert(key, desired.id);
        }
        Ok(())
    }
}
