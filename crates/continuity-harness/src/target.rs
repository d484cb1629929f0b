//! What the law must reach: bounds on figures of named scenarios, checked after a run.
//!
//! The bounds are those of the project's goals; a row that falls short is printed and fails the run. Left out: bounds on
//! what the plant does not simulate yet (admission, trickle, scale hints).

use crate::experiment::Cell;
use crate::figure::Figures;
use crate::output::Interval;

/// One bound.
#[derive(Debug, Clone, Copy)]
pub struct Target {
    /// Scenario.
    pub scenario: &'static str,
    /// Nodes that it holds for.
    pub nodes: u32,
    /// Row.
    pub peer: &'static str,
    /// Which figure.
    pub figure: &'static str,
    of: fn(&Figures) -> f64,
    /// The mean over the seeds may be at most this.
    pub most: f64,
}

/// A target that was missed.
#[derive(Debug, Clone, PartialEq)]
pub struct Miss {
    /// What was asked.
    pub target: String,
    /// What came out.
    pub found: f64,
    /// What was allowed.
    pub most: f64,
}

type Figure = (&'static str, fn(&Figures) -> f64);

const P99: Figure = ("p99", |f| f.p99);
const P999: Figure = ("p99.9", |f| f.p999);
const FAULT_P99: Figure = ("p99 in fault", |f| f.fault_p99);
const SICK: Figure = ("on the sick %", |f| f.sick_percent);
const ERRORS: Figure = ("errors %", |f| f.error_percent);
const TIMEOUTS: Figure = ("time-outs %", |f| f.timeout_percent);
const ISOLATIONS: Figure = ("isolations", |f| f.isolations);
const DISPERSION: Figure = ("D", |f| f.dispersion);
const RECOVER: Figure = ("recover s", |f| f.recover_seconds.unwrap_or(f64::INFINITY));
const FAILED: Figure = ("failed in fault %", |f| f.fault_failed_percent);
const SETTLED_P99: Figure = ("p99 from 5 s on", |f| f.settled_p99);
const SETTLED_SICK: Figure = ("on the sick from 5 s on %", |f| f.settled_sick_percent);

const fn law(scenario: &'static str, nodes: u32, (figure, of): Figure, most: f64) -> Target {
    Target {
        scenario,
        nodes,
        peer: "law+reports",
        figure,
        of,
        most,
    }
}

/// In the demo's cluster the kernel writes no reports.
const fn demo(scenario: &'static str, (figure, of): Figure, most: f64) -> Target {
    Target {
        scenario,
        nodes: 3,
        peer: "law",
        figure,
        of,
        most,
    }
}

/// Every bound. Times in ms unless the figure says otherwise.
pub const TARGETS: &[Target] = &[
    law("S0", 10, P99, 72.0),
    law("S0", 60, P99, 76.0),
    law("S0", 10, ISOLATIONS, 0.0),
    law("S0", 60, ISOLATIONS, 0.0),
    law("S1", 10, FAULT_P99, 75.0),
    law("S1", 60, FAULT_P99, 82.0),
    law("S1", 10, P999, 94.0),
    law("S1", 60, P999, 112.0),
    law("S1", 10, SICK, 0.1),
    law("S1", 10, RECOVER, 20.0),
    law("S3", 10, ERRORS, 0.03),
    law("S3", 60, ERRORS, 0.08),
    law("S3", 10, RECOVER, 20.0),
    law("S4", 10, FAULT_P99, 76.0),
    law("S4", 60, FAULT_P99, 85.0),
    law("S5", 10, ERRORS, 0.03),
    law("S5", 60, ERRORS, 0.08),
    law("S5", 10, RECOVER, 20.0),
    law("S6", 10, P99, 87.0),
    law("S6", 60, P99, 92.0),
    law("S6b", 10, P99, 85.0),
    law("S6b", 60, P99, 110.0),
    law("S7", 10, FAULT_P99, 128.0),
    law("S7", 60, FAULT_P99, 150.0),
    law("S8", 10, TIMEOUTS, 0.05),
    law("S8", 60, TIMEOUTS, 0.09),
    law("S22", 10, ISOLATIONS, 0.0),
    law("S0-cached", 10, DISPERSION, 1.25),
    law("S0-lag", 10, DISPERSION, 1.25),
    demo("demo-gray", SETTLED_SICK, 0.2),
    demo("demo-gray", SETTLED_P99, 183.0),
    demo("demo-gray", FAILED, 0.0),
    demo("demo-gray", RECOVER, 30.0),
    demo("demo-fast-fail", FAILED, 0.5),
    demo("demo-refused", FAILED, 0.5),
    demo("demo-hang", FAILED, 0.5),
    demo("demo-two-gray", SETTLED_SICK, 0.2),
    demo("demo-two-gray", SETTLED_P99, 183.0),
    demo("demo-alternate", FAILED, 0.0),
    demo("demo-rolling", FAILED, 0.0),
    demo("demo-rolling-gray", FAILED, 0.0),
    demo("demo-starved", ISOLATIONS, 0.0),
];

/// The targets that the cells speak of and miss; a target without a cell is not judged.
#[must_use]
pub fn misses(targets: &[Target], cells: &[Cell]) -> Vec<Miss> {
    targets.iter().filter_map(|target| miss(target, cells)).collect()
}

fn miss(target: &Target, cells: &[Cell]) -> Option<Miss> {
    let fits = |cell: &&Cell| {
        cell.scenario == target.scenario && cell.nodes == target.nodes && cell.peer == target.peer
    };
    let cell = cells.iter().find(fits)?;
    let never = cell.runs.iter().any(|run| (target.of)(run) == f64::INFINITY);
    let found = if never {
        f64::INFINITY
    } else {
        Interval::of(cell.runs.iter().map(target.of))?.mean
    };
    (found > target.most).then(|| Miss {
        target: format!(
            "{} {} N={}: {}",
            target.peer, target.scenario, target.nodes, target.figure
        ),
        found,
        most: target.most,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::experiment::Experiment;
    use crate::peer::named;
    use crate::scenario::{names, shipped};

    #[test]
    fn every_target_names_a_scenario_and_a_row() {
        for target in TARGETS {
            assert!(names().contains(&target.scenario), "{}", target.scenario);
            assert!(named(&[target.peer.to_owned()]).is_ok(), "{}", target.peer);
        }
    }

    #[test]
    fn a_miss_tells_what_was_asked_and_what_came_out() {
        let mut scenario = shipped("S0").unwrap();
        scenario.duration_millis = 10_000;
        scenario.window.from_millis = 5_000;
        scenario.window.to_millis = 10_000;
        let experiment = Experiment {
            scenarios: vec![scenario],
            peers: named(&["law+reports".to_owned()]).unwrap(),
            nodes: vec![10],
            backends: Vec::new(),
            seeds: vec![1],
        };
        let cells = experiment.run(1, &|_, _, _| {}).unwrap();
        assert_eq!(
            misses(&[law("S0", 60, P99, 0.0), law("S0", 10, P99, 1e6)], &cells),
            []
        );
        let missed = misses(&[law("S0", 10, P99, 1.0)], &cells);
        assert_eq!(missed[0].target, "law+reports S0 N=10: p99");
        assert!(missed[0].found > 20.0);
        assert_eq!(misses(&[law("S0", 10, RECOVER, 20.0)], &cells).len(), 1);
    }
}
