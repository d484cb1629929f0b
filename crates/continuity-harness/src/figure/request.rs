//! Figures over requests, where attempts do not say it all: goodput, classes, values, callers, what admission did.
//!
//! "Best" is the fluid bound: in every instant as many requests as the backends could carry then, the most valuable
//! first. A request counts where it was due.

use serde::Serialize;

use super::quantile;
use crate::policy::End;
use crate::recording::{Recording, Served};
use crate::scenario::{Caller, Contest, Kind, Scenario};
use crate::span::{MILLI, SECOND};

/// Figures over the requests that were due in the window. Percent and ms unless said.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Requests {
    /// Requests due.
    pub due: u64,
    /// Answered, of what the backends could have carried.
    pub goodput_percent: f64,
    /// Answered, by kind of caller, of what that kind asked.
    pub kind_percent: Vec<f64>,
    /// The same of the most valuable kind.
    pub top_percent: f64,
    /// Value of the answers, of the best possible.
    pub value_percent: f64,
    /// Median of the answered, all attempts included.
    pub served_p50: f64,
    /// 99th percentile of the answered.
    pub served_p99: f64,
    /// The same without the first 2 s of the window.
    pub steady_p99: f64,
    /// Attempts that admission refused, of all in the run.
    pub refused_percent: f64,
    /// The same outside the window and 10 s after it: refused in calm.
    pub refused_calm_percent: f64,
    /// Attempts for each request.
    pub attempts: f64,
    /// Changes of the mode of admission, per node.
    pub transitions: f64,
    /// Answered of what was due after the window.
    pub after_percent: f64,
    /// Seconds after the window until 99 % of what is due is answered, and stays so for 5 s; none if never.
    pub normal_seconds: Option<f64>,
    /// What other callers lost while the rogue acted.
    pub others_lost_percent: Option<f64>,
    /// Answered of what the rogue asked.
    pub rogue_percent: Option<f64>,
    /// Seconds after it behaves again until it gets 90 % of what it asks, and stays so for 5 s.
    pub forgiven_seconds: Option<f64>,
}

/// Takes them; `None` where every request was one attempt of an ordinary caller.
pub(super) fn requests(scenario: &Scenario, recording: &Recording) -> Option<Requests> {
    if recording.served.is_empty() {
        return None;
    }
    let (from, to) = window(scenario);
    let inside: Vec<&Served> = recording
        .served
        .iter()
        .filter(|s| (from..to).contains(&s.due))
        .collect();
    let ordinary = [Caller {
        level: continuity_field::admission::Class::Normal,
        permille: 1_000,
        value: 1.0,
        pods: 1,
    }];
    let callers = if scenario.callers.is_empty() {
        &ordinary[..]
    } else {
        &scenario.callers
    };
    let kinds = Kinds::of(callers, &inside);
    let (most, worth) = bound(scenario, callers, &inside);
    let times = answered(&inside, from);
    let steady = answered(&inside, from + 2 * SECOND);
    let attempts: u64 = inside.iter().map(|served| u64::from(served.attempts)).sum();
    let rogue = Rogue::of(scenario, recording);
    Some(Requests {
        due: inside.len() as u64,
        goodput_percent: part(times.len() as f64, most),
        top_percent: kinds.top,
        kind_percent: kinds.percent,
        value_percent: part(kinds.kept, worth),
        served_p50: quantile(&times, 0.5),
        served_p99: quantile(&times, 0.99),
        steady_p99: quantile(&steady, 0.99),
        refused_percent: refused(recording, &|_| true),
        refused_calm_percent: refused(recording, &|at| at < from || at >= to + 10 * SECOND),
        attempts: attempts as f64 / (inside.len() as f64).max(1.0),
        transitions: recording.modes.len() as f64 / f64::from(scenario.nodes),
        after_percent: success(recording, &|served| served.due >= to),
        normal_seconds: settled(recording, to, scenario, 0.99, &|_| true),
        others_lost_percent: rogue.as_ref().map(|rogue| rogue.others_lost),
        rogue_percent: rogue.as_ref().map(|rogue| rogue.got),
        forgiven_seconds: rogue.and_then(|rogue| rogue.forgiven),
    })
}

