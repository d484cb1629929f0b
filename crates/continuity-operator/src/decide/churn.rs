//! Ten thousand changes of everything at once: no decision ever crosses from one set to another, what is settled between
//! passes is what a look at everything would find, and the marks leave nothing out.

use crate::bind;
use crate::decide::{self, Intent, Memory, Write};
use crate::moment::Moment;
use crate::sample::{Scene, at, isolated, node, policy, report, service};
use crate::world::{Change, Key, World};
use continuity_api::node::{Regime, SetReport};
use continuity_api::target::TargetRef;
use continuity_api::{labels, set_name};
use k8s_openapi::api::discovery::v1::EndpointSlice;
use kube::runtime::watcher::Event;
use proptest::prelude::*;
use serde_json::json;
use std::collections::{BTreeMap, BTreeSet};

const NAMESPACES: [&str; 2] = ["shop", "desk"];
const SERVICES: [&str; 3] = ["web", "api", "pay"];
const PORTS: [&str; 2] = ["http", "admin"];
const NODES: [&str; 4] = ["n0", "n1", "n2", "n3"];

/// One change, by what it touches.
#[derive(Clone, Debug)]
enum Step {
    Service {
        space: usize,
        service: usize,
        ports: usize,
        uid: u8,
    },
    NoService {
        space: usize,
        service: usize,
    },
    Slice {
        space: usize,
        service: usize,
        pods: Vec<u8>,
    },
    Policy {
        space: usize,
        name: u8,
        target: usize,
        port: usize,
        hold: u8,
    },
    NoPolicy {
        space: usize,
        name: u8,
    },
    Report {
        node: usize,
        sets: Vec<(usize, usize, usize, bool, u8)>,
    },
    NoNode {
        node: usize,
    },
}

fn step() -> impl Strategy<Value = Step> {
    let place = || (0..NAMESPACES.len(), 0..SERVICES.len());
    let set = (
        0..NAMESPACES.len(),
        0..SERVICES.len(),
        0..PORTS.len(),
        any::<bool>(),
        0_u8..6,
    );
    prop_oneof![
        2 => (place(), 0..=PORTS.len(), 0_u8..2).prop_map(|((space, service), ports, uid)| Step::Service { space, service, ports, uid }),
        1 => place().prop_map(|(space, service)| Step::NoService { space, service }),
        2 => (place(), prop::collection::vec(0_u8..6, 0..4)).prop_map(|((space, service), pods)| Step::Slice { space, service, pods }),
        3 => (0..NAMESPACES.len(), 0_u8..4, 0..=SERVICES.len(), 0..=PORTS.len(), 0_u8..2)
            .prop_map(|(space, name, target, port, hold)| Step::Policy { space, name, target, port, hold }),
        1 => (0..NAMESPACES.len(), 0_u8..4).prop_map(|(space, name)| Step::NoPolicy { space, name }),
        5 => (0..NODES.len(), prop::collection::vec(set, 0..4)).prop_map(|(node, sets)| Step::Report { node, sets }),
        1 => (0..NODES.len()).prop_map(|node| Step::NoNode { node }),
    ]
}

/// A picture under churn, and what each set has been told of.
#[derive(Default)]
struct Churn {
    scene: Scene,
    memory: Memory,
    sequence: i64,
    /// Addresses that some node ever reported isolated for a set.
    blamed: BTreeMap<Key, BTreeSet<String>>,
}

