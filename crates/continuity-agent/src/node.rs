//! The node loop's one round: say that we live, observe, decide, project. No network, no clock of its own, no file.
//!
//! The loop is generic over the dataplane, so that the same code runs on the kernel and on its in-memory twin. A failed lane
//! keeps its old field and is counted; it never stops the others.

use std::collections::BTreeMap;
use std::sync::Arc;

use continuity_dataplane::{
    Completeness, Dataplane, Desired as PlaneDesired, DesiredBackend, DesiredSet, Error, Mended, Rejection,
};
use continuity_field::{BackendSample, Locality, Nanos};
use continuity_sensors::PodId;

use crate::desire::Desired;
use crate::lane::{Lane, LaneKey};
use crate::recorder::Sink;
use crate::snapshot::{Tally, Worst};
use crate::track::sibling::confer;
use crate::track::{Instant, Track};

/// What the law learnt is kept this often; in between a crash loses at most that much. One page a set.
const KEEP_EVERY: u64 = 10_000_000_000;

/// What is in flight is compared with the sockets this often: half a millisecond at the size of the socket table.
const AUDIT_EVERY: u64 = 1_000_000_000;

/// The loop's state.
pub struct NodeLoop<D> {
    plane: D,
    tracks: BTreeMap<LaneKey, Track>,
    desired: Arc<Desired>,
    adopted: bool,
    samples: Vec<BackendSample>,
    law: Vec<u8>,
    page: Vec<u8>,
    kept: u64,
    kept_transitions: u64,
    cgroups: Arc<BTreeMap<PodId, Vec<u64>>>,
    callers_stale: bool,
    audited: u64,
    tally: Tally,
    sink: Option<Sink>,
    actions: Vec<Nanos>,
}

impl<D: Dataplane> NodeLoop<D> {
    /// A loop on an opened dataplane. It does not say that it lives before it knows what to do: until then the kernel goes
    /// by the last field, HOLD and FALLBACK included, as if no agent were there.
    #[must_use]
    pub fn new(plane: D) -> Self {
        Self {
            plane,
            tracks: BTreeMap::new(),
            desired: Arc::default(),
            adopted: false,
            samples: Vec::new(),
            law: Vec::new(),
            page: Vec::new(),
            kept: 0,
            kept_transitions: 0,
            cgroups: Arc::default(),
            callers_stale: true,
            audited: 0,
            tally: Tally::default(),
            sink: None,
            actions: Vec::new(),
        }
    }

    /// Flight records go to `sink`.
    #[must_use]
    pub fn recording_to(mut self, sink: Option<Sink>) -> Self {
        self.sink = sink;
        self
    }

    /// The dataplane.
    #[must_use]
    pub const fn plane(&self) -> &D {
        &self.plane
    }

    /// The dataplane, for a test that plays the kernel.
    pub const fn plane_mut(&mut self) -> &mut D {
        &mut self.plane
    }

    /// Ends the loop and gives the dataplane back.
    #[must_use]
    pub fn into_plane(self) -> D {
        self.plane
    }

    /// Tracks in key order.
    pub fn tracks(&self) -> impl Iterator<Item = &Track> {
        self.tracks.values()
    }

    /// What the loop was told last.
    #[must_use]
    pub const fn desired(&self) -> &Arc<Desired> {
        &self.desired
    }

    /// A complete desired state was acted on.
    #[must_use]
    pub const fn adopted(&self) -> bool {
        self.adopted
    }

    /// Counters.
    #[must_use]
    pub const fn tally(&self) -> Tally {
        self.tally
    }

    /// Times from the read of the kernel's counters to the field in force, of the last tick's publishes.
    #[must_use]
    pub fn actions(&self) -> &[Nanos] {
        &self.actions
    }

    /// Compares the maps with what this loop put there and puts right what differs; counted.
    ///
    /// # Errors
    /// When the kernel refuses a read or a write.
    pub fn mend(&mut self) -> Result<Mended, Error> {
        if !self.adopted {
            return Ok(Mended::default());
        }
        let wanted = planes(&self.desired);
        let drift = self.plane.mend(&wanted).inspect_err(|_| self.tally.errors += 1)?;
        self.tally.drift.add(&drift);
        Ok(drift)
    }

