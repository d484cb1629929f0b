//! The surge: load beyond capacity, and an autoscaler that follows the hint.
//!
//! A Service of its own, small enough to be drowned on two cores, with a HorizontalPodAutoscaler on the external metric.
//! Its twin has the same load and no policy; nothing scales it, because without a hint there is no metric here to scale on.

use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::{Duration, Instant};

use continuity_traffic::clock;
use continuity_traffic::schedule::Knot;
use serde_json::Value;

use super::fault::{Fault, Surge};
use super::latency::Summary;
use super::log::Attempt;
use super::scene::sleep_until;
use super::share::seconds;
use super::status;
use super::trial::{self, Scaling, Side, Times, Trial};
use super::workload::{self, Load, NAMESPACE, SURGE, Wanted};
use crate::Error;
use crate::cluster::Cluster;
use crate::progress::Step;

/// Calm before the surge.
const CALM: Duration = Duration::from_secs(14);
/// Of which the first part is not measured.
const WARM_UP: Duration = Duration::from_secs(3);
/// After the surge: the hint falls once its hold-down of 10 s is over.
const AFTER: Duration = Duration::from_secs(40);
/// How long replicas and hint may take to rest under the usual load.
const SETTLE: Duration = Duration::from_secs(75);
/// How long they must have been the same: twice the hint's hold-down of 10 s, after which it would have fallen further.
const AT_REST: Duration = Duration::from_secs(20);
/// Objective of the policy, ms.
const OBJECTIVE_MS: f64 = 250.0;
/// The p99 is taken over this long: 240 attempts and more.
const WINDOW_NS: u64 = 2_000_000_000;
const STEP_NS: u64 = 250_000_000;

/// The rate over time. Capacity is 300/s: three replicas of 4 workers of 40 ms.
fn rate(kind: Surge, lasts: Duration) -> Vec<Knot> {
    let ms = |at: Duration| u64::try_from(at.as_millis()).unwrap_or(u64::MAX);
    let (begin, end) = (ms(CALM), ms(CALM + lasts));
    let knot = |at_ms, per_second| Knot { at_ms, per_second };
    match kind {
        // 40 % of capacity, then 150 %.
        Surge::Step => {
            vec![
                knot(0, 120.0),
                knot(begin, 120.0),
                knot(begin + 1, 450.0),
                knot(end, 450.0),
                knot(end + 1, 120.0),
            ]
        }
        // 50 % of capacity, growing by 2.5/s every second: doubled after 60 s, at 120 % after 84 s.
        Surge::Ramp => {
            let top = 150.0 + 2.5 * lasts.as_secs_f64();
            vec![
                knot(0, 150.0),
                knot(begin, 150.0),
                knot(end, top),
                knot(end + 1, 120.0),
            ]
        }
    }
}

/// Runs one surge under both systems at once.
pub(super) fn run(
    cluster: &Cluster,
    fault: &Fault,
    kind: Surge,
    seed: u64,
    step: &Step,
) -> Result<Trial, Error> {
    let lasts = Duration::from_secs(fault.seconds);
    let rising = rate(kind, lasts);
    let usual = rising.first().map_or(0.0, |knot| knot.per_second);
    let mut load = Load::start(cluster, seed, &wanted(cluster, &workload::steady(usual))?)?;
    step.waiting("the autoscaler to rest under the usual load");
    settle(cluster)?;
    load.switch(seed, &wanted(cluster, &rising)?)?;
    let after = |span: Duration| load.at_ns + u64::try_from(span.as_nanos()).unwrap_or(0);
    let mut times = Times {
        start_ns: after(WARM_UP),
        begin_ns: after(CALM),
        end_ns: after(CALM + lasts),
        ..Times::default()
    };

    let (stop, stopped) = mpsc::channel::<()>();
    let watched = cluster.clone();
    let watch = thread::spawn(move || watch(&watched, &stopped));
    step.waiting("the surge to pass");
    sleep_until(times.begin_ns, Duration::from_secs(20));
    let sets = Some(status::sets(cluster)?);
    let explained = Some(status::explain(SURGE[0])?);
    sleep_until(times.end_ns, AFTER);
    times.stop_ns = load.stop()?;
    drop(stop);
    let seen = watch
        .join()
        .unwrap_or_else(|panic| std::panic::resume_unwind(panic));

    let side = |stream: u8| Side {
        stream,
        kept: u8::MAX,
        ..Side::default()
    };
    let row = |stream: u8| trial::row(&load.log, &side(stream), &times);
    let attempts = load.log.window(0, times.begin_ns, times.stop_ns);
    Ok(Trial {
        fault: fault.name.to_owned(),
        about: fault.about.to_owned(),
        times,
        ours: row(0),
        theirs: row(1),
        scaling: Some(scaling(&seen, &attempts, &times)),
        sets,
        explained,
        missed: load.log.missed,
        ..Trial::default()
    })
}

/// The same stream to both Services.
fn wanted(cluster: &Cluster, rate: &[Knot]) -> Result<Vec<Wanted>, Error> {
    let ids = (0_u8..).zip(SURGE);
    ids.map(|(id, service)| {
        let target = workload::address(cluster, service)?;
        Ok(Wanted {
            id,
            target,
            kept: false,
            rate: rate.to_vec(),
        })
    })
    .collect()
}

/// Waits until replicas and hint agree and rest under the usual load. A load that comes out of nothing is a surge too, and
/// what follows must not be measured on top of it. If it takes too long the trial begins all the same, and its checks
/// show it.
fn settle(cluster: &Cluster) -> Result<(), Error> {
    let mut rest = Rest::default();
    let at_rest = || match observe(cluster) {
        Ok((replicas, hint)) if rest.since(Instant::now(), replicas, hint) >= AT_REST => Ok(()),
        Ok((replicas, hint)) => Err(format!("replicas {replicas:?}, hint {hint:?}")),
        Err(error) => Err(error.to_string()),
    };
    match cluster.wait("the autoscaler to rest", SETTLE, at_rest) {
        Err(Error::Timeout { .. }) => Ok(()),
        other => other,
    }
}

