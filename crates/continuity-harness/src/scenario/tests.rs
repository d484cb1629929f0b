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

proptest::proptest! {
    #![proptest_config(proptest::prelude::ProptestConfig::with_cases(200))]

    #[test]
    fn whatever_the_file_says_it_is_a_scenario_or_an_error(
        which in 0..1_000_usize, at in 0..3_000_usize, put in "[-{}:a-z0-9., ]{0,12}", cut: bool,
    ) {
        let list = names();
        let whole = serde_yaml_ng::to_string(&shipped(list[which % list.len()]).unwrap()).unwrap();
        let place = at % whole.len();
        if whole.is_char_boundary(place) {
            let rest = if cut { "" } else { &whole[place..] };
            let _ = Scenario::parse(&format!("{}{put}{rest}", &whole[..place]));
        }
    }
}

#[test]
fn a_wrong_number_is_named_by_its_field_and_its_range() {
    let wrong = |name: &str, change: &dyn Fn(&mut Scenario)| {
        let mut scenario = shipped(name).unwrap();
        change(&mut scenario);
        scenario.check().unwrap_err().to_string()
    };
    let says = [
        (
            wrong("S9", &|s| s.callers[0].permille = 201),
            "callers.permille (sum) is 1001, must be from 1000",
        ),
        (
            wrong("S9", &|s| s.load.steps[0].factor = 0.0),
            "load.steps.factor is 0",
        ),
        (
            wrong("S9", &|s| s.load.steps[1].from_millis = 1),
            "load.steps.from_millis is 1, must be from 30000",
        ),
        (
            wrong("S9r", &|s| s.client.retries.as_mut().unwrap().most = 99),
            "client.retries.most is 99",
        ),
        (
            wrong("S19", &|s| s.client.connections.as_mut().unwrap().streams = 0),
            "client.connections.streams is 0",
        ),
        (
            wrong("S13", &|s| s.agent.deaths[0].to_millis = 10),
            "agent.deaths.from_millis is 20000",
        ),
        (
            wrong("S16", &|s| s.memory.as_mut().unwrap().tooth_mib = 900.0),
            "memory.tooth_mib is 900",
        ),
        (
            wrong("S0-clock", &|s| s.agent.clock_steps[0].by_millis = 99_999_999),
            "agent.clock_steps.by_millis",
        ),
        (
            wrong("S18", &|s| s.rogue.as_mut().unwrap().factor = f64::INFINITY),
            "rogue.factor is inf",
        ),
        (
            wrong("S18", &|s| s.rogue.as_mut().unwrap().caller = 3),
            "rogue.caller is 3",
        ),
        (
            wrong("S0-closed", &|s| s.load.closed.as_mut().unwrap().clients = 0),
            "load.closed.clients is 0",
        ),
        (
            wrong("S1-verdicts", &|s| s.agent.verdicts_late_millis = Some(1 << 40)),
            "agent.verdicts_late_millis",
        ),
    ];
    for (said, wanted) in says {
        assert!(said.contains(wanted), "{said}");
    }
}

#[test]
fn the_capacity_is_that_of_the_published_plant() {
    assert!((shipped("S9").unwrap().capacity() - 727.0).abs() < 1.0);
    assert!((shipped("S0").unwrap().capacity() - 1_817.5).abs() < 2.0);
}
