//! Full network halves of agents: the agent's own watches, records and derivation, each with a client of its own.
//!
//! Their kernel half is left out: the letters that a node loop would take are taken and thrown away.

use crate::error::Error;
use crate::figures::Watchers;
use crate::meter;
use crate::node::Lanes;
use crate::stage::Stage;
use continuity_agent::cluster::intake::Intake;
use continuity_agent::desire::Desired;
use continuity_agent::health::Board;
use continuity_agent::identity::Zone;
use continuity_agent::mailbox::{Mailbox, Wake};
use continuity_api::EquivalencePlan;
use kube::ResourceExt;
use kube::api::{Api, ListParams, Patch, PatchParams};
use serde_json::json;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::watch;
use tokio::task::AbortHandle;

/// Longest time for a network half to have everything.
const SYNC: Duration = Duration::from_secs(300);
/// Plans that are changed to see what a change costs.
const CHANGED: usize = 100;

/// A network half; dropping it ends it.
pub(crate) struct Half {
    inbox: Arc<Mailbox<Arc<Desired>>>,
    task: AbortHandle,
    /// Keeps the zone known.
    _zone: watch::Sender<Zone>,
    latest: Option<Arc<Desired>>,
}

impl Drop for Half {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Half {
    /// Starts one.
    pub(crate) async fn start(stage: &Stage, name: String) -> Result<Self, Error> {
        let client = stage.another_client().await?;
        let (zone, known) = watch::channel(Zone::Known(Some("zone-0".to_owned())));
        let inbox = Arc::new(Mailbox::default());
        let intake = Intake::new(&name, Vec::new(), Arc::clone(&inbox), Arc::new(Board::default()));
        let task = tokio::spawn(async move { intake.run(&client, known).await });
        Ok(Self {
            inbox,
            task: task.abort_handle(),
            _zone: zone,
            latest: None,
        })
    }

    /// The newest letter, if there has been one.
    fn latest(&mut self) -> Option<&Arc<Desired>> {
        while let Wake::Letter(letter) = self.inbox.wait(Instant::now()) {
            self.latest = Some(letter);
        }
        self.latest.as_ref()
    }

    fn lanes(&mut self) -> usize {
        self.latest().map_or(0, |desired| desired.lanes.len())
    }

    /// Generations of all its lanes added up: any change of a plan raises it.
    fn generations(&mut self) -> i64 {
        self.latest().map_or(0, |desired| {
            desired.lanes.values().map(|lane| lane.generation).sum()
        })
    }
}

/// The lanes of the cluster as one agent derives them, with every one of its `count` sets.
pub(crate) async fn lanes(stage: &Stage, count: usize) -> Result<Lanes, Error> {
    let mut half = Half::start(stage, "node-00000".to_owned()).await?;
    stage
        .until("an agent knows every set", SYNC, async || {
            (half.lanes() >= count).then_some(())
        })
        .await?;
    let desired = half.latest().cloned().unwrap_or_default();
    let lanes = desired.lanes.iter();
    Ok(Arc::new(
        lanes.map(|(key, lane)| (key.clone(), Arc::clone(lane))).collect(),
    ))
}

/// What `steps` numbers of network halves cost.
pub(crate) async fn measure(stage: &Stage, steps: &[usize], sets: usize) -> Result<Vec<Watchers>, Error> {
    let mut halves: Vec<Half> = Vec::new();
    let mut found = Vec::new();
    let own = meter::resident(std::process::id());
    for step in steps {
        let begun = Instant::now();
        while halves.len() < *step {
            halves.push(Half::start(stage, format!("half-{:03}", halves.len())).await?);
        }
        stage
            .until("every network half has every set", SYNC, async || {
                halves.iter_mut().all(|half| half.lanes() >= sets).then_some(())
            })
            .await?;
        let sync_seconds = begun.elapsed().as_secs_f64();
        let (plan_millis, plan_seconds) = change(stage, &mut halves).await?;
        let number = u32::try_from(*step).unwrap_or(1);
        found.push(Watchers {
            watchers: *step,
            sync_seconds,
            api_server_mib: stage.plane.api_id().map_or(0.0, meter::resident),
            half_mib: (meter::resident(std::process::id()) - own) / f64::from(number.max(1)),
            plan_millis,
            plan_seconds,
        });
    }
    Ok(found)
}

/// Changes plans and waits until every network half has heard of them all.
async fn change(stage: &Stage, halves: &mut [Half]) -> Result<(f64, f64), Error> {
    let plans: Api<EquivalencePlan> = Api::all(stage.client.clone());
    let least = ListParams::default().limit(u32::try_from(CHANGED).unwrap_or(u32::MAX));
    let found = plans.list(&least).await?.items;
    let before: Vec<i64> = halves.iter_mut().map(Half::generations).collect();
    let api_server = || stage.plane.api_id().map_or(0.0, meter::seconds);
    let (begun, cpu) = (Instant::now(), api_server());
    for plan in &found {
        let api: Api<EquivalencePlan> =
            Api::namespaced(stage.client.clone(), &plan.namespace().unwrap_or_default());
        // A quarter more active nodes, as the operator writes when traffic grows: no other digest.
        let active = plan.spec.advice.active_nodes + 1;
        let body = json!({"spec": {"advice": {"activeNodes": active}}});
        let parameters = PatchParams::default();
        api.patch(&plan.name_any(), &parameters, &Patch::Merge(&body))
            .await?;
    }
    let wanted = i64::try_from(found.len()).unwrap_or(i64::MAX);
    stage
        .until("every network half knows the changed plans", SYNC, async || {
            let mut known = halves.iter_mut().zip(&before);
            known
                .all(|(half, before)| half.generations() >= before + wanted)
                .then_some(())
        })
        .await?;
    let number = f64::from(u32::try_from(found.len()).unwrap_or(1).max(1));
    Ok((
        (api_server() - cpu) * 1_000.0 / number,
        begun.elapsed().as_secs_f64(),
    ))
}
