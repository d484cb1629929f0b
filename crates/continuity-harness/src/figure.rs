//! The figures of one run: percentiles over every attempt with time-outs as the client's patience, rates, shares of the
//! sick backend, times to detect and to recover.
//!
//! Definitions are those of the published tables: "detect" ends when the sick backend's share falls below half of
//! fair and stays there for the rest of the window; "recover" when the mean of the next 5 s is at 80 % of fair.

mod name;
mod request;
mod wave;

use serde::Serialize;

use crate::policy::End;
use crate::recording::{Attempt, Recording};
use crate::scenario::{Scenario, Target};
use crate::span::{MILLI, SECOND, seconds};

pub use name::{Figure, NAMED, named};
pub use request::{Requests, by_requests};

/// Figures of one run. Times in ms unless said.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Figures {
    /// Attempts counted.
    pub attempts: u64,
    /// Median.
    pub p50: f64,
    /// 99th percentile of the run.
    pub p99: f64,
    /// 99.9th percentile of the run.
    pub p999: f64,
    /// Median in the window.
    pub fault_p50: f64,
    /// 99th percentile in the window.
    pub fault_p99: f64,
    /// 99.9th percentile in the window.
    pub fault_p999: f64,
    /// 99th percentile in the window, every failure counted as the client's patience.
    pub burden_p99: f64,
    /// Refused or reset, percent of the run.
    pub error_percent: f64,
    /// Timed out, percent of the run.
    pub timeout_percent: f64,
    /// Attempts on the sick backends, percent of those in the window.
    pub sick_percent: f64,
    /// Failed or timed out, percent of the attempts in the window.
    pub fault_failed_percent: f64,
    /// Attempts on the sick backends from 5 s after the window's start, percent.
    pub settled_sick_percent: f64,
    /// 99th percentile from 5 s after the window's start to its end.
    pub settled_p99: f64,
    /// Seconds until the sick backends were avoided; none if never or nobody is sick.
    pub detect_seconds: Option<f64>,
    /// Seconds after the window until they were back; none if never or nobody was sick.
    pub recover_seconds: Option<f64>,
    /// Variance over mean of picks per backend and 100 ms, against the mean over backends; 1 = Poisson.
    pub dispersion: f64,
    /// Isolations begun, per node.
    pub isolations: f64,
    /// Power of the picks at the tick rate over the power beside it; 1 = no herd in step.
    pub tick_peak: Option<f64>,
    /// Requests on connections that were kept, percent: out of a balancer's reach.
    pub kept_percent: f64,
    /// 99th percentile of the attempts in the window that a pick decided.
    pub fresh_p99: f64,
    /// Of those, the part on the sick backends, percent.
    pub fresh_sick_percent: f64,
    /// Answered within a second, percent of the attempts in the run.
    pub within_second_percent: f64,
    /// Seconds from the first warning of a memory kill to the kill, the shortest; none without a kill.
    pub lead_seconds: Option<f64>,
    /// Warnings that no kill followed.
    pub false_alarms: u64,
    /// Figures over requests, where they differ from attempts.
    pub requests: Option<Requests>,
    /// Events the plant worked through.
    pub events: u64,
    /// Digest of the run.
    pub digest: String,
}

