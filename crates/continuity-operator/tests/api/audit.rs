//! What the API server's audit log says about who wrote what: each thing once, and nobody after he was deposed.

use crate::plane::{Plane, Process, eventually};
use crate::watching::{plans, policies};
use continuity_api::EquivalencePlan;
use kube::ResourceExt;
use kube::api::{Patch, PatchParams};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::time::Duration;

const SERVICES: usize = 30;
const PATIENCE: Duration = Duration::from_secs(90);

/// A write to a plan that the API server answered.
#[derive(Clone, Debug)]
pub(crate) struct Answered {
    pub(crate) plan: String,
    pub(crate) code: i64,
    pub(crate) message: String,
    pub(crate) epoch: i64,
    pub(crate) generation: i64,
    pub(crate) phase: String,
}

impl Answered {
    pub(crate) fn accepted(&self) -> bool {
        (200..300).contains(&self.code)
    }

    /// Its sender was gone before the answer; it may have been stored.
    pub(crate) fn cut_off(&self) -> bool {
        self.code == 504
    }
}

/// Writes to plans by the operator, in the order of the log.
pub(crate) fn plan_writes(plane: &Plane) -> Vec<Answered> {
    let text = |event: &Value, pointer: &str| {
        let found = event.pointer(pointer).and_then(Value::as_str);
        found.unwrap_or_default().to_owned()
    };
    let number = |event: &Value, pointer: &str| event.pointer(pointer).and_then(Value::as_i64).unwrap_or(0);
    let of = |event: Value| Answered {
        plan: text(&event, "/objectRef/name"),
        code: number(&event, "/responseStatus/code"),
        message: text(&event, "/responseStatus/message"),
        epoch: number(&event, "/requestObject/spec/writerEpoch"),
        generation: number(&event, "/requestObject/spec/policy/generation"),
        phase: text(&event, "/requestObject/spec/rollout/phase"),
    };
    let events = plane.audit().into_iter();
    events
        .filter(|event| text(event, "/objectRef/resource") == "equivalenceplans")
        .filter(|event| text(event, "/requestURI").contains("fieldManager=continuity-operator"))
        .map(of)
        .collect()
}

/// A Service with a policy of its own.
fn followed(index: usize) -> String {
    format!(
        "
apiVersion: v1
kind: Service
metadata: {{name: web-{index}, namespace: shop}}
spec: {{selector: {{app: web-{index}}}, ports: [{{name: http, port: 80}}]}}
---
apiVersion: continuity.nity.io/v1alpha1
kind: ContinuityPolicy
metadata: {{name: web-{index}, namespace: shop}}
spec: {{targetRefs: [{{kind: Service, name: web-{index}}}], mode: Enforce}}
"
    )
}

/// Waits until every plan is of this generation of its policy.
async fn planned(plane: &Plane, generation: i64) {
    let look = async || {
        let all = plans(plane).list(&Default::default()).await.ok()?.items;
        let at = |plan: &EquivalencePlan| plan.spec.policy.generation == generation;
        (all.len() == SERVICES && all.iter().all(at)).then_some(())
    };
    eventually(&format!("all plans of generation {generation}"), PATIENCE, look).await;
}

async fn change(plane: &Plane, index: usize, hold: i64) {
    let patch = json!({"spec": {"isolation": {"holdSeconds": hold}}});
    policies(plane)
        .patch(
            &format!("web-{index}"),
            &PatchParams::default(),
            &Patch::Merge(&patch),
        )
        .await
        .unwrap();
}

#[tokio::test]
#[ignore = "needs the kubernetes binary of e2e/cluster (CONTINUITY_KUBERNETES)"]
async fn accepted_writes_of_a_plan_and_a_generation_are_one_across_leader_changes() {
    let plane = Plane::alone("audit").await;
    let mut leader: Process = plane.operator("operator-0", &[]);
    for index in 0..SERVICES {
        plane.apply(&followed(index)).await;
    }
    planned(&plane, 1).await;
    for round in 1..=2 {
        let next = plane.operator(&format!("operator-{round}"), &[]);
        for index in 0..SERVICES {
            change(&plane, index, 5 + round).await;
            if index == SERVICES / 2 {
                leader.kill();
            }
        }
        leader = next;
        planned(&plane, 1 + round).await;
    }
    let names: Vec<String> = plans(&plane)
        .list(&Default::default())
        .await
        .unwrap()
        .iter()
        .map(ResourceExt::name_any)
        .collect();
    let mut keys: BTreeMap<(String, i64), usize> = BTreeMap::new();
    let writes = plan_writes(&plane);
    for write in &writes {
        let count = keys.entry((write.plan.clone(), write.generation)).or_default();
        *count += usize::from(write.accepted());
    }
    // A generation may be passed over while nobody leads; what is there at the end was asked for, and nothing twice. A request
    // that its sender's death cut off stands in the log as one that was not answered, stored or not.
    assert!(
        names.iter().all(|name| keys.contains_key(&(name.clone(), 3))),
        "{keys:?}"
    );
    let twice: Vec<_> = keys.iter().filter(|(_, count)| **count > 1).collect();
    assert!(twice.is_empty(), "{twice:?}");
    let once = keys.values().filter(|count| **count == 1).count();
    assert!(once > 2 * SERVICES, "{once} of {} were answered", keys.len());
    let mut epochs: BTreeMap<&str, i64> = BTreeMap::new();
    for write in writes.iter().filter(|write| write.accepted()) {
        let before = epochs.insert(&write.plan, write.epoch).unwrap_or(0);
        assert!(before <= write.epoch, "{write:?} after epoch {before}");
    }
}
