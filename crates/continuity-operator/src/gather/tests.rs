use super::*;
use crate::sample::{at, isolated, report};
use continuity_api::node::{BackendReport, WouldHave};
use continuity_api::set::ISOLATED_MAX;

pub(super) fn facts<'a>(
    reports: &'a [(&'a str, &'a SetReport)],
    previous: &'a EquivalenceSetStatus,
) -> Facts<'a> {
    Facts {
        generation: Some(1),
        mode: Mode::Enforce,
        backends: BackendFacts { ready: 5, total: 5 },
        reports,
        nodes: reports.len(),
        digest: None,
        hint: None,
        outliers: &[],
        previous,
    }
}

pub(super) fn over(reports: &[(&str, &SetReport)]) -> EquivalenceSetStatus {
    status(&facts(reports, &EquivalenceSetStatus::default()), at(100))
}

fn in_regime(offered: i64, regime: Regime) -> SetReport {
    SetReport {
        regime,
        reason: format!("{regime:?}"),
        since: Some(at(50).time()),
        ..report(offered)
    }
}

#[test]
fn a_regime_counts_from_five_percent_of_offered_traffic() {
    let (calm, bad) = (report(95), in_regime(5, Regime::Crisis));
    let status = over(&[("a", &calm), ("b", &bad)]);
    assert_eq!(status.regime, Regime::Crisis);
    assert_eq!(status.regime_since, Some(at(50).time()));
    assert_eq!(status.reason, "Crisis");
}

#[test]
fn one_drowning_node_of_many_is_an_exception_and_not_the_headline() {
    let (calm, bad) = (report(96), in_regime(4, Regime::Crisis));
    let status = over(&[("a", &calm), ("b", &bad)]);
    assert_eq!(status.regime, Regime::Laminar);
    assert_eq!(status.exceptions.len(), 1);
    assert_eq!(status.exceptions[0].node, "b");
    assert_eq!(status.nodes.crisis, 1);
}

#[test]
fn worse_regimes_add_up_to_the_milder_one() {
    let (calm, transition, crisis) = (
        report(94),
        in_regime(3, Regime::Transition),
        in_regime(3, Regime::Crisis),
    );
    assert_eq!(
        over(&[("a", &calm), ("b", &transition), ("c", &crisis)]).regime,
        Regime::Transition
    );
}

#[test]
fn a_set_that_nobody_uses_counts_its_nodes() {
    let (calm, bad) = (report(0), in_regime(0, Regime::Transition));
    assert_eq!(over(&[("a", &calm), ("b", &bad)]).regime, Regime::Transition);
}

#[test]
fn silence_keeps_the_regime_and_makes_the_set_not_known() {
    let previous = EquivalenceSetStatus {
        regime: Regime::Crisis,
        ..EquivalenceSetStatus::default()
    };
    let status = status(&facts(&[], &previous), at(100));
    assert_eq!(status.regime, Regime::Crisis);
    assert_eq!(status.conditions[0].status, conditions::UNKNOWN);
}

#[test]
fn a_crisis_leaves_ready_alone_and_only_missing_backends_take_it() {
    let bad = in_regime(100, Regime::Crisis);
    let reports = [("a", &bad)];
    assert_eq!(over(&reports).conditions[0].status, conditions::TRUE);
    let previous = EquivalenceSetStatus::default();
    let none = Facts {
        backends: BackendFacts { ready: 0, total: 2 },
        ..facts(&reports, &previous)
    };
    let gone = status(&none, at(100));
    assert_eq!(gone.conditions[0].reason, reasons::NO_BACKENDS);
    assert!(gone.conditions[0].message.contains("ECONNREFUSED"));
}

#[test]
fn a_backend_is_isolated_with_its_reason_and_the_nodes_that_agree() {
    let with = SetReport {
        backends: vec![isolated("10.0.0.1:80")],
        ..report(50)
    };
    let status = over(&[("a", &with), ("b", &with), ("c", &report(1))]);
    assert_eq!(status.backends.isolated, 1);
    let shown = &status.isolated[0];
    assert_eq!(
        (shown.agreeing_nodes, shown.reporting_nodes, shown.keep_alive),
        (2, 3, 6)
    );
    assert_eq!(shown.since, Some(at(10).time()));
    assert!(shown.reason.contains("512 ms"));
}

#[test]
fn a_node_that_only_observes_isolates_nobody() {
    let watching = SetReport {
        mode: Mode::Observe,
        backends: vec![isolated("10.0.0.1:80")],
        ..report(50)
    };
    let status = over(&[("a", &watching)]);
    assert_eq!((status.backends.isolated, status.isolated.len()), (0, 0));
}

