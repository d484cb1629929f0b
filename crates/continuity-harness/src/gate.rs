//! The gates: in every scenario the law beside everybody else, seed by seed.
//!
//! | gate | asks |
//! | --- | --- |
//! | deployable | 99th percentile beats every balancer that L4 could deploy, or is within 2 % |
//! | best | … and within 10 % of the best of all rows but oracles |
//! | random | … and at most 5 % worse than a backend at random |
//! | rates | errors and time-outs within 0.06 percentage points of the best |
//!
//! A row that fails more requests than the law (by more than 0.06 points) is no competitor in latency: failing fast is
//! not being fast. Beside random, which is always held against, a failure counts as the client's patience for both. Where
//! most requests are on kept connections, out of a balancer's reach, the latency is that of the connects it decided about.
//! A gate that cannot be open has an answer: what `targets.yaml` says can be reached, or the row `oracle-looks`, which is what a
//! rival that probes knows beyond everybody else. With two backends, or below one connect a second per node and backend, the oracle is the judge, and
//! nothing is gated; nor are contests of admission, whose targets say all.

use serde::Serialize;

use crate::experiment::Cell;
use crate::figure::Figures;
use crate::output::Interval;
use crate::scenario::Contest;
use crate::target::GateAnswer;

/// The row that is judged.
const LAW: &str = "law+reports";
/// What a load balancer without a proxy could be today.
const DEPLOYABLE: [&str; 5] = ["random", "round-robin", "least-connections", "p2c", "outlier"];
/// Perfect knowledge after one look of each node.
const LOOKS: &str = "oracle-looks";
/// Ours, and what is ours in another form.
const OURS: [&str; 4] = ["law", LAW, "reference", "reference+reports"];
/// Percentage points in which rates may differ.
const POINTS: f64 = 0.06;

/// A gate of one case.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Gate {
    /// Scenario.
    pub scenario: String,
    /// Nodes.
    pub nodes: u32,
    /// Backends.
    pub backends: u32,
    /// Which gate.
    pub gate: &'static str,
    /// The row it is held against.
    pub rival: &'static str,
    /// The law's figure over the rival's, or the difference in points.
    pub found: Interval,
    /// What it may be.
    pub at_most: f64,
    /// Whether it is.
    pub reached: bool,
    /// The 95 % interval lies wholly on one side.
    pub certain: bool,
    /// If short and answered: the bound of the answer, mean over the seeds, and whether the law reaches it.
    pub answered: Option<(f64, bool)>,
}

impl Gate {
    /// Whether it makes a run fail: short, and not at its answer. With `noise` only where the interval leaves no doubt.
    #[must_use]
    pub fn fails(&self, noise: bool) -> bool {
        let answered = self.answered.is_some_and(|(_, reached)| reached);
        !self.reached && !answered && (self.certain || !noise)
    }
}

/// Share of requests on kept connections from which only connects are judged, percent.
const KEPT: f64 = 50.0;

/// The latency a case is about: inside the window, time-outs as the client's patience.
fn latency(figures: &Figures) -> f64 {
    if figures.kept_percent > KEPT {
        figures.fresh_p99
    } else {
        figures.fault_p99
    }
}

/// The same with every failure as the client's patience.
fn burden(figures: &Figures) -> f64 {
    if figures.kept_percent > KEPT {
        figures.fresh_p99
    } else {
        figures.burden_p99
    }
}

fn failed(figures: &Figures) -> f64 {
    figures.error_percent + figures.timeout_percent
}

fn mean(cell: &Cell, figure: fn(&Figures) -> f64) -> f64 {
    cell.runs.iter().map(figure).sum::<f64>() / (cell.runs.len() as f64).max(1.0)
}

fn fastest<'a>(cells: impl Iterator<Item = &'a Cell>) -> Option<&'a Cell> {
    cells.min_by(|a, b| mean(a, latency).total_cmp(&mean(b, latency)))
}

