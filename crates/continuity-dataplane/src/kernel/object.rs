//! The embedded object: its maps made or taken from their pins, its programs loaded.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use aya::{
    Ebpf, EbpfLoader,
    maps::{Map, MapData},
    programs::{Program, ProgramError, ProgramType},
    sys::{BpfHelper, is_helper_supported},
};
use bytemuck::Zeroable as _;
use continuity_wire::{CALLERS, Control, Cookies, LIMIT_BANKS, LINES, SCHEMA_VERSION, SOCKET_BYTES, map};

use super::{hooks::Hook, pins::Pins, syscall::netns_cookie};
use crate::{
    CapabilityId, CapabilityReport, Error,
    capacity::{self, Capacities},
    region::{Region, Shape, Source},
    tables::Tables,
};

/// The programs, compiled by `build.rs`.
pub static OBJECT: &[u8] = aya::include_bytes_aligned!(concat!(env!("OUT_DIR"), "/continuity.bpf.o"));

/// A loaded object.
pub(super) struct Object {
    ebpf: Ebpf,
}

/// Makes or takes over the maps.
pub(super) fn load(pins: &Pins, sizes: Capacities, capabilities: &CapabilityReport) -> Result<Object, Error> {
    let shard_mask = sizes.shards - 1;
    let have_set_retval = u32::from(capabilities.has(CapabilityId::SetRetval));
    let have_release = u32::from(capabilities.has(CapabilityId::SockRelease));
    let have_coarse = u32::from(
        is_helper_supported(ProgramType::SockOps, BpfHelper::BPF_FUNC_ktime_get_coarse_ns).unwrap_or(false),
    );
    let bucket_shift = u64::BITS - sizes.buckets().ilog2();
    let host_netns = if capabilities.has(CapabilityId::BindGuard) {
        netns_cookie().unwrap_or(0)
    } else {
        0
    };
    let mut loader = EbpfLoader::new();
    for name in map::ALL {
        loader.map_pin_path(name, pins.map(name));
    }
    for (name, entries) in entries(sizes) {
        loader.map_max_entries(name, entries);
    }
    loader
        .override_global("shard_mask", &shard_mask, true)
        .override_global("have_set_retval", &have_set_retval, true)
        .override_global("have_release", &have_release, true)
        .override_global("have_coarse", &have_coarse, true)
        .override_global("bucket_shift", &bucket_shift, true)
        .override_global("host_netns", &host_netns, true);
    let ebpf = loader.load(OBJECT).map_err(Box::new)?;
    Ok(Object { ebpf })
}

fn entries(sizes: Capacities) -> [(&'static str, u32); 18] {
    let Capacities {
        sets,
        backends,
        services,
        endpoints,
        shards,
        ..
    } = sizes;
    [
        (map::CONTROL, 1),
        (map::SERVICES, services),
        (map::ENDPOINTS, endpoints),
        (map::SETS, sets),
        (map::BACKENDS, backends),
        (map::CLIENT_TRAFFIC, backends * shards),
        (map::SERVER_TRAFFIC, endpoints * shards),
        (map::SET_TRAFFIC, sets * shards),
        (map::NODE, shards),
        (map::LEARNED, sets),
        (map::SOCKETS, sizes.buckets() * LINES),
        (map::ADMISSIONS, sets),
        (map::LIMITS, sets * LIMIT_BANKS),
        (map::ADMISSION_TRAFFIC, sets * shards),
        (map::CALLERS, CALLERS),
        (map::SHARES, CALLERS),
        (map::FLOWS, capacity::FLOWS),
        (map::AFFINITY, capacity::AFFINITY),
    ]
}

/// Writes the schema into maps that are new; a stamp that is there was checked before.
pub(super) fn stamp(tables: &Tables, sizes: Capacities, cursor_start: u32) -> Result<(), Error> {
    let found: Control = tables.control.load(0)?;
    if found.schema == SCHEMA_VERSION {
        return Ok(());
    }
    let control = Control {
        schema: SCHEMA_VERSION,
        shard_mask: sizes.shards - 1,
        cursor_start,
        ..Control::zeroed()
    };
    tables.control.store(0, &control)
}

impl Object {
    /// The array maps as memory.
    pub(super) fn tables(&self, sizes: Capacities) -> Result<Tables, Error> {
        Tables::new(sizes, |name| match self.ebpf.map(name) {
            Some(Map::Array(data)) => duplicate(data).map(Source::Map),
            _ => Err(Error::Missing(name)),
        })
    }

    /// Frees the records of sockets whose end nobody saw: no program was attached.
    pub(super) fn forget_sockets(&self, sizes: Capacities) -> Result<(), Error> {
        let Some(Map::Array(data)) = self.ebpf.map(map::SOCKETS) else {
            return Err(Error::Missing(map::SOCKETS));
        };
        let buckets = sizes.buckets();
        let source = Source::Map(duplicate(data)?);
        let lines = Region::new(map::SOCKETS, Shape::whole(SOCKET_BYTES), buckets * LINES, source);
        (0..buckets).try_for_each(|bucket| lines.clear::<Cookies>(bucket * LINES))
    }

    pub(super) fn take_map(&mut self, name: &str) -> Option<Map> {
        self.ebpf.take_map(name)
    }

    /// Loads one program; the verifier has its say here.
    pub(super) fn load_program(&mut self, hook: &Hook) -> Result<BorrowedFd<'_>, Error> {
        let refused = |source| Error::Program {
            program: hook.program,
            source: Box::new(source),
        };
        let program = self
            .ebpf
            .program_mut(hook.program)
            .ok_or(Error::Missing(hook.program))?;
        match program {
            Program::CgroupSockAddr(program) => program.load(),
            Program::CgroupSkb(program) => program.load(),
            Program::CgroupSock(program) => program.load(),
            Program::SockOps(program) => program.load(),
            _ => return Err(Error::Missing(hook.program)),
        }
        .map_err(refused)?;
        let fd: Result<_, ProgramError> = program.fd();
        Ok(fd.map_err(refused)?.as_fd())
    }
}

fn duplicate(data: &MapData) -> Result<OwnedFd, Error> {
    let copied = data.fd().as_fd().try_clone_to_owned();
    copied.map_err(|source| Error::Bpf {
        command: "dup",
        object: "map",
        source,
    })
}
