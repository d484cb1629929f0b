//! The rules behind the goals.
//!
//! Pure: a trial goes in, checks come out.

use super::{Check, Goal};
use crate::demo::latency::fraction;
use crate::demo::trial::{Row, Scaling, Sick, Trial};
use crate::image::NEXT;

/// Judges every goal of a trial.
pub(in crate::demo) fn judge(goals: &[Goal], trial: &Trial) -> Vec<Check> {
    goals
        .iter()
        .map(|goal| goal.judge(trial))
        .chain(preconditions(trial))
        .collect()
}

/// What makes a trial worthless, as checks that did not hold.
fn preconditions(trial: &Trial) -> Vec<Check> {
    let mut broken = Vec::new();
    if trial.missed > 0 {
        let measured = trial.missed.to_string();
        broken.push(Check::that(
            &trial.fault,
            "records lost by the clients",
            false,
            measured,
            "0",
        ));
    }
    if let Some((first, begin)) = trial.scaling.as_ref().and_then(Scaling::restless) {
        let measured = format!("{first} → {begin}");
        broken.push(Check::that(
            &trial.fault,
            "replicas while the load was calm",
            false,
            measured,
            "unchanged",
        ));
    }
    for (system, row) in [("Continuity", &trial.ours), ("kube-proxy", &trial.theirs)] {
        if let Some(sick) = row.sick.as_ref().filter(|sick| !had_share(sick)) {
            let name = format!("share before the fault, {system}");
            let measured = format!("{:.1} %", sick.before * 100.0);
            let goal = format!("≥ {:.0} %, else nothing is shown", sick.fair * 80.0);
            broken.push(Check::that(&trial.fault, &name, false, measured, &goal));
        }
    }
    broken
}

/// Whether the victims had their share before the fault, so that losing it means something.
fn had_share(sick: &Sick) -> bool {
    sick.before >= 0.8 * sick.fair
}

impl Goal {
    fn judge(&self, trial: &Trial) -> Check {
        let known = self
            .shares(trial)
            .or_else(|| self.costs(trial))
            .or_else(|| self.agents(trial));
        known.unwrap_or_else(|| self.scaling(trial))
    }

    /// Goals about where connections went.
    fn shares(&self, trial: &Trial) -> Option<Check> {
        let row: &Row = &trial.ours;
        let sick: Option<&Sick> = row.sick.as_ref().filter(|sick| had_share(sick));
        let percent = |share: f64| share * 100.0;
        let most = |name, measured, bound, unit| Check::at_most(&trial.fault, name, measured, bound, unit);
        Some(match *self {
            Self::Detected { seconds } => {
                most("time to detect", sick.and_then(|s| s.detected_s), seconds, " s")
            }
            Self::Returned { seconds } => {
                most("time to return", sick.and_then(|s| s.returned_s), seconds, " s")
            }
            Self::ShareLate { percent: bound } => most(
                "share of the sick backend from 5 s on",
                sick.map(|s| percent(s.late)),
                bound,
                " %",
            ),
            Self::BesideShareLate { percent: bound } => {
                let share = row
                    .beside
                    .as_ref()
                    .filter(|s| s.late_count > 0)
                    .map(|s| percent(s.late));
                most("the same over IPv6", share, bound, " %")
            }
            Self::NeverGains => {
                let bound = sick.map_or(0.0, |s| round(percent(s.peak_bound)));
                most(
                    "largest share over 2 s",
                    sick.map(|s| percent(s.peak)),
                    bound,
                    " %",
                )
            }
            Self::ServerSaw { percent: bound } => most(
                "share that the servers counted",
                row.server_saw.map(percent),
                bound,
                " %",
            ),
            Self::MapsSay { percent: bound } => most(
                "share that the maps say",
                trial.maps_share.map(percent),
                bound,
                " %",
            ),
            Self::BesideKeeps => beside_keeps(trial),
            Self::Untouched => untouched(trial, sick),
            Self::SaysWouldHave => says_would_have(trial),
            _ => return None,
        })
    }

    /// Goals about what attempts cost.
    fn costs(&self, trial: &Trial) -> Option<Check> {
        let row: &Row = &trial.ours;
        let most = |name, measured, bound, unit| Check::at_most(&trial.fault, name, measured, bound, unit);
        Some(match *self {
            Self::P99Late { ratio } => most("p99 from 5 s on / healthy p99", slower(row), ratio, " ×"),
            Self::P99LateBeside { ratio } => {
                let (ours, well) = (row.late, trial.theirs.well_late);
                let slower = (ours.attempts > 0 && well.p99_ms > 0.0).then(|| ours.p99_ms / well.p99_ms);
                most(
                    "p99 from 5 s on / p99 of kube-proxy's healthy backends",
                    slower,
                    ratio,
                    " ×",
                )
            }
            Self::NoneFailed => most(
                "failed attempts",
                count(row.whole.attempts, row.whole.failed),
                0.0,
                "",
            ),
            Self::Failed { percent: bound } => {
                let failed = (row.during.attempts > 0).then(|| row.during.failed_ppm() / 1e4);
                most("failed attempts during the fault", failed, bound, " %")
            }
            _ => return None,
        })
    }

