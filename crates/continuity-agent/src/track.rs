//! One lane in the loop: its law state, its meters, what was published, what people are told.
//!
//! `observe` fills samples, `decide` asks the law, `project` publishes if it changed. In Observe everything runs but the
//! publish: what is reported there is what Enforce would have done.

mod gate;
mod notes;
mod resume;
pub(crate) mod sibling;
mod verdict;
mod view;

use std::collections::BTreeMap;
use std::sync::Arc;

use continuity_dataplane::{
    BackendIndex, Dataplane, DesiredCaller, Error, Field, Held, Mode, Parking, SetCounters, SetId,
};
use continuity_field::histogram::BUCKETS;
use continuity_field::{
    Advice, BackendId, BackendSample, Nanos, Regression, Samples, SetState, Verdict, step,
};
use continuity_sensors::PodId;
use continuity_trace::digest;

use crate::lane::{Lane, LaneKey};
use crate::memory::Memory;
use crate::meter::Meter;
use crate::project::{Armed, differs, project};
use crate::rate::{Answers, Asked, Flow};
use crate::recorder::{Recorder, Sink};
use crate::select::Grade;
use gate::Gatekeeper;
use notes::{Hearsay, Notes};
use resume::Resume;

/// Time on both clocks at one moment: the kernel's, which decides, and the wall's, which people read.
#[derive(Clone, Copy, Debug)]
pub struct Instant {
    /// `CLOCK_MONOTONIC`, ns.
    pub kernel: u64,
    /// Milliseconds since the epoch.
    pub wall_millis: i64,
}

/// Decisions of the kernel at the last read.
#[derive(Clone, Copy, Debug, Default)]
struct Decided {
    steered: u64,
    offered: u64,
    refused: u64,
}

/// Traffic of one lane.
#[derive(Clone, Copy, Debug, Default)]
struct Flows {
    offered: Flow,
    steered: Flow,
    accepted: Flow,
    refused: Flow,
    /// Of the refused, by admission.
    shed: Flow,
    failed: Flow,
}

/// One lane in the loop.
#[derive(Debug)]
pub struct Track {
    key: LaneKey,
    id: SetId,
    lane: Arc<Lane>,
    state: SetState,
    meters: BTreeMap<BackendId, Meter>,
    indices: Vec<Option<BackendIndex>>,
    verdicts: Vec<Verdict>,
    heard: Vec<Verdict>,
    part: u64,
    published: Option<Field>,
    armed: Armed,
    epoch: u64,
    last_read: Option<u64>,
    decided: Option<Decided>,
    accepted: BTreeMap<BackendId, (u32, u64)>,
    asked: BTreeMap<BackendId, Asked>,
    flows: Flows,
    answers: Answers,
    notes: Notes,
    gatekeeper: Gatekeeper,
    resume: Resume,
    refusal: String,
    sink: Option<Sink>,
    recorder: Option<Recorder>,
}

impl Track {
    /// A lane that the loop takes up; `learned` is what an earlier agent left, and `taken_over` says that the maps held the
    /// set before this agent touched them.
    #[must_use]
    pub fn new(
        key: LaneKey,
        lane: Arc<Lane>,
        learned: Option<&[u8]>,
        taken_over: bool,
        now: Instant,
    ) -> Self {
        let (notes, state, gatekeeper) =
            learned.map_or_else(Default::default, |page| recall(&key, page, now));
        Self {
            id: key.id(),
            key,
            lane,
            state,
            meters: BTreeMap::new(),
            indices: Vec::new(),
            verdicts: Vec::new(),
            heard: Vec::new(),
            part: 1_000,
            published: None,
            armed: None,
            epoch: 0,
            last_read: None,
            decided: None,
            accepted: BTreeMap::new(),
            asked: BTreeMap::new(),
            flows: Flows::default(),
            answers: Answers::default(),
            notes,
            gatekeeper,
            resume: if taken_over {
                Resume::Unread
            } else {
                Resume::none()
            },
            refusal: String::new(),
            sink: None,
            recorder: None,
        }
    }

    /// Records go to `sink`.
    #[must_use]
    pub fn recording_to(mut self, sink: Option<Sink>) -> Self {
        self.sink = sink;
        self
    }

    /// The lane's id in the dataplane.
    #[must_use]
    pub const fn id(&self) -> SetId {
        self.id
    }

    /// The desired state this track follows.
    #[must_use]
    pub const fn lane(&self) -> &Arc<Lane> {
        &self.lane
    }

    /// The field that is published.
    #[must_use]
    pub const fn field(&self) -> Option<&Field> {
        self.published.as_ref()
    }

    /// It was adopted at least once.
    #[must_use]
    pub const fn fresh(&self) -> bool {
        self.last_read.is_some() || !self.refusal.is_empty()
    }

