//! How much of the wind tunnel is run: a few minutes for every change, the full table, or a grid over hours.

use clap::ValueEnum;

use crate::experiment::Experiment;
use crate::peer;
use crate::scenario::{Contest, Scenario, ScenarioError, names, shipped, unseen};

/// How much.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Profile {
    /// What every change must pass: at most three minutes on two cores.
    Ci,
    /// The published table: every scenario, every row; at most twenty minutes on two cores.
    Full,
    /// Backends × nodes, for hours.
    Grid,
}

/// Rows of the peers that a full table shows; the published agent is for calibration.
const ROWS: &[&str] = &[
    "law",
    "law+reports",
    "random",
    "round-robin",
    "least-connections",
    "p2c",
    "weighted",
    "outlier",
    "ewma",
    "ewma+penalty",
    "prequal",
    "prequal+penalty",
    "oracle-looks",
    "oracle-p2c",
    "oracle-best",
];
/// The few that stand for them, in the smaller part of the table and in scenarios that are in no file.
pub const FEW: &[&str] = &[
    "law",
    "law+reports",
    "random",
    "round-robin",
    "p2c",
    "ewma",
    "ewma+penalty",
    "prequal",
    "oracle-looks",
    "oracle-p2c",
];
/// Fewer still, for long runs.
const PAIR: &[&str] = &["law", "law+reports", "random", "round-robin"];
/// Cases of the published headline, at 10 and 60 nodes.
const CORE: &[&str] = &["S0", "S1", "S3", "S4", "S5", "S6", "S6b", "S7", "S8"];
/// Cases of ten minutes or five.
const LONG: &[&str] = &["S15", "S16", "S16b", "S0a"];
/// Cases of every change.
const SMOKE: &[&str] = &[
    "S0",
    "S1",
    "S5",
    "S7",
    "S8",
    "S13h",
    "S22",
    "S1-verdicts",
    "S9",
    "S10",
    "S12",
    "demo-gray",
];
/// Rows of every change.
const SMOKE_ROWS: &[&str] = &[
    "law",
    "law+reports",
    "random",
    "p2c",
    "ewma+penalty",
    "oracle-looks",
    "oracle-p2c",
    "none",
    "gradient2+partition",
    "central",
];

/// Drawn scenarios of every change; `unseen` draws any others.
const DRAWN: u64 = 12;

/// Why a profile cannot be made: a name in it is wrong.
#[derive(Debug, thiserror::Error)]
pub enum ProfileError {
    /// No such scenario.
    #[error(transparent)]
    Scenario(#[from] ScenarioError),
    /// No such row.
    #[error("no row {0:?}")]
    Row(String),
}

impl Profile {
    /// Seeds, unless the command line says otherwise.
    #[must_use]
    pub const fn seeds(self) -> u64 {
        match self {
            Self::Ci => 2,
            Self::Full => 10,
            Self::Grid => 3,
        }
    }

    /// What to run, in order.
    ///
    /// # Errors
    /// A name that does not exist.
    pub fn experiments(self, seeds: &[u64]) -> Result<Vec<Experiment>, ProfileError> {
        let part = |scenarios: &[&str], rows: &[&str], nodes: &[u32], backends: &[u32]| {
            let scenarios: Result<Vec<Scenario>, _> = scenarios.iter().map(|name| shipped(name)).collect();
            let rows: Vec<String> = rows.iter().map(|&row| row.to_owned()).collect();
            Ok::<_, ProfileError>(Experiment {
                scenarios: scenarios?,
                peers: peer::named(&rows).map_err(ProfileError::Row)?,
                nodes: nodes.to_vec(),
                backends: backends.to_vec(),
                seeds: seeds.to_vec(),
            })
        };
        match self {
            Self::Ci => {
                let mut drawn = part(&[], SMOKE_ROWS, &[], &[])?;
                drawn.scenarios = (1..=DRAWN).map(|seed| unseen(seed, false)).collect();
                Ok(vec![part(SMOKE, SMOKE_ROWS, &[], &[])?, drawn])
            }
            Self::Grid => Ok(vec![part(
                &["S0", "S1", "S5", "S7"],
                &[
                    "law",
                    "law+reports",
                    "random",
                    "p2c",
                    "ewma+penalty",
                    "oracle-p2c",
                ],
                &[1, 10, 60, 200],
                &[2, 3, 10, 50, 200],
            )?]),
            Self::Full => {
                let (admission, rest): (Vec<&str>, Vec<&str>) = others()?;
                let limiters: Vec<&str> = peer::all()
                    .iter()
                    .filter(|peer| peer.takes_part(Contest::Admission))
                    .map(|peer| peer.name)
                    .collect();
                Ok(vec![
                    part(CORE, ROWS, &[10, 60], &[])?,
                    part(&admission, &limiters, &[10], &[])?,
                    part(&["S9", "S10"], &limiters, &[60], &[])?,
                    part(&rest, FEW, &[], &[])?,
                    part(
                        &["S1-verdicts", "S3-verdicts", "S5-verdicts", "S14"],
                        PAIR,
                        &[60],
                        &[],
                    )?,
                    part(&["S1"], &["law+reports", "random", "ewma"], &[200], &[])?,
                    part(LONG, PAIR, &[], &[])?,
                ])
            }
        }
    }
}

/// Scenarios that are neither of the core nor long: contests of admission, and the others.
fn others() -> Result<(Vec<&'static str>, Vec<&'static str>), ScenarioError> {
    let mut parts = (Vec::new(), Vec::new());
    for name in names() {
        if CORE.contains(&name) || LONG.contains(&name) {
            continue;
        }
        match shipped(name)?.contest {
            Contest::Admission => parts.0.push(name),
            Contest::Balance => parts.1.push(name),
        }
    }
    Ok(parts)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::target::Targets;

    #[test]
    fn every_target_is_run_by_the_full_table() {
        let experiments = Profile::Full.experiments(&[1]).unwrap();
        for target in Targets::shipped().unwrap().targets {
            let runs = |experiment: &Experiment| {
                let scenario = experiment
                    .scenarios
                    .iter()
                    .find(|own| own.name == target.scenario);
                let nodes = |scenario: &Scenario| {
                    let own = [scenario.nodes];
                    let counts = if experiment.nodes.is_empty() {
                        &own[..]
                    } else {
                        &experiment.nodes
                    };
                    counts.contains(&target.nodes)
                };
                scenario.is_some_and(nodes) && experiment.peers.iter().any(|peer| peer.name == target.row)
            };
            assert!(experiments.iter().any(runs), "{}", target.name());
        }
    }

    #[test]
    fn the_profiles_name_what_exists() {
        for profile in [Profile::Ci, Profile::Grid] {
            assert!(!profile.experiments(&[1]).unwrap().is_empty());
        }
    }
}
