//! Rates, times, pressure and reach, each with the step below which it is not news.

use super::{COUNTS_FROM, Facts, weights};
use continuity_api::node::SetReport;
use continuity_api::policy::Mode;
use continuity_api::set::{ReachStatus, TrafficStatus};

/// Pressure moves in the status by this much at least, in hundredths.
const PRESSURE_STEP: i128 = 5;
/// Accepted connections per 1000 seconds below which reach means nothing: probes of the kubelet reach the pods directly, one
/// every few seconds a pod, and would look like traffic past us.
const REACH_FROM: i128 = 5_000;
/// Reach moves in the status by this much at least, in permille.
const REACH_STEP: i128 = 20;

/// A rate or time as it is stored: two significant digits, and the stored one until the fresh one is off by a tenth.
fn settle(stored: i64, fresh: i64) -> i64 {
    let off = fresh.abs_diff(stored).saturating_mul(10) > stored.unsigned_abs();
    if off { rounded(fresh) } else { stored }
}

/// Two significant digits.
fn rounded(figure: i64) -> i64 {
    let mut step = 1_i64;
    while figure / step >= 100 {
        step = step.saturating_mul(10);
    }
    figure.saturating_add(step / 2) / step * step
}

pub(super) fn traffic(facts: &Facts<'_>) -> TrafficStatus {
    if facts.reports.is_empty() {
        return facts.previous.traffic;
    }
    let (weight, total) = weights(facts.reports);
    let sum = |part: fn(&SetReport) -> i64| {
        facts
            .reports
            .iter()
            .fold(0_i64, |sum, (_, report)| sum.saturating_add(part(report).max(0)))
    };
    let known = || facts.reports.iter().filter(|(_, report)| report.p50_micros > 0);
    let known_weight: i128 = known().map(|(_, report)| weight(report)).sum();
    let p50: i128 = known()
        .map(|(_, report)| weight(report) * i128::from(report.p50_micros))
        .sum();
    let p50 = if known_weight == 0 {
        0
    } else {
        i64::try_from(p50 / known_weight).unwrap_or(i64::MAX)
    };
    let counts = |report: &SetReport| weight(report) * COUNTS_FROM >= total;
    let p99 = facts
        .reports
        .iter()
        .filter(|(_, report)| counts(report))
        .map(|(_, report)| report.p99_micros)
        .max();
    let before = facts.previous.traffic;
    TrafficStatus {
        offered_milli_per_second: settle(
            before.offered_milli_per_second,
            sum(|report| report.offered_milli_per_second),
        ),
        refused_milli_per_second: settle(
            before.refused_milli_per_second,
            sum(|report| report.refused_milli_per_second),
        ),
        failed_milli_per_second: settle(
            before.failed_milli_per_second,
            sum(|report| report.failed_milli_per_second),
        ),
        p50_micros: settle(before.p50_micros, p50),
        p99_micros: settle(before.p99_micros, p99.unwrap_or(0)),
    }
}

/// Mean over offered traffic, as a decimal.
pub(super) fn pressure(facts: &Facts<'_>) -> String {
    let (weight, _) = weights(facts.reports);
    let known = || {
        facts
            .reports
            .iter()
            .filter(|(_, report)| report.pressure_milli > 0)
    };
    let total: i128 = known().map(|(_, report)| weight(report)).sum();
    if total == 0 {
        return facts.previous.pressure.clone();
    }
    let sum: i128 = known()
        .map(|(_, report)| weight(report) * i128::from(report.pressure_milli))
        .sum();
    let hundredths = (sum / total + 5) / 10;
    let stored = parsed(&facts.previous.pressure);
    // Back to exactly "as usual" is always news.
    let shown = match stored {
        Some(stored) if (hundredths - stored).abs() < PRESSURE_STEP && hundredths != 100 => stored,
        _ => hundredths,
    };
    format!("{}.{:02}", shown / 100, shown % 100)
}

fn parsed(decimal: &str) -> Option<i128> {
    let (whole, part) = decimal.split_once('.')?;
    Some(whole.parse::<i128>().ok()? * 100 + part.parse::<i128>().ok()?)
}

/// Steered connections against those that the backends accepted; in Observe, those that Enforce would have steered.
pub(super) fn reach(facts: &Facts<'_>) -> ReachStatus {
    let passing = |report: &SetReport| match facts.mode {
        Mode::Enforce => report.steered_milli_per_second,
        Mode::Observe => report.offered_milli_per_second,
    };
    let passed: i128 = facts
        .reports
        .iter()
        .map(|(_, report)| i128::from(passing(report).max(0)))
        .sum();
    let accepted: i128 = facts
        .reports
        .iter()
        .map(|(_, report)| i128::from(report.accepted_milli_per_second.max(0)))
        .sum();
    if accepted < REACH_FROM {
        return facts.previous.reach.clone();
    }
    // Steered ones that failed were never accepted, so the quotient can pass 1.
    let fresh = (passed * 1_000 / accepted).min(1_000);
    let stored = facts.previous.reach.permille.map(i128::from);
    let shown = match stored {
        Some(stored) if (fresh - stored).abs() < REACH_STEP => stored,
        _ => fresh,
    };
    ReachStatus {
        permille: i32::try_from(shown).ok(),
        summary: format!("{}%", (shown + 5) / 10),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_keep_two_digits_and_stay_until_they_move_by_a_tenth() {
        assert_eq!(rounded(0), 0);
        assert_eq!(rounded(123_456), 120_000);
        assert_eq!(settle(120_000, 126_000), 120_000);
        assert_eq!(settle(120_000, 140_000), 140_000);
        assert_eq!(settle(0, 7), 7);
        assert_eq!(settle(5, 0), 0);
    }

    #[test]
    fn a_pressure_is_read_back_as_it_was_written() {
        assert_eq!(parsed("1.31"), Some(131));
        assert_eq!(parsed(""), None);
    }
}
