//! The peers: other people's laws, as published, and oracles as bounds.

pub mod admission;
mod ewma;
mod look;
mod outlier;
mod prequal;
mod simple;
mod weighted;

#[cfg(test)]
mod tests;

use crate::admission::Admission;
use crate::law::{field, reference};
use crate::plant::{Reports, admitted};
use crate::policy::Policy;
use crate::recording::Recording;
use crate::scenario::{Contest, Scenario};

/// Makes the admission of a row for one run.
type Gate = fn(&Scenario, u64) -> Box<dyn Admission>;

/// A row of the table.
#[derive(Debug, Clone, Copy)]
pub struct Peer {
    /// Name on the command line and in the table.
    pub name: &'static str,
    /// What it is, in one sentence.
    pub about: &'static str,
    /// Whether it hears in-band reports.
    pub reports: Reports,
    /// An oracle: shown as a bound, never gated.
    pub oracle: bool,
    /// What it takes part in; the law in both.
    contest: Option<Contest>,
    build: fn(&Scenario, u64) -> Box<dyn Policy>,
    admission: Option<Gate>,
}

impl Peer {
    /// Whether it has a row where that is judged.
    #[must_use]
    pub fn takes_part(&self, contest: Contest) -> bool {
        self.contest.is_none_or(|own| own == contest)
    }

    /// One run, admission included where that is judged.
    #[must_use]
    pub fn run(&self, scenario: &Scenario, seed: u64) -> Recording {
        let mut policy = self.build(scenario, seed);
        let judged = scenario.contest == Contest::Admission;
        let mut admission = self
            .admission
            .filter(|_| judged)
            .map(|build| build(scenario, seed));
        let gate = admission.as_mut().map(|own| own.as_mut() as &mut dyn Admission);
        admitted(scenario, seed, self.reports, policy.as_mut(), gate)
    }

    /// A fresh instance for one run.
    #[must_use]
    pub fn build(&self, scenario: &Scenario, seed: u64) -> Box<dyn Policy> {
        (self.build)(scenario, seed)
    }
}

const fn peer(name: &'static str, about: &'static str, build: fn(&Scenario, u64) -> Box<dyn Policy>) -> Peer {
    Peer {
        name,
        about,
        reports: Reports::None,
        oracle: false,
        contest: Some(Contest::Balance),
        build,
        admission: None,
    }
}

const fn oracle(
    name: &'static str,
    about: &'static str,
    build: fn(&Scenario, u64) -> Box<dyn Policy>,
) -> Peer {
    Peer {
        oracle: true,
        ..peer(name, about, build)
    }
}

/// The law and the balancers, in the order of the table.
const BALANCERS: &[Peer] = &[
    Peer {
        contest: None,
        admission: Some(admission::law),
        ..peer(
            "law",
            "Continuity: field and choice as they ship, no reports",
            field::law,
        )
    },
    Peer {
        contest: None,
        reports: Reports::Live,
        admission: Some(admission::law),
        ..peer("law+reports", "Continuity with in-band reports live", field::law)
    },
    peer(
        "reference",
        "the published agent over the same choice, no reports",
        reference::law,
    ),
    Peer {
        reports: Reports::Live,
        ..peer(
            "reference+reports",
            "the published agent, in-band reports live",
            reference::law,
        )
    },
    peer("random", "a backend at random (kube-proxy)", simple::random),
    peer(
        "round-robin",
        "one after the other, each node for itself",
        simple::round_robin,
    ),
    peer(
        "least-connections",
        "fewest own requests in flight",
        simple::least_connections,
    ),
    peer(
        "p2c",
        "the less loaded of two at random, own requests in flight",
        simple::two_choices,
    ),
    peer(
        "weighted",
        "Envoy's weighted least request, true capacities as weights",
        weighted::least_request,
    ),
    peer(
        "outlier",
        "round robin with Envoy's outlier ejection",
        outlier::round_robin,
    ),
    peer("ewma", "P2C on peak EWMA (Finagle, Linkerd)", ewma::plain),
    peer(
        "ewma+penalty",
        "the same, a failure counts as 5 s",
        ewma::penalised,
    ),
    peer("prequal", "Prequal, asynchronous, HCL", prequal::plain),
    peer(
        "prequal+penalty",
        "the same, a failing backend avoided for 5 s",
        prequal::penalised,
    ),
    oracle(
        "oracle-looks",
        "two at random, true queues; who is sick known after one look of each node",
        look::pair,
    ),
    oracle(
        "oracle-p2c",
        "two at random, true speed and queue known",
        simple::oracle_pair,
    ),
    oracle(
        "oracle-best",
        "the best of all, true speed and queue known",
        simple::oracle_best,
    ),
];

/// Every row there is: the law, the balancers, and laws of admission over P2C on a node's own requests.
#[must_use]
pub fn all() -> Vec<Peer> {
    let limiters = admission::ALL.iter().map(|row| Peer {
        name: row.name,
        about: row.about,
        reports: row.reports,
        oracle: row.oracle,
        contest: Some(Contest::Admission),
        build: simple::two_choices,
        admission: Some(row.build),
    });
    BALANCERS.iter().copied().chain(limiters).collect()
}

/// The rows of these names; `all` stands for everything.
///
/// # Errors
/// The first name that is none.
pub fn named(list: &[String]) -> Result<Vec<Peer>, String> {
    let known = all();
    let mut found = Vec::new();
    for name in list {
        if name == "all" {
            found.extend_from_slice(&known);
        } else {
            let peer = known.iter().find(|peer| peer.name == name);
            found.push(*peer.ok_or_else(|| name.clone())?);
        }
    }
    Ok(found)
}
