//! The thin part that opens files: each group at its own period, everything bounded, the instant given by the caller.
//!
//! A node with all groups costs about 20 small files a second, and 10 more for each two pods that are watched.

mod file;
mod group;
mod walk;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use crate::{Layout, NodeSample, PodId, PodSample, Pressure, Reading, SensorError};
use group::PodPlace;

/// Pods watched at once: the kubelet's default bound is 110 pods a node, and 64 pods × 9 files each 2 s stay below 300
/// small reads a second.
const MOST_PODS: usize = 64;

/// Stall is fresh at every read; below a second its cost is no longer small against what it tells.
const PRESSURE_EVERY: u64 = 1_000_000_000;

/// What runs out does so over many seconds.
const LEVEL_EVERY: u64 = 2_000_000_000;

/// Hierarchies, limits of the node and where pods live change with reboots and deployments.
const PLACE_EVERY: u64 = 10_000_000_000;

/// Where the files are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Roots {
    /// procfs of the host's PID and network namespaces.
    pub proc: PathBuf,
    /// Directory of the cgroup mounts.
    pub cgroup: PathBuf,
}

impl Default for Roots {
    fn default() -> Self {
        Self {
            proc: PathBuf::from("/proc"),
            cgroup: PathBuf::from("/sys/fs/cgroup"),
        }
    }
}

/// Reads the node.
#[derive(Debug)]
pub struct Reader {
    roots: Roots,
    sample: NodeSample,
    places: Vec<Option<PodPlace>>,
    pressure_at: Option<u64>,
    level_at: Option<u64>,
    place_at: Option<u64>,
    pods_at: Option<u64>,
}

impl Reader {
    /// A reader below these roots that has read nothing.
    #[must_use]
    pub fn new(roots: Roots) -> Self {
        Self {
            roots,
            sample: NodeSample::default(),
            places: Vec::new(),
            pressure_at: None,
            level_at: None,
            place_at: None,
            pods_at: None,
        }
    }

    /// Watches exactly these pods, at most 64; those that were watched keep what was read of them.
    pub fn watch(&mut self, pods: &[PodId]) {
        let wanted = pods.get(..MOST_PODS).unwrap_or(pods);
        self.sample.pods_left_out = pods.len() - wanted.len();
        if self.sample.pods.iter().map(|pod| &pod.id).eq(wanted) {
            return;
        }
        let known: Vec<(PodSample, Option<PodPlace>)> =
            self.sample.pods.drain(..).zip(self.places.drain(..)).collect();
        for id in wanted {
            let (sample, place) = known
                .iter()
                .find(|(sample, _)| sample.id == *id)
                .cloned()
                .unwrap_or_else(|| (PodSample::new(*id), None));
            self.sample.pods.push(sample);
            self.places.push(place);
        }
        // A new pod need not wait for its turn.
        self.place_at = None;
    }

    /// Reads what is due at `now`, nanoseconds of a clock that does not go back, and says what is known.
    pub fn read(&mut self, now: u64) -> &NodeSample {
        if due(&mut self.place_at, PLACE_EVERY, now) {
            self.find();
        }
        if let Some(elapsed) = turn(&mut self.pressure_at, PRESSURE_EVERY, now) {
            self.pressures(elapsed);
        }
        if due(&mut self.level_at, LEVEL_EVERY, now) {
            self.levels();
        }
        if let Some(elapsed) = turn(&mut self.pods_at, LEVEL_EVERY, now) {
            for (sample, place) in self.sample.pods.iter_mut().zip(&self.places) {
                group::pod(sample, place.as_ref(), &self.roots.cgroup, elapsed);
            }
        }
        self.sample.at = now;
        &self.sample
    }

    /// Ids of the cgroups of these pods, their containers' included, in the unified hierarchy. Pods without one are left out.
    #[must_use]
    pub fn cgroups(&self, pods: &[PodId]) -> BTreeMap<PodId, Vec<u64>> {
        let unified = self
            .sample
            .layout
            .known()
            .and_then(|layout| layout.unified.as_deref());
        match unified {
            Some(unified) if !pods.is_empty() => walk::identities(unified, pods),
            _ => BTreeMap::new(),
        }
    }

    /// Hierarchies, and the pods that are not placed or whose place is gone.
    fn find(&mut self) {
        let root = &self.roots.cgroup;
        let controllers = |place: &Path| file::read(&place.join("cgroup.controllers")).ok();
        let layout = Layout::find(root, controllers, Path::is_dir);
        if let Some(layout) = &layout {
            for place in &mut self.places {
                if place.as_ref().is_some_and(|place| !place.stands()) {
                    *place = None;
                }
            }
            let missing = |place: &Option<PodPlace>| place.is_none();
            if self.places.iter().any(missing) {
                let wanted: Vec<PodId> = self.sample.pods.iter().map(|pod| pod.id).collect();
                let found = walk::pods(layout, &wanted);
                for (place, found) in self.places.iter_mut().zip(found) {
                    *place = place.take().or_else(|| PodPlace::of(layout, &found));
                }
            }
        } else {
            self.places.iter_mut().for_each(|place| *place = None);
        }
        self.sample.layout = layout
            .ok_or_else(|| SensorError::NoHierarchy { path: root.clone() })
            .into();
    }

    fn pressures(&mut self, elapsed: u64) {
        let sample = &mut self.sample;
        let places = [
            ("pressure/cpu", &mut sample.cpu),
            ("pressure/memory", &mut sample.memory_stall),
            ("pressure/io", &mut sample.io),
        ];
        for (name, reading) in places {
            group::stall(reading, &self.roots.proc.join(name), elapsed);
        }
    }

    fn levels(&mut self) {
        let proc = &self.roots.proc;
        let sample = &mut self.sample;
        sample.memory = group::memory(proc).into();
        sample.descriptors = group::descriptors(proc).into();
        sample.descriptors_per_process = file::number(&proc.join("sys/fs/nr_open")).into();
        sample.conntrack = group::conntrack(proc).into();
        sample.threads = group::threads(proc).into();
    }
}

/// Whether a group's turn has come.
fn due(last: &mut Option<u64>, every: u64, now: u64) -> bool {
    turn(last, every, now).is_some()
}

/// Time since the turn before, if a turn is due; 0 at the first.
fn turn(last: &mut Option<u64>, every: u64, now: u64) -> Option<u64> {
    let elapsed = last.map_or(0, |last| now.saturating_sub(last));
    if last.is_some() && elapsed < every {
        return None;
    }
    *last = Some(now);
    Some(elapsed)
}

/// What a pressure reading becomes with what was known before.
fn followed(before: &Reading<Pressure>, now: Pressure, elapsed: u64) -> Pressure {
    before.known().map_or(now, |before| now.since(before, elapsed))
}

#[cfg(test)]
mod tests;
