use super::*;

#[test]
fn every_shipped_scenario_is_right_and_named_as_its_file() {
    for name in names() {
        let scenario = shipped(name).unwrap_or_else(|error| panic!("{name}: {error}"));
        assert_eq!(scenario.name, name);
    }
}

fn broken(from: &str, to: &str) -> String {
    let text = include_str!("../../scenarios/S1.yaml");
    assert!(text.contains(from), "{from}");
    Scenario::parse(&text.replacen(from, to, 1))
        .unwrap_err()
        .to_string()
}

#[test]
fn a_wrong_file_says_what_to_do() {
    assert!(broken("version: 1", "version: 2").contains("reads version 1"));
    assert!(broken("workers: 4", "workers: 0").contains("backends.workers is 0, must be from 1"));
}

#[test]
fn an_unknown_field_is_refused_by_name() {
    assert!(broken("title:", "titel:").contains("titel"));
    assert!(broken("add_millis", "ad_millis").contains("ad_millis"));
}

#[test]
fn a_number_that_is_none_is_refused() {
    assert!(
        broken("per_backend_second: 120", "per_backend_second: .nan")
            .contains("load.per_backend_second is NaN")
    );
}

#[test]
fn a_truncated_file_is_refused() {
    let text = include_str!("../../scenarios/S7.yaml");
    for end in (0..text.len() - 1).filter(|&end| text.is_char_boundary(end)) {
        let parsed = Scenario::parse(&text[..end]);
        if let Ok(scenario) = parsed {
            assert!(scenario.faults.is_empty(), "cut at {end}");
        }
    }
}

#[test]
fn an_unknown_name_lists_the_known_ones() {
    let message = shipped("S99").unwrap_err().to_string();
    assert!(message.contains("S1 ") && message.contains("S99"), "{message}");
}

#[test]
fn a_moving_target_visits_everybody_by_turns() {
    let target = Target::Moving {
        permille: 300,
        turn_millis: 10,
    };
    let hit = |turn: u64| {
        (0..10)
            .filter(|&b| target.hits(b, 10, turn * 10_000_000))
            .collect::<Vec<_>>()
    };
    assert_eq!(hit(0), [0, 1, 2]);
    assert_eq!(hit(1), [3, 4, 5]);
    assert_eq!(hit(3), [0, 1, 9]);
}

#[test]
fn an_alternating_fault_starts_on() {
    let fault = &shipped("S3").unwrap().faults[0];
    let second = 1_000_000_000;
    assert_eq!(fault.active(19 * second), None);
    assert!(fault.active(21 * second).is_some());
    assert_eq!(fault.active(23 * second), None);
    assert!(fault.active(25 * second).is_some());
    assert_eq!(fault.active(50 * second), None);
    assert_eq!(fault.turns().len(), 2 + 14);
}

#[test]
fn a_rolling_update_replaces_one_backend_after_the_other() {
    let rollout = shipped("S11").unwrap().rollout.unwrap();
    let steps = rollout.steps(2);
    assert_eq!(steps.len(), 10);
    assert_eq!(steps[0], (21_000_000_000, 0, Step::Leaves));
    assert_eq!(steps[5], (26_000_000_000, 1, Step::Leaves));
    let text = include_str!("../../scenarios/S11.yaml").replace("cold_speed: 0.2", "cold_speed: 0");
    assert!(
        Scenario::parse(&text)
            .unwrap_err()
            .to_string()
            .contains("rollout.cold_speed is 0")
    );
}
