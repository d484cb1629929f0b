//! Backends that are late beside their peers on other nodes, while a set is only observed.
//!
//! In Observe a backend is measured by its own node alone, which knows only its neighbours there: one that is alone on its
//! node is judged by nobody. Here the reports of all nodes meet. A backend is late where its median lies as far above the
//! median of its peers' as the policy's ratio says, and by half a typical request at least, as in the law; Enforce would see
//! as much from every node with clients. The families are compared apart, as lanes are, and a pod of both is one backend.
//!
//! A slowness that all share reaches us node by node. So one is named only when every other node has been heard since it
//! became late, or has had the time to tell; and it stays named until it is as near to its peers as a return asks for.
//! Failures are left out: a node needs no peers to judge them.

use crate::gather::identity;
use continuity_api::node::{BackendReport, BackendState, SetReport};
use continuity_api::plan::CompiledPolicy;
use continuity_api::policy::Mode;
use continuity_field::Nanos;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::time::Duration;

/// Outliers of one set: as many addresses as the status lists.
pub const OUTLIERS_MAX: usize = 16;
/// What a report takes from the look that calls for it until we hear of it: one second, and one for the write.
const ON_THE_WAY: Duration = Duration::from_secs(2);

/// A backend that Enforce would have isolated, by what other nodes measure.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outlier {
    /// "ip:port".
    pub address: String,
    /// Pod behind it; empty where it is none.
    pub pod: String,
    /// Node that measures it.
    pub node: String,
    /// Its median, µs.
    pub own_micros: i64,
    /// Median of its peers' medians, µs.
    pub peers_micros: i64,
}

impl Outlier {
    fn identity(&self) -> &str {
        if self.pod.is_empty() {
            &self.address
        } else {
            &self.pod
        }
    }

    /// How many times as late as its peers, in tenths.
    fn tenths(&self) -> i64 {
        self.own_micros.saturating_mul(10) / self.peers_micros.max(1)
    }
}

impl fmt::Display for Outlier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let time = |micros: i64| Nanos::from_micros(u64::try_from(micros).unwrap_or(0));
        f.write_str(&self.address)?;
        if !self.pod.is_empty() {
            write!(f, " ({})", self.pod)?;
        }
        let (own, peers) = (time(self.own_micros), time(self.peers_micros));
        write!(f, " answers in {own}, its peers on all nodes in {peers}: ")?;
        write!(f, "{}.{} ×", self.tenths() / 10, self.tenths() % 10)
    }
}

/// What is remembered of a set between passes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Memory {
    started: bool,
    named: BTreeSet<String>,
    /// Late, but not named yet: since when.
    waiting: BTreeMap<String, Duration>,
}

impl Memory {
    /// Whether time alone may change the answer.
    #[must_use]
    pub fn waits(&self) -> bool {
        !self.waiting.is_empty()
    }
}

/// What the decision is made from.
#[derive(Clone, Debug)]
pub struct View<'a> {
    /// The policy in force.
    pub policy: &'a CompiledPolicy,
    /// Fresh reports by node.
    pub reports: &'a [(&'a str, &'a SetReport)],
    /// When each node was heard last, by our own clock.
    pub heard: BTreeMap<&'a str, Duration>,
    /// Backends that are ready.
    pub ready: usize,
    /// What nodes leave between two reports of figures.
    pub spacing: Duration,
    /// Addresses that the stored status names.
    pub stored: &'a [String],
}

/// A backend as its own node measures it.
struct Measured<'a> {
    node: &'a str,
    backend: &'a BackendReport,
}

/// The outliers of a set in Observe, those named before first, then the latest first. A backend that its own node names
/// already is none.
pub fn decide(memory: &mut Memory, view: &View<'_>, now: Duration) -> Vec<Outlier> {
    let told = told(view.reports);
    if !memory.started {
        memory.started = true;
        memory.named = taken_up(view, &told);
    }
    let measured = measured(view.reports, &told);
    let mut found: BTreeMap<String, Outlier> = BTreeMap::new();
    for six in [false, true] {
        let family = measured
            .iter()
            .filter(|one| one.backend.address.starts_with('[') == six);
        for outlier in late(family.collect(), view.policy, &memory.named) {
            found.entry(outlier.identity().to_owned()).or_insert(outlier);
        }
    }
    // As in the law: where most are late it is not them.
    if (found.len() + told.len()) * 2 > view.ready || !view.policy.isolation.enabled {
        found.clear();
    }
    let mut outliers: Vec<Outlier> = found.into_values().collect();
    outliers.sort_by_key(|outlier| {
        let fresh = !memory.named.contains(outlier.identity());
        (fresh, std::cmp::Reverse(outlier.tenths()))
    });
    outliers.truncate(room(view, told.len()));
    let before = std::mem::take(&mut memory.waiting);
    outliers.retain(|outlier| {
        let name = outlier.identity();
        let since = before.get(name).copied().unwrap_or(now);
        let named = memory.named.contains(name) || all_told(&measured, &outlier.node, view, since, now);
        if !named {
            memory.waiting.insert(name.to_owned(), since);
        }
        named
    });
    memory.named = outliers.iter().map(|one| one.identity().to_owned()).collect();
    outliers
}

