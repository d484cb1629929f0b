use continuity_api::node::{BackendReport, Regime};
use continuity_api::{Condition, Time};

use super::*;

const SPACING: Duration = Duration::from_secs(10);
const LONG: Duration = Duration::from_secs(40);

fn status(change: impl FnOnce(&mut SetReport)) -> ContinuityNodeStatus {
    let backend = |address: &str| BackendReport {
        address: address.to_owned(),
        ..BackendReport::default()
    };
    let mut set = SetReport {
        namespace: "shop".to_owned(),
        set: "checkout-http-1".to_owned(),
        offered_milli_per_second: 500_000,
        backends: vec![backend("10.0.0.1:80"), backend("10.0.0.2:80")],
        ..SetReport::default()
    };
    change(&mut set);
    ContinuityNodeStatus {
        sets: vec![set],
        ..ContinuityNodeStatus::default()
    }
}

/// Balanced: a ratio of 8, of a service whose typical request takes 100 ms.
fn pace() -> Pace<'static> {
    let step = Step {
        ratio_milli: 8_000,
        least_micros: 50_000,
    };
    Pace {
        spacing: SPACING,
        steps: BTreeMap::from([(("shop", "checkout-http-1"), step)]),
    }
}

fn written(age: Duration, transition_age: Duration) -> Written {
    Written {
        status: Some(status(|_| {})),
        age,
        transition_age,
    }
}

#[test]
fn the_first_report_goes_at_once() {
    assert_eq!(
        due(&Written::default(), &status(|_| {}), &pace()),
        Some(Cause::First)
    );
}

#[test]
fn nothing_new_waits_for_the_resync() {
    let same = status(|_| {});
    assert_eq!(due(&written(LONG, LONG), &same, &pace()), None);
    assert_eq!(due(&written(RESYNC, RESYNC), &same, &pace()), Some(Cause::Resync));
}

#[test]
fn a_new_isolation_goes_at_once_and_the_next_one_after_five_seconds() {
    let isolated = status(|set| set.backends[0].state = BackendState::Isolated);
    assert_eq!(
        due(&written(FLOOR, LONG), &isolated, &pace()),
        Some(Cause::Transition)
    );
    assert_eq!(
        due(&written(FLOOR, Duration::from_secs(4)), &isolated, &pace()),
        None
    );
    assert_eq!(
        due(&written(FLOOR, TRANSITION_SPACING), &isolated, &pace()),
        Some(Cause::Transition)
    );
}

#[test]
fn every_standing_counts_as_a_transition() {
    type Change = fn(&mut SetReport);
    let changes: [(&str, Change); 5] = [
        ("regime", |set| set.regime = Regime::Crisis),
        ("mode", |set| set.mode = continuity_api::policy::Mode::Enforce),
        ("digest", |set| set.plan_digest = "d2".to_owned()),
        ("refusal", |set| set.refusal = "no room".to_owned()),
        ("backends", |set| set.backends_total = 6),
    ];
    for (name, change) in changes {
        assert_eq!(
            due(&written(LONG, LONG), &status(change), &pace()),
            Some(Cause::Transition),
            "{name}"
        );
    }
}

#[test]
fn figures_times_and_advice_are_no_transition() {
    let figures = status(|set| {
        set.plan_generation = 9;
        set.pressure_milli = 1_700;
        set.p99_micros = 80_000;
        set.since = Some(Time(jiff::Timestamp::UNIX_EPOCH));
        set.backends[1].share_ppm = 10;
    });
    assert_eq!(
        due(&written(Duration::from_secs(9), LONG), &figures, &pace()),
        None
    );
}

#[test]
fn a_moved_rate_waits_for_the_advised_spacing() {
    let more = status(|set| set.offered_milli_per_second = 700_000);
    assert_eq!(due(&written(Duration::from_secs(6), LONG), &more, &pace()), None);
    assert_eq!(due(&written(SPACING, LONG), &more, &pace()), Some(Cause::Rate));
    let noise = status(|set| set.offered_milli_per_second = 520_000);
    assert_eq!(due(&written(LONG, LONG), &noise, &pace()), None);
}

