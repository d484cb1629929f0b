//! The table of results, for a terminal and for Markdown.

use super::goal::Check;
use super::trial::{Row, Trial};

/// One check in one line.
pub(super) fn line(check: &Check) -> String {
    let verdict = if check.passed { "held " } else { "SHORT" };
    format!(
        "    {verdict}  {:<14} {}: {} (goal {})",
        check.fault, check.name, check.measured, check.goal
    )
}

/// Columns of the table.
pub(super) const HEAD: [&str; 11] = [
    "fault",
    "system",
    "attempts",
    "failed",
    "p50 ms",
    "p99 ms",
    "p99.9 ms",
    "share %",
    "share late %",
    "detect s",
    "return s",
];

/// Both rows of a trial, and the rows of kept connections.
pub(super) fn rows(trial: &Trial) -> Vec<[String; 11]> {
    let mut rows = Vec::new();
    for (system, row) in [("kube-proxy", &trial.theirs), ("Continuity", &trial.ours)] {
        rows.push(cells(&trial.fault, system, row));
    }
    for (system, row) in [
        ("kube-proxy, kept", &trial.theirs),
        ("Continuity, kept", &trial.ours),
    ] {
        if row.kept.attempts > 0 {
            rows.push(kept(&trial.fault, system, row));
        }
    }
    rows
}

fn cells(fault: &str, system: &str, row: &Row) -> [String; 11] {
    let of = &row.during;
    let sick = row.sick.as_ref();
    let percent = |share: Option<f64>| share.map_or_else(dash, |share| format!("{:.2}", share * 100.0));
    let seconds = |value: Option<f64>| value.map_or_else(|| "never".to_owned(), |s| format!("{s:.2}"));
    [
        fault.to_owned(),
        system.to_owned(),
        of.attempts.to_string(),
        of.failed.to_string(),
        format!("{:.1}", of.p50_ms),
        format!("{:.0}", of.p99_ms),
        format!("{:.0}", of.p999_ms),
        percent(sick.map(|s| s.during)),
        percent(sick.map(|s| s.late)),
        sick.map_or_else(dash, |s| seconds(s.detected_s)),
        sick.map_or_else(dash, |s| seconds(s.returned_s)),
    ]
}

fn kept(fault: &str, system: &str, row: &Row) -> [String; 11] {
    let of = &row.kept;
    let mut cells = std::array::from_fn(|_| dash());
    let known = [
        fault.to_owned(),
        system.to_owned(),
        of.attempts.to_string(),
        of.failed.to_string(),
        format!("{:.1}", of.p50_ms),
        format!("{:.0}", of.p99_ms),
        format!("{:.0}", of.p999_ms),
    ];
    for (cell, text) in cells.iter_mut().zip(known) {
        *cell = text;
    }
    cells
}

fn dash() -> String {
    "–".to_owned()
}

/// The table with aligned columns.
pub(super) fn terminal(trials: &[Trial]) -> String {
    let body: Vec<_> = trials.iter().flat_map(rows).collect();
    let width = |column: usize| {
        let cells = body.iter().map(|row| row[column].chars().count());
        cells.chain([HEAD[column].chars().count()]).max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..HEAD.len()).map(width).collect();
    let render = |row: [&str; 11]| {
        let cell = |(at, text): (usize, &str)| {
            let space = " ".repeat(widths[at].saturating_sub(text.chars().count()));
            if at < 2 {
                format!("{text}{space}")
            } else {
                format!("{space}{text}")
            }
        };
        row.into_iter()
            .enumerate()
            .map(cell)
            .collect::<Vec<_>>()
            .join("  ")
            .trim_end()
            .to_owned()
    };
    let lines = std::iter::once(render(HEAD))
        .chain(body.iter().map(|row| render(row.each_ref().map(String::as_str))));
    lines.collect::<Vec<_>>().join("\n")
}

/// The table in Markdown.
pub(super) fn markdown(trials: &[Trial]) -> String {
    let row = |cells: &[&str]| format!("| {} |\n", cells.join(" | "));
    let mut text = row(&HEAD);
    text.push_str(&row(&HEAD.map(|_| "---")));
    for cells in trials.iter().flat_map(rows) {
        text.push_str(&row(&cells.each_ref().map(String::as_str)));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_aligned_and_every_row_is_there() {
        let trial = Trial {
            fault: "gray".into(),
            ..Trial::default()
        };
        let text = terminal(std::slice::from_ref(&trial));
        assert_eq!(text.lines().count(), 3);
        assert!(text.lines().nth(1).unwrap().starts_with("gray   kube-proxy"));
        assert_eq!(markdown(&[trial]).lines().count(), 4);
    }
}
