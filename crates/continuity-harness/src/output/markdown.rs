//! A table for each scenario, losing rows included.

use std::fmt::Write;

use super::Interval;
use crate::experiment::Cell;
use crate::figure::{Figures, named};
use crate::scenario::Contest;

type Column = (&'static str, fn(&Figures) -> f64, usize);

const COLUMNS: &[Column] = &[
    ("p50", |f| f.p50, 1),
    ("p99", |f| f.p99, 1),
    ("p99.9", |f| f.p999, 1),
    ("p99 in fault", |f| f.fault_p99, 1),
    ("p99.9 in fault", |f| f.fault_p999, 1),
    ("errors %", |f| f.error_percent, 3),
    ("time-outs %", |f| f.timeout_percent, 3),
    ("on the sick %", |f| f.sick_percent, 3),
    ("detect s", |f| f.detect_seconds.unwrap_or(f64::NAN), 0),
    ("recover s", |f| f.recover_seconds.unwrap_or(f64::NAN), 0),
    ("D", |f| f.dispersion, 2),
    ("isolations", |f| f.isolations, 2),
    ("tick peak", |f| figure(f, "tick_peak"), 2),
    (
        "kept %",
        |f| {
            if f.kept_percent > 0.0 {
                f.kept_percent
            } else {
                f64::NAN
            }
        },
        1,
    ),
    (
        "p99 of new",
        |f| {
            if f.kept_percent > 0.0 {
                f.fresh_p99
            } else {
                f64::NAN
            }
        },
        1,
    ),
    (
        "new on the sick %",
        |f| {
            if f.kept_percent > 0.0 {
                f.fresh_sick_percent
            } else {
                f64::NAN
            }
        },
        3,
    ),
    ("lead s", |f| figure(f, "lead_seconds"), 0),
];

const REQUEST_COLUMNS: &[Column] = &[
    ("goodput %", |f| figure(f, "goodput_percent"), 2),
    ("top class %", |f| figure(f, "top_percent"), 2),
    ("value kept %", |f| figure(f, "value_percent"), 1),
    ("p50", |f| figure(f, "served_p50"), 1),
    ("p99", |f| figure(f, "served_p99"), 1),
    ("p99 from 2 s on", |f| figure(f, "steady_p99"), 1),
    ("refused %", |f| figure(f, "refused_percent"), 3),
    ("refused in calm %", |f| figure(f, "refused_calm_percent"), 4),
    ("after %", |f| figure(f, "after_percent"), 2),
    ("normal s", |f| figure(f, "normal_seconds"), 1),
    ("transitions", |f| figure(f, "transitions"), 2),
    ("others lost %", |f| figure(f, "others_lost_percent"), 2),
    ("rogue %", |f| figure(f, "rogue_percent"), 1),
    ("forgiven s", |f| figure(f, "forgiven_seconds"), 1),
];

fn figure(figures: &Figures, name: &str) -> f64 {
    named(name).map_or(f64::NAN, |figure| figure(figures))
}

/// The columns of a scenario: those in which any row has something to say.
fn columns(cells: &[Cell]) -> Vec<Column> {
    let all = match cells.first().map(|cell| cell.contest) {
        Some(Contest::Admission) => REQUEST_COLUMNS,
        _ => COLUMNS,
    };
    let speaks = |(_, figure, _): &&Column| {
        let mut runs = cells.iter().flat_map(|cell| &cell.runs);
        runs.any(|run| figure(run).is_finite())
    };
    all.iter().filter(speaks).copied().collect()
}

/// The table: mean ± half of the 95 % interval over the seeds; times in ms. "–" = never, or nothing to measure.
#[must_use]
pub fn markdown(seeds: &[u64], cells: &[Cell]) -> String {
    let mut text = String::new();
    for group in cells.chunk_by(|a, b| a.same_case(b)) {
        let Some(first) = group.first() else { continue };
        let columns = columns(group);
        let _ = write!(
            text,
            "\n### {}: {} (N={}, B={}, {} seeds)\n\n| row |",
            first.scenario,
            first.title,
            first.nodes,
            first.backends,
            seeds.len()
        );
        for (column, ..) in &columns {
            let _ = write!(text, " {column} |");
        }
        let _ = writeln!(text, "\n|{}", " --- |".repeat(columns.len() + 1));
        for cell in group {
            let mark = if cell.oracle { "*" } else { "" };
            let _ = write!(text, "| {mark}{}{mark} |", cell.peer);
            for (_, figure, digits) in &columns {
                let _ = write!(
                    text,
                    " {} |",
                    entry(Interval::of(cell.runs.iter().map(figure)), *digits)
                );
            }
            text.push('\n');
        }
    }
    text
}

/// Mean and half width, as in a table.
pub(crate) fn entry(interval: Option<Interval>, digits: usize) -> String {
    match interval {
        None => "–".to_owned(),
        Some(Interval { mean, half: None }) => format!("{mean:.digits$}"),
        Some(Interval {
            mean,
            half: Some(half),
        }) => format!("{mean:.digits$} ± {half:.digits$}"),
    }
}
