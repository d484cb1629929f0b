//! What Continuity must reach, as rules over a measured trial.
//!
//! A goal whose figure could not be measured has fallen short: nothing counts as reached that was not seen.

mod judge;

use serde::{Deserialize, Serialize};

pub(super) use judge::judge;

/// One rule.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Goal {
    /// The share of the sick backends falls below a quarter of fair within so long.
    Detected {
        /// Seconds.
        seconds: f64,
    },
    /// From 5 s on their share is at most this.
    ShareLate {
        /// Percent of new connections.
        percent: f64,
    },
    /// The same for the stream beside.
    BesideShareLate {
        /// Percent of new connections.
        percent: f64,
    },
    /// The stream beside keeps giving the backend its fair share, and nothing of it fails.
    BesideKeeps,
    /// The sick backend keeps its fair share: nothing is steered.
    Untouched,
    /// `explain` names the sick backend and says what would have been done.
    SaysWouldHave,
    /// From 5 s on p99 is at most so many times the p99 before the fault.
    P99Late {
        /// Times.
        ratio: f64,
    },
    /// The same against what healthy backends gave under kube-proxy at the same time, where the fault's own making (pods
    /// that start) loads the machine.
    P99LateBeside {
        /// Times.
        ratio: f64,
    },
    /// No attempt fails from the beginning to the end of the trial.
    NoneFailed,
    /// At most this part of the attempts during the fault fails.
    Failed {
        /// Percent of attempts.
        percent: f64,
    },
    /// Over no two seconds of the fault is the share above what a fair draw would show.
    NeverGains,
    /// After the end the share is back at 80 % of fair within so long.
    Returned {
        /// Seconds.
        seconds: f64,
    },
    /// From 5 s on the servers themselves count at most this share at the sick backend.
    ServerSaw {
        /// Percent of accepted connections.
        percent: f64,
    },
    /// The maps of every node give the sick backend at most this share.
    MapsSay {
        /// Percent of the set's slots.
        percent: f64,
    },
    /// What the kernel has counted is still there afterwards.
    CountersSurvive,
    /// The pinned links and maps are the same ones afterwards.
    FieldSurvives,
    /// The kernel began to hold at this age of the heartbeat (up to 1 s later).
    Held {
        /// Seconds.
        seconds: f64,
    },
    /// The kernel fell back at this age of the heartbeat (up to 1 s later).
    FellBack {
        /// Seconds.
        seconds: f64,
    },
    /// Every node reports the other build after the upgrade, and its own again after the way back.
    Upgraded,
    /// An agent is ready on the node again.
    TakenOver,
    /// Status names the sick backend so long after the API server's return.
    StatusCatchesUp {
        /// Seconds.
        seconds: f64,
    },
    /// Replicas are raised within so long.
    ScaledWithin {
        /// Seconds.
        seconds: f64,
    },
    /// Replicas are raised before the p99 of clients passes the objective.
    ScaledBeforeBreach {
        /// The objective, ms.
        millis: f64,
    },
    /// The number of replicas changes direction at most so often.
    Turns {
        /// Times.
        most: usize,
    },
    /// After the surge the hint is lower than at its highest.
    HintFalls,
}

/// A goal, what was measured, and whether it held.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq, Serialize)]
pub struct Check {
    /// What it was measured under.
    pub fault: String,
    /// What was measured.
    pub name: String,
    /// The figure.
    pub measured: String,
    /// What it must be.
    pub goal: String,
    /// Whether it is.
    pub passed: bool,
}

impl Check {
    /// One line, as test runners print them.
    pub fn line(&self) -> String {
        format!(
            "{}: {}: {} (goal {})",
            self.fault, self.name, self.measured, self.goal
        )
    }

    /// A check of a figure that must not pass a bound.
    pub fn at_most(fault: &str, name: &str, measured: Option<f64>, bound: f64, unit: &str) -> Self {
        Self {
            fault: fault.to_owned(),
            name: name.to_owned(),
            measured: measured.map_or_else(|| "not seen".to_owned(), |value| format!("{value:.3}{unit}")),
            goal: format!("≤ {bound}{unit}"),
            passed: measured.is_some_and(|value| value <= bound),
        }
    }

    /// A check of something that is or is not so.
    pub fn that(fault: &str, name: &str, held: bool, measured: impl Into<String>, goal: &str) -> Self {
        let (fault, name, goal) = (fault.to_owned(), name.to_owned(), goal.to_owned());
        Self {
            fault,
            name,
            measured: measured.into(),
            goal,
            passed: held,
        }
    }
}