/// Judges every case that may be.
#[must_use]
pub fn gates(cells: &[Cell], answers: &[GateAnswer]) -> Vec<Gate> {
    let mut found = Vec::new();
    for case in cells.chunk_by(|a, b| a.same_case(b)) {
        let Some(law) = case.iter().find(|cell| cell.peer == LAW) else {
            continue;
        };
        if law.contest == Contest::Admission || law.backends <= 2 || law.rate < 1.0 {
            continue;
        }
        let honest = mean(law, failed) + POINTS;
        let rivals: Vec<&Cell> = case
            .iter()
            .filter(|cell| !cell.oracle && !OURS.contains(&cell.peer))
            .collect();
        let fair = || rivals.iter().filter(|cell| mean(cell, failed) <= honest).copied();
        let mut push = |gate, rival: &Cell, measure: Measure, at_most| {
            let known = answers.iter().find(|answer| {
                (answer.scenario.as_str(), answer.nodes, answer.gate.as_str())
                    == (law.scenario.as_str(), law.nodes, gate)
            });
            let mut held = held(law, rival, gate, measure, at_most);
            if let Some(held) = held.as_mut().filter(|held| !held.reached) {
                held.answered = match known {
                    Some(known) => known.judge(case, LAW),
                    None => looked(case, law, measure, at_most),
                };
            }
            found.extend(held);
        };
        if let Some(rival) = fastest(fair().filter(|cell| DEPLOYABLE.contains(&cell.peer))) {
            push("deployable", rival, Measure::Ratio(latency), 1.02);
        }
        if let Some(rival) = fastest(fair()) {
            push("best", rival, Measure::Ratio(latency), 1.10);
        }
        if let Some(rival) = rivals.iter().find(|cell| cell.peer == "random") {
            push("random", rival, Measure::Ratio(burden), 1.05);
        }
        let safest = rivals
            .iter()
            .min_by(|a, b| mean(a, failed).total_cmp(&mean(b, failed)));
        if let Some(rival) = safest {
            push("rates", rival, Measure::Points, POINTS);
        }
    }
    found
}

/// Without probes and word of others each node must look once before it knows who is sick. What remains beside the oracle
/// that does just that is within the gate's own bound.
fn looked(case: &[Cell], law: &Cell, measure: Measure, at_most: f64) -> Option<(f64, bool)> {
    let bound = case.iter().find(|cell| cell.peer == LOOKS)?;
    let held = held(law, bound, LOOKS, measure, at_most)?;
    let bound = match measure {
        Measure::Ratio(figure) => at_most * mean(bound, figure),
        Measure::Points => at_most + mean(bound, failed),
    };
    Some((bound, held.reached))
}

/// How two rows are compared.
#[derive(Clone, Copy)]
enum Measure {
    /// The law's figure over the rival's.
    Ratio(fn(&Figures) -> f64),
    /// Failed requests, difference in points.
    Points,
}

fn held(law: &Cell, rival: &Cell, gate: &'static str, measure: Measure, at_most: f64) -> Option<Gate> {
    let pairs = law.runs.iter().zip(&rival.runs);
    let found = Interval::of(pairs.map(|(own, other)| match measure {
        Measure::Ratio(figure) => figure(own) / figure(other),
        Measure::Points => failed(own) - failed(other),
    }))?;
    let half = found.half.unwrap_or(f64::INFINITY);
    Some(Gate {
        scenario: law.scenario.clone(),
        nodes: law.nodes,
        backends: law.backends,
        gate,
        rival: rival.peer,
        found,
        at_most,
        reached: found.mean <= at_most,
        certain: (found.mean - at_most).abs() >= half,
        answered: None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::experiment::Experiment;
    use crate::peer;
    use crate::scenario::shipped;

    fn cells(scenario: &str, backends: u32) -> Vec<Cell> {
        let mut scenario = shipped(scenario).unwrap();
        scenario.duration_millis = 30_000;
        scenario.window.to_millis = 30_000;
        scenario
            .faults
            .iter_mut()
            .for_each(|fault| fault.to_millis = 30_000);
        let rows = ["law+reports", "random", "ewma", "oracle-best"].map(str::to_owned);
        let experiment = Experiment {
            scenarios: vec![scenario],
            peers: peer::named(&rows).unwrap(),
            nodes: vec![10],
            backends: vec![backends],
            seeds: vec![1, 2],
        };
        experiment.run(1, &|_, _, _| {}).unwrap()
    }

    #[test]
    fn a_peer_that_fails_fast_is_no_rival_in_latency() {
        let found = gates(&cells("S5", 10), &[]);
        let names: Vec<&str> = found.iter().map(|gate| gate.gate).collect();
        assert_eq!(names, ["random", "rates"], "all others fail whole percents");
        assert!(found.iter().all(|gate| gate.reached));
        assert!(
            gates(&cells("S5", 2), &[]).is_empty(),
            "two backends are the oracle's to judge"
        );
    }

    #[test]
    fn oracles_are_never_rivals() {
        let found = gates(&cells("S1", 10), &[]);
        assert!(found.iter().all(|gate| !gate.rival.starts_with("oracle")));
        let best = found.iter().find(|gate| gate.gate == "best").unwrap();
        assert_eq!(best.rival, "ewma");
    }
}
