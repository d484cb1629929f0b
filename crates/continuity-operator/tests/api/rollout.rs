//! A changed policy against nine nodes in three failure domains, which the test plays: they run what the plan names them.

use crate::audit::plan_writes;
use crate::plane::{Plane, eventually};
use crate::watching::{CHECKOUT, appear, name, plan, plans, policies, report, well, write};
use continuity_api::node::{Regime, SetReport};
use continuity_api::plan::{EquivalencePlanSpec, RolloutPhase};
use continuity_api::{
    ContinuityNode, ContinuityNodeStatus, EquivalenceTimeline, conditions, events, reasons,
};
use kube::api::{Api, Patch, PatchParams};
use serde_json::json;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

const PATIENCE: Duration = Duration::from_secs(90);

fn zone(index: usize) -> String {
    format!("zone-{}", index % 3)
}

fn runs(spec: &EquivalencePlanSpec, index: usize) -> bool {
    spec.candidate.as_ref().is_some_and(|candidate| {
        candidate.nodes.contains(&format!("node-{index}")) || candidate.domains.contains(&zone(index))
    })
}

/// What the agents of nine nodes do: apply the plan, and report what it does to them.
struct Agents {
    task: tokio::task::JoinHandle<()>,
    harmful: Arc<AtomicBool>,
    most: Arc<AtomicUsize>,
}