#[test]
fn a_condition_counts_by_status_and_reason_and_not_by_its_sentence() {
    let with = |reason: &str, message: &str| {
        let mut status = status(|_| {});
        status.conditions = vec![Condition {
            type_: "Ready".to_owned(),
            status: "True".to_owned(),
            reason: reason.to_owned(),
            message: message.to_owned(),
            last_transition_time: Time(jiff::Timestamp::UNIX_EPOCH),
            observed_generation: None,
        }];
        status
    };
    let last = Written {
        status: Some(with("Attached", "a")),
        age: LONG,
        transition_age: LONG,
    };
    assert_eq!(due(&last, &with("Attached", "b"), &pace()), None);
    assert_eq!(
        due(&last, &with("Degraded", "a"), &pace()),
        Some(Cause::Transition)
    );
}

#[test]
fn figures_of_a_set_in_trouble_are_told_every_spacing_and_those_of_a_calm_one_are_not() {
    type Change = fn(&mut SetReport);
    let figures: [(&str, Change); 3] = [
        ("pressure", |set| set.pressure_milli = 1_600),
        ("p99", |set| set.p99_micros = 160_000),
        ("share", |set| set.backends[1].share_ppm = 40_000),
    ];
    let trouble = |set: &mut SetReport| {
        set.regime = Regime::Transition;
        set.pressure_milli = 1_300;
        set.p99_micros = 100_000;
        set.backends[1].state = BackendState::Returning;
        set.backends[1].share_ppm = 20_000;
    };
    for (name, figure) in figures {
        let before = |age| Written {
            status: Some(status(trouble)),
            ..written(age, LONG)
        };
        let moved = status(|set| {
            trouble(set);
            figure(set);
        });
        assert_eq!(
            due(&before(SPACING), &moved, &pace()),
            Some(Cause::Figure),
            "{name}"
        );
        assert_eq!(
            due(&before(Duration::from_secs(9)), &moved, &pace()),
            None,
            "{name} keeps the spacing"
        );
    }
    let noise = status(|set| set.p99_micros = 900_000);
    assert_eq!(due(&written(LONG, LONG), &noise, &pace()), None);
}

#[test]
fn the_way_back_to_as_usual_is_told_too() {
    let high = Written {
        status: Some(status(|set| set.pressure_milli = 1_200)),
        ..written(SPACING, LONG)
    };
    let calm = status(|set| set.pressure_milli = 1_000);
    assert_eq!(due(&high, &calm, &pace()), Some(Cause::Figure));
}

/// The second backend's median is this.
fn measured(median_micros: i64) -> ContinuityNodeStatus {
    status(|set| set.backends[1].median_micros = median_micros)
}

#[test]
fn in_observe_a_median_that_moved_far_is_told_and_its_wobble_is_not() {
    let last = |median| Written {
        status: Some(measured(median)),
        ..written(SPACING, LONG)
    };
    for (before, now, told) in [
        (20_000, 500_000, true),
        (500_000, 20_000, true),
        (0, 20_000, true),
        (100_000, 290_000, true),
        // Less than √8, or nearer than the law calls late, or gone with its traffic.
        (100_000, 270_000, false),
        (10_000, 59_000, false),
        (20_000, 0, false),
    ] {
        let cause = told.then_some(Cause::Figure);
        assert_eq!(
            due(&last(before), &measured(now), &pace()),
            cause,
            "{before} → {now}"
        );
    }
}

#[test]
fn a_moved_median_keeps_the_spacing_and_matters_in_observe_alone() {
    let moved = measured(500_000);
    let last = |age| Written {
        status: Some(measured(20_000)),
        ..written(age, LONG)
    };
    assert_eq!(due(&last(Duration::from_secs(9)), &moved, &pace()), None);
    let enforced = Pace {
        spacing: SPACING,
        ..Pace::default()
    };
    assert_eq!(due(&last(LONG), &moved, &enforced), None);
}
