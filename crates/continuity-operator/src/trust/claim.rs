//! What a node claims beside what the other nodes saw.

use continuity_api::node::{BackendReport, BackendState, Regime, SetReport};
use continuity_api::policy::Mode;
use std::collections::BTreeMap;

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

/// What all reports of a set say together, added up once: a claim is then judged without looking at every other report.
struct Tally<'a> {
    accepted: i128,
    served: i128,
    /// Nodes that keep each backend out by what they saw.
    out: BTreeMap<&'a str, usize>,
    reports: usize,
}

impl<'a> Tally<'a> {
    fn of(reports: &[(&str, &'a SetReport)]) -> Self {
        let mut tally = Self {
            accepted: 0,
            served: 0,
            out: BTreeMap::new(),
            reports: reports.len(),
        };
        for (_, report) in reports {
            tally.accepted += i128::from(report.accepted_milli_per_second.max(0));
            tally.served += i128::from(served(report));
            let isolated =
                |backend: &&BackendReport| backend.state == BackendState::Isolated && !backend.hearsay;
            for backend in report.backends.iter().filter(isolated) {
                *tally.out.entry(&backend.address).or_default() += 1;
            }
        }
        tally
    }

    /// Whether the claim of one of the reports does not fit the others.
    fn strange(&self, report: &SetReport) -> bool {
        self.inflated(report) || self.blind(report)
    }

    /// Whether it claims far more demand than the backends accepted from all but the others.
    fn inflated(&self, own: &SetReport) -> bool {
        let margin = i128::from(DEMAND_MIN);
        let served = i128::from(served(own));
        let others = self.served - served;
        let left = (self.accepted - others).max(0);
        // Only the node without which everything fits is to blame; where nothing fits, or the
        // others explain less than half of what was accepted, the backends' side is not seen well enough.
        let others_fit = others <= self.accepted + self.accepted / 4 + margin;
        let others_explain = others * 2 >= self.accepted;
        let beyond = served > left * i128::from(INFLATION) + margin;
        self.accepted > 0 && others_fit && others_explain && beyond
    }

    /// Whether it says that all is well and keeps on using a backend that most others keep out by what they saw.
    fn blind(&self, own: &SetReport) -> bool {
        let uses = |backend: &&BackendReport| backend.state == BackendState::Active && backend.share_ppm > 0;
        let laminar = own.regime == Regime::Laminar;
        if own.mode != Mode::Enforce || !laminar || own.offered_milli_per_second <= 0 {
            return false;
        }
        let others = self.reports.saturating_sub(1);
        own.backends.iter().filter(uses).any(|backend| {
            let against = self.out.get(&*backend.address).copied().unwrap_or(0);
            against >= WITNESSES_MIN && against * 3 >= others * 2
        })
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
    let tally = Tally::of(reports);
    if !tally.strange(own) {
        return Claims { checked: 1, wrong: 0 };
    }
    let many = reports.iter().filter(|(_, report)| tally.strange(report)).count();
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