/// Times of the answered that were due from `since` on, µs, shortest first.
fn answered(inside: &[&Served], since: u64) -> Vec<u32> {
    let good = inside.iter().filter(|served| served.good && served.due >= since);
    let mut times: Vec<u32> = good.map(|served| served.micros).collect();
    times.sort_unstable();
    times
}

/// How each kind of caller fared.
struct Kinds {
    percent: Vec<f64>,
    /// The most valuable kind.
    top: f64,
    /// Value of all answers.
    kept: f64,
}

impl Kinds {
    fn of(callers: &[Caller], inside: &[&Served]) -> Self {
        let mut asked = vec![0.0; callers.len()];
        let mut answered = vec![0.0; callers.len()];
        for served in inside {
            let kind = usize::from(served.kind);
            if let (Some(all), Some(good)) = (asked.get_mut(kind), answered.get_mut(kind)) {
                *all += 1.0;
                *good += f64::from(u8::from(served.good));
            }
        }
        let percent: Vec<f64> = answered
            .iter()
            .zip(&asked)
            .map(|(good, all)| part(*good, *all))
            .collect();
        let top = (0..callers.len())
            .max_by(|&a, &b| value(callers, a).total_cmp(&value(callers, b)).then(b.cmp(&a)));
        let worth = answered
            .iter()
            .zip(callers)
            .map(|(good, caller)| good * caller.value);
        Self {
            top: top.and_then(|top| percent.get(top).copied()).unwrap_or(f64::NAN),
            kept: worth.sum(),
            percent,
        }
    }
}

fn window(scenario: &Scenario) -> (u64, u64) {
    (
        scenario.window.from_millis * MILLI,
        scenario.window.to_millis * MILLI,
    )
}

fn value(callers: &[Caller], kind: usize) -> f64 {
    callers.get(kind).map_or(0.0, |caller| caller.value)
}

fn part(some: f64, all: f64) -> f64 {
    if all > 0.0 { 100.0 * some / all } else { f64::NAN }
}

fn success(recording: &Recording, wanted: &dyn Fn(&Served) -> bool) -> f64 {
    let (mut good, mut all) = (0.0, 0.0);
    for served in recording.served.iter().filter(|served| wanted(served)) {
        all += 1.0;
        good += f64::from(u8::from(served.good));
    }
    part(good, all)
}

fn refused(recording: &Recording, when: &dyn Fn(u64) -> bool) -> f64 {
    let there = || recording.attempts.iter().filter(|attempt| when(attempt.sent));
    let denied = there().filter(|attempt| attempt.end == End::Denied).count();
    part(denied as f64, there().count() as f64)
}

/// Most requests, and most value, that the backends could have carried of what was due, second by second.
fn bound(scenario: &Scenario, callers: &[Caller], inside: &[&Served]) -> (f64, f64) {
    let (from, to) = window(scenario);
    let length = usize::try_from((to - from).div_ceil(SECOND)).unwrap_or(0);
    let mut asked = vec![vec![0.0_f64; callers.len()]; length];
    for served in inside {
        let second = usize::try_from((served.due - from) / SECOND).unwrap_or(usize::MAX);
        if let Some(count) = asked
            .get_mut(second)
            .and_then(|kinds| kinds.get_mut(usize::from(served.kind)))
        {
            *count += 1.0;
        }
    }
    let mut order: Vec<usize> = (0..callers.len()).collect();
    order.sort_by(|&a, &b| value(callers, b).total_cmp(&value(callers, a)));
    let (mut most, mut worth) = (0.0_f64, 0.0_f64);
    for (second, kinds) in asked.iter().enumerate() {
        let begin = from + second as u64 * SECOND;
        let mut room = capacity(scenario, begin) * ((to - begin).min(SECOND) as f64 / 1e9);
        for &kind in &order {
            let served = kinds.get(kind).copied().unwrap_or(0.0_f64).min(room);
            room -= served;
            most += served;
            worth += served * value(callers, kind);
        }
    }
    (most, worth)
}

