use std::sync::Arc;

use proptest::prelude::*;

use super::*;

/// An endpoint in one line: address' last byte, then letters: r ready, s serving, t terminating, l on this node.
fn endpoint(last: u8, conditions: &str) -> EndpointRecord {
    EndpointRecord {
        address: IpAddr::from([10, 244, 0, last]),
        ready: conditions.contains('r'),
        serving: conditions.contains('s') || conditions.contains('r'),
        terminating: conditions.contains('t'),
        node: Some(Arc::from(if conditions.contains('l') { "here" } else { "there" })),
        zone: None,
        pod: None,
        uid: None,
        for_zones: Box::default(),
        for_nodes: Box::default(),
    }
}

fn zoned(last: u8, conditions: &str, zones: &[&str]) -> EndpointRecord {
    EndpointRecord {
        for_zones: zones.iter().map(|zone| Arc::from(*zone)).collect(),
        ..endpoint(last, conditions)
    }
}

fn noded(last: u8, conditions: &str, nodes: &[&str]) -> EndpointRecord {
    EndpointRecord {
        for_nodes: nodes.iter().map(|node| Arc::from(*node)).collect(),
        ..endpoint(last, conditions)
    }
}

const CLUSTER: Scope = Scope {
    local_only: false,
    follow_hints: true,
};
const LOCAL: Scope = Scope {
    local_only: true,
    follow_hints: true,
};
const IGNORE: Scope = Scope {
    local_only: false,
    follow_hints: false,
};
const HERE: Vantage<'static> = Vantage {
    node: "here",
    zone: Some("a"),
    addresses: &[],
};
const NOWHERE: Vantage<'static> = Vantage {
    node: "here",
    zone: None,
    addresses: &[],
};

fn picked(endpoints: &[EndpointRecord], scope: Scope, vantage: Vantage<'_>) -> (Grade, Vec<u8>) {
    let input: Vec<_> = endpoints.iter().map(|endpoint| (endpoint, 8080)).collect();
    let selection = select(&input, scope, vantage);
    let last = |address: IpAddr| match address {
        IpAddr::V4(v4) => v4.octets()[3],
        IpAddr::V6(_) => 0,
    };
    (
        selection.grade,
        selection
            .endpoints
            .iter()
            .map(|(endpoint, _)| last(endpoint.address))
            .collect(),
    )
}

/// What it shows, the endpoints, what narrows them, from where, and who is selected.
type Row = (
    &'static str,
    Vec<EndpointRecord>,
    Scope,
    Vantage<'static>,
    (Grade, Vec<u8>),
);

