use continuity_dataplane::Mode;

use super::*;
use crate::cluster::plan::NodePolicy;
use crate::fixture::{HERE, endpoint, inventory, lane_key, plan, service, three};
use crate::select::Grade;

fn only(inventory: &Inventory) -> Lane {
    let desired = desire(inventory, HERE);
    assert_eq!(desired.lanes.len(), 1, "{:?}", desired.idle);
    Lane::clone(&desired.lanes[&lane_key()])
}

fn cause(plan: PlanRecord, service: ServiceRecord) -> Cause {
    let desired = desire(&inventory(plan, service, three()), HERE);
    assert!(desired.lanes.is_empty());
    desired.idle[0].cause
}

#[test]
fn a_plan_becomes_a_lane_with_the_services_address_and_its_endpoints() {
    let lane = only(&inventory(plan(Mode::Enforce), service(), three()));
    assert_eq!(lane.frontends[0].to_string(), "10.96.0.7:80");
    let addresses: Vec<String> = lane
        .backends
        .iter()
        .map(|backend| backend.address.to_string())
        .collect();
    assert_eq!(
        addresses,
        ["10.244.1.2:8080", "10.244.2.2:8080", "10.244.3.2:8080"]
    );
    assert_eq!(lane.backends[0].locality, Locality::Node);
    assert_eq!(lane.backends[1].locality, Locality::Elsewhere);
    assert_eq!((lane.mode, lane.grade), (Mode::Enforce, Grade::Ready));
}

#[test]
fn a_dual_stack_service_has_a_lane_for_each_family() {
    let addresses = ["10.96.0.7", "fd00:10:96::7"].map(|text| text.parse().expect("an address"));
    let dual = ServiceRecord {
        addresses: Box::new(addresses),
        ..service()
    };
    let v6 = EndpointRecord {
        address: "fd00:10:244::2".parse().expect("an address"),
        ..endpoint(1, 2)
    };
    let mut endpoints = three();
    endpoints.push(v6);
    let desired = desire(&inventory(plan(Mode::Enforce), dual, endpoints), HERE);
    let sizes: Vec<(Family, usize)> = desired
        .lanes
        .iter()
        .map(|(key, lane)| (key.family, lane.backends.len()))
        .collect();
    assert_eq!(sizes, [(Family::V4, 3), (Family::V6, 1)]);
}

#[test]
fn endpoints_that_are_leaving_or_not_ready_stay_out_of_service_in_the_lane() {
    let mut endpoints = three();
    endpoints[1].ready = false;
    endpoints[2].ready = false;
    endpoints[2].terminating = true;
    let lane = only(&inventory(plan(Mode::Enforce), service(), endpoints));
    let in_service: Vec<bool> = lane.backends.iter().map(|backend| backend.in_service).collect();
    assert_eq!(in_service, [true, false, false]);
}

#[test]
fn a_service_without_endpoints_is_a_lane_that_refuses() {
    let lane = only(&inventory(plan(Mode::Enforce), service(), Vec::new()));
    assert_eq!(lane.grade, Grade::Empty);
    assert!(lane.backends.is_empty());
}

#[test]
fn a_plan_that_cannot_be_carried_out_says_why() {
    let made_again = ServiceRecord {
        uid: "uid-2".into(),
        ..service()
    };
    assert_eq!(cause(plan(Mode::Enforce), made_again), Cause::ServiceGone);
    let headless = ServiceRecord {
        exposure: Exposure::Headless,
        ..service()
    };
    assert_eq!(cause(plan(Mode::Enforce), headless), Cause::Headless);
    let alias = ServiceRecord {
        exposure: Exposure::ExternalName,
        ..service()
    };
    assert_eq!(cause(plan(Mode::Enforce), alias), Cause::ExternalName);
    let renumbered = PlanRecord {
        port: 81,
        ..plan(Mode::Enforce)
    };
    assert_eq!(cause(renumbered, service()), Cause::PortGone);
    let stream = PlanRecord {
        transport: Transport::Sctp,
        ..plan(Mode::Enforce)
    };
    assert_eq!(cause(stream, service()), Cause::Transport);
}

/// A Service that is reached from outside too, on a node with two addresses.
fn exposed() -> ServiceRecord {
    ServiceRecord {
        externals: Box::new(["192.0.2.7", "2001:db8::7"].map(|text| text.parse().expect("an address"))),
        ports: Box::new([ServicePort {
            name: "http".into(),
            number: 80,
            node_port: Some(30_080),
            transport: Transport::Tcp,
        }]),
        ..service()
    }
}

