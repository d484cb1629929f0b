//! What one node knows about one backend from its own requests, and what it makes of it.

use std::collections::VecDeque;

use continuity_field::histogram::{least_age, middle_micros};
use continuity_field::{BackendId, BackendSample, Nanos};

use super::trust::Earned;
use crate::choice::Record;
use crate::random::hash;
use crate::span::{SECOND, nanos, seconds};

/// Ticks looked back on.
const WINDOW: usize = 5;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    Fine,
    Bad,
}

/// An isolation.
#[derive(Debug, Clone, Copy)]
pub(super) struct Isolated {
    since: u64,
    hold: u64,
    due: Option<u64>,
    phase: f64,
}

#[derive(Debug, Clone, Default)]
pub(super) struct Backend {
    id: BackendId,
    /// May get new connections.
    pub(super) serving: bool,
    /// Latency estimate, µs.
    pub(super) latency: Option<f64>,
    errors: f64,
    oldest: f64,
    answered: bool,
    failed: bool,
    gray: VecDeque<bool>,
    pub(super) last_failure: Option<u64>,
    pub(super) isolated: Option<Isolated>,
    level: u32,
    forgiven: u64,
    returning: Option<u64>,
    lean: f64,
    pub(super) earned: Earned,
    pub(super) trust: u32,
    distrust_until: u64,
}

impl Backend {
    /// Takes in one tick.
    pub(super) fn observe(&mut self, sample: &BackendSample, now: u64) {
        if sample.id != self.id {
            *self = Self {
                id: sample.id,
                ..Self::default()
            };
        }
        self.serving = sample.in_service;
        let (mut count, mut sum) = (0.0, 0.0);
        for (bucket, &many) in sample
            .turnaround
            .iter()
            .enumerate()
            .filter(|(_, many)| **many > 0)
        {
            count += f64::from(many);
            sum += f64::from(many) * middle_micros(bucket);
        }
        let failures =
            (sample.refused + sample.reset_before_data + sample.timed_out + sample.abandoned) as f64;
        self.answered = count > 0.0;
        self.failed = failures > 0.0;
        if self.failed {
            self.last_failure = Some(now);
        }
        self.oldest = sample
            .unanswered
            .iter()
            .rposition(|&many| many > 0)
            .map_or(0.0, |bucket| least_age(bucket, Nanos(now)).0 as f64 / 1e3);
        let weight = |n: f64| 1.0 - libm::pow(0.75, n.min(4.0));
        if self.isolated.is_some() {
            if count > 0.0 {
                self.latency = Some(sum / count);
                self.errors = failures / (count + failures);
            }
            return;
        }
        if count > 0.0 {
            let mean = sum / count;
            let estimate = self.latency.get_or_insert(mean);
            *estimate += weight(count) * (mean - *estimate);
        }
        if let Some(estimate) = &mut self.latency
            && self.oldest > 2.0 * *estimate
        {
            *estimate += weight(1.0) * (self.oldest - *estimate);
        }
        if count + failures > 0.0 {
            self.errors += weight(count + failures) * (failures / (count + failures) - self.errors);
        }
    }

    /// Gets its share.
    pub(super) fn in_use(&self) -> bool {
        self.serving && self.isolated.is_none()
    }

    /// How bad it is, for the order.
    pub(super) fn badness(&self, peers: f64) -> f64 {
        self.latency.unwrap_or(0.0) / peers + 100.0 * self.errors
    }

    /// Bad or not. `report` is the reported level above the median (Q8) and its age in kms; `alone`: nobody else failed lately.
    pub(super) fn judge(
        &mut self,
        peers: f64,
        report: Option<(f64, u32)>,
        record: &Record,
        alone: bool,
        now: u64,
    ) -> Verdict {
        let gray = self.latency.is_some_and(|latency| latency > 8.0 * peers);
        self.gray.push_back(gray);
        if self.gray.len() > WINDOW {
            self.gray.pop_front();
        }
        let octaves = |ratio: f64| 256.0 * libm::log2(ratio);
        let says_bad = report.is_some_and(|(above, age)| age < 1_000 && above > octaves(4.0));
        let says_well = report.is_some_and(|(above, age)| age < 1_000 && above < octaves(4.8));
        let hits = self.gray.iter().filter(|&&hit| hit).count();
        let late = gray && !says_well && hits >= if says_bad { 1 } else { 3 };
        let fresh = crate::choice::kms(now).wrapping_sub(record.pts) >> 2;
        let penalty = u32::from(record.pen).saturating_sub(fresh);
        let first = penalty >= 512 && alone && self.failed;
        if self.errors > 0.5 || late || first {
            Verdict::Bad
        } else {
            Verdict::Fine
        }
    }