/// What the operator before us named, without what nodes name themselves.
fn taken_up(view: &View<'_>, told: &BTreeSet<&str>) -> BTreeSet<String> {
    let known = |address: &String| {
        let mut all = view.reports.iter().flat_map(|(_, report)| &report.backends);
        all.find(|backend| backend.address == *address)
    };
    let named = view.stored.iter().filter_map(known).map(identity);
    let left = named.filter(|name| !told.contains(name));
    left.map(str::to_owned).collect()
}

/// Backends that their own nodes would have isolated.
fn told<'a>(reports: &[(&str, &'a SetReport)]) -> BTreeSet<&'a str> {
    let backends = |report: &'a SetReport| {
        let named = report.would_have.iter().flat_map(|would| &would.isolated);
        named.map(|address| {
            let known = report.backends.iter();
            known
                .clone()
                .find(|backend| backend.address == *address)
                .map_or(address.as_str(), identity)
        })
    };
    let observing = reports.iter().filter(|(_, report)| report.mode == Mode::Observe);
    observing.flat_map(|(_, report)| backends(report)).collect()
}

/// Backends in use with a median that their own nodes tell.
fn measured<'a>(reports: &[(&'a str, &'a SetReport)], told: &BTreeSet<&str>) -> Vec<Measured<'a>> {
    let runs = |report: &SetReport| report.mode == Mode::Observe && report.refusal.is_empty();
    let mut measured = Vec::new();
    for (node, report) in reports.iter().filter(|(_, report)| runs(report)) {
        let own = report.backends.iter().filter(|backend| {
            backend.node == *node
                && backend.median_micros > 0
                && backend.state != BackendState::Isolated
                && !told.contains(identity(backend))
        });
        measured.extend(own.map(|backend| Measured { node, backend }));
    }
    measured
}

/// Those of one family that are late beside the others that are not.
fn late(mut family: Vec<&Measured<'_>>, policy: &CompiledPolicy, named: &BTreeSet<String>) -> Vec<Outlier> {
    family.sort_by_key(|one| (one.backend.median_micros, &one.backend.address));
    let mut late = Vec::new();
    for at in (0..family.len()).rev() {
        let mut peers = family.clone();
        let own = peers.remove(at);
        let Some(reference) = median(&peers) else { break };
        let known = named.contains(identity(own.backend));
        let beyond = |known: bool| own.backend.median_micros > bound(reference, policy, known);
        if !beyond(true) {
            // Nor is any that answers sooner.
            break;
        }
        if !beyond(known) {
            continue;
        }
        late.push(Outlier {
            address: own.backend.address.clone(),
            pod: own.backend.pod.clone(),
            node: own.node.to_owned(),
            own_micros: own.backend.median_micros,
            peers_micros: reference,
        });
        family = peers;
    }
    late
}

/// Median of sorted medians; between two the geometric mean, since levels are logarithms to the law.
fn median(sorted: &[&Measured<'_>]) -> Option<i64> {
    let get = |index: usize| sorted.get(index).map(|one| one.backend.median_micros);
    let half = sorted.len() / 2;
    if sorted.len() % 2 == 1 {
        return get(half);
    }
    let (low, high) = (get(half.checked_sub(1)?)?, get(half)?);
    i64::try_from((i128::from(low) * i128::from(high)).isqrt()).ok()
}

/// Median beyond which a backend is late. One that is `named` stays so until it is as near as a return asks for.
fn bound(reference: i64, policy: &CompiledPolicy, named: bool) -> i64 {
    let isolation = &policy.isolation;
    // The law's own bounds of the ratio, and its floor.
    let enter = i64::from(isolation.latency_ratio_milli).clamp(2_000, 64_000);
    let floor = policy.pressure.time_scale_micros / 2;
    let (ratio, floor) = if named {
        (
            i64::from(isolation.release_ratio_milli).clamp(1_000, enter),
            floor / 2,
        )
    } else {
        (enter, floor)
    };
    let far = reference.saturating_mul(ratio) / 1_000;
    far.max(reference.saturating_add(floor))
}

/// Whether every node of a peer has been heard since `since`, or would have been if it had anything to tell.
fn all_told(measured: &[Measured<'_>], own: &str, view: &View<'_>, since: Duration, now: Duration) -> bool {
    let others = measured.iter().map(|one| one.node).filter(|node| *node != own);
    others.into_iter().all(|node| {
        let heard = view.heard.get(node).copied().unwrap_or_default();
        let free = heard.saturating_add(view.spacing).max(since);
        heard >= since + ON_THE_WAY || now >= free.saturating_add(ON_THE_WAY)
    })
}

/// Backends that may be isolated besides those that nodes name.
fn room(view: &View<'_>, told: usize) -> usize {
    let permille = view.policy.isolation.max_permille.clamp(0, 500);
    let most = view.ready * usize::try_from(permille).unwrap_or(0) / 1_000;
    most.saturating_sub(told).min(OUTLIERS_MAX)
}

#[cfg(test)]
mod tests;
