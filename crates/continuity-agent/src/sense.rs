//! The sensors' thread: reads the node once a second and pins the sample up for the report and the metrics.
//!
//! It is apart from the node loop, which opens no file, and from the network half, which must not wait for a cgroup. It
//! watches the pods that stand behind sets on this node, and has foretold from each sample what runs out (`forecast`). What
//! cannot be read is said as missing.

use std::path::Path;
use std::sync::{Arc, Weak};
use std::thread;
use std::time::{Duration, Instant};

use continuity_api::node::CapabilityReport;
use continuity_field::{Locality, Nanos};
use continuity_sensors::{NodeSample, PodId, Reader, Roots, Signal};

use crate::forecast::Forecaster;
use crate::health::Board;
use crate::snapshot::Snapshot;

/// The shortest period of a group of files.
const EVERY: Duration = Duration::from_secs(1);

/// What is done where a signal is missing.
const FALLBACK: &str = "nothing is concluded from it; traffic is steered by what connections show";

/// Where the node's files are: the host's cgroups where they are mounted, else the container's own.
#[must_use]
pub fn roots(cgroups: &Path) -> Roots {
    if cgroups.is_dir() {
        Roots {
            cgroup: cgroups.to_owned(),
            ..Roots::default()
        }
    } else {
        Roots::default()
    }
}

/// Reads until nobody is left who would look.
pub fn run(mut reader: Reader, board: &Weak<Board>) {
    let began = Instant::now();
    let mut forecaster = Forecaster::default();
    while let Some(board) = board.upgrade() {
        let snapshot = board.snapshot();
        reader.watch(&pods(&snapshot));
        board.place(reader.cgroups(&callers(&snapshot)));
        let now = u64::try_from(began.elapsed().as_nanos()).unwrap_or(u64::MAX);
        let sample = Arc::new(reader.read(now).clone());
        let wall_millis = jiff::Timestamp::now().as_millisecond();
        board.foresee(Arc::new(forecaster.observe(&sample, Nanos(now + 1), wall_millis)));
        board.sense(sample);
        drop(board);
        thread::sleep(EVERY);
    }
}

/// Pods of this node that stand behind a set, each once.
fn pods(snapshot: &Snapshot) -> Vec<PodId> {
    let backends = snapshot.lanes.iter().flat_map(|lane| &lane.lane.backends);
    let mut pods: Vec<PodId> = backends
        .filter(|backend| backend.locality == Locality::Node)
        .filter_map(|backend| backend.uid)
        .collect();
    pods.sort_unstable();
    pods.dedup();
    pods
}

/// Pods of this node that call a set whose policy asks for admission, each once.
fn callers(snapshot: &Snapshot) -> Vec<PodId> {
    let gates = snapshot.lanes.iter().filter_map(|lane| lane.lane.gate.as_ref());
    let mut callers: Vec<PodId> = gates
        .flat_map(|gate| gate.callers.iter())
        .map(|caller| caller.uid)
        .collect();
    callers.sort_unstable();
    callers.dedup();
    callers
}

/// The signals as lines of the capability report; those that were not read yet are left out.
#[must_use]
pub fn capabilities(sample: &NodeSample) -> Vec<CapabilityReport> {
    let line = |signal: &Signal| {
        let missing = sample.lacks(*signal)?;
        let needs = missing.map_or_else(
            || signal.needs().to_owned(),
            |error| format!("{} (found: {error})", signal.needs()),
        );
        let fallback = if missing.is_some() { FALLBACK } else { "" };
        Some(CapabilityReport {
            name: signal.name().to_owned(),
            met: missing.is_none(),
            needs: needs.chars().take(256).collect(),
            fallback: fallback.to_owned(),
        })
    };
    Signal::ALL.iter().filter_map(line).collect()
}

#[cfg(test)]
mod tests {
    use continuity_dataplane::Mode;

    use super::*;
    use crate::fixture::{WALL, desired, endpoint, node_loop};
    use crate::track::Track;

    #[test]
    fn the_pods_of_this_node_are_watched_once_each_and_no_others() {
        let mut node = node_loop();
        let endpoints = vec![endpoint(1, 2), endpoint(1, 3), endpoint(2, 2)];
        node.adopt(desired(Mode::Enforce, endpoints), WALL)
            .expect("adopted");
        let mut lanes: Vec<_> = node.tracks().map(Track::shot).collect();
        lanes.extend(lanes.clone());
        let snapshot = Snapshot {
            lanes,
            ..Snapshot::default()
        };
        let expected = [endpoint(1, 2).uid, endpoint(1, 3).uid];
        let watched: Vec<_> = pods(&snapshot).into_iter().map(Some).collect();
        assert_eq!(watched, expected);
    }

    #[test]
    fn a_missing_signal_is_an_unmet_capability_with_its_cause() {
        let nowhere = Roots {
            proc: "/nowhere/proc".into(),
            cgroup: "/nowhere/cgroup".into(),
        };
        let mut reader = Reader::new(nowhere);
        assert_eq!(capabilities(&NodeSample::default()), [], "nothing was read yet");
        let lines = capabilities(reader.read(0));
        assert_eq!(lines.len(), Signal::ALL.len());
        for line in &lines {
            assert!(!line.met && !line.fallback.is_empty(), "{line:?}");
            assert!(line.needs.contains("/nowhere/"), "{}", line.needs);
        }
    }

    #[test]
    fn the_thread_reads_the_node_and_ends_with_its_board() {
        let board = Arc::new(Board::default());
        let weak = Arc::downgrade(&board);
        let reader = Reader::new(roots(Path::new("/nowhere")));
        let thread = thread::spawn(move || run(reader, &weak));
        let deadline = Instant::now() + Duration::from_secs(10);
        while board.sensed().memory.known().is_none() && Instant::now() < deadline {
            thread::sleep(Duration::from_millis(10));
        }
        assert!(board.sensed().memory.known().is_some(), "this node has memory");
        drop(board);
        thread.join().expect("ended");
    }
}
