//! The twin: the same records, engine and rules over the heap, without a kernel.
//!
//! For tests of what stands above the dataplane. It decides no connects; a test plays the kernel by adding to the
//! counters ([`Engine::count_client`], [`Engine::count_server`]) and by moving the clock ([`Engine::advance`]).

use std::{collections::BTreeMap, convert::Infallible, net::SocketAddr};

use continuity_wire::{
    Admission, AdmissionTraffic, Backend, CallerKey, CallerValue, Control, Endpoint, Limits, Record,
    SCHEMA_VERSION, ServiceKey, ServiceValue, Set, SetTraffic, Traffic,
};

use crate::{
    CapabilityReport, Engine, Error, SetId, backing::Backing, capacity::Capacities, region::Source,
    tables::Tables,
};

/// The twin.
pub type MemoryDataplane = Engine<Memory>;

/// What the twin has instead of a kernel.
#[derive(Debug, Default)]
pub struct Memory {
    services: BTreeMap<ServiceKey, ServiceValue>,
    endpoints: BTreeMap<ServiceKey, Endpoint>,
    callers: BTreeMap<CallerKey, CallerValue>,
    capabilities: CapabilityReport,
    now: u64,
}

impl Backing for Memory {
    fn put_service(&mut self, key: ServiceKey, value: ServiceValue) -> Result<(), Error> {
        self.services.insert(key, value);
        Ok(())
    }

    fn drop_service(&mut self, key: ServiceKey) -> Result<(), Error> {
        self.services.remove(&key);
        Ok(())
    }

    fn services(&self) -> Result<Vec<(ServiceKey, ServiceValue)>, Error> {
        Ok(self.services.iter().map(|(key, value)| (*key, *value)).collect())
    }

    fn put_endpoint(&mut self, key: ServiceKey, value: Endpoint) -> Result<(), Error> {
        self.endpoints.insert(key, value);
        Ok(())
    }

    fn drop_endpoint(&mut self, key: ServiceKey) -> Result<(), Error> {
        self.endpoints.remove(&key);
        Ok(())
    }

    fn endpoints(&self) -> Result<Vec<(ServiceKey, Endpoint)>, Error> {
        Ok(self.endpoints.iter().map(|(key, value)| (*key, *value)).collect())
    }

    fn put_caller(&mut self, key: CallerKey, value: CallerValue) -> Result<(), Error> {
        self.callers.insert(key, value);
        Ok(())
    }

    fn drop_caller(&mut self, key: CallerKey) -> Result<(), Error> {
        self.callers.remove(&key);
        Ok(())
    }

    fn callers(&self) -> Result<Vec<(CallerKey, CallerValue)>, Error> {
        Ok(self.callers.iter().map(|(key, value)| (*key, *value)).collect())
    }

    fn grace(&self) {}

    fn now(&self) -> u64 {
        self.now
    }

    fn verify(&self) -> Result<(), Error> {
        Ok(())
    }

    fn capabilities(&self) -> &CapabilityReport {
        &self.capabilities
    }
}

impl Engine<Memory> {
    /// An empty twin whose clock stands at 1 s.
    ///
    /// # Errors
    /// Never; the type is that of the real one.
    pub fn in_memory(sizes: Capacities) -> Result<Self, Error> {
        let tables =
            Tables::new(sizes, |_| Ok::<_, Infallible>(Source::Heap)).unwrap_or_else(|never| match never {});
        let control = Control {
            schema: SCHEMA_VERSION,
            shard_mask: sizes.shards - 1,
            heartbeat: 0,
            cursor_start: 0,
            reserved: [0; 11],
        };
        tables.control.store(0, &control)?;
        Self::restore(
            tables,
            Memory {
                now: 1_000_000_000,
                ..Memory::default()
            },
            sizes,
        )
    }

    /// Moves the clock on.
    pub fn advance(&mut self, by: std::time::Duration) {
        let memory = self.backing_mut();
        memory.now = memory
            .now
            .saturating_add(u64::try_from(by.as_nanos()).unwrap_or(u64::MAX));
    }

    /// The report that [`crate::Dataplane::capabilities`] gives from now on.
    pub fn pretend(&mut self, capabilities: CapabilityReport) {
        self.backing_mut().capabilities = capabilities;
    }

