//! Hand-made inputs for tests: records, an inventory, a loop on the twin.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use continuity_dataplane::{Capacities, FailsafeTimes, Fallback, MemoryDataplane, Mode};
use continuity_field::SetConfig;
use kube::runtime::watcher::Event;

use crate::cluster::endpoint::{EndpointRecord, SlicePort, SliceRecord};
use crate::cluster::inventory::{Inventory, ObjectKey};
use crate::cluster::plan::{NodePolicy, PlanRecord};
use crate::cluster::service::{Exposure, ServiceKey, ServicePort, ServiceRecord, Transport};
use crate::desire::{Desired, desire};
use crate::lane::{Family, LaneKey, SlowAdvice};
use crate::node::NodeLoop;
use crate::select::Vantage;

/// This node, in zone "a".
pub(crate) const HERE: Vantage<'static> = Vantage {
    node: "node-1",
    zone: Some("a"),
    addresses: &[],
};

/// Wall time of every test.
pub(crate) const WALL: i64 = 1_800_000_000_000;

/// Key of the one plan.
pub(crate) fn plan_key() -> ObjectKey {
    ("shop".into(), "checkout-http-1".into())
}

/// Key of its IPv4 lane.
pub(crate) fn lane_key() -> LaneKey {
    LaneKey {
        namespace: "shop".into(),
        set: "checkout-http-1".into(),
        family: Family::V4,
    }
}

pub(crate) fn service_key() -> ServiceKey {
    ServiceKey::new("shop", "checkout")
}

pub(crate) fn plan(mode: Mode) -> PlanRecord {
    PlanRecord {
        service: service_key(),
        service_uid: "uid-1".into(),
        port: 80,
        label: "http".into(),
        transport: Transport::Tcp,
        digest: "digest-1".into(),
        generation: 1,
        epoch: 1,
        stable: NodePolicy {
            mode,
            law: SetConfig::default(),
            failsafe: FailsafeTimes::default(),
            fallback: Fallback::PassThrough,
            gate: None,
        },
        trial: None,
        advice: SlowAdvice {
            active_nodes: 3,
            report_spacing: Duration::from_secs(5),
            ..SlowAdvice::default()
        },
        record: None,
    }
}

pub(crate) fn service() -> ServiceRecord {
    ServiceRecord {
        uid: "uid-1".into(),
        exposure: Exposure::ClusterIp,
        addresses: Box::new([IpAddr::from([10, 96, 0, 7])]),
        externals: Box::default(),
        ports: Box::new([ServicePort {
            name: "http".into(),
            number: 80,
            node_port: None,
            transport: Transport::Tcp,
        }]),
        local_only: false,
        affinity: None,
    }
}

/// A ready endpoint 10.244.NODE.LAST on node-NODE.
pub(crate) fn endpoint(node: u8, last: u8) -> EndpointRecord {
    EndpointRecord {
        address: IpAddr::from([10, 244, node, last]),
        ready: true,
        serving: true,
        terminating: false,
        node: Some(format!("node-{node}").into()),
        zone: None,
        pod: Some(format!("checkout-{node}-{last}").into()),
        uid: continuity_sensors::PodId::new(&format!("00000000-0000-0000-{node:04}-{last:012}")),
        for_zones: Box::default(),
        for_nodes: Box::default(),
    }
}

pub(crate) fn slice(endpoints: Vec<EndpointRecord>) -> SliceRecord {
    SliceRecord {
        service: service_key(),
        ports: Box::new([SlicePort {
            name: "http".into(),
            number: 8080,
            transport: Transport::Tcp,
        }]),
        endpoints: endpoints.into_boxed_slice(),
    }
}

/// An inventory whose three lists are complete.
pub(crate) fn inventory(
    plan: PlanRecord,
    service: ServiceRecord,
    endpoints: Vec<EndpointRecord>,
) -> Inventory {
    let mut inventory = Inventory::default();
    inventory.plan(Event::Init);
    inventory.plan(Event::InitApply((plan_key(), Some(plan))));
    inventory.plan(Event::InitDone);
    inventory.services.begin();
    inventory.services.put(service_key(), service);
    inventory.services.finish();
    inventory.slices.begin();
    inventory
        .slices
        .put(("shop".into(), "checkout-abc".into()), slice(endpoints));
    inventory.slices.finish();
    inventory
}

/// What this node should do with these endpoints.
pub(crate) fn desired(mode: Mode, endpoints: Vec<EndpointRecord>) -> Arc<Desired> {
    Arc::new(desire(&inventory(plan(mode), service(), endpoints), HERE))
}

/// Three backends, the first on this node.
pub(crate) fn three() -> Vec<EndpointRecord> {
    vec![endpoint(1, 2), endpoint(2, 2), endpoint(3, 2)]
}

/// The address of [`endpoint`] of the same arguments.
pub(crate) fn address(node: u8, last: u8) -> SocketAddr {
    SocketAddr::from(([10, 244, node, last], 8080))
}

/// A loop on an empty twin.
pub(crate) fn node_loop() -> NodeLoop<MemoryDataplane> {
    NodeLoop::new(twin())
}

/// An empty twin.
pub(crate) fn twin() -> MemoryDataplane {
    let sizes = Capacities {
        sets: 16,
        backends: 256,
        services: 64,
        endpoints: 64,
        sockets: 1_024,
        shards: 1,
    };
    MemoryDataplane::in_memory(sizes).expect("a twin")
}
