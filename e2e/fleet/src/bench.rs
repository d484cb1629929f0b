//! One size from an empty control plane to its figures.

use crate::Args;
use crate::error::Error;
use crate::figures::{Lag, Run};
use crate::lag::{Lags, Name};
use crate::meter::{self, Meter};
use crate::node::Lanes;
use crate::stage::Stage;
use crate::swarm::{Swarm, groups};
use crate::{population, watcher};
use continuity_api::node::Regime;
use continuity_field as field;
use std::time::{Duration, Instant};

/// Longest time for a fleet to report and to be counted.
const REPORTED: Duration = Duration::from_secs(900);
/// Rest of a node before a change of it counts as one after quiet.
const QUIET: Duration = Duration::from_secs(11);
/// Least time between two changes of different nodes.
const CHANGE_SPACING: Duration = Duration::from_millis(500);
/// Time in which a set of the storm changes: 16 s, and up to 8 s more. With the isolation and the hint that follow, that
/// stays below the writes that a set may have; one that flaps faster is told at their pace.
const FLAP: Duration = Duration::from_secs(16);
/// Sets of a group that flap: a change of some set of a node comes every 2.5 s, twice as often as it may report one.
const FLAPPING_SETS: usize = 8;
/// Least length of a storm: writes of a set are counted by the minute.
const MINUTE: Duration = Duration::from_secs(60);
/// Time over which the operator writes less than once a second before it counts as being at rest, and how often that is
/// tried.
const PAUSE: Duration = Duration::from_secs(10);
const PAUSES_MAX: usize = 24;
/// Longest wait for what is still awaited at the end of a stretch.
const SETTLE: Duration = Duration::from_secs(30);

/// Everything for one size.
pub(crate) async fn run(args: &Args, nodes: usize) -> Result<Run, Error> {
    let services = (nodes * args.services / 100).max(1);
    let mut found = Run {
        machine: meter::machine()?,
        nodes,
        services,
        endpoints: services * args.endpoints,
        sets_per_node: args.sets.min(services),
        ..Run::default()
    };
    let sets = found.sets_per_node;
    let mut stage = Stage::start(args, nodes).await?;
    say("the API server is up");
    population::make(&stage.client, services, args.endpoints).await?;
    say("Services and slices are made");
    stage.start_operator().await?;
    found.plan_seconds = population::follow(&stage, services).await?.as_secs_f64();
    say("every Service has its plan");
    let lanes = watcher::lanes(&stage, services).await?;
    let lags = Lags::start(&stage.client);

    let begun = Instant::now();
    let swarm = Swarm::start(&stage.client, &lanes, nodes, sets);
    let wanted = reports(nodes, lanes.len(), sets);
    stage
        .until("every node reports and is counted", REPORTED, async || {
            (lags.reporting() >= wanted).then_some(())
        })
        .await?;
    found.report_seconds = begun.elapsed().as_secs_f64();
    let count = swarm.count();
    found.report_bytes = number(count.bytes / count.written.max(1));
    say("every node reports and is counted");

    stage.stop_operator().await?;
    found.cold_start_seconds = stage.start_operator().await?.as_secs_f64();
    found.cold_start_peak_mib = stage.operator_id().map_or(0.0, meter::peak);
    leads(&stage).await?;
    say("the operator has started on the full cluster");
    stretches(args, &mut found, (&stage, &swarm, &lags, &lanes)).await?;
    drop(swarm);
    if args.watchers > 0 {
        let steps = [args.watchers / 4, args.watchers / 2, args.watchers];
        found.watchers = watcher::measure(&stage, &steps, services).await?;
        say("full network halves of agents were measured");
    }
    stage.stop_operator().await?;
    Ok(found)
}

async fn stretches(
    args: &Args,
    found: &mut Run,
    (stage, swarm, lags, lanes): (&Stage, &Swarm, &Lags, &Lanes),
) -> Result<(), Error> {
    let length = Duration::from_secs(args.seconds);
    swarm.rest();
    rested(stage, swarm).await;
    let meter = Meter::begin(stage, swarm).await;
    tokio::time::sleep(length).await;
    found.quiet = meter.end(stage, swarm).await;
    say("rest was measured");

    lags.take();
    let meter = Meter::begin(stage, swarm).await;
    changes(length, found.sets_per_node, swarm, lags, lanes).await;
    found.changes = meter.end(stage, swarm).await;
    settle(lags).await;
    let (taken, missed) = lags.take();
    found.change_lag = Lag::of(&taken, missed);
    say("single changes were measured");

    lags.most_patched();
    let meter = Meter::begin(stage, swarm).await;
    found.flapping = storm(length.max(MINUTE), args.flapping, found, swarm, lags, lanes).await;
    found.storm = meter.end(stage, swarm).await;
    let most = u32::try_from(lags.most_patched()).unwrap_or(u32::MAX);
    // The bucket of a set lets a few go at once and then one every 5 s: counted over a minute at least.
    found.storm_patches = f64::from(most) * 60.0 / found.storm.seconds.max(60.0);
    settle(lags).await;
    let (taken, missed) = lags.take();
    found.storm_lag = Lag::of(&taken, missed);
    say("a storm was measured");
    Ok(())
}

