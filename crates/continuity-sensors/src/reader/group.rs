//! Groups of files that make one reading.

use std::path::{Path, PathBuf};

use super::{file, followed};
use crate::cgroup::{self, Layout, Version};
use crate::{Level, PodSample, Pressure, Reading, SensorError, Throughput, level};

/// Containers of a pod that are looked at; a pod has rarely more than five.
const MOST_CONTAINERS: usize = 16;

/// Where a pod's files are.
#[derive(Clone, Debug, Default)]
pub(super) struct PodPlace {
    memory: Option<(Version, PathBuf)>,
    cpu: Option<(Version, PathBuf)>,
    cpuacct: Option<PathBuf>,
    pids: Option<(Version, PathBuf)>,
    unified: Option<PathBuf>,
}

impl PodPlace {
    /// The pod's directories, from the one found in each hierarchy.
    pub(super) fn of(layout: &Layout, found: &[(PathBuf, PathBuf)]) -> Option<Self> {
        let inside = |hierarchy: &Path| {
            let place = found.iter().find(|(of, _)| of == hierarchy);
            place.map(|(_, place)| place.clone())
        };
        let versioned = |limit: &Option<(Version, PathBuf)>| {
            let (version, hierarchy) = limit.as_ref()?;
            Some((*version, inside(hierarchy)?))
        };
        let place = Self {
            memory: versioned(&layout.memory),
            cpu: versioned(&layout.cpu),
            cpuacct: layout.cpuacct.as_deref().and_then(inside),
            pids: versioned(&layout.pids),
            unified: layout.unified.as_deref().and_then(inside),
        };
        (!found.is_empty()).then_some(place)
    }

    /// The pod is still there.
    pub(super) fn stands(&self) -> bool {
        let memory = self.memory.as_ref().map(|(_, place)| place);
        memory
            .or(self.unified.as_ref())
            .is_some_and(|place| place.is_dir())
    }
}

/// Reads a pod.
pub(super) fn pod(sample: &mut PodSample, place: Option<&PodPlace>, root: &Path, elapsed: u64) {
    let id = sample.id;
    let missing = || SensorError::NoPod {
        pod: id,
        path: root.to_owned(),
    };
    let Some(place) = place else {
        let error = missing();
        *sample = PodSample {
            memory: Reading::Missing(error.clone()),
            cpu: Reading::Missing(error.clone()),
            processes: Reading::Missing(error.clone()),
            cpu_stall: Reading::Missing(error.clone()),
            memory_stall: Reading::Missing(error.clone()),
            io_stall: Reading::Missing(error),
            id,
        };
        return;
    };
    let error = missing();
    let memory = place.memory.as_ref().ok_or_else(|| error.clone());
    sample.memory = memory
        .and_then(|(version, place)| nearest(place, *version))
        .into();
    sample.cpu = cpu(place, &error).into();
    let pids = place.pids.as_ref().ok_or_else(|| error.clone());
    sample.processes = pids.and_then(|(_, place)| processes(place)).into();
    let stalls = [
        ("cpu.pressure", &mut sample.cpu_stall),
        ("memory.pressure", &mut sample.memory_stall),
        ("io.pressure", &mut sample.io_stall),
    ];
    for (name, reading) in stalls {
        match &place.unified {
            Some(place) => stall(reading, &place.join(name), elapsed),
            None => *reading = Reading::Missing(error.clone()),
        }
    }
}

/// A pressure file, with the part of the time since it was read before.
pub(super) fn stall(reading: &mut Reading<Pressure>, path: &Path, elapsed: u64) {
    let now = file::parsed(path, Pressure::parse);
    *reading = now.map(|now| followed(reading, now, elapsed)).into();
}

pub(super) fn memory(proc: &Path) -> Result<Level, SensorError> {
    file::parsed(&proc.join("meminfo"), level::memory)
}

pub(super) fn descriptors(proc: &Path) -> Result<Level, SensorError> {
    file::parsed(&proc.join("sys/fs/file-nr"), level::descriptors)
}

pub(super) fn conntrack(proc: &Path) -> Result<Level, SensorError> {
    let directory = proc.join("sys/net/netfilter");
    Ok(Level {
        used: file::number(&directory.join("nf_conntrack_count"))?,
        // 0 is no bound of conntrack's own.
        limit: Some(file::number(&directory.join("nf_conntrack_max"))?).filter(|limit| *limit > 0),
    })
}

pub(super) fn threads(proc: &Path) -> Result<Level, SensorError> {
    Ok(Level {
        used: file::parsed(&proc.join("loadavg"), level::threads)?,
        limit: Some(file::number(&proc.join("sys/kernel/threads-max"))?),
    })
}

fn processes(place: &Path) -> Result<Level, SensorError> {
    let most = place.join("pids.max");
    let current = file::read(&place.join("pids.current"))?;
    file::parsed(&most, |most| cgroup::processes(&current, most))
}

fn cpu(place: &PodPlace, error: &SensorError) -> Result<Throughput, SensorError> {
    let (version, cpu) = place.cpu.as_ref().ok_or_else(|| error.clone())?;
    let stat = cpu.join("cpu.stat");
    match version {
        Version::V2 => {
            let most = file::read(&cpu.join("cpu.max"))?;
            file::parsed(&stat, |stat| cgroup::cpu_unified(stat, &most))
        }
        Version::V1 => {
            let acct = place.cpuacct.as_ref().ok_or_else(|| error.clone())?;
            let usage = file::read(&acct.join("cpuacct.usage"))?;
            let quota = file::read(&cpu.join("cpu.cfs_quota_us"))?;
            let period = file::read(&cpu.join("cpu.cfs_period_us"))?;
            file::parsed(&stat, |stat| cgroup::cpu_first(&usage, stat, &quota, &period))
        }
    }
}

/// The pod, or that container of it that is nearest to its own limit: the kernel kills by whichever is reached first.
fn nearest(pod: &Path, version: Version) -> Result<Level, SensorError> {
    let mut worst = bytes(pod, version)?;
    let containers = std::fs::read_dir(pod).into_iter().flatten().flatten();
    let directories = containers.filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()));
    for container in directories.take(MOST_CONTAINERS) {
        // A container that ends while it is read tells nothing of the pod.
        let Ok(level) = bytes(&container.path(), version) else {
            continue;
        };
        if level.permille() > worst.permille() {
            worst = level;
        }
    }
    Ok(worst)
}

fn bytes(place: &Path, version: Version) -> Result<Level, SensorError> {
    let (usage, limit) = match version {
        Version::V1 => ("memory.usage_in_bytes", "memory.limit_in_bytes"),
        Version::V2 => ("memory.current", "memory.max"),
    };
    let usage = file::read(&place.join(usage))?;
    let limit = file::read(&place.join(limit))?;
    file::parsed(&place.join("memory.stat"), |stat| {
        cgroup::memory(&usage, &limit, stat, version)
    })
}
