//! The real dataplane: programs, maps and links in the kernel.
//!
//! Everything is pinned under one directory (`/sys/fs/bpf/continuity/v4/{maps,programs,links}`), so it outlives the
//! agent. Opening takes over what is there: maps with their content, links by an atomic program update that drops no
//! event. What is read back about the kernel comes from these pins and `BPF_OBJ_GET_INFO_BY_FD`, never by id, because
//! the agent has no CAP_SYS_ADMIN.

mod cgroup;
mod hash;
mod hooks;
mod object;
mod pins;
mod probe;
mod syscall;
mod uninstall;

use std::{
    fs::File,
    path::{Path, PathBuf},
};

use continuity_wire::{CallerKey, CallerValue, Endpoint, SCHEMA_VERSION, ServiceKey, ServiceValue};

use crate::{CapabilityId, CapabilityReport, Engine, Error, GRACE, backing::Backing, capacity::Capacities};
use hash::Hash;
use pins::Pins;

pub use hooks::{HOOKS, Hook};
pub use object::OBJECT;
pub use probe::probe;
pub use uninstall::{Removed, uninstall};

/// The real dataplane.
pub type KernelDataplane = Engine<Kernel>;

/// Where and how the dataplane is put into the kernel.
#[derive(Clone, Debug)]
pub struct Options {
    /// Cgroup to attach to; `None` = the root of the v2 hierarchy found in mountinfo.
    pub cgroup: Option<PathBuf>,
    /// Directory on a bpffs that holds the pins of every schema version.
    pub pins: PathBuf,
    /// Sizes of maps that are made now; pinned ones keep theirs.
    pub capacities: Capacities,
    /// Where this node starts to walk its slot tables; a hash of the node's name.
    pub cursor_start: u32,
    /// Features to treat as missing, to see their fallbacks.
    pub pretend_missing: Vec<CapabilityId>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            cgroup: None,
            pins: PathBuf::from("/sys/fs/bpf/continuity"),
            capacities: Capacities::of_this_node(),
            cursor_start: 0,
            pretend_missing: Vec::new(),
        }
    }
}

impl Options {
    fn pins_of_schema(&self) -> Pins {
        Pins::new(self.pins.join(format!("v{SCHEMA_VERSION}")))
    }

    fn pretends_missing(&self, id: CapabilityId) -> bool {
        self.pretend_missing.contains(&id)
    }
}

/// The kernel behind an [`Engine`].
pub struct Kernel {
    services: Hash<ServiceKey, ServiceValue, { size_of::<ServiceKey>() }>,
    endpoints: Hash<ServiceKey, Endpoint, { size_of::<ServiceKey>() }>,
    callers: Hash<CallerKey, CallerValue, { size_of::<CallerKey>() }>,
    pins: Pins,
    cgroup: PathBuf,
    expected: Vec<&'static hooks::Hook>,
    capabilities: CapabilityReport,
    /// Held as long as this process may write.
    _lock: File,
}

impl Engine<Kernel> {
    /// Takes over what a former agent pinned, or loads and attaches everything.
    ///
    /// Maps keep their content, links are updated to this agent's programs in place. Safe to repeat after a crash at
    /// any point. See [`probe`] for what the node must offer.
    ///
    /// # Errors
    /// [`Error::Schema`] or [`Error::Layout`] when pins of another layout are in the way (nothing is touched then),
    /// [`Error::Busy`] when another agent is the writer, [`Error::NoCgroup`], [`Error::NoBpffs`], or what the kernel refused.
    pub fn open_or_load(options: &Options) -> Result<Self, Error> {
        let capabilities = probe(options);
        let cgroup = cgroup::root(options)?;
        let pins = options.pins_of_schema();
        pins::require_bpffs(&options.pins)?;
        pins::refuse_other_schemas(&options.pins)?;
        pins.make()?;
        let lock = pins.lock()?;
        let sizes = pins.sizes(options.capacities)?;
        let mut object = object::load(&pins, sizes, &capabilities)?;
        let tables = object.tables(sizes)?;
        object::stamp(&tables, sizes, options.cursor_start)?;
        let kernel = Kernel {
            services: Hash::of(&mut object, continuity_wire::map::SERVICES)?,
            endpoints: Hash::of(&mut object, continuity_wire::map::ENDPOINTS)?,
            callers: Hash::of(&mut object, continuity_wire::map::CALLERS)?,
            expected: hooks::wanted(&capabilities),
            pins,
            cgroup,
            capabilities,
            _lock: lock,
        };
        let engine = Self::restore(tables, kernel, sizes)?;
        let kernel = engine.backing();
        if !hooks::measures(&kernel.pins, &kernel.cgroup)? {
            object.forget_sockets(sizes)?;
            engine.forget_holdings()?;
        }
        for hook in &kernel.expected {
            hooks::install(hook, &mut object, &kernel.pins, &kernel.cgroup)?;
        }
        Ok(engine)
    }

    /// The cgroup that the hooks are attached to.
    #[must_use]
    pub fn cgroup(&self) -> &Path {
        &self.backing().cgroup
    }
}

impl Backing for Kernel {
    fn put_service(&mut self, key: ServiceKey, value: ServiceValue) -> Result<(), Error> {
        self.services.put(key, value)
    }

    fn drop_service(&mut self, key: ServiceKey) -> Result<(), Error> {
        self.services.drop(key)
    }

    fn services(&self) -> Result<Vec<(ServiceKey, ServiceValue)>, Error> {
        self.services.entries()
    }

    fn put_endpoint(&mut self, key: ServiceKey, value: Endpoint) -> Result<(), Error> {
        self.endpoints.put(key, value)
    }

    fn drop_endpoint(&mut self, key: ServiceKey) -> Result<(), Error> {
        self.endpoints.drop(key)
    }

    fn endpoints(&self) -> Result<Vec<(ServiceKey, Endpoint)>, Error> {
        self.endpoints.entries()
    }

    fn put_caller(&mut self, key: CallerKey, value: CallerValue) -> Result<(), Error> {
        self.callers.put(key, value)
    }

    fn drop_caller(&mut self, key: CallerKey) -> Result<(), Error> {
        self.callers.drop(key)
    }

    fn callers(&self) -> Result<Vec<(CallerKey, CallerValue)>, Error> {
        self.callers.entries()
    }

    fn grace(&self) {
        let has_barrier = self.capabilities.has(CapabilityId::Membarrier);
        if !(has_barrier && syscall::membarrier()) {
            std::thread::sleep(GRACE);
        }
    }

    fn now(&self) -> u64 {
        syscall::monotonic()
    }

    fn verify(&self) -> Result<(), Error> {
        let id = cgroup::id(&self.cgroup)?;
        self.expected
            .iter()
            .try_for_each(|hook| hooks::verify(hook, &self.pins, id))
    }

    fn capabilities(&self) -> &CapabilityReport {
        &self.capabilities
    }
}