/// Takes the figures of a run.
#[must_use]
pub fn figures(scenario: &Scenario, recording: &Recording) -> Figures {
    let warm = scenario.warm_up_millis * MILLI;
    let (from, to) = (
        scenario.window.from_millis * MILLI,
        scenario.window.to_millis * MILLI,
    );
    let counted = || recording.attempts.iter().filter(|attempt| attempt.sent >= warm);
    let inside = || {
        recording
            .attempts
            .iter()
            .filter(|attempt| attempt.sent >= from && attempt.sent < to)
    };
    let (all, window) = (sorted(counted()), sorted(inside()));
    let percent = |wanted: &dyn Fn(&Attempt) -> bool| {
        100.0 * counted().filter(|attempt| wanted(attempt)).count() as f64 / (all.len() as f64).max(1.0)
    };
    let sick = sick(scenario);
    let on_sick = inside().filter(|attempt| sick.contains(&attempt.backend)).count();
    let settled = || inside().filter(|attempt| attempt.sent >= from + 5 * SECOND);
    let (late, fresh) = (sorted(settled()), sorted(inside().filter(|a| a.fresh)));
    let part = |some: usize, all: usize| 100.0 * some as f64 / (all as f64).max(1.0);
    let shares = Shares::of(scenario, recording, &sick);
    Figures {
        attempts: all.len() as u64,
        p50: quantile(&all, 0.5),
        p99: quantile(&all, 0.99),
        p999: quantile(&all, 0.999),
        fault_p50: quantile(&window, 0.5),
        fault_p99: quantile(&window, 0.99),
        fault_p999: quantile(&window, 0.999),
        burden_p99: quantile(&burdens(inside(), scenario.client.timeout_millis), 0.99),
        error_percent: percent(&|attempt| matches!(attempt.end, End::Refused | End::Reset)),
        timeout_percent: percent(&|attempt| attempt.end == End::TimedOut),
        sick_percent: part(on_sick, window.len()),
        fault_failed_percent: part(inside().filter(|a| a.end != End::Answered).count(), window.len()),
        settled_sick_percent: part(
            settled().filter(|a| sick.contains(&a.backend)).count(),
            late.len(),
        ),
        settled_p99: quantile(&late, 0.99),
        detect_seconds: shares.detect(from, to),
        recover_seconds: shares.recover(to),
        dispersion: dispersion(scenario, recording),
        isolations: isolations(recording) / f64::from(scenario.nodes),
        tick_peak: Some(wave::tick_peak(scenario, recording)).filter(|peak| peak.is_finite()),
        kept_percent: percent(&|attempt| !attempt.fresh),
        fresh_p99: quantile(&fresh, 0.99),
        fresh_sick_percent: part(
            inside().filter(|a| a.fresh && sick.contains(&a.backend)).count(),
            fresh.len(),
        ),
        within_second_percent: percent(&|a| a.end == End::Answered && a.micros <= 1_000_000),
        lead_seconds: lead(recording),
        false_alarms: false_alarms(recording),
        requests: request::requests(scenario, recording),
        events: recording.events,
        digest: recording.digest(),
    }
}

/// Times of attempts, µs, shortest first.
fn sorted<'a>(attempts: impl Iterator<Item = &'a Attempt>) -> Vec<u32> {
    let mut times: Vec<u32> = attempts.map(|attempt| attempt.micros).collect();
    times.sort_unstable();
    times
}

/// The same with every failure as the client's patience.
fn burdens<'a>(attempts: impl Iterator<Item = &'a Attempt>, patience_millis: u64) -> Vec<u32> {
    let patience = crate::span::micros(patience_millis * MILLI);
    let mut times: Vec<u32> = attempts
        .map(|attempt| match attempt.end {
            End::Answered => attempt.micros,
            _ => patience,
        })
        .collect();
    times.sort_unstable();
    times
}

/// Quantile of sorted µs, in ms: the smallest value that at least that share does not exceed.
fn quantile(sorted: &[u32], share: f64) -> f64 {
    let rank = crate::span::nanos(share * sorted.len() as f64 / 1e9 - 1e-9);
    let rank = usize::try_from(rank)
        .unwrap_or(0)
        .min(sorted.len().saturating_sub(1));
    sorted
        .get(rank)
        .map_or(f64::NAN, |&micros| f64::from(micros) / 1e3)
}

/// Backends that a fault with a fixed target hits, unless it hits everybody.
fn sick(scenario: &Scenario) -> Vec<u32> {
    let count = scenario.backends.count;
    let fixed = |target: &Target| !matches!(target, Target::All | Target::Moving { .. });
    (0..count)
        .filter(|&backend| {
            let mut faults = scenario.faults.iter().filter(|fault| fixed(&fault.target));
            faults.any(|fault| fault.target.hits(backend, count, 0))
        })
        .collect()
}

/// Shortest time from a warning that stood to the kill it foretold; 0 for a kill without one.
fn lead(recording: &Recording) -> Option<f64> {
    let kills = recording.alarms.iter().filter(|alarm| alarm.killed);
    let one = |kill: &crate::recording::Alarm| {
        let before = recording
            .alarms
            .iter()
            .take_while(|alarm| *alarm != kill)
            .filter(|alarm| alarm.backend == kill.backend);
        let warning = before.last().filter(|alarm| !alarm.killed);
        warning.map_or(0.0, |warning| seconds(kill.at - warning.at))
    };
    kills.map(one).min_by(f64::total_cmp)
}

