//! From absolute kernel counters to the deltas that the law takes: one meter a backend.
//!
//! The first read after a start, a new generation of the backend's index, or a change of role only sets the mark: counters
//! that survived a restart must not look like a burst. Counters wrap; differences are wrapping too.

use continuity_dataplane::wire::{Record, TURNAROUND_BUCKETS, Traffic};
use continuity_dataplane::{AgeReader, BackendCounters, Mode};
use continuity_field::BackendSample;
use continuity_field::histogram::BUCKETS;

use crate::lane::LaneBackend;

// One scale in the kernel, the wire and the law.
const _: () = assert!(BUCKETS == TURNAROUND_BUCKETS);

/// What was read last, of the counters that become deltas.
#[derive(Clone, Debug)]
struct Mark {
    /// Of the backend's index and of the counters' own: a local address has its own, which can change alone.
    generation: (u32, u32),
    attempts: u64,
    established: u64,
    refused: u64,
    lost: u64,
    reset_before_data: u64,
    answered: u64,
    abandoned: u64,
    turnaround: [u32; TURNAROUND_BUCKETS],
}

impl Mark {
    const fn of(generation: (u32, u32), traffic: &Traffic) -> Self {
        Self {
            generation,
            attempts: traffic.attempts,
            established: traffic.established,
            refused: traffic.refused,
            // For the law a connect that the network ended is one that found no answer in time.
            lost: traffic.timed_out.wrapping_add(traffic.unreachable),
            reset_before_data: traffic.reset_before_data,
            answered: traffic.answered,
            abandoned: traffic.abandoned,
            turnaround: traffic.turnaround,
        }
    }
}

/// Follows the counters of one backend.
#[derive(Clone, Debug, Default)]
pub struct Meter {
    mark: Option<Mark>,
    ages: AgeReader,
    /// Connections established now, kept alive or not.
    open: u64,
    /// When an answer was counted last, on the kernel's clock.
    answered_at: Option<u64>,
}

/// Penalties fade by one octave (256) a second; time in the record is ns >> 20, so a quarter of it is Q8 octaves.
const FADE_SHIFT: u32 = 2;

impl Meter {
    /// The sample of a backend, from its counters if it is in the maps.
    pub fn sample(
        &mut self,
        backend: &LaneBackend,
        counters: Option<&BackendCounters>,
        mode: Mode,
        now: u64,
    ) -> BackendSample {
        let mut sample = BackendSample {
            in_service: backend.in_service,
            locality: backend.locality,
            ..BackendSample::new(backend.id)
        };
        let Some(counters) = counters else {
            *self = Self::default();
            return sample;
        };
        // In Observe only the backend's own node sees its connections, as the server of them.
        let traffic = match mode {
            Mode::Enforce => &counters.client,
            Mode::Observe => match &counters.server {
                Some(server) => server,
                None => return sample,
            },
        };
        self.measure(&mut sample, counters.backend.generation, traffic, now);
        if mode == Mode::Enforce {
            sample.level = (counters.record.lw > 0).then(|| i32::from(counters.record.lw));
            sample.penalty = penalty(&counters.record, now);
        } else {
            // A passive socket has no connect attempt; every accepted connection was one.
            sample.attempts = sample.established;
        }
        sample
    }

    /// Connections established at the last read.
    #[must_use]
    pub const fn open(&self) -> u64 {
        self.open
    }

    /// It answered at the last read, or in the `span` nanoseconds before `now`.
    #[must_use]
    pub fn answered_within(&self, span: u64, now: u64) -> bool {
        self.answered_at.is_some_and(|at| now.saturating_sub(at) <= span)
    }

    fn measure(&mut self, sample: &mut BackendSample, generation: u32, traffic: &Traffic, now: u64) {
        let generation = (generation, traffic.generation);
        let mark = Mark::of(generation, traffic);
        if let Some(before) = self
            .mark
            .as_ref()
            .filter(|before| before.generation == generation)
        {
            sample.attempts = mark.attempts.wrapping_sub(before.attempts);
            sample.established = mark.established.wrapping_sub(before.established);
            sample.refused = mark.refused.wrapping_sub(before.refused);
            sample.timed_out = mark.lost.wrapping_sub(before.lost);
            sample.reset_before_data = mark.reset_before_data.wrapping_sub(before.reset_before_data);
            sample.answered = mark.answered.wrapping_sub(before.answered);
            sample.abandoned = mark.abandoned.wrapping_sub(before.abandoned);
            let counts = mark.turnaround.iter().zip(&before.turnaround);
            for (delta, (after, before)) in sample.turnaround.iter_mut().zip(counts) {
                *delta = after.wrapping_sub(*before);
            }
        } else {
            self.ages = AgeReader::default();
        }
        if sample.answered > 0 {
            self.answered_at = Some(now);
        }
        self.mark = Some(mark);
        self.open = traffic.open();
        sample.in_flight = u32::try_from(traffic.in_flight().max(0)).unwrap_or(u32::MAX);
        sample.unanswered = self.ages.read(traffic, now).by_age;
    }
}

/// What is left of the failure penalty at `now`, as the kernel computes it.
fn penalty(record: &Record, now: u64) -> u32 {
    // The kernel's time is the low 32 bits of ns >> 20; differences wrap like its own.
    let kms = u32::try_from((now >> 20) & u64::from(u32::MAX)).unwrap_or(0);
    let age = kms.wrapping_sub(record.pts);
    // A stamp from the future is a race with another CPU, not an age of weeks.
    let age = if age > u32::MAX / 2 { 0 } else { age };
    u32::from(record.pen).saturating_sub(age >> FADE_SHIFT)
}

#[cfg(test)]
mod tests;
