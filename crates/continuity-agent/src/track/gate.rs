//! Admission of one lane in the loop: counters to the law, its words to the kernel, its reasons to people.
//!
//! In Observe the law runs on what the backends' own node sees, and nothing is written: the mode that is told is what
//! Enforce would have been in. What ended, and after how long, comes from the backends' counters; who asked and who was
//! refused from admission's own.

use std::collections::BTreeMap;

use continuity_dataplane::wire::{self, AdmissionTraffic};
use continuity_dataplane::{
    AdmissionCounters, Dataplane, DesiredCaller, Error, Held, Limits, Mode, Parking, SetId,
};
use continuity_field::admission::{self, LEVELS, Outcome, Reason, State, Words, step};
use continuity_field::caller::{CallerId, CallerSample, CallerWords};
use continuity_field::histogram::middle_micros;
use continuity_field::{BackendSample, Enforcement, Nanos, Regime};
use continuity_sensors::PodId;

use super::Instant;
use crate::gate::Gate;
use crate::lane::Lane;

// One number of levels in the law and in the maps.
const _: () = assert!(LEVELS == wire::LEVELS);

/// Longest sentence in a report, the bound of the API field.
const SENTENCE: usize = 256;

/// One caller at the last read.
#[derive(Clone, Copy, Debug, Default)]
struct Known {
    offered: u64,
    retries: u64,
    held: CallerWords,
}

/// Admission of a lane.
#[derive(Debug, Default)]
pub(super) struct Gatekeeper {
    state: State,
    traffic: Option<AdmissionTraffic>,
    overdue: u64,
    callers: BTreeMap<u64, Known>,
    samples: Vec<CallerSample>,
    /// The maps say that connects ask for nothing.
    open: bool,
    since_millis: i64,
    reason: String,
    /// Raised with every change of mode.
    transitions: u64,
}

impl Gatekeeper {
    /// What an earlier agent learned, if that set had admission; a form that cannot be read is done without.
    pub(super) fn recall(bytes: &[u8], set: &str) -> Self {
        if bytes.is_empty() {
            return Self::default();
        }
        let state = State::restore(bytes).unwrap_or_else(|error| {
            tracing::info!(set, %error, "what admission learned is not taken over");
            State::default()
        });
        Self {
            state,
            ..Self::default()
        }
    }

    /// Appends what was learned.
    pub(super) fn save(&self, bytes: &mut Vec<u8>) {
        self.state.save(bytes);
    }

    /// The lane changed its role: counters of another role are no continuation.
    pub(super) fn turn(&mut self) {
        self.traffic = None;
        self.callers.clear();
        self.open = false;
    }

    pub(super) fn outcome(&self) -> &Outcome {
        self.state.outcome()
    }

    pub(super) const fn traffic(&self) -> Option<&AdmissionTraffic> {
        self.traffic.as_ref()
    }

    pub(super) const fn since_millis(&self) -> i64 {
        self.since_millis
    }

    pub(super) fn reason(&self) -> &str {
        &self.reason
    }

    pub(super) const fn transitions(&self) -> u64 {
        self.transitions
    }

    /// Posture of the set as admission sees it; laminar where it is off.
    pub(super) fn regime(&self, lane: &Lane) -> Regime {
        match lane.gate {
            Some(_) if self.outcome().mode != Enforcement::Normal => self.outcome().regime,
            _ => Regime::Laminar,
        }
    }

    /// One round; returns how many connects were refused since the last. `samples` are those of the lane's backends.
    pub(super) fn tick(
        &mut self,
        plane: &mut dyn Dataplane,
        (id, lane): (&SetId, &Lane),
        samples: &[BackendSample],
        interval: Nanos,
        now: Instant,
    ) -> Result<u64, Error> {
        let Some(gate) = &lane.gate else {
            return self.opened(plane, id).map(|()| 0);
        };
        let enforced = lane.mode == Mode::Enforce;
        let counters = if enforced {
            Some(plane.read_admission(id)?)
        } else {
            self.opened(plane, id)?;
            None
        };
        self.listen(plane, id, gate, enforced)?;
        let sample = self.sample(gate, counters.as_ref(), samples, interval);
        self.traffic = counters.map(|counters| counters.traffic);
        let refused = sample.refused.iter().sum();
        let sample = admission::Samples {
            callers: &self.samples,
            ..sample
        };
        let before = self.state.outcome().mode;
        let outcome = step(&mut self.state, &sample, &gate.config, Nanos(now.kernel));
        if outcome.mode != before || self.since_millis == 0 {
            self.since_millis = now.wall_millis;
            self.transitions += u64::from(outcome.mode != before);
        }
        if let Some(reason) = outcome
            .reasons
            .iter()
            .rev()
            .find(|reason| reason.enforcement().is_some())
        {
            self.reason = reason.to_string().chars().take(SENTENCE).collect();
        }
        tell(outcome, lane, gate);
        if enforced {
            let limits = Limits {
                words: limits(&outcome.words),
                level: level(gate.class),
                callers: !gate.callers.is_empty(),
            };
            self.open = false;
            plane.limit(id, &limits)?;
            self.hold(plane, id)?;
        }
        Ok(refused)
    }