fn false_alarms(recording: &Recording) -> u64 {
    let warnings = recording
        .alarms
        .iter()
        .enumerate()
        .filter(|(_, alarm)| !alarm.killed);
    let vain = |(place, warning): &(usize, &crate::recording::Alarm)| {
        let next = recording
            .alarms
            .iter()
            .skip(place + 1)
            .find(|alarm| alarm.backend == warning.backend);
        next.is_none_or(|next| !next.killed)
    };
    warnings.filter(vain).count() as u64
}

fn isolations(recording: &Recording) -> f64 {
    let mut before = std::collections::BTreeMap::new();
    let mut begun = 0_usize;
    for (_, node, number) in &recording.isolations {
        let last = before.insert(node, *number).unwrap_or(0);
        begun += number.saturating_sub(last);
    }
    begun as f64
}

/// Share of the sick backends by second, against fair.
struct Shares {
    relative: Vec<f64>,
}

impl Shares {
    fn of(scenario: &Scenario, recording: &Recording, sick: &[u32]) -> Self {
        if sick.is_empty() {
            return Self { relative: Vec::new() };
        }
        let length = usize::try_from(scenario.duration_millis.div_ceil(1_000)).unwrap_or(0);
        let mut counts = vec![(0.0, 0.0); length];
        for attempt in &recording.attempts {
            let second = usize::try_from(attempt.sent / SECOND).unwrap_or(usize::MAX);
            if let Some((of, all)) = counts.get_mut(second) {
                *all += 1.0;
                *of += f64::from(u8::from(sick.contains(&attempt.backend)));
            }
        }
        let fair = sick.len() as f64 / f64::from(scenario.backends.count);
        Self {
            relative: counts
                .into_iter()
                .map(|(of, all)| of / f64::max(all, 1.0) / fair)
                .collect(),
        }
    }

    fn detect(&self, from: u64, to: u64) -> Option<f64> {
        let first = usize::try_from(from / SECOND).unwrap_or(0);
        let last = usize::try_from(to / SECOND).unwrap_or(0);
        let window = self.relative.get(first..last)?;
        let stays = window
            .iter()
            .rposition(|&share| share >= 0.5)
            .map_or(0, |place| place + 1);
        (stays < window.len()).then_some(stays as f64)
    }

    fn recover(&self, to: u64) -> Option<f64> {
        let after = self.relative.get(usize::try_from(to / SECOND).unwrap_or(0)..)?;
        let back = after
            .windows(5)
            .position(|five| five.iter().sum::<f64>() >= 4.0)?;
        Some(back as f64 + seconds(to % SECOND))
    }
}

/// The course of a run, second by second.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Series {
    /// 99th percentile of the attempts that left in that second, ms.
    pub p99: Vec<f64>,
    /// Share of the sick backends, percent; of the busiest backend if nobody is sick by name.
    pub share: Vec<f64>,
    /// Nodes that have isolated somebody or enforce a limit, percent.
    pub acting: Vec<f64>,
}

/// Takes the course of a run.
#[must_use]
pub fn series(scenario: &Scenario, recording: &Recording) -> Series {
    let seconds = usize::try_from(scenario.duration_millis.div_ceil(1_000)).unwrap_or(0);
    let backends = usize::try_from(scenario.backends.count).unwrap_or(0);
    let sick = sick(scenario);
    let mut times = vec![Vec::new(); seconds];
    let mut counts = vec![vec![0_u32; backends]; seconds];
    for attempt in &recording.attempts {
        let second = usize::try_from(attempt.sent / SECOND).unwrap_or(usize::MAX);
        if let (Some(times), Some(counts)) = (times.get_mut(second), counts.get_mut(second)) {
            times.push(attempt.micros);
            if let Some(count) = counts.get_mut(usize::try_from(attempt.backend).unwrap_or(usize::MAX)) {
                *count += 1;
            }
        }
    }
    let p99 = times.iter_mut().map(|times| {
        times.sort_unstable();
        quantile(times, 0.99)
    });
    let share = |counts: &Vec<u32>| {
        let of = if sick.is_empty() {
            counts.iter().copied().max().unwrap_or(0)
        } else {
            sick.iter()
                .filter_map(|&b| counts.get(usize::try_from(b).unwrap_or(0)))
                .sum()
        };
        100.0 * f64::from(of) / f64::from(counts.iter().sum::<u32>().max(1))
    };
    Series {
        p99: p99.collect(),
        share: counts.iter().map(share).collect(),
        acting: acting(scenario, recording, seconds),
    }
}