    /// The lane's callers as the dataplane knows them.
    #[must_use]
    pub fn callers(&self, cgroups: &BTreeMap<PodId, Vec<u64>>) -> Vec<DesiredCaller> {
        Gatekeeper::callers(self.id, &self.lane, cgroups)
    }

    /// What the next audit is to look for; `None` where nothing is limited.
    #[must_use]
    pub fn parking(&self, now: Instant) -> Option<Parking> {
        let limited = self.refusal.is_empty();
        self.gatekeeper
            .parking(self.id, &self.lane, now)
            .filter(|_| limited)
    }

    /// What an audit found.
    pub const fn audited(&mut self, held: &Held) {
        self.gatekeeper.audited(held);
    }

    /// Writes the page that the next agent reads; `law` is room for the law's form.
    pub fn save(&self, law: &mut Vec<u8>, page: &mut Vec<u8>) {
        law.clear();
        self.state.save(law);
        let length = law.len();
        if self.lane.gate.is_some() {
            self.gatekeeper.save(law);
        }
        let (law, admission) = law.split_at_checked(length).unwrap_or_default();
        self.notes.memory().write(law, admission, page);
    }

    /// Takes a new desired state, after the dataplane was reconciled with it.
    /// `moved` says that its backends are no longer those of the published field.
    pub fn adopt(&mut self, lane: Arc<Lane>, plane: &dyn Dataplane, moved: bool, now: Instant) {
        if moved {
            self.resume.hurry();
        }
        if lane.mode != self.lane.mode {
            // Another role's counters are no continuation, and the first field of Enforce must be published.
            self.meters.clear();
            self.asked.clear();
            self.published = None;
            self.gatekeeper.turn();
        }
        self.meters
            .retain(|id, _| lane.backends.iter().any(|backend| backend.id == *id));
        self.accepted
            .retain(|id, _| lane.backends.iter().any(|backend| backend.id == *id));
        self.asked
            .retain(|id, _| lane.backends.iter().any(|backend| backend.id == *id));
        let view = plane.set(&self.id);
        self.refusal = if view.is_some() {
            String::new()
        } else {
            notes::NOT_IN_THE_MAPS.to_owned()
        };
        self.indices = lane
            .backends
            .iter()
            .map(|wanted| {
                let known = &view?.backends;
                known
                    .iter()
                    .find(|known| known.address == wanted.address)
                    .map(|known| known.index)
            })
            .collect();
        self.verdicts = verdict::adopt(&self.verdicts, &lane, now);
        self.lane = lane;
        self.follow_wish(now);
    }

    /// Begins a record that is new, ends one that nobody wants any more.
    fn follow_wish(&mut self, now: Instant) {
        let wish = self.lane.record.as_ref();
        if wish == self.recorder.as_ref().map(Recorder::wish) {
            return;
        }
        if let Some(mut former) = self.recorder.take() {
            former.end("the wish was taken back");
        }
        if let (Some(wish), Some(sink)) = (wish, &self.sink) {
            self.recorder = Some(Recorder::new(wish.clone(), &self.key, sink.clone(), now));
        }
    }

    /// One round: observe, decide, project. True if a field was published.
    ///
    /// # Errors
    /// When the dataplane cannot be read or written; the old field stays.
    pub fn tick(
        &mut self,
        plane: &mut dyn Dataplane,
        samples: &mut Vec<BackendSample>,
        now: Instant,
    ) -> Result<bool, Error> {
        if !self.refusal.is_empty() {
            return Ok(false);
        }
        let counters = plane.read(&self.id)?;
        self.resume.round(&counters, &self.lane, now);
        let interval = self.last_read.map_or(0, |last| now.kernel.saturating_sub(last));
        self.last_read = Some(now.kernel);
        self.observe(&counters, samples, interval, now);
        // What admission cannot do keeps nobody from being balanced.
        let gated = self
            .gatekeeper
            .tick(plane, (&self.id, &*self.lane), samples, Nanos(interval), now);
        let shed = *gated.as_ref().unwrap_or(&0);
        self.count(&counters, shed, Nanos(interval).as_secs_f64());
        let mut verdicts = [self.verdicts.as_slice(), self.resume.verdicts(), &self.heard].concat();
        verdict::release_spent(
            &mut verdicts,
            &self.heard,
            self.state.outcome(),
            &self.resume,
            now,
        );
        let advice = Advice {
            active_nodes: self.lane.advice.active_nodes,
            offered_milli_per_second: self.fleet_milli(),
            verdicts: &verdicts,
        };
        let input = Samples {
            interval: Nanos(interval),
            backends: samples,
            advice,
            regression: Regression::default(),
        };
        if let Some(recorder) = &mut self.recorder {
            recorder.before(&self.state, &self.lane, now);
        }
        let outcome = step(&mut self.state, &input, &self.lane.law, Nanos(now.kernel));
        if let Some(recorder) = &mut self.recorder {
            recorder.after(&input, &self.lane.law, now.kernel, digest(outcome));
        }
        let hearsay = Hearsay {
            resume: &self.resume,
            heard: &self.heard,
        };
        // While the old field stands, what was said of it stands too.
        if !(self.resume.waits() && self.notes.any()) {
            self.notes.take(outcome, &self.lane, &hearsay, now);
        }
        self.resume.settle(outcome);
        let published = self.project(plane)?;
        gated.map(|_| published)
    }

