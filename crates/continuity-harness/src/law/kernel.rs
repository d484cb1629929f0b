//! What the hooks count on one node: per backend the deltas since the last tick, and when what still waits was sent.

use continuity_field::histogram::{AGE_BUCKETS, AGE_SHIFT, bucket};
use continuity_field::{BackendId, BackendSample, Nanos, ReportSample};

use crate::choice::{Chooser, Record, kms};
use crate::policy::End;

/// The report counters of a record at the last read.
#[derive(Debug, Clone, Copy, Default)]
struct Heard {
    rx: u32,
    rnew: u32,
    pair_n: u16,
    said: u32,
    seen: u32,
}

impl Heard {
    fn of(record: &Record) -> Self {
        Self {
            rx: record.rx,
            rnew: record.rnew,
            pair_n: record.pair_n,
            said: record.pair_said,
            seen: record.pair_seen,
        }
    }
}

/// The kernel side of one node.
#[derive(Debug)]
pub struct Kernel {
    /// The choice and its records.
    pub chooser: Chooser,
    /// Samples of the tick under way, one a backend.
    pub samples: Vec<BackendSample>,
    /// When the deltas began, ns.
    pub since: u64,
    waiting: Vec<Waiting>,
    heard: Vec<Heard>,
    born: Vec<u64>,
}

/// Requests that wait, by the window of `2^AGE_SHIFT` ns in which they were sent.
#[derive(Debug, Clone)]
struct Waiting {
    sent: [u32; AGE_BUCKETS],
    older: u32,
    window: u64,
}

impl Waiting {
    fn roll(&mut self, now: u64) {
        let window = now >> AGE_SHIFT;
        let steps = window.saturating_sub(self.window).min(AGE_BUCKETS as u64);
        for step in 1..=steps {
            if let Some(place) = self.sent.get_mut(place(self.window + step)) {
                self.older += std::mem::take(place);
            }
        }
        self.window = self.window.max(window);
    }

    fn count(&mut self, sent: u64) -> &mut u32 {
        let window = sent >> AGE_SHIFT;
        let lost = self.window.saturating_sub(window) >= AGE_BUCKETS as u64;
        match self.sent.get_mut(place(window)) {
            Some(count) if !lost => count,
            _ => &mut self.older,
        }
    }
}

fn place(window: u64) -> usize {
    usize::try_from(window % AGE_BUCKETS as u64).unwrap_or(0)
}

impl Kernel {
    /// A fresh node over backends of which it may use those that `reach` says.
    #[must_use]
    pub fn new(reach: &[bool], cursor: u32) -> Self {
        let backends = reach.len();
        let waiting = Waiting {
            sent: [0; AGE_BUCKETS],
            older: 0,
            window: 0,
        };
        let sample = |(id, &in_service): (u64, &bool)| BackendSample {
            in_service,
            ..BackendSample::new(BackendId(id))
        };
        let mut chooser = Chooser::new(backends, cursor);
        let own = (0_u32..).zip(reach).filter(|(_, own)| **own).map(|(id, _)| id);
        if reach.contains(&false) {
            for (slot, id) in chooser
                .slots
                .id
                .iter_mut()
                .zip(own.collect::<Vec<_>>().iter().cycle())
            {
                *slot = *id;
            }
        }
        Self {
            chooser,
            samples: (0..).zip(reach).map(sample).collect(),
            since: 0,
            waiting: vec![waiting; backends],
            heard: vec![Heard::default(); backends],
            born: vec![0; backends],
        }
    }

    /// The endpoints changed. A fresh backend is another pod at the same place: nothing of the old one is kept.
    pub fn endpoint(&mut self, backend: usize, serving: bool, fresh: bool, now: u64) {
        let count = self.samples.len() as u64;
        let Some(sample) = self.samples.get_mut(backend) else {
            return;
        };
        if fresh {
            *sample = BackendSample::new(BackendId(sample.id.0 + count));
            if let (Some(record), Some(waiting), Some(heard), Some(born)) = (
                self.chooser.records.get_mut(backend),
                self.waiting.get_mut(backend),
                self.heard.get_mut(backend),
                self.born.get_mut(backend),
            ) {
                *record = Record::default();
                waiting.sent.fill(0);
                waiting.older = 0;
                *heard = Heard::default();
                *born = now;
            }
        }
        sample.in_service = serving;
    }