/// For how long replicas and hint have been the same number.
#[derive(Default)]
struct Rest {
    begun: Option<(Instant, u32)>,
}

impl Rest {
    fn since(&mut self, now: Instant, replicas: Option<u32>, hint: Option<u32>) -> Duration {
        let count = replicas.filter(|count| Some(*count) == hint);
        if self.begun.map(|(_, of)| of) != count {
            self.begun = count.map(|count| (now, count));
        }
        self.begun
            .map_or(Duration::ZERO, |(begun, _)| now.saturating_duration_since(begun))
    }
}

/// One look: when, replicas wanted by the autoscaler, hint.
type Look = (u64, Option<u32>, Option<u32>);

fn watch(cluster: &Cluster, stopped: &mpsc::Receiver<()>) -> Vec<Look> {
    let mut looks = Vec::new();
    // A look that failed is a gap in the line, nothing more: the goals need what was seen.
    while let Err(RecvTimeoutError::Timeout) = stopped.recv_timeout(Duration::from_millis(700)) {
        if let Ok((replicas, hint)) = observe(cluster) {
            looks.push((clock::now_ns(), replicas, hint));
        }
    }
    looks
}

/// Replicas of the Deployment and the hint of its set, in one call.
fn observe(cluster: &Cluster) -> Result<(Option<u32>, Option<u32>), Error> {
    let list = cluster.json([
        "get",
        "deployments,equivalencesets",
        "-n",
        NAMESPACE,
        "-o",
        "json",
    ])?;
    let items = || list["items"].as_array().into_iter().flatten();
    let count = |value: &Value| value.as_u64().and_then(|n| u32::try_from(n).ok());
    let deployment = items().find(|i| i["kind"] == "Deployment" && i["metadata"]["name"] == SURGE[0]);
    let set = items().find(|i| i["kind"] == "EquivalenceSet" && status::is_of(i, SURGE[0], "http"));
    Ok((
        deployment.and_then(|d| count(&d["spec"]["replicas"])),
        set.and_then(|s| count(&s["status"]["scaleHint"]["desiredReplicas"])),
    ))
}

fn scaling(looks: &[Look], attempts: &[Attempt], times: &Times) -> Scaling {
    let after = |at_ns: u64| seconds(at_ns) - seconds(times.begin_ns);
    let line = |pick: fn(&Look) -> Option<u32>| {
        looks
            .iter()
            .filter_map(|look| Some((after(look.0), pick(look)?)))
            .collect()
    };
    Scaling {
        replicas: line(|look| look.1),
        hints: line(|look| look.2),
        breached_s: breach(attempts, times).map(|at_ns| seconds(at_ns - times.begin_ns)),
    }
}

/// Start of the first window whose p99 passes the objective.
fn breach(attempts: &[Attempt], times: &Times) -> Option<u64> {
    let starts = std::iter::successors(Some(times.begin_ns), |at| at.checked_add(STEP_NS));
    let mut starts = starts.take_while(|at| at + WINDOW_NS <= times.end_ns);
    starts.find(|at| {
        let from = attempts.partition_point(|a| a.due_ns < *at);
        let to = attempts.partition_point(|a| a.due_ns < at + WINDOW_NS);
        attempts
            .get(from..to)
            .is_some_and(|window| Summary::of(window).p99_ms > OBJECTIVE_MS)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use continuity_traffic::record::Outcome;

    #[test]
    fn the_ramp_doubles_in_a_minute_and_ends_beyond_capacity() {
        let knots = rate(Surge::Ramp, Duration::from_secs(84));
        let slope = (knots[2].per_second - knots[1].per_second) / 84.0;
        assert!((slope * 60.0 - knots[1].per_second).abs() < 1e-9);
        assert!(knots[2].per_second > 300.0);
    }

    #[test]
    fn rest_begins_anew_when_a_number_changes_or_the_two_differ() {
        let (start, mut rest) = (Instant::now(), Rest::default());
        let mut at =
            |s: u64, replicas, hint| rest.since(start + Duration::from_secs(s), Some(replicas), hint);
        assert_eq!(at(0, 7, Some(3)), Duration::ZERO);
        assert_eq!(at(1, 3, Some(3)), Duration::ZERO);
        assert_eq!(at(9, 3, Some(3)), Duration::from_secs(8));
        assert_eq!(at(10, 4, Some(4)), Duration::ZERO);
        assert_eq!(at(12, 4, None), Duration::ZERO);
        assert_eq!(at(13, 4, Some(4)), Duration::ZERO);
    }

    #[test]
    fn the_breach_is_where_the_slow_answers_begin() {
        let second = 1_000_000_000;
        let times = Times {
            begin_ns: second,
            end_ns: 30 * second,
            ..Times::default()
        };
        let attempt = |i: u64| {
            let due_ns = second + i * second / 200;
            let total_us = if due_ns >= 11 * second { 400_000 } else { 40_000 };
            let outcome = Outcome::Answered;
            Attempt {
                due_ns,
                connect_us: 1,
                total_us,
                backend: None,
                stream: 0,
                outcome,
            }
        };
        let attempts: Vec<_> = (0..5000).map(attempt).collect();
        let at = seconds(breach(&attempts, &times).unwrap() - times.begin_ns);
        assert!((8.0..10.1).contains(&at), "{at}");
        assert_eq!(breach(&attempts[..1000], &times), None);
    }
}