impl Drop for Agents {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Agents {
    async fn start(plane: &Plane) -> Self {
        let (harmful, most) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
        let nodes: Api<ContinuityNode> = Api::all(plane.client.clone());
        for index in 0..9 {
            appear(&nodes, &format!("node-{index}")).await;
        }
        let (plans, harm, count) = (plans(plane), Arc::clone(&harmful), Arc::clone(&most));
        let task = tokio::spawn(async move {
            let mut sequence = 0;
            let mut known = None;
            loop {
                if let Ok(Some(plan)) = plans.get_opt(&name()).await
                    && known.as_ref() != Some(&plan.spec)
                {
                    sequence += 1;
                    count.fetch_max(
                        (0..9).filter(|index| runs(&plan.spec, *index)).count(),
                        Ordering::Relaxed,
                    );
                    for index in 0..9 {
                        let hurt = harm.load(Ordering::Relaxed) && runs(&plan.spec, index);
                        tell(&nodes, index, sequence, &plan.spec.digest, hurt).await;
                    }
                    known = Some(plan.spec);
                }
                tokio::time::sleep(Duration::from_millis(200)).await;
            }
        });
        Self { task, harmful, most }
    }
}

async fn tell(nodes: &Api<ContinuityNode>, index: usize, sequence: i64, digest: &str, hurt: bool) {
    let set = SetReport {
        failed_milli_per_second: if hurt { 50_000 } else { 0 },
        p99_micros: 70_000,
        ..report(digest, Regime::Laminar)
    };
    let status = ContinuityNodeStatus {
        zone: zone(index),
        ..well(sequence, vec![set])
    };
    // A test that ends takes the API server along.
    let _ = write(nodes, &format!("node-{index}"), status).await;
}

async fn change(plane: &Plane, hold: i32) {
    let patch = json!({"spec": {"isolation": {"holdSeconds": hold}, "rollout": {"soakSeconds": 5}}});
    policies(plane)
        .patch("checkout", &PatchParams::default(), &Patch::Merge(&patch))
        .await
        .unwrap();
}

async fn reached(
    plane: &Plane,
    what: &str,
    wanted: impl Fn(&EquivalencePlanSpec) -> bool,
) -> EquivalencePlanSpec {
    let look = async || {
        let spec = plan(plane).await.spec;
        wanted(&spec).then_some(spec)
    };
    eventually(what, PATIENCE, look).await.0
}

fn phase(spec: &EquivalencePlanSpec) -> Option<RolloutPhase> {
    spec.rollout.as_ref().map(|record| record.phase)
}

async fn programmed(plane: &Plane, reason: &str) -> String {
    let look = async || {
        let status = policies(plane).get("checkout").await.ok()?.status?;
        let mut found = status.conditions.into_iter();
        let condition = found.find(|condition| condition.type_ == conditions::PROGRAMMED)?;
        (condition.reason == reason).then_some(condition.message)
    };
    eventually(reason, PATIENCE, look).await.0
}

#[tokio::test]
#[ignore = "needs the kubernetes binary of e2e/cluster (CONTINUITY_KUBERNETES)"]
async fn a_bad_change_stops_at_three_canaries_and_a_good_one_reaches_all_also_when_the_leader_dies() {
    let plane = Plane::start("rollout").await;
    let mut first = plane.operator("operator-a", &[]);
    let agents = Agents::start(&plane).await;
    let only_http = CHECKOUT.replace(
        "name: checkout}], mode",
        "name: checkout, sectionName: http}], mode",
    );
    plane.apply(&only_http).await;
    let before = reached(&plane, "the first policy is not staged", |spec| {
        spec.candidate.is_none()
    })
    .await;
    programmed(&plane, reasons::PROGRAMMED).await;

    agents.harmful.store(true, Ordering::Relaxed);
    change(&plane, 9).await;
    let halted = reached(&plane, "the bad change is halted", |spec| {
        phase(spec) == Some(RolloutPhase::Halted)
    })
    .await;
    assert_eq!(halted.stable, before.stable, "the policy before stays in force");
    assert_eq!(halted.candidate, None);
    assert_eq!(agents.most.load(Ordering::Relaxed), 3);
    let said = programmed(&plane, reasons::ROLLOUT_HALTED).await;
    assert!(said.contains("500 of 1000 connections fail there"), "{said}");

    agents.harmful.store(false, Ordering::Relaxed);
    let _second = plane.operator("operator-b", &[]);
    change(&plane, 7).await;
    reached(&plane, "the good change is tried", |spec| {
        phase(spec) == Some(RolloutPhase::Canary)
    })
    .await;
    first.kill();
    reached(&plane, "its domain follows", |spec| {
        phase(spec) == Some(RolloutPhase::Domain)
    })
    .await;
    let done = reached(&plane, "all nodes run it", |spec| {
        spec.stable.isolation.hold_millis == 7_000 && spec.candidate.is_none()
    })
    .await;
    assert_eq!(done.rollout, None);
    programmed(&plane, reasons::PROGRAMMED).await;
    past(&plane).await;
}

/// The timeline of the policy tells both roll-outs, stage by stage, also what the second leader went on with.
async fn past(plane: &Plane) {
    let timelines: Api<EquivalenceTimeline> = Api::namespaced(plane.client.clone(), "shop");
    let look = async || {
        let entries = timelines.get("policy.checkout").await.ok()?.spec.entries;
        let over = entries.iter().any(|entry| entry.what == events::ROLLOUT_FINISHED);
        over.then_some(entries)
    };
    let (entries, _) = eventually("the roll-out is told to its end", PATIENCE, look).await;
    let mut staged: Vec<&str> = entries
        .iter()
        .map(|entry| &*entry.what)
        .filter(|what| what.starts_with("Rollout"))
        .collect();
    // Zones of unlike size widen in one step or two.
    staged.dedup();
    assert_eq!(
        staged,
        [
            events::ROLLOUT_STARTED,
            events::ROLLOUT_HALTED,
            events::ROLLOUT_DROPPED,
            events::ROLLOUT_STARTED,
            events::ROLLOUT_WIDENED,
            events::ROLLOUT_FINISHED,
        ]
    );
    let mut halted = entries
        .iter()
        .filter(|entry| entry.what == events::ROLLOUT_HALTED);
    let halted = halted.next().unwrap();
    assert!(
        halted.cause.contains("500 of 1000 connections fail there") && halted.action.contains("suspended"),
        "{halted:?}"
    );
}

/// Nine agents and a first policy that is in force.
async fn in_force(plane: &Plane) -> (Agents, EquivalencePlanSpec) {
    let agents = Agents::start(plane).await;
    let only_http = CHECKOUT.replace(
        "name: checkout}], mode",
        "name: checkout, sectionName: http}], mode",
    );
    plane.apply(&only_http).await;
    let first = reached(plane, "the first policy", |spec| spec.candidate.is_none()).await;
    programmed(plane, reasons::PROGRAMMED).await;
    (agents, first)
}

/// Phases of writes in their order, each told once; those that the death of the leader cut off before their answer included, for
/// the plan was seen in that phase.
fn phases(plane: &Plane) -> Vec<String> {
    let mut told: Vec<String> = plan_writes(plane)
        .into_iter()
        .filter(|write| write.accepted() || write.cut_off())
        .map(|write| write.phase)
        .collect();
    told.dedup();
    told
}

#[tokio::test]
#[ignore = "needs the kubernetes binary of e2e/cluster (CONTINUITY_KUBERNETES)"]
async fn a_leader_that_dies_in_each_phase_leaves_a_roll_out_that_ends_in_the_same_state() {
    let plane = Plane::alone("phases").await;
    let mut leader = plane.operator("operator-0", &[]);
    let (_agents, _) = in_force(&plane).await;
    change(&plane, 7).await;
    let phases_of_change = [RolloutPhase::Canary, RolloutPhase::Domain, RolloutPhase::Widening];
    for (index, wanted) in phases_of_change.into_iter().enumerate() {
        let next = plane.operator(&format!("operator-{}", index + 1), &[]);
        reached(&plane, &format!("{wanted:?}"), |spec| phase(spec) == Some(wanted)).await;
        leader.kill();
        leader = next;
    }
    let done = reached(&plane, "all nodes run it", |spec| {
        spec.stable.isolation.hold_millis == 7_000 && spec.candidate.is_none()
    })
    .await;
    assert_eq!(done.rollout, None);
    programmed(&plane, reasons::PROGRAMMED).await;
    assert_eq!(phases(&plane), ["", "Canary", "Domain", "Widening", ""]);
}

#[tokio::test]
#[ignore = "needs the kubernetes binary of e2e/cluster (CONTINUITY_KUBERNETES)"]
async fn a_leader_that_dies_while_a_bad_change_is_tried_or_was_halted_changes_nothing_about_its_end() {
    let plane = Plane::alone("halted").await;
    let mut first = plane.operator("operator-0", &[]);
    let (agents, before) = in_force(&plane).await;
    agents.harmful.store(true, Ordering::Relaxed);
    let mut second = plane.operator("operator-1", &[]);
    change(&plane, 9).await;
    reached(&plane, "the bad change is tried", |spec| {
        phase(spec) == Some(RolloutPhase::Canary)
    })
    .await;
    first.kill();
    let halted = |spec: &EquivalencePlanSpec| phase(spec) == Some(RolloutPhase::Halted);
    let end = reached(&plane, "the next leader halts it", halted).await;
    assert_eq!((&end.stable, &end.candidate), (&before.stable, &None));
    let _third = plane.operator("operator-2", &[]);
    second.kill();
    // Longer than a Lease lasts: the next leader has looked at everything.
    tokio::time::sleep(Duration::from_secs(20)).await;
    let still = plan(&plane).await.spec;
    assert!(halted(&still), "{still:?}");
    assert_eq!(still.stable, before.stable);
    assert!(agents.most.load(Ordering::Relaxed) <= 3);
    assert_eq!(phases(&plane), ["", "Canary", "Halted"]);
}
