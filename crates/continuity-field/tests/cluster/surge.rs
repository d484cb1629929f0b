//! Surges: the hint against a modelled HPA (sync every 15 s, pods ready after 5 s) and reports that are up to 3 s late.

use continuity_field::{HintConfig, HintState, Nanos, Reason, Regime, hint};

use crate::plant::{Plant, SECOND, figures};

struct Scaled {
    plant: Plant,
    /// (instant, hint, replicas)
    course: Vec<(u64, u32, usize)>,
}

/// Runs `seconds` with the load of `rate(t)` from 60 s on; 5 backends of 8 workers carry about 1,600/s.
fn scale(rate: impl Fn(f64) -> f64, seconds: u64, config: &HintConfig) -> Scaled {
    let mut plant = Plant::new(3, 5, 21);
    plant.rate = rate(0.0);
    let mut state = HintState::default();
    let mut course = Vec::new();
    let mut starting: Vec<u64> = Vec::new();
    let mut next = 1_000;
    let mut demand = Vec::new();
    for second in 0..seconds {
        plant.rate = rate(second as f64 - 60.0);
        plant.run_until(second * SECOND + 1);
        if second % 3 == 0 {
            demand = plant
                .nodes
                .iter()
                .map(|node| node.outcome().demand)
                .collect::<Vec<_>>();
        }
        starting.retain(|ready| {
            if *ready <= second {
                next += 1;
                plant.join(next);
            }
            *ready > second
        });
        let ready = plant.backends.len();
        let wish = hint(
            &demand,
            ready as u32,
            config,
            &mut state,
            Nanos::from_secs(second),
        );
        println!(
            "{second} s rate {:.0} ready {ready} hint {}: {}",
            plant.rate, wish.replicas, wish.reason
        );
        course.push((second, wish.replicas, ready + starting.len()));
        if second % 15 == 7 {
            let want = wish.replicas as usize;
            let have = ready + starting.len();
            let ratio = want as f64 / have as f64;
            if ratio > 1.1 {
                starting.extend((have..want).map(|_| second + 5));
            } else if ratio < 0.9 {
                (want..ready).for_each(|_| drop(plant.backends.pop()));
            }
        }
    }
    Scaled { plant, course }
}

fn turns(course: &[(u64, u32, usize)]) -> usize {
    let values: Vec<u32> = course.iter().map(|(_, hint, _)| *hint).collect();
    let signs: Vec<bool> = values
        .windows(2)
        .filter(|pair| pair[0] != pair[1])
        .map(|pair| pair[1] > pair[0])
        .collect();
    signs.windows(2).filter(|pair| pair[0] != pair[1]).count()
}

fn brief() -> HintConfig {
    HintConfig {
        scale_down_hold: Nanos::from_secs(30),
        max_replicas: 20,
        ..HintConfig::default()
    }
}

#[test]
fn a_ramp_that_doubles_in_a_minute_gets_replicas_before_the_p99_passes() {
    let rate = |t: f64| 800.0 * libm::exp2((t / 60.0).clamp(0.0, 1.25)) * if t > 150.0 { 0.42 } else { 1.0 };
    let run = scale(rate, 330, &brief());
    let raised = run
        .course
        .iter()
        .find(|(_, _, replicas)| *replicas > 5)
        .map(|(at, ..)| *at)
        .unwrap();
    let mut passed = None;
    for second in 60..210 {
        let window = figures(&run.plant.seen, second * SECOND, (second + 2) * SECOND, &[]);
        if window.p99 > 250_000 && passed.is_none() {
            passed = Some(second);
        }
    }
    println!(
        "raised at {raised}, p99 passed at {passed:?}, turns {}",
        turns(&run.course)
    );
    assert!(passed.is_none_or(|passed| raised < passed), "{raised} {passed:?}");
    assert!(turns(&run.course) <= 2);
    assert!(run.course.last().unwrap().1 < run.course.iter().map(|(_, hint, _)| *hint).max().unwrap());
}

#[test]
fn a_step_beyond_capacity_raises_the_hint_within_five_seconds() {
    let rate = |t: f64| if (0.0..60.0).contains(&t) { 2_000.0 } else { 700.0 };
    let run = scale(rate, 240, &brief());
    let raised = run
        .course
        .iter()
        .find(|(_, hint, _)| *hint > 5)
        .map(|(at, ..)| *at)
        .unwrap();
    println!("raised at {raised}, turns {}", turns(&run.course));
    assert!((60..=65).contains(&raised), "{raised}");
    assert!(turns(&run.course) <= 2);
    let last = run.course.last().unwrap().1;
    assert!(last <= 6, "{last}");
}

#[test]
fn a_steady_load_keeps_its_replicas() {
    for load in [5.0, 50.0, 500.0, 1_000.0] {
        let run = scale(|_| load, 240, &brief());
        let values: Vec<u32> = run.course.iter().map(|(_, hint, _)| *hint).collect();
        assert!(values.iter().all(|value| *value == 5), "{load}: {values:?}");
    }
}

#[test]
fn overload_isolates_nobody() {
    for seed in 1..=3 {
        let mut plant = Plant::new(3, 5, seed);
        plant.run_until(20 * SECOND);
        plant.rate = 2_200.0;
        plant.run_until(50 * SECOND);
        for agent in &plant.nodes {
            let isolated = agent
                .log
                .iter()
                .filter(|(_, reason)| matches!(reason, Reason::Isolated { .. }));
            assert_eq!(isolated.collect::<Vec<_>>(), Vec::<&(u64, Reason)>::new());
            assert!(agent.log.iter().any(|(_, reason)| matches!(
                reason,
                Reason::RegimeChanged {
                    to: Regime::Crisis,
                    ..
                }
            )));
        }
    }
}