/// Waits until the operator has written what a beginning brings: the first timelines come at a pace of their own.
async fn rested(stage: &Stage, swarm: &Swarm) {
    for _ in 0..PAUSES_MAX {
        let meter = Meter::begin(stage, swarm).await;
        tokio::time::sleep(PAUSE).await;
        if meter.end(stage, swarm).await.operator_writes < 1.0 {
            return;
        }
    }
}

/// One set after the other falls into a crisis, each on nodes that have been quiet.
async fn changes(length: Duration, sets: usize, swarm: &Swarm, lags: &Lags, lanes: &Lanes) {
    let groups = groups(lanes.len(), sets);
    let pause = QUIET.div_f64(f64::from(u32::try_from(groups).unwrap_or(u32::MAX)));
    let pause = pause.max(CHANGE_SPACING);
    let begun = Instant::now();
    let mut turn = 0;
    while begun.elapsed() < length {
        // Another set of the group with each round, so that a set is quiet too.
        let lane = turn % groups * sets + turn / groups % sets;
        flip(lane, sets, true, (swarm, lags, lanes));
        turn += 1;
        tokio::time::sleep(pause).await;
    }
}

/// Many sets fall into a crisis and recover, again and again, each in its own time; gives the nodes that flap.
async fn storm(length: Duration, most: usize, run: &Run, swarm: &Swarm, lags: &Lags, lanes: &Lanes) -> usize {
    let sets = run.sets_per_node;
    let groups = groups(lanes.len(), sets);
    let per_group = run.nodes.div_ceil(groups).max(1);
    let chosen = (most / per_group).clamp(1, groups);
    let begun = Instant::now();
    // When each set changes next, and whether it is to be in crisis then.
    let mut due: Vec<(Duration, usize, bool)> = Vec::new();
    for group in 0..chosen {
        for place in 0..FLAPPING_SETS.min(sets) {
            let lane = group * sets + sets - 1 - place;
            due.push((spread(lane, 0) * 2, lane, true));
        }
    }
    let mut round = 1;
    while begun.elapsed() < length {
        for (at, lane, crisis) in due.iter_mut().filter(|(at, _, _)| *at <= begun.elapsed()) {
            flip(*lane, sets, *crisis, (swarm, lags, lanes));
            *crisis = !*crisis;
            *at += FLAP + spread(*lane, round);
        }
        round += 1;
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    (chosen * per_group).min(run.nodes)
}

/// Up to 8 s, the same in every run.
fn spread(lane: usize, round: usize) -> Duration {
    let mixed = (lane * 7_919 + round * 104_729) % 8_000;
    Duration::from_millis(u64::try_from(mixed).unwrap_or(0))
}

fn flip(lane: usize, sets: usize, crisis: bool, (swarm, lags, lanes): (&Swarm, &Lags, &Lanes)) {
    let Some((key, _)) = lanes.get(lane) else { return };
    let name: Name = (key.namespace.to_string(), key.set.to_string());
    let (seen, told) = if crisis {
        (field::Regime::Crisis, Regime::Crisis)
    } else {
        (field::Regime::Laminar, Regime::Laminar)
    };
    lags.expect(name, told);
    swarm.turn(lane, sets, seen);
}

/// Waits for what is still awaited, then gives it up.
async fn settle(lags: &Lags) {
    let begun = Instant::now();
    while !lags.idle() && begun.elapsed() < SETTLE {
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    lags.give_up();
}

async fn leads(stage: &Stage) -> Result<(), Error> {
    stage
        .until("the operator leads", Duration::from_secs(60), async || {
            let metrics = stage.operator_metrics().await;
            (meter::sum(&metrics, "continuity_operator_leader ", |_| true) > 0.5).then_some(())
        })
        .await
}

/// Reports that all statuses count together, once every node has reported.
fn reports(nodes: usize, lanes: usize, sets: usize) -> usize {
    let groups = groups(lanes, sets);
    (0..nodes)
        .map(|index| {
            let first = index % groups * sets;
            (first + sets).min(lanes).saturating_sub(first)
        })
        .sum()
}

/// A mean report is far below what a float holds exactly.
fn number(bytes: u64) -> f64 {
    u32::try_from(bytes).map_or(f64::INFINITY, f64::from)
}

fn say(what: &str) {
    eprintln!("  {what}");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_set_of_every_node_is_counted_once() {
        assert_eq!(reports(4, 50, 24), 24 + 24 + 2 + 24);
        assert_eq!(reports(10, 5, 5), 50);
    }
}
