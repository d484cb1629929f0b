//! `check`: what keeps Continuity from doing its work. Each check has an id that never changes its meaning, a verdict in
//! one line, and an entry in the runbook; a test compares the two lists.
//!
//! Judging is pure: the same survey and the same moment give the same findings.

mod api;
mod node;
mod part;
mod policy;

#[cfg(test)]
mod tests;

use crate::error::Error;
use crate::output::columns;
use crate::session::Session;
use crate::survey::{Survey, survey};
use jiff::Timestamp;
use serde::Serialize;

/// Page that explains each id.
pub const RUNBOOK: &str = "operator-docs/runbook.md";
/// Names in one message: more do not help whoever reads one line.
const NAMES: usize = 4;

/// How bad it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Level {
    /// As it should be.
    Ok,
    /// Works, but less well or less safely than it could.
    Warn,
    /// Does not work.
    Fail,
}

/// What one check found.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Verdict {
    level: Level,
    message: String,
}

impl Verdict {
    fn ok(message: impl Into<String>) -> Self {
        Self {
            level: Level::Ok,
            message: message.into(),
        }
    }

    fn warn(message: impl Into<String>) -> Self {
        Self {
            level: Level::Warn,
            message: message.into(),
        }
    }

    fn fail(message: impl Into<String>) -> Self {
        Self {
            level: Level::Fail,
            message: message.into(),
        }
    }

    /// The thing to judge could not be read: not a failure of the installation, but not an "ok" either.
    fn unseen(what: &str, why: &str) -> Self {
        Self::warn(format!("{what} could not be read: {why}"))
    }
}

/// One check.
struct Check {
    id: &'static str,
    title: &'static str,
    judge: fn(&Survey, Timestamp) -> Verdict,
}

/// Every check, in the order in which causes precede effects.
const CATALOGUE: [Check; 16] = [
    Check {
        id: "CT001",
        title: "API",
        judge: api::crds,
    },
    Check {
        id: "CT002",
        title: "Kubernetes version",
        judge: api::version,
    },
    Check {
        id: "CT003",
        title: "operator",
        judge: part::operator,
    },
    Check {
        id: "CT004",
        title: "leader",
        judge: part::leader,
    },
    Check {
        id: "CT005",
        title: "agents",
        judge: part::agents,
    },
    Check {
        id: "CT006",
        title: "dataplane",
        judge: node::dataplane,
    },
    Check {
        id: "CT007",
        title: "capabilities",
        judge: node::capabilities,
    },
    Check {
        id: "CT008",
        title: "other connect hooks",
        judge: node::hooks,
    },
    Check {
        id: "CT009",
        title: "heartbeat",
        judge: node::failsafe,
    },
    Check {
        id: "CT010",
        title: "node identity",
        judge: api::admission,
    },
    Check {
        id: "CT011",
        title: "external metrics",
        judge: api::external,
    },
    Check {
        id: "CT012",
        title: "version skew",
        judge: part::skew,
    },
    Check {
        id: "CT013",
        title: "policies",
        judge: policy::accepted,
    },
    Check {
        id: "CT014",
        title: "plans",
        judge: policy::programmed,
    },
    Check {
        id: "CT015",
        title: "reach",
        judge: policy::reach,
    },
    Check {
        id: "CT016",
        title: "fields",
        judge: policy::unenforced,
    },
];

/// Ids and titles of every check.
pub fn ids() -> impl Iterator<Item = (&'static str, &'static str)> {
    CATALOGUE.iter().map(|check| (check.id, check.title))
}

/// One line of the answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// Stable id.
    pub id: &'static str,
    /// What was looked at.
    pub title: &'static str,
    /// How bad it is.
    pub level: Level,
    /// What was found.
    pub message: String,
    /// Where to read on.
    pub runbook: String,
}

/// Looks and judges.
///
/// # Errors
/// The API server does not answer.
pub async fn run(session: &Session, now: Timestamp) -> Result<Vec<Finding>, Error> {
    Ok(judge(&survey(session, None).await?, now))
}

/// Judges what was seen.
#[must_use]
pub fn judge(survey: &Survey, now: Timestamp) -> Vec<Finding> {
    let findings = CATALOGUE.iter().map(|check| {
        let verdict = (check.judge)(survey, now);
        Finding {
            id: check.id,
            title: check.title,
            level: verdict.level,
            message: verdict.message,
            runbook: format!("{RUNBOOK}#{}", check.id.to_lowercase()),
        }
    });
    findings.collect()
}

/// Worst of all.
#[must_use]
pub fn worst(findings: &[Finding]) -> Level {
    findings
        .iter()
        .map(|finding| finding.level)
        .max()
        .unwrap_or(Level::Ok)
}

/// For a person: one line a check, the runbook below what is not well, a count at the end.
#[must_use]
pub fn text(findings: &Vec<Finding>) -> String {
    let word = |level| match level {
        Level::Ok => "ok",
        Level::Warn => "warn",
        Level::Fail => "FAIL",
    };
    let mut rows = Vec::new();
    for finding in findings {
        let cells = [word(finding.level), finding.id, finding.title, &finding.message];
        rows.push(cells.map(str::to_owned).to_vec());
        if finding.level > Level::Ok {
            rows.push(vec![
                String::new(),
                String::new(),
                String::new(),
                finding.runbook.clone(),
            ]);
        }
    }
    let count = |level| findings.iter().filter(|finding| finding.level == level).count();
    format!(
        "{}\n{} ok, {} to look at, {} failed\n",
        columns(&rows),
        count(Level::Ok),
        count(Level::Warn),
        count(Level::Fail)
    )
}

/// `a, b, c, d and 12 more`.
fn listed(names: &[String]) -> String {
    let shown = names.get(..NAMES.min(names.len())).unwrap_or_default().join(", ");
    match names.len().checked_sub(NAMES).filter(|rest| *rest > 0) {
        Some(rest) => format!("{shown} and {rest} more"),
        None => shown,
    }
}
