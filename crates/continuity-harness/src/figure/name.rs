//! Figures by name: what tables, targets and gates speak of. The names are those of the JSON.

use super::{Figures, Requests};

/// A figure of a run; NaN = there is nothing to measure.
pub type Figure = fn(&Figures) -> f64;

fn of(figures: &Figures, pick: impl Fn(&Requests) -> f64) -> f64 {
    figures.requests.as_ref().map_or(f64::NAN, pick)
}

fn or_nan(value: Option<f64>) -> f64 {
    value.unwrap_or(f64::NAN)
}

/// Infinite where it never happened although requests were counted.
fn or_never(figures: &Figures, pick: impl Fn(&Requests) -> Option<f64>) -> f64 {
    of(figures, |requests| pick(requests).unwrap_or(f64::INFINITY))
}

/// Every figure that has a name.
pub const NAMED: &[(&str, Figure)] = &[
    ("attempts", |f| f.attempts as f64),
    ("p50", |f| f.p50),
    ("p99", |f| f.p99),
    ("p999", |f| f.p999),
    ("fault_p50", |f| f.fault_p50),
    ("fault_p99", |f| f.fault_p99),
    ("fault_p999", |f| f.fault_p999),
    ("burden_p99", |f| f.burden_p99),
    ("error_percent", |f| f.error_percent),
    ("timeout_percent", |f| f.timeout_percent),
    ("failed_percent", |f| f.error_percent + f.timeout_percent),
    ("sick_percent", |f| f.sick_percent),
    ("fault_failed_percent", |f| f.fault_failed_percent),
    ("settled_sick_percent", |f| f.settled_sick_percent),
    ("settled_p99", |f| f.settled_p99),
    ("detect_seconds", |f| f.detect_seconds.unwrap_or(f64::INFINITY)),
    ("recover_seconds", |f| f.recover_seconds.unwrap_or(f64::INFINITY)),
    ("dispersion", |f| f.dispersion),
    ("isolations", |f| f.isolations),
    ("tick_peak", |f| or_nan(f.tick_peak)),
    ("kept_percent", |f| f.kept_percent),
    ("fresh_p99", |f| f.fresh_p99),
    ("fresh_sick_percent", |f| f.fresh_sick_percent),
    ("within_second_percent", |f| f.within_second_percent),
    ("lead_seconds", |f| f.lead_seconds.unwrap_or(f64::NEG_INFINITY)),
    ("false_alarms", |f| f.false_alarms as f64),
    ("goodput_percent", |f| of(f, |r| r.goodput_percent)),
    ("top_percent", |f| of(f, |r| r.top_percent)),
    ("value_percent", |f| of(f, |r| r.value_percent)),
    ("served_p50", |f| of(f, |r| r.served_p50)),
    ("served_p99", |f| of(f, |r| r.served_p99)),
    ("steady_p99", |f| of(f, |r| r.steady_p99)),
    ("refused_percent", |f| of(f, |r| r.refused_percent)),
    ("refused_calm_percent", |f| of(f, |r| r.refused_calm_percent)),
    ("attempts_per_request", |f| of(f, |r| r.attempts)),
    ("transitions", |f| of(f, |r| r.transitions)),
    ("after_percent", |f| of(f, |r| r.after_percent)),
    ("normal_seconds", |f| or_never(f, |r| r.normal_seconds)),
    ("others_lost_percent", |f| {
        of(f, |r| or_nan(r.others_lost_percent))
    }),
    ("rogue_percent", |f| of(f, |r| or_nan(r.rogue_percent))),
    ("forgiven_seconds", |f| or_never(f, |r| r.forgiven_seconds)),
];

/// The figure of that name.
#[must_use]
pub fn named(name: &str) -> Option<Figure> {
    NAMED
        .iter()
        .find(|(known, _)| *known == name)
        .map(|&(_, figure)| figure)
}
