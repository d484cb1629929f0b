//! Pictures to decide on, for tests: a Service `shop/web` with ports http and admin, policies, and reporting nodes.

use crate::moment::Moment;
use crate::world::{Change, Key, World};
use continuity_api::node::{BackendReport, BackendState, SetReport};
use continuity_api::target::TargetRef;
use continuity_api::{
    Condition, ContinuityNode, ContinuityNodeSpec, ContinuityNodeStatus, ContinuityPolicy,
    ContinuityPolicySpec, EquivalencePlan, EquivalenceSet, Time, conditions, labels, set_name,
};
use k8s_openapi::api::core::v1::Service;
use k8s_openapi::api::discovery::v1::EndpointSlice;
use k8s_openapi::jiff::Timestamp;
use kube::runtime::watcher::Event;
use serde_json::json;
use std::collections::BTreeMap;
use std::time::Duration;

pub(crate) const NAMESPACE: &str = "shop";

pub(crate) fn at(seconds: u64) -> Moment {
    let wall = 1_800_000_000 + i64::try_from(seconds).unwrap();
    Moment::new(
        Duration::from_secs(seconds),
        Timestamp::from_second(wall).unwrap(),
    )
}

pub(crate) fn key(name: &str) -> Key {
    Key::new(NAMESPACE, name)
}

pub(crate) fn set_key(service: &str, port: &str) -> Key {
    key(&set_name(service, port))
}

/// A Service from its spec.
pub(crate) fn service(name: &str, spec: serde_json::Value) -> Service {
    serde_json::from_value(json!({
        "metadata": {"name": name, "namespace": NAMESPACE, "uid": format!("uid-{name}"), "labels": {"app": name}},
        "spec": spec,
    }))
    .unwrap()
}

/// Service `web` with TCP ports http 80 and admin 81.
pub(crate) fn web() -> Service {
    service(
        "web",
        json!({
            "clusterIP": "10.96.0.10",
            "ports": [{"name": "http", "port": 80}, {"name": "admin", "port": 81}],
        }),
    )
}

/// A slice of `web` with `ready` ready and `down` not ready pods.
pub(crate) fn slice(ready: usize, down: usize) -> EndpointSlice {
    let endpoint = |index: usize| {
        json!({
            "addresses": [format!("10.244.0.{index}")],
            "conditions": {"ready": index < ready},
            "targetRef": {"kind": "Pod", "name": format!("web-{index}")},
        })
    };
    serde_json::from_value(json!({
        "metadata": {"name": "web-a", "namespace": NAMESPACE, "labels": {labels::SERVICE_NAME: "web"}},
        "addressType": "IPv4",
        "ports": [{"name": "http", "port": 8080}, {"name": "admin", "port": 8081}],
        "endpoints": (0..ready + down).map(endpoint).collect::<Vec<_>>(),
    }))
    .unwrap()
}

/// A policy, `age` seconds older than the epoch of these tests.
pub(crate) fn policy(name: &str, age: i64, targets: &[TargetRef]) -> ContinuityPolicy {
    let spec = ContinuityPolicySpec {
        target_refs: targets.to_vec(),
        ..ContinuityPolicySpec::default()
    };
    let mut policy = ContinuityPolicy::new(name, spec);
    policy.metadata.namespace = Some(NAMESPACE.into());
    policy.metadata.uid = Some(format!("uid-{name}"));
    policy.metadata.generation = Some(1);
    policy.metadata.creation_timestamp = Some(Time(Timestamp::from_second(1_800_000_000 - age).unwrap()));
    policy
}

/// A node that is ready and reports these sets.
pub(crate) fn node(name: &str, sequence: i64, sets: Vec<SetReport>) -> ContinuityNode {
    let mut node = ContinuityNode::new(name, ContinuityNodeSpec {});
    let ready = Condition {
        type_: conditions::READY.into(),
        status: conditions::TRUE.into(),
        reason: "Attached".into(),
        message: String::new(),
        observed_generation: None,
        last_transition_time: at(0).time(),
    };
    node.status = Some(ContinuityNodeStatus {
        conditions: vec![ready],
        sequence,
        sets,
        ..ContinuityNodeStatus::default()
    });
    node
}

/// A report of port http of `web` with this offered rate, per second.
pub(crate) fn report(offered: i64) -> SetReport {
    SetReport {
        namespace: NAMESPACE.into(),
        set: set_name("web", "http"),
        service: "web".into(),
        port: "http".into(),
        mode: continuity_api::policy::Mode::Enforce,
        offered_milli_per_second: offered * 1_000,
        steered_milli_per_second: offered * 1_000,
        accepted_milli_per_second: offered * 1_000,
        pressure_milli: 1_000,
        p50_micros: 20_000,
        p99_micros: 70_000,
        ..SetReport::default()
    }
}

/// An isolated backend.
pub(crate) fn isolated(address: &str) -> BackendReport {
    BackendReport {
        address: address.into(),
        pod: "web-0".into(),
        node: "node-2".into(),
        state: BackendState::Isolated,
        reason: "answers in 512 ms, its peers in 21 ms".into(),
        since: Some(at(10).time()),
        keep_alive: 3,
        ..BackendReport::default()
    }
}

/// A picture that is built step by step.
#[derive(Default)]
pub(crate) struct Scene {
    pub(crate) world: World,
}