    /// Plays a foreign hand: takes every address away, leads a strange one to set 0, spoils every set and backend.
    ///
    /// # Errors
    /// When the tables cannot be read.
    pub fn tamper(&mut self) -> Result<(), Error> {
        let memory = self.backing_mut();
        memory.services.clear();
        memory.endpoints.clear();
        let strange = ServiceKey::new(SocketAddr::from(([192, 0, 2, 1], 80)), continuity_wire::TCP);
        let value = ServiceValue {
            set: 0,
            generation: 0,
        };
        memory.services.insert(strange, value);
        let tables = self.tables();
        for index in 0..tables.sets.entries() {
            let set: Set = tables.sets.load(index)?;
            tables.sets.store(
                index,
                &Set {
                    flags: 0,
                    hold_after: 1,
                    ..set
                },
            )?;
        }
        for index in 0..tables.backends.entries() {
            let backend: Backend = tables.backends.load(index)?;
            tables.backends.store(
                index,
                &Backend {
                    port: [0, 1],
                    ..backend
                },
            )?;
        }
        Ok(())
    }

    /// Plays the kernel: changes what this node's clients saw of a backend.
    ///
    /// # Errors
    /// When the set does not have the backend.
    pub fn count_client(
        &mut self,
        set: &SetId,
        backend: SocketAddr,
        change: impl FnOnce(&mut Traffic, &mut Record),
    ) -> Result<(), Error> {
        let index = self.index_of(set, backend)?;
        let tables = self.tables();
        let mut traffic: Traffic = tables.client.load(index * tables.shards)?;
        let mut record: Record = tables.records.load(index)?;
        change(&mut traffic, &mut record);
        tables.client.store(index * tables.shards, &traffic)?;
        tables.records.store(index, &record)
    }

    /// Plays the kernel: changes what a local backend's own node saw.
    ///
    /// # Errors
    /// When no set has the backend as a local one.
    pub fn count_server(
        &mut self,
        backend: SocketAddr,
        change: impl FnOnce(&mut Traffic),
    ) -> Result<(), Error> {
        let index = self
            .endpoint_of(backend)
            .ok_or(Error::Missing("local backend of that address"))?;
        let tables = self.tables();
        let mut traffic: Traffic = tables.server.load(index * tables.shards)?;
        change(&mut traffic);
        tables.server.store(index * tables.shards, &traffic)
    }

    /// Plays the kernel: changes what was decided for a set.
    ///
    /// # Errors
    /// When the set is unknown.
    pub fn count_decisions(
        &mut self,
        set: &SetId,
        change: impl FnOnce(&mut SetTraffic),
    ) -> Result<(), Error> {
        let index = self.set_index(set)?;
        let tables = self.tables();
        let mut traffic: SetTraffic = tables.decisions.load(index * tables.shards)?;
        change(&mut traffic);
        tables.decisions.store(index * tables.shards, &traffic)
    }

    /// Plays the kernel: changes what admission counts of a set.
    ///
    /// # Errors
    /// When the set is unknown.
    pub fn count_admission(
        &mut self,
        set: &SetId,
        change: impl FnOnce(&mut Admission, &mut AdmissionTraffic),
    ) -> Result<(), Error> {
        let index = self.set_index(set)?;
        let tables = self.tables();
        let mut words: Admission = tables.admissions.load(index)?;
        let mut traffic: AdmissionTraffic = tables.admission_traffic.load(index * tables.shards)?;
        change(&mut words, &mut traffic);
        tables.admissions.store(index, &words)?;
        tables.admission_traffic.store(index * tables.shards, &traffic)
    }

    /// The limits that connects to a set are under; `None` while they ask for nothing.
    ///
    /// # Errors
    /// When the set is unknown.
    pub fn limits(&self, set: &SetId) -> Result<Option<Limits>, Error> {
        let index = self.set_index(set)?;
        let tables = self.tables();
        let flags = tables.sets.load::<continuity_wire::Set>(index)?.flags;
        if flags & continuity_wire::SetFlags::ADMIT == 0 {
            return Ok(None);
        }
        let control = tables.admissions.load::<Admission>(index)?.control;
        let bank = index * continuity_wire::LIMIT_BANKS + u32::from(control & 1 == 1);
        let words: Limits = tables.limits.load(bank)?;
        Ok(Some(Limits { control, ..words }))
    }

    /// Level of a cgroup as a caller of a set, if it is known.
    ///
    /// # Errors
    /// When the set is unknown.
    pub fn level(&self, set: &SetId, cgroup: u64) -> Result<Option<u32>, Error> {
        let key = CallerKey {
            cgroup,
            set: self.set_index(set)?,
            reserved: 0,
        };
        Ok(self.backing().callers.get(&key).map(|value| value.level))
    }
}