/// Percent of the nodes that act at the end of each second.
fn acting(scenario: &Scenario, recording: &Recording, seconds: usize) -> Vec<f64> {
    let isolated = recording
        .isolations
        .iter()
        .map(|&(at, node, number)| (at, node, 0, number > 0));
    let limited = recording
        .modes
        .iter()
        .map(|&(at, node, mode)| (at, node, 1, mode > 0));
    let mut changes: Vec<(u64, u32, usize, bool)> = isolated.chain(limited).collect();
    changes.sort_unstable();
    let mut changes = changes.into_iter().peekable();
    let mut nodes = vec![[false; 2]; usize::try_from(scenario.nodes).unwrap_or(0)];
    let mut course = Vec::with_capacity(seconds);
    for second in 1..=seconds as u64 {
        while let Some((_, node, what, on)) = changes.next_if(|(at, ..)| *at < second * SECOND) {
            let node = nodes.get_mut(usize::try_from(node).unwrap_or(usize::MAX));
            if let Some(flag) = node.and_then(|flags| flags.get_mut(what)) {
                *flag = on;
            }
        }
        let count = nodes.iter().filter(|flags| flags.contains(&true)).count();
        course.push(100.0 * count as f64 / f64::from(scenario.nodes));
    }
    course
}

/// Mean over backends of variance / mean of the picks in each 100 ms of the run after the warm-up.
fn dispersion(scenario: &Scenario, recording: &Recording) -> f64 {
    const BIN: u64 = 100 * MILLI;
    let backends = usize::try_from(scenario.backends.count).unwrap_or(0);
    let warm = scenario.warm_up_millis * MILLI;
    let bins = usize::try_from((scenario.duration_millis * MILLI - warm) / BIN).unwrap_or(0);
    let mut counts = vec![0_u32; bins * backends];
    for attempt in recording.attempts.iter().filter(|attempt| attempt.sent >= warm) {
        let bin = usize::try_from((attempt.sent - warm) / BIN).unwrap_or(usize::MAX);
        let backend = usize::try_from(attempt.backend).unwrap_or(usize::MAX);
        if bin < bins
            && backend < backends
            && let Some(count) = counts.get_mut(bin * backends + backend)
        {
            *count += 1;
        }
    }
    let one = |backend: usize| {
        let picks = || {
            counts
                .iter()
                .skip(backend)
                .step_by(backends.max(1))
                .map(|&count| f64::from(count))
        };
        let mean = picks().sum::<f64>() / bins as f64;
        let variance = picks().map(|count| (count - mean) * (count - mean)).sum::<f64>() / bins as f64;
        variance / mean.max(1e-9)
    };
    (0..backends).map(one).sum::<f64>() / backends.max(1) as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quantile_is_the_smallest_value_that_covers_the_share() {
        let values: Vec<u32> = (1..=1_000).map(|value| value * 1_000).collect();
        assert_eq!(
            [0.5, 0.99, 0.999, 1.0].map(|q| quantile(&values, q)),
            [500.0, 990.0, 999.0, 1000.0]
        );
        assert!(quantile(&[], 0.5).is_nan());
    }

    #[test]
    fn detection_ends_when_the_share_stays_low_and_recovery_when_it_stays_high() {
        let mut relative = vec![1.0; 20];
        relative[5..12].copy_from_slice(&[1.0, 0.1, 0.6, 0.0, 0.0, 0.0, 0.0]);
        relative[12..14].copy_from_slice(&[0.0, 0.3]);
        let shares = Shares { relative };
        assert_eq!(shares.detect(5 * SECOND, 12 * SECOND), Some(3.0));
        assert_eq!(shares.recover(12 * SECOND), Some(1.0));
    }
}
