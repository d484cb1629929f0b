//! Backends that are not in plain rotation, put together from what each node says of them.

use super::facts::Facts;
use continuity_api::node::{BackendReport, BackendState, NEW_BACKEND, SetReport};
use jiff::Timestamp;
use std::collections::BTreeMap;

/// One backend that at least one node keeps out or lets return.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Sick {
    /// `ip:port` that most nodes act on; a pod of two families has one of each.
    pub(super) address: String,
    /// Its other addresses.
    pub(super) also: Vec<String>,
    /// Pod behind it; empty if none.
    pub(super) pod: String,
    /// Node of that pod; empty if not known.
    pub(super) node: String,
    /// The state most traffic meets.
    pub(super) state: BackendState,
    /// Why, in the words of the node that acted first.
    pub(super) reason: String,
    /// When the first node acted.
    pub(super) since: Option<Timestamp>,
    /// Its share of new connections over all nodes, weighted by their traffic; unknown without reports.
    pub(super) share_ppm: Option<i64>,
    /// Nodes that keep it out or let it return.
    pub(super) agreeing: i64,
    /// Nodes that report the set.
    pub(super) reporting: i64,
    /// Long-lived connections on it.
    pub(super) keep_alive: i64,
}

impl Sick {
    /// It is not in plain rotation because it is new; nobody blames it.
    pub(super) fn is_new(&self) -> bool {
        self.state == BackendState::Returning && self.reason == NEW_BACKEND
    }
}

/// Worst first: isolated before returning, longest first.
pub(super) fn sick(facts: &Facts) -> Vec<Sick> {
    let reports: Vec<&SetReport> = facts
        .nodes
        .iter()
        .filter_map(|node| node.report.as_ref())
        .collect();
    let mut found = if reports.is_empty() {
        from_status(facts)
    } else {
        from_reports(&reports)
    };
    found = by_pod(found);
    // What is new is no trouble and stands last.
    found.sort_by(|a, b| {
        let rank = |sick: &Sick| (sick.is_new(), sick.state != BackendState::Isolated);
        (rank(a), a.since.is_none(), a.since, &a.address).cmp(&(
            rank(b),
            b.since.is_none(),
            b.since,
            &b.address,
        ))
    });
    found
}

fn from_status(facts: &Facts) -> Vec<Sick> {
    let Some(status) = &facts.set.status else {
        return Vec::new();
    };
    status
        .isolated
        .iter()
        .map(|backend| Sick {
            address: backend.address.clone(),
            also: backend.also.clone(),
            pod: backend.pod.clone(),
            node: backend.node.clone(),
            state: BackendState::Isolated,
            reason: backend.reason.clone(),
            since: backend.since.as_ref().map(|time| time.0),
            share_ppm: None,
            agreeing: i64::from(backend.agreeing_nodes),
            reporting: i64::from(backend.reporting_nodes),
            keep_alive: backend.keep_alive,
        })
        .collect()
}

fn from_reports(reports: &[&SetReport]) -> Vec<Sick> {
    let mut views: BTreeMap<&str, Vec<(&SetReport, &BackendReport)>> = BTreeMap::new();
    for report in reports {
        for backend in &report.backends {
            views.entry(&backend.address).or_default().push((report, backend));
        }
    }
    let reporting = i64::try_from(reports.len()).unwrap_or(i64::MAX);
    views
        .into_iter()
        .filter_map(|(address, views)| combine(address, &views, reporting))
        .collect()
}

/// One entry a pod: two addresses of it are one trouble. The address that most nodes act on speaks for it.
fn by_pod(found: Vec<Sick>) -> Vec<Sick> {
    let mut pods: BTreeMap<String, Sick> = BTreeMap::new();
    for sick in found {
        let key = if sick.pod.is_empty() {
            sick.address.clone()
        } else {
            sick.pod.clone()
        };
        match pods.remove(&key) {
            None => {
                pods.insert(key, sick);
            }
            Some(known) => {
                let (mut first, second) = if sick.agreeing > known.agreeing {
                    (sick, known)
                } else {
                    (known, sick)
                };
                first.also.push(second.address);
                first.also.extend(second.also);
                first.keep_alive = first.keep_alive.saturating_add(second.keep_alive);
                pods.insert(key, first);
            }
        }
    }
    pods.into_values().collect()
}

fn combine(address: &str, views: &[(&SetReport, &BackendReport)], reporting: i64) -> Option<Sick> {
    let mut out: Vec<&(&SetReport, &BackendReport)> = views
        .iter()
        .filter(|(_, backend)| backend.state != BackendState::Active)
        .collect();
    out.sort_by_key(|(_, backend)| {
        let since = backend.since.as_ref().map(|time| time.0);
        (since.is_none(), since)
    });
    let (_, first) = out.first()?;
    let traffic = |state: BackendState| -> i64 {
        let of = out.iter().filter(|(_, backend)| backend.state == state);
        of.map(|(report, _)| report.offered_milli_per_second.max(1)).sum()
    };
    let isolated = traffic(BackendState::Isolated) >= traffic(BackendState::Returning);
    let reason = out
        .iter()
        .map(|(_, backend)| &backend.reason)
        .find(|reason| !reason.is_empty());
    Some(Sick {
        address: address.to_owned(),
        also: Vec::new(),
        pod: first.pod.clone(),
        node: first.node.clone(),
        state: if isolated {
            BackendState::Isolated
        } else {
            BackendState::Returning
        },
        reason: reason.cloned().unwrap_or_default(),
        since: first.since.as_ref().map(|time| time.0),
        share_ppm: Some(mean_share(views)),
        agreeing: i64::try_from(out.len()).unwrap_or(i64::MAX),
        reporting,
        keep_alive: views.iter().map(|(_, backend)| backend.keep_alive).sum(),
    })
}

/// Mean of the nodes' shares, each weighted by the connections that its clients begin; a node without traffic counts 1.
fn mean_share(views: &[(&SetReport, &BackendReport)]) -> i64 {
    let weight = |report: &SetReport| i128::from(report.offered_milli_per_second.max(1));
    let total: i128 = views.iter().map(|(report, _)| weight(report)).sum();
    let sum: i128 = views
        .iter()
        .map(|(report, backend)| weight(report) * i128::from(backend.share_ppm))
        .sum();
    i64::try_from(sum / total.max(1)).unwrap_or(i64::MAX)
}
