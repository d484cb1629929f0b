//! Cgroups: where the hierarchies are, and what their files say, in both versions.
//!
//! On a hybrid node the limits sit in v1's hierarchies while v2's is mounted beside them and may hold the same cgroups
//! without controllers, so limits and pressure can come from different places.

use std::path::{Path, PathBuf};

use crate::{Level, Throughput};

/// Version of the interface that holds a limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Version {
    /// One hierarchy a controller.
    V1,
    /// One hierarchy for all.
    V2,
}

/// CPU figures and where they came from.
pub type CpuUsage = (Throughput, Version);

/// Where the hierarchies are.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Layout {
    /// The unified hierarchy, if it is mounted.
    pub unified: Option<PathBuf>,
    /// Whoever limits memory.
    pub memory: Option<(Version, PathBuf)>,
    /// Whoever limits CPU time.
    pub cpu: Option<(Version, PathBuf)>,
    /// Version 1 counts CPU time in a controller of its own, which may be mounted apart.
    pub cpuacct: Option<PathBuf>,
    /// Whoever limits processes.
    pub pids: Option<(Version, PathBuf)>,
}

impl Layout {
    /// The layout below `root`; `controllers` reads a `cgroup.controllers`, `is_there` looks for a directory. `None` when
    /// there is no hierarchy at all.
    pub(crate) fn find(
        root: &Path,
        controllers: impl Fn(&Path) -> Option<String>,
        is_there: impl Fn(&Path) -> bool,
    ) -> Option<Self> {
        let places = [root.to_owned(), root.join("unified")];
        let unified = places
            .into_iter()
            .find_map(|place| controllers(&place).map(|text| (place, text)));
        let in_unified = |name: &str| {
            let (place, text) = unified.as_ref()?;
            text.split_ascii_whitespace()
                .any(|known| known == name)
                .then(|| (Version::V2, place.clone()))
        };
        let in_first = |names: &[&str]| {
            let mut places = names.iter().map(|name| root.join(name));
            places.find(|place| is_there(place))
        };
        let one = |name: &str, mounts: &[&str]| {
            in_unified(name).or_else(|| in_first(mounts).map(|place| (Version::V1, place)))
        };
        let layout = Self {
            memory: one("memory", &["memory"]),
            cpu: one("cpu", &["cpu", "cpu,cpuacct"]),
            cpuacct: in_first(&["cpuacct", "cpu,cpuacct"]),
            pids: one("pids", &["pids"]),
            unified: unified.as_ref().map(|(place, _)| place.clone()),
        };
        (layout.unified.is_some() || layout.memory.is_some()).then_some(layout)
    }

    /// Every hierarchy in which a pod has to be looked for, each once.
    pub(crate) fn hierarchies(&self) -> Vec<&Path> {
        let limits = [&self.memory, &self.cpu, &self.pids];
        let mut all: Vec<&Path> = limits
            .into_iter()
            .flatten()
            .map(|(_, place)| &**place)
            .chain(self.unified.as_deref())
            .chain(self.cpuacct.as_deref())
            .collect();
        all.sort_unstable();
        all.dedup();
        all
    }
}

/// Version 1 writes the largest page count for "no limit": 2^63 rounded down to a page. No node has an exbibyte.
const UNLIMITED: u64 = 1 << 60;

/// Bytes in use and the limit; `inactive` is page cache that the kernel can drop, which the kubelet leaves out too.
pub(crate) fn memory(usage: &str, limit: &str, stat: &str, version: Version) -> Result<Level, &'static str> {
    let used: u64 = usage.trim().parse().map_err(|_| "bytes in use")?;
    let droppable = match version {
        Version::V1 => field(stat, "total_inactive_file"),
        Version::V2 => field(stat, "inactive_file"),
    };
    let droppable = droppable.ok_or("inactive_file")?;
    Ok(Level {
        used: used.saturating_sub(droppable),
        limit: bound(limit)?.filter(|limit| *limit < UNLIMITED),
    })
}

/// Processes in use and the limit.
pub(crate) fn processes(current: &str, most: &str) -> Result<Level, &'static str> {
    Ok(Level {
        used: current.trim().parse().map_err(|_| "processes in use")?,
        limit: bound(most)?,
    })
}

/// CPU time of version 2: `cpu.stat` and `cpu.max`.
pub(crate) fn cpu_unified(stat: &str, most: &str) -> Result<Throughput, &'static str> {
    let (quota, period) = most.trim().split_once(' ').ok_or("quota and period")?;
    let period: u64 = period.parse().map_err(|_| "period")?;
    Ok(Throughput {
        used_micros: field(stat, "usage_usec").ok_or("usage_usec")?,
        // Absent where the cgroup has no quota to be throttled by.
        throttled_micros: field(stat, "throttled_usec").unwrap_or(0),
        quota_milli: bound(quota)?.and_then(|quota| quota.checked_mul(1_000)?.checked_div(period)),
    })
}

/// CPU time of version 1: `cpuacct.usage`, `cpu.stat`, `cpu.cfs_quota_us`, `cpu.cfs_period_us`.
pub(crate) fn cpu_first(
    usage: &str,
    stat: &str,
    quota: &str,
    period: &str,
) -> Result<Throughput, &'static str> {
    let used: u64 = usage.trim().parse().map_err(|_| "cpuacct.usage")?;
    let quota: i64 = quota.trim().parse().map_err(|_| "quota")?;
    let period: u64 = period.trim().parse().map_err(|_| "period")?;
    Ok(Throughput {
        used_micros: used / 1_000,
        throttled_micros: field(stat, "throttled_time").ok_or("throttled_time")? / 1_000,
        // −1 is no quota.
        quota_milli: u64::try_from(quota)
            .ok()
            .and_then(|quota| quota.checked_mul(1_000)?.checked_div(period)),
    })
}

/// A number, or "max" for none.
fn bound(text: &str) -> Result<Option<u64>, &'static str> {
    match text.trim() {
        "max" => Ok(None),
        number => number.parse().map(Some).map_err(|_| "limit"),
    }
}

/// The value of a line "name value".
fn field(text: &str, name: &str) -> Option<u64> {
    let mut lines = text.lines().filter_map(|line| line.split_once(' '));
    lines.find_map(|(key, value)| (key == name).then(|| value.trim().parse().ok()))?
}

#[cfg(test)]
mod tests;
