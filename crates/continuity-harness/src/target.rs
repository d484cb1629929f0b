//! What the law must reach: bounds on figures of named scenarios, read from a file, judged with their intervals.
//!
//! The shipped list is `targets.yaml`. A bound may be a number, or a multiple of another row's figure in the same seeds.
//! Where physics or information forbids a bound, an answer stands beside it: what can be reached at all in the same plant,
//! and why. Invariants: a target whose cells were run is judged; one whose cells were not is not counted as reached; an
//! answered target stays short, and fails like any other when it misses its answer.

use serde::{Deserialize, Serialize};

use crate::experiment::Cell;
use crate::figure::{Figure, named};
use crate::output::Interval;

/// Version of the file format.
pub const VERSION: u32 = 1;
/// The shipped list.
const SHIPPED: &str = include_str!("../targets.yaml");

/// A list of targets.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Targets {
    /// Format version; 1.
    pub version: u32,
    /// The bounds.
    pub targets: Vec<Target>,
    /// Gates that cannot be open, with what can be reached.
    #[serde(default)]
    pub gates: Vec<GateAnswer>,
}

/// What can be reached where a target cannot.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Answer {
    /// The mean over the seeds may be at most this.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub at_most: Option<Bound>,
    /// The mean over the seeds must be at least this.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub at_least: Option<Bound>,
    /// Why not more.
    pub why: String,
}

/// What can be reached where a gate cannot be open.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GateAnswer {
    /// Scenario.
    pub scenario: String,
    /// Nodes that it holds for.
    #[serde(default = "ten")]
    pub nodes: u32,
    /// Which gate.
    pub gate: String,
    /// Which figure of the law is held against the bound.
    pub figure: String,
    /// The bound, and why not more.
    pub answer: Answer,
}

/// One bound.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Target {
    /// Scenario.
    pub scenario: String,
    /// Nodes that it holds for.
    #[serde(default = "ten")]
    pub nodes: u32,
    /// Row.
    #[serde(default = "gated")]
    pub row: String,
    /// Which figure.
    pub figure: String,
    /// The mean over the seeds may be at most this.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub at_most: Option<Bound>,
    /// The mean over the seeds must be at least this.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub at_least: Option<Bound>,
    /// What can be reached, if that cannot.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub answer: Option<Answer>,
}

const fn ten() -> u32 {
    10
}

fn gated() -> String {
    "law+reports".to_owned()
}

/// A bound.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Bound {
    /// A number.
    Number(f64),
    /// A multiple of another figure; what is not named is as in the target.
    Other(Other),
}

/// Another figure.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Other {
    /// Its scenario.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scenario: Option<String>,
    /// Its nodes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub nodes: Option<u32>,
    /// Its row.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub row: Option<String>,
    /// Its name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub figure: Option<String>,
    /// Multiple of it.
    pub factor: f64,
    /// Added.
    #[serde(default)]
    pub plus: f64,
}

/// Why a list of targets is of no use.
#[derive(Debug, thiserror::Error)]
pub enum TargetError {
    /// Not YAML, or not of this form; the message names line and field.
    #[error("targets: {0}")]
    Syntax(#[from] serde_yaml_ng::Error),
    /// Another format version.
    #[error("targets: format version {found}, this program reads version {VERSION}")]
    Version {
        /// In the file.
        found: u32,
    },
    /// A figure that does not exist.
    #[error("target {target}: no figure {figure:?}; the names are those of results.json")]
    Figure {
        /// Which target.
        target: String,
        /// What it asks for.
        figure: String,
    },
    /// Neither bound, or both.
    #[error("target {0}: give one of at_most and at_least")]
    Bounds(String),
}

/// How a target came out.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Judgement {
    /// What was asked.
    pub target: Target,
    /// What came out; none if it never happened.
    pub found: Option<Interval>,
    /// The bound, mean over the seeds.
    pub bound: f64,
    /// Reached by the mean.
    pub reached: bool,
    /// The 95 % interval lies wholly on one side of the bound.
    pub certain: bool,
    /// If short and answered: the bound of the answer, mean over the seeds, and whether the mean reaches it.
    pub answered: Option<(f64, bool)>,
}

impl Judgement {
    /// Whether it makes a run fail: short, and not at its answer. With `noise` only where the interval leaves no doubt.
    #[must_use]
    pub fn fails(&self, noise: bool) -> bool {
        let answered = self.answered.is_some_and(|(_, reached)| reached);
        !self.reached && !answered && (self.certain || !noise)
    }
}

impl Targets {
    /// The list that comes with the program.
    ///
    /// # Errors
    /// None, if the tests passed.
    pub fn shipped() -> Result<Self, TargetError> {
        Self::parse(SHIPPED)
    }

    /// Reads and checks a list.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn parse(text: &str) -> Result<Self, TargetError> {
        let list: Self = serde_yaml_ng::from_str(text)?;
        if list.version != VERSION {
            return Err(TargetError::Version { found: list.version });
        }
        for target in &list.targets {
            let name = || target.name();
            check(name, &target.figure, &target.at_most, &target.at_least)?;
            if let Some(answer) = &target.answer {
                check(name, &target.figure, &answer.at_most, &answer.at_least)?;
            }
        }
        for gate in &list.gates {
            let name = || format!("{} N={} {}", gate.scenario, gate.nodes, gate.gate);
            check(name, &gate.figure, &gate.answer.at_most, &gate.answer.at_least)?;
        }
        Ok(list)
    }

    /// Judges those whose cells are there.
    #[must_use]
    pub fn judge(&self, cells: &[Cell]) -> Vec<Judgement> {
        self.targets
            .iter()
            .filter_map(|target| target.judge(cells))
            .collect()
    }
}