    pub(super) fn isolate(&mut self, now: u64, salt: u64) {
        let minutes = seconds(now.saturating_sub(self.forgiven)) / 60.0;
        let forgive = u32::try_from(nanos(minutes / 1e9)).unwrap_or(u32::MAX);
        self.level = self.level.saturating_sub(forgive);
        let hold = (2 * SECOND) << self.level.min(7);
        let phase = (hash(salt, now) >> 11) as f64 / (1_u64 << 53) as f64;
        self.isolated = Some(Isolated {
            since: now,
            hold,
            due: None,
            phase,
        });
        self.level += 1;
        self.forgiven = now;
        self.returning = None;
        self.gray.clear();
    }

    /// One clean answer to a test, not slower than three times the median, starts the return.
    pub(super) fn release(&mut self, peers: f64, now: u64) {
        let Some(isolated) = self.isolated else { return };
        let clean =
            self.answered && !self.failed && self.latency.is_some_and(|latency| latency < 3.0 * peers);
        if clean && now >= isolated.since + isolated.hold {
            self.isolated = None;
            self.errors = 0.0;
            self.forgiven = now;
            self.returning = Some(now);
        }
    }

    /// When the next test is due; `attempts` of this tick tell whether one was sent.
    pub(super) fn due(&mut self, every: u64, attempts: u64, now: u64) -> Option<u64> {
        let isolated = self.isolated.as_mut()?;
        let first = isolated.since + isolated.hold + nanos(seconds(every) * isolated.phase);
        let due = isolated.due.get_or_insert(first);
        if attempts > 0 && now >= *due {
            *due = now + every;
        }
        Some(*due)
    }

    /// Slow share: leans against the mean deviation of its reported level from the median, in octaves.
    pub(super) fn lean(&mut self, deviation: f64, interval: f64) {
        if self.isolated.is_none() {
            let deviation = if deviation.abs() < 0.15 {
                0.0
            } else {
                deviation.clamp(-1.0, 1.0)
            };
            self.lean -= 0.02 * interval * (deviation + self.lean);
        }
    }

    /// Weight of its share: the slow part, and the way back after an isolation.
    pub(super) fn share(&mut self, now: u64) -> f64 {
        let back = match self.returning {
            Some(since) => {
                let factor = 0.02 * libm::exp2(seconds(now.saturating_sub(since)));
                if factor >= 1.0 {
                    self.returning = None;
                }
                factor.min(1.0)
            }
            None => 1.0,
        };
        libm::exp2(self.lean) * back
    }

    /// Weight of its reports now.
    pub(super) fn trust_now(&self, now: u64) -> u16 {
        if now < self.distrust_until {
            0
        } else {
            u16::try_from(self.trust).unwrap_or(0)
        }
    }

    /// Once a second: what its reports have earned.
    pub(super) fn earn(&mut self, record: &Record, beta: f64) {
        self.trust = self.earned.update(record, beta);
    }

    /// Unmasks a liar by what it said against what was seen.
    pub(super) fn suspect(&mut self, record: &Record, peers: f64, now: u64) {
        if self.earned.lies(record) {
            self.distrust_until = now + 30 * SECOND;
        }
        let age = nanos(self.oldest / 1e6);
        if record.has == 1 && self.oldest > 4.0 * peers {
            let said = libm::exp2(f64::from(record.l) / 256.0);
            let heard = u64::from(crate::choice::kms(now).wrapping_sub(record.ts)) << 20;
            let newer = heard < age;
            let well = said < 4.0 * peers;
            if newer && well && self.oldest > 5.0 * said + 50_000.0 {
                self.distrust_until = self.distrust_until.max(now + 20 * SECOND);
            }
        }
    }
}
