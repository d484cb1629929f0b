//! The status of a set, from the fresh reports of the nodes.
//!
//! What is heard is weighted by offered traffic: a regime counts from 5 % of it, so that one drowning node among
//! thousands is an exception and not the headline. Figures stay as they are stored until they have moved by what a person
//! would notice; so a calm set is never written, and equal situations are equal bytes.

mod figure;
mod isolated;
mod regime;
mod warning;
mod would_have;

pub(crate) use isolated::identity;
pub use regime::Headline;

use crate::moment::Moment;
use crate::outlier::Outlier;
use crate::policy::Standing;
use crate::world::BackendFacts;
use continuity_api::node::{AdmissionState, Regime, SetReport};
use continuity_api::policy::Mode;
use continuity_api::set::{
    AdmissionCounts, BackendCounts, EXCEPTIONS_MAX, EquivalenceSetStatus, HintStatus, NodeCounts,
    NodeException,
};
use continuity_api::{Condition, conditions, reasons};

/// Longest sentence the schema takes.
const SENTENCE_MAX: usize = 256;

/// Share of offered traffic from which something counts for the whole set, as a divisor: 5 %.
const COUNTS_FROM: i128 = 20;

/// Everything a status is made from.
#[derive(Clone, Debug)]
pub struct Facts<'a> {
    /// metadata.generation of the set.
    pub generation: Option<i64>,
    /// Observe or Enforce.
    pub mode: Mode,
    /// Backends in the EndpointSlices.
    pub backends: BackendFacts,
    /// Fresh reports by node.
    pub reports: &'a [(&'a str, &'a SetReport)],
    /// Nodes with a fresh agent.
    pub nodes: usize,
    /// Digest of the stored plan.
    pub digest: Option<&'a str>,
    /// The hint.
    pub hint: Option<HintStatus>,
    /// Backends that are late beside their peers on other nodes; in Observe only.
    pub outliers: &'a [Outlier],
    /// What is stored.
    pub previous: &'a EquivalenceSetStatus,
}

/// The status that the set should have.
#[must_use]
pub fn status(facts: &Facts<'_>, now: Moment) -> EquivalenceSetStatus {
    let headline = Headline::of(facts.reports, facts.previous, now);
    let (exceptions, more_exceptions) = exceptions(facts, headline.regime, now);
    let isolated = isolated::gather(facts, now);
    let (warnings, more_warnings) = warning::gather(facts, now);
    EquivalenceSetStatus {
        observed_generation: facts.generation,
        conditions: vec![ready(facts, now)],
        regime: headline.regime,
        regime_since: headline.since,
        reason: headline.reason,
        nodes: counts(facts),
        exceptions,
        truncated: more_exceptions || more_warnings || isolated.truncated,
        backends: BackendCounts {
            ready: count(facts.backends.ready),
            total: count(facts.backends.total),
            isolated: count(isolated.counting),
            summary: format!("{}/{}", facts.backends.ready, facts.backends.total),
        },
        isolated: isolated.backends,
        warnings,
        admission: admission(facts),
        admission_nodes: AdmissionCounts {
            soft: count(
                facts
                    .reports
                    .iter()
                    .filter(|(_, report)| report.admission == AdmissionState::Soft)
                    .count(),
            ),
            hard: count(
                facts
                    .reports
                    .iter()
                    .filter(|(_, report)| report.admission == AdmissionState::Hard)
                    .count(),
            ),
        },
        pressure: figure::pressure(facts),
        ttf_seconds: None,
        traffic: figure::traffic(facts),
        reach: figure::reach(facts),
        scale_hint: facts.hint.clone(),
        would_have: (facts.mode == Mode::Observe).then(|| would_have::gather(facts)),
        writer_epoch: facts.previous.writer_epoch,
    }
}

