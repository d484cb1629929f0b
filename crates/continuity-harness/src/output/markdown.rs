//! A table for each scenario, losing rows included.

use std::fmt::Write;

use super::Interval;
use crate::experiment::Cell;
use crate::figure::Figures;

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
];

/// The table: mean ± half of the 95 % interval over the seeds; times in ms. "–" = never, or nothing to measure.
#[must_use]
pub fn markdown(seeds: &[u64], cells: &[Cell]) -> String {
    let mut text = String::new();
    let mut last = None;
    for cell in cells {
        let head = (&cell.scenario, cell.nodes, cell.backends);
        if last != Some(head) {
            last = Some(head);
            let (name, nodes, backends) = head;
            let _ = write!(
                text,
                "\n### {name}: {} (N={nodes}, B={backends}, {} seeds)\n\n| row |",
                cell.title,
                seeds.len()
            );
            for (column, ..) in COLUMNS {
                let _ = write!(text, " {column} |");
            }
            let _ = write!(text, "\n|{}\n", " --- |".repeat(COLUMNS.len() + 1));
        }
        let mark = if cell.oracle { "*" } else { "" };
        let _ = write!(text, "| {mark}{}{mark} |", cell.peer);
        for (_, figure, digits) in COLUMNS {
            let _ = write!(
                text,
                " {} |",
                entry(Interval::of(cell.runs.iter().map(figure)), *digits)
            );
        }
        text.push('\n');
    }
    text
}

fn entry(interval: Option<Interval>, digits: usize) -> String {
    match interval {
        None => "–".to_owned(),
        Some(Interval { mean, half: None }) => format!("{mean:.digits$}"),
        Some(Interval {
            mean,
            half: Some(half),
        }) => format!("{mean:.digits$} ± {half:.digits$}"),
    }
}