/// Requests a second that the backends carry at `now`: faults that slow or stop them counted.
fn capacity(scenario: &Scenario, now: u64) -> f64 {
    let count = scenario.backends.count;
    let speeds = scenario.backends.speeds.iter().copied().cycle();
    let one = |(backend, speed): (u32, f64)| {
        let mut speed = speed;
        for fault in &scenario.faults {
            let hit = |since| fault.target.hits(backend, count, since);
            if !fault.active(now).is_some_and(hit) {
                continue;
            }
            match fault.what {
                Kind::Slow { speed: factor } | Kind::Ramp { speed: factor } => speed *= factor,
                Kind::Refuse | Kind::Hang | Kind::Vanish | Kind::Reset { .. } => speed = 0.0,
                Kind::Errors { permille } => speed *= 1.0 - f64::from(permille) / 1e3,
                Kind::Delay { .. } => {}
            }
        }
        speed
    };
    let speed: f64 = (0..count).zip(speeds).map(one).sum();
    speed * f64::from(scenario.backends.workers) / (scenario.service.mean() / 1e3)
}

/// Seconds after `since` from which on, for 5 s, at least `share` of what is due is answered.
fn settled(
    recording: &Recording,
    since: u64,
    scenario: &Scenario,
    share: f64,
    wanted: &dyn Fn(&Served) -> bool,
) -> Option<f64> {
    let end = scenario.duration_millis * MILLI;
    let length = usize::try_from(end.saturating_sub(since) / SECOND).unwrap_or(0);
    let mut seconds = vec![(0.0, 0.0); length];
    for served in recording
        .served
        .iter()
        .filter(|served| served.due >= since && wanted(served))
    {
        let second = usize::try_from((served.due - since) / SECOND).unwrap_or(usize::MAX);
        if let Some((good, all)) = seconds.get_mut(second) {
            *all += 1.0;
            *good += f64::from(u8::from(served.good));
        }
    }
    let fine = |&(good, all): &(f64, f64)| good >= share * all;
    seconds
        .windows(5)
        .position(|five| five.iter().all(fine))
        .map(|second| second as f64)
}

/// How the rogue fared, and the others beside it.
struct Rogue {
    others_lost: f64,
    got: f64,
    forgiven: Option<f64>,
}

impl Rogue {
    fn of(scenario: &Scenario, recording: &Recording) -> Option<Self> {
        let rogue = scenario.rogue?;
        let kind = usize::try_from(rogue.caller).ok()?;
        let pod: u32 = scenario.callers.iter().take(kind).map(|caller| caller.pods).sum();
        let span = rogue.from_millis * MILLI..rogue.to_millis * MILLI;
        let acts = |served: &Served| span.contains(&served.due);
        Some(Self {
            others_lost: 100.0 - success(recording, &|s| acts(s) && s.caller != pod),
            got: success(recording, &|s| acts(s) && s.caller == pod),
            forgiven: settled(recording, span.end, scenario, 0.9, &|s| s.caller == pod),
        })
    }
}

/// Whether a scenario is judged by these.
#[must_use]
pub fn by_requests(scenario: &Scenario) -> bool {
    scenario.contest == Contest::Admission
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scenario::shipped;

    #[test]
    fn the_bound_fills_with_the_most_valuable_first() {
        let mut scenario = shipped("S9").unwrap();
        scenario.faults.clear();
        scenario.window.from_millis = 0;
        scenario.window.to_millis = 1_000;
        let one = |kind: u8| Served {
            due: 1,
            micros: 1,
            caller: 0,
            kind,
            attempts: 1,
            good: true,
        };
        let wishes: Vec<Served> = (0..1_000).map(|n| one(u8::from(n >= 200))).collect();
        let inside: Vec<&Served> = wishes.iter().collect();
        let (most, worth) = bound(&scenario, &scenario.callers, &inside);
        assert!(
            (most - scenario.capacity()).abs() < 1e-6 && (most - 727.0).abs() < 1.0,
            "{most}"
        );
        let high = value(&scenario.callers, 0);
        assert!((worth - (200.0 * high + (most - 200.0) * value(&scenario.callers, 1))).abs() < 1e-6);
    }
}