    /// Whether a request sent then went to the pod that is there now.
    #[must_use]
    pub fn same_pod(&self, backend: usize, sent: u64) -> bool {
        self.born.get(backend).is_some_and(|&born| sent >= born)
    }

    /// A connect leaves.
    pub fn start(&mut self, backend: usize, now: u64) {
        self.chooser.start(backend);
        if let (Some(sample), Some(waiting)) = (self.samples.get_mut(backend), self.waiting.get_mut(backend))
        {
            sample.attempts += 1;
            sample.in_flight += 1;
            waiting.roll(now);
            *waiting.count(now) += 1;
        }
    }

    /// A request leaves on a connection that is there already.
    pub fn again(&mut self, backend: usize, now: u64) {
        self.start(backend, now);
        if let Some(sample) = self.samples.get_mut(backend) {
            sample.attempts -= 1;
        }
    }

    /// It was accepted.
    pub fn connected(&mut self, backend: usize) {
        if let Some(sample) = self.samples.get_mut(backend) {
            sample.established += 1;
        }
    }

    /// It ended.
    pub fn end(&mut self, backend: usize, sent: u64, now: u64, end: End) {
        if let (Some(sample), Some(waiting)) = (self.samples.get_mut(backend), self.waiting.get_mut(backend))
        {
            sample.in_flight = sample.in_flight.saturating_sub(1);
            waiting.roll(now);
            let count = waiting.count(sent);
            *count = count.saturating_sub(1);
            match end {
                End::Answered => {
                    sample.answered += 1;
                    if let Some(count) = sample
                        .turnaround
                        .get_mut(bucket(now.saturating_sub(sent) / 1_000))
                    {
                        *count += 1;
                    }
                }
                End::Refused => sample.refused += 1,
                End::Reset => sample.reset_before_data += 1,
                End::TimedOut | End::Denied => sample.abandoned += 1,
            }
        }
    }

    /// Fills in the gauges at `now`; the deltas are complete.
    pub fn read(&mut self, now: u64) {
        let parts = self
            .samples
            .iter_mut()
            .zip(&mut self.waiting)
            .zip(&mut self.heard)
            .zip(&self.chooser.records);
        for (((sample, waiting), heard), record) in parts {
            waiting.roll(now);
            for (age, count) in sample.unanswered.iter_mut().enumerate() {
                let window = waiting.window.saturating_sub(age as u64);
                *count = waiting.sent.get(place(window)).copied().unwrap_or(0);
            }
            if let Some(last) = sample.unanswered.last_mut() {
                *last += waiting.older;
            }
            sample.level = (record.lw > 0).then_some(i32::from(record.lw));
            let faded = kms(now).wrapping_sub(record.pts) >> 2;
            sample.penalty = u32::from(record.pen).saturating_sub(faded);
            sample.report = (record.has == 1).then(|| ReportSample {
                level: i32::from(record.l),
                in_flight: record.rif,
                queue: record.q,
                errors: record.e,
                age: Nanos(u64::from(kms(now).wrapping_sub(record.ts)) << 20),
                received: record.rx.wrapping_sub(heard.rx),
                renewed: record.rnew.wrapping_sub(heard.rnew),
                paired: u32::from(record.pair_n.wrapping_sub(heard.pair_n)),
                said: record.pair_said.wrapping_sub(heard.said),
                seen: record.pair_seen.wrapping_sub(heard.seen),
            });
            *heard = Heard::of(record);
        }
    }

    /// Another process reads from now on: what was counted before is nobody's.
    pub fn forget(&mut self) {
        self.reset(0);
        for (heard, record) in self.heard.iter_mut().zip(&self.chooser.records) {
            *heard = Heard::of(record);
        }
    }

    /// Starts the next tick's deltas at `now`.
    pub fn reset(&mut self, now: u64) {
        self.since = now;
        for sample in &mut self.samples {
            sample.attempts = 0;
            sample.established = 0;
            sample.refused = 0;
            sample.timed_out = 0;
            sample.reset_before_data = 0;
            sample.answered = 0;
            sample.abandoned = 0;
            sample.turnaround.fill(0);
        }
    }
}