#[test]
fn selects_as_kube_proxy_does() {
    let table: Vec<Row> = vec![
        ("no endpoint", vec![], CLUSTER, HERE, (Grade::Empty, vec![])),
        (
            "ready ones only",
            vec![endpoint(2, "r"), endpoint(1, "r"), endpoint(3, "")],
            CLUSTER,
            HERE,
            (Grade::Ready, vec![1, 2]),
        ),
        (
            "terminating ones rest while one is ready",
            vec![endpoint(1, "st"), endpoint(2, "r")],
            CLUSTER,
            HERE,
            (Grade::Ready, vec![2]),
        ),
        (
            "terminating and serving when none is ready",
            vec![endpoint(1, "st"), endpoint(2, "t"), endpoint(3, "s")],
            CLUSTER,
            HERE,
            (Grade::Terminating, vec![1]),
        ),
        (
            "not ready and not terminating is nobody",
            vec![endpoint(1, "s")],
            CLUSTER,
            HERE,
            (Grade::Empty, vec![]),
        ),
        (
            "publishNotReadyAddresses marks a terminating one ready",
            vec![endpoint(1, "rst"), endpoint(2, "r")],
            CLUSTER,
            HERE,
            (Grade::Ready, vec![1, 2]),
        ),
        (
            "local only",
            vec![endpoint(1, "rl"), endpoint(2, "r")],
            LOCAL,
            HERE,
            (Grade::Ready, vec![1]),
        ),
        (
            "local with none here refuses",
            vec![endpoint(2, "r")],
            LOCAL,
            HERE,
            (Grade::Empty, vec![]),
        ),
        (
            "local falls to its own terminating ones, never to another node's ready ones",
            vec![endpoint(1, "stl"), endpoint(2, "r")],
            LOCAL,
            HERE,
            (Grade::Terminating, vec![1]),
        ),
        (
            "zone hints",
            vec![
                zoned(1, "r", &["a"]),
                zoned(2, "r", &["b"]),
                zoned(3, "r", &["a", "b"]),
            ],
            CLUSTER,
            HERE,
            (Grade::Ready, vec![1, 3]),
        ),
        (
            "zone hints are ignored when one ready endpoint has none",
            vec![zoned(1, "r", &["a"]), endpoint(2, "r")],
            CLUSTER,
            HERE,
            (Grade::Ready, vec![1, 2]),
        ),
        (
            "zone hints are ignored when none is for this zone",
            vec![zoned(1, "r", &["b"]), zoned(2, "r", &["c"])],
            CLUSTER,
            HERE,
            (Grade::Ready, vec![1, 2]),
        ),
        (
            "zone hints are ignored on a node without a zone",
            vec![zoned(1, "r", &["a"]), zoned(2, "r", &["b"])],
            CLUSTER,
            NOWHERE,
            (Grade::Ready, vec![1, 2]),
        ),
        (
            "the policy can say to ignore hints",
            vec![zoned(1, "r", &["a"]), zoned(2, "r", &["b"])],
            IGNORE,
            HERE,
            (Grade::Ready, vec![1, 2]),
        ),
        (
            "hints of endpoints that are not ready do not count",
            vec![zoned(1, "r", &["a"]), endpoint(2, "")],
            CLUSTER,
            HERE,
            (Grade::Ready, vec![1]),
        ),
        (
            "terminating fallback sets hints aside",
            vec![zoned(1, "st", &["b"]), zoned(2, "", &["a"])],
            CLUSTER,
            HERE,
            (Grade::Terminating, vec![1]),
        ),
        (
            "node hints come before zone hints",
            vec![noded(1, "r", &["here"]), noded(2, "r", &["there"])],
            CLUSTER,
            HERE,
            (Grade::Ready, vec![1]),
        ),
        (
            "local policy looks at no hint",
            vec![zoned(1, "rl", &["b"]), zoned(2, "r", &["a"])],
            LOCAL,
            HERE,
            (Grade::Ready, vec![1]),
        ),
        (
            "an endpoint in two slices counts once",
            vec![endpoint(1, "r"), endpoint(1, "r")],
            CLUSTER,
            HERE,
            (Grade::Ready, vec![1]),
        ),
    ];
    for (name, endpoints, scope, vantage, expected) in table {
        assert_eq!(picked(&endpoints, scope, vantage), expected, "{name}");
    }
}

fn any_endpoint() -> impl Strategy<Value = EndpointRecord> {
    let zones = prop::collection::vec(prop::sample::select(vec!["a", "b", "c"]), 0..3);
    (any::<u8>(), "[rstl]{0,4}", zones).prop_map(|(last, conditions, zones)| zoned(last, &conditions, &zones))
}

proptest! {
    #[test]
    fn a_ready_endpoint_in_scope_is_never_turned_into_a_refusal(
        endpoints in prop::collection::vec(any_endpoint(), 0..20), follow in any::<bool>(),
    ) {
        let (grade, chosen) = picked(&endpoints, Scope { local_only: false, follow_hints: follow }, HERE);
        let ready = endpoints.iter().any(|endpoint| endpoint.ready);
        prop_assert_eq!(ready, grade == Grade::Ready);
        prop_assert_eq!(chosen.is_empty(), grade == Grade::Empty);
    }

    #[test]
    fn the_order_of_slices_does_not_matter(mut endpoints in prop::collection::vec(any_endpoint(), 0..12)) {
        // Doubles of one address with other conditions are a race between slices, not an order.
        endpoints.sort_by_key(|endpoint| endpoint.address);
        endpoints.dedup_by_key(|endpoint| endpoint.address);
        let forward = picked(&endpoints, CLUSTER, HERE);
        endpoints.reverse();
        prop_assert_eq!(forward, picked(&endpoints, CLUSTER, HERE));
    }
}