/// Weight of a report: its offered traffic, or nothing but its presence while nobody offers any.
fn weights(reports: &[(&str, &SetReport)]) -> (impl Fn(&SetReport) -> i128, i128) {
    let offered: i128 = reports
        .iter()
        .map(|(_, report)| i128::from(report.offered_milli_per_second.max(0)))
        .sum();
    let idle = offered == 0;
    let total = if idle {
        reports.len().try_into().unwrap_or(i128::MAX)
    } else {
        offered
    };
    let weight = move |report: &SetReport| {
        if idle {
            1
        } else {
            i128::from(report.offered_milli_per_second.max(0))
        }
    };
    (weight, total)
}

fn ready(facts: &Facts<'_>, now: Moment) -> Condition {
    let BackendFacts { ready, total } = facts.backends;
    let standing = if ready == 0 {
        let message = format!(
            "none of {total} backends serves, so connects get ECONNREFUSED; see kubectl get endpointslices and the pods"
        );
        Standing::no(reasons::NO_BACKENDS, message)
    } else if facts.reports.is_empty() {
        let message = "no node reports this set yet; see kubectl get continuitynodes".to_owned();
        Standing::unknown(reasons::NO_REPORTS, message)
    } else {
        Standing::yes(
            reasons::RESOLVED,
            "resolved, with backends, and reported by nodes".to_owned(),
        )
    };
    standing.condition(
        conditions::READY,
        facts.generation,
        &facts.previous.conditions,
        now,
    )
}

fn counts(facts: &Facts<'_>) -> NodeCounts {
    let of = |regime| {
        count(
            facts
                .reports
                .iter()
                .filter(|(_, report)| report.regime == regime)
                .count(),
        )
    };
    let programmed = |report: &SetReport| facts.digest.is_some_and(|digest| report.plan_digest == digest);
    NodeCounts {
        reporting: count(facts.reports.len()),
        programmed: count(
            facts
                .reports
                .iter()
                .filter(|(_, report)| programmed(report))
                .count(),
        ),
        total: count(facts.nodes),
        laminar: of(Regime::Laminar),
        recovery: of(Regime::Recovery),
        transition: of(Regime::Transition),
        crisis: of(Regime::Crisis),
    }
}

/// Nodes worse off than the headline, worst first, then by traffic; and whether there are more.
fn exceptions(facts: &Facts<'_>, headline: Regime, now: Moment) -> (Vec<NodeException>, bool) {
    let mut worse: Vec<_> = facts
        .reports
        .iter()
        .filter(|(_, report)| report.regime > headline)
        .collect();
    worse.sort_by_key(|(node, report)| {
        (
            std::cmp::Reverse(report.regime),
            std::cmp::Reverse(report.offered_milli_per_second),
            *node,
        )
    });
    let exception = |(node, report): &&(&str, &SetReport)| NodeException {
        node: (*node).to_owned(),
        regime: report.regime,
        since: report.since.as_ref().map(|since| now.past(since)),
        message: sentence(&report.reason),
    };
    (
        worse.iter().take(EXCEPTIONS_MAX).map(exception).collect(),
        worse.len() > EXCEPTIONS_MAX,
    )
}

fn admission(facts: &Facts<'_>) -> AdmissionState {
    let (weight, total) = weights(facts.reports);
    [AdmissionState::Hard, AdmissionState::Soft]
        .into_iter()
        .find(|state| {
            let under: i128 = facts
                .reports
                .iter()
                .filter(|(_, report)| report.admission >= *state)
                .map(|(_, report)| weight(report))
                .sum();
            under > 0 && under * COUNTS_FROM >= total
        })
        .unwrap_or_default()
}

/// A sentence within the schema's bound, with a mark where it was cut.
#[must_use]
pub fn sentence(text: &str) -> String {
    if text.chars().count() <= SENTENCE_MAX {
        return text.to_owned();
    }
    let kept: String = text.chars().take(SENTENCE_MAX - 1).collect();
    format!("{kept}…")
}

fn count(number: usize) -> i32 {
    i32::try_from(number).unwrap_or(i32::MAX)
}

#[cfg(test)]
mod tests;