    /// Transitions of all lanes so far; a change calls for a snapshot at once.
    #[must_use]
    pub fn transitions(&self) -> u64 {
        self.tracks
            .values()
            .map(Track::transitions)
            .fold(0, u64::wrapping_add)
    }

    /// Kernel time now.
    #[must_use]
    pub fn instant(&self, wall_millis: i64) -> Instant {
        Instant {
            kernel: self.plane.now(),
            wall_millis,
        }
    }

    /// Takes a complete desired state: the maps first, then a new field for every lane that changed, without waiting for
    /// the tick.
    ///
    /// # Errors
    /// When the kernel refuses a write; what was in force stays, and the next round tries again.
    pub fn adopt(&mut self, desired: Arc<Desired>, wall_millis: i64) -> Result<(), Error> {
        let wanted = planes(&desired);
        let taken_over: Vec<_> = if self.adopted {
            Vec::new()
        } else {
            self.plane.sets().into_iter().map(|set| set.id).collect()
        };
        let reconciled = self
            .plane
            .reconcile(&wanted, Completeness::Complete)
            .inspect_err(|_| {
                self.tally.errors += 1;
            })?;
        reconciled.rejected.iter().for_each(report_rejection);
        if !self.adopted {
            // From here on the maps hold what should be, so the field may be trusted.
            self.plane.heartbeat();
        }
        let now = self.instant(wall_millis);
        self.tracks.retain(|key, _| desired.lanes.contains_key(key));
        for (key, lane) in &desired.lanes {
            let plane = &mut self.plane;
            let track = self.tracks.entry(key.clone()).or_insert_with(|| {
                let learned = plane.learned(&key.id());
                let track = Track::new(
                    key.clone(),
                    Arc::clone(lane),
                    learned.as_deref(),
                    taken_over.contains(&key.id()),
                    now,
                );
                track.recording_to(self.sink.clone())
            });
            let moved =
                reconciled.sets_changed.contains(&track.id()) || reconciled.sets_added.contains(&track.id());
            if !self.adopted || moved || track.lane() != lane || !track.fresh() {
                track.adopt(Arc::clone(lane), &*plane, moved, now);
                round(track, plane, &mut self.samples, now, &mut self.tally);
            }
        }
        self.desired = desired;
        self.adopted = true;
        self.callers_stale = true;
        self.know_callers();
        self.keep(now);
        Ok(())
    }

    /// Takes where the cgroups of calling pods are.
    pub fn place(&mut self, cgroups: Arc<BTreeMap<PodId, Vec<u64>>>) {
        if !Arc::ptr_eq(&self.cgroups, &cgroups) {
            self.cgroups = cgroups;
            self.callers_stale = true;
        }
    }

    /// Tells the maps who calls, after pods, policies or cgroups changed.
    fn know_callers(&mut self) {
        if !std::mem::take(&mut self.callers_stale) {
            return;
        }
        let tracks = self.tracks.values();
        let callers: Vec<_> = tracks.flat_map(|track| track.callers(&self.cgroups)).collect();
        match self.plane.know_callers(&callers) {
            Ok(0) => {}
            Ok(left_out) => tracing::warn!(left_out, "callers left out, they have the default class"),
            Err(error) => {
                self.tally.errors += 1;
                self.callers_stale = true;
                tracing::warn!(%error, "callers not written, trying again");
            }
        }
    }

    /// Compares what is in flight with the sockets that hold it, every second.
    fn audit(&mut self, now: Instant) {
        if now.kernel.saturating_sub(self.audited) < AUDIT_EVERY {
            return;
        }
        self.audited = now.kernel;
        let tracks = self.tracks.values();
        let parkings: Vec<_> = tracks.filter_map(|track| track.parking(now)).collect();
        if parkings.is_empty() {
            return;
        }
        match self.plane.audit(&parkings) {
            Ok(found) => {
                for held in &found {
                    let own = self.tracks.values_mut().find(|track| track.id() == held.id);
                    own.into_iter().for_each(|track| track.audited(held));
                }
            }
            Err(error) => {
                self.tally.errors += 1;
                tracing::warn!(%error, "requests in flight not audited");
            }
        }
    }

