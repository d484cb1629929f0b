use super::*;

fn node(rate: u64) -> NodeDemand {
    NodeDemand {
        offered_milli_per_second: 1_000 * rate,
        answered_milli_per_second: 1_000 * rate,
        turnaround_micros: 20_000,
        calm_micros: 20_000,
        in_service: 5,
        carrying_milli: 5_000,
        ..NodeDemand::default()
    }
}

fn brief() -> HintConfig {
    HintConfig {
        scale_down_hold: Nanos::from_secs(30),
        ..HintConfig::default()
    }
}

/// Three nodes like `node` for some seconds.
fn stay(state: &mut HintState, node: NodeDemand, ready: u32, from: u64, seconds: u64) -> Hint {
    let mut last = None;
    for second in from..from + seconds {
        last = Some(hint(&[node; 3], ready, &brief(), state, Nanos::from_secs(second)));
    }
    last.unwrap()
}

#[test]
fn silence_of_all_nodes_keeps_the_last_value() {
    let mut state = HintState::default();
    stay(&mut state, node(200), 5, 0, 60);
    let silent = hint(&[], 5, &brief(), &mut state, Nanos::from_secs(100));
    assert_eq!((silent.replicas, silent.reason), (5, HintReason::Silent));
}

#[test]
fn a_slow_dependency_asks_for_no_pods() {
    let mut state = HintState::default();
    stay(&mut state, node(200), 5, 0, 60);
    let slow = NodeDemand {
        turnaround_micros: 80_000,
        ..node(180)
    };
    let wish = stay(&mut state, slow, 5, 60, 60);
    assert_eq!(wish.replicas, 5);
    assert_eq!(
        wish.reason.to_string(),
        "answers take 4.0 × their calm time and 0.0 % fail at a load that was carried before: a shared dependency \
         limits the service, more replicas would not help"
    );
}

#[test]
fn a_dependency_that_turns_slow_at_the_usual_load_asks_for_no_pods_either() {
    let mut state = HintState::default();
    stay(&mut state, node(200), 5, 0, 60);
    let slow = NodeDemand {
        turnaround_micros: 80_000,
        ..node(200)
    };
    assert_eq!(stay(&mut state, slow, 5, 60, 300).replicas, 5);
}

#[test]
fn a_load_that_slowly_fills_the_replicas_gets_more_of_them() {
    let mut state = HintState::default();
    stay(&mut state, node(200), 5, 0, 300);
    let mut wish = 5;
    for minute in 0..10_u64 {
        let filling = NodeDemand {
            turnaround_micros: 20_000 + 3_000 * minute,
            ..node(200 + 2 * minute)
        };
        wish = stay(&mut state, filling, 5, 300 + 60 * minute, 60).replicas;
    }
    assert!(wish > 5, "{wish}");
}

#[test]
fn failing_requests_ask_for_no_pods() {
    let mut state = HintState::default();
    stay(&mut state, node(200), 5, 0, 60);
    let failing = NodeDemand {
        error_permille: 500,
        ..node(200)
    };
    assert!(matches!(
        stay(&mut state, failing, 5, 60, 30).reason,
        HintReason::DependencyLimited { .. }
    ));
}

#[test]
fn an_isolated_replica_is_replaced() {
    let mut state = HintState::default();
    assert_eq!(stay(&mut state, node(300), 5, 0, 90).replicas, 5);
    let isolated = NodeDemand {
        carrying_milli: 4_000,
        ..node(300)
    };
    assert_eq!(stay(&mut state, isolated, 5, 90, 10).replicas, 6);
}

#[test]
fn less_load_lowers_the_hint_only_after_the_hold() {
    let mut state = HintState::default();
    stay(&mut state, node(300), 5, 0, 90);
    let held = stay(&mut state, node(60), 5, 90, 20);
    assert_eq!(held.replicas, 5);
    assert!(
        matches!(held.reason, HintReason::HoldingDown { .. }),
        "{}",
        held.reason
    );
    let lower = stay(&mut state, node(60), 5, 110, 30);
    assert!(lower.replicas < 4, "{}", lower.replicas);
}

#[test]
fn the_policy_s_bounds_hold_and_say_so() {
    let config = HintConfig {
        min_replicas: 2,
        max_replicas: 4,
        ..brief()
    };
    let mut state = HintState::default();
    let mut wish = None;
    for second in 0..30 {
        wish = Some(hint(
            &[node(300)],
            9,
            &config,
            &mut state,
            Nanos::from_secs(second),
        ));
    }
    let wish = wish.unwrap();
    assert_eq!((wish.replicas, wish.reason), (4, HintReason::AtMost { wish: 9 }));
}

#[test]
fn a_wish_inside_the_tolerance_of_the_hpa_is_raised_until_it_acts() {
    assert_eq!(beyond_tolerance(21, 20, &HintConfig::default()), 23);
    assert_eq!(beyond_tolerance(6, 5, &HintConfig::default()), 6);
    assert_eq!(beyond_tolerance(4, 5, &HintConfig::default()), 4);
}

#[test]
fn the_first_traffic_of_an_idle_service_asks_for_nothing() {
    for start in [0, 1, 3, 30] {
        let mut state = HintState::default();
        stay(&mut state, node(0), 5, 0, 60);
        stay(&mut state, node(start), 5, 60, 5);
        for second in 65..185 {
            let rate = (start + 20 * (second - 64)).min(300);
            let wish = stay(&mut state, node(rate), 5, second, 1);
            assert_eq!(wish.replicas, 5, "{start}/s, {second} s: {}", wish.reason);
        }
    }
}

#[test]
fn load_that_comes_back_after_a_pause_asks_for_nothing() {
    let mut state = HintState::default();
    for round in 0..6 {
        stay(&mut state, node(0), 5, 60 * round, 20);
        assert_eq!(
            stay(&mut state, node(200), 5, 60 * round + 20, 40).replicas,
            5,
            "round {round}"
        );
    }
}

#[test]
fn without_queues_a_jump_asks_for_half_again_as_many_at_most() {
    let mut state = HintState::default();
    stay(&mut state, node(30), 5, 0, 120);
    assert_eq!(stay(&mut state, node(300), 5, 120, 5).replicas, 8);
}

#[test]
fn a_tail_beyond_the_objective_asks_for_pods_only_where_the_median_rises_too() {
    let objective = HintConfig {
        latency_p99: Some(Nanos::from_millis(250)),
        ..brief()
    };
    let wish = |turnaround_micros: u64| {
        let mut state = HintState::default();
        stay(&mut state, node(200), 5, 0, 60);
        let late = NodeDemand {
            turnaround_micros,
            p99_micros: 300_000,
            ..node(200)
        };
        let at = |second: u64| Nanos::from_secs(60 + second);
        (0..20)
            .map(|second| hint(&[late; 3], 5, &objective, &mut state, at(second)).replicas)
            .max()
    };
    assert_eq!(wish(20_000), Some(5));
    assert!(wish(26_000) > Some(5));
}