    /// Fills the samples and the figures for people.
    fn observe(
        &mut self,
        counters: &SetCounters,
        samples: &mut Vec<BackendSample>,
        interval: u64,
        now: Instant,
    ) {
        let seconds = Nanos(interval).as_secs_f64();
        let mut turnaround = [0_u32; BUCKETS];
        let (mut failed, mut accepted) = (0_u64, 0_u64);
        samples.clear();
        for (backend, index) in self.lane.backends.iter().zip(&self.indices) {
            let known = index.and_then(|index| {
                counters
                    .backends
                    .iter()
                    .find(|known| known.backend.index == index)
            });
            let meter = self.meters.entry(backend.id).or_default();
            let mut sample = meter.sample(backend, known, self.lane.mode, now.kernel);
            sample.stall_permille = self.lane.advice.stall(backend.id);
            for (sum, count) in turnaround.iter_mut().zip(&sample.turnaround) {
                *sum = sum.saturating_add(*count);
            }
            let asked = self.asked.entry(backend.id).or_default();
            asked.add(sample.established.max(sample.answered), seconds);
            failed += sample.refused + sample.timed_out + sample.reset_before_data;
            if let Some((known, server)) = known.and_then(|known| Some((known, known.server.as_ref()?))) {
                let mark = (known.backend.generation, server.established);
                let before = self.accepted.insert(backend.id, mark);
                accepted += before
                    .filter(|before| before.0 == mark.0)
                    .map_or(0, |before| mark.1.wrapping_sub(before.1));
            }
            samples.push(sample);
        }
        self.answers.fade(seconds);
        self.answers.add(&turnaround);
        self.flows.failed.add(failed, seconds);
        self.flows.accepted.add(accepted, seconds);
    }

    /// Rates of the kernel's own decisions; `shed` connects were refused by admission, which counts them apart.
    fn count(&mut self, counters: &SetCounters, shed: u64, seconds: f64) {
        self.flows.shed.add(shed, seconds);
        let traffic = &counters.decisions;
        let passed = [
            traffic.passed_hold,
            traffic.passed_fallback,
            traffic.passed_miss,
            traffic.passed_observe,
            traffic.passed_unpublished,
            traffic.passed_torn,
        ];
        let steered = traffic.steered.wrapping_add(traffic.steered_in_fallback);
        let offered = passed
            .iter()
            .fold(steered.wrapping_add(traffic.refused_empty), |sum, part| {
                sum.wrapping_add(*part)
            });
        let now = Decided {
            steered,
            offered,
            refused: traffic.refused_empty,
        };
        if let Some(before) = self.decided.replace(now) {
            self.flows.offered.add(
                now.offered.wrapping_sub(before.offered).wrapping_add(shed),
                seconds,
            );
            self.flows
                .steered
                .add(now.steered.wrapping_sub(before.steered), seconds);
            self.flows.refused.add(
                now.refused.wrapping_sub(before.refused).wrapping_add(shed),
                seconds,
            );
        }
    }

    /// Publishes what changed, in Enforce only.
    fn project(&mut self, plane: &mut dyn Dataplane) -> Result<bool, Error> {
        if self.lane.mode == Mode::Observe || self.resume.waits() {
            return Ok(false);
        }
        let empty = self.lane.grade == Grade::Empty;
        let Some(next) = project(self.state.outcome(), &self.indices, empty, self.armed) else {
            notes::NO_BACKEND_IN_THE_MAPS.clone_into(&mut self.refusal);
            return Ok(false);
        };
        if self
            .published
            .as_ref()
            .is_some_and(|last| !differs(last, &next.field))
        {
            return Ok(false);
        }
        self.epoch = plane.publish(&self.id, &next.field)?.0;
        self.armed = next.armed;
        self.published = Some(next.field);
        Ok(true)
    }
}

/// What an earlier agent left: what it told people, and the states of the laws. A part that cannot be read is done without.
fn recall(key: &LaneKey, page: &[u8], now: Instant) -> (Notes, SetState, Gatekeeper) {
    let (memory, forms) = match Memory::read(page) {
        Ok(parts) => parts,
        Err(error) => {
            tracing::info!(set = %key.set, %error, "what was learned is not taken over");
            return Default::default();
        }
    };
    let gatekeeper = Gatekeeper::recall(forms.admission, &key.set);
    let state = SetState::restore(forms.law).unwrap_or_else(|error| {
        tracing::info!(set = %key.set, %error, "what the law learned is not taken over");
        SetState::default()
    });
    (Notes::recall(memory, now), state, gatekeeper)
}
