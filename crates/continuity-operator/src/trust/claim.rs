//! What a node claims beside what the other nodes saw.

use continuity_api::node::{BackendReport, BackendState, SetReport};
use continuity_api::policy::Mode;

/// A demand that is this many times what the backends' nodes leave unexplained is inflated.
const INFLATION: i64 = 3;
/// Demand below which it does not matter, in connections per 1000 s: 50 a second.
const DEMAND_MIN: i64 = 50_000;
/// Nodes that must keep a backend out, by what they saw, before it is strange that one does not.
const WITNESSES_MIN: usize = 2;

/// What of a node's report does not fit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Claims {
    /// Sets in which somebody else can vouch for anything.
    pub checked: u32,
    /// Of those, sets in which the claim does not fit.
    pub wrong: u32,
}

impl Claims {
    /// As a part of the score: one set that does not fit is enough, for a liar lies where it pays.
    #[must_use]
    pub const fn observed(self) -> Option<u32> {
        match (self.checked, self.wrong) {
            (0, _) => None,
            (_, 0) => Some(1_000),
            _ => Some(0),
        }
    }
}

/// Compares the report of `node` for one set with all reports of that set, its own included.
#[must_use]
pub fn claims(node: &str, reports: &[(&str, &SetReport)]) -> Claims {
    let Some((_, own)) = reports.iter().find(|(name, _)| *name == node) else {
        return Claims::default();
    };
    if reports.len() < 3 {
        // Between two nodes nobody can say which of them is wrong.
        return Claims::default();
    }
    let strange =
        |name: &str, report: &SetReport| inflated(name, report, reports) || blind(name, report, reports);
    if !strange(node, own) {
        return Claims { checked: 1, wrong: 0 };
    }
    let many = reports
        .iter()
        .filter(|(name, report)| strange(name, report))
        .count();
    let wrong = u32::from(many * 3 <= reports.len());
    Claims { checked: 1, wrong }
}

/// Connections that its clients opened, as the node says, and that no backend can have missed.
fn served(report: &SetReport) -> i64 {
    report
        .offered_milli_per_second
        .saturating_sub(report.failed_milli_per_second)
        .saturating_sub(report.refused_milli_per_second)
        .max(0)
}

/// Whether it claims far more demand than the backends accepted from all but the others.
fn inflated(node: &str, own: &SetReport, reports: &[(&str, &SetReport)]) -> bool {
    let accepted: i64 = reports
        .iter()
        .map(|(_, report)| report.accepted_milli_per_second.max(0))
        .fold(0, i64::saturating_add);
    let others: i64 = reports
        .iter()
        .filter(|(name, _)| *name != node)
        .map(|(_, report)| served(report))
        .fold(0, i64::saturating_add);
    let left = accepted.saturating_sub(others).max(0);
    // Only the node without which everything fits is to blame; where nothing fits, or the
    // others explain less than half of what was accepted, the backends' side is not seen well enough.
    let others_fit = others <= accepted.saturating_add(accepted / 4).saturating_add(DEMAND_MIN);
    let others_explain = others.saturating_mul(2) >= accepted;
    let beyond = served(own) > left.saturating_mul(INFLATION).saturating_add(DEMAND_MIN);
    accepted > 0 && others_fit && others_explain && beyond
}

/// Whether it says that all is well and keeps on using a backend that most others keep out by what they saw.
fn blind(node: &str, own: &SetReport, reports: &[(&str, &SetReport)]) -> bool {
    let uses = |backend: &&BackendReport| backend.state == BackendState::Active && backend.share_ppm > 0;
    let laminar = own.regime == continuity_api::node::Regime::Laminar;
    if own.mode != Mode::Enforce || !laminar || own.offered_milli_per_second <= 0 {
        return false;
    }
    let others = || reports.iter().filter(|(name, _)| *name != node);
    own.backends.iter().filter(uses).any(|backend| {
        let out = |report: &SetReport| {
            report.backends.iter().any(|other| {
                other.address == backend.address && other.state == BackendState::Isolated && !other.hearsay
            })
        };
        let against = others().filter(|(_, report)| out(report)).count();
        against >= WITNESSES_MIN && against * 3 >= others().count() * 2
    })
}
