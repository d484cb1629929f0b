//! What a node counted about the connects of one set since the last step.

use super::level::LEVELS;
use crate::Nanos;
use crate::caller::CallerSample;

/// Largest count of one step, cut where none can be.
const MOST: u64 = 1_000_000_000;

/// What the backends' nodes say of themselves, taken over the backends whose report is fresh (age below ten periods).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Reported {
    /// Mean of their turnaround.
    pub turnaround: Nanos,
    /// Largest number of requests in flight at one backend, from all nodes.
    pub most_in_flight: u32,
}

/// Deltas of one step, of one set on one node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Samples<'a> {
    /// Time since the previous step.
    pub interval: Nanos,
    /// Connects that asked, by level.
    pub offered: [u64; LEVELS],
    /// Of those, refused.
    pub refused: [u64; LEVELS],
    /// Admitted requests that ended, answered or not.
    pub ended: u64,
    /// Of those, without an answer.
    pub aborted: u64,
    /// Sum of their turnaround, each cut at [`Words::cut`](super::Words::cut).
    pub waited: Nanos,
    /// Admitted and not ended, now.
    pub in_flight: u64,
    /// Most of them at once since the previous step.
    pub most_in_flight: u64,
    /// Of those in flight, older than [`Outcome::park_after`](super::Outcome::park_after).
    pub overdue: u64,
    /// In-band reports, if there are fresh ones.
    pub reported: Option<Reported>,
    /// Callers on this node, in any order; several entries of one caller add up.
    pub callers: &'a [CallerSample],
}

/// What was counted since the last control period; a slow service is regulated once per typical answer.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Period {
    /// Its length, s.
    pub span: f64,
    /// Steps in it.
    pub steps: u32,
    /// Connects by level.
    pub offered: [f64; LEVELS],
    /// Refused by level.
    pub refused: [f64; LEVELS],
    /// Ended.
    pub ended: f64,
    /// Without an answer.
    pub aborted: f64,
    /// Σ turnaround, s.
    pub waited: f64,
    /// In flight at its end.
    pub in_flight: f64,
    /// Most at once.
    pub most: f64,
    /// Overdue at its end.
    pub overdue: f64,
    /// Newest report.
    pub reported: Option<Reported>,
}

fn count(value: u64) -> f64 {
    value.min(MOST) as f64
}

impl Period {
    /// Adds a step; counts that cannot be are cut (nobody is refused who did not ask, nobody aborts who did not end).
    pub(super) fn add(&mut self, samples: &Samples<'_>) {
        self.span += samples.interval.as_secs_f64();
        self.steps = self.steps.saturating_add(1);
        for (index, offered) in self.offered.iter_mut().enumerate() {
            let asked = count(samples.offered.get(index).copied().unwrap_or(0));
            let refused = count(samples.refused.get(index).copied().unwrap_or(0));
            *offered += asked;
            if let Some(sum) = self.refused.get_mut(index) {
                *sum += refused.min(asked);
            }
        }
        let ended = count(samples.ended);
        self.ended += ended;
        self.aborted += count(samples.aborted).min(ended);
        if ended > 0.0 {
            self.waited += samples.waited.as_secs_f64();
        }
        self.in_flight = count(samples.in_flight);
        self.most = self.most.max(count(samples.most_in_flight)).max(self.in_flight);
        self.overdue = count(samples.overdue).min(self.in_flight);
        self.reported = samples.reported;
    }

    /// Requests answered.
    pub(super) fn answered(&self) -> f64 {
        self.ended - self.aborted
    }

    /// Connects of all levels.
    pub(super) fn asked(&self) -> f64 {
        self.offered.iter().sum()
    }

    /// Refusals of all levels.
    pub(super) fn shed(&self) -> f64 {
        self.refused.iter().sum()
    }

    /// Refusals of the reserved levels.
    pub(super) fn shed_reserved(&self) -> f64 {
        self.refused.iter().take(2).sum()
    }

    /// Steps of 200 ms it counts as: its length while every step is a period, else one.
    pub(super) fn weight(&self) -> f64 {
        if self.steps <= 1 {
            (self.span / 0.2).clamp(0.05, 2.0)
        } else {
            1.0
        }
    }
}
