//! The agent of the published specification (law-balancing §2.5 and §2.6), nothing added.
//!
//! Why it exists: its figures are published, so a plant that reproduces them is the plant they were measured in, and
//! a gap between it and the product's agent is a gap of the product's agent. It runs with and without reports.
//! Left out: the drip of sets with other priorities, topology, admission.

mod evidence;
mod share;
mod trust;

use evidence::{Backend, Verdict};
use trust::Slope;

use super::{Agent, Kernel, Law, Plan};
use crate::choice::{SLOTS, decay, kms, lg};
use crate::policy::Policy;
use crate::scenario::Scenario;
use crate::span::{MILLI, SECOND, micros, nanos, seconds};

/// One node's reference agent.
pub struct Reference {
    seed: u64,
    backends: Vec<Backend>,
    slope: Slope,
    second: u64,
    before: u64,
    calm: Option<f64>,
    learnt: f64,
    spill: bool,
    table: Vec<u32>,
}

/// A report or level younger than this takes part in medians, kms.
const FRESH: u32 = 8_192;

fn median(mut values: Vec<f64>) -> Option<f64> {
    values.sort_by(f64::total_cmp);
    match values.len() {
        0 => None,
        odd if odd % 2 == 1 => values.get(odd / 2).copied(),
        even => Some((values.get(even / 2 - 1)? + values.get(even / 2)?) / 2.0),
    }
}

fn rounded(value: f64) -> i32 {
    let size = i32::try_from(nanos(value.abs() / 1e9)).unwrap_or(i32::MAX);
    if value < 0.0 { -size } else { size }
}

impl Reference {
    /// A fresh agent.
    #[must_use]
    pub fn new(seed: u64, backends: usize) -> Self {
        Self {
            seed,
            backends: vec![Backend::default(); backends],
            slope: Slope::default(),
            second: 0,
            before: 0,
            calm: None,
            learnt: 0.0,
            spill: false,
            table: Vec::new(),
        }
    }

    fn usable(&self) -> usize {
        self.backends.iter().filter(|backend| backend.in_use()).count()
    }

    /// Median of the own latency estimates (µs) of the backends in use.
    fn peers(&self) -> Option<f64> {
        median(
            self.backends
                .iter()
                .filter(|b| b.in_use())
                .filter_map(|b| b.latency)
                .collect(),
        )
    }

    /// Isolation: worst first, at most half, none if more than half look bad.
    fn isolate(&mut self, kernel: &Kernel, now: u64) {
        let Some(peers) = self.peers() else { return };
        let reported = f64::from(kernel.chooser.words.wm);
        let failed_lately = |b: &Backend| {
            b.last_failure
                .is_some_and(|at| now.saturating_sub(at) < 30 * SECOND)
        };
        let failing = self.backends.iter().filter(|b| failed_lately(b)).count();
        let mut bad: Vec<(f64, usize)> = Vec::new();
        for (index, (backend, record)) in self.backends.iter_mut().zip(&kernel.chooser.records).enumerate() {
            let alone = failing
                <= usize::from(
                    backend
                        .last_failure
                        .is_some_and(|at| now.saturating_sub(at) < 30 * SECOND),
                );
            let report = trust::level(record, now).map(|(level, age)| (f64::from(level) - reported, age));
            let verdict = backend.judge(peers, report, record, alone, now);
            if backend.isolated.is_none() && verdict == Verdict::Bad {
                bad.push((backend.badness(peers), index));
            }
        }
        let out = self.isolated();
        if 2 * (bad.len() + out) > self.backends.len() {
            return;
        }
        bad.sort_by(|a, b| b.0.total_cmp(&a.0));
        let room = (self.backends.len() / 2)
            .min(self.backends.len() - 1)
            .saturating_sub(out);
        for (_, index) in bad.into_iter().take(room) {
            if let Some(backend) = self.backends.get_mut(index) {
                backend.isolate(now, self.seed ^ index as u64);
            }
        }
    }

    /// Spill: if the survivors drown, isolated ones serve at a fixed price.
    fn overflow(&mut self, interval: f64) {
        let Some(peers) = self.peers() else { return };
        let calm = self.calm.get_or_insert(peers);
        let isolated = self.backends.iter().any(|b| b.isolated.is_some());
        let learning = self.learnt < 5.0;
        self.learnt += interval;
        if learning || (!isolated && peers < 1.8 * *calm) {
            let gain = if learning { 1.0 } else { 0.05 };
            *calm += (gain * interval).min(1.0) * (peers - *calm);
        }
        self.spill = isolated && (peers > 8.0 * *calm || (self.spill && peers > 2.0 * *calm));
    }

