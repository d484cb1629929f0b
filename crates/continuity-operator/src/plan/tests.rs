use super::*;
use crate::sample::report;

#[test]
fn advice_divides_by_the_nodes_that_carry_traffic() {
    let (busy, idle) = (report(50), report(0));
    let advice = advice(&[("a", &busy), ("b", &busy), ("c", &idle)], 3, None, Vec::new());
    assert_eq!(advice.active_nodes, 2);
    assert_eq!(advice.offered_milli_per_second, 100_000);
    assert_eq!(advice.report_spacing_millis, 5_000);
}

#[test]
fn advice_stays_until_a_figure_is_off_by_a_quarter() {
    let (before, near_by, far) = (report(100), report(120), report(130));
    let stored = advice(&[("a", &before)], 1, None, Vec::new());
    assert_eq!(advice(&[("a", &near_by)], 1, Some(&stored), Vec::new()), stored);
    assert_eq!(
        advice(&[("a", &far)], 1, Some(&stored), Vec::new()).offered_milli_per_second,
        130_000
    );
}

#[test]
fn reports_grow_apart_with_the_fleet() {
    let none: [(&str, &SetReport); 0] = [];
    assert_eq!(
        advice(&none, 10_000, None, Vec::new()).report_spacing_millis,
        50_000
    );
    assert_eq!(
        advice(&none, 1_000_000, None, Vec::new()).report_spacing_millis,
        600_000
    );
}

#[test]
fn the_digest_covers_what_a_node_applies_and_nothing_else() {
    let base = EquivalencePlanSpec::default();
    let advised = EquivalencePlanSpec {
        writer_epoch: 9,
        advice: Advice {
            active_nodes: 7,
            ..Advice::default()
        },
        ..EquivalencePlanSpec::default()
    };
    assert_eq!(digest(&base), digest(&advised));
    let mut stricter = base.clone();
    stricter.stable.isolation.evidence_ticks = 2;
    assert_ne!(digest(&base), digest(&stricter));
    assert_eq!(digest(&base).len(), 16);
}