fn find<'a>(cells: &'a [Cell], scenario: &str, nodes: u32, row: &str) -> Option<&'a Cell> {
    cells
        .iter()
        .find(|cell| cell.scenario == scenario && cell.nodes == nodes && cell.peer == row)
}

impl Target {
    /// What it is about, in a few words.
    #[must_use]
    pub fn name(&self) -> String {
        format!("{} N={} {} {}", self.scenario, self.nodes, self.row, self.figure)
    }

    #[cfg(test)]
    fn bound(&self) -> Option<&Bound> {
        self.at_most.as_ref().or(self.at_least.as_ref())
    }

    fn judge(&self, cells: &[Cell]) -> Option<Judgement> {
        let cell = find(cells, &self.scenario, self.nodes, &self.row)?;
        let figure: Figure = named(&self.figure)?;
        let found: Vec<f64> = cell.runs.iter().map(figure).collect();
        let place = Place {
            scenario: &self.scenario,
            nodes: self.nodes,
            row: &self.row,
            figure: &self.figure,
        };
        let held = place.hold(cells, &found, (&self.at_most, &self.at_least))?;
        let never = found.iter().any(|value| !value.is_finite());
        let answer = self.answer.as_ref().filter(|_| !held.reached);
        let answer = answer.and_then(|own| place.hold(cells, &found, (&own.at_most, &own.at_least)));
        Some(Judgement {
            target: self.clone(),
            found: Interval::of(found).filter(|_| !never),
            bound: held.bound,
            reached: held.reached,
            certain: held.certain,
            answered: answer.map(|held| (held.bound, held.reached)),
        })
    }
}

impl GateAnswer {
    /// The bound and whether the law's row reaches it; none without its cells.
    #[must_use]
    pub fn judge(&self, cells: &[Cell], row: &str) -> Option<(f64, bool)> {
        let cell = find(cells, &self.scenario, self.nodes, row)?;
        let found: Vec<f64> = cell.runs.iter().map(named(&self.figure)?).collect();
        let place = Place {
            scenario: &self.scenario,
            nodes: self.nodes,
            row,
            figure: &self.figure,
        };
        let held = place.hold(cells, &found, (&self.answer.at_most, &self.answer.at_least))?;
        Some((held.bound, held.reached))
    }
}

/// Where a figure stands; what another bound does not name is as here.
struct Place<'a> {
    scenario: &'a str,
    nodes: u32,
    row: &'a str,
    figure: &'a str,
}

/// A figure beside its bound.
struct Held {
    bound: f64,
    reached: bool,
    certain: bool,
}

impl Place<'_> {
    /// The bound of each seed.
    fn bounds(&self, cells: &[Cell], bound: &Bound, seeds: usize) -> Option<Vec<f64>> {
        match bound {
            Bound::Number(number) => Some(vec![*number; seeds]),
            Bound::Other(other) => {
                let scenario = other.scenario.as_deref().unwrap_or(self.scenario);
                let row = other.row.as_deref().unwrap_or(self.row);
                let cell = find(cells, scenario, other.nodes.unwrap_or(self.nodes), row)?;
                let figure = named(other.figure.as_deref().unwrap_or(self.figure))?;
                let one = |run| other.factor * figure(run) + other.plus;
                Some(cell.runs.iter().map(one).collect())
            }
        }
    }

    fn hold(
        &self,
        cells: &[Cell],
        found: &[f64],
        (at_most, at_least): (&Option<Bound>, &Option<Bound>),
    ) -> Option<Held> {
        let bounds = self.bounds(cells, at_most.as_ref().or(at_least.as_ref())?, found.len())?;
        let sign = if at_most.is_some() { 1.0 } else { -1.0 };
        let never = found.iter().chain(&bounds).any(|value| !value.is_finite());
        let excess = found.iter().zip(&bounds);
        let excess = Interval::of(excess.map(|(found, bound)| sign * (found - bound)));
        let half = excess.and_then(|excess| excess.half).unwrap_or(f64::INFINITY);
        Some(Held {
            bound: bounds.iter().sum::<f64>() / (bounds.len() as f64).max(1.0),
            reached: !never && excess.is_some_and(|excess| excess.mean <= 1e-9),
            certain: never || excess.is_some_and(|excess| excess.mean.abs() >= half),
        })
    }
}

/// A known figure and exactly one bound, whose figure is known too.
fn check(
    name: impl Fn() -> String,
    figure: &str,
    at_most: &Option<Bound>,
    at_least: &Option<Bound>,
) -> Result<(), TargetError> {
    let bound = match (at_most, at_least) {
        (Some(bound), None) | (None, Some(bound)) => bound,
        _ => return Err(TargetError::Bounds(name())),
    };
    let other = match bound {
        Bound::Other(other) => other.figure.as_deref(),
        Bound::Number(_) => None,
    };
    for figure in [Some(figure), other].into_iter().flatten() {
        if named(figure).is_none() {
            return Err(TargetError::Figure {
                target: name(),
                figure: figure.to_owned(),
            });
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests;