impl Churn {
    fn take(&mut self, step: &Step, now: Moment) {
        self.sequence += 1;
        let change = match step {
            Step::Service {
                space,
                service: index,
                ports,
                uid,
            } => {
                let ports: Vec<_> = PORTS
                    .iter()
                    .take(*ports)
                    .enumerate()
                    .map(|(place, name)| json!({"name": name, "port": 80 + place}))
                    .collect();
                let mut made = service(
                    SERVICES[*index],
                    json!({"clusterIP": "10.96.0.10", "ports": ports}),
                );
                made.metadata.namespace = Some(NAMESPACES[*space].into());
                made.metadata.uid = Some(format!("uid-{space}-{index}-{uid}"));
                Change::Service(Event::Apply(made))
            }
            Step::NoService {
                space,
                service: index,
            } => {
                let mut gone = service(SERVICES[*index], json!({}));
                gone.metadata.namespace = Some(NAMESPACES[*space].into());
                Change::Service(Event::Delete(gone))
            }
            Step::Slice { space, service, pods } => {
                Change::Slice(Event::Apply(slice(*space, *service, pods)))
            }
            Step::Policy {
                space,
                name,
                target,
                port,
                hold,
            } => {
                let mut made = policy(&format!("p{name}"), i64::from(*name), &[]);
                made.metadata.namespace = Some(NAMESPACES[*space].into());
                made.spec.isolation.hold_seconds = Some(60 + i32::from(*hold));
                match SERVICES.get(*target) {
                    Some(service) => {
                        let target = PORTS.get(*port).map_or_else(
                            || TargetRef::service(service),
                            |port| TargetRef::port(service, port),
                        );
                        made.spec.target_refs = vec![target];
                    }
                    None => made.spec.target_selector = Some(Default::default()),
                }
                Change::Policy(Event::Apply(made))
            }
            Step::NoPolicy { space, name } => {
                let mut gone = policy(&format!("p{name}"), 0, &[]);
                gone.metadata.namespace = Some(NAMESPACES[*space].into());
                Change::Policy(Event::Delete(gone))
            }
            Step::Report { node: index, sets } => {
                let reports = sets.iter().map(|one| self.told(*one)).collect();
                Change::Node(Event::Apply(node(NODES[*index], self.sequence, reports)))
            }
            Step::NoNode { node: index } => Change::Node(Event::Delete(node(NODES[*index], 0, Vec::new()))),
        };
        self.scene.world.absorb(change, now);
    }

    /// What a node says about one set; the same address stands behind Services of both namespaces.
    fn told(&mut self, (space, service, port, bad, pod): (usize, usize, usize, bool, u8)) -> SetReport {
        let key = Key::new(NAMESPACES[space], &set_name(SERVICES[service], PORTS[port]));
        let address = format!("10.244.0.{pod}:8080");
        let mut told = SetReport {
            namespace: key.namespace.clone(),
            set: key.name.clone(),
            service: SERVICES[service].into(),
            port: PORTS[port].into(),
            ..report(100)
        };
        if bad {
            told.regime = Regime::Transition;
            told.backends = vec![isolated(&address)];
            self.blamed.entry(key).or_default().insert(address);
        }
        told
    }

    /// Passes until the marks are used up, as the main loop does; every decision is judged.
    fn pass(&mut self, now: Moment) {
        for round in 0.. {
            assert!(round < 12, "the passes never end");
            if !self.scene.world.marked() {
                return;
            }
            let marks = self.scene.world.take_marks();
            let world = &self.scene.world;
            let mut intents: Vec<Intent> = Vec::new();
            for key in &marks.services {
                intents.extend(decide::service(world, key, &mut self.memory, now));
            }
            intents.extend(
                marks
                    .policies
                    .iter()
                    .filter_map(|key| decide::policy(world, key, now)),
            );
            for intent in &intents {
                self.judge(intent);
            }
            for intent in intents {
                self.scene.store(&intent, now);
            }
        }
    }