    /// Goals about agents and control plane.
    fn agents(&self, trial: &Trial) -> Option<Check> {
        let agents = trial.agents.as_ref();
        let that =
            |name, held, measured: String, goal: &str| Check::that(&trial.fault, name, held, measured, goal);
        let age = |name, seen: Option<f64>, due: f64| {
            let held = seen.is_some_and(|age| (due..=due + 1.0).contains(&age));
            let measured = seen.map_or_else(|| "not seen".to_owned(), |age| format!("{age:.2} s"));
            that(name, held, measured, &format!("{due} s to {} s", due + 1.0))
        };
        Some(match *self {
            Self::CountersSurvive => {
                let counted = agents.and_then(|a| a.counted);
                let text = counted.map_or_else(|| "not seen".into(), |(a, b)| format!("{a} → {b}"));
                that(
                    "connections counted",
                    counted.is_some_and(|(a, b)| a > 0 && b >= a),
                    text,
                    "never less",
                )
            }
            Self::FieldSurvives => {
                let same = agents.and_then(|a| a.same_pins);
                let text = same.map_or("not seen", |same| if same { "the same" } else { "others" });
                that(
                    "pinned links and maps",
                    same == Some(true),
                    text.into(),
                    "the same",
                )
            }
            Self::Held { seconds } => age("hold", agents.and_then(|a| a.held_s), seconds),
            Self::FellBack { seconds } => age("fallback", agents.and_then(|a| a.fell_back_s), seconds),
            Self::TakenOver => {
                let ready = agents.and_then(|a| a.taken_over_s);
                Check::at_most(&trial.fault, "taken over after", ready, 45.0, " s")
            }
            Self::Upgraded => upgraded(trial),
            Self::StatusCatchesUp { seconds } => Check::at_most(
                &trial.fault,
                "status catches up after",
                trial.status_back_s,
                seconds,
                " s",
            ),
            _ => return None,
        })
    }

    /// Goals about the autoscaler.
    fn scaling(&self, trial: &Trial) -> Check {
        let none = Scaling::default();
        let scaling = trial.scaling.as_ref().unwrap_or(&none);
        let raised = scaling.raised_s();
        match *self {
            Self::ScaledWithin { seconds } => {
                Check::at_most(&trial.fault, "replicas raised after", raised, seconds, " s")
            }
            Self::ScaledBeforeBreach { millis } => {
                let before = scaling.breached_s.unwrap_or(f64::INFINITY);
                let at = |s: f64| {
                    if s.is_finite() {
                        format!("{s:.1} s")
                    } else {
                        "never".into()
                    }
                };
                let text = raised.map_or_else(|| "never raised".into(), |s| format!("raised {s:.1} s"));
                let measured = format!("{text}, p99 over {millis} ms: {}", at(before));
                let held = raised.is_some_and(|s| s < before);
                Check::that(
                    &trial.fault,
                    "replicas raised before the breach",
                    held,
                    measured,
                    "before",
                )
            }
            Self::Turns { most } => {
                let seen = !scaling.replicas.is_empty();
                let turns = seen.then(|| fraction(scaling.turns()));
                Check::at_most(&trial.fault, "changes of direction", turns, fraction(most), "")
            }
            _ => {
                let highest = scaling.hints.iter().map(|(_, n)| *n).max();
                let last = scaling.hints.last().map(|(_, n)| *n);
                let held = matches!((highest, last), (Some(highest), Some(last)) if last < highest);
                let text = |n: Option<u32>| n.map_or_else(|| "not seen".to_owned(), |n| n.to_string());
                let measured = format!("{} → {}", text(highest), text(last));
                Check::that(
                    &trial.fault,
                    "hint after the surge",
                    held,
                    measured,
                    "lower than at its highest",
                )
            }
        }
    }
}

/// p99 from 5 s on as a multiple of the p99 before.
fn slower(row: &Row) -> Option<f64> {
    let both = row.late.attempts > 0 && row.healthy.p99_ms > 0.0;
    both.then(|| row.late.p99_ms / row.healthy.p99_ms)
}

fn count(attempts: usize, failed: usize) -> Option<f64> {
    (attempts > 0).then(|| fraction(failed))
}

fn round(value: f64) -> f64 {
    (value * 10.0).round() / 10.0
}

/// An upgrade that ended with the program it began with proves nothing.
fn upgraded(trial: &Trial) -> Check {
    let versions = trial.agents.as_ref().and_then(|agents| agents.versions.as_ref());
    let held = versions.is_some_and(|(there, back)| {
        !there.is_empty()
            && there.len() == back.len()
            && there.iter().all(|version| version == NEXT)
            && back.iter().all(|version| version != NEXT)
    });
    let text =
        |(there, back): &(Vec<String>, Vec<String>)| format!("{} → {}", there.join(" "), back.join(" "));
    let measured = versions.map_or_else(|| "not seen".to_owned(), text);
    let goal = "the other build on every node, then the usual one";
    Check::that(
        &trial.fault,
        "versions that the nodes report",
        held,
        measured,
        goal,
    )
}