#[test]
fn a_dual_stack_pod_that_is_isolated_by_both_addresses_is_one_backend() {
    let both = SetReport {
        backends: vec![isolated("10.0.0.1:80"), isolated("[fd00::1]:80")],
        ..report(50)
    };
    let later = SetReport {
        backends: vec![BackendReport {
            since: Some(at(20).time()),
            ..isolated("[fd00::1]:80")
        }],
        ..report(50)
    };
    let reports = [("a", &both), ("b", &later)];
    let status = over(&reports);
    assert_eq!((status.backends.isolated, status.isolated.len()), (1, 1));
    let one = &status.isolated[0];
    assert_eq!(one.address, "10.0.0.1:80");
    assert_eq!(
        (&*one.also, one.agreeing_nodes),
        (&["[fd00::1]:80".to_owned()][..], 2)
    );
    // The address that it goes by stays while the other one is still out: else it would be told as another backend.
    let rest = super::status(&facts(&[("b", &later)], &status), at(101));
    assert_eq!(rest.isolated[0].address, "10.0.0.1:80");
    assert!(crate::transition::of_set(&status, &rest).is_empty());
}

#[test]
fn two_addresses_of_one_pod_would_have_been_one_isolation() {
    let observed = |address: &str| SetReport {
        mode: Mode::Observe,
        backends: vec![isolated(address)],
        would_have: Some(WouldHave {
            isolated: vec![address.into()],
            ..WouldHave::default()
        }),
        ..report(10)
    };
    let (one, other) = (observed("10.0.0.1:80"), observed("[fd00::1]:80"));
    let (reports, previous) = ([("a", &one), ("b", &other)], EquivalenceSetStatus::default());
    let watching = Facts {
        mode: Mode::Observe,
        ..facts(&reports, &previous)
    };
    let would = status(&watching, at(1)).would_have.unwrap();
    assert_eq!(
        (&*would.isolated, would.nodes),
        (&["10.0.0.1:80".to_owned()][..], 2)
    );
}

#[test]
fn lists_stay_bounded_and_say_that_more_exist() {
    let backend = |index| BackendReport {
        pod: format!("web-{index}"),
        ..isolated(&format!("10.0.0.{index}:80"))
    };
    let backends = (0..40).map(backend).collect();
    let with = SetReport {
        backends,
        ..report(50)
    };
    let mut reports: Vec<(String, SetReport)> = vec![("calm".into(), report(10_000))];
    reports.extend((0..40).map(|index| (format!("node-{index}"), in_regime(1, Regime::Crisis))));
    reports.push(("isolating".into(), with));
    let borrowed: Vec<(&str, &SetReport)> = reports
        .iter()
        .map(|(name, report)| (name.as_str(), report))
        .collect();
    let status = over(&borrowed);
    assert_eq!(status.exceptions.len(), EXCEPTIONS_MAX);
    assert_eq!(status.isolated.len(), ISOLATED_MAX);
    assert!(status.truncated);
    let bytes = serde_json::to_vec(&status).unwrap().len();
    assert!(bytes < 64 * 1024, "{bytes}");
}

#[test]
fn a_worst_case_status_stays_under_64_kb() {
    let long = "…".repeat(256);
    let backend = |index: usize| BackendReport {
        pod: format!("{}{index:02}", "p".repeat(251)),
        node: "n".repeat(253),
        reason: long.clone(),
        ..isolated(&format!("[fd00:aaaa:bbbb:cccc:dddd:eeee:ffff:{index:04x}]:65535"))
    };
    let names: Vec<String> = (0..64)
        .map(|index| format!("{}{index:02}", "n".repeat(251)))
        .collect();
    let bad = SetReport {
        backends: (0..64).map(backend).collect(),
        reason: long.clone(),
        regime: Regime::Crisis,
        since: Some(at(1).time()),
        ..report(1)
    };
    let calm = report(100_000);
    let mut reports: Vec<(&str, &SetReport)> = names.iter().map(|name| (name.as_str(), &bad)).collect();
    reports.push(("calm", &calm));
    let bytes = serde_json::to_vec(&over(&reports)).unwrap().len();
    assert!(bytes < 64 * 1024, "{bytes}");
}

#[test]
fn figures_that_hardly_move_change_nothing() {
    let (first, later) = (
        report(100),
        SetReport {
            p99_micros: 72_000,
            ..report(105)
        },
    );
    let before = over(&[("a", &first)]);
    let reports = [("a", &later)];
    assert_eq!(status(&facts(&reports, &before), at(200)), before);
}

#[test]
fn reach_is_what_we_steered_of_what_backends_accepted() {
    let half = SetReport {
        steered_milli_per_second: 49_000,
        accepted_milli_per_second: 100_000,
        ..report(49)
    };
    let status = over(&[("a", &half)]);
    assert_eq!(status.reach.permille, Some(490));
    assert_eq!(status.reach.summary, "49%");
}

#[test]
fn reach_is_not_invented_where_no_backend_s_node_reports() {
    let blind = SetReport {
        accepted_milli_per_second: 0,
        ..report(49)
    };
    assert_eq!(over(&[("a", &blind)]).reach.permille, None);
}