impl Scene {
    /// `web` with five of five backends, and every list delivered.
    pub(crate) fn new() -> Self {
        let mut scene = Self::default();
        for change in [
            Change::Service(Event::Init),
            Change::Slice(Event::Init),
            Change::Policy(Event::Init),
            Change::Set(Event::Init),
            Change::Plan(Event::Init),
            Change::Node(Event::Init),
        ] {
            scene.world.absorb(change, at(0));
        }
        scene = scene.service(web()).slice(slice(5, 0));
        for change in [
            Change::Service(Event::InitDone),
            Change::Slice(Event::InitDone),
            Change::Policy(Event::InitDone),
            Change::Set(Event::InitDone),
            Change::Plan(Event::InitDone),
            Change::Node(Event::InitDone),
        ] {
            scene.world.absorb(change, at(0));
        }
        scene
    }

    pub(crate) fn service(mut self, service: Service) -> Self {
        self.world.absorb(Change::Service(Event::Apply(service)), at(0));
        self
    }

    pub(crate) fn slice(mut self, slice: EndpointSlice) -> Self {
        self.world.absorb(Change::Slice(Event::Apply(slice)), at(0));
        self
    }

    pub(crate) fn policy(mut self, policy: ContinuityPolicy) -> Self {
        self.world.absorb(Change::Policy(Event::Apply(policy)), at(0));
        self
    }

    pub(crate) fn node(mut self, node: ContinuityNode) -> Self {
        self.world.absorb(Change::Node(Event::Apply(node)), at(0));
        self
    }

    /// Stores what the decisions ask for, as the API server would, until they ask for nothing more.
    pub(crate) fn settled(mut self, now: Moment) -> Self {
        let mut memory = crate::decide::Memory::default();
        for round in 0.. {
            assert!(round < 5, "decisions never settle");
            let intents = self.intents(&mut memory, now);
            if intents
                .iter()
                .all(|intent| intent.write == crate::decide::Write::Nothing)
            {
                return self;
            }
            for intent in intents {
                self.store(&intent, now);
            }
        }
        self
    }

    pub(crate) fn intents(
        &self,
        memory: &mut crate::decide::Memory,
        now: Moment,
    ) -> Vec<crate::decide::Intent> {
        let mut intents = Vec::new();
        let mut services: Vec<Key> = self.world.services.keys().cloned().collect();
        services.extend(
            self.world
                .sets
                .iter()
                .map(|(key, set)| Key::new(&key.namespace, &set.spec.service.name)),
        );
        services.sort();
        services.dedup();
        for service in &services {
            intents.extend(crate::decide::service(&self.world, service, memory, now));
        }
        for policy in self.world.policies.keys() {
            intents.extend(crate::decide::policy(&self.world, policy, now));
        }
        intents
    }

    pub(crate) fn store(&mut self, intent: &crate::decide::Intent, now: Moment) {
        use crate::decide::{Aspect, Write};
        let Key { namespace, name } = intent.slot.key.clone();
        let labelled = |uid: &str, service: &str| kube::api::ObjectMeta {
            name: Some(name.clone()),
            namespace: Some(namespace.clone()),
            uid: Some(format!("uid-{name}")),
            generation: Some(1),
            labels: Some(BTreeMap::from([(
                labels::MANAGED_BY.into(),
                labels::MANAGED_BY_OPERATOR.into(),
            )])),
            owner_references: Some(vec![
                k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference {
                    uid: uid.into(),
                    name: service.into(),
                    ..Default::default()
                },
            ]),
            ..Default::default()
        };
        let change = match &intent.write {
            Write::Nothing | Write::NodeTrust { .. } => return,
            Write::Set { spec, service_uid } => {
                let status = self
                    .world
                    .sets
                    .get(&intent.slot.key)
                    .and_then(|set| set.status.clone());
                let metadata = labelled(service_uid, &spec.service.name);
                Change::Set(Event::Apply(EquivalenceSet {
                    metadata,
                    spec: spec.as_ref().clone(),
                    status,
                }))
            }
            Write::Plan { spec, service_uid } => {
                let metadata = labelled(service_uid, &spec.service.name);
                Change::Plan(Event::Apply(EquivalencePlan {
                    metadata,
                    spec: spec.as_ref().clone(),
                }))
            }
            Write::SetStatus(status) => {
                let mut set = self.world.sets.get(&intent.slot.key).unwrap().as_ref().clone();
                set.status = Some(status.as_ref().clone());
                Change::Set(Event::Apply(set))
            }
            Write::PolicyStatus(status) => {
                let mut policy = self
                    .world
                    .policies
                    .get(&intent.slot.key)
                    .unwrap()
                    .as_ref()
                    .clone();
                policy.status = Some(status.as_ref().clone());
                Change::Policy(Event::Apply(policy))
            }
            Write::Delete { .. } if intent.slot.aspect == Aspect::Plan => {
                let plan = self.world.plans.get(&intent.slot.key).unwrap().as_ref().clone();
                Change::Plan(Event::Delete(plan))
            }
            Write::Delete { .. } => {
                let set = self.world.sets.get(&intent.slot.key).unwrap().as_ref().clone();
                Change::Set(Event::Delete(set))
            }
        };
        self.world.absorb(change, now);
    }
}
