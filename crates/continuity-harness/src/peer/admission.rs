//! The rows of admission: the law, other people's limiters as published, and a bound.
//!
//! Every row is one [`Admission`] in front of the same balancer. Constants are those of the publication; where one had to
//! be chosen, the row's module says which and why.

mod breaker;
mod dagor;
mod gradient;
mod law;
mod limit;
mod oracle;
mod queue;
mod rate;
mod throttle;

#[cfg(test)]
mod tests;

pub use law::law;

use crate::admission::Admission;
use crate::plant::Reports;
use crate::scenario::Scenario;

/// A row of the table of admission.
#[derive(Debug, Clone, Copy)]
pub struct Row {
    /// Name on the command line and in the table.
    pub name: &'static str,
    /// What it is, in one sentence.
    pub about: &'static str,
    /// Whether it hears in-band reports.
    pub reports: Reports,
    /// A bound, never gated.
    pub oracle: bool,
    pub(super) build: fn(&Scenario, u64) -> Box<dyn Admission>,
}

impl Row {
    /// A fresh instance for one run.
    #[must_use]
    pub fn build(&self, scenario: &Scenario, seed: u64) -> Box<dyn Admission> {
        (self.build)(scenario, seed)
    }
}

const fn row(
    name: &'static str,
    about: &'static str,
    build: fn(&Scenario, u64) -> Box<dyn Admission>,
) -> Row {
    Row {
        name,
        about,
        reports: Reports::None,
        oracle: false,
        build,
    }
}

/// Every row of other people, in the order of the table.
pub const ALL: &[Row] = &[
    row("none", "everybody is admitted", rate::none),
    row(
        "static-0.9",
        "token bucket at 0.9 of the true capacity, an equal part per node",
        rate::tight,
    ),
    row(
        "static-1.5",
        "token bucket at 1.5 of the true capacity: a limit that went stale",
        rate::stale,
    ),
    row(
        "aimd",
        "AIMD on time-outs (Netflix concurrency-limits)",
        limit::aimd,
    ),
    row(
        "vegas",
        "Vegas per node (Netflix concurrency-limits)",
        limit::vegas,
    ),
    row(
        "gradient2",
        "Gradient2 per node (Netflix concurrency-limits)",
        gradient::plain,
    ),
    row(
        "gradient2+partition",
        "the same, two fifths kept for the high classes",
        gradient::partitioned,
    ),
    row(
        "adaptive",
        "Envoy's adaptive concurrency, per node",
        limit::adaptive,
    ),
    row(
        "envoy-admission",
        "Envoy's admission control, 95 % success, at most 80 % refused",
        throttle::envoy,
    ),
    row(
        "sre",
        "client-side throttling of the SRE book, K = 2, 2 min",
        throttle::sre,
    ),
    row("sre-90", "the same, at most 90 % refused", throttle::sre_capped),
    row("dagor", "DAGOR's levels at the caller's node", dagor::dagor),
    row(
        "breaker",
        "circuit breaker: half failed of twenty, refuses all for 5 s",
        breaker::breaker,
    ),
    row(
        "codel",
        "CoDel in the server's queue, 5 ms of 100 ms",
        queue::codel,
    ),
    Row {
        oracle: true,
        ..row(
            "central",
            "one exact counter for all, told the workers; reserves by class",
            oracle::central,
        )
    },
];

/// The rows of these names; `all` stands for everything.
///
/// # Errors
/// The first name that is none.
pub fn named(list: &[String]) -> Result<Vec<Row>, String> {
    let mut found = Vec::new();
    for name in list {
        if name == "all" {
            found.extend_from_slice(ALL);
            continue;
        }
        let row = ALL.iter().find(|row| row.name == name);
        found.push(*row.ok_or_else(|| name.clone())?);
    }
    Ok(found)
}

/// One state for each node.
fn each<T>(scenario: &Scenario, make: impl Fn(u32) -> T) -> Vec<T> {
    (0..scenario.nodes).map(make).collect()
}