#[test]
fn probes_of_an_idle_set_do_not_sink_its_reach() {
    let busy = report(100);
    let before = over(&[("a", &busy)]);
    let idle = SetReport {
        offered_milli_per_second: 0,
        steered_milli_per_second: 0,
        accepted_milli_per_second: 1_500,
        ..report(0)
    };
    let reports = [("a", &idle)];
    assert_eq!(status(&facts(&reports, &before), at(200)).reach, before.reach);
}

#[test]
fn pressure_is_weighted_by_traffic_and_written_with_two_places() {
    let (busy, idle) = (
        SetReport {
            pressure_milli: 1_500,
            ..report(90)
        },
        SetReport {
            pressure_milli: 9_000,
            ..report(10)
        },
    );
    assert_eq!(over(&[("a", &busy), ("b", &idle)]).pressure, "2.25");
}

#[test]
fn observe_says_what_enforce_would_have_done() {
    let would = WouldHave {
        regime: Regime::Transition,
        isolated: vec!["10.0.0.1:80".into()],
        message: "would have isolated 10.0.0.1:80".into(),
    };
    let observed = SetReport {
        would_have: Some(would),
        ..report(10)
    };
    let reports = [("a", &observed)];
    let previous = EquivalenceSetStatus::default();
    let watching = Facts {
        mode: Mode::Observe,
        ..facts(&reports, &previous)
    };
    let shown = status(&watching, at(1)).would_have.unwrap();
    assert_eq!((shown.regime, shown.nodes), (Regime::Transition, 1));
    assert_eq!(
        over(&reports).would_have,
        None,
        "Enforce acts and does not wonder"
    );
}

#[test]
fn times_of_nodes_whose_clock_is_ahead_are_never_in_the_future() {
    let ahead = SetReport {
        since: Some(at(9_999).time()),
        ..in_regime(10, Regime::Crisis)
    };
    assert_eq!(over(&[("a", &ahead)]).regime_since, Some(at(100).time()));
}

#[test]
fn long_sentences_are_cut_with_a_mark() {
    assert_eq!(sentence("short"), "short");
    let cut = sentence(&"é".repeat(400));
    assert_eq!(cut.chars().count(), SENTENCE_MAX);
    assert!(cut.ends_with('…'));
}

fn outlier() -> crate::outlier::Outlier {
    crate::outlier::Outlier {
        address: "10.0.0.7:80".into(),
        pod: "web-7".into(),
        node: "node-7".into(),
        own_micros: 512_000,
        peers_micros: 21_000,
    }
}

#[test]
fn a_backend_that_only_other_nodes_give_away_is_named_beside_those_that_nodes_name() {
    let would = WouldHave {
        regime: Regime::Transition,
        isolated: vec!["10.0.0.1:80".into()],
        message: "taken 10.0.0.1:80 out of rotation: a reason".into(),
    };
    let (calm, observed) = (
        SetReport {
            would_have: Some(WouldHave::default()),
            ..report(10)
        },
        SetReport {
            would_have: Some(would),
            ..report(10)
        },
    );
    let late = [outlier()];
    let shown = |reports: &[(&str, &SetReport)], previous: &EquivalenceSetStatus| {
        let watching = Facts {
            mode: Mode::Observe,
            outliers: &late,
            ..facts(reports, previous)
        };
        status(&watching, at(1))
    };
    let first = shown(&[("a", &calm), ("b", &calm)], &EquivalenceSetStatus::default());
    let alone = first.would_have.clone().unwrap();
    assert_eq!((alone.regime, alone.nodes), (Regime::Transition, 1));
    assert_eq!(alone.isolated, ["10.0.0.7:80"]);
    let sentence = "taken 10.0.0.7:80 out of rotation: 10.0.0.7:80 (web-7) answers in 512 ms, \
                    its peers on all nodes in 21 ms: 24.3 ×";
    assert_eq!(alone.message, sentence);
    let both = shown(&[("a", &calm), ("b", &observed)], &first)
        .would_have
        .unwrap();
    assert_eq!(both.isolated, ["10.0.0.1:80", "10.0.0.7:80"]);
    assert_eq!(both.nodes, 2);
    let told = "taken 10.0.0.1:80 out of rotation: a reason; taken 10.0.0.7:80";
    assert!(both.message.starts_with(told), "{}", both.message);
}

#[test]
fn the_sentence_about_a_lasting_outlier_is_not_written_anew_with_every_figure() {
    let calm = report(10);
    let reports = [("a", &calm)];
    let told = |outlier: crate::outlier::Outlier, previous: &EquivalenceSetStatus| {
        let late = [outlier];
        let watching = Facts {
            mode: Mode::Observe,
            outliers: &late,
            ..facts(&reports, previous)
        };
        status(&watching, at(1)).would_have.unwrap()
    };
    let empty = EquivalenceSetStatus::default();
    let first = told(outlier(), &empty);
    let previous = EquivalenceSetStatus {
        would_have: Some(first.clone()),
        ..empty
    };
    let slower = crate::outlier::Outlier {
        own_micros: 700_000,
        ..outlier()
    };
    assert_eq!(told(slower, &previous), first);
}
