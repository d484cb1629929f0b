use super::*;
use crate::experiment::Experiment;
use crate::peer;
use crate::scenario::{names, shipped};

#[test]
fn every_target_names_scenarios_and_rows_that_exist() {
    for target in Targets::shipped().unwrap().targets {
        let mut places = vec![(target.scenario.clone(), target.row.clone())];
        if let Some(Bound::Other(other)) = target.bound() {
            places.push((
                other.scenario.clone().unwrap_or(target.scenario.clone()),
                other.row.clone().unwrap_or(target.row.clone()),
            ));
        }
        for (scenario, row) in places {
            assert!(names().contains(&scenario.as_str()), "{}", target.name());
            let found = peer::named(&[row]).unwrap();
            let contest = shipped(&scenario).unwrap().contest;
            assert!(found[0].takes_part(contest), "{}", target.name());
        }
    }
}

#[test]
fn a_wrong_list_says_what_is_wrong() {
    let wrong = |line: &str| {
        let text = format!("version: 1\ntargets:\n- {{scenario: S0, {line}}}\n");
        Targets::parse(&text).unwrap_err().to_string()
    };
    assert!(wrong("figure: p98, at_most: 1").contains("no figure \"p98\""));
    assert!(wrong("figure: p99").contains("one of at_most and at_least"));
    assert!(wrong("figure: p99, at_most: 1, at_least: 2").contains("one of"));
    assert!(wrong("figure: p99, at_mots: 1").contains("at_mots"));
    assert!(
        Targets::parse("version: 7\ntargets: []")
            .unwrap_err()
            .to_string()
            .contains("version 7")
    );
}

fn cells() -> Vec<Cell> {
    let mut scenario = shipped("S0").unwrap();
    scenario.duration_millis = 10_000;
    scenario.window.from_millis = 5_000;
    scenario.window.to_millis = 10_000;
    let experiment = Experiment {
        scenarios: vec![scenario],
        peers: peer::named(&["law+reports".to_owned(), "random".to_owned()]).unwrap(),
        nodes: vec![10],
        backends: Vec::new(),
        seeds: vec![1, 2, 3],
    };
    experiment.run(1, &|_, _, _| {}).unwrap()
}

#[test]
fn targets_are_judged_by_the_mean_and_say_how_sure_that_is() {
    let text = "version: 1
targets:
- {scenario: S0, nodes: 60, figure: p99, at_most: 0}
- {scenario: S0, figure: p99, at_most: 1}
- {scenario: S0, figure: p99, at_least: 1}
- {scenario: S0, figure: p99, at_most: {row: random, factor: 1}}
- {scenario: S0, figure: recover_seconds, at_most: 20}
";
    let judged = Targets::parse(text).unwrap().judge(&cells());
    let outcome: Vec<(bool, bool)> = judged.iter().map(|one| (one.reached, one.certain)).collect();
    assert_eq!(
        outcome,
        [(false, true), (true, true), (true, true), (false, true)]
    );
    assert!(judged[0].found.unwrap().mean > 20.0);
    assert!(judged[3].found.is_none(), "nobody was sick, so nobody came back");
}