    /// Nothing is asked of connects, and the maps are told once.
    fn opened(&mut self, plane: &mut dyn Dataplane, id: &SetId) -> Result<(), Error> {
        if !self.open {
            plane.unlimit(id)?;
            self.open = true;
        }
        Ok(())
    }

    /// The callers' connects since the last round.
    fn listen(
        &mut self,
        plane: &dyn Dataplane,
        id: &SetId,
        gate: &Gate,
        enforced: bool,
    ) -> Result<(), Error> {
        self.samples.clear();
        if !enforced {
            return Ok(());
        }
        let read = plane.read_callers(id)?;
        self.callers
            .retain(|pod, _| read.iter().any(|counters| counters.pod == *pod));
        for counters in read {
            let Some(caller) = gate
                .callers
                .iter()
                .find(|caller| caller.uid.short() == counters.pod)
            else {
                continue;
            };
            let fresh = Known {
                offered: counters.offered,
                retries: counters.retries,
                held: CallerWords::default(),
            };
            let known = self.callers.entry(counters.pod).or_insert(fresh);
            self.samples.push(CallerSample {
                id: CallerId(counters.pod),
                class: caller.class,
                weight: caller.weight,
                offered: counters.offered.wrapping_sub(known.offered),
                retries: counters.retries.wrapping_sub(known.retries),
            });
            (known.offered, known.retries) = (counters.offered, counters.retries);
        }
        Ok(())
    }

    /// The law's samples, without the callers.
    fn sample(
        &self,
        gate: &Gate,
        counters: Option<&AdmissionCounters>,
        backends: &[BackendSample],
        interval: Nanos,
    ) -> admission::Samples<'static> {
        let mut offered = [0; LEVELS];
        let mut refused = [0; LEVELS];
        let waiting = backends.iter().map(|backend| u64::from(backend.in_flight)).sum();
        let (in_flight, most) = counters.map_or((waiting, waiting), |now| (now.in_flight, now.most));
        match (counters, &self.traffic) {
            (Some(now), Some(before)) => {
                offered = since(&now.traffic.offered, &before.offered);
                let full = since(&now.traffic.full, &before.full);
                let thinned = since(&now.traffic.thinned, &before.thinned);
                let parts = full.iter().zip(&thinned);
                for (sum, (full, thinned)) in refused.iter_mut().zip(parts) {
                    *sum = full + thinned;
                }
            }
            (Some(_), None) => {}
            (None, _) => {
                let place = offered.get_mut(usize::try_from(level(gate.class)).unwrap_or(0));
                let connects = backends.iter().map(|backend| backend.established).sum();
                place.into_iter().for_each(|level| *level = connects);
            }
        }
        let cut = self.outcome().words.cut;
        admission::Samples {
            interval,
            offered,
            refused,
            ended: backends
                .iter()
                .map(|backend| backend.answered + aborted(backend))
                .sum(),
            aborted: backends.iter().map(aborted).sum(),
            waited: waited(backends, cut),
            in_flight,
            most_in_flight: most,
            overdue: self.overdue,
            reported: None,
            callers: &[],
        }
    }

    /// Holds callers to what the law gives them.
    fn hold(&mut self, plane: &mut dyn Dataplane, id: &SetId) -> Result<(), Error> {
        for share in &self.state.outcome().callers {
            let Some(known) = self.callers.get_mut(&share.id.0) else {
                continue;
            };
            if known.held != share.words {
                plane.share(id, share.id.0, share.words.interval, share.words.retry_interval)?;
                known.held = share.words;
            }
        }
        Ok(())
    }

    /// What the next audit is to count as overdue; `None` where nothing is limited.
    pub(super) fn parking(&self, id: SetId, lane: &Lane, now: Instant) -> Option<Parking> {
        (lane.gate.is_some() && lane.mode == Mode::Enforce).then(|| Parking {
            id,
            before: now.kernel.saturating_sub(self.outcome().park_after.0),
        })
    }

    pub(super) const fn audited(&mut self, held: &Held) {
        self.overdue = held.overdue;
    }

    /// The lane's callers as the dataplane knows them.
    pub(super) fn callers(id: SetId, lane: &Lane, cgroups: &BTreeMap<PodId, Vec<u64>>) -> Vec<DesiredCaller> {
        let Some(gate) = lane.gate.as_ref().filter(|_| lane.mode == Mode::Enforce) else {
            return Vec::new();
        };
        let known = gate.callers.iter().filter_map(|caller| {
            let cgroups = cgroups.get(&caller.uid)?.clone();
            Some(DesiredCaller {
                set: id,
                pod: caller.uid.short(),
                level: level(caller.class),
                cgroups,
            })
        });
        known.collect()
    }
}