fn reach(service: ServiceRecord) -> (Vec<String>, Vec<String>) {
    let addresses = ["172.18.0.2", "fd00:18::2"].map(|text| text.parse().expect("an address"));
    let vantage = Vantage {
        addresses: &addresses,
        ..HERE
    };
    let desired = desire(&inventory(plan(Mode::Enforce), service, three()), vantage);
    let lane = &desired.lanes[&lane_key()];
    let text = |addresses: &[SocketAddr]| addresses.iter().map(SocketAddr::to_string).collect();
    (text(&lane.frontends), text(&lane.guards))
}

#[test]
fn addresses_from_outside_and_node_ports_of_the_lanes_family_lead_to_it() {
    let (frontends, guards) = reach(exposed());
    assert_eq!(frontends, ["10.96.0.7:80", "192.0.2.7:80", "172.18.0.2:30080"]);
    assert_eq!(guards, ["172.18.0.2:30080", "0.0.0.0:30080"]);
}

#[test]
fn with_local_internal_traffic_only_the_cluster_ip_is_ours() {
    let local = ServiceRecord {
        local_only: true,
        ..exposed()
    };
    assert_eq!(reach(local), (vec!["10.96.0.7:80".to_owned()], Vec::new()));
}

#[test]
fn affinity_and_transport_reach_the_lane() {
    let sticky = ServiceRecord {
        affinity: Some(std::time::Duration::from_secs(60)),
        ..service()
    };
    let lane = only(&inventory(plan(Mode::Enforce), sticky, three()));
    assert_eq!(lane.affinity, Some(std::time::Duration::from_secs(60)));
    assert_eq!(lane.protocol, Protocol::Tcp);
    let datagram = PlanRecord {
        transport: Transport::Udp,
        ..plan(Mode::Enforce)
    };
    let mut ports = exposed().ports;
    ports[0].transport = Transport::Udp;
    let service = ServiceRecord { ports, ..exposed() };
    let lane = only(&inventory(datagram, service, three()));
    assert_eq!(lane.protocol, Protocol::Udp);
}

#[test]
fn every_refusal_fits_the_report_and_says_what_happens_to_traffic_or_why() {
    let causes = [
        Cause::ServiceGone,
        Cause::PortGone,
        Cause::Transport,
        Cause::Headless,
        Cause::ExternalName,
        Cause::Pending,
        Cause::TooManyBackends,
    ];
    for cause in causes {
        assert!((20..=256).contains(&cause.sentence().len()), "{cause:?}");
    }
}

#[test]
fn a_renamed_service_port_is_joined_with_the_slices_by_its_name() {
    let ports = Box::new([ServicePort {
        name: "web".into(),
        number: 80,
        node_port: None,
        transport: Transport::Tcp,
    }]);
    let renamed = ServiceRecord { ports, ..service() };
    let lane = only(&inventory(plan(Mode::Enforce), renamed, three()));
    assert_eq!(lane.grade, Grade::Empty, "the slices still speak of the old name");
}

#[test]
fn only_nodes_that_a_trial_names_run_its_policy() {
    let tried = plan(Mode::Observe);
    let candidate = NodePolicy {
        mode: Mode::Enforce,
        ..tried.stable.clone()
    };
    let with = |nodes: &[&str], zones: &[&str]| PlanRecord {
        trial: Some(crate::cluster::plan::Trial::of(candidate.clone(), nodes, zones)),
        ..plan(Mode::Observe)
    };
    let mode = |plan: PlanRecord| only(&inventory(plan, service(), three())).mode;
    assert_eq!(mode(with(&["node-1"], &[])), Mode::Enforce);
    assert_eq!(mode(with(&["node-2"], &[])), Mode::Observe);
    assert_eq!(mode(with(&[], &["a"])), Mode::Enforce);
}

#[test]
fn the_same_inventory_gives_the_same_desired_state() {
    let one = desire(&inventory(plan(Mode::Enforce), service(), three()), HERE);
    let mut turned = three();
    turned.reverse();
    assert_eq!(
        one,
        desire(&inventory(plan(Mode::Enforce), service(), turned), HERE)
    );
}