    fn words(&mut self, kernel: &mut Kernel, now: u64) {
        let at = kms(now);
        let chooser = &mut kernel.chooser;
        let used = || {
            self.backends
                .iter()
                .zip(&chooser.records)
                .filter(|(b, _)| b.in_use())
        };
        let trusted = |trust: u32| {
            used().filter(move |(b, r)| r.has == 1 && b.trust >= trust && at.wrapping_sub(r.ts) < FRESH)
        };
        let reported = median(trusted(1).map(|(_, r)| f64::from(r.l)).collect());
        let own = median(
            used()
                .filter(|(_, r)| r.lw > 0)
                .map(|(_, r)| f64::from(r.lw))
                .collect(),
        );
        let many = self.usable();
        let in_flight: i32 = used().map(|(_, r)| r.infl.max(0)).sum();
        let live = trusted(80).count();
        let mean = f64::from(in_flight) / (many as f64).max(1.0);
        chooser.words.wm = reported.map_or(chooser.words.wm, rounded);
        chooser.words.lm = own.map_or(chooser.words.lm, rounded);
        chooser.words.ownm = lg(u32::try_from(rounded(16.0 * mean + 16.0)).unwrap_or(16));
        chooser.words.mem_on = u8::from(live > 0 && 8 * live >= 7 * many);
        chooser.words.reports = u8::from(reported.is_some());
    }

    fn project(&mut self, kernel: &mut Kernel, now: u64) {
        let fixed = match (self.spill, self.calm) {
            (true, Some(calm)) => u16::try_from(lg(micros(nanos(12.0 * calm / 1e6)))).unwrap_or(0),
            _ => 0,
        };
        let spill = self.spill;
        let weight = |b: &mut Backend| {
            let used = b.serving && (b.isolated.is_none() || spill);
            if used { b.share(now) } else { 0.0 }
        };
        let weights: Vec<f64> = self.backends.iter_mut().map(weight).collect();
        let many = weights.iter().filter(|&&weight| weight > 0.0).count();
        let turn = if many > SLOTS {
            (now / MILLI / 200).wrapping_mul(64)
        } else {
            0
        };
        let counts = share::apportion(&weights, self.seed.wrapping_add(turn));
        if counts != self.table {
            share::fill(&mut kernel.chooser.slots.id, &counts);
            self.table = counts;
        }
        let fair = 64.0 / (many as f64).max(1.0);
        for ((backend, record), &slots) in self
            .backends
            .iter()
            .zip(&mut kernel.chooser.records)
            .zip(&self.table)
        {
            record.words.off = u8::from(slots == 0 && many <= SLOTS);
            let octaves = if slots == 0 {
                0.0
            } else {
                256.0 * libm::log2(f64::from(slots) / fair)
            };
            record.words.shl = i16::try_from(rounded(octaves)).unwrap_or(0);
            record.words.trust = backend.trust_now(now);
            record.words.fixed = if backend.isolated.is_some() { fixed } else { 0 };
        }
    }

    /// One word: the isolated backend whose test is due first.
    fn drip(&mut self, kernel: &mut Kernel, plan: &Plan, now: u64) {
        let every = f64::from(plan.nodes) / (0.0005 * plan.milli_per_second as f64 / 1e3).max(1e-6);
        let mut next: Option<(u64, usize)> = None;
        for (index, backend) in self.backends.iter_mut().enumerate() {
            let attempts = kernel.samples.get(index).map_or(0, |sample| sample.attempts);
            if let Some(due) = backend.due(nanos(every), attempts, now)
                && next.is_none_or(|(first, _)| due < first)
            {
                next = Some((due, index));
            }
        }
        kernel.chooser.words.drip =
            next.map_or(0, |(due, index)| (u64::from(kms(due)) << 32) | (index as u64 + 1));
    }
}

impl Agent for Reference {
    const BLAMES_TIMEOUTS: bool = true;

    fn tick(&mut self, kernel: &mut Kernel, plan: &Plan, now: u64) {
        kernel.read(now);
        let interval = seconds(now.saturating_sub(if self.before == 0 { now } else { self.before }));
        self.before = now;
        for (backend, sample) in self.backends.iter_mut().zip(&kernel.samples) {
            backend.observe(sample, now);
        }
        if now / SECOND != self.second {
            self.second = now / SECOND;
            self.slope.update(&kernel.chooser.regression);
            for (backend, record) in self.backends.iter_mut().zip(&kernel.chooser.records) {
                backend.earn(record, self.slope.beta());
            }
        }
        if let Some(peers) = self.peers() {
            let reported = kernel.chooser.words.wm;
            for (backend, record) in self.backends.iter_mut().zip(&kernel.chooser.records) {
                backend.suspect(record, peers, now);
                backend.release(peers, now);
                let age = kms(now).wrapping_sub(record.ts);
                let live = record.has == 1 && backend.trust > 0 && age < 32_768;
                let weight = f64::from(decay(age >> 8)) / 256.0;
                let deviation = f64::from(i32::from(record.l) - reported) / 256.0 * weight;
                backend.lean(if live { deviation } else { 0.0 }, interval);
            }
        }
        self.isolate(kernel, now);
        self.overflow(interval);
        self.words(kernel, now);
        self.project(kernel, now);
        self.drip(kernel, plan, now);
        kernel.reset(now);
    }

    fn isolated(&self) -> usize {
        self.backends
            .iter()
            .filter(|backend| backend.isolated.is_some())
            .count()
    }
}

/// The published agent over the same choice.
#[must_use]
pub fn law(scenario: &Scenario, seed: u64) -> Box<dyn Policy> {
    Box::new(Law::new(scenario, seed, Reference::new))
}