/// Ended without an answer.
const fn aborted(backend: &BackendSample) -> u64 {
    backend.abandoned + backend.refused + backend.timed_out + backend.reset_before_data
}

/// Sum of the time that what ended had waited, each cut. Who gave up or timed out had waited longer than any answer takes;
/// who was reset or refused had not waited.
#[allow(
    clippy::cast_precision_loss,
    reason = "2^53 ns are 104 days, 2^53 requests beyond any node"
)]
fn waited(backends: &[BackendSample], cut: u64) -> Nanos {
    let most = if cut > 0 { cut as f64 / 1e3 } else { f64::INFINITY };
    let mut micros = 0.0;
    for backend in backends {
        let counts = backend
            .turnaround
            .iter()
            .enumerate()
            .filter(|(_, count)| **count > 0);
        for (bucket, count) in counts {
            micros += middle_micros(bucket).min(most) * f64::from(*count);
        }
        if cut > 0 {
            micros += most * (backend.abandoned + backend.timed_out) as f64;
        }
    }
    Nanos::from_micros(whole(micros))
}

#[allow(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "bounded before, and a cast of a float saturates"
)]
fn whole(micros: f64) -> u64 {
    micros.clamp(0.0, 1e15) as u64
}

fn since(now: &[u64; LEVELS], before: &[u64; LEVELS]) -> [u64; LEVELS] {
    let mut deltas = [0; LEVELS];
    let pairs = now.iter().zip(before);
    for (delta, (now, before)) in deltas.iter_mut().zip(pairs) {
        *delta = now.wrapping_sub(*before);
    }
    deltas
}

fn level(class: admission::Class) -> u32 {
    u32::try_from(admission::Level::Class(class).index()).unwrap_or(4)
}

/// The law's words as the maps have them, the one place where they meet: the law knows no maps, and the maps no law. A word
/// that is added to the law does not compile before it has a place here.
const fn limits(words: &Words) -> wire::Limits {
    let Words {
        control,
        adjust,
        thresholds,
        fuse,
        gates,
        report_fuse,
        fractions,
        trickles,
        cut,
    } = *words;
    wire::Limits {
        control,
        adjust,
        thresholds,
        fuse,
        gates,
        report_fuse,
        fractions,
        trickles,
        cut,
        epoch: 0,
        reserved: 0,
    }
}

/// Every reason is logged; those about a caller with its name.
fn tell(outcome: &Outcome, lane: &Lane, gate: &Gate) {
    for reason in &outcome.reasons {
        let about = match reason {
            Reason::CallerLimited { caller, .. }
            | Reason::RetriesLimited { caller, .. }
            | Reason::CallerReleased { caller, .. } => {
                gate.callers.iter().find(|known| known.uid.short() == caller.0)
            }
            _ => None,
        };
        let caller = about.map_or("", |caller| &*caller.name);
        tracing::info!(service = %lane.service.name, reason = reason.name(), caller, "{reason}");
    }
}

#[cfg(test)]
mod tests;
