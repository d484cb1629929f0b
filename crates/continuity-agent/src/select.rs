//! Which endpoints of a Service port take new connections from this node: kube-proxy's rules, as one pure function.
//!
//! The order is kube-proxy's (`pkg/proxy/topology.go`): ready endpoints, narrowed by hints when all ready ones carry them
//! and one names this node or zone; if none is left, those that terminate but still serve, hints set aside; with
//! `internalTrafficPolicy: Local` the same over this node's endpoints alone. Traffic must never depend on which of the
//! two systems answered, so a deviation here is a defect.
//!
//! Left out: which of the selected is good. That is the law's.

use std::net::IpAddr;

use crate::cluster::endpoint::EndpointRecord;

/// What a node must know of itself to read hints.
#[derive(Clone, Copy, Debug)]
pub struct Vantage<'a> {
    /// Name of this node.
    pub node: &'a str,
    /// Zone of this node; without one, zone hints are ignored.
    pub zone: Option<&'a str>,
    /// Addresses of this node, by which node ports are reached.
    pub addresses: &'a [IpAddr],
}

/// What narrows the choice.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Scope {
    /// `internalTrafficPolicy: Local`.
    pub local_only: bool,
    /// The policy says `topology: Follow`.
    pub follow_hints: bool,
}

/// The kind of endpoint that was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Grade {
    /// Ready endpoints.
    Ready,
    /// Nothing ready is left; these terminate but still serve.
    Terminating,
    /// None at all: connects get ECONNREFUSED.
    Empty,
}

/// The endpoints selected, in address order so that equal inputs give equal sets.
#[derive(Debug)]
pub struct Selection<'a> {
    /// Which kind they are.
    pub grade: Grade,
    /// The endpoints with the port each answers on.
    pub endpoints: Vec<(&'a EndpointRecord, u16)>,
}

/// How hints narrow the ready endpoints.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Topology {
    Everywhere,
    Zone,
    Node,
}

/// Selects among the endpoints of one port and one address family.
#[must_use]
pub fn select<'a>(
    endpoints: &[(&'a EndpointRecord, u16)],
    scope: Scope,
    vantage: Vantage<'_>,
) -> Selection<'a> {
    let in_reach =
        |endpoint: &EndpointRecord| !scope.local_only || endpoint.node.as_deref() == Some(vantage.node);
    let topology = if scope.follow_hints && !scope.local_only {
        topology(endpoints, vantage)
    } else {
        Topology::Everywhere
    };
    let ready = collect(endpoints, |endpoint| {
        in_reach(endpoint) && endpoint.ready && allowed(endpoint, topology, vantage)
    });
    if !ready.is_empty() {
        return Selection {
            grade: Grade::Ready,
            endpoints: ready,
        };
    }
    let leaving = collect(endpoints, |endpoint| {
        in_reach(endpoint) && endpoint.serving && endpoint.terminating
    });
    let grade = if leaving.is_empty() {
        Grade::Empty
    } else {
        Grade::Terminating
    };
    Selection {
        grade,
        endpoints: leaving,
    }
}

/// Filters, sorts and drops doubles: slices may for a moment hold one endpoint twice.
fn collect<'a>(
    endpoints: &[(&'a EndpointRecord, u16)],
    keep: impl Fn(&EndpointRecord) -> bool,
) -> Vec<(&'a EndpointRecord, u16)> {
    let mut kept: Vec<_> = endpoints
        .iter()
        .copied()
        .filter(|(endpoint, _)| keep(endpoint))
        .collect();
    let place = |&(endpoint, port): &(&EndpointRecord, u16)| -> (IpAddr, u16) { (endpoint.address, port) };
    kept.sort_by_key(place);
    kept.dedup_by_key(|entry| place(entry));
    kept
}

/// Hints count only when every ready endpoint carries them and at least one is meant for here.
fn topology(endpoints: &[(&EndpointRecord, u16)], vantage: Vantage<'_>) -> Topology {
    let ready = || {
        endpoints
            .iter()
            .map(|(endpoint, _)| endpoint)
            .filter(|endpoint| endpoint.ready)
    };
    if ready().next().is_none() {
        return Topology::Everywhere;
    }
    let node = ready().all(|endpoint| !endpoint.for_nodes.is_empty())
        && ready().any(|endpoint| endpoint.for_nodes.iter().any(|name| **name == *vantage.node));
    if node {
        return Topology::Node;
    }
    let zone = vantage.zone.is_some_and(|here| {
        ready().all(|endpoint| !endpoint.for_zones.is_empty())
            && ready().any(|endpoint| endpoint.for_zones.iter().any(|name| **name == *here))
    });
    if zone {
        Topology::Zone
    } else {
        Topology::Everywhere
    }
}

fn allowed(endpoint: &EndpointRecord, topology: Topology, vantage: Vantage<'_>) -> bool {
    match topology {
        Topology::Everywhere => true,
        Topology::Node => endpoint.for_nodes.iter().any(|name| **name == *vantage.node),
        Topology::Zone => vantage
            .zone
            .is_some_and(|here| endpoint.for_zones.iter().any(|name| **name == *here)),
    }
}

#[cfg(test)]
mod tests;