/// Observe moves nothing.
fn untouched(trial: &Trial, sick: Option<&Sick>) -> Check {
    let kept = |s: &Sick| (s.late / s.fair - 1.0).abs() <= 0.2;
    let measured = sick.map_or_else(|| "not seen".to_owned(), |s| format!("{:.1} %", s.late * 100.0));
    Check::that(
        &trial.fault,
        "share of the sick backend",
        sick.is_some_and(kept),
        measured,
        "fair ± a fifth",
    )
}

/// What Observe is for: the explanation must name the backend and speak of what would have been done.
fn says_would_have(trial: &Trial) -> Check {
    let said = trial.explained.as_deref().unwrap_or_default();
    let line = said.lines().find(|line| line.to_lowercase().contains("would"));
    let named = trial.victims.first().is_some_and(|pod| said.contains(pod));
    let measured = line.map_or("nothing of the kind", str::trim);
    let goal = "names the sick pod and what would have been done";
    Check::that(&trial.fault, "explain", named && line.is_some(), measured, goal)
}

/// The port that is well must not lose the backend whose other port is sick.
fn beside_keeps(trial: &Trial) -> Check {
    let row = &trial.ours;
    let share = row.beside.as_ref().filter(|s| s.late_count > 0);
    let failed = row.beside_whole.map_or(0, |s| s.failed);
    // A slow stream's share spreads: four standard deviations of a fair draw are still fair.
    let least = |s: &Sick| s.fair - 4.0 * (s.fair * (1.0 - s.fair) / fraction(s.late_count)).sqrt();
    let held = share.is_some_and(|s| s.late >= least(s)) && failed == 0;
    let measured = share.map_or_else(
        || "not seen".to_owned(),
        |s| {
            format!(
                "{:.1} % of fair {:.1} %, {failed} failed",
                s.late * 100.0,
                s.fair * 100.0
            )
        },
    );
    let goal = share.map_or_else(
        || "fair".to_owned(),
        |s| format!("≥ {:.1} % (fair - 4 σ), 0 failed", least(s) * 100.0),
    );
    Check::that(
        &trial.fault,
        "share on the port that is well",
        held,
        measured,
        &goal,
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::demo::latency::Summary;

    fn trial() -> Trial {
        let sick = Sick {
            fair: 0.2,
            before: 0.2,
            late: 0.001,
            late_count: 7500,
            detected_s: Some(1.2),
            ..Sick::default()
        };
        let summary = |p99_ms, failed| Summary {
            attempts: 10_000,
            failed,
            p99_ms,
            ..Summary::default()
        };
        let ours = Row {
            healthy: summary(80.0, 0),
            late: summary(100.0, 0),
            whole: summary(90.0, 1),
            sick: Some(sick),
            ..Row::default()
        };
        Trial {
            fault: "gray".into(),
            ours,
            ..Trial::default()
        }
    }

    #[test]
    fn figures_within_their_bounds_hold_and_others_do_not() {
        let held = |goal: Goal| goal.judge(&trial()).passed;
        assert!(held(Goal::Detected { seconds: 2.0 }) && !held(Goal::Detected { seconds: 1.0 }));
        assert!(held(Goal::ShareLate { percent: 0.2 }) && !held(Goal::ShareLate { percent: 0.05 }));
        assert!(held(Goal::P99Late { ratio: 1.3 }) && !held(Goal::P99Late { ratio: 1.2 }));
        assert!(!held(Goal::NoneFailed));
    }

    #[test]
    fn what_was_not_seen_has_not_held() {
        let nothing = Trial::default();
        for fault in crate::demo::fault::FAULTS {
            for check in judge(fault.goals, &nothing) {
                assert!(!check.passed, "{}: {}", fault.name, check.name);
            }
        }
    }

    #[test]
    fn a_victim_without_a_share_to_lose_proves_nothing() {
        let mut trial = trial();
        trial.ours.sick = trial.ours.sick.map(|sick| Sick {
            before: 0.001,
            ..sick
        });
        let checks = judge(
            &[Goal::Detected { seconds: 2.0 }, Goal::ShareLate { percent: 0.2 }],
            &trial,
        );
        assert_eq!(checks.len(), 3);
        assert!(checks.iter().all(|check| !check.passed));
    }

    #[test]
    fn replicas_must_rise_before_the_breach() {
        let with = |breached_s| {
            let scaling = Scaling {
                replicas: vec![(-3.0, 3), (20.0, 5)],
                breached_s,
                ..Scaling::default()
            };
            let trial = Trial {
                scaling: Some(scaling),
                ..Trial::default()
            };
            Goal::ScaledBeforeBreach { millis: 250.0 }.judge(&trial).passed
        };
        assert!(with(None) && with(Some(25.0)) && !with(Some(10.0)));
    }
}