    /// One round of every lane.
    pub fn tick(&mut self, wall_millis: i64) {
        if !self.adopted {
            return;
        }
        self.plane.heartbeat();
        self.tally.ticks += 1;
        let now = self.instant(wall_millis);
        self.actions.clear();
        for track in self.tracks.values_mut() {
            // Each reads the counters anew, at about the time that it starts.
            let read = self.plane.now();
            if round(track, &mut self.plane, &mut self.samples, now, &mut self.tally) {
                self.actions.push(Nanos(self.plane.now().saturating_sub(read)));
            }
        }
        self.confer(now);
        self.know_callers();
        self.audit(now);
        self.keep(now);
    }

    /// The lanes of both families of a set stand side by side and hear one another.
    fn confer(&mut self, now: Instant) {
        let mut tracks = self.tracks.values_mut().peekable();
        while let Some(first) = tracks.next() {
            if let Some(second) = tracks.next_if(|second| second.is_sibling(first)) {
                confer(first, second, now);
            }
        }
    }

    /// Worst failsafe state that connects have seen.
    #[must_use]
    pub fn failsafe(&self) -> Worst {
        let states = self
            .tracks
            .values()
            .filter_map(|track| self.plane.failsafe(&track.id()).ok());
        states
            .map(|state| Worst::from(state.now))
            .max()
            .unwrap_or_default()
    }

    /// Keeps what the law learnt, before the process ends. Nothing is detached.
    pub fn park(&mut self) {
        self.kept = 0;
        let now = self.instant(0);
        self.keep(Instant {
            kernel: now.kernel.max(KEEP_EVERY),
            ..now
        });
    }

    /// Keeps what the law learnt every few seconds, and at once when something was isolated or let back.
    fn keep(&mut self, now: Instant) {
        let transitions = self.transitions();
        if now.kernel.saturating_sub(self.kept) < KEEP_EVERY && transitions == self.kept_transitions {
            return;
        }
        self.kept = now.kernel;
        self.kept_transitions = transitions;
        for track in self.tracks.values() {
            track.save(&mut self.law, &mut self.page);
            if let Err(error) = self.plane.keep_learned(&track.id(), &self.page) {
                self.tally.errors += 1;
                tracing::debug!(%error, "learned state not kept");
            }
        }
    }
}

fn round(
    track: &mut Track,
    plane: &mut dyn Dataplane,
    samples: &mut Vec<BackendSample>,
    now: Instant,
    tally: &mut Tally,
) -> bool {
    match track.tick(plane, samples, now) {
        Ok(published) => {
            tally.publishes += u64::from(published);
            published
        }
        Err(error) => {
            tally.errors += 1;
            tracing::warn!(%error, "round of a set failed, its field stays");
            false
        }
    }
}

/// Everything wanted, as the dataplane takes it.
fn planes(desired: &Desired) -> PlaneDesired {
    PlaneDesired {
        sets: desired.lanes.iter().map(|(key, lane)| set(key, lane)).collect(),
    }
}

/// A lane as the dataplane knows it: the backends in service, isolated ones among them.
fn set(key: &LaneKey, lane: &Lane) -> DesiredSet {
    let in_service = lane.backends.iter().filter(|backend| backend.in_service);
    DesiredSet {
        id: key.id(),
        mode: lane.mode,
        protocol: lane.protocol,
        frontends: lane.frontends.to_vec(),
        guards: lane.guards.to_vec(),
        affinity: lane.affinity,
        backends: in_service
            .map(|backend| DesiredBackend {
                address: backend.address,
                local: backend.locality == Locality::Node,
            })
            .collect(),
        failsafe: lane.failsafe,
        fallback: lane.fallback,
    }
}

fn report_rejection(rejection: &Rejection) {
    tracing::warn!(%rejection, "left to kube-proxy");
}

#[cfg(test)]
mod tests;
