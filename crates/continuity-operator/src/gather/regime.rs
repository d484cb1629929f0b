//! The headline: the worst regime that at least 5 % of offered traffic is in.

use super::{COUNTS_FROM, sentence, weights};
use crate::moment::Moment;
use continuity_api::Time;
use continuity_api::node::{Regime, SetReport};
use continuity_api::set::EquivalenceSetStatus;

/// Regime of a set, since when, and why.
#[derive(Clone, Debug, PartialEq)]
pub struct Headline {
    /// The regime.
    pub regime: Regime,
    /// Since when.
    pub since: Option<Time>,
    /// Why, from the node with the most traffic in it.
    pub reason: String,
}

impl Headline {
    /// The headline over the fresh reports. Silence keeps what is stored: no news is not good news.
    #[must_use]
    pub fn of(reports: &[(&str, &SetReport)], previous: &EquivalenceSetStatus, now: Moment) -> Self {
        if reports.is_empty() {
            return Self {
                regime: previous.regime,
                since: previous.regime_since.clone().or_else(|| Some(now.time())),
                reason: previous.reason.clone(),
            };
        }
        let regime = worst(reports);
        let inside = || reports.iter().filter(|(_, report)| report.regime == regime);
        let loudest = inside().max_by_key(|(node, report)| (report.offered_milli_per_second, *node));
        let began = inside()
            .filter_map(|(_, report)| report.since.as_ref())
            .min_by_key(|since| since.0);
        let since = match &previous.regime_since {
            Some(since) if previous.regime == regime => Some(since.clone()),
            _ => Some(began.map_or_else(|| now.time(), |since| now.past(since))),
        };
        let reason = loudest
            .map(|(_, report)| sentence(&report.reason))
            .unwrap_or_default();
        Self {
            regime,
            since,
            reason,
        }
    }
}

fn worst(reports: &[(&str, &SetReport)]) -> Regime {
    let (weight, total) = weights(reports);
    let mut under: i128 = 0;
    for regime in [Regime::Crisis, Regime::Transition, Regime::Recovery] {
        under += reports
            .iter()
            .filter(|(_, report)| report.regime == regime)
            .map(|(_, report)| weight(report))
            .sum::<i128>();
        if under > 0 && under * COUNTS_FROM >= total {
            return regime;
        }
    }
    Regime::Laminar
}
