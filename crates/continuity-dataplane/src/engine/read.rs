//! Reads counters and the failsafe.

use continuity_wire::{Node, Record, Set};

use super::Engine;
use crate::{
    BackendCounters, Error, Failsafe, FailsafeState, NodeCounters, SetCounters, SetId, backing::Backing,
};

impl<B: Backing> Engine<B> {
    pub(super) fn read_set(&self, id: &SetId) -> Result<SetCounters, Error> {
        let view = &self.entry(id)?.view;
        let decisions = self.tables.decisions(view.index.0)?;
        let mut backends = Vec::with_capacity(view.backends.len());
        for backend in &view.backends {
            let server = if backend.local {
                self.endpoint_of(backend.address)
            } else {
                None
            };
            let record: Record = self.tables.records.load(backend.index.0)?;
            backends.push(BackendCounters {
                backend: *backend,
                client: self.tables.traffic(&self.tables.client, backend.index.0)?,
                server: server
                    .map(|index| self.tables.traffic(&self.tables.server, index))
                    .transpose()?,
                record,
            });
        }
        Ok(SetCounters {
            read_at: self.backing.now(),
            decisions,
            regression: decisions.regression,
            backends,
        })
    }

    pub(super) fn read_node_counters(&self) -> Result<NodeCounters, Error> {
        let mut sum = NodeCounters::default();
        for shard in 0..self.tables.shards {
            let node: Node = self.tables.node.load(shard)?;
            sum.stale_service = sum.stale_service.wrapping_add(node.stale_service);
            sum.unmeasured_passive = sum.unmeasured_passive.wrapping_add(node.unmeasured_passive);
            sum.outlived = sum.outlived.wrapping_add(node.outlived);
            sum.guarded = sum.guarded.wrapping_add(node.guarded);
            sum.unkept = sum.unkept.wrapping_add(node.unkept);
        }
        Ok(sum)
    }

    pub(super) fn read_failsafe(&self, id: &SetId) -> Result<FailsafeState, Error> {
        let set: Set = self.tables.sets.load(self.entry(id)?.view.index.0)?;
        let seen = match set.failsafe & 3 {
            0 => Failsafe::Normal,
            1 => Failsafe::Hold,
            _ => Failsafe::Fallback,
        };
        let age = self.heartbeat_age();
        let now = if age >= set.fallback_after {
            Failsafe::Fallback
        } else if age >= set.hold_after {
            Failsafe::Hold
        } else {
            Failsafe::Normal
        };
        Ok(FailsafeState {
            seen,
            since: set.failsafe & !3,
            now,
        })
    }
}