    /// What is written to a set follows from its own Service, port and reports, and from nothing else.
    fn judge(&self, intent: &Intent) {
        let (key, world) = (&intent.slot.key, &self.scene.world);
        let blamed = |address: &str| self.blamed.get(key).is_some_and(|known| known.contains(address));
        match &intent.write {
            Write::Plan { spec, service_uid } => {
                assert_eq!(key.name, set_name(&spec.service.name, &spec.port.label));
                let service = Key::new(&key.namespace, &spec.service.name);
                let facts = world
                    .services
                    .get(&service)
                    .expect("a plan for a Service that is there");
                assert_eq!((&facts.uid, &facts.uid), (service_uid, &spec.service.uid));
                assert!(
                    facts.ports.iter().any(|port| port.identity == spec.port),
                    "{key}: another port"
                );
                for verdict in &spec.advice.verdicts {
                    assert!(
                        blamed(&verdict.address),
                        "{key}: {} was blamed elsewhere only",
                        verdict.address
                    );
                }
            }
            Write::Set { spec, .. } => {
                assert_eq!(key.name, set_name(&spec.service.name, &spec.port.label));
                assert!(
                    world
                        .services
                        .get(&Key::new(&key.namespace, &spec.service.name))
                        .is_some()
                );
            }
            Write::SetStatus(status) => {
                let heard = world.reports.get(key).map_or(0, BTreeMap::len);
                assert!(usize::try_from(status.nodes.reporting).unwrap() <= heard, "{key}");
                for backend in &status.isolated {
                    assert!(
                        blamed(&backend.address),
                        "{key}: {} was blamed elsewhere only",
                        backend.address
                    );
                }
            }
            Write::PolicyStatus(_) | Write::NodeTrust { .. } | Write::Delete { .. } | Write::Nothing => {}
        }
    }

    /// What is settled is what all policies of the namespace together give.
    fn settled_is_true(&self) {
        for (key, facts) in self.scene.world.services.iter() {
            for port in facts.ports.iter().filter(|port| port.steerable()) {
                let name =
                    |claim: Option<bind::Claim>| claim.and_then(|claim| claim.policy.metadata.name.clone());
                let told = name(bind::winner(&self.scene.world, key, facts, port));
                assert_eq!(told, first(&self.scene.world, key, facts, port), "{key}");
            }
        }
    }
}

/// The policy of a port by a look at every policy there is.
fn first(
    world: &World,
    key: &Key,
    facts: &crate::world::ServiceFacts,
    port: &crate::world::PortFacts,
) -> Option<String> {
    let ranked = world.policies_in(&key.namespace).filter_map(|policy| {
        let rank = bind::rank(policy, key, facts, port)?;
        let created = policy.metadata.creation_timestamp.as_ref().map(|time| time.0);
        Some((rank, created, policy.metadata.name.clone()))
    });
    ranked.min().and_then(|(_, _, name)| name)
}

fn slice(space: usize, service: usize, pods: &[u8]) -> EndpointSlice {
    let endpoint =
        |pod: &u8| json!({"addresses": [format!("10.244.0.{pod}")], "conditions": {"ready": true}});
    serde_json::from_value(json!({
        "metadata": {
            "name": format!("{}-a", SERVICES[service]), "namespace": NAMESPACES[space],
            "labels": {labels::SERVICE_NAME: SERVICES[service]},
        },
        "addressType": "IPv4",
        "ports": [{"name": "http", "port": 8080}, {"name": "admin", "port": 8081}],
        "endpoints": pods.iter().map(endpoint).collect::<Vec<_>>(),
    }))
    .unwrap()
}

proptest! {
    // 100 runs of 100 changes.
    #![proptest_config(ProptestConfig { cases: 100, ..ProptestConfig::default() })]

    #[test]
    fn no_decision_crosses_from_one_set_to_another_in_ten_thousand_changes(steps in prop::collection::vec(step(), 100)) {
        let mut churn = Churn { scene: Scene::new(), ..Churn::default() };
        for (index, step) in steps.iter().enumerate() {
            let now = at(1 + u64::try_from(index).unwrap());
            churn.take(step, now);
            churn.pass(now);
            churn.settled_is_true();
        }
        // A look at everything, at the same moment, finds nothing to steer by that the marks left out. How many nodes
        // there are is a figure of every status, and waits for that look.
        let now = at(u64::try_from(steps.len()).unwrap());
        let steers = |intent: &Intent| matches!(intent.write, Write::Set { .. } | Write::Plan { .. } | Write::Delete { .. });
        let intents = churn.scene.intents(&mut churn.memory, now);
        let left: Vec<_> = intents.into_iter().filter(steers).collect();
        prop_assert!(left.is_empty(), "{left:#?}");
    }
}
